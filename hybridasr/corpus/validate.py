"""Owns the check of a data directory: every rule, every fault, with file, line and remedy.

`validate_datadir` lists the faults, `check_datadir` refuses a directory that has errors, and
`fix_datadir` (in `fix`) mends what can be mended. The rules are those of Kaldi's
validate_data_dir.sh, and more; warnings do not make a directory unusable.
"""

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from hybridasr.corpus.audio import MAX_OVERSHOOT, audio_info, is_pipe
from hybridasr.corpus.fix import FixSummary, fix_datadir
from hybridasr.corpus.kaldi_files import TABLES, group, sort_key, split_fields
from hybridasr.corpus.levels import Levels, measure_level
from hybridasr.corpus.rules import FILES, Fault, ScannedTable, scan
from hybridasr.errors import ResourceError, UserError, name_some, shell_command
from hybridasr.progress import logger
from hybridasr.storage import PathLike

__all__ = ["Fault", "FixSummary", "check_datadir", "fix_datadir", "has_errors", "validate_datadir"]

# Made from the recordings: an utterance that is too short has no entry.
_DERIVED = ("feats.scp", "speech.scp", "vad.scp", "utt2num_frames", "utt2dur", "utt2warp")
# Faults of one kind in one file that are listed one by one.
_EACH = 5
_SHOWN_IDS = 3


def validate_datadir(path: PathLike, need_text: bool = True, need_wav: bool = True,
                     check_audio: bool = True, limit: int | None = 20) -> list[Fault]:
    """List the faults of a data directory, errors first.

    Parameters
    ----------
    path : path
        The directory.
    need_text, need_wav : bool
        Whether ``text`` and ``wav.scp`` must be there.
    check_audio : bool
        Look at the header of every recording (not at commands).
    limit : int or None
        The most faults listed; one more then says how many are not. None lists all.

    Returns
    -------
    list of Fault
        Empty if nothing is wrong. A missing directory is a fault too.
    """
    path = Path(path)
    if not path.is_dir():
        return [Fault(path, None, path.name, "no such data directory", "check the path, or make it "
                      "with 'hybridasr prepare-data'")]
    tables: dict[str, ScannedTable] = {}
    faults: list[Fault] = []
    needed = {"utt2spk": True, "spk2utt": True, "text": need_text, "wav.scp": need_wav}
    for name in FILES:
        if (path / name).is_file():
            tables[name] = ScannedTable(path / name)
            faults += _few_of_each(scan(tables[name]))
        elif needed.get(name):
            hint = " (fix-data makes it from utt2spk)" if name == "spk2utt" else ""
            faults.append(Fault(path / name, None, name, "no such file", f"make it{hint}"))
    for rule in (_key_faults, _speaker_faults, _segment_faults, _feature_faults,
                 partial(_audio_faults, check_audio=check_audio)):
        faults += _few_of_each(rule(path, tables))
    faults.sort(key=lambda fault: fault.severity != "error")
    if limit and len(faults) > limit:
        hidden = len(faults) - limit
        more = Fault(path, None, "", f"{hidden} more faults are not shown", "mend these first",
                     faults[limit].severity)
        faults = [*faults[:limit], more]
    return faults


def has_errors(faults: list[Fault]) -> bool:
    """Return whether a list of faults has more than warnings."""
    return any(fault.severity == "error" for fault in faults)


def check_datadir(path: PathLike, need_text: bool = True, need_wav: bool = True,
                  check_audio: bool = False) -> None:
    """Refuse a data directory that has errors; log its warnings.

    Raises
    ------
    UserError
        with the first fault and the number of the others.
    """
    faults = validate_datadir(path, need_text, need_wav, check_audio, limit=None)
    errors = [fault for fault in faults if fault.severity == "error"]
    if errors:
        command = shell_command("hybridasr", "validate-data", path)
        others = f" ({len(errors) - 1} more: run {command})"
        raise UserError(f"{errors[0]}{others if len(errors) > 1 else ''}")
    for fault in faults:
        logger.warning("%s", replace(fault, severity=""))


def _few_of_each(faults: Iterator[Fault]) -> list[Fault]:
    """Keep the first faults of each kind; the last of them gives the number of the others."""
    kinds: dict[tuple[Path, str], list[int]] = {}
    rows: list[Fault] = []
    for fault in faults:
        # What differs between faults of one kind is quoted or a number.
        kind = (fault.file, re.sub(r"'[^']*'|: .*|[\d.]+", "", fault.what))
        places = kinds.setdefault(kind, [])
        if len(places) < _EACH:
            rows.append(fault)
        places.append(len(rows) - 1 if len(places) < _EACH else places[-1])
    for places in kinds.values():
        if len(places) > _EACH:
            last = rows[places[-1]]
            more = f"{last.what} (and {len(places) - _EACH} more such)"
            rows[places[-1]] = replace(last, what=more)
    return rows


