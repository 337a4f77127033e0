"""Owns the reader of Common Voice, of any language: ``train.tsv``, ``test.tsv``, ``clips/``.

The tables have columns ``client_id``, ``path`` and ``sentence``, named in their first line. Sets:
train, test and, where there is ``dev.tsv``, dev. Speakers are called by the first letters of their
``client_id``. Sentences lose their punctuation; hanzi are cut into words later.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from hybridasr.corpus.datadir import Utterance
from hybridasr.corpus.readers.base import Reader, ReaderOptions, Sets, utterance
from hybridasr.corpus.written import written_words
from hybridasr.errors import UserError
from hybridasr.progress import logger

_COLUMNS = ("client_id", "path", "sentence")
_LETTERS = 12  # of a client_id of 128 that are kept: enough for millions of speakers


def _matches(path: Path) -> bool:
    return all((path / name).exists() for name in ("train.tsv", "test.tsv", "clips"))


def _read(path: Path, options: ReaderOptions) -> Sets:
    names = [name for name in ("train", "dev", "test") if (path / f"{name}.tsv").is_file()]
    if not {"train", "test"} <= {*names}:
        raise UserError(f"no train.tsv and test.tsv in it; {READER.expected()}", path)
    return {name: list(_utterances(path, name)) for name in names}


def _utterances(path: Path, name: str) -> Iterator[Utterance]:
    table, silent, count = path / f"{name}.tsv", [], 0
    with table.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        lacking = [column for column in _COLUMNS if column not in (rows.fieldnames or ())]
        if lacking:
            raise UserError(f"no column '{lacking[0]}' in its first line; {READER.expected()}",
                            table, 1)
        for line, row in enumerate(rows, 2):
            if not all(row[column] for column in _COLUMNS):
                raise UserError("a client_id, a path or a sentence is missing; delete the line",
                                table, line)
            file = path / "clips" / row["path"]
            count += 1
            words = written_words(row["sentence"])
            if not words or not file.is_file():
                silent.append(row["path"])
                continue
            speaker = row["client_id"][:_LETTERS]
            yield utterance(f"{speaker}-{file.stem}", speaker, " ".join(words), file)
    if silent:
        logger.warning("%s: %d of %d recordings left out, not in clips or without words (first: "
                       "%s)", table, len(silent), count, silent[0])


READER = Reader(
    name="common_voice",
    title="Common Voice",
    address="https://commonvoice.mozilla.org/datasets (choose a language; zh-CN is some 20 GB)",
    licence="CC0",
    layout="train.tsv, test.tsv and clips/, as in the archive of one language",
    matches=_matches,
    read_sets=_read,
    by_hand=True,
)
