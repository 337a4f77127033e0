"""Owns the lines of a data directory: one utterance, and tables of ``<key> <value>`` lines.

Keys are sorted as ``LC_ALL=C sort`` does, by bytes. Fields are separated by spaces or tabs only:
any other white space is part of a field, as in Kaldi, and `validate` complains about it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hybridasr.errors import DamagedFile, UserError, shell_command
from hybridasr.storage import PathLike, read_text

# Optional tables that are carried along, and what their keys are.
TABLES = {
    "feats.scp": "utterance", "speech.scp": "utterance", "vad.scp": "utterance",
    "utt2dur": "utterance", "utt2num_frames": "utterance", "utt2lang": "utterance",
    "utt2uniq": "utterance", "utt2silence": "utterance", "utt2parts": "utterance",
    "utt2synthetic": "utterance", "utt2warp": "utterance",
    "cmvn.scp": "speaker", "spk2gender": "speaker",
    "spk2warp": "speaker", "reco2dur": "recording", "reco2file_and_channel": "recording",
}
_BLANK = re.compile("[ \t]+")


@dataclass(frozen=True)
class Utterance:
    """One stretch of speech by one speaker, with its words.

    `wav` is a path, or a command that ends in ``|``; `start` and `end` are seconds in the
    recording (`end` None: to its end).
    """

    utterance: str
    speaker: str
    words: tuple[str, ...]
    recording: str
    wav: str
    start: float = 0.0
    end: float | None = None

    @property
    def is_segment(self) -> bool:
        """Whether a line in ``segments`` is needed to describe the utterance."""
        return self.recording != self.utterance or self.start != 0.0 or self.end is not None


def sort_key(key: str) -> bytes:
    """Return what to sort an id by: its bytes, as in the C locale."""
    return key.encode("utf-8", "surrogateescape")


def table_kind(name: str) -> str:
    """Return what the keys of a table are: "utterance", "speaker" or "recording"."""
    guesses = {"spk": "speaker", "cmv": "speaker", "rec": "recording", "wav": "recording"}
    return TABLES.get(name) or guesses.get(name[:3], "utterance")


def split_fields(line: str, most: int = -1) -> list[str]:
    """Split a line at spaces and tabs into fields, the last of `most` taking the rest.

    >>> split_fields("u1  turn on", 2)
    ['u1', 'turn on']
    """
    line = line.strip(" \t\r\n")
    return _BLANK.split(line, maxsplit=max(most - 1, 0)) if line else []


def read_table(path: PathLike, may_be_empty: bool = False,
               fields: int | None = None) -> dict[str, str]:
    """Read a file of ``<key> <value>`` lines; entry n is line n + 1.

    Parameters
    ----------
    path : path
        UTF-8 text.
    may_be_empty : bool
        Whether a value may be missing (it is then "").
    fields : int, optional
        The exact number of fields a line must have, the key included.

    Raises
    ------
    UserError
        for an empty line, a missing value, another number of fields, or a key that comes twice.
    """
    path = Path(path)
    entries: dict[str, str] = {}
    fix = f"mend it, or run {shell_command('hybridasr', 'fix-data', path.parent)}"
    for number, line in enumerate(lines_of(read_text(path)), 1):
        parts = split_fields(line, 2)
        if not parts:
            raise UserError(f"empty line; {fix}", path, number)
        # A byte of zero comes from a disk fault or a UTF-16 file.
        if "\0" in line:
            raise DamagedFile(f"a byte of zero in the line; {fix}", path, number)
        key, value = parts[0], parts[1] if len(parts) == 2 else ""
        count = 1 + len(split_fields(value)) if fields else None
        if fields and count != fields:
            raise UserError(f"'{key}' has {count} fields, {fields} expected; {fix}", path, number)
        if not value and not may_be_empty:
            raise UserError(f"'{key}' has no value; {fix}", path, number)
        if key in entries:
            first = list(entries).index(key) + 1
            raise UserError(f"'{key}' is in line {first} already; remove one of the two",
                            path, number)
        entries[key] = value
    return entries


def lines_of(text: str) -> list[str]:
    """Return the lines of a text; only a line feed ends one (U+0085 and the like do not)."""
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def table_text(entries: Mapping[str, str]) -> str:
    """Return the text of a table, sorted."""
    return "".join(f"{key} {entries[key]}".rstrip(" ") + "\n"
                   for key in sorted(entries, key=sort_key))


def group(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the keys of each value, both sorted: ``utt2spk`` pairs make ``spk2utt``.

    >>> group([("u2", "ann"), ("u1", "ann"), ("u3", "bo")])
    {'ann': ['u1', 'u2'], 'bo': ['u3']}
    """
    groups: dict[str, list[str]] = {}
    for key, value in pairs:
        groups.setdefault(value, []).append(key)
    return {value: sorted(groups[value], key=sort_key) for value in sorted(groups, key=sort_key)}
