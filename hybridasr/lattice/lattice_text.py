"""Owns Kaldi's text archives of lattices: reading and writing.

An entry is a line with the utterance, a line for each arc and each end, and an empty line. Arcs are
``<from> <to> <word> <graph>,<acoustic>,<tid>_<tid>...`` in compact lattices and ``<from> <to>
<tid> <word> <graph>,<acoustic>`` in others; ends ``<state> <weight>``. A weight of nothing may be
missing. The first line's state is the start (Kaldi's kaldi-lattice.cc).
"""

import gzip
import math
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from hybridasr.errors import UserError
from hybridasr.lattice.lattice import CompactLattice, Lattice, topological_order
from hybridasr.storage import PathLike, atomic_write, decode_text, read_bytes

_REMEDY = "make the file anew, or copy it again"
_LARGEST = 2**31 - 1
_NO_STRING = np.empty(0, np.int32)


def read_lattices(path: PathLike, words: Collection[int] | None = None
                  ) -> Iterator[tuple[str, Lattice | CompactLattice]]:
    """Read an archive; gzipped if the name ends in ``.gz``.

    Parameters
    ----------
    words : collection of int, optional
        The word ids there are; others are refused.

    Yields
    ------
    (utterance, lattice)
        States in topological order; states that the start does not reach are left out.

    Raises
    ------
    UserError
        naming file and line: the file is missing, binary, cut short or damaged, a word id is
        unknown, or a lattice has a cycle.
    """
    known = None if words is None else {0, *words}
    entry: _Entry | None = None
    number = 0
    text = _read(path)
    if text and not text.endswith("\n"):
        raise UserError(f"ends within a line: it is cut short; {_REMEDY}", path,
                        text.count("\n") + 1)
    # Not splitlines, which also splits at characters that names may hold.
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        fields = line.split()
        if entry is None:
            if len(fields) > 1:
                raise UserError(f"'{line[:60]}' stands where the name of an utterance is expected; "
                                f"{_REMEDY}", path, number)
            entry = _Entry(fields[0], path, number, known) if fields else None
        elif fields:
            entry.add(fields, number)
        else:
            yield entry.key, entry.lattice()
            entry = None
    if entry is not None:
        raise UserError(f"ends within the lattice of '{entry.key}', whose last line is empty; "
                        f"{_REMEDY}", path, number)


def write_lattices(path: PathLike,
                   lattices: Iterable[tuple[str, Lattice | CompactLattice]]) -> None:
    """Write an archive, atomically; gzipped if the name ends in ``.gz``."""
    with lattice_writer(path) as writer:
        for key, lattice in lattices:
            writer.write(key, lattice)


@contextmanager
def lattice_writer(path: PathLike) -> Iterator["LatticeWriter"]:
    """As `write_lattices`, for lattices that come one by one: ``writer.write(key, lattice)``."""
    with ExitStack() as files:
        file = files.enter_context(atomic_write(path, "wb"))
        if Path(path).suffix == ".gz":
            # Neither name nor time in its header: the same lattices, the same bytes.
            file = files.enter_context(gzip.GzipFile("", "wb", fileobj=file, mtime=0))
        yield LatticeWriter(file)


class LatticeWriter:
    """The open archive of `lattice_writer`."""

    def __init__(self, file: IO[bytes]):
        self._file = file

    def write(self, key: str, lattice: Lattice | CompactLattice) -> None:
        """Append the lattice of an utterance."""
        self._file.write(f"{key} \n{format_lattice(lattice)}\n".encode())


def format_lattice(lattice: Lattice | CompactLattice) -> str:
    """Return the lines of one lattice: of each state the arcs, then the end."""
    compact = isinstance(lattice, CompactLattice)
    lines = []
    offsets = lattice.arc_offsets
    for state in range(lattice.num_states):
        for arc in range(offsets[state], offsets[state + 1]):
            labels = (lattice.word[arc],) if compact else (lattice.tid[arc], lattice.word[arc])
            lines.append(_line((state, lattice.target[arc], *labels), lattice.graph[arc],
                               lattice.acoustic[arc], lattice.strings[arc] if compact else None))
        if np.isfinite(lattice.final_graph[state]):
            lines.append(_line((state,), lattice.final_graph[state], lattice.final_acoustic[state],
                               lattice.final_strings[state] if compact else None))
    return "".join(lines)


def _line(labels: tuple[int, ...], graph: float, acoustic: float,
          string: np.ndarray | None) -> str:
    # Nine digits hold a float32 exactly.
    weight = f"{graph:.9g},{acoustic:.9g}"
    if string is not None:
        weight += "," + "_".join(map(str, string.tolist()))
    weights = () if weight.rstrip(",") == "0,0" else (weight,)
    return "\t".join(map(str, (*labels, *weights))) + "\n"


def _read(path: PathLike) -> str:
    path = Path(path)
    data = read_bytes(path)
    try:
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot be read ({error}); {_REMEDY}", path) from None
    if b"\0B" in data[:1000]:
        raise UserError("is in Kaldi's binary form; copy it with lattice-copy ark:LATTICES "
                        "ark,t:TEXT", path)
    return decode_text(data, path)


