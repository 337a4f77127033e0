"""Owns the reader of LJ Speech: ``metadata.csv`` and ``wavs/ID.wav``, one English speaker.

The third column of the table, with numbers and abbreviations written out, gives the words. As there
is one speaker only, every tenth sentence is tested on; for mean normalisation a chapter (``LJ001``)
counts as a speaker.
"""

from pathlib import Path

from hybridasr.corpus.datadir import Utterance
from hybridasr.corpus.readers.base import Reader, ReaderOptions, Sets, audio_files, utterance
from hybridasr.corpus.written import written_words
from hybridasr.errors import UserError
from hybridasr.progress import logger
from hybridasr.storage import read_text

_EVERY = 10  # sentence is tested on


def _matches(path: Path) -> bool:
    return (_root(path) / "metadata.csv").is_file() and (_root(path) / "wavs").is_dir()


def _read(path: Path, options: ReaderOptions) -> Sets:
    root = _root(path)
    table = root / "metadata.csv"
    if not _matches(path):
        raise UserError(f"no metadata.csv with a folder wavs in it; {READER.expected()}", path)
    files = {file.stem: file for file in audio_files(root / "wavs")}
    utterances, lines = [], read_text(table).splitlines()
    for number, line in enumerate(lines, 1):
        fields = line.split("|")
        if len(fields) != 3:
            raise UserError(f"{len(fields)} columns, not id, text and written-out text with | "
                            "between; restore the file", table, number)
        words = written_words(fields[2])
        if fields[0] in files and words:
            utterances.append(_utterance(fields[0], words, files[fields[0]]))
    if not utterances:
        raise UserError(f"no recordings of its sentences; {READER.expected()}", path)
    if len(utterances) < len(lines):
        logger.warning("%s: %d of %d sentences have no recording", table,
                       len(lines) - len(utterances), len(lines))
    utterances.sort(key=lambda one: one.utterance)
    return {"train": [one for number, one in enumerate(utterances) if number % _EVERY],
            "test": [one for number, one in enumerate(utterances) if number % _EVERY == 0]}


def _utterance(name: str, words: list[str], file: Path) -> Utterance:
    return utterance(name, name.split("-")[0], " ".join(words), file)


def _root(path: Path) -> Path:
    inner = path / "LJSpeech-1.1"
    return inner if inner.is_dir() else path


READER = Reader(
    name="ljspeech",
    title="LJ Speech",
    address="https://keithito.com/LJ-Speech-Dataset (2.6 GB)",
    licence="public domain",
    layout="metadata.csv and wavs/LJ001-0001.wav",
    matches=_matches,
    read_sets=_read,
    by_hand=True,
)
