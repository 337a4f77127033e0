"""Owns what the user sees while work goes on: bars on stderr and the log.

Bars go to stderr only when it is a terminal, so that logs and pipes stay clean.
"""

import logging
import sys
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

logger = logging.getLogger("hybridasr")


def progress(iterable: Iterable, total: int | None = None, desc: str = "", unit: str = "utt"):
    """Iterate with a bar on stderr; silent where stderr is not a terminal."""
    return tqdm(
        iterable,
        total=total,
        desc=desc,
        unit=unit,
        file=sys.stderr,
        disable=not sys.stderr.isatty(),
        leave=False,
        dynamic_ncols=True,
    )


@contextmanager
def log_file(path: str | Path):
    """Send every message of the package to `path` too while the block runs."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="a", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    try:
        yield path
    finally:
        logger.removeHandler(handler)
        handler.close()