class _Entry:
    """The lines of one lattice."""

    def __init__(self, key: str, path: PathLike, line: int, known: Collection[int] | None):
        self.key, self.path, self.first, self.known = key, path, line, known
        self.place: dict[str, int] = {}
        self.arcs: list[tuple] = []
        self.finals: dict[int, tuple[float, float, np.ndarray | None]] = {}
        self.compact: bool | None = None

    def add(self, fields: list[str], number: int) -> None:
        """Take one line."""
        try:
            self._add(fields)
        except ValueError as error:
            raise UserError(f"lattice of '{self.key}': {error}; {_REMEDY}", self.path,
                            number) from None

    def _add(self, fields: list[str]) -> None:
        if len(fields) > 5:
            raise ValueError(f"{len(fields)} fields, at most 5 are expected")
        weighted = "," in fields[-1]
        weight = _weight(fields[-1]) if weighted else None
        labels = fields[:-1] if weighted else fields
        if len(labels) not in (1, 3, 4):
            raise ValueError(f"'{' '.join(fields)[:60]}' is neither an arc nor an end")
        # What does not say its form is taken in that of the other lines.
        if len(labels) > 1 or weighted:
            compact = len(labels) == 3 if len(labels) > 1 else weight[2] is not None
            if weighted and (weight[2] is not None) != compact:
                raise ValueError(f"weight '{fields[-1][:40]}' does not fit a line of {len(fields)} "
                                 "fields")
            if self.compact not in (None, compact):
                raise ValueError("compact and other lines are mixed")
            self.compact = compact
        state = self._state(labels[0])
        graph, acoustic, string = weight or (0.0, 0.0, None)
        if len(labels) == 1:
            if state in self.finals:
                raise ValueError(f"state {labels[0]} ends twice")
            self.finals[state] = graph, acoustic, string
            return
        if not graph < math.inf or not acoustic < math.inf:
            raise ValueError("the arc's cost is infinite")
        tid = 0 if len(labels) == 3 else _whole(labels[2], "transition-id")
        word = _whole(labels[-1], "word id")
        if self.known is not None and word not in self.known:
            raise ValueError(f"word {word} is not in the table of words")
        self.arcs.append((state, self._state(labels[1]), tid, word, graph, acoustic, string))

    def _state(self, field: str) -> int:
        if field not in self.place:
            # State names may be any numbers: they are counted in order of appearance, the start
            # first.
            _whole(field, "state")
            self.place[field] = len(self.place)
        return self.place[field]

    def lattice(self) -> Lattice | CompactLattice:
        """Return the finished lattice, states in topological order."""
        columns = list(zip(*self.arcs, strict=True)) or [()] * 7
        source, target = (np.array(column, np.int64) for column in columns[:2])
        names = list(self.place)
        if not names:
            order = np.empty(0, np.int64)
        else:
            try:
                order = topological_order(0, source, target, len(names))
            except ValueError as error:
                state = names[int(str(error).split()[1])]
                raise UserError(f"the lattice of '{self.key}' has a cycle through state {state}; "
                                f"{_REMEDY}", self.path, self.first) from None
        # States that the start does not reach keep -1 and drop out with their arcs.
        place = np.full(len(names), -1, np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        rows = np.flatnonzero(place[source] >= 0)
        rows = rows[np.argsort(place[source[rows]], kind="stable")]
        tid, word = (np.array(column, np.int32)[rows] for column in columns[2:4])
        graph, acoustic = (np.array(column, np.float64)[rows] for column in columns[4:6])
        finals = [self.finals.get(state, (math.inf, 0.0, None)) for state in order.tolist()]
        shared = (place[source[rows]], place[target[rows]], word, graph, acoustic,
                  np.array([final[0] for final in finals]),
                  np.array([final[1] if final[0] < math.inf else 0.0 for final in finals]))
        if self.compact is False:
            return Lattice(*shared, tid)
        return CompactLattice(*shared, [_string(columns[6][arc]) for arc in rows],
                              [_string(final[2]) for final in finals])


def _string(string: np.ndarray | None) -> np.ndarray:
    return _NO_STRING if string is None else string


def _weight(field: str) -> tuple[float, float, np.ndarray | None]:
    parts = field.split(",")
    try:
        if len(parts) > 3:
            raise ValueError
        graph, acoustic = float(parts[0]), float(parts[1])
        # A cost of -inf would make every path through it the best one.
        if math.isnan(graph + acoustic) or min(graph, acoustic) == -math.inf:
            raise ValueError
        if len(parts) == 2:
            return graph, acoustic, None
        string = np.array(parts[2].split("_") if parts[2] else [], np.int64)
        if len(string) and not 1 <= string.min() <= string.max() <= _LARGEST:
            raise ValueError
    except (ValueError, OverflowError):
        raise ValueError(f"'{field[:40]}' is not a weight") from None
    return graph, acoustic, string.astype(np.int32)


def _whole(field: str, name: str) -> int:
    if not field.isascii() or not field.isdecimal() or int(field) > _LARGEST:
        raise ValueError(f"'{field[:40]}' is not a {name}")
    return int(field)
