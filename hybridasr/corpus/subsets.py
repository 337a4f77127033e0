"""Owns the sets that are made of other sets: copies, splits, parts and unions.

Takes and gives `DataDir`s, in memory or written as data directories.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hybridasr.corpus.datadir import (
    FEATURE_FILES,
    DataDir,
    in_order,
    utt2dur,
    write_datadir,
)
from hybridasr.corpus.kaldi_files import Utterance, sort_key, table_kind
from hybridasr.errors import UserError
from hybridasr.progress import logger
from hybridasr.storage import PathLike, write_text


def copy_datadir(data: DataDir, path: PathLike) -> DataDir:
    """Write a set with all its tables, and what belongs to its features, to another directory."""
    texts = _feature_files(data) if "feats.scp" in data.tables else {}
    written = write_datadir(path, data.utterances.values(), data.tables, _has_text(data))
    for name, text in texts.items():
        write_text(written.path / name, text)
    return written


def split_by_speaker(data: DataDir, parts: int, by_utterance: bool = False) -> list[DataDir]:
    """Split a set into parts with about as many utterances each; speakers stay whole.

    Parameters
    ----------
    data : DataDir
        The set.
    parts : int
        Number of parts, from 1.
    by_utterance : bool
        Split speakers too: equal numbers of consecutive utterances.

    Raises
    ------
    UserError
        if there are fewer speakers (or utterances) than parts.
    """
    available = len(data) if by_utterance else len(data.speakers)
    if not 1 <= parts <= available:
        hint = "" if by_utterance or parts < 1 else ", or split by utterance"
        what = "utterances" if by_utterance else "speakers"
        raise UserError(f"cannot split {available} {what} into {parts} parts; "
                        f"give 1 to {available}{hint}", data.path)
    if by_utterance:
        bounds = [len(data) * part // parts for part in range(parts + 1)]
        ids = list(data.utterances)
        return [_restrict(data, ids[a:b]) for a, b in zip(bounds, bounds[1:], strict=False)]
    shares: list[list[str]] = [[] for _ in range(parts)]
    # Largest speaker first, always to the emptiest part.
    for speaker in sorted(data.speakers, key=lambda s: (-len(data.speakers[s]), sort_key(s))):
        min(shares, key=len).extend(data.speakers[speaker])
    return [_restrict(data, share) for share in shares]


def split_datadir(data: DataDir, parts: int, by_utterance: bool = False) -> list[DataDir]:
    """Split a set as `split_by_speaker` does and write the parts to ``split<N>/<j>`` inside it."""
    suffix = "utt" if by_utterance else ""
    return [copy_datadir(part, data.path / f"split{parts}{suffix}" / str(number))
            for number, part in enumerate(split_by_speaker(data, parts, by_utterance), 1)]


def subset(data: DataDir, *, utterances: Iterable[str] | None = None,
           speakers: Iterable[str] | None = None, first: int | None = None,
           shortest: int | None = None, random: int | None = None,
           per_speaker: int | None = None, seed: int = 0) -> DataDir:
    """Return part of a set; the given choices apply one after the other.

    Parameters
    ----------
    data : DataDir
        The set.
    utterances, speakers : ids, optional
        Keep these.
    per_speaker : int, optional
        Keep the first so many of each speaker.
    shortest, random, first : int, optional
        Keep the so many shortest, drawn at random (by `seed`), or first in order of id.

    Raises
    ------
    UserError
        if an id is not in the set, or more utterances are asked for than there are.
    """
    for ids, all_ids, what in ((utterances, data.utterances, "utterance"),
                                (speakers, data.speakers, "speaker")):
        if ids is not None:
            ids = set(ids)
            for key in sorted(ids, key=sort_key):
                if key not in all_ids:
                    raise UserError(f"{what} '{key}' is not in the set; check the list", data.path)
            keep = [u.utterance for u in data.utterances.values() if getattr(u, what) in ids]
            data = _restrict(data, keep)
    if per_speaker is not None:
        data = _restrict(data, [u for ids in data.speakers.values() for u in ids[:per_speaker]])
    for count, choice in ((shortest, "shortest"), (random, "random"), (first, "first")):
        if count is None:
            continue
        if not 1 <= count <= len(data):
            raise UserError(f"asked for {count} of {len(data)} utterances ({choice}); "
                            f"give 1 to {len(data)}", data.path)
        ids = list(data.utterances)
        if choice == "shortest":
            seconds = utt2dur(data)
            ids.sort(key=lambda u: (seconds[u], sort_key(u)))
        elif choice == "random":
            ids = [ids[i] for i in np.random.default_rng(seed).permutation(len(ids))]
        data = _restrict(data, ids[:count])
    return data


def combine(sets: Sequence[DataDir], path: PathLike) -> DataDir:
    """Write the union of several sets as a data directory.

    Optional tables that not every set has are left out, and so are features of different kinds.

    Raises
    ------
    UserError
        if an utterance is in two sets, or a recording or table entry differs between them.
    """
    utterances: dict[str, Utterance] = {}
    wavs: dict[str, tuple[str, Path]] = {}
    origin: dict[str, Path] = {}
    for data in sets:
        for key, utterance in data.utterances.items():
            if key in utterances:
                raise UserError(f"utterance '{key}' is in {origin[key]} too; rename it or leave "
                                "it out of one of the two", data.path)
            wav, before = wavs.setdefault(utterance.recording, (utterance.wav, data.path))
            if wav != utterance.wav:
                raise UserError(f"recording '{utterance.recording}' is {utterance.wav} here and "
                                f"{wav} in {before}; rename one of the two", data.path)
            utterances[key], origin[key] = utterance, data.path
    # Who is not named is its own original, of one part, somebody's speech, and has no silence put
    # around it.
    for name, rest in (("utt2uniq", None), ("utt2parts", None), ("utt2silence", "0.00 0.00"),
                       ("utt2synthetic", "0")):
        if any(name in data.tables for data in sets):
            sets = [replace(data, tables={**data.tables, name: {
                **{key: rest or key for key in data.utterances}, **data.tables.get(name, {})}})
                for data in sets]
    shared = [n for n in (sets[0].tables if sets else ()) if all(n in d.tables for d in sets)]
    tables = {name: table for name in shared if (table := _combine_table(sets, name)) is not None}
    texts = [_feature_files(data) for data in sets]
    if "feats.scp" in tables and any(t != texts[0] for t in texts):
        logger.warning("%s: the sets have features of different kinds, which are left out; make "
                       "them again", path)
        tables = {n: t for n, t in tables.items() if n not in (
            "feats.scp", "cmvn.scp", "speech.scp", "vad.scp")}
    written = write_datadir(path, utterances.values(), tables, any(map(_has_text, sets)))
    for name, text in texts[0].items() if "feats.scp" in tables else ():
        write_text(written.path / name, text)
    return written


def _combine_table(sets: Sequence[DataDir], name: str) -> dict[str, str] | None:
    merged: dict[str, str] = {}
    for data in sets:
        for key, value in data.tables[name].items():
            if merged.setdefault(key, value) == value:
                continue
            if name == "cmvn.scp":
                logger.warning("%s: speaker '%s' is in several sets; cmvn.scp is left out, "
                               "make the features again", data.path, key)
                return None
            raise UserError(f"'{key}' is '{value}' here and '{merged[key]}' in another set; "
                            "make them agree", data.path / name)
    return merged


def _feature_files(data: DataDir) -> dict[str, str]:
    """Return the contents of the files of a set that say how its features were made."""
    files = [data.path / name for name in FEATURE_FILES]
    return {file.name: file.read_text("utf-8") for file in files if file.is_file()}


def _has_text(data: DataDir) -> bool:
    """Return whether a set has transcripts (they may be empty)."""
    return (any(u.words for u in data.utterances.values()) or not data.path.is_dir()
            or (data.path / "text").is_file())


def _restrict(data: DataDir, ids: Iterable[str]) -> DataDir:
    """Return the set with these utterances only, its tables cut to match."""
    part = in_order(data.utterances[key] for key in ids)
    keys = {kind: {getattr(u, kind) for u in part.values()}
            for kind in ("utterance", "speaker", "recording")}
    tables = {name: {k: v for k, v in table.items() if k in keys[table_kind(name)]}
              for name, table in data.tables.items()}
    return DataDir(data.path, part, tables)
