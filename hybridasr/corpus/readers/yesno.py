"""Owns the reader of the yesno corpus: ``waves_yesno/B_B_B_B_B_B_B_B.wav``, B = 1 yes, 0 no.

One speaker, so it is split by file: the first 31 of the sorted list train, the others test.
"""

import re
from pathlib import Path

from hybridasr.corpus.readers.base import (
    Reader,
    ReaderOptions,
    Sets,
    audio_files,
    match_names,
    utterance,
)
from hybridasr.errors import UserError

_WORDS = {"0": "NO", "1": "YES"}
_NAME = r"[01](?:_[01])+"
_TRAIN = 31


def _matches(path: Path) -> bool:
    return any(re.fullmatch(_NAME, file.stem) for file in audio_files(_root(path)))


def _read(path: Path, options: ReaderOptions) -> Sets:
    utterances = [
        utterance(f"yesno-{file.stem}", "yesno", " ".join(map(_WORDS.get, file.stem.split("_"))),
                  file)
        for file, _ in match_names(audio_files(_root(path)), _NAME)
    ]
    if len(utterances) <= _TRAIN:
        raise UserError(f"{len(utterances)} recordings, but {_TRAIN} are to train and others to "
                        "test; "
                        f"{READER.expected()}", path)
    return {"train": utterances[:_TRAIN], "test": utterances[_TRAIN:]}


def _root(path: Path) -> Path:
    inner = path / "waves_yesno"
    return inner if inner.is_dir() else path


READER = Reader(
    name="yesno",
    title="yesno (SLR1)",
    address="https://www.openslr.org/1",
    licence="see its page",
    layout="waves_yesno/B_B_B_B_B_B_B_B.wav with B 0 or 1, 60 files",
    matches=_matches,
    read_sets=_read,
)
