"""Owns the reader of audio-cmn: Mandarin words by one speaker, ``64k/hsk/cmn-WORD.mp3``.

Test: the files whose position in the sorted list of all files (Python's order of the names,
counted from 0) is divisible by 6. Only words written in hanzi alone are taken. For mean
normalisation the one speaker is cut into pseudo-speakers of about 150 words, apart for train and
test: word i goes to pseudo-speaker i modulo their number, so that each has words from the whole
list (neighbours begin with the same syllable, which would bend the means).
"""

import re
from pathlib import Path

from hybridasr.corpus.datadir import Utterance
from hybridasr.corpus.readers.base import (
    Reader,
    ReaderOptions,
    Sets,
    audio_files,
    utterance,
)
from hybridasr.errors import UserError
from hybridasr.progress import logger

_NAME = r"cmn-([\u3400-\u9fff]+)"
_FOLDERS = ("64k/hsk", "24k-abr/hsk", "18k-abr/hsk", "hsk", ".")
_WORDS_A_SPEAKER = 150


def _matches(path: Path) -> bool:
    return _root(path) is not None


def _read(path: Path, options: ReaderOptions) -> Sets:
    root = _root(path)
    if root is None:
        raise UserError(f"no recordings of words in it; {READER.expected()}", path)
    files = audio_files(root)
    taken: dict[str, list[tuple[int, str, Path]]] = {"train": [], "test": []}
    odd = []
    for position, file in enumerate(files):
        match = re.fullmatch(_NAME, file.stem)
        if match:
            taken["train" if position % 6 else "test"].append((position, match[1], file))
        else:
            odd.append(file.name)
    if odd:
        logger.warning("%s: %d of %d files left out, not hanzi alone: %s", root, len(odd),
                       len(files), " ".join(odd[:10]) + (" ..." if len(odd) > 10 else ""))
    return {name: _with_pseudo_speakers(name, items) for name, items in taken.items()}


def _with_pseudo_speakers(name: str, items: list[tuple[int, str, Path]]) -> list[Utterance]:
    count = max(1, round(len(items) / _WORDS_A_SPEAKER))
    utterances = []
    for number, (position, word, file) in enumerate(items):
        # Neighbours in the list begin alike, so they go to different pseudo-speakers.
        speaker = f"{name}{number % count:02d}"
        utterances.append(utterance(f"{speaker}-{position:05d}", speaker, word, file))
    return utterances


def _root(path: Path) -> Path | None:
    for name in _FOLDERS:
        folder = path / name
        if folder.is_dir() and any(re.fullmatch(_NAME, f.stem) for f in audio_files(folder)):
            return folder
    return None


READER = Reader(
    name="words_zh",
    title="audio-cmn",
    address="https://github.com/hugolpz/audio-cmn",
    licence="CC BY-SA",
    layout="64k/hsk/cmn-WORD.mp3",
    matches=_matches,
    read_sets=_read,
)
