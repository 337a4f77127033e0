"""Owns lattices with another language model: the old one's costs taken out, the new one's put in.

The lattice is composed with both models on the fly, as Kaldi's lattice-lmrescore with a
deterministic on-demand grammar: a state of the result is a state of the lattice with one of each
model. Costs of transitions, pronunciations and silence stay as they are.
"""

import math
from collections.abc import Hashable, Mapping
from typing import Protocol

import numpy as np

from hybridasr.errors import UserError
from hybridasr.lattice.lattice import CompactLattice
from hybridasr.lattice.shortest import prune_lattice
from hybridasr.lexicon.lexicon import UNKNOWN_WORD
from hybridasr.lm.ngram import BEGIN, END, NgramModel


class LmCosts(Protocol):
    """A language model as a deterministic automaton: costs are negative natural logs.

    `start` is its first state; states may be anything that a dict takes as a key.
    """

    start: Hashable

    def step(self, state: Hashable, word: int) -> tuple[Hashable, float]:
        """Return the state after a word (its id), and the word's cost; infinite if it cannot be."""
        ...

    def end(self, state: Hashable) -> float:
        """Return the cost of ending, infinite where no sentence may end."""
        ...


class NgramCosts:
    """An n-gram model of any order; a state is the longest history that the model lists.

    It is held as the rows of its endings of 1, 2, ... words, -1 for one that is not listed. A word
    gets the probability of the longest n-gram that the model has, and backoff weights only where
    there is none. A graph may also back off where the longer n-gram is there, which a model with
    interpolated smoothing never gains from.

    Parameters
    ----------
    names : mapping id -> word
        Words that the model lacks have the costs of its <UNK>, infinite if there is none.
    """

    def __init__(self, model: NgramModel, names: Mapping[int, str]):
        self._order, self._num_words = model.order, len(model.words)
        # Plain arrays: to look into a mapped one for a number takes ten times as long.
        self._keys, self._probs, self._backoffs = (
            [np.asarray(array).view(np.ndarray) for array in arrays]
            for arrays in (model.keys, model.log10_probs, model.log10_backoffs))
        sayable = {word: model.ids[word] for word in model.vocabulary}
        unknown = sayable.get(UNKNOWN_WORD, -1)
        self._words = {number: sayable.get(name, unknown) for number, name in names.items()}
        self._end = sayable[END]
        self._steps: dict[tuple, tuple] = {}
        self.start: Hashable = (model.ids[BEGIN],) if model.order > 1 else ()

    def step(self, state: tuple[int, ...], word: int) -> tuple[tuple[int, ...], float]:
        """See `LmCosts.step`."""
        if (state, word) not in self._steps:
            number = self._words[word]
            self._steps[state, word] = (((), math.inf) if number < 0
                                        else self._follow(state, number))
        return self._steps[state, word]

    def end(self, state: tuple[int, ...]) -> float:
        """See `LmCosts.end`."""
        return self._follow(state, self._end)[1]

    def _follow(self, state: tuple[int, ...], word: int) -> tuple[tuple[int, ...], float]:
        rows, longest = [word], 1
        for length, history in enumerate(state, 2):
            keys, key = self._keys[length - 1], history * self._num_words + word
            place = int(keys.searchsorted(key)) if history >= 0 else len(keys)
            listed = place < len(keys) and keys[place] == key
            rows.append(place if listed else -1)
            longest = length if listed else longest
        log10_prob = float(self._probs[longest - 1][rows[longest - 1]])
        for length in range(longest, len(state) + 1):
            if state[length - 1] >= 0:
                log10_prob += float(self._backoffs[length - 1][state[length - 1]])
        # No n-gram goes on from a history that is not listed.
        return tuple(rows[:min(longest, self._order - 1)]), -log10_prob * math.log(10)


def rescore_lattice(lattice: CompactLattice, old: LmCosts, new: LmCosts,
                    names: Mapping[int, str], lm_scale: float = 1.0
                    ) -> tuple[CompactLattice, set[int]]:
    """Return the lattice with the costs of another language model.

    Parameters
    ----------
    old : LmCosts
        The model of the graph that the lattice was decoded with.
    new : LmCosts
    names : mapping id -> word
        For the error line.
    lm_scale : float
        Factor that the graph costs of the lattice have: that of the search.

    Returns
    -------
    (lattice, words that `new` cannot say)
        Paths that `new` cannot say are left out: without states if it is all of them. With
        `new` the same as `old`, every cost stays the same number.

    Raises
    ------
    UserError
        if `old` cannot say a path.
    """
    # For each state of the lattice, the pairs of model states that reach it -> number.
    numbers: list[dict[tuple, int]] = [{} for _ in range(lattice.num_states)]
    if numbers:
        numbers[0][old.start, new.start] = 0
    offsets, target = lattice.arc_offsets.tolist(), lattice.target.tolist()
    word, graph = lattice.word.tolist(), lattice.graph.tolist()
    rows: list[tuple[int, int, tuple, int, float]] = []
    origins, finals, unsayable = [], [], set()
    for state, pairs in enumerate(numbers):
        # States are met in topological order: all pairs that reach this one are known.
        for pair in pairs:
            source = pairs[pair] = len(origins)
            origins.append(state)
            finals.append(_end(lattice, state, pair, (old, new), lm_scale))
            for arc in range(offsets[state], offsets[state + 1]):
                onward, difference = pair, 0.0
                if word[arc]:
                    (before, lost), (after, gained) = (
                        model.step(one, word[arc])
                        for model, one in zip((old, new), pair, strict=True))
                    if lost == math.inf:
                        raise UserError(f"the old language model cannot say '{names[word[arc]]}' "
                                        "there; give the one that the graph was made with")
                    if gained == math.inf:
                        unsayable.add(word[arc])
                        continue
                    # Added as a difference: 0 for equal models, whatever the rounding.
                    onward, difference = (before, after), lm_scale * (gained - lost)
                numbers[target[arc]].setdefault(onward, -1)
                rows.append((source, target[arc], onward, arc, graph[arc] + difference))
    arcs = np.array([row[3] for row in rows], np.int64)
    composed = CompactLattice(
        np.array([row[0] for row in rows], np.int32),
        np.array([numbers[row[1]][row[2]] for row in rows], np.int32), lattice.word[arcs],
        np.array([row[4] for row in rows], np.float64), lattice.acoustic[arcs],
        np.array(finals, np.float64), lattice.final_acoustic[origins],
        [lattice.strings[arc] for arc in arcs], [lattice.final_strings[one] for one in origins])
    return prune_lattice(composed, math.inf), unsayable


def _end(lattice: CompactLattice, state: int, pair: tuple, models: tuple[LmCosts, LmCosts],
         lm_scale: float) -> float:
    """Return the graph cost of ending in a state of the result."""
    cost = float(lattice.final_graph[state])
    if cost == math.inf:
        return cost
    lost, gained = (model.end(one) for model, one in zip(models, pair, strict=True))
    # A partial lattice ends where the graph has no end: there was no cost of an end to take out.
    return cost if lost == math.inf else cost + lm_scale * (gained - lost)
