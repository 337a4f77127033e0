"""Owns language models from files, as what lattices are rescored with: ARPA text or a graph's G."""

from collections.abc import Mapping
from pathlib import Path

from hybridasr.errors import UserError
from hybridasr.graph.openfst import FlatFst, read_flat
from hybridasr.lattice.lm_rescore import LmCosts, NgramCosts
from hybridasr.lm.model_file import read_ngram


def read_lm_costs(path: Path, names: Mapping[int, str]) -> LmCosts:
    """Read a language model for lattices.

    Parameters
    ----------
    path : path
        An ARPA file; a ``G.fst`` with the words of the lattices, or a graph directory that has it.
    names : mapping id -> word
        Of the lattices.

    Raises
    ------
    UserError
        if the file is missing or damaged, or the grammar is not deterministic.
    """
    path = path / "G.fst" if path.is_dir() else path
    if path.suffix == ".fst":
        return GrammarCosts(read_flat(path), names, path)
    return NgramCosts(read_ngram(path), names)


class GrammarCosts:
    """A grammar as an acceptor; backoff arcs (#0 or epsilon) are taken where the word has no arc.

    Raises
    ------
    UserError
        naming `source`: two arcs of a state have one word, or it has a cycle of backoff arcs.
    """

    def __init__(self, fst: FlatFst, names: Mapping[int, str], source: Path):
        backoffs = {0, *(number for number, word in names.items() if word == "#0")}
        self.start, self._final = fst.start, fst.final.tolist()
        self._arcs: dict[tuple[int, int], tuple[int, float]] = {}
        rows = zip(fst.source.tolist(), fst.ilabel.tolist(), fst.nextstate.tolist(),
                   fst.weight.tolist(), strict=True)
        for state, label, target, weight in rows:
            key = state, 0 if label in backoffs else label
            if key in self._arcs:
                raise UserError(f"is not deterministic: state {state} has two arcs with "
                                f"'{names.get(label, label)}'; give one that mkgraph or arpa2fst "
                                "made", source)
            self._arcs[key] = target, weight
        for state in range(fst.num_states):
            trail = {state}
            while (onward := self._arcs.get((state, 0))) is not None:
                state = onward[0]
                if state in trail:
                    raise UserError(f"has a cycle of backoff arcs through state {state}; give one "
                                    "that mkgraph or arpa2fst made", source)
                trail.add(state)

    def step(self, state: int, word: int) -> tuple[int, float]:
        """See `LmCosts.step`."""
        cost = 0.0
        while (state, word) not in self._arcs:
            if (state, 0) not in self._arcs:
                return state, float("inf")
            state, weight = self._arcs[state, 0]
            cost += weight
        target, weight = self._arcs[state, word]
        return target, cost + weight

    def end(self, state: int) -> float:
        """See `LmCosts.end`."""
        cost = 0.0
        while self._final[state] == float("inf") and (state, 0) in self._arcs:
            state, weight = self._arcs[state, 0]
            cost += weight
        return cost + self._final[state]
