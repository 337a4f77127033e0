"""Owns the reader of existing Kaldi data directories: ``train/`` and ``test/`` in one folder.

Every sub-folder with a ``wav.scp`` is a set; train and test must be among them.
"""

from pathlib import Path

from hybridasr.corpus.datadir import read_datadir
from hybridasr.corpus.readers.base import Reader, ReaderOptions, Sets
from hybridasr.corpus.rules import CORE
from hybridasr.corpus.validate import validate_datadir
from hybridasr.errors import UserError


def _matches(path: Path) -> bool:
    return (path / "train" / "wav.scp").is_file()


def _read(path: Path, options: ReaderOptions) -> Sets:
    for name in ("train", "test"):
        if not (path / name / "wav.scp").is_file():
            raise UserError(f"no {name}/wav.scp in it; {READER.expected()}", path)
    folders = sorted(file.parent for file in path.glob("*/wav.scp"))
    for folder in folders:
        _check(folder)
    return {folder.name: list(read_datadir(folder).utterances.values()) for folder in folders}


def _check(folder: Path) -> None:
    """Refuse a set with faults that copying it does not mend, where the user can mend them."""
    for fault in validate_datadir(folder, check_audio=False, limit=None):
        # Copying writes these files anew, in order and without odd characters.
        mended = (fault.file.name == "spk2utt" or fault.file.name not in CORE
                  or fault.what.startswith(("not sorted", "carriage return", "begins with")))
        if fault.severity == "error" and not mended:
            raise UserError(str(fault))


READER = Reader(
    name="kaldi",
    title="Kaldi data directories",
    address="",
    licence="yours",
    layout="train/ and test/, each with wav.scp, text and utt2spk",
    matches=_matches,
    read_sets=_read,
)
