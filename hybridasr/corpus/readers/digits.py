"""Owns the reader of the Free Spoken Digit Dataset: ``recordings/DIGIT_SPEAKER_N.wav``.

Test: the last speaker in sorted order (theo), or `test_speaker`; train: all others.
"""

import re
from pathlib import Path

from hybridasr.corpus.readers.base import (
    Reader,
    ReaderOptions,
    Sets,
    audio_files,
    chosen_speakers,
    match_names,
    split_speakers,
    utterance,
)
from hybridasr.errors import UserError

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NAME = r"([0-9])_([^_]+)_(\d+)"


def _matches(path: Path) -> bool:
    return any(re.fullmatch(_NAME, file.stem) for file in audio_files(_root(path)))


def _read(path: Path, options: ReaderOptions) -> Sets:
    utterances = [
        utterance(f"{match[2]}-{match[1]}-{int(match[3]):02d}", match[2], WORDS[int(match[1])],
                  file)
        for file, match in match_names(audio_files(_root(path)), _NAME)
    ]
    if not utterances:
        raise UserError(f"no recordings in it; {READER.expected()}", path)
    speakers = {u.speaker for u in utterances}
    # Training and test must not share a speaker, or the error rate would flatter.
    if len(speakers) < 2:
        raise UserError(f"one speaker only ({speakers.pop()}), none is left to test on; add "
                        "another", path)
    test = chosen_speakers(options, speakers, path) or {max(speakers)}
    return split_speakers(utterances, test)


def _root(path: Path) -> Path:
    inner = path / "recordings"
    return inner if inner.is_dir() else path


READER = Reader(
    name="digits",
    title="the Free Spoken Digit Dataset",
    address="https://github.com/Jakobovski/free-spoken-digit-dataset",
    licence="CC BY-SA 4.0",
    layout="recordings/DIGIT_SPEAKER_N.wav",
    matches=_matches,
    read_sets=_read,
    splits_by_speaker=True,
)
