"""Owns CTM files: words or phones with their times, a line each, as NIST's sclite reads them.

``<recording> <channel> <begin-s> <duration-s> <symbol> [<confidence>]``, as Kaldi's nbest-to-ctm
and lattice-to-ctm-conf write it; lines that begin with ``;;`` are comments.
"""

import math
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from hybridasr.errors import UserError
from hybridasr.storage import PathLike, atomic_write, read_text

_FORM = "'<recording> <channel> <begin-s> <duration-s> <symbol> [<confidence>]'"
_COMMENT = ";;"
_UNKNOWN = "NA"  # NIST's confidence where there is none


class CtmRow(NamedTuple):
    """One symbol of a recording; times in seconds, confidence from 0 to 1 or None."""

    recording: str
    channel: str
    begin: float
    duration: float
    symbol: str
    confidence: float | None = None


def write_ctm(path: PathLike, rows: Iterable[CtmRow], decimals: int = 2) -> int:
    """Write rows, sorted as sclite wants them: by recording (bytes), channel and begin.

    Begin and end are rounded, not the duration, so that neighbours still meet.

    Parameters
    ----------
    path : path
    rows : iterable of CtmRow
        Rows with the same begin keep their order. They need not be in memory at once.
    decimals : int
        Of times: 2 for a frame shift of 10 ms or more, 3 below, as in Kaldi. Confidences have 2.

    Returns
    -------
    int
        number of rows

    Raises
    ------
    UserError
        if a field is empty or holds white space, a time is negative or not finite, or a confidence
        is outside 0..1.
    """
    count = 0
    with ctm_writer(path, decimals) as writer:
        for row in rows:
            writer.write(row)
            count += 1
    return count


@contextmanager
def ctm_writer(path: PathLike, decimals: int = 2) -> Iterator["CtmWriter"]:
    """As `write_ctm`, for rows that come one by one: ``writer.write(row)``."""
    # Rows come in any order and may not fit into memory: they wait in a file beside the target.
    with atomic_write(path, "wb") as file, tempfile.TemporaryFile(dir=Path(path).parent) as rows:
        writer = CtmWriter(path, rows, decimals)
        yield writer
        for recording in sorted(writer.pieces):
            file.writelines(writer.lines(recording))


class CtmWriter:
    """Rows on their way into a CTM file, in a file of their own until all are there.

    `pieces` says where the rows of each recording are: (begin, end) in bytes.
    """

    def __init__(self, path: PathLike, rows: IO[bytes], decimals: int):
        self.path, self.decimals = path, decimals
        self.pieces: dict[str, list[list[int]]] = {}
        self._rows, self._end = rows, 0

    def write(self, row: CtmRow) -> None:
        """Append a row; raises as `write_ctm`."""
        fault = _fault(row)
        if fault:
            raise UserError(f"'{row.symbol}' of '{row.recording}' has {fault}; correct the row",
                            self.path)
        # In front of the line what it is sorted by: the line's own begin is rounded.
        entry = f"{row.channel} {float(row.begin)!r} {format_row(row, self.decimals)}\n".encode()
        pieces = self.pieces.setdefault(row.recording, [])
        # Rows of one recording mostly come together: one piece of the file then holds them all.
        if pieces and pieces[-1][1] == self._end:
            pieces[-1][1] += len(entry)
        else:
            pieces.append([self._end, self._end + len(entry)])
        self._rows.write(entry)
        self._end += len(entry)

    def lines(self, recording: str) -> list[bytes]:
        """Return the lines of a recording, sorted."""
        entries = []
        for begin, end in self.pieces[recording]:
            self._rows.seek(begin)
            for entry in self._rows.read(end - begin).splitlines(keepends=True):
                channel, start, line = entry.split(b" ", 2)
                entries.append((channel, float(start), line))
        # The sort is stable: rows with the same begin keep the order in which they came.
        return [line for _, _, line in sorted(entries, key=lambda entry: entry[:2])]


def format_row(row: CtmRow, decimals: int = 2) -> str:
    """Return the line of a row.

    >>> format_row(CtmRow("call", "1", 1.004, 0.25, "yes", 0.875))
    'call 1 1.00 0.25 yes 0.88'
    """
    begin, end = (round(time, decimals) for time in (row.begin, row.begin + row.duration))
    confidence = "" if row.confidence is None else f" {row.confidence:.2f}"
    # What rounds to nothing from below must not become "-0.00".
    return (f"{row.recording} {row.channel} {begin:.{decimals}f} "
            f"{max(0.0, end - begin):.{decimals}f} {row.symbol}{confidence}")


def read_ctm(path: PathLike) -> list[CtmRow]:
    """Read the rows of a CTM file in its order; empty lines and comments are passed over.

    Raises
    ------
    UserError
        with file and line: the wrong number of fields, or the field at fault.
    """
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        fields = line.split()
        if not fields or fields[0].startswith(_COMMENT):
            continue
        if len(fields) not in (5, 6):
            raise UserError(f"has {len(fields)} fields, {_FORM} is expected; mend the line",
                            path, number)
        recording, channel, begin, duration, symbol, *rest = fields
        confidence = None if rest in ([], [_UNKNOWN]) else _number(
            rest[0], "confidence", path, number)
        row = CtmRow(recording, channel, _number(begin, "begin", path, number),
                     _number(duration, "duration", path, number), symbol, confidence)
        fault = _fault(row)
        if fault:
            raise UserError(f"'{symbol}' has {fault}; mend the line", path, number)
        rows.append(row)
    return rows


def _fault(row: CtmRow) -> str:
    """Say what is wrong with a row; empty if nothing is."""
    for name in ("recording", "channel", "symbol"):
        value = getattr(row, name)
        if value.split() != [value]:
            return f"the {name} '{value}', one word without blanks is expected"
    if row.recording.startswith(_COMMENT):
        return f"the recording '{row.recording}', which would begin a comment"
    for name in ("begin", "duration"):
        value = getattr(row, name)
        if not (math.isfinite(value) and value >= 0):
            return f"the {name} {value:g}, seconds from 0 on are expected"
    if row.confidence is not None and not 0 <= row.confidence <= 1:
        return f"the confidence {row.confidence:g}, a number from 0 to 1 is expected"
    return ""


def _number(text: str, name: str, path: PathLike, line: int) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"the {name} '{text}' is not a number, {_FORM} is expected; mend the line",
                        path, line) from None
