"""Owns data directories: Kaldi's ``wav.scp text utt2spk spk2utt [segments]`` in and out.

A `DataDir` holds the utterances of a set in memory; `read_datadir` and `write_datadir` go to and
from the files; `hybridasr.corpus.subsets` makes other sets from it. Relative recording paths
count from the current directory, as in Kaldi. `validate` reports all faults of a directory;
reading stops at the first fault that makes it ambiguous.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from hybridasr.corpus.audio import is_pipe, utterance_duration
from hybridasr.corpus.kaldi_files import (
    TABLES,
    Utterance,
    group,
    read_table,
    sort_key,
    split_fields,
    table_text,
)
from hybridasr.corpus.text import normalize_text
from hybridasr.errors import UserError, shell_command
from hybridasr.storage import PathLike, write_text

__all__ = ["DataDir", "Utterance", "in_order", "read_datadir", "utt2dur", "write_datadir"]

# Files about the features of a set that have no keys.
FEATURE_FILES = ("frame_shift", "feature.json")


@dataclass(frozen=True)
class DataDir:
    """A set of utterances, in the order of their ids.

    `tables` holds optional files as they are, name -> key -> value: ``feats.scp``, ``utt2dur``
    and the others of `tables.TABLES`. `path` is where the set was read from or written to; sets
    made in memory keep the path of the set they were made from.
    """

    path: Path
    utterances: dict[str, Utterance]
    tables: dict[str, dict[str, str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.utterances)

    @cached_property
    def speakers(self) -> dict[str, list[str]]:
        """The utterance ids of each speaker (``spk2utt``)."""
        return group((u.utterance, u.speaker) for u in self.utterances.values())

    @property
    def recordings(self) -> dict[str, str]:
        """The path or command of each recording (``wav.scp``)."""
        return {u.recording: u.wav for u in self.utterances.values()}

    @property
    def segments(self) -> dict[str, str]:
        """The lines of ``segments``; empty if every utterance is a whole recording."""
        if not any(u.is_segment for u in self.utterances.values()):
            return {}
        return {u.utterance: f"{u.recording} {_seconds(u.start)} {_seconds(u.end)}"
                for u in self.utterances.values()}


def read_datadir(path: PathLike, need_text: bool = True) -> DataDir:
    """Read a data directory.

    Parameters
    ----------
    path : path
        The directory. Its files need not be sorted.
    need_text : bool
        Whether every utterance must have a line in ``text``; otherwise its words are ().

    Raises
    ------
    UserError
        if a file is missing, a line cannot be understood or the files do not agree; file and
        line are named.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError("no such data directory; check the path, or make it with "
                        "'hybridasr prepare-data'", path)
    speakers = read_table(_needed(path / "utt2spk"), fields=2)
    if not speakers:
        raise UserError("is empty; give one '<utterance> <speaker>' a line", path / "utt2spk")
    tables = {name: read_table(path / name) for name in TABLES if (path / name).is_file()}
    segments = _read_segments(path / "segments") if (path / "segments").is_file() else None
    if (path / "wav.scp").is_file() or "feats.scp" not in tables:
        wavs = read_table(_needed(path / "wav.scp"))
    else:  # Kaldi's sets of features without recordings
        wavs = dict.fromkeys((r for r, _, _ in segments.values()) if segments else speakers, "")
    texts = _read_texts(path / "text", speakers, need_text)
    # Without segments every recording is one utterance, as in Kaldi.
    if segments is None:
        _same_keys(path, "wav.scp", wavs, "utt2spk", speakers)
        segments = {utterance: (utterance, 0.0, None) for utterance in speakers}
    else:
        _same_keys(path, "segments", segments, "utt2spk", speakers)
    utterances = {}
    for line, (key, (recording, start, end)) in enumerate(segments.items(), 1):
        if recording not in wavs:
            raise UserError(f"utterance '{key}' is part of recording '{recording}', which has no "
                            f"line in wav.scp; {_mend(path)}", path / "segments", line)
        utterances[key] = Utterance(key, speakers[key], texts.get(key, ()), recording,
                                    wavs[recording], start, end)
    return DataDir(path, in_order(utterances.values()), tables)


