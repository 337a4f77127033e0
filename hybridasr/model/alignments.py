"""Owns the files of an alignment directory: transition-ids and speakers' transforms, as Kaldi's."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from hybridasr.features.archives import write_matrices


def write_alignments(directory: Path, alignments: Iterable[tuple[str, np.ndarray]]) -> None:
    """Write ``ali.ark`` and ``ali.scp``: transition-ids of each utterance, as Kaldi's vectors."""
    write_matrices(directory / "ali.ark", directory / "ali.scp",
                   ((name, np.asarray(ids, np.int32)) for name, ids in alignments))


def write_transforms(directory: Path, speakers: Mapping[str, np.ndarray]) -> None:
    """Write ``trans.ark`` and ``trans.scp``; without any transform, remove those of an earlier run.

    Parameters
    ----------
    speakers : dict speaker -> float64 (dim, dim + 1)
    """
    archive, index = directory / "trans.ark", directory / "trans.scp"
    if speakers:
        write_matrices(archive, index, sorted(speakers.items()))
        return
    for path in (archive, index):
        path.unlink(missing_ok=True)
