"""Owns the reader of THCHS-30: ``data/SPEAKER_N.wav`` and ``.wav.trn``, ``train/`` and ``test/``.

A transcript's first line has the words in hanzi, with spaces between; the second has pinyin, the
third phones. Files in ``train``, ``dev`` and ``test`` name the recordings of each set; those of
``data`` are read where the sets hold only references to them.
"""

from pathlib import Path

from hybridasr.corpus.datadir import Utterance
from hybridasr.corpus.readers.base import Reader, ReaderOptions, Sets, audio_files, utterance
from hybridasr.errors import UserError
from hybridasr.storage import read_text

_SETS = ("train", "dev", "test")


def _matches(path: Path) -> bool:
    root = _root(path)
    return all((root / name).is_dir() for name in ("data", "train", "test")) and any(
        (root / "data").glob("*.wav.trn"))


def _read(path: Path, options: ReaderOptions) -> Sets:
    root = _root(path)
    sets = {}
    for name in _SETS:
        if name == "dev" and not (root / name).is_dir():
            continue
        if not (root / name).is_dir():
            raise UserError(f"no folder {name} in it; {READER.expected()}", path)
        sets[name] = [_utterance(root / "data" / file.name) for file in audio_files(root / name)]
    return sets


def _utterance(file: Path) -> Utterance:
    transcript = file.with_name(file.name + ".trn")
    if not file.is_file() or not transcript.is_file():
        raise UserError(f"no recording or no transcript {transcript.name}; {READER.expected()}",
                        file)
    lines = read_text(transcript).splitlines()
    if not lines or not lines[0].strip():
        raise UserError("its first line has no words; restore the file", transcript, 1)
    speaker = file.stem.split("_")[0]
    return utterance(file.stem, speaker, lines[0], file)


def _root(path: Path) -> Path:
    inner = path / "data_thchs30"
    return inner if inner.is_dir() else path


READER = Reader(
    name="thchs30",
    title="THCHS-30",
    address="https://www.openslr.org/18 (data_thchs30.tgz, 6.4 GB)",
    licence="Apache 2.0",
    layout="data/A11_0.wav with data/A11_0.wav.trn, and the folders train, dev and test",
    matches=_matches,
    read_sets=_read,
    by_hand=True,
)
