"""Owns the reader of existing Kaldi data directories: ``train/`` and ``test/`` in one folder.

Every sub-folder with a ``wav.scp`` is a set; train and test must be among them.
"""

from pathlib import Path

from hybridasr.corpus.datadir import read_datadir
from hybridasr.corpus.readers.base import Reader, ReaderOptions, Sets
from hybridasr.errors import UserError


def _matches(path: Path) -> bool:
    return (path / "train" / "wav.scp").is_file()


def _read(path: Path, options: ReaderOptions) -> Sets:
    for name in ("train", "test"):
        if not (path / name / "wav.scp").is_file():
            raise UserError(f"no {name}/wav.scp in it; {READER.expected()}", path)
    folders = sorted(file.parent for file in path.glob("*/wav.scp"))
    return {folder.name: list(read_datadir(folder).utterances.values()) for folder in folders}


READER = Reader(
    name="kaldi",
    title="Kaldi data directories",
    address="",
    licence="yours",
    layout="train/ and test/, each with wav.scp, text and utt2spk",
    matches=_matches,
    read_sets=_read,
)
