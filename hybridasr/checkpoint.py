"""Owns the reading of checkpoints: what an interrupted training left, if it is its own."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from hybridasr.errors import UserError
from hybridasr.storage import read_arrays

CHECKPOINT = "checkpoint.npz"  # its name in the directory that is trained

T = TypeVar("T")
logger = logging.getLogger("hybridasr")


def read_checkpoint(path: Path, run: str, build: Callable[[dict[str, np.ndarray]], T]
                    ) -> T | None:
    """Return what `build` makes of a checkpoint whose `digest` is `run`; None if there is none.

    One of another run (other data or options), or that is damaged, is left aside with a message:
    then the training starts from the beginning.
    """
    if not path.is_file():
        return None
    try:
        saved = read_arrays(path)
        if str(saved.get("digest")) == run:
            return build(saved)
    except UserError as error:
        logger.warning("%s; starting from the beginning", error)
        return None
    except (LookupError, TypeError, ValueError) as error:
        logger.warning("%s: damaged checkpoint (%s: %s); starting from the beginning", path,
                       type(error).__name__, error)
        return None
    logger.info("%s belongs to other data or options; starting anew", path)
    return None


def part_of(saved: dict[str, np.ndarray], front: str) -> dict[str, np.ndarray]:
    """Return the arrays whose names begin with `front`, without it.

    >>> part_of({"network.bias": np.ones(2), "optimizer.steps": np.ones(1)}, "network.").keys()
    dict_keys(['bias'])
    """
    return {name.removeprefix(front): array for name, array in saved.items()
            if name.startswith(front)}
