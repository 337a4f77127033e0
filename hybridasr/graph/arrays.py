"""Owns the flat decoding graph that the search walks: plain arrays, no pynini.

Arcs of a state are consecutive, emitting ones first, then epsilon ones. Input labels are
transition-ids (0 = epsilon), output labels word ids, weights costs (negative natural logs).
"""

from dataclasses import dataclass

import numpy as np

from hybridasr.errors import UserError
from hybridasr.storage import PathLike, read_arrays, write_arrays

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
        """Sort arcs into rows; each state's keep their order within emitting and epsilon."""
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
        """Read a graph written by `save`; `UserError` if it is damaged."""
        arrays = read_arrays(path)
        try:
            return cls(int(arrays["start"]), *(arrays[name] for name in _NAMES))
        except KeyError as error:
            raise UserError(f"array {error} is missing; run mkgraph again", path) from None
