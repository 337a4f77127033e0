"""Owns the flat decoding graph that the search walks: plain arrays, no pynini.

Arcs of a state are consecutive, emitting ones first, then epsilon ones. Input labels are
transition-ids (0 = epsilon), output labels word ids, weights costs (negative natural logs).
"""

from dataclasses import dataclass
from functools import partial

import numba
import numpy as np

from hybridasr.errors import DamagedFile
from hybridasr.storage import PathLike, read_arrays, take_array, write_arrays

_REMEDY = "run mkgraph again"
MAX_ROUNDS = 1000  # of settling costs: epsilon cycles of real graphs settle after a few
_NAMES = ("arc_offsets", "eps_offsets", "ilabel", "olabel", "weight", "nextstate", "final")


@dataclass(frozen=True)
class DecodingGraph:
    """A weighted transducer in compressed sparse rows.

    Attributes
    ----------
    start : int
    arc_offsets : int64 (num_states + 1,)
        The arcs of state s are ``arc_offsets[s]:arc_offsets[s + 1]``.
    eps_offsets : int64 (num_states,)
        First epsilon arc of each state.
    ilabel, olabel, nextstate : int32 (num_arcs,)
    weight : float32 (num_arcs,)
    final : float32 (num_states,)
        Final costs; infinite where the state is not final.
    """

    start: int
    arc_offsets: np.ndarray
    eps_offsets: np.ndarray
    ilabel: np.ndarray
    olabel: np.ndarray
    weight: np.ndarray
    nextstate: np.ndarray
    final: np.ndarray

    @property
    def num_states(self) -> int:
        """Number of states."""
        return len(self.final)

    @property
    def num_arcs(self) -> int:
        """Number of arcs."""
        return len(self.ilabel)

    @classmethod
    def from_arcs(cls, start: int, source: np.ndarray, ilabel: np.ndarray, olabel: np.ndarray,
                  weight: np.ndarray, target: np.ndarray, final: np.ndarray) -> "DecodingGraph":
        """Sort arcs into rows; each state's keep their order within emitting and epsilon.

        >>> graph = DecodingGraph.from_arcs(0, [0, 0], [0, 5], [0, 7], [0.5, 1.5], [1, 1],
        ...                                 [np.inf, 0.0])
        >>> graph.ilabel.tolist(), graph.arc_offsets.tolist(), graph.eps_offsets.tolist()
        ([5, 0], [0, 2, 2], [1, 2])
        """
        source = np.asarray(source, np.int64)
        ilabel = np.asarray(ilabel, np.int32)
        target = np.asarray(target, np.int32)
        num_states = len(final)
        for name, states in (("source", source), ("target", target)):
            if len(states) and not (states.min() >= 0 and states.max() < num_states):
                raise ValueError(f"an arc's {name} is outside 0..{num_states - 1}")
        epsilon = ilabel == 0
        order = np.lexsort((epsilon, source))
        counts = np.bincount(source, minlength=num_states)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        emitting = np.bincount(source[~epsilon], minlength=num_states)
        return cls(int(start), offsets, (offsets[:-1] + emitting).astype(np.int64), ilabel[order],
                   np.asarray(olabel, np.int32)[order], np.asarray(weight, np.float32)[order],
                   target[order], np.asarray(final, np.float32))

    def save(self, path: PathLike) -> None:
        """Write the arrays to one .npz file."""
        write_arrays(path, start=np.array(self.start),
                     **{name: getattr(self, name) for name in _NAMES})

    @classmethod
    def load(cls, path: PathLike) -> "DecodingGraph":
        """Read a graph written by `save`.

        Raises
        ------
        UserError
            if there is no such file.
        DamagedFile
            if an array is missing, or would lead the search outside its arrays or in circles.
        """
        arrays = read_arrays(path)
        take = partial(take_array, arrays, path=path, remedy=_REMEDY)
        final = arrays.get("final", np.zeros(0))
        states, arcs = final.size, arrays.get("ilabel", final).size
        start = take("start", dtype=np.int64, shape=(), least=0, most=states - 1)
        graph = cls(int(start), take("arc_offsets", dtype=np.int64, shape=(states + 1,)),
                    take("eps_offsets", dtype=np.int64, shape=(states,)),
                    *(take(name, dtype=np.int32, shape=(arcs,), least=0)
                      for name in ("ilabel", "olabel")),
                    take("weight", dtype=np.float32, shape=(arcs,)),
                    take("nextstate", dtype=np.int32, shape=(arcs,), least=0, most=states - 1),
                    take("final", dtype=np.float32, shape=(states,), infinite=True))
        graph.check(path)
        return graph

    def check(self, path: PathLike) -> None:
        """Refuse rows that are not in order, and epsilon cycles on which costs fall for ever.

        Raises
        ------
        DamagedFile
            naming `path` and the first state or arc at fault.
        """
        offsets, middle = self.arc_offsets, self.eps_offsets
        if (offsets[0] != 0 or offsets[-1] != self.num_arcs or np.any(offsets[:-1] > middle)
                or np.any(middle > offsets[1:])):
            raise DamagedFile(f"its states do not share out its {self.num_arcs} arcs; {_REMEDY}",
                              path)
        wrong = _misplaced_arc(offsets, middle, self.ilabel)
        if wrong >= 0:
            raise DamagedFile(f"arc {wrong} with input label {self.ilabel[wrong]} stands among "
                              f"the wrong arcs of its state; {_REMEDY}", path)
        # Only negative costs can fall for ever, and most graphs have none.
        if len(self.weight) and self.weight.min() < 0:
            state = _falling_cycle(offsets, middle, self.weight, self.nextstate)
            if state >= 0:
                raise DamagedFile("its costs fall for ever on a cycle of epsilon arcs through "
                                  f"state {state}; {_REMEDY}", path)


