"""Owns access to the text tables of the top-level `lexicon/` directory.

A table is UTF-8 text: fields separated by white space, `#` at the start of a line for comments.
"""

import os
from functools import cache
from pathlib import Path

from hybridasr.errors import UserError
from hybridasr.storage import PathLike, read_text


def tables_dir() -> Path:
    """Return the directory of the tables.

    The environment variable HYBRIDASR_LEXICON wins; else it is `lexicon/` beside the package (a
    checkout), or `share/hybridasr/lexicon` of the Python installation.

    Raises
    ------
    UserError
        if none of them exists.
    """
    named = os.environ.get("HYBRIDASR_LEXICON")
    if named:
        if not Path(named).is_dir():
            raise UserError("HYBRIDASR_LEXICON is not a directory; point it at the folder "
                            "'lexicon' of the project, or unset it", named)
        return Path(named)
    import sys

    package = Path(__file__).resolve().parent.parent
    for place in (package.parent / "lexicon", Path(sys.prefix) / "share/hybridasr/lexicon"):
        if (place / "mandarin_syllables.txt").is_file():
            return place
    raise UserError("the pronunciation tables are missing; set HYBRIDASR_LEXICON to the folder "
                    "'lexicon' of the project", package.parent / "lexicon")


def read_fields(path: PathLike) -> list[tuple[int, list[str]]]:
    """Read (line number from 1, fields) of every line that is neither blank nor a comment."""
    lines = read_text(path).split("\n")
    rows = [(number, line.split()) for number, line in enumerate(lines, 1)]
    return [(number, fields) for number, fields in rows if fields and not fields[0].startswith("#")]


def builtin_table(name: str) -> tuple[tuple[int, tuple[str, ...]], ...]:
    """Read a table of `tables_dir()` by file name; kept in memory after the first time."""
    return _parsed(tables_dir() / name)


@cache
def _parsed(path: Path) -> tuple[tuple[int, tuple[str, ...]], ...]:
    return tuple((number, tuple(fields)) for number, fields in read_fields(path))
