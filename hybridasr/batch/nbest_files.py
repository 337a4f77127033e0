"""Owns the n best word sequences of a decode directory: ``nbest/``, in Kaldi's form.

A line for each sequence, ``<utterance>-1`` the best: its words in ``words_text``, its acoustic cost
(not scaled) in ``acwt``, its graph cost in ``lmwt``; so Kaldi's ``steps/rnnlmrescore.sh`` names
what lattice-to-nbest and nbest-to-linear give.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hybridasr.lattice.lattice import CompactLattice
from hybridasr.lattice.paths import n_best
from hybridasr.storage import atomic_write

NBEST = "nbest"
_FILES = ("words_text", "acwt", "lmwt")


@dataclass(frozen=True)
class NbestRow:
    """One sequence of words, its acoustic cost (not scaled) and its graph cost."""

    words: tuple[str, ...]
    acoustic_cost: float
    graph_cost: float


def nbest_rows(lattice: CompactLattice, count: int, acoustic_scale: float,
               name: Callable[[int], str]) -> tuple[NbestRow, ...]:
    """Return the best sequences of a lattice, best first; `name` gives the word of an id."""
    return tuple(NbestRow(tuple(map(name, path.words)), path.acoustic_cost, path.graph_cost)
                 for path in (n_best(lattice, count, acoustic_scale) if count else ()))


@contextmanager
def nbest_writer(directory: Path, wanted: bool) -> Iterator["NbestWriter"]:
    """Open the files of a decode directory; if they are not wanted, remove those there are."""
    if not wanted:
        shutil.rmtree(directory / NBEST, ignore_errors=True)  # of an earlier run
        yield NbestWriter([])
        return
    with ExitStack() as files:
        yield NbestWriter([files.enter_context(atomic_write(directory / NBEST / name))
                           for name in _FILES])


class NbestWriter:
    """The open files of `nbest_writer`."""

    def __init__(self, files: list[IO[str]]):
        self._files = files

    def write(self, utterance: str, rows: Iterable[NbestRow]) -> None:
        """Append the sequences of an utterance."""
        for number, row in enumerate(rows, 1):
            fields = (" ".join(row.words), f"{row.acoustic_cost:.9g}", f"{row.graph_cost:.9g}")
            for file, field in zip(self._files, fields, strict=True):
                file.write(f"{utterance}-{number} {field}".rstrip() + "\n")