def _key_faults(path: Path, tables: dict[str, ScannedTable]) -> Iterator[Fault]:
    """Compare the ids of every file with those of ``utt2spk`` or of ``wav.scp``."""
    spoken = tables.get("utt2spk")
    if spoken is None:
        return
    pairs = [(tables["text"], spoken)] if "text" in tables else []
    first = "segments" if "segments" in tables else "wav.scp"
    if first in tables:
        pairs.append((tables[first], spoken))
    for table, reference in pairs:
        yield from _difference(path, reference, table, "utterance")
        yield from _difference(path, table, reference, "utterance")
    speakers = set(spoken.values.values())
    for name, kind in TABLES.items():
        if name not in tables or (kind == "recording" and "wav.scp" not in tables):
            continue
        reference = tables["wav.scp"] if kind == "recording" else spoken
        if kind == "speaker":
            lines = {s: spoken.lines[u] for u, s in reversed(spoken.values.items())}
            reference = ScannedTable(spoken.path, dict.fromkeys(speakers, ""), lines)
        severity = "warning" if name in _DERIVED or kind == "speaker" else "error"
        if name != "spk2warp":
            yield from _difference(path, reference, tables[name], kind, severity)
        yield from _difference(path, tables[name], reference, kind)


def _difference(path: Path, here: ScannedTable, there: ScannedTable, kind: str,
                severity: str = "error") -> Iterator[Fault]:
    """Yield one fault if ids of one file are not in the other, at the line of the first."""
    lacking = sorted(here.values.keys() - there.lines.keys(), key=sort_key)
    if not lacking:
        return
    key = lacking[0]
    others = ", ".join(f"'{k}'" for k in lacking[1:1 + _SHOWN_IDS])
    dots = ", ..." if len(lacking) > 1 + _SHOWN_IDS else ""
    more = f" (and {len(lacking) - 1} more: {others}{dots})" if others else ""
    remedy = "make the features again" if there.name in _DERIVED else "add it"
    yield Fault(here.path, here.lines.get(key), key, f"{kind} '{key}' has no entry in {there.name}"
                f"{more}", f"{remedy}, or run {shell_command('hybridasr', 'fix-data', path)}",
                severity)


def _speaker_faults(path: Path, tables: dict[str, ScannedTable]) -> Iterator[Fault]:
    spoken, speakers = tables.get("utt2spk"), tables.get("spk2utt")
    if spoken is None or not spoken.values:
        return
    right = group(spoken.values.items())
    if speakers is not None:
        said = {s: split_fields(v) for s, v in speakers.values.items()}
        for speaker in sorted(right.keys() | said.keys(), key=sort_key):
            if sorted(said.get(speaker, ()), key=sort_key) != right.get(speaker, []):
                yield Fault(speakers.path, speakers.lines.get(speaker), speaker, f"speaker "
                            f"'{speaker}' has {len(said.get(speaker, ()))} utterances here that "
                            f"are not the {len(right.get(speaker, []))} of utt2spk",
                            f"run {shell_command('hybridasr', 'fix-data', path)}")
                break
    odd = [u for u, s in spoken.values.items() if not u.startswith(s)]
    if odd:
        yield Fault(spoken.path, spoken.lines[odd[0]], odd[0], f"speaker '{spoken.values[odd[0]]}' "
                    f"is not the beginning of utterance '{odd[0]}' ({len(odd)} such)", "name "
                    "utterances <speaker>-<rest>, so that Kaldi's tools sort both alike", "warning")
    if len(right) == 1 and len(spoken.values) > 1:
        yield Fault(spoken.path, None, next(iter(right)), f"only one speaker ('{next(iter(right))}'"
                    f", {len(spoken.values)} utterances)", "if speakers are unknown, give each "
                    "utterance its own", "warning")


def _segment_faults(path: Path, tables: dict[str, ScannedTable]) -> Iterator[Fault]:
    """Yield what is wrong between ``segments``, ``wav.scp`` and ``text``."""
    segments, wavs = tables.get("segments"), tables.get("wav.scp")
    for key, value in segments.values.items() if segments and wavs else ():
        recording = split_fields(value)[0]
        if recording not in wavs.lines:
            yield Fault(segments.path, segments.lines[key], key, f"utterance '{key}' is part of "
                        f"recording '{recording}', which has no entry in wav.scp", "add it, or run "
                        f"{shell_command('hybridasr', 'fix-data', path)}")
    text = tables.get("text")
    silent = [key for key, value in text.values.items() if not value] if text else []
    if silent:
        yield Fault(text.path, text.lines[silent[0]], silent[0], f"'{silent[0]}' has no words "
                    f"({len(silent)} such)", "right only if nothing is said in it", "warning")


