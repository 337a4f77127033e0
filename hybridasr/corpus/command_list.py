"""Owns the command list: UTF-8 text, one command a line.

A line is a text (hanzi, pinyin with or without tone digits, or English), or tab-separated
``id``, text and, optionally, threshold. ``#`` starts a comment at the start of a line or after
white space. Programs may give the same as Python objects. One bad line refuses the whole list: the
good lines alone would be a list that nobody wrote.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from hybridasr.corpus.text import MAX_WORD, normalize_text
from hybridasr.errors import UserError
from hybridasr.storage import read_text

_MAX_SHOWN = 20
_COMMENT = re.compile(r"(?:^|\s)#.*")
# A number is read aloud, whatever marks are in it: 50%, 3.5.
_READABLE = re.compile(r"[0-9]+(?:\.[0-9]+)?%?|[^\W_]|[ '\-]")


SlotPairs = tuple[tuple[str, str | int], ...]
"""Slots and their values, as (("room", "客厅"), ("temperature", 26))."""


@dataclass(frozen=True)
class Command:
    """One command: what is said, and what stands for it."""

    text: str
    id: str  # its own text unless the list gives one; several texts may share an id
    threshold: float | None = None  # 0..1; None = the model's own
    line: int = 0  # where the list has it, from 1
    slots: SlotPairs = ()  # what it is about, from a grammar

    @property
    def words(self) -> tuple[str, ...]:
        """The text cut at spaces; hanzi without spaces are one word."""
        return tuple(self.text.split())

    @property
    def meaning(self) -> tuple[str, SlotPairs]:
        """The id and the slots: commands of one meaning need not be told apart."""
        return self.id, self.slots


Item = str | Command | Mapping[str, Any] | tuple[Any, ...]
"""A text; a `Command`; fields of one by name (text, id, threshold); or (id, text[, threshold])."""


def read_commands(path: str | Path) -> list[Command]:
    """Read a command list.

    Raises
    ------
    UserError
        naming every bad line (up to 20): wrong columns, threshold outside 0..1, a text that
        comes twice, characters that are not letters; or saying that the list is empty.
    """
    return parse_commands(read_text(path), path)


def parse_commands(text: str, path: str | Path | None = None) -> list[Command]:
    r"""Read a command list from text; raises as `read_commands`.

    >>> [command.id for command in parse_commands("on\t打开空调\n关闭空调  # off")]
    ['on', '关闭空调']
    """
    lines = ((number, _COMMENT.sub("", line).strip())
             for number, line in enumerate(text.splitlines(), 1))
    return _collect(((number, partial(_parse, line)) for number, line in lines if line), path)


def make_commands(items: Iterable[Item], path: str | Path | None = None) -> list[Command]:
    """Make a command list of Python objects, checked as one in a file.

    Parameters
    ----------
    items : iterable of str, Command, mapping or tuple
        See `Item`. A `Command` keeps its line.
    path : path, optional
        The file that the commands come from, for the error line.

    Raises
    ------
    UserError
        as `read_commands`, naming the place in the list where there is no file.
    """
    # A string is a sequence too: each letter would become a command.
    if isinstance(items, (str, Mapping)):
        raise UserError("one command instead of a list of commands; put it into a list")
    return _collect(((item.line if isinstance(item, Command) else 0, partial(_command, item))
                     for item in items), path)


def fault_lines(faults: Sequence[tuple[int, str]], path: str | Path | None = None) -> UserError:
    """Return the error for faults (line or 0, reason), a line for each up to 20, then a count."""
    def place(line: int) -> str:
        return "" if path is None else f"{path}:{line}: " if line else f"{path}: "

    line, reason = faults[0]
    others = [f"\n{place(number)}{why}" for number, why in faults[1:_MAX_SHOWN]]
    more = len(faults) - _MAX_SHOWN
    others += [f"\nand {more} more"] if more > 0 else []
    return UserError(reason + "".join(others), path, line or None)


def checked_threshold(threshold: Any) -> float | None:
    """Return a threshold as a number, None if there is none; ValueError says what is wrong.

    >>> checked_threshold("0.5"), checked_threshold("")
    (0.5, None)
    """
    if threshold is None or threshold == "":
        return None
    try:
        value = float(threshold)
    except (TypeError, ValueError):
        raise ValueError(f"threshold '{threshold}' is no number; give 0 to 1") from None
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"threshold {threshold} is outside 0..1; give 0 to 1")
    return value


def comments_blank(text: str) -> str:
    """Return the text of a list with spaces in place of its comments.

    >>> comments_blank("开灯 # on")
    '开灯     '
    """
    return "\n".join(_COMMENT.sub(lambda match: " " * len(match[0]), line)
                     for line in text.splitlines())


def unreadable(text: str) -> set[str]:
    """Return the characters that no word of a command has.

    >>> unreadable("打开空调"), unreadable("3.5 ok!")
    (set(), {'!'})
    """
    return set(_READABLE.sub("", text))


def _collect(rows: Iterable[tuple[int, Callable[[], Command]]],
             path: str | Path | None) -> list[Command]:
    """Make commands from (line or 0, function that makes the command or raises ValueError)."""
    commands: list[Command] = []
    faults: list[tuple[int, str]] = []
    first_place: dict[str, str] = {}
    for number, (line, make) in enumerate(rows, 1):
        place = f"in line {line}" if line else f"as command {number}"
        try:
            # The functions that make commands do not know the line, so it is added here.
            command = replace(make(), line=line)
        except ValueError as error:
            faults.append((line, str(error) if line else f"command {number}: {error}"))
            continue
        if command.text in first_place:
            faults.append((line, f"'{command.text}' is there already, "
                           f"{first_place[command.text]}; delete one of the two"))
        first_place.setdefault(command.text, place)
        commands.append(command)
    if faults:
        raise fault_lines(faults, path)
    if not commands:
        raise UserError("no command in the list; write one command a line, e.g. 打开空调", path)
    return commands


def _parse(line: str) -> Command:
    columns = [column.strip() for column in line.split("\t")]
    if len(columns) == 1:
        return _checked(line, None, None)
    # The second column is the text; a number there is a threshold that slipped to the left.
    if len(columns) == 2 and re.fullmatch(r"[01]?\.[0-9]+", columns[1]):
        raise ValueError(f"two columns, and the second is '{columns[1]}'; a threshold is the third "
                         "of three: id, text, threshold")
    if len(columns) > 3 or not all(columns[:2]):
        raise ValueError(f"{len(columns)} columns; write the text alone, or id, text and "
                         "threshold with tabs between")
    return _checked(columns[1], columns[0], columns[2] if len(columns) == 3 else None)


def _command(item: Item) -> Command:
    if isinstance(item, str):
        return _checked(item, None, None)
    if isinstance(item, Command):
        return replace(_checked(item.text, item.id, item.threshold), slots=item.slots)
    if isinstance(item, Mapping):
        odd = sorted(map(str, set(item) - {"text", "id", "threshold"}))
        if odd or "text" not in item:
            raise ValueError(f"{'no text' if not odd else 'unknown field ' + odd[0]}; give text "
                             "and, if wanted, id and threshold")
        return _checked(item["text"], item.get("id"), item.get("threshold"))
    if isinstance(item, tuple) and 2 <= len(item) <= 3:
        return _checked(item[1], item[0], item[2] if len(item) == 3 else None)
    raise ValueError(f"{item!r} is no command; give a text, or (id, text, threshold)")


def _checked(text: Any, name: Any, threshold: Any) -> Command:
    """Make a command; ValueError says what is wrong with it."""
    for value in (text, *([] if name is None else [name])):
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"{value!r} is no text; write hanzi, pinyin or English")
    written, text = " ".join(text.split()), " ".join(normalize_text(text).split())
    # The same normal form as a text, because a text is its own id where none is given.
    name = normalize_text(name) if name else name
    if len(text) > MAX_WORD:
        raise ValueError(f"'{text[:20]}...' has {len(text)} characters; give at most {MAX_WORD}")
    odd = unreadable(text)
    if odd:
        # The characters as the user wrote them: the normal form may not be in the file at all.
        shown = sorted({c for c in written if normalize_text(c) in odd} or odd)
        raise ValueError(f"'{written}' has {' '.join(shown)}; write words only, without "
                         "punctuation")
    return Command(text, name or text, checked_threshold(threshold))
