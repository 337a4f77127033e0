"""Owns a directory of denominator lattices: which utterances it has, and with what it was made.

lat.<n>.npz    lattices by HMM states of a block of utterances (`sequence.state_lattice`)
denlats.json   acoustic scale, transition-ids, sizes, options; written last
graph/         the graph that they were decoded with, unless one was given
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybridasr.errors import DamagedFile, UserError
from hybridasr.sequence.state_lattice import LatticeBlock, StateLattice, read_state_lattices
from hybridasr.storage import read_json

RECORD = "denlats.json"
_REMEDY = "run make-denlats again"


def block_file(directory: Path, number: int) -> Path:
    """Return the path of a block's lattices; the first one has number 1."""
    return directory / f"lat.{number}.npz"


@dataclass(frozen=True)
class LatticeSet:
    """Lattices by utterance. Small, and picklable: they are read where they are needed.

    Attributes
    ----------
    directory : Path
    acoustic_scale : float
        Of the search.
    num_tids : int
        Transition-ids of the model.
    num_arcs : int
        Of all lattices.
    places : dict utterance -> (block, place in it)
    """

    directory: Path
    acoustic_scale: float
    num_tids: int
    num_arcs: int
    places: Mapping[str, tuple[int, int]]

    def lattice(self, utterance: str) -> StateLattice:
        """Return the lattice of an utterance; KeyError if there is none."""
        block, place = self.places[utterance]
        return _read(block_file(self.directory, block)).lattice(place)


@functools.lru_cache(maxsize=512)
def _read(path: Path) -> LatticeBlock:
    return read_state_lattices(path)


def read_lattice_set(directory: Path) -> LatticeSet:
    """Read which lattices a directory has.

    Raises
    ------
    UserError
        if it is not one that make-denlats finished, or a file is damaged.
    """
    path = directory / RECORD
    if not path.is_file():
        raise UserError("holds no finished denominator lattices; run 'hybridasr make-denlats' "
                        "first", directory)
    record: Any = read_json(path)
    record = record if isinstance(record, dict) else {}
    scale, tids, blocks = (record.get(name) for name in ("acoustic_scale", "num_tids", "blocks"))
    if not (isinstance(scale, float) and scale > 0 and isinstance(tids, int) and tids > 0
            and isinstance(blocks, int) and blocks > 0):
        raise DamagedFile(f"does not say what the lattices were made with; {_REMEDY}", path)
    read = [_read(block_file(directory, number)) for number in range(1, blocks + 1)]
    places = {name: (number, place) for number, block in enumerate(read, 1)
              for place, name in enumerate(block.names)}
    return LatticeSet(directory, scale, tids, sum(block.num_arcs for block in read), places)
