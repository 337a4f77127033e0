"""Owns OpenFst's binary files as flat arrays, without OpenFst: reading and writing.

Reads the types "vector" and "const" with standard (tropical, 32-bit) arcs; writes "vector". The
layout is OpenFst's (fst.h: FstHeader; vector-fst.h; const-fst.h; symbol-table.cc). Kaldi's
HCLG.fst is such a file, and pynini's `write_to_string` and `read_from_string` give and take it.
"""

import struct
from dataclasses import dataclass

import numba
import numpy as np

from hybridasr.errors import UserError
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.storage import PathLike, read_bytes

_MAGIC = 2125659606
_SYMBOLS_MAGIC = 2125658996
_NUMBERS = struct.Struct("<iiQqqq")  # version, flags, properties, start, states, arcs
_HAS_INPUT_SYMBOLS, _HAS_OUTPUT_SYMBOLS, _IS_ALIGNED = 1, 2, 4
_ALIGNMENT = 16
_EXPANDED_AND_MUTABLE = 3  # all that may be claimed of arcs nobody has looked at
_VERSIONS = {"vector": (2,), "const": (1, 2)}
_CONST_STATE = np.dtype([("final", "<f4"), ("first", "<u4"), ("arcs", "<u4"),
                         ("input_epsilons", "<u4"), ("output_epsilons", "<u4")])
_REMEDY = "make the file anew, or copy it again"


@dataclass(frozen=True)
class FlatFst:
    """A transducer in compressed sparse rows; arcs keep their order.

    Attributes
    ----------
    start : int
        -1 where there are no states.
    arc_offsets : int64 (num_states + 1,)
        The arcs of state s are ``arc_offsets[s]:arc_offsets[s + 1]``.
    ilabel, olabel, nextstate : int32 (num_arcs,)
    weight : float32 (num_arcs,)
        Costs.
    final : float32 (num_states,)
        Final costs; infinite where the state is not final.
    """

    start: int
    arc_offsets: np.ndarray
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

    @property
    def source(self) -> np.ndarray:
        """State that each arc leaves: int64 (num_arcs,)."""
        return np.repeat(np.arange(self.num_states), np.diff(self.arc_offsets))

    @classmethod
    def from_arcs(cls, start: int, source: np.ndarray, ilabel: np.ndarray, olabel: np.ndarray,
                  weight: np.ndarray, target: np.ndarray, final: np.ndarray) -> "FlatFst":
        """Sort arcs into rows; each state's keep their order."""
        for states in (source, target):
            if len(states) and not (np.min(states) >= 0 and np.max(states) < len(final)):
                # OpenFst would take it and crash.
                raise ValueError(f"an arc's state is outside 0..{len(final) - 1}")
        counts = np.bincount(source, minlength=len(final))
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        order = np.argsort(source, kind="stable")
        ilabel, olabel, target = (np.asarray(column, np.int32)[order]
                                  for column in (ilabel, olabel, target))
        return cls(int(start), offsets, ilabel, olabel, np.asarray(weight, np.float32)[order],
                   target, np.asarray(final, np.float32))

    def to_graph(self) -> DecodingGraph:
        """Return the same as a graph for the search: epsilon arcs behind the others."""
        return DecodingGraph.from_arcs(self.start, self.source, self.ilabel, self.olabel,
                                       self.weight, self.nextstate, self.final)


def read_fst(path: PathLike) -> DecodingGraph:
    """Read a graph for the search, such as Kaldi's HCLG.fst.

    Parameters
    ----------
    path : path
        OpenFst binary of type "vector" or "const" with standard arcs; symbol tables in it are
        passed over.

    Raises
    ------
    UserError
        if the file is missing, damaged, of another type or holds no states.
    """
    return read_flat(path).to_graph()


def read_flat(path: PathLike) -> FlatFst:
    """Read any transducer with a start state, arcs in the file's order; errors as `read_fst`."""
    fst = parse_fst(read_bytes(path), path)
    if fst.start < 0:
        raise UserError("it has no start state; check the grammar and the lexicon", path)
    return fst


