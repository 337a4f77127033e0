"""Owns the mending of a data directory: sort, clean, keep what all files agree on.

What was replaced is kept in ``.backup/`` inside the directory; what was dropped is counted by
reason in the `FixSummary`. Nothing is changed if nothing would be left.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hybridasr.corpus.audio import MAX_OVERSHOOT, audio_info, is_pipe
from hybridasr.corpus.kaldi_files import TABLES, group, lines_of, split_fields, table_text
from hybridasr.corpus.rules import (
    FIELDS,
    FILES,
    bad_characters,
    is_forbidden_word,
    segment_fault,
)
from hybridasr.errors import DamagedFile, UserError
from hybridasr.storage import PathLike, write_text


@dataclass
class FixSummary:
    """What `fix_datadir` did: utterances kept, ids dropped by reason, files written."""

    path: Path
    kept: int = 0
    dropped: dict[str, list[str]] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)

    def drop(self, reason: str, key: str) -> None:
        """Note that `key` was dropped."""
        self.dropped.setdefault(reason, []).append(key)

    def lines(self) -> list[str]:
        """Return what to tell the user, one line for each reason and one at the end."""
        told = []
        for reason, keys in self.dropped.items():
            dots = ", ..." if len(keys) > 3 else ""
            told.append(f"{self.path}: {reason}: {len(keys)} ({', '.join(keys[:3])}{dots})")
        changed = ", ".join(self.changed) or "nothing"
        backup = f"; the old files are in {self.path / '.backup'}" if self.changed else ""
        told.append(f"{self.path}: {self.kept} utterances kept, {changed} changed{backup}")
        return told

    def __str__(self) -> str:
        return "\n".join(self.lines())


def fix_datadir(path: PathLike, check_audio: bool = True) -> FixSummary:
    """Mend a data directory in place.

    Sorts every file; removes carriage returns, odd white space, characters that do not print,
    empty and malformed lines, second entries of an id, symbols of the grammar in ``text``,
    segments and recordings that cannot be used; then keeps the utterances that ``utt2spk``,
    ``text`` (if there) and ``segments`` or ``wav.scp`` have in common, in every file. ``spk2utt``
    is made anew.

    Parameters
    ----------
    path : path
        The directory.
    check_audio : bool
        Open the recordings and drop the unusable; otherwise only look whether they are there.

    Raises
    ------
    UserError
        if ``utt2spk`` and ``spk2utt`` are both missing, or no utterance would be left; nothing
        is changed then.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError("no such data directory; check the path", path)
    summary = FixSummary(path)
    tables = {name: _clean(path / name, summary) for name in FILES if (path / name).is_file()}
    # spk2utt has the same pairs, if utt2spk is missing or empty.
    spoken = tables.get("utt2spk") or {utterance: speaker for speaker, ids
                                       in tables.get("spk2utt", {}).items()
                                       for utterance in split_fields(ids)}
    if not spoken:
        raise UserError("no such file, or nothing in it; make it, with one '<utterance> <speaker>' "
                        "a line (unknown speaker: the utterance id again)", path / "utt2spk")
    tables["utt2spk"] = spoken
    if "text" in tables:
        tables["text"] = _clean_words(tables["text"], summary)
    lengths = None
    if "wav.scp" in tables:
        lengths = _usable_recordings(tables["wav.scp"], check_audio, summary)
    if "segments" in tables:
        tables["segments"] = _usable_segments(tables["segments"], lengths, summary)
    kept = _agreed(tables, lengths, summary)
    if not kept:
        reasons = "; ".join(f"{reason}: {len(ids)}" for reason, ids in summary.dropped.items())
        raise UserError(f"no utterance would be left ({reasons}); mend the files by hand", path)
    summary.kept = len(kept)
    _keep_only(tables, kept)
    _replace_files(path, tables, summary)
    return summary


def _clean(path: Path, summary: FixSummary) -> dict[str, str]:
    """Read what can be understood of a file."""
    entries: dict[str, str] = {}
    least, most = FIELDS[path.name]
    # Odd bytes are kept as surrogates here, so that the line that has them can be named.
    text = path.read_bytes().decode("utf-8-sig", "surrogateescape").replace("\r", "")
    for line in lines_of(text):
        fields = split_fields(line, 2)
        if any(0xDC80 <= ord(character) <= 0xDCFF for character in line):
            # Without its odd bytes, GBK text would become other words.
            summary.drop(f"lines of {path.name} that are not UTF-8 removed",
                         fields[0].encode("utf-8", "replace").decode())
            continue
        # A path may have odd characters of its own; only its key is cleaned.
        if path.suffix != ".scp" or len(fields) < 2:
            fields = split_fields(_clean_line(line), 2)
        else:
            fields[0] = _clean_line(fields[0]).replace(" ", "")
        if not fields:
            continue
        count = 1 + len(split_fields(fields[1])) if len(fields) == 2 else 1
        if count < least or (most and count > most):
            summary.drop(f"malformed lines of {path.name} removed", fields[0])
        elif fields[0] in entries:
            summary.drop(f"second entries in {path.name} removed", fields[0])
        else:
            entries[fields[0]] = fields[1] if len(fields) == 2 else ""
    return entries


