"""Owns TextGrid files: Praat's tiers of labelled intervals over one recording.

Written in the long text form, UTF-8; read in the long and in the short one, as Praat does: only
free-standing numbers, quoted texts and flags count, in their order; the rest is for the human eye.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hybridasr.errors import UserError
from hybridasr.storage import PathLike, read_text, write_text

DECIMALS = 6  # of times in seconds: a microsecond is a twentieth of a sample at 48 kHz
_CLOSE = 0.6 * 10.0**-DECIMALS  # times nearer than this are written alike
# Praat's long form has numbers inside of names, such as "intervals [1]": only free-standing ones
# count.
_TOKEN = re.compile(
    r'"(?P<text>[^"]*(?:""[^"]*)*)"'
    r"|(?P<flag><\w+>)"
    r"|(?<!\S)(?P<number>[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?!\S)"
    r"|(?P<comment>(?<!\S)![^\n]*)")
_REMEDY = "save the TextGrid from Praat again as a text file"


class Interval(NamedTuple):
    """A label from `begin` to `end`, in seconds."""

    begin: float
    end: float
    label: str


def write_textgrid(path: PathLike, duration: float,
                   tiers: Mapping[str, Sequence[Interval]]) -> None:
    """Write tiers over a recording in Praat's long text form.

    Parameters
    ----------
    path : path
    duration : float
        Seconds; every tier reaches from 0 to here.
    tiers : mapping of name to intervals
        In ascending order; gaps between them become intervals without a label.

    Raises
    ------
    UserError
        if there is no tier, or an interval is empty, overlaps the one before or ends beyond the
        recording.
    """
    # A duration that rounds to "0" would make a tier without length.
    if not (math.isfinite(duration) and _time(duration) != "0" and duration > 0):
        raise UserError(f"the recording lasts {duration:g} s; give a duration above 0", path)
    if not tiers:
        raise UserError("there is no tier; give at least one", path)
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0 ",
             f"xmax = {_time(duration)} ", "tiers? <exists> ", f"size = {len(tiers)} ",
             "item []: "]
    for number, (name, intervals) in enumerate(tiers.items(), 1):
        rows = _without_gaps(path, name, intervals, duration)
        lines += [f"    item [{number}]:", '        class = "IntervalTier" ',
                  f"        name = {_quoted(name)} ", "        xmin = 0 ",
                  f"        xmax = {_time(duration)} ",
                  f"        intervals: size = {len(rows)} "]
        for place, (begin, end, label) in enumerate(rows, 1):
            lines += [f"        intervals [{place}]:", f"            xmin = {_time(begin)} ",
                      f"            xmax = {_time(end)} ",
                      f"            text = {_quoted(label)} "]
    write_text(path, "\n".join(lines) + "\n")


def read_textgrid(path: PathLike) -> tuple[float, dict[str, list[Interval]]]:
    """Read the interval tiers of a TextGrid, long or short text form, UTF-8 or UTF-16.

    Returns
    -------
    (duration, tiers)
        Seconds to the end of the recording; intervals by tier, those without a label left out.

    Raises
    ------
    UserError
        with file and line: what is expected and what is found.
    """
    cursor = _Cursor(_read(Path(path)), Path(path))
    kind = cursor.take("text", "'File type = \"ooTextFile\"'")
    if kind not in ("ooTextFile", "ooTextFile short"):
        raise cursor.error(f'file type "ooTextFile" is expected, {_shown(kind)} found')
    name = cursor.take("text", "'Object class = \"TextGrid\"'")
    if name != "TextGrid":
        raise cursor.error(f'object class "TextGrid" is expected, {_shown(name)} found')
    cursor.time("xmin of the recording")
    end = cursor.time("xmax of the recording")
    if cursor.take("flag", "<exists>") != "<exists>":
        return end, {}
    tiers: dict[str, list[Interval]] = {}
    for _ in range(cursor.count("the number of tiers")):
        kind = cursor.take("text", "the class of a tier")
        if kind != "IntervalTier":
            raise cursor.error(f'class "IntervalTier" is expected, {_shown(kind)} found',
                               f"remove tiers of points, or {_REMEDY}")
        name = cursor.take("text", "the name of a tier")
        if name in tiers:
            raise cursor.error(f"tier '{name}' comes twice", "rename one of them")
        tiers[name] = _intervals(cursor, name)
    cursor.finish()
    return end, tiers


def _intervals(cursor: "_Cursor", name: str) -> list[Interval]:
    reached = cursor.time(f"xmin of tier '{name}'")
    limit = cursor.time(f"xmax of tier '{name}'")
    intervals = []
    for number in range(1, 1 + cursor.count(f"the number of intervals of tier '{name}'")):
        what = f"interval {number} of tier '{name}'"
        begin = cursor.time(f"xmin of {what}")
        if begin < reached - _CLOSE:
            raise cursor.error(f"{what} begins at {begin:g} s, at least {reached:g} s is expected")
        reached = cursor.time(f"xmax of {what}")
        if not begin < reached <= limit + _CLOSE:
            raise cursor.error(f"{what} lasts from {begin:g} s to {reached:g} s, an end after "
                               f"that and up to {limit:g} s is expected")
        label = cursor.take("text", f"text of {what}")
        if label:
            intervals.append(Interval(begin, reached, label))
    return intervals


class _Cursor:
    """The tokens of a file, one after the other; errors name the line of the last one taken."""

    def __init__(self, text: str, path: Path):
        self.text, self.path = text, path
        self.tokens = (token for token in _TOKEN.finditer(text) if token.lastgroup != "comment")
        self.place = 0

    def take(self, kind: str, wanted: str) -> str:
        """Take the next token, which must be a text, a number or a flag."""
        token = next(self.tokens, None)
        if token is None:
            self.place = len(self.text.rstrip())
            raise self.error(f"ends where {wanted} is expected")
        self.place = token.start()
        if token.lastgroup != kind:
            raise self.error(f"{wanted} is expected, {_shown(token[0])} found")
        return token[kind].replace('""', '"')

    def time(self, wanted: str) -> float:
        """Take a number of seconds."""
        value = float(self.take("number", wanted))
        if not math.isfinite(value):
            raise self.error(f"{wanted} is too large")
        return value

    def count(self, wanted: str) -> int:
        """Take a whole number from 0 on."""
        text = self.take("number", wanted)
        # Nine digits: a damaged count must not start a loop without end.
        if not text.isdecimal() or len(text) > 9:
            raise self.error(f"{wanted} is {text}, a whole number below 1000000000 is expected")
        return int(text)

    def finish(self) -> None:
        """Raise an error unless every token is taken."""
        token = next(self.tokens, None)
        if token is not None:
            self.place = token.start()
            raise self.error(f"the end is expected, {_shown(token[0])} found")

    def error(self, message: str, remedy: str = _REMEDY) -> UserError:
        """Return an error at the last token taken."""
        return UserError(f"{message}; {remedy}", self.path,
                         self.text.count("\n", 0, self.place) + 1)


def _shown(token: str) -> str:
    """Return a token as a message shows it: quoted, on one line, not too long."""
    text = " ".join(token.split())
    return f"'{text[:40]}...'" if len(text) > 40 else f"'{text}'"


def _read(path: Path) -> str:
    """Read UTF-8, or UTF-16 with a byte order mark, which Praat likes for Chinese."""
    try:
        data = path.read_bytes() if path.is_file() else b""
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return data.decode("utf-16").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read ({error}); {_REMEDY}", path) from None
    return read_text(path)


def _without_gaps(path: PathLike, name: str, intervals: Sequence[Interval],
                  duration: float) -> list[Interval]:
    rows: list[Interval] = []
    reached = 0.0
    for begin, end, label in intervals:
        what = f"'{label}' of tier '{name}' lasts from {begin:g} s to {end:g} s"
        if not end - begin > _CLOSE:
            raise UserError(f"{what}; give it an end after its begin", path)
        if begin < reached - _CLOSE:
            raise UserError(f"{what}, the interval before it to {reached:g} s; give intervals "
                            "that do not overlap, in ascending order", path)
        if end > duration + _CLOSE:
            raise UserError(f"{what}, the recording {duration:g} s; correct one of them", path)
        if begin > reached + _CLOSE:
            rows.append(Interval(reached, begin, ""))
        # Where two intervals nearly meet, they do.
        rows.append(Interval(rows[-1].end if rows else 0.0, end, label))
        reached = end
    # Praat wants tiers without gaps from the begin to the end of the recording.
    if duration > reached + _CLOSE:
        rows.append(Interval(reached, duration, ""))
    elif rows:
        # Within rounding of the recording: tier and recording must end alike.
        rows[-1] = rows[-1]._replace(end=duration)
    return rows


def _time(seconds: float) -> str:
    return f"{seconds:.{DECIMALS}f}".rstrip("0").rstrip(".")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
