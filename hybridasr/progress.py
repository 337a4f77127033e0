"""Owns what the user sees while work goes on: bars on stderr and the log.

Bars go to stderr where it is a terminal; elsewhere a plain line now and then says how far a long
stage is. Neither goes to stdout, which is for results.
"""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from hybridasr.errors import UserError

if TYPE_CHECKING:
    from tqdm import tqdm

logger = logging.getLogger("hybridasr")
FIRST_LINE = 10.0  # seconds until the first plain line, and between two at least
LINE_GROWTH = 1.4  # how much later each line is than the one before


class _Lines:
    """What stands in for a bar where stderr is no terminal: a line now and then."""

    def __init__(self, iterable: Iterable | None, total: int | None, desc: str, unit: str):
        self._iterable, self._title, self._unit = iterable, desc, unit
        self._total = total or (len(iterable) if hasattr(iterable, "__len__") else None)
        self._begun = time.monotonic()
        self._next, self._notes = FIRST_LINE, ""
        self._done = 0

    def __iter__(self) -> Iterator:
        for item in self._iterable or ():
            yield item
            self.update()

    def update(self, n: int = 1) -> None:
        """Count `n` more."""
        self._done += n
        seconds = time.monotonic() - self._begun
        if seconds >= self._next:
            # Ever more rarely, so that a long stage does not fill the log.
            self._next = max(seconds + FIRST_LINE, seconds * LINE_GROWTH)
            total = f" of {self._total}" if self._total else ""
            logger.info("%s: %s %d%s, %.0f s%s", self._title or "working", self._unit, self._done,
                        total, seconds, self._notes)

    def set_postfix(self, **notes: Any) -> None:
        """Show figures behind the count."""
        self._notes = "".join(f", {name} {value}" for name, value in notes.items())

    def close(self) -> None:
        """End the work."""


def progress(iterable: Iterable | None, total: int | None = None, desc: str = "",
             unit: str = "utt") -> "_Lines | tqdm":
    """Iterate with a bar on stderr.

    Where stderr is no terminal, a line goes to the log after ten seconds and then ever more
    rarely: about ten in the first five minutes, thirty in five days.
    """
    if not sys.stderr.isatty():
        return _Lines(iterable, total, desc, unit)
    from tqdm import tqdm  # recognising does without it

    return tqdm(iterable, total=total, desc=desc, unit=unit, file=sys.stderr, leave=False,
                dynamic_ncols=True)


@contextmanager
def job_log(path: str | Path, title: str, options: Mapping[str, Any] | None = None):
    """Send every message to `path` too while the block runs, framed as Kaldi frames its logs.

    The frame says what ran with which options, when it started and ended, and with what code. A
    `UserError` before the first message, in a folder that the log is the first to be in, leaves
    neither: there was nothing to log, and the error's line says what to mend.
    """
    path = Path(path)
    begun = time.time()
    new = [folder for folder in path.parents if not folder.exists()]
    settings = "".join(f" --{name.replace('_', '-')}={value}"
                       for name, value in (options or {}).items())
    file = _open_log(path, f"# {title}{settings}\n# Started at {_clock(begun)}\n#\n")
    handler = logging.StreamHandler(file)
    handler.setLevel(logging.DEBUG)
    handler.setFormatter(_Plain())
    logger.addHandler(handler)
    code, last, start, idle = 1, "", file.tell(), False
    try:
        yield path
        code = 0
    except BaseException as error:
        last = f"ERROR {type(error).__name__}: {error}\n"
        idle = isinstance(error, UserError) and bool(new) and file.tell() == start
        raise
    finally:
        logger.removeHandler(handler)
        seconds = time.time() - begun
        # A full disk has an error of its own by now, which must not be hidden by the log's.
        with suppress(OSError), file:
            file.write(f"{last}# Accounting: time={seconds:.0f} threads=1\n"
                       f"# Ended (code {code}) at {_clock(time.time())}, "
                       f"elapsed time {seconds:.0f} seconds\n")
        if idle:
            with suppress(OSError):
                path.unlink()
                for folder in new:  # the innermost first; one that has something else stays
                    folder.rmdir()


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
        # Only a bar, which may be there by then, must not be written over.
        bars = sys.modules.get("tqdm")
        write = bars.tqdm.write if bars else print
        write(self.format(record), file=sys.stderr)


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        front = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        return front + record.getMessage()


def _clock(seconds: float) -> str:
    return time.strftime("%a %b %d %H:%M:%S %Z %Y", time.localtime(seconds))
