"""Owns access to the text tables: the top-level `lexicon/`, `lexicon/tables` once installed.

A table is UTF-8 text: fields separated by white space, `#` at the start of a line for comments.
"""

import os
from functools import cache
from pathlib import Path

from hybridasr.errors import UserError
from hybridasr.storage import PathLike, package_folder, read_text


def tables_dir() -> Path:
    """Return the directory of the tables.

    The environment variable HYBRIDASR_LEXICON wins; without it the package's own are used.

    Raises
    ------
    UserError
        if there are none.
    """
    named = os.environ.get("HYBRIDASR_LEXICON")
    if named:
        # A wrong path must not fall back to the tables of the package without a word.
        if not Path(named).is_dir():
            raise UserError("HYBRIDASR_LEXICON is not a directory; point it at the folder "
                            "'lexicon' of the project, or unset it", named)
        return Path(named)
    place = package_folder("lexicon/tables", "lexicon")
    if not (place / "mandarin_syllables.txt").is_file():
        raise UserError("the pronunciation tables are missing; install hybridasr again, or set "
                        "HYBRIDASR_LEXICON to the folder 'lexicon' of the project", place)
    return place


def read_fields(path: PathLike) -> list[tuple[int, list[str]]]:
    """Read (line number from 1, fields) of every line that is neither blank nor a comment."""
    # Split at line feeds only: splitlines would also break at characters inside a field.
    lines = read_text(path).split("\n")
    rows = [(number, line.split()) for number, line in enumerate(lines, 1)]
    return [(number, fields) for number, fields in rows if fields and not fields[0].startswith("#")]


def builtin_table(name: str) -> tuple[tuple[int, tuple[str, ...]], ...]:
    """Read a table of `tables_dir()` by file name; kept in memory after the first time."""
    # The path is the key of the cache: HYBRIDASR_LEXICON may change while the program runs.
    return _parsed(tables_dir() / name)


@cache
def _parsed(path: Path) -> tuple[tuple[int, tuple[str, ...]], ...]:
    return tuple((number, tuple(fields)) for number, fields in read_fields(path))