def parse_fst(data: bytes, source: PathLike = "fst") -> FlatFst:
    """Read an OpenFst binary in memory; `UserError` names `source` and what is wrong."""
    reader = _Reader(data, source)
    if len(data) < 4 or reader.take("<i")[0] != _MAGIC:
        raise UserError("not an OpenFst binary file; give HCLG.fst or another file written by "
                        "OpenFst", source)
    kind, arcs = reader.string(), reader.string()
    if kind not in _VERSIONS or arcs != "standard":
        raise UserError(f"type '{kind}' with '{arcs}' arcs; 'vector' or 'const' with 'standard' "
                        "arcs is needed: run fstconvert --fst_type=const", source)
    version, flags, _, start, num_states, num_arcs = reader.take(_NUMBERS.format)
    if version not in _VERSIONS[kind]:
        raise UserError(f"version {version} of type '{kind}' is unknown, "
                        f"{max(_VERSIONS[kind])} is needed; write it with OpenFst 1.3 or later",
                        source)
    for flag in (_HAS_INPUT_SYMBOLS, _HAS_OUTPUT_SYMBOLS):
        if flags & flag:
            reader.skip_symbols()
    if kind == "vector":
        fst = _vector_body(reader, start, num_states)
    else:
        # Version 1 is always aligned to 16 bytes, later ones say so in their flags.
        aligned = version == 1 or bool(flags & _IS_ALIGNED)
        fst = _const_body(reader, start, num_states, num_arcs, aligned)
    _check(fst, source)
    return fst


def fst_bytes(fst: FlatFst | DecodingGraph) -> bytes:
    """Return the OpenFst binary (type "vector") of a transducer."""
    header = struct.pack("<ii6si8s", _MAGIC, 6, b"vector", 8, b"standard")
    # The number of arcs may be 0 in the header: OpenFst counts while it reads.
    numbers = _NUMBERS.pack(2, 0, _EXPANDED_AND_MUTABLE, fst.start, fst.num_states, 0)
    body = np.empty(3 * fst.num_states + 4 * fst.num_arcs, np.int32)
    # Weights as the bits of an int32, so that one array holds a whole record.
    _pack(fst.arc_offsets, fst.ilabel, fst.olabel, fst.weight.view(np.int32), fst.nextstate,
          fst.final.view(np.int32), body)
    return header + numbers + body.tobytes()


class _Reader:
    """A cursor over bytes; running out of them is the user's error."""

    def __init__(self, data: bytes, source: PathLike):
        self.data = data
        self.source = source
        self.place = 0

    def error(self, message: str) -> UserError:
        return UserError(f"damaged OpenFst file: {message}; {_REMEDY}", self.source)

    def bytes(self, count: int) -> bytes:
        if not 0 <= count <= len(self.data) - self.place:
            raise self.error(f"{count} more bytes are expected at byte {self.place}, the file has "
                             f"{len(self.data)}")
        self.place += count
        return self.data[self.place - count:self.place]

    def take(self, form: str) -> tuple:
        return struct.unpack(form, self.bytes(struct.calcsize(form)))

    def string(self) -> str:
        return self.bytes(self.take("<i")[0]).decode("utf-8", "replace")

    def array(self, dtype: np.dtype, count: int) -> np.ndarray:
        return np.frombuffer(self.bytes(count * dtype.itemsize), dtype)

    def align(self) -> None:
        self.bytes(-self.place % _ALIGNMENT)

    def skip_symbols(self) -> None:
        if self.take("<i")[0] != _SYMBOLS_MAGIC:
            raise self.error(f"a symbol table is expected at byte {self.place - 4}")
        self.string()  # its name
        _, size = self.take("<qq")
        for _ in range(size):
            self.string()
            self.take("<q")


