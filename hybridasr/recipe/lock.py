"""Owns the lock of a work directory: two recipes at once would spoil each other's files."""

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hybridasr.errors import UserError
from hybridasr.storage import write_error

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None

_FILE = ".lock"


@contextmanager
def work_lock(work: Path) -> Iterator[None]:
    """Hold the lock of a work directory, which is made if it is not there, while the block runs.

    The system releases it at any end of the process. The file names the process that holds it.

    Raises
    ------
    UserError
        naming the other process if another one holds it; if the directory cannot be written.
    """
    path = Path(work) / _FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # "a+" makes the file and does not empty it: the other process's line must stay readable.
        file = open(path, "a+", encoding="utf-8", errors="replace")  # noqa: SIM115
    except OSError as error:
        raise write_error(error, path) from error
    with file:
        if fcntl is not None:
            try:
                # The kernel frees this lock even if the process is killed, so none can stay
                # behind.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = " ".join(file.read().split()) or "another process"
                raise UserError(f"{holder} is at work there; wait for its end, or give another "
                                "--work", work) from None
            except OSError:  # a file system without locks: go on, as before there was one
                pass
        file.truncate(0)
        file.write(f"process {os.getpid()} ({shlex.join(['hybridasr', *sys.argv[1:]])})\n")
        file.flush()
        try:
            yield
        finally:
            # The lock itself goes with the file; a line without a process would mislead.
            file.truncate(0)
