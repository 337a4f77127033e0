"""Owns single paths of a lattice: the n best, and the nearest to what was said.

Words decide: no two of the paths have the same sequence of words.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybridasr.lattice.lattice import CompactLattice, WordGraph, WordPath
from hybridasr.lattice.shortest import costs_to_end, path_of


def n_best(lattice: CompactLattice, count: int, acoustic_scale: float = 1.0) -> list[WordPath]:
    """Return the best paths of different words, best first; equal costs in the order of word ids.

    A* search with the exact cost to the end. In a lattice that is not deterministic, the best path
    of each sequence of words counts.
    """
    if lattice.num_states == 0:
        return []
    arc_costs, final_costs = lattice.costs(acoustic_scale)
    remaining = costs_to_end(lattice, arc_costs, final_costs)[0]
    offsets = lattice.arc_offsets
    end = lattice.num_states
    # (cost of the best way over it, words, tie-break, state or end, cost so far, arcs as a chain)
    heap = [(remaining[0], (), 0, 0, 0.0, None)]
    pushed, visits, paths = 1, set(), []
    while heap and len(paths) < count:
        total, words, _, state, cost, chain = heapq.heappop(heap)
        # A way with these words was taken out before at a lower cost.
        if not total < np.inf or (state, words) in visits:
            continue
        visits.add((state, words))
        if state == end:
            paths.append(_path(lattice, chain))
            continue
        ways = [(arc, int(lattice.target[arc]), arc_costs[arc], remaining[lattice.target[arc]])
                for arc in range(offsets[state], offsets[state + 1])]
        # Ending is one more way on; the final state's number (~state) tells it from an arc.
        ways.append((-1, end, final_costs[state], 0.0))
        for arc, target, step, rest in ways:
            word = int(lattice.word[arc]) if arc >= 0 else 0
            heapq.heappush(heap, (cost + step + rest, words + (word,) * (word > 0), pushed, target,
                                  cost + step, (arc if arc >= 0 else ~state, chain)))
            pushed += 1
    return paths


def _path(lattice: CompactLattice, chain: tuple) -> WordPath:
    steps = []
    while chain is not None:
        steps.append(chain[0])
        chain = chain[1]
    return path_of(lattice, steps[:0:-1], ~steps[0])


@dataclass(frozen=True)
class Oracle:
    """The words of the lattice nearest to a reference, and the errors that they still have."""

    words: tuple[int, ...]
    errors: int


def oracle(lattice: WordGraph, reference: Sequence[int]) -> Oracle | None:
    """Find the path with the least edit distance to the reference (Kaldi's lattice-oracle).

    Returns
    -------
    Oracle; None if the lattice has no path.
    """
    wanted = np.asarray(reference, np.int64)
    places = np.arange(len(wanted) + 1)
    # errors[s, r]: least, from the start to state s with r words of the reference used up.
    errors = np.full((lattice.num_states, len(places)), 1 << 30, np.int64)
    arrived = np.full(errors.shape, -1, np.int64)
    offsets = lattice.arc_offsets
    for state in range(lattice.num_states):
        if state == 0:
            errors[0, 0] = 0
        # Words of the reference that are missing: errors[r] = min over q <= r of errors[q] + r - q
        closed = np.minimum.accumulate(errors[state] - places) + places
        # -1 is the mark of a missing word, which takes no arc.
        arrived[state, closed < errors[state]] = -1
        errors[state] = closed
        for arc in range(offsets[state], offsets[state + 1]):
            target = lattice.target[arc]
            ways = _along(errors[state], lattice.word[arc], wanted)
            better = ways < errors[target]
            errors[target, better] = ways[better]
            arrived[target, better] = arc
    ends = np.flatnonzero(np.isfinite(lattice.final_graph))
    if len(ends) == 0:
        return None
    state = int(ends[np.argmin(errors[ends, -1])])
    fewest, place, words = int(errors[state, -1]), len(wanted), []
    # Back from the end: either a word of the reference is missing, or an arc is undone.
    while state > 0 or place > 0:
        arc = arrived[state, place]
        if arc < 0:
            place -= 1
            continue
        word, before = int(lattice.word[arc]), errors[lattice.source[arc]]
        if word > 0:
            words.append(word)
            matched = place > 0 and errors[state, place] == before[place - 1] + (
                word != wanted[place - 1])
            place -= bool(matched)
        state = int(lattice.source[arc])
    return Oracle(tuple(words[::-1]), fewest)


def _along(errors: np.ndarray, word: int, wanted: np.ndarray) -> np.ndarray:
    """Return the errors after an arc: its word is inserted, or set against one of `wanted`."""
    if word == 0:
        return errors.copy()
    ways = errors + 1
    ways[1:] = np.minimum(ways[1:], errors[:-1] + (wanted != word))
    return ways
