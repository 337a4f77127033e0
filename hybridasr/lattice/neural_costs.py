"""Owns a neural language model as an automaton over one lattice, and mixtures of automata.

A neural model's state hangs on the whole history. Here histories that end with the same words are
one state, with the network's state of the first of them (Liu et al. 2016, Two efficient lattice
rescoring methods using recurrent neural network language models; Kaldi's
lattice-lmrescore-kaldi-rnnlm). All that a lattice needs is computed before, level by level, so that
the network works on many histories at once.
"""

from collections.abc import Hashable, Mapping

import numpy as np

from hybridasr.lattice.lattice import CompactLattice
from hybridasr.lattice.lm_rescore import LmCosts
from hybridasr.nnlm.neural_lm import NeuralLm
from hybridasr.nnlm.word_classes import END_ID, UNKNOWN_ID

History = tuple[int, ...]
_END = 0  # no word of a lattice: stands for the end of the sentence


class NeuralCosts:
    """A neural model over the words of one lattice; see `LmCosts`.

    A state is the words before, as many as `order` - 1 at most. Words that the model lacks have
    the costs of its <UNK>.

    Parameters
    ----------
    model : NeuralLm
    lattice : CompactLattice
    names : mapping id -> word
    order : int
        At least 2.
    """

    start: History = ()

    def __init__(self, model: NeuralLm, lattice: CompactLattice, names: Mapping[int, str],
                 order: int):
        self._model, self._kept = model, order - 1
        self._ids = {word: model.ids.get(names[word], UNKNOWN_ID)
                     for word in np.unique(lattice.word).tolist() if word}
        self._ids[_END] = END_ID
        self._costs: dict[tuple[History, int], float] = {}
        self._states = {self.start: model.start()[0]}
        self._evaluate(lattice)

    def step(self, state: History, word: int) -> tuple[History, float]:
        """See `LmCosts.step`."""
        return self._after(state, word), self._costs[state, word]

    def end(self, state: History) -> float:
        """See `LmCosts.end`."""
        return self._costs[state, _END]

    def _after(self, history: History, word: int) -> History:
        return (*history, word)[-self._kept:]

    def _evaluate(self, lattice: CompactLattice) -> None:
        """Compute the costs of all words of the lattice after all histories that they have."""
        histories: list[dict[History, None]] = [{} for _ in range(lattice.num_states)]
        if histories:
            histories[0][self.start] = None
        offsets, target = lattice.arc_offsets.tolist(), lattice.target.tolist()
        word, final = lattice.word.tolist(), np.isfinite(lattice.final_graph).tolist()
        for states in _levels(lattice):
            pairs: dict[tuple[History, int], None] = {}
            onward: dict[History, tuple[History, int]] = {}
            for state in states:
                for history in histories[state]:
                    if final[state]:
                        pairs[history, _END] = None
                    for arc in range(offsets[state], offsets[state + 1]):
                        after = history
                        if word[arc]:
                            pairs[history, word[arc]] = None
                            after = self._after(history, word[arc])
                            onward.setdefault(after, (history, word[arc]))
                        histories[target[arc]][after] = None
                histories[state] = {}
            self._add_costs([pair for pair in pairs if pair not in self._costs])
            self._add_states({after: pair for after, pair in onward.items()
                              if after not in self._states})

    def _add_costs(self, pairs: list[tuple[History, int]]) -> None:
        if not pairs:
            return
        places: dict[History, int] = {}
        rows = [places.setdefault(history, len(places)) for history, _ in pairs]
        log_probs = self._model.log_probs(np.stack([self._states[one] for one in places]),
                                          np.array(rows),
                                          np.array([self._ids[word] for _, word in pairs]))
        self._costs.update(zip(pairs, (-log_probs).tolist(), strict=True))

    def _add_states(self, onward: dict[History, tuple[History, int]]) -> None:
        if not onward:
            return
        before, words = zip(*onward.values(), strict=True)
        states = self._model.advance(np.stack([self._states[one] for one in before]),
                                     np.array([self._ids[word] for word in words]))
        self._states.update(zip(onward, states, strict=True))


class MixedCosts:
    """The mixture of two models: the second has the share `weight`, from 0 to 1."""

    def __init__(self, first: LmCosts, second: LmCosts, weight: float):
        self._models = first, second
        with np.errstate(divide="ignore"):
            self._log_shares = np.log1p(-weight), np.log(weight)
        self._steps: dict[tuple, tuple[Hashable, float]] = {}
        self.start: Hashable = (first.start, second.start)

    def step(self, state: tuple[Hashable, Hashable], word: int) -> tuple[Hashable, float]:
        """See `LmCosts.step`."""
        if (state, word) not in self._steps:
            after, costs = zip(*(model.step(one, word) for model, one
                                 in zip(self._models, state, strict=True)), strict=True)
            self._steps[state, word] = after, self._mix(*costs)
        return self._steps[state, word]

    def end(self, state: tuple[Hashable, Hashable]) -> float:
        """See `LmCosts.end`."""
        return self._mix(*(model.end(one) for model, one
                           in zip(self._models, state, strict=True)))

    def _mix(self, first: float, second: float) -> float:
        ours, theirs = self._log_shares
        return -float(np.logaddexp(ours - first, theirs - second))


def _levels(lattice: CompactLattice) -> list[list[int]]:
    """Return the states by the length of the longest way there."""
    depth = [0] * lattice.num_states
    for source, target in zip(lattice.source.tolist(), lattice.target.tolist(), strict=True):
        depth[target] = max(depth[target], depth[source] + 1)
    levels: list[list[int]] = [[] for _ in range(max(depth, default=-1) + 1)]
    for state, level in enumerate(depth):
        levels[level].append(state)
    return levels
