"""Owns the list of corpus readers, one small file each, and the guess which one fits a folder.

To add a corpus: write a file with a `READER`, and name it in `_ALL`.
"""

from pathlib import Path

from hybridasr.corpus.readers import (
    aishell,
    commands_zh,
    common_voice,
    digits,
    dsp20,
    folder,
    kaldi,
    ljspeech,
    thchs30,
    words_zh,
    yesno,
)
from hybridasr.corpus.readers.base import AUDIO_SUFFIXES, Reader, ReaderOptions
from hybridasr.errors import UserError

__all__ = ["READERS", "Reader", "ReaderOptions", "detect_reader", "find_reader",
           "missing_corpus_message"]

# The order of detection: `folder` takes nearly anything, so it comes last.
_ALL = (kaldi, common_voice, thchs30, aishell, ljspeech, commands_zh, digits, yesno, words_zh,
        dsp20, folder)
READERS: dict[str, Reader] = {module.READER.name: module.READER for module in _ALL}


def find_reader(name: str) -> Reader:
    """Return the reader called `name`; `UserError` lists the known ones."""
    if name not in READERS:
        raise UserError(f"no corpus reader '{name}'; known are {', '.join(sorted(READERS))}")
    return READERS[name]


def missing_corpus_message(name: str) -> str:
    """What to tell a user who named a recipe but no recordings: where to get them, how to pass."""
    reader = find_reader(name)
    if not reader.address:
        return f"no recordings given; pass their folder with --corpus ({reader.layout})"
    fetch = f"pass --download to fetch {reader.title} ({reader.licence}), or get it"
    if reader.by_hand:
        fetch = f"get {reader.title} ({reader.licence})"
    return (f"no recordings given; {fetch} from {reader.address} and pass its folder with --corpus "
            f"({reader.layout})")


def detect_reader(path: str | Path) -> Reader:
    """Return the first reader whose layout `path` shows.

    Raises
    ------
    UserError
        if the folder is missing or fits none; the line lists the layouts.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError("no such folder; check the path", path)
    for reader in READERS.values():
        if reader.matches(path):
            return reader
    # A folder without audio is a wrong path, not an unknown layout.
    if not any(file.suffix.lower() in AUDIO_SUFFIXES for file in path.rglob("*")):
        raise UserError(f"holds no recordings ({' '.join(AUDIO_SUFFIXES)}); check the path", path)
    layouts = "; ".join(f"{r.name}: {r.layout}" for r in READERS.values())
    raise UserError(f"none of the known layouts; give a folder with one of these: {layouts}", path)
