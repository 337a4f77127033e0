"""Owns lattices by HMM states: what an utterance may have been, arc by arc and frame by frame.

An arc reads one frame with one transition-id, or none (epsilon), so that sums over all paths of a
lattice are exact by frame. Of the best path alone of each sequence of words they are chains,
otherwise all that the search kept. Acoustic scores are not kept: a training computes them anew with
its network. All lattices of a block lie one after the other in flat arrays, which are mapped from
a file.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np

from hybridasr.errors import DamagedFile
from hybridasr.lattice.lattice import CompactLattice, Lattice
from hybridasr.storage import read_arrays, take_array, write_arrays

_REMEDY = "run make-denlats again"
_ARCS = ("source", "target", "tid", "cost")


@dataclass(frozen=True)
class StateLattice:
    """All paths from state 0 to the last state; arcs lead to later states.

    Attributes
    ----------
    source, target : int32 (num_arcs,)
        Sorted by source.
    tid : int32 (num_arcs,)
        Transition-id that reads a frame; 0 reads none.
    cost : float32 (num_arcs,)
        Negative natural log of the graph's weight, without the acoustic score.
    num_states : int
    """

    source: np.ndarray
    target: np.ndarray
    tid: np.ndarray
    cost: np.ndarray
    num_states: int

    @classmethod
    def of(cls, lattice: Lattice) -> "StateLattice":
        """Return a lattice of the search; its final costs become arcs to one last state.

        >>> arrays = [np.array(x) for x in ([0, 0], [1, 2], [0, 0])]
        >>> raw = Lattice(*arrays, np.array([0.5, 0.25]), np.zeros(2),
        ...               np.array([np.inf, 0.125, 0.0]), np.zeros(3), np.array([4, 6]))
        >>> states = StateLattice.of(raw)
        >>> states.source.tolist(), states.target.tolist(), states.tid.tolist()
        ([0, 0, 1, 2], [1, 2, 3, 3], [4, 6, 0, 0])
        >>> states.cost.tolist()
        [0.5, 0.25, 0.125, 0.0]
        """
        ends = np.flatnonzero(np.isfinite(lattice.final_graph))
        source = np.concatenate([lattice.source, ends])
        order = np.argsort(source, kind="stable")
        joined = ((np.concatenate(parts)[order]).astype(kind) for parts, kind in (
            ((lattice.target, np.full(len(ends), lattice.num_states)), np.int32),
            ((lattice.tid, np.zeros(len(ends))), np.int32),
            ((lattice.graph, lattice.final_graph[ends]), np.float32)))
        return cls(source[order].astype(np.int32), *joined, lattice.num_states + 1)

    @classmethod
    def of_words(cls, lattice: CompactLattice) -> "StateLattice":
        """Return a lattice over words frame by frame: each arc as a chain of its transition-ids.

        >>> ids = [np.array(x, np.int32) for x in ([4, 5], [6], [])]
        >>> words = CompactLattice(np.array([0, 0]), np.array([1, 1]), np.array([7, 8]),
        ...                        np.array([0.5, 0.25]), np.zeros(2), np.array([np.inf, 0.0]),
        ...                        np.zeros(2), [ids[0], ids[0]], [ids[2], ids[1]])
        >>> states = StateLattice.of_words(words)
        >>> states.source.tolist(), states.target.tolist(), states.tid.tolist()
        ([0, 0, 1, 2, 3], [1, 2, 3, 3, 4], [4, 4, 5, 5, 6])
        >>> states.cost.tolist()
        [0.5, 0.25, 0.0, 0.0, 0.0]
        """
        ends = np.flatnonzero(np.isfinite(lattice.final_graph))
        source = np.concatenate([lattice.source, ends])
        order = np.argsort(source, kind="stable")
        strings = [*lattice.strings, *(lattice.final_strings[end] for end in ends)]
        target = np.concatenate([lattice.target, np.full(len(ends), lattice.num_states)])
        costs = np.concatenate([lattice.graph, lattice.final_graph[ends]])
        # The states within an arc are numbered behind its source, before the next state.
        inside = np.array([max(len(string) - 1, 0) for string in strings], np.int64)
        extra = np.bincount(source, inside, lattice.num_states).astype(np.int64)
        number = np.arange(lattice.num_states + 1) + np.concatenate([[0], np.cumsum(extra)])
        chains, free, last = [], 0, -1
        for arc in order.tolist():
            if not chains or source[arc] != source[last]:
                free = int(number[source[arc]]) + 1
            last = arc
            middle = np.arange(free, free + inside[arc])
            free += int(inside[arc])
            tids = strings[arc] if len(strings[arc]) else np.zeros(1, np.int32)
            cost = np.zeros(len(tids))
            cost[0] = costs[arc]
            chains.append((np.concatenate([[number[source[arc]]], middle]),
                           np.concatenate([middle, [number[target[arc]]]]), tids, cost))
        parts = [np.concatenate(part) for part in zip(*chains, strict=True)]
        order = np.argsort(parts[0], kind="stable")
        return cls(*(part[order].astype(np.int32) for part in parts[:3]),
                   parts[3][order].astype(np.float32), int(number[-1]) + 1)

    @property
    def num_arcs(self) -> int:
        """Number of arcs."""
        return len(self.tid)

    def frames(self) -> tuple[np.ndarray, int]:
        """Return the frame that each arc reads, or would read, and the number of frames.

        Returns
        -------
        (int32 (num_arcs,), int)
            The number is -1 if the arrays are no lattice: an arc leads out of it or back, or two
            paths to a state read different numbers of frames.
        """
        frames = np.empty(self.num_arcs, np.int32)
        return frames, int(_arc_frames(self.source, self.target, self.tid, self.num_states, frames))


@numba.njit(cache=True, nogil=True)
def _arc_frames(source, target, tid, num_states, frames):
    at = np.full(num_states, -1, np.int32)
    at[0] = 0
    for arc in range(len(source)):
        begin, end = source[arc], target[arc]
        if begin < 0 or end <= begin or end >= num_states or at[begin] < 0:
            return -1
        if arc > 0 and begin < source[arc - 1]:
            return -1
        after = at[begin] + (1 if tid[arc] > 0 else 0)
        if at[end] >= 0 and at[end] != after:
            return -1
        at[end] = after
        frames[arc] = at[begin]
    return at[num_states - 1]


def write_state_lattices(path: Path, stamp: str, names: Sequence[str],
                         lattices: Sequence[StateLattice], num_frames: int = 0,
                         partial: Sequence[str] = ()) -> None:
    """Write the lattices of a block.

    Parameters
    ----------
    stamp : str
        Says what they were made from.
    num_frames : int
        Of all utterances.
    partial : sequence of str
        Utterances whose paths do not reach the end of the graph.
    """
    sizes = np.array([[one.num_arcs, one.num_states] for one in lattices], np.int64).reshape(-1, 2)
    arrays = {name: np.concatenate([getattr(one, name) for one in lattices]) if lattices
              else np.zeros(0, np.float32 if name == "cost" else np.int32) for name in _ARCS}
    write_arrays(path, stamp=np.array(stamp), names=np.array(list(names), np.str_),
                 partial=np.array(list(partial), np.str_), num_frames=np.array(num_frames),
                 arc_offsets=np.concatenate([[0], np.cumsum(sizes[:, 0])]),
                 num_states=sizes[:, 1], **arrays)


@dataclass(frozen=True)
class LatticeBlock:
    """The lattices of one file.

    Attributes
    ----------
    stamp : str
    names, partial : list of str
        Utterances, and those whose paths do not reach the end of the graph.
    num_frames : int
        Of all of them.
    """

    path: Path
    stamp: str
    names: list[str]
    partial: list[str]
    num_frames: int
    _arc_offsets: np.ndarray
    _num_states: np.ndarray
    _arrays: tuple[np.ndarray, ...]

    @property
    def num_arcs(self) -> int:
        """Arcs of all lattices."""
        return len(self._arrays[0])

    def lattice(self, number: int) -> StateLattice:
        """Return the lattice of ``names[number]``; its arrays stay on disk until used."""
        arcs = slice(*self._arc_offsets[number:number + 2].tolist())
        return StateLattice(*(array[arcs] for array in self._arrays),
                            int(self._num_states[number]))


def read_state_lattices(path: Path) -> LatticeBlock:
    """Read a file of `write_state_lattices`.

    Raises
    ------
    UserError
        if there is no such file.
    DamagedFile
        if an array is missing or does not fit the others.
    """
    arrays = read_arrays(path)
    take = functools.partial(take_array, arrays, path=path, remedy=_REMEDY)
    names, partial = (arrays.get(name) for name in ("names", "partial"))
    if any(part is None or part.dtype.kind != "U" or part.ndim != 1
           for part in (names, partial)) or "stamp" not in arrays:
        raise DamagedFile(f"has no names of utterances; {_REMEDY}", path)
    frames = take("num_frames", dtype=np.int64, shape=(), least=0)
    offsets = take("arc_offsets", dtype=np.int64, shape=(len(names) + 1,), least=0)
    states = take("num_states", dtype=np.int64, shape=(len(names),), least=1)
    arcs = (None,) if "tid" not in arrays else (len(arrays["tid"]),)
    parts = tuple(take(name, dtype=np.float32 if name == "cost" else np.int32, shape=arcs,
                       least=None if name == "cost" else 0) for name in _ARCS)
    if offsets[0] != 0 or offsets[-1] != len(parts[0]) or np.any(np.diff(offsets) < 0):
        raise DamagedFile(f"its lattices do not share out its {len(parts[0])} arcs; {_REMEDY}",
                          path)
    return LatticeBlock(path, str(arrays["stamp"]), names.tolist(), partial.tolist(), int(frames),
                        offsets, states, parts)
