"""Owns the cheapest ways through a lattice: best paths under many scales at once, and pruning.

Works on states in topological order, with numpy; a column of the costs is one set of scales.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np

from hybridasr.errors import UserError
from hybridasr.lattice.lattice import CompactLattice, WordGraph, WordPath
from hybridasr.options import option

AnyLattice = TypeVar("AnyLattice", bound=WordGraph)
_TOLERANCE = 1e-6  # sums over the same path in another order differ by less


@dataclass(frozen=True)
class LatticeScales:
    """How the costs of a lattice make one, with Kaldi's names.

    The total is ``lm_scale * graph + acoustic_scale * acoustic + word_ins_penalty * words``.
    Kaldi's language-model weight LMWT is ``acoustic_scale = 1 / LMWT`` with ``lm_scale = 1``: only
    the ratio of the two decides which path is best.
    """

    acoustic_scale: float = option(1.0, "factor on the acoustic costs")
    lm_scale: float = option(1.0, "factor on the graph costs, which hold the language model")
    word_ins_penalty: float = option(0.0, "cost of every word, on top of the graph costs")

    def __post_init__(self):
        for name, least in (("acoustic_scale", 0), ("lm_scale", 0), ("word_ins_penalty", -np.inf)):
            value = getattr(self, name)
            if not least <= value < np.inf or value == -np.inf:
                raise UserError(f"{name.replace('_', '-')} is {value}; give a number" +
                                (" from 0" if least == 0 else ""))

    @classmethod
    def of_lmwt(cls, lmwt: float, word_ins_penalty: float = 0.0) -> "LatticeScales":
        """Return the scales of a language-model weight, as Kaldi's score.sh sweeps it.

        >>> LatticeScales.of_lmwt(10, 0.5)
        LatticeScales(acoustic_scale=0.1, lm_scale=1.0, word_ins_penalty=0.5)
        """
        return cls(1 / lmwt, 1.0, word_ins_penalty)


def scale_lattice(lattice: AnyLattice, scales: LatticeScales) -> AnyLattice:
    """Return the lattice with its costs multiplied, and the penalty on the arcs with a word.

    As Kaldi's lattice-scale and lattice-add-penalty.
    """
    final_graph = lattice.final_graph.copy()
    # Not inf * 0: a state that is no end stays none.
    final_graph[np.isfinite(final_graph)] *= scales.lm_scale
    return replace(
        lattice,
        graph=scales.lm_scale * lattice.graph + scales.word_ins_penalty * (lattice.word > 0),
        acoustic=scales.acoustic_scale * lattice.acoustic,
        final_graph=final_graph,
        final_acoustic=scales.acoustic_scale * lattice.final_acoustic)


def best_paths(lattice: CompactLattice, scales: Sequence[LatticeScales]
               ) -> list[WordPath | None]:
    """Return the best path under each of the scales; None where no path leads to an end.

    The costs of a path are those of the lattice, not scaled. Of equal totals, the path wins that
    ends first, then the one whose arc comes first.

    >>> none = np.empty(0, np.int32)
    >>> lattice = CompactLattice(np.array([0, 0]), np.array([1, 1]), np.array([7, 8]),
    ...                          np.array([1.0, 3.0]), np.array([20.0, 9.0]),
    ...                          np.array([np.inf, 0.0]), np.zeros(2), [none, none], [none, none])
    >>> [path.words for path in best_paths(lattice, [LatticeScales.of_lmwt(n) for n in (5, 6)])]
    [(8,), (7,)]
    """
    paths, known = [], {}
    for way in _best_ways(lattice, scales):
        # Neighbouring scales mostly share their best path.
        if way is not None and way not in known:
            known[way] = path_of(lattice, *way)
        paths.append(None if way is None else known[way])
    return paths


def best_lattice(lattice: AnyLattice, scales: LatticeScales) -> AnyLattice:
    """Return the lattice with the best path alone, as Kaldi's lattice-1best; costs not scaled."""
    arcs, end = _best_ways(lattice, [scales])[0] or ((), -1)
    return _part(lattice, np.array(arcs, np.int64), np.arange(lattice.num_states) == end)


def _best_ways(lattice: WordGraph, scales: Sequence[LatticeScales]
               ) -> list[tuple[tuple[int, ...], int] | None]:
    """Return (arcs, last state) of the best path under each of the scales."""
    if lattice.num_states == 0 or not scales:
        return [None] * len(scales)
    acoustic, graph, penalty = (np.array([getattr(one, field.name) for one in scales])
                                for field in fields(LatticeScales))
    ends = np.isfinite(lattice.final_graph)[:, None]
    finals = np.where(ends, graph * np.where(ends, lattice.final_graph[:, None], 0)
                      + acoustic * lattice.final_acoustic[:, None], np.inf)
    costs = (lattice.graph[:, None] * graph + lattice.acoustic[:, None] * acoustic
             + (lattice.word > 0)[:, None] * penalty)
    rest, choice = costs_to_end(lattice, costs, finals)
    target, ways = lattice.target.tolist(), []
    for column, onward in enumerate(choice.T.tolist()):
        arcs, state = [], 0
        while onward[state] >= 0:
            arcs.append(onward[state])
            state = target[arcs[-1]]
        ways.append((tuple(arcs), state) if rest[0, column] < np.inf else None)
    return ways


