"""Owns the table of results: ``results.json`` of a work directory, and plain text tables.

``results.json`` is a list of rows, one for each (system, test set, grammar, known); error rates are
in percent, figures that were not measured are null. ``known`` says what was known of a speaker when
an utterance was recognised: all of the set, the earlier ones, or none of them.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridasr.errors import UserError
from hybridasr.storage import read_json, write_json

# The columns that people and scripts rely on; a row has all of them, and may have more.
RESULT_COLUMNS = ("system", "test_set", "grammar", "known", "wer", "ser", "words", "utterances",
                  "rtf", "train_seconds")
# Of a table of decisions on commands and outside words (`detection.Trials.figures`).
DECISION_COLUMNS = ("system", "test_set", "known", "commands", "outside", "recognised",
                    "accepted_right", "accepted_wrong", "false_accept", "eer", "ece", "rtf")
# What is known of a speaker, in words.
KNOWN = {"none": "one at a time", "earlier": "earlier ones known", "all": "whole speakers"}
_KEY = ("system", "test_set", "grammar")
# Further columns that belong beside another one in a printed table.
_SHOWN_ORDER = ("system", "test_set", "grammar", "known", "wer", "wer_low", "wer_high", "cer",
                "syllable_errors", "ser", "words", "utterances", "rtf", "train_seconds")
_TITLES = {"wer": "WER %", "wer_low": "95 % from", "wer_high": "to", "cer": "CER %",
           "syllable_errors": "syllables %", "ser": "SER %", "recognised": "right %",
           "accepted_right": "accepted %", "accepted_wrong": "wrong %",
           "false_accept": "outside accepted %", "eer": "EER %", "ece": "ECE",
           "test_set": "test set", "rtf": "RTF", "train_seconds": "train s"}
_FORMATS = {"rtf": ".4f", "train_seconds": ".1f", "ece": ".3f"}


def column_title(name: str) -> str:
    """Return what a column of results is called in tables.

    >>> column_title("wer"), column_title("words")
    ('WER %', 'words')
    """
    return _TITLES.get(name, name)


def add_result(path: str | Path, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Put `row` into the results file at `path`, and return all rows.

    A row of the same system, test set, grammar and known is replaced where it stands; columns of
    `RESULT_COLUMNS` that `row` lacks become null. The file is made if it is not there.

    Raises
    ------
    UserError
        if the file is damaged, or `row` has no system or test set.
    """
    for name in ("system", "test_set"):
        if not isinstance(row.get(name), str) or not row[name]:
            raise UserError(f"a row has {name} = {row.get(name)!r}; give it a name", path)
    whole = {name: row.get(name) for name in RESULT_COLUMNS} | dict(row)
    rows = read_results(path)
    # In its place, so that the table of a recipe that runs again keeps its order.
    for place, old in enumerate(rows):
        if _key(old) == _key(whole):
            rows[place] = whole
            break
    else:
        rows.append(whole)
    write_json(path, rows)
    return rows


def read_results(path: str | Path) -> list[dict[str, Any]]:
    """Read the rows of a results file; a file that is not there has none.

    Raises
    ------
    UserError
        if the file is not a list of result rows.
    """
    if not Path(path).exists():
        return []
    rows = read_json(path)
    if not isinstance(rows, list):
        raise UserError(f"holds a {type(rows).__name__}, not a list of result rows; restore it, "
                        "or remove it and run the scoring again", path)
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or not all(name in row for name in _KEY):
            raise UserError(f"row {number} lacks one of {', '.join(_KEY)}; restore the file, or "
                            "remove it and run the scoring again", path)
    return rows


def format_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Lay out `rows` as an aligned plain text table, titles first, for a fixed-width font.

    Parameters
    ----------
    rows : sequence of mappings
        From column name to str, int, float or None.
    columns : sequence of column names, optional
        By default every column in which some row has a value: those of `RESULT_COLUMNS` first,
        others after them in the order in which they turn up.

    Returns
    -------
    str
        Lines without trailing blanks or final newline; figures right-aligned, texts left-aligned,
        None as ``-``, hanzi counted as two places.
    """
    if columns is None:
        columns = _columns_in_use(rows)
    if not columns:
        return "(no results)"
    table = [[_TITLES.get(name, name) for name in columns]]
    table += [[_show(name, row.get(name)) for name in columns] for row in rows]
    widths = [max(display_width(line[place]) for line in table) for place in range(len(columns))]
    is_text = [any(isinstance(row.get(name), str) for row in rows) for name in columns]
    lines = []
    for line in table:
        cells = [pad(cell, width, "left" if text else "right")
                 for cell, width, text in zip(line, widths, is_text, strict=True)]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def format_results(rows: Sequence[Mapping[str, Any]]) -> str:
    """Lay out the rows of a results file: word error rates, then decisions on commands."""
    words = [row for row in rows if "accepted_right" not in row]
    decisions = [row for row in rows if "accepted_right" in row]
    return "\n\n".join(format_table(part, columns) for part, columns in
                       ((words, None), (decisions, DECISION_COLUMNS)) if part)


def display_width(text: str) -> int:
    """Return how many places of a terminal `text` takes: hanzi two, combining marks none."""
    return sum(_character_width(character) for character in text)


def pad(text: str, width: int, side: str) -> str:
    """Fill `text` with blanks to `width` places; `side` is where it stays: left, right, centre.

    In the centre, an odd blank goes in front, as in Kaldi's tables.
    """
    blanks = max(0, width - display_width(text))
    before = {"left": 0, "right": blanks, "centre": blanks - blanks // 2}[side]
    return " " * before + text + " " * (blanks - before)


def _columns_in_use(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    turned_up = dict.fromkeys(name for row in rows for name in row)
    known = [name for name in _SHOWN_ORDER if name in turned_up]
    names = known + [name for name in turned_up if name not in _SHOWN_ORDER]
    return [name for name in names if any(row.get(name) is not None for row in rows)]


def _show(name: str, value: Any) -> str:
    if value is None:
        return "-"
    return format(value, _FORMATS.get(name, ".2f")) if isinstance(value, float) else str(value)


def _character_width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _key(row: Mapping[str, Any]) -> tuple:
    return (*(row[name] for name in _KEY), row.get("known"))
