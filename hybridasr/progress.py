"""Owns what the user sees while work goes on: bars on stderr and the log.

Bars go to stderr only when it is a terminal, so that logs and pipes stay clean.
"""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

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
def job_log(path: str | Path, title: str, options: Mapping[str, Any] | None = None):
    """Send every message to `path` too while the block runs, framed as Kaldi frames its logs.

    The frame says what ran with which options, when it started and ended, and with what code.
    """
    path = Path(path)
    begun = time.time()
    settings = "".join(f" --{name.replace('_', '-')}={value}"
                       for name, value in (options or {}).items())
    file = _open_log(path, f"# {title}{settings}\n# Started at {_clock(begun)}\n#\n")
    handler = logging.StreamHandler(file)
    handler.setLevel(logging.DEBUG)
    handler.setFormatter(_Plain())
    logger.addHandler(handler)
    code, last = 1, ""
    try:
        yield path
        code = 0
    except BaseException as error:
        last = f"ERROR {type(error).__name__}: {error}\n"
        raise
    finally:
        logger.removeHandler(handler)
        seconds = time.time() - begun
        # A full disk has an error of its own by now, which must not be hidden by the log's.
        with suppress(OSError), file:
            file.write(f"{last}# Accounting: time={seconds:.0f} threads=1\n"
                       f"# Ended (code {code}) at {_clock(time.time())}, "
                       f"elapsed time {seconds:.0f} seconds\n")


def _open_log(path: Path, header: str) -> IO[str]:
    """Open a log and write its first lines; what an interrupted run had written stays in front."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        ended = not path.exists() or b"# Ended (code 0)" in path.read_bytes()
        file = open(path, "w" if ended else "a", encoding="utf-8",  # noqa: SIM115
                    errors="backslashreplace", buffering=1)
        try:
            file.write(header)
        except OSError:
            with suppress(OSError):
                file.close()
            raise
    except OSError as error:
        error.filename = error.filename or str(path)  # a write names no file of its own
        raise
    return file


@contextmanager
def without_warnings() -> Iterator[None]:
    """Keep this process's warnings from the log while the block runs: they were said before."""
    def is_other(record: logging.LogRecord) -> bool:
        return record.levelno != logging.WARNING

    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


def show_messages(level: int = logging.INFO) -> None:
    """Print the package's messages on stderr, without tearing the bars; for the command line."""
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    handler = _BarHandler()
    handler.setLevel(level)
    handler.setFormatter(_Plain())
    logger.handlers = [handler]
    logging.raiseExceptions = False  # a full disk must not print a traceback from a log


class _BarHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        front = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        return front + record.getMessage()


def _clock(seconds: float) -> str:
    return time.strftime("%a %b %d %H:%M:%S %Z %Y", time.localtime(seconds))
