"""Owns one trial: a child process with limits of time and memory, and what became of it.

The child is forked from a process that has the package and its kernels in memory, so that a
trial takes milliseconds.
"""

import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

SECONDS = 10
MEMORY = 2 << 30
_UNCAUGHT = 99
# Beside what the parent has: what goes beyond the limit is still measured, not only refused.
_ADDRESS_SPACE = MEMORY + (1 << 30)
OUTCOMES = ("ok", "line", "fault", "crash", "time", "memory")


@dataclass(frozen=True)
class Outcome:
    """What became of an input: one of `OUTCOMES`, with seconds, bytes and what was printed."""

    kind: str
    seconds: float
    memory: int
    output: str

    @property
    def last_line(self) -> str:
        """The last line that was printed."""
        return next((line for line in reversed(self.output.splitlines()) if line.strip()), "")


def attempt(action: Callable[[], int]) -> Outcome:
    """Run `action`, which returns an exit code, in a child."""
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as printed:
        start = time.perf_counter()
        child = os.fork()
        if child == 0:
            os._exit(_in_child(action, printed.fileno()))
        _, status, usage = os.wait4(child, 0)
        seconds = time.perf_counter() - start
        printed.seek(0)
        output = printed.read(1 << 20).decode("utf-8", "replace")
    memory = usage.ru_maxrss << 10
    return Outcome(_kind(status, memory, output), seconds, memory, output)


def _in_child(action: Callable[[], int], output: int) -> int:
    try:
        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + _ADDRESS_SPACE,) * 2)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for stream in (1, 2):
            os.dup2(output, stream)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SECONDS)
        code = action()
    except BaseException:
        traceback.print_exc()
        code = _UNCAUGHT
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        pass
    return code


def _kind(status: int, memory: int, output: str) -> str:
    if os.WIFSIGNALED(status):
        return "time" if os.WTERMSIG(status) == signal.SIGALRM else "crash"
    if memory > MEMORY or "MemoryError" in output or "out of memory" in output:
        return "memory"
    code = os.WEXITSTATUS(status)
    if code not in (0, 1, 2) or "Traceback" in output or "a fault of the program" in output:
        return "fault"
    if code and not any(line.strip() for line in output.splitlines()):
        return "fault"  # it says nothing
    return "line" if code else "ok"