def write_datadir(path: PathLike, utterances: Iterable[Utterance],
                  tables: Mapping[str, Mapping[str, str]] | None = None,
                  with_text: bool = True) -> DataDir:
    """Write utterances as a data directory, sorted; recording paths become absolute.

    Where the directory exists with other recordings, segments or speakers, its optional tables
    (features and such) are stale, and are removed unless given in `tables`. `with_text` False
    leaves out ``text``, for speech without transcripts.

    Raises
    ------
    UserError
        if there are no utterances, an id comes twice or cannot be written (white space), or one
        recording has two paths.
    """
    path = Path(path)
    rows = [_absolute(u) for u in utterances]
    if not rows:
        raise UserError("no utterances to write; check the corpus directory", path)
    _check_writable(path, rows)
    data = DataDir(path, in_order(rows), {n: dict(t) for n, t in (tables or {}).items()})
    files = {
        # Sets of features alone have no recordings to list.
        "wav.scp": table_text({r: w for r, w in data.recordings.items() if w}),
        "utt2spk": table_text({u.utterance: u.speaker for u in rows}),
        "segments": table_text(data.segments),
    }
    # Features belong to recordings, segments and speakers: if one of these changes, they are
    # stale.
    changed = [name for name, text in files.items() if _old_bytes(path / name) != text.encode()]
    if changed:
        for name in (*TABLES, *FEATURE_FILES):
            (path / name).unlink(missing_ok=True)
    words = {u.utterance: " ".join(u.words) for u in rows}
    files["text"] = table_text(words) if with_text else ""
    files["spk2utt"] = table_text({s: " ".join(ids) for s, ids in data.speakers.items()})
    files.update((name, table_text(table)) for name, table in data.tables.items())
    for name, text in files.items():
        if text:
            write_text(path / name, text)
        else:
            (path / name).unlink(missing_ok=True)
    return data


def wav_folder(data: DataDir, destination: Path) -> Path:
    """Return the folder of the recordings that are made of a set's; it is absolute.

    Raises
    ------
    UserError
        if `destination` holds the originals, or there are none.
    """
    own = destination.resolve()
    if data.path.resolve() == own:
        raise UserError("is the set itself; name another directory for what is made of it",
                        destination)
    for source in data.utterances.values():
        if not source.wav:
            raise UserError(f"utterance '{source.utterance}' has no recording; give a set with a "
                            "wav.scp", data.path)
        if not is_pipe(source.wav) and own in Path(source.wav).resolve().parents:
            raise UserError(f"recording '{source.recording}' of the set is in there; name another "
                            "directory for what is made of it", destination)
    return destination.absolute() / "wav"


def flac_name(key: str) -> str:
    """Return the file name of an id: a slash would make a folder.

    >>> flac_name("ann/1")
    'ann%2F1.flac'
    """
    return key.replace("%", "%25").replace("/", "%2F").replace("\\", "%5C") + ".flac"


def utt2dur(data: DataDir) -> dict[str, float]:
    """Return the length of each utterance in seconds: from ``utt2dur``, ``segments`` or the audio.

    Raises
    ------
    UserError
        if a recording has to be looked at and cannot be.
    """
    durations = data.tables.get("utt2dur", {})
    seconds = {}
    for key, utterance in data.utterances.items():
        try:
            seconds[key] = (float(durations[key]) if key in durations
                            else utterance_duration(utterance))
        except ValueError:
            raise UserError(f"'{key}' lasts '{durations[key]}'; give seconds, or remove the file",
                            data.path / "utt2dur") from None
    return seconds


def in_order(utterances: Iterable[Utterance]) -> dict[str, Utterance]:
    """Return utterances by id, in the order of the ids' bytes."""
    ordered = sorted(utterances, key=lambda u: sort_key(u.utterance))
    return {u.utterance: u for u in ordered}


def _seconds(value: float | None) -> str:
    return "-1" if value is None else repr(float(value))