def _clean_line(line: str) -> str:
    for kind, character in set(bad_characters(line)):
        line = line.replace(character, " " if "white space" in kind else "")
    return line


def _clean_words(text: dict[str, str], summary: FixSummary) -> dict[str, str]:
    cleaned = {}
    for key, value in text.items():
        words = split_fields(value)
        kept = [word for word in words if not is_forbidden_word(word)]
        if len(kept) < len(words):
            summary.drop("symbols of the grammar removed from text", key)
        cleaned[key] = " ".join(kept)
    return cleaned


def _usable_recordings(wavs: dict[str, str], check_audio: bool,
                       summary: FixSummary) -> dict[str, float]:
    """Return the length in seconds (inf: not known) of the recordings that can be used."""
    lengths = {}
    for key, wav in wavs.items():
        # A command is not run for its length: it may be slow, or not allowed.
        if is_pipe(wav) or (not check_audio and os.path.isfile(wav)):
            lengths[key] = float("inf")
        elif not os.path.isfile(wav):
            summary.drop("recordings not on disk", key)
        else:
            try:
                lengths[key] = audio_info(wav).seconds
            except DamagedFile:
                lengths[key] = 0.0
            if not lengths[key]:
                del lengths[key]
                summary.drop("recordings that cannot be read or have no samples", key)
    return lengths


def _usable_segments(segments: dict[str, str], lengths: dict[str, float] | None,
                     summary: FixSummary) -> dict[str, str]:
    kept = {}
    for key, value in segments.items():
        recording, start, end = split_fields(value)
        length = float("inf") if lengths is None else lengths.get(recording)
        if segment_fault(start, end):
            summary.drop("segments with impossible times", key)
        elif length is None:
            summary.drop("segments without a usable recording", key)
        elif float(start) >= length or float(end) > length + MAX_OVERSHOOT:
            summary.drop("segments beyond the end of their recording", key)
        else:
            kept[key] = value
    return kept


def _agreed(tables: Mapping[str, Mapping[str, str]], lengths: Mapping[str, float] | None,
            summary: FixSummary) -> set[str]:
    """Return the utterances that every file has that must have them."""
    sources: dict[str, Mapping] = {"utt2spk": tables["utt2spk"]}
    if "text" in tables:
        sources["text"] = tables["text"]
    if "segments" in tables:
        sources["segments"] = tables["segments"]
    # Without segments an utterance is a recording, and its entry is in wav.scp.
    elif lengths is not None:
        sources["wav.scp"] = lengths
    elif "feats.scp" in tables:
        sources["feats.scp"] = tables["feats.scp"]
    every = {key: None for keys in sources.values() for key in keys}
    kept = set()
    for key in every:
        lacking = [name for name, keys in sources.items() if key not in keys]
        if lacking:
            summary.drop(f"utterances without a usable entry in {' and '.join(lacking)}", key)
        else:
            kept.add(key)
    return kept


def _keep_only(tables: dict[str, dict[str, str]], kept: set[str]) -> None:
    """Cut every table to the utterances kept, their speakers and recordings."""
    spoken = tables["utt2spk"]
    recordings = kept
    if "segments" in tables:
        recordings = {split_fields(tables["segments"][key])[0] for key in kept}
    keys = {"utterance": kept, "speaker": {spoken[key] for key in kept}, "recording": recordings}
    kinds = {**TABLES, "wav.scp": "recording", "text": "utterance", "utt2spk": "utterance",
             "segments": "utterance"}
    for name in tables.keys() - {"spk2utt"}:
        tables[name] = {k: v for k, v in tables[name].items() if k in keys[kinds[name]]}
    tables["spk2utt"] = {s: " ".join(ids) for s, ids in group(tables["utt2spk"].items()).items()}


def _replace_files(path: Path, tables: Mapping[str, Mapping[str, str]],
                   summary: FixSummary) -> None:
    """Write the files that differ, after a copy of the old ones is safe."""
    for name in FILES:
        if name not in tables:
            continue
        target, text = path / name, table_text(tables[name])
        old = target.read_bytes() if target.is_file() else None
        # Unchanged files keep their time, so that nothing is made anew for them.
        if old == text.encode():
            continue
        if old is not None:
            (path / ".backup").mkdir(exist_ok=True)
            # The copy first: what is replaced can always be had back.
            shutil.copy2(target, _free_name(path / ".backup" / name))
        if text:
            write_text(target, text)
        else:
            target.unlink(missing_ok=True)
        summary.changed.append(name)


def _free_name(path: Path) -> Path:
    """Return the path, with a number if a backup of that name is there already."""
    number, free = 0, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}.{number}")
    return free
