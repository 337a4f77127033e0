"""Owns the reading of checkpoints: what an interrupted training left, if it is its own."""

import logging
from pathlib import Path

import numpy as np

from hybridasr.errors import UserError
from hybridasr.storage import read_arrays

logger = logging.getLogger("hybridasr")


def read_checkpoint(path: Path, run: str) -> dict[str, np.ndarray] | None:
    """Return the arrays of a checkpoint whose `digest` is `run`; None if there is none.

    One that is damaged or of another run (other data or options) is left aside.
    """
    if not path.is_file():
        return None
    try:
        saved = read_arrays(path)
    except UserError:
        return None
    if str(saved.get("digest")) != run:
        logger.info("%s belongs to other data or options; starting anew", path)
        return None
    return saved
