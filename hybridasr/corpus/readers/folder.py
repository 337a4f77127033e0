"""Owns the reader of a user's own recordings: one sub-folder for each command.

The folder's name is what is said (hanzi, pinyin or English; ``_`` stands for a space), every
audio file in it one recording. Folders beginning with ``_`` or ``.`` are left out.

Speakers: the file name up to its first ``-`` or ``_``, if there are two or more such prefixes
and nearly all files (80 %) have one that occurs in more than one folder (``anna-1.wav`` in each
of them). Otherwise the speakers count as unknown: each file is its own speaker.

Test: `test_speaker`; else the last sixth of the sorted speakers; with unknown speakers a sixth
of each folder, drawn by `seed` (one file at least).
"""

import re
import zlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from hybridasr.corpus.readers.base import (
    Reader,
    ReaderOptions,
    Sets,
    audio_files,
    chosen_speakers,
    last_sixth,
    split_speakers,
    utterance,
)
from hybridasr.corpus.text import normalize_text
from hybridasr.errors import UserError, name_some
from hybridasr.progress import logger


def _matches(path: Path) -> bool:
    return any(audio_files(folder) for folder in _command_folders(path))


def _read(path: Path, options: ReaderOptions) -> Sets:
    folders = {folder: audio_files(folder) for folder in _command_folders(path)}
    empty = [folder.name for folder, files in folders.items() if not files]
    if empty:
        logger.warning("%s: no audio in %s; left out", path, ", ".join(empty))
    folders = {folder: files for folder, files in folders.items() if files}
    _warn_of_case(path, folders)
    if not folders:
        raise UserError(f"no recordings in its sub-folders; {READER.expected()}", path)
    if _have_speakers(folders):
        return _read_by_speaker(path, folders, options)
    if options.test_speaker is not None:
        raise UserError(f"--test-speaker '{options.test_speaker}', but the file names tell no "
                        "speakers; name the files SPEAKER-NUMBER.wav", path)
    return _read_by_file(path, folders, options)


def _read_by_speaker(path: Path, folders: dict[Path, list[Path]], options: ReaderOptions) -> Sets:
    names = sorted({_prefix(file) for files in folders.values() for file in files})
    # Ids go into Kaldi tables and file names: plain ASCII, a number where the name is not.
    plain = {name: name if re.fullmatch(r"[A-Za-z0-9.]+", name) else f"spk{number:03d}"
             for number, name in enumerate(names, 1)}
    # Numbers for all, if a number given to one is the name of another.
    if len(set(plain.values())) < len(names):
        plain = {name: f"spk{number:03d}" for number, name in enumerate(names, 1)}
    utterances = []
    for number, (folder, files) in enumerate(folders.items(), 1):
        for count, file in enumerate(files, 1):
            speaker = plain[_prefix(file)]
            utterances.append(utterance(f"{speaker}-c{number:03d}-{count:05d}", speaker,
                                   _words(folder), file))
    test = {plain[name] for name in chosen_speakers(options, names, path)}
    return split_speakers(utterances, test or last_sixth(plain.values()))


def _read_by_file(path: Path, folders: dict[Path, list[Path]], options: ReaderOptions) -> Sets:
    sets: Sets = {"train": [], "test": []}
    for number, (folder, files) in enumerate(folders.items(), 1):
        if len(files) < 2:
            raise UserError("one recording only, and both training and test need one; add more",
                            folder)
        # Seeded by the name of the folder: a folder that is added does not change the draws of
        # others.
        rng = np.random.default_rng([options.seed, zlib.crc32(folder.name.encode())])
        test = set(rng.permutation(len(files))[:max(1, len(files) // 6)].tolist())
        for count, file in enumerate(files):
            name = f"c{number:03d}-{count + 1:05d}"
            item = utterance(name, name, _words(folder), file)
            sets["test" if count in test else "train"].append(item)
    return sets


def _have_speakers(folders: dict[Path, list[Path]]) -> bool:
    homes: dict[str, set[Path]] = defaultdict(set)
    for folder, files in folders.items():
        for file in files:
            if _prefix(file):
                homes[_prefix(file)].add(folder)
    total = sum(map(len, folders.values()))
    shared = sum(len(homes.get(_prefix(file), ())) > 1
                 for files in folders.values() for file in files)
    # A file without any prefix has no speaker, so that all must have one.
    prefixed = all(_prefix(file) for files in folders.values() for file in files)
    return prefixed and len(homes) >= 2 and shared >= 0.8 * total


def _prefix(file: Path) -> str:
    match = re.match(r"([^-_]+)[-_]", file.stem)
    return match[1] if match else ""


def _words(folder: Path) -> str:
    return normalize_text(folder.name.replace("_", " "))


def _warn_of_case(path: Path, folders: Iterable[Path]) -> None:
    """Name the words that differ by case alone: they would be two words of one sound."""
    spellings: dict[str, set[str]] = defaultdict(set)
    for folder in folders:
        spellings[_words(folder).casefold()].add(_words(folder))
    pairs = [" and ".join(sorted(group)) for group in spellings.values() if len(group) > 1]
    if pairs:
        logger.warning("%s: folders whose words differ by case alone are different words: %s; "
                       "give them one spelling if they are the same", path, name_some(pairs))


def _command_folders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and p.name[0] not in "._")


READER = Reader(
    name="folder",
    title="your own recordings",
    address="",
    licence="yours",
    layout="one sub-folder for each command, with its recordings in it (打开空调/anna-1.wav)",
    matches=_matches,
    read_sets=_read,
    splits_by_speaker=True,
)
