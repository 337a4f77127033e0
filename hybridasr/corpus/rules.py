"""Owns the rules for the single files of a data directory, and what a broken rule looks like.

`scan` reads one file without stopping at what is wrong: it yields a `Fault` for every line that
breaks a rule of its file and leaves a `Table` of the lines that could be understood. The rules
between files are in `validate`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hybridasr.corpus.kaldi_files import TABLES, lines_of, sort_key, split_fields
from hybridasr.errors import shell_command

# Least and most fields of a line, the key included.
FIELDS = {
    "wav.scp": (2, None), "text": (1, None), "utt2spk": (2, 2), "spk2utt": (2, None),
    "segments": (4, 4), "reco2file_and_channel": (3, 3), "utt2dur": (2, 2), "reco2dur": (2, 2),
    "utt2num_frames": (2, 2), "utt2lang": (2, 2), "utt2uniq": (2, 2),
    "utt2silence": (3, 3), "utt2parts": (2, None), "utt2synthetic": (2, 2), "spk2gender": (2, 2),
    "spk2warp": (2, 2), "utt2warp": (2, 2), "feats.scp": (2, None), "speech.scp": (2, None),
    "vad.scp": (2, None),
    "cmvn.scp": (2, None),
}
CORE = ("wav.scp", "text", "utt2spk", "spk2utt", "segments")
FILES = (*CORE, *TABLES)
# Zero-width joiners: part of the spelling of Persian and Indic words.
_JOINERS = "\u200c\u200d"
_FORBIDDEN_WORD = re.compile(r"<s>|</s>|<eps>|#\d+")


@dataclass(frozen=True)
class Fault:
    """One broken rule: where, which id, what is wrong and how to mend it."""

    file: Path
    line: int | None
    key: str
    what: str
    remedy: str
    severity: str = "error"

    def __str__(self) -> str:
        place = f"{self.file}" if self.line is None else f"{self.file}:{self.line}"
        mark = "warning: " if self.severity == "warning" else ""
        line = f"{place}: {mark}{self.what}; {self.remedy}"
        # Bytes that are not UTF-8 cannot be printed.
        return line.encode("utf-8", "replace").decode()


@dataclass
class ScannedTable:
    """The lines of one file that could be understood: key -> value, and key -> line number."""

    path: Path
    values: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.path.name


def scan(table: ScannedTable) -> Iterator[Fault]:
    """Yield the faults of one file and fill `table`."""
    path, name = table.path, table.path.name
    fix = f"run {shell_command('hybridasr', 'fix-data', path.parent)}"
    try:
        data = path.read_bytes()
    except OSError as error:
        yield Fault(path, None, name, f"cannot be read ({error.strerror})", "check permissions")
        return
    if not data.strip():
        yield Fault(path, None, name, "is empty", "make it again, or remove it if it is optional")
        return
    if not data.endswith(b"\n"):
        yield Fault(path, data.count(b"\n") + 1, name, "the last line has no line feed", fix,
                    "warning")
    if data.startswith(b"\xef\xbb\xbf"):
        yield Fault(path, 1, name, "begins with a byte order mark", fix)
    text = data.decode("utf-8-sig", "surrogateescape")
    previous, sorted_so_far = "", True
    for number, line in enumerate(lines_of(text), 1):
        yield from _line_faults(path, number, line)
        fields = split_fields(line)
        least, most = FIELDS[name]
        if not fields:
            yield Fault(path, number, "", "empty line", fix)
            continue
        key = fields[0]
        if len(fields) < least or (most and len(fields) > most):
            expected = str(least) if most == least else f"{least} or more"
            yield Fault(path, number, key, f"'{key}' has {len(fields)} field"
                        f"{'s' * (len(fields) > 1)}, {expected} expected", "mend the line")
            continue
        if key in table.lines:
            yield Fault(path, number, key, f"'{key}' is in line {table.lines[key]} already",
                        "remove one of the two")
            continue
        if sorted_so_far and sort_key(key) < sort_key(previous):
            sorted_so_far = False
            yield Fault(path, number, key, f"not sorted: '{key}' comes after '{previous}' of line "
                        f"{table.lines[previous]}", f"sort by bytes (LC_ALL=C sort), or {fix}")
        previous = key
        table.lines[key] = number
        table.values[key] = (split_fields(line, 2) + [""])[1]
        what = _RULES[name](fields) if name in _RULES else None
        if what:
            yield Fault(path, number, key, f"'{key}' {what[0]}", what[1])


def bad_characters(text: str) -> Iterator[tuple[str, str]]:
    """Yield (kind, character) for white space beyond ASCII and characters that do not print."""
    if text.isascii() and text.isprintable():
        return
    for character in text:
        if character in " \t\r" or character.isprintable() or character in _JOINERS:
            continue
        if 0xDC80 <= ord(character) <= 0xDCFF:
            yield "a byte that is not UTF-8", character
        elif character.isspace() and not character.isascii():
            yield "non-ASCII white space", character
        else:
            yield "a non-printing character", character


def is_forbidden_word(word: str) -> bool:
    """Return whether a word looks like a symbol of the grammar."""
    return _FORBIDDEN_WORD.fullmatch(word) is not None


def segment_fault(start: str, end: str) -> str | None:
    """Say what is wrong with the times of a segment, None if nothing is."""
    try:
        first, last = float(start), float(end)
    except ValueError:
        return f"is from '{start}' to '{end}', which are not both numbers"
    if not 0 <= first < float("inf"):
        return f"begins at {start} s"
    if last != -1 and not first < last < float("inf"):
        return f"ends at {end} s, which is not after its start at {start} s"
    return None


def _line_faults(path: Path, number: int, line: str) -> Iterator[Fault]:
    """Yield the faults in the characters of a line, one of each kind."""
    fix = f"run {shell_command('hybridasr', 'fix-data', path.parent)}"
    fields = split_fields(line, 2)
    key = fields[0] if fields else ""
    if "\r" in line:
        yield Fault(path, number, key, f"carriage return in the line of '{key}' (a Windows file"
                    ")", fix)
    if "\0" in line:
        yield Fault(path, number, key.replace("\0", "?"), "a byte of zero in the line",
                    "write the line anew")
    kinds: dict[str, tuple[str, int]] = {}
    for kind, character in bad_characters(line):
        # What a path looks like is not our business, as long as it can be read.
        if path.suffix != ".scp" or character in key or "byte" in kind:
            kinds.setdefault(kind, (character, line.index(character) + 1))
    for kind, (character, column) in kinds.items():
        code = ord(character)
        name = f"0x{code - 0xDC00:02x}" if "byte" in kind else f"U+{code:04X}"
        printable = key.encode("utf-8", "replace").decode()
        yield Fault(path, number, key, f"'{printable}' has {kind} ({name}) in column {column}", fix)


def _positive(unit: str, kind: type = float) -> Callable:
    def rule(fields: list[str]) -> tuple[str, str] | None:
        try:
            if 0 < kind(fields[1]) < float("inf"):
                return None
        except ValueError:
            pass
        return f"is '{fields[1]}'", f"give {unit} above 0, or remove the file"
    return rule


def _text_rule(fields: list[str]) -> tuple[str, str] | None:
    for word in fields[1:]:
        if is_forbidden_word(word):
            return f"has the word '{word}', which is a symbol of the grammar", "remove the word"
    return None


def _segment_rule(fields: list[str]) -> tuple[str, str] | None:
    what = segment_fault(*fields[2:4])
    return what and (what, "give start and end in seconds (end -1: to the end)")


def _gender_rule(fields: list[str]) -> tuple[str, str] | None:
    return None if fields[1] in ("m", "f") else (f"is '{fields[1]}'", "give m or f")


def _wav_rule(fields: list[str]) -> tuple[str, str] | None:
    if fields[1].startswith("~"):
        return f"is at '{fields[1]}', and ~ is not expanded", "write the whole path"
    return None


# For some files: fields of a line -> (what is wrong, how to mend it) or None.
_RULES: dict[str, Callable[[list[str]], tuple[str, str] | None]] = {
    "text": _text_rule, "segments": _segment_rule, "spk2gender": _gender_rule,
    "wav.scp": _wav_rule, "utt2dur": _positive("seconds"), "reco2dur": _positive("seconds"),
    "utt2num_frames": _positive("a whole number", int), "spk2warp": _positive("a factor"),
    "utt2warp": _positive("a factor"),
}