def path_of(lattice: CompactLattice, arcs: Sequence[int], end: int) -> WordPath:
    """Return the path along `arcs` that ends in state `end`."""
    arcs = list(arcs)
    strings = [*(lattice.strings[arc] for arc in arcs), lattice.final_strings[end]]
    return WordPath(tuple(int(word) for word in lattice.word[arcs] if word),
                    float(lattice.graph[arcs].sum() + lattice.final_graph[end]),
                    float(lattice.acoustic[arcs].sum() + lattice.final_acoustic[end]),
                    np.concatenate(strings))


def costs_to_end(lattice: WordGraph, costs: np.ndarray, finals: np.ndarray
                 ) -> tuple[np.ndarray, np.ndarray]:
    """Find the best way from each state to an end.

    Parameters
    ----------
    costs : float64 (num_arcs, ...)
    finals : float64 (num_states, ...)

    Returns
    -------
    (its cost, float64 like `finals`; the arc that it takes, -1 to end there, int64)
    """
    best, choice = finals.copy(), np.full(finals.shape, -1, np.int64)
    offsets, target = lattice.arc_offsets.tolist(), lattice.target
    for state in range(lattice.num_states - 1, -1, -1):
        first, last = offsets[state], offsets[state + 1]
        if first == last:
            continue
        ways = costs[first:last] + best[target[first:last]]
        arc, least = ways.argmin(axis=0), ways.min(axis=0)
        onward = least < best[state]
        best[state] = np.where(onward, least, best[state])
        choice[state] = np.where(onward, arc + first, -1)
    return best, choice


def costs_from_start(lattice: WordGraph, costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the best way from the start to each state.

    Parameters
    ----------
    costs : float64 (num_arcs,)

    Returns
    -------
    (its cost, float64 (num_states,); the arc that it arrives by, -1 at the start and where no way
    leads, int64)
    """
    best, arrival = np.full(lattice.num_states, np.inf), np.full(lattice.num_states, -1, np.int64)
    best[:1] = 0.0
    values, rows = best.tolist(), zip(lattice.source.tolist(), lattice.target.tolist(),
                                      costs.tolist(), strict=True)
    for arc, (source, target, cost) in enumerate(rows):
        if values[source] + cost < values[target]:
            values[target] = values[source] + cost
            arrival[target] = arc
    return np.array(values, np.float64), arrival


def prune_lattice(lattice: AnyLattice, beam: float, acoustic_scale: float = 1.0) -> AnyLattice:
    """Leave out arcs and ends of which no path is within `beam` (cost) of the best, as Kaldi's.

    States that no path uses any more go too; an infinite beam keeps all that leads to an end.

    Raises
    ------
    UserError
        if the beam is negative or NaN.
    """
    if not beam >= 0:
        raise UserError(f"beam is {beam}; give a number from 0")
    costs, finals = lattice.costs(acoustic_scale)
    before = costs_from_start(lattice, costs)[0]
    after = costs_to_end(lattice, costs, finals)[0]
    limit = (after[0] if lattice.num_states else np.inf) + beam + _TOLERANCE
    with np.errstate(invalid="ignore"):
        arcs = before[lattice.source] + costs + after[lattice.target]
        kept = np.flatnonzero((arcs <= limit) & (arcs < np.inf))
        ends = (before + finals <= limit) & (before + finals < np.inf)
    return _part(lattice, kept, ends)


def _part(lattice: AnyLattice, arcs: np.ndarray, ends: np.ndarray) -> AnyLattice:
    """Return the lattice of some arcs and ends, and of the states that they touch."""
    used = ends.copy()
    used[lattice.source[arcs]] = used[lattice.target[arcs]] = True
    states = np.flatnonzero(used)
    place = np.cumsum(used) - 1
    shared = {"source": place[lattice.source[arcs]].astype(np.int32),
              "target": place[lattice.target[arcs]].astype(np.int32),
              **{name: getattr(lattice, name)[arcs] for name in ("word", "graph", "acoustic")},
              "final_graph": np.where(ends, lattice.final_graph, np.inf)[states],
              "final_acoustic": np.where(ends, lattice.final_acoustic, 0.0)[states]}
    if isinstance(lattice, CompactLattice):
        none = np.empty(0, np.int32)
        return replace(lattice, **shared, strings=[lattice.strings[arc] for arc in arcs],
                       final_strings=[lattice.final_strings[state] if ends[state] else none
                                      for state in states])
    return replace(lattice, **shared, tid=lattice.tid[arcs])
