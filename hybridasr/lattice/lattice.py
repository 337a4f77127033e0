"""Owns the two forms of a lattice as flat arrays, and their order.

`Lattice` is what the search leaves: an arc for each arc of the decoding graph that was walked.
`CompactLattice` is Kaldi's: words on the arcs, and for each arc the string of transition-ids that
goes with it. Costs are negative natural logs, graph and acoustic ones apart, the acoustic ones not
scaled: functions that need one cost take an acoustic scale.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class WordGraph:
    """What both forms have; state 0 is the start, arcs lead to later states.

    Attributes
    ----------
    source, target : int32 (num_arcs,)
        Sorted by source.
    word : int32 (num_arcs,)
        Word id, 0: none.
    graph, acoustic : float64 (num_arcs,)
    final_graph, final_acoustic : float64 (num_states,)
        Final costs; `final_graph` is infinite where the state is not final.
    """

    source: np.ndarray
    target: np.ndarray
    word: np.ndarray
    graph: np.ndarray
    acoustic: np.ndarray
    final_graph: np.ndarray
    final_acoustic: np.ndarray

    @property
    def num_states(self) -> int:
        """Number of states."""
        return len(self.final_graph)

    @property
    def num_arcs(self) -> int:
        """Number of arcs."""
        return len(self.word)

    @property
    def arc_offsets(self) -> np.ndarray:
        """The arcs of state s are ``offsets[s]:offsets[s + 1]``: int64 (num_states + 1,)."""
        return np.searchsorted(self.source, np.arange(self.num_states + 1))

    def costs(self, acoustic_scale: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the costs of arcs (num_arcs,) and of ending in states (num_states,)."""
        return (self.graph + acoustic_scale * self.acoustic,
                self.final_graph + acoustic_scale * self.final_acoustic)


@dataclass(frozen=True)
class Lattice(WordGraph):
    """A lattice over transition-ids and words.

    Attributes
    ----------
    tid : int32 (num_arcs,)
        Transition-id of each arc, 0: none.
    """

    tid: np.ndarray


@dataclass(frozen=True)
class CompactLattice(WordGraph):
    """A lattice over words.

    Attributes
    ----------
    strings, final_strings : list of int32 arrays (num_arcs, num_states)
        Transition-ids, one a frame, of each arc and of ending in each state.
    """

    strings: list[np.ndarray]
    final_strings: list[np.ndarray]

    @property
    def state_frames(self) -> np.ndarray:
        """Frame at which each state is reached: int64 (num_states,)."""
        frames = np.zeros(self.num_states, np.int64)
        for source, target, string in zip(self.source, self.target, self.strings, strict=True):
            frames[target] = frames[source] + len(string)
        return frames


@dataclass(frozen=True)
class WordPath:
    """One way through a lattice.

    Attributes
    ----------
    words : tuple of int
        Word ids, epsilon left out.
    graph_cost, acoustic_cost : float
        The acoustic cost is not scaled.
    transition_ids : int32 (num_frames,)
    """

    words: tuple[int, ...]
    graph_cost: float
    acoustic_cost: float
    transition_ids: np.ndarray

    def total_cost(self, acoustic_scale: float) -> float:
        """Graph plus scaled acoustic cost."""
        return self.graph_cost + acoustic_scale * self.acoustic_cost


def lattice_size(lattice: Lattice | CompactLattice) -> tuple[int, int, int, int]:
    """Return (frames, frames of all arcs and ends together, states, arcs).

    The second over the first is Kaldi's lattice-depth: how many arcs lie over a frame.
    """
    if isinstance(lattice, Lattice):
        lengths, ends = (lattice.tid > 0).astype(np.int64), np.zeros(lattice.num_states, np.int64)
    else:
        lengths, ends = (np.array([len(string) for string in strings], np.int64)
                         for strings in (lattice.strings, lattice.final_strings))
    frames = np.zeros(lattice.num_states, np.int64)
    for source, target, length in zip(lattice.source, lattice.target, lengths, strict=True):
        frames[target] = frames[source] + length
    final = np.isfinite(lattice.final_graph)
    return (int((frames + ends)[final].max(initial=0)), int(lengths.sum() + ends[final].sum()),
            lattice.num_states, lattice.num_arcs)


def topological_order(start: int, source: np.ndarray, target: np.ndarray,
                      num_states: int) -> np.ndarray:
    """Return the states reached from `start` such that arcs lead to later ones: int64.

    >>> topological_order(0, np.array([0, 2, 0]), np.array([2, 1, 1]), 4).tolist()
    [0, 2, 1]

    Raises
    ------
    ValueError
        naming a state on a cycle.
    """
    onward: list[list[int]] = [[] for _ in range(num_states)]
    for begin, end in zip(source, target, strict=True):
        onward[begin].append(int(end))
    # Depth first, with a stack of its own: lattices are deeper than Python's recursion.
    visits, trail, order = {start}, {start}, []
    stack = [(start, iter(onward[start]))]
    while stack:
        state, rest = stack[-1]
        for after in rest:
            # Back to a state that is not done: the way there and this arc are a cycle.
            if after in trail:
                raise ValueError(f"state {after} is on a cycle")
            if after not in visits:
                visits.add(after)
                trail.add(after)
                stack.append((after, iter(onward[after])))
                break
        else:
            stack.pop()
            trail.discard(state)
            order.append(state)
    # A state is done after all that it leads to.
    return np.array(order[::-1], np.int64)
