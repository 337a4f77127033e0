"""Owns the reader of DSPSpeech-20: 20 isolated words, ``speech_data/SPK/SPK-WW-RR.wav``.

Test: spk21 to spk24 where the speakers have these names (the copy with 24 speakers), otherwise
the last sixth of the sorted speakers (5 of the 34 of the full corpus), or `test_speaker`.
"""

import re
from pathlib import Path

from hybridasr.corpus.readers.base import (
    Reader,
    ReaderOptions,
    Sets,
    audio_files,
    chosen_speakers,
    last_sixth,
    match_names,
    split_speakers,
    utterance,
)
from hybridasr.errors import UserError

# By WW, the two digits in the file name.
WORDS = (
    "数字", "语音", "语言", "识别", "中国", "总工", "北京", "背景", "上海", "商行",
    "复旦", "饭店", "Speech", "Speaker", "Signal", "Process", "Print", "Open", "Close", "Project",
)  # fmt: skip
_NAME = r"(.+)-(\d\d)-(\d\d)"
_TEST = {"spk21", "spk22", "spk23", "spk24"}


def _matches(path: Path) -> bool:
    return bool(_speaker_folders(path))


def _read(path: Path, options: ReaderOptions) -> Sets:
    utterances = []
    for folder in _speaker_folders(path):
        for file, match in match_names(audio_files(folder), _NAME):
            speaker, word = match[1], int(match[2])
            # A file in the wrong folder would count for two speakers.
            if speaker != folder.name:
                raise UserError(f"speaker '{speaker}' of the file name is not its folder "
                                f"'{folder.name}'; {READER.expected()}", file)
            if word >= len(WORDS):
                raise UserError(f"word {match[2]} is outside 00..19; {READER.expected()}", file)
            utterances.append(utterance(file.stem, speaker, WORDS[word], file))
    if not utterances:
        raise UserError(f"no recordings in it; {READER.expected()}", path)
    speakers = {u.speaker for u in utterances}
    test = chosen_speakers(options, speakers, path)
    test = test or (_TEST & speakers) or last_sixth(speakers)
    return split_speakers(utterances, test)


def _speaker_folders(path: Path) -> list[Path]:
    inner = path / "speech_data"
    root = inner if inner.is_dir() else path
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    return [folder for folder in folders
            if any(re.fullmatch(_NAME, f.stem) for f in audio_files(folder))]


READER = Reader(
    name="dsp20",
    title="DSPSpeech-20",
    address="https://github.com/zhongyuchen/DSPSpeech-20",
    licence="MIT",
    layout="speech_data/SPEAKER/SPEAKER-WW-RR.wav (or .flac)",
    matches=_matches,
    read_sets=_read,
    splits_by_speaker=True,
)
