"""Owns the reader of AISHELL-1: ``wav/SET/SPEAKER/*.wav`` and one table of transcripts.

``transcript/aishell_transcript_v0.8.txt`` has an id and the words in hanzi, with spaces between, on
each line. Recordings without a line are left out, as in Kaldi's recipe.
"""

from pathlib import Path

from hybridasr.corpus.kaldi_files import read_table
from hybridasr.corpus.readers.base import Reader, ReaderOptions, Sets, audio_files, utterance
from hybridasr.errors import UserError
from hybridasr.progress import logger

_TABLE = "transcript/aishell_transcript_v0.8.txt"


def _matches(path: Path) -> bool:
    return (_root(path) / _TABLE).is_file()


def _read(path: Path, options: ReaderOptions) -> Sets:
    root = _root(path)
    if not (root / _TABLE).is_file():
        raise UserError(f"no {_TABLE} in it; {READER.expected()}", path)
    texts = read_table(root / _TABLE)
    sets: Sets = {}
    left_out = []
    for name in ("train", "dev", "test"):
        folder = root / "wav" / name
        if not folder.is_dir():
            if name == "dev":
                continue
            raise UserError(f"no folder wav/{name} in it (the archives in wav/ must be unpacked); "
                            f"{READER.expected()}", path)
        sets[name] = []
        for speaker in sorted(inner for inner in folder.iterdir() if inner.is_dir()):
            for file in audio_files(speaker):
                if file.stem not in texts:
                    left_out.append(file.name)
                    continue
                sets[name].append(utterance(f"{speaker.name}-{file.stem}", speaker.name,
                                            texts[file.stem], file))
    if left_out:
        logger.warning("%s: %d recordings without a transcript left out (first: %s)", root,
                       len(left_out), left_out[0])
    return sets


def _root(path: Path) -> Path:
    inner = path / "data_aishell"
    return inner if inner.is_dir() else path


READER = Reader(
    name="aishell",
    title="AISHELL-1",
    address="https://www.openslr.org/33 (data_aishell.tgz, 15 GB)",
    licence="Apache 2.0",
    layout="transcript/aishell_transcript_v0.8.txt and wav/train/S0002/*.wav",
    matches=_matches,
    read_sets=_read,
    by_hand=True,
)
