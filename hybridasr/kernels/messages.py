"""Owns what happens around a compilation: the cache is set, a damaged one is passed by, and the
user is told that kernels are being compiled, which takes half a minute the first time.
"""

import logging
import multiprocessing
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from hybridasr.kernels.cache import VARIABLE, choose_cache
from hybridasr.kernels.light_loading import lighten_loading

logger = logging.getLogger("hybridasr")
_PACKAGE = "hybridasr."
_SECONDS = 5.0  # between two lines of progress
_QUIET = "compiling"  # a file in the cache; while it is new, another process tells of progress


def set_cache() -> Path | None:
    """Choose the cache and tell numba through its environment variable, which workers inherit."""
    folder, line = choose_cache()
    if folder is None:
        os.environ.pop(VARIABLE, None)
    else:
        os.environ[VARIABLE] = str(folder)
    if line and multiprocessing.parent_process() is None:
        _say(logging.WARNING, line)
    return folder


def prepare_numba(numba: ModuleType, folder: Path | None) -> None:
    """Make numba keep this package's kernels in `folder`, if there is one, and tell of each."""
    from numba.core import caching, dispatcher, event, runtime

    numba.config.CACHE_DIR = str(folder or "")
    enable = dispatcher.Dispatcher.enable_caching

    class Cache(caching.FunctionCache):
        """A cache that is not needed: an error while a kernel is read or stored stops nothing."""

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            # numba imports all that it could compile first. A kernel from the cache needs memory
            # management alone, and who compiles looks after the rest.
            with suppress(Exception):
                runtime.rtsys.initialize(target_context)
                with self._guard_against_spurious_io_errors():
                    return self._load_overload(sig, target_context)
            return None

        def save_overload(self, sig: Any, data: Any) -> None:
            with suppress(OSError):  # a full disk
                try:
                    super().save_overload(sig, data)
                except OSError:
                    raise
                except Exception:  # what is stored already is damaged
                    self.flush()
                    super().save_overload(sig, data)

    def enable_caching(kernel: Any) -> None:
        if not str(kernel.py_func.__module__).startswith(_PACKAGE):
            enable(kernel)
        elif folder is not None:
            with suppress(RuntimeError):  # a package in a zip, whose kernels numba cannot place
                kernel._cache = Cache(kernel.py_func)

    dispatcher.Dispatcher.enable_caching = enable_caching
    lighten_loading(folder)
    event.register("numba:compile", _listener(event, folder))


def _listener(event: ModuleType, folder: Path | None) -> Any:
    class Listener(event.Listener):
        """Counts the kernels that are compiled, and says so every few seconds."""

        count, begun, told = 0, 0.0, 0.0

        def on_start(self, event: Any) -> None:
            if not self._is_ours(event):
                return
            now = time.monotonic()
            if not self.begun:
                self.begun = self.told = now
                if _first_to_tell(folder):
                    _say(logging.INFO, "compiling kernels for this machine; the first use of each "
                         "takes a while ('hybridasr compile-kernels' does all at once)")
                else:
                    self.told = float("inf")

        def on_end(self, event: Any) -> None:
            if not self._is_ours(event):
                return
            self.count += 1
            now = time.monotonic()
            if now - self.told >= _SECONDS:
                self.told = now
                _first_to_tell(folder)
                _say(logging.INFO, f"compiling kernels: {self.count} so far, "
                     f"{now - self.begun:.0f} s")

        @staticmethod
        def _is_ours(event: Any) -> bool:
            kernel = (event.data or {}).get("dispatcher")
            return str(getattr(getattr(kernel, "py_func", None), "__module__", "")
                       ).startswith(_PACKAGE)

    return Listener()


def _first_to_tell(folder: Path | None) -> bool:
    """Whether no other process has told of compiling lately; from now on this one does."""
    if folder is None:
        return multiprocessing.parent_process() is None
    mark = folder / _QUIET
    with suppress(OSError):
        if time.time() - mark.stat().st_mtime < 12 * _SECONDS:
            return False
    with suppress(OSError):
        mark.touch()
    return True


def _say(level: int, line: str) -> None:
    # Who has set up no log sees only warnings.
    logger.log(level if logger.hasHandlers() else logging.WARNING, "%s", line)


def loaded_kernels() -> tuple[int, int]:
    """Return how many kernels the imported modules have, and how many of them are compiled.

    Here, or by another process, such as that of a training, which left them in the cache.
    """
    from numba.core.dispatcher import Dispatcher

    kernels = {id(value): value for name, module in [*sys.modules.items()]
               if name.startswith(_PACKAGE) for value in [*vars(module).values()]
               if isinstance(value, Dispatcher)}.values()
    return len(kernels), sum(bool(kernel.signatures) or _is_stored(kernel) for kernel in kernels)


def _is_stored(kernel: Any) -> bool:
    with suppress(Exception):  # no cache, or a damaged one
        return bool(kernel._cache._cache_file._load_index())
    return False