def _audio_faults(path: Path, tables: dict[str, ScannedTable],
                  check_audio: bool) -> Iterator[Fault]:
    """Yield the recordings that are not there or unusable, and segments that outlast theirs."""
    wavs = tables.get("wav.scp")
    lengths: dict[str, float] = {}
    levels = Levels()
    for key, wav in wavs.values.items() if wavs else ():
        if is_pipe(wav):
            continue
        fault = partial(Fault, wavs.path, wavs.lines[key], key)
        if not os.path.isfile(wav):
            remedy = "check the path"
            if not os.path.isabs(wav):
                remedy += " (relative paths count from the current directory)"
            yield fault(f"recording '{key}' is not on disk: {wav}", remedy)
        elif check_audio:
            try:
                lengths[key] = audio_info(wav).seconds
                if not lengths[key]:
                    yield fault(f"recording '{key}' has no samples: {wav}", "record it again")
                    continue
                measure_level(levels, key, wav)
            except ResourceError:
                raise
            except UserError as error:
                what, _, remedy = str(error).rpartition("; ")
                yield fault(f"recording '{key}': {what}", remedy)
    if wavs is not None:
        yield from _level_faults(wavs.path, levels)
    segments = tables.get("segments")
    for key, value in segments.values.items() if segments else ():
        recording, start, end = split_fields(value)
        try:
            last, begin = float(end), float(start)
        except ValueError:
            continue
        length = lengths.get(recording, float("inf"))
        if last > length + MAX_OVERSHOOT or begin >= length:
            yield Fault(segments.path, segments.lines[key], key, f"utterance '{key}' is from "
                        f"{start} to {end} s, recording '{recording}' lasts {length:.3f} s",
                        f"mend the times, or run {shell_command('hybridasr', 'fix-data', path)}")


def _feature_faults(path: Path, tables: dict[str, ScannedTable]) -> Iterator[Fault]:
    """Compare the matrices ``feats.scp`` points at with ``utt2num_frames`` and each other."""
    feats = tables.get("feats.scp")
    frames = tables["utt2num_frames"].values if "utt2num_frames" in tables else {}
    width: tuple[str, int] | None = None
    for key, value in feats.values.items() if feats else ():
        fault = partial(Fault, feats.path, feats.lines[key], key,
                        remedy=f"run {shell_command('hybridasr', 'make-feats', path)}")
        try:
            shape = _matrix_shape(value)
        except (OSError, ValueError, struct.error) as error:
            reason = getattr(error, "strerror", None) or error
            yield fault(what=f"the features of '{key}' cannot be read from {value} ({reason})")
            continue
        if shape is None:
            continue
        width = width or (key, shape[1])
        if shape[1] != width[1]:
            yield fault(what=f"'{key}' has {shape[1]} columns, '{width[0]}' has {width[1]}")
        if frames.get(key, "").isdecimal() and int(frames[key]) != shape[0]:
            yield fault(what=f"'{key}' has {shape[0]} frames, {frames[key]} in utt2num_frames")


def _matrix_shape(entry: str) -> tuple[int, int] | None:
    """Return (rows, columns) of a binary Kaldi matrix from its header; None for other kinds."""
    name, colon, offset = entry.rpartition(":")
    if is_pipe(entry) or entry.endswith("]"):
        return None
    if not colon or not offset.isdecimal():
        name, offset = entry, "0"
    with open(name, "rb") as file:
        file.seek(int(offset))
        head = file.read(22)
    if len(head) < 15:
        raise ValueError("the archive ends before it")
    if head.lstrip().startswith(b"["):  # an archive of text
        return None
    if head[:5] in (b"\0BFM ", b"\0BDM "):
        _, rows, _, columns = struct.unpack("<bibi", head[5:15])
        return rows, columns
    if head[:4] == b"\0BCM":  # compressed: two floats of range first
        at = 5 if head[4:5] == b" " else 6
        return struct.unpack("<ii", head[at + 8:at + 16]) if len(head) >= at + 16 else None
    raise ValueError("no matrix there")


def _level_faults(path: Path, levels: Levels) -> Iterator[Fault]:
    """Yield one fault for all silent recordings and one for all clipped; nothing but silence is
    an error.
    """
    for ids, what, remedy in ((levels.silent, "silent from end to end", "look at the microphone, "
                               "and record them again or leave them out"),
                              (levels.clipped, "clipped, their samples at full scale",
                               "record them again, less loud")):
        if not ids:
            continue
        share = 100 * len(ids) / levels.count
        dead = ids is levels.silent and len(ids) == levels.count
        yield Fault(path, None, ids[0], f"{len(ids)} of {levels.count} recordings ({share:.0f} %) "
                    f"are {what}: {name_some(ids)}", remedy, "error" if dead else "warning")
