"""Owns the command list: UTF-8 text, one command a line.

A line is a text (hanzi, pinyin with or without tone digits, or English), or tab-separated
``id``, text and, optionally, threshold. ``#`` starts a comment. One bad line refuses the list:
the good ones are never used alone in silence.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from hybridasr.errors import UserError
from hybridasr.storage import read_text

_MAX_SHOWN = 20


@dataclass(frozen=True)
class Command:
    """One command: what is said, and what stands for it."""

    text: str
    id: str  # its own text unless the list gives one; several texts may share an id
    threshold: float | None = None  # 0..1; None = the model's own
    line: int = 0  # where the list has it, from 1

    @property
    def words(self) -> tuple[str, ...]:
        """The text cut at spaces; hanzi without spaces are one word."""
        return tuple(self.text.split())


def read_commands(path: str | Path) -> list[Command]:
    """Read a command list.

    Raises
    ------
    UserError
        naming every bad line (up to 20): wrong columns, threshold outside 0..1, a text that
        comes twice, characters that are not letters; or saying that the list is empty.
    """
    commands: list[Command] = []
    faults: list[tuple[int, str]] = []
    first_line: dict[str, int] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        line = line.split("#", 1)[0].strip()
        if not line:
            continue
        try:
            command = replace(_parse(line), line=number)
        except ValueError as error:
            faults.append((number, str(error)))
            continue
        if command.text in first_line:
            faults.append((number, f"'{command.text}' is there already, in line "
                           f"{first_line[command.text]}; delete one of the two"))
        first_line.setdefault(command.text, number)
        commands.append(command)
    if faults:
        number, reason = faults[0]
        others = "".join(f"\n{path}:{n}: {reason}" for n, reason in faults[1:_MAX_SHOWN])
        raise UserError(reason + others, path, number)
    if not commands:
        raise UserError("no command in the list; write one command a line, e.g. 打开空调", path)
    return commands


def _parse(line: str) -> Command:
    columns = [column.strip() for column in line.split("\t")]
    if len(columns) == 1:
        columns = [" ".join(columns[0].split())] * 2
    if len(columns) > 3 or not all(columns[:2]):
        raise ValueError(f"{len(columns)} columns; write the text alone, or id, text and "
                         "threshold with tabs between")
    text = " ".join(columns[1].split())
    odd = sorted(set(re.sub(r"[^\W_]|[ '\-]", "", text)))
    if odd:
        raise ValueError(f"'{text}' has {' '.join(odd)}; write words only, without punctuation")
    threshold = None
    if len(columns) == 3 and columns[2]:
        try:
            threshold = float(columns[2])
        except ValueError:
            raise ValueError(f"threshold '{columns[2]}' is no number; give 0 to 1") from None
        if not 0.0 <= threshold <= 1.0:
            raise ValueError(f"threshold {columns[2]} is outside 0..1; give 0 to 1")
    return Command(text, columns[0], threshold)