def _vector_body(reader: _Reader, start: int, num_states: int) -> FlatFst:
    # The header may not know the number of states (-1) and seldom knows that of arcs.
    words = np.frombuffer(reader.data, "<i4", (len(reader.data) - reader.place) // 4, reader.place)
    words = np.require(words, np.int32, ["ALIGNED"])
    num_states, num_arcs = _count(words, num_states)
    if num_states < 0:
        raise reader.error("it ends before the last state's last arc")
    offsets = np.zeros(num_states + 1, np.int64)
    ilabel, olabel, weight, nextstate = np.empty((4, num_arcs), np.int32)
    final = np.empty(num_states, np.int32)
    _unpack(words, offsets, ilabel, olabel, weight, nextstate, final)
    return FlatFst(start, offsets, ilabel, olabel, weight.view(np.float32), nextstate,
                   final.view(np.float32))


def _const_body(reader: _Reader, start: int, num_states: int, num_arcs: int,
                aligned: bool) -> FlatFst:
    if aligned:
        reader.align()
    states = reader.array(_CONST_STATE, num_states)
    if aligned:
        reader.align()
    arcs = np.ascontiguousarray(reader.array(np.dtype("<i4"), 4 * num_arcs).reshape(-1, 4).T)
    offsets = np.append(states["first"].astype(np.int64), num_arcs)
    if not np.array_equal(np.diff(offsets), states["arcs"]):
        raise reader.error("its states do not share out its arcs")
    return FlatFst(start, offsets, arcs[0], arcs[1], arcs[2].view(np.float32), arcs[3],
                   np.ascontiguousarray(states["final"]))


def _check(fst: FlatFst, source: PathLike) -> None:
    """Refuse what would send the search outside its arrays."""
    if not -1 <= fst.start < fst.num_states or (fst.start < 0 < fst.num_arcs):
        raise UserError(f"damaged OpenFst file: its start state is {fst.start} of "
                        f"{fst.num_states}; {_REMEDY}", source)
    for name, values, least, end in (("target state", fst.nextstate, 0, fst.num_states),
                                     ("input label", fst.ilabel, 0, 1 << 31),
                                     ("output label", fst.olabel, 0, 1 << 31)):
        if len(values) and (values.min() < least or values.max() >= end):
            wrong = values.min() if values.min() < least else values.max()
            raise UserError(f"damaged OpenFst file: an arc has the {name} {wrong}; {_REMEDY}",
                            source)
    if np.isnan(fst.weight).any() or np.isnan(fst.final).any():
        raise UserError(f"damaged OpenFst file: a weight is not a number; {_REMEDY}", source)


@numba.njit(cache=True, nogil=True)
def _count(words, num_states):
    """Walk over the states; return their number and that of arcs, (-1, -1) if cut short."""
    place, states, arcs = 0, 0, 0
    while states < num_states or (num_states < 0 and place < len(words)):
        if place + 3 > len(words):
            return -1, -1
        # The number of arcs has 64 bits: low word, high word.
        count = words[place + 1]
        if count < 0 or words[place + 2] != 0 or count > (len(words) - place - 3) // 4:
            return -1, -1
        place += 3 + 4 * count
        states += 1
        arcs += count
    return states, arcs


@numba.njit(cache=True, nogil=True)
def _unpack(words, offsets, ilabel, olabel, weight, nextstate, final):
    place, arc = 0, 0
    for state in range(len(final)):
        final[state] = words[place]
        count = words[place + 1]
        place += 3
        for _ in range(count):
            ilabel[arc] = words[place]
            olabel[arc] = words[place + 1]
            weight[arc] = words[place + 2]
            nextstate[arc] = words[place + 3]
            place += 4
            arc += 1
        offsets[state + 1] = arc


@numba.njit(cache=True, nogil=True)
def _pack(offsets, ilabel, olabel, weight, nextstate, final, body):
    place = 0
    for state in range(len(final)):
        body[place] = final[state]
        body[place + 1] = offsets[state + 1] - offsets[state]
        body[place + 2] = 0
        place += 3
        for arc in range(offsets[state], offsets[state + 1]):
            body[place] = ilabel[arc]
            body[place + 1] = olabel[arc]
            body[place + 2] = weight[arc]
            body[place + 3] = nextstate[arc]
            place += 4