def _mend(path: Path) -> str:
    return f"add it, or run {shell_command('hybridasr', 'fix-data', path)}"


def _needed(path: Path) -> Path:
    what = {"utt2spk": "<utterance> <speaker>' a line (unknown speaker: the utterance id again)",
            "wav.scp": "<recording> <path>' a line", "text": "<utterance> <word> ...' a line"}
    if not path.is_file():
        raise UserError(f"no such file; make it, with one '{what[path.name]}", path)
    return path


def _read_texts(path: Path, speakers: dict[str, str],
                need_text: bool) -> dict[str, tuple[str, ...]]:
    if not need_text and not path.is_file():
        return {}
    texts = read_table(_needed(path), may_be_empty=True)
    if need_text:
        _same_keys(path.parent, "text", texts, "utt2spk", speakers)
    return {key: tuple(split_fields(normalize_text(value))) for key, value in texts.items()}


def _read_segments(path: Path) -> dict[str, tuple[str, float, float | None]]:
    segments: dict[str, tuple[str, float, float | None]] = {}
    for line, (key, value) in enumerate(read_table(path, fields=4).items(), 1):
        recording, *times = split_fields(value)
        try:
            start, end = map(float, times)
        except ValueError:
            raise UserError(f"'{key}' is from '{times[0]}' to '{times[1]}'; give both in seconds",
                            path, line) from None
        # -1 as the end of a segment is Kaldi's "to the end of the recording".
        if not (0 <= start < float("inf") and (end == -1 or start < end < float("inf"))):
            raise UserError(f"'{key}' is from {start:g} to {end:g} s; the end must come after the "
                            "start (-1: end of the recording)", path, line)
        segments[key] = (recording, start, None if end == -1 else end)
    return segments


def _same_keys(path: Path, name: str, keys: Mapping, other: str, others: Mapping) -> None:
    """Raise `UserError` for the first id that is in one file only."""
    for here, table, there, opposite in ((name, keys, other, others), (other, others, name, keys)):
        for line, key in enumerate(table, 1):
            # Both ways round: a surplus line is as much a fault as a missing one.
            if key not in opposite:
                raise UserError(f"utterance '{key}' has no entry in {there}; {_mend(path)}",
                                path / here, line)


def _absolute(utterance: Utterance) -> Utterance:
    if not utterance.wav or is_pipe(utterance.wav):
        return utterance
    # Absolute, so that the set can be used from any directory.
    return replace(utterance, wav=os.path.abspath(utterance.wav))


def _check_writable(path: Path, utterances: list[Utterance]) -> None:
    ids: set[str] = set()
    wavs: dict[str, str] = {}
    for u in utterances:
        for what, key in (("utterance", u.utterance), ("speaker", u.speaker),
                          ("recording", u.recording), *(("word", word) for word in u.words)):
            # White space would split the id into two fields when the file is read.
            if key.split() != [key]:
                raise UserError(f"{what} {key!r} of utterance '{u.utterance}' is empty or has "
                                "white space in it; rename it", path)
            if not _is_text(key):
                raise UserError(f"{what} {key!r} of utterance '{u.utterance}' is not UTF-8 (in "
                                f"{u.wav!r}); rename the file or folder", path)
        if u.utterance in ids:
            raise UserError(f"utterance '{u.utterance}' comes twice; give each its own id", path)
        ids.add(u.utterance)
        if wavs.setdefault(u.recording, u.wav) != u.wav:
            raise UserError(f"recording '{u.recording}' is both {wavs[u.recording]} and {u.wav}; "
                            "give each its own id", path)
        if u.wav != u.wav.strip() or "\n" in u.wav or not _is_text(u.wav):
            raise UserError(f"the path {u.wav!r} of recording '{u.recording}' begins or ends with "
                            "white space, has a line break, or is not UTF-8; rename the file", path)


def _is_text(name: str) -> bool:
    """Return whether a name can be written; of a file whose name is not UTF-8 it cannot."""
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in name)


def _old_bytes(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
