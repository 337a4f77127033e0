"""Owns reading of grammar text character by character, with the place of every fault."""

import bisect
import difflib
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from hybridasr.corpus.text import normalize_text
from hybridasr.errors import UserError
from hybridasr.grammar.expressions import Place
from hybridasr.storage import PathLike

Inside = TypeVar("Inside")
MAX_DEPTH = 100
"""Brackets within brackets: more are a damaged file."""

_SPACE = re.compile(r"\s*")
NAME = re.compile(r"[^\W\d][\w.\-]*")


class Source:
    """The text of a file, and where its lines begin.

    Double-width characters (｜, （, ＜) become those at normal width, as everywhere; places do
    not change.
    """

    def __init__(self, text: str, path: PathLike | None = None):
        self.text = "".join(map(_normal, text.replace("\r\n", "\n").replace("\r", "\n")))
        self.path = path
        self._starts = [0, *(match.end() for match in re.finditer("\n", self.text))]

    def place(self, position: int) -> Place:
        """Return line and column of a character."""
        line = bisect.bisect_right(self._starts, position)
        return Place(line, position - self._starts[line - 1] + 1)

    def fault(self, position: int, message: str) -> UserError:
        """Return the error for the character at a position."""
        place = self.place(position)
        return UserError(f"column {place.column}: {message}", self.path, place.line)


class Cursor:
    """A position in a part of a source; what is read moves it on."""

    def __init__(self, source: Source, start: int = 0, end: int | None = None):
        self.source, self.position = source, start
        self._end = len(source.text) if end is None else end
        self._depth = 0  # of brackets within brackets

    @property
    def place(self) -> Place:
        """Line and column of the next character."""
        return self.source.place(self.position)

    def peek(self) -> str:
        """Return the next character; empty at the end."""
        return self.source.text[self.position] if self.position < self._end else ""

    def skip_space(self) -> None:
        """Move on to the next character that is no white space."""
        self.match(_SPACE)

    def next_mark(self) -> str:
        """Move on to the next character that is no white space, and return it."""
        self.skip_space()
        return self.peek()

    def accept(self, text: str) -> bool:
        """Move behind `text` if it comes next."""
        if not self.source.text.startswith(text, self.position, self._end):
            return False
        self.position += len(text)
        return True

    def group(self, read: Callable[[], Inside]) -> Inside:
        """Return what `read` finds in the round or square brackets that come next.

        Raises
        ------
        UserError
            if they are not closed, or stand too deep in others.
        """
        start, first = self.position, self.peek()
        self.accept(first)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.fault(f"more than {MAX_DEPTH} brackets within brackets; name parts of it as "
                             "rules", start)
        inside, close = read(), ")" if first == "(" else "]"
        if not self.accept(close):
            raise self.fault(f"'{first}' is not closed; add '{close}' behind the group", start)
        self._depth -= 1
        return inside

    def match(self, pattern: re.Pattern[str]) -> str:
        """Move behind what matches here, and return it; empty if nothing does."""
        match = pattern.match(self.source.text, self.position, self._end)
        if match is None:
            return ""
        self.position = match.end()
        return match[0]

    def fault(self, message: str, position: int | None = None) -> UserError:
        """Return the error for the next character, or for the one at a position."""
        return self.source.fault(self.position if position is None else position, message)

    def expect(self, text: str, mend: str) -> None:
        """Move behind `text`; raise if something else comes next."""
        if not self.accept(text):
            shown = "the end of the line" if self.peek() in ("", "\n") else repr(self.peek())
            raise self.fault(f"{shown} where '{text}' is expected; {mend}")

    def name(self, what: str) -> str:
        """Read a name; raise if there is none."""
        name = normalize_text(self.match(NAME))
        if not name:
            shown = repr(self.peek()) if self.peek().strip() else "nothing"
            raise self.fault(f"{shown} where the name of a {what} is expected; a name begins with "
                             "a letter, and has letters, digits, _, - and .")
        return name


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the mend for an unknown name.

    >>> did_you_mean("<rom>", ["<room>", "<device>"])
    "did you mean '<room>'?"
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, 1)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"there are {', '.join(known[:10])}" if known else "there is none; define it"


def _normal(character: str) -> str:
    """Return a character in its normal form, if that is one character too."""
    normal = normalize_text(character)
    return normal if len(normal) == 1 else character