@numba.njit(cache=True, nogil=True)
def _misplaced_arc(offsets, middle, ilabel):
    """Return the first epsilon arc before, or other arc behind, its state's `middle`; or -1."""
    for state in range(len(middle)):
        for arc in range(offsets[state], offsets[state + 1]):
            if (ilabel[arc] == 0) != (arc >= middle[state]):
                return arc
    return -1


@numba.njit(cache=True, nogil=True)
def _falling_cycle(offsets, middle, weight, nextstate):
    """Return a state on an epsilon cycle of negative cost, -1 if there is none.

    States outside of all cycles are taken away first (Kahn 1962); for the rest, whether
    the costs of paths settle (Bellman 1958). A cycle through n states shows after n rounds.
    """
    states = len(middle)
    # Epsilon arcs alone: an emitting arc takes a frame, so a cycle with one ends.
    waiting = np.zeros(states, np.int64)  # epsilon arcs from states that are still there
    for state in range(states):
        for arc in range(middle[state], offsets[state + 1]):
            waiting[nextstate[arc]] += 1
    free = np.empty(states, np.int64)
    count = 0
    for state in range(states):
        if waiting[state] == 0:
            free[count] = state
            count += 1
    place = 0
    while place < count:
        state = free[place]
        place += 1
        for arc in range(middle[state], offsets[state + 1]):
            target = nextstate[arc]
            waiting[target] -= 1
            if waiting[target] == 0:
                free[count] = target
                count += 1
    cost = np.zeros(states)
    for _ in range(min(states - count, MAX_ROUNDS) + 1):
        last = -1
        for state in range(states):
            if waiting[state] == 0:
                continue
            for arc in range(middle[state], offsets[state + 1]):
                target = nextstate[arc]
                if cost[state] + weight[arc] < cost[target]:
                    cost[target] = cost[state] + weight[arc]
                    last = target
        if last < 0:
            return -1
    return last
