"""Owns the place of compiled kernels: a folder that only this user can write, one a version.

numba unpickles what lies in its cache, so whoever can write there runs code in this process: the
folder is ours, has mode 0700 and is no link. It is named by a digest of the sources that kernels
are compiled from, because numba itself notices no change of a kernel that another one calls, and
fails where a module was renamed.
"""

import atexit
import hashlib
import multiprocessing
import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

PREFIX = "hybridasr-kernels-"
VARIABLE = "NUMBA_CACHE_DIR"
_PACKAGE = Path(__file__).resolve().parent.parent
_MARKS = (b"numba", b"NamedTuple")  # a file with one of these may have a part in a kernel
_KEEP_DAYS = 30  # a folder that no process has used for so long is removed


def choose_cache() -> tuple[Path | None, str]:
    """Return the folder for compiled kernels, None if there is none, and a line for the user.

    The places in order: ``NUMBA_CACHE_DIR``, the package's ``__pycache__``, the user's cache
    directory, the system's temporary folder; there a new one with a name of its own if another
    user was first. The line is empty if the first place that was asked for works.
    """
    name = f"{PREFIX}{_user()}-{source_digest(_PACKAGE)}"
    given, line = os.environ.get(VARIABLE, ""), ""
    if given:
        place, chosen = Path(given), name
        if place.name.startswith(PREFIX):  # by a parent process, perhaps of another version
            chosen = place.name if place.name.startswith(name) else name
            place = place.parent
        folder, why = own_folder(place, chosen)
        if folder:
            return folder, ""
        line = f"{VARIABLE} is '{given}', which {why}; "
    for place in _places():
        folder, _ = own_folder(place, name)
        if folder:
            return folder, line and f"{line}compiled kernels are kept in {folder}"
    folder = _fresh_folder(name)
    kept = "stay for this run only" if folder else "cannot be stored"
    return folder, f"{line}compiled kernels {kept}, so that each run compiles them anew; set " \
                   f"{VARIABLE} to a folder that only you can write"


def own_folder(place: Path, name: str) -> tuple[Path | None, str]:
    """Make or check ``place/name``; return it, or None and what is wrong with it."""
    folder = place / name
    try:
        place.mkdir(parents=True, exist_ok=True)
        above = place.stat()
        if above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX:
            return None, "everybody can write"
        is_new = not os.path.lexists(folder)
        if is_new:
            with suppress(FileExistsError):  # another process of ours was quicker
                folder.mkdir(mode=0o700)
        state = folder.lstat()
        if not stat.S_ISDIR(state.st_mode):
            return None, f"holds '{name}', which is no folder"
        if hasattr(os, "getuid") and state.st_uid != os.getuid():
            return None, f"holds '{name}' of another user"
        if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return None, f"holds '{name}', which others can write"
        # Also the sign that it is in use.
        os.utime(folder)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, ValueError) as error:
        return None, f"cannot be used ({getattr(error, 'strerror', None) or error})"
    if is_new:
        _remove_old(place)
    return folder, ""


def source_digest(package: Path) -> str:
    """Return a digest of the modules' names, and of the contents of those with kernels."""
    total = hashlib.sha256()
    for folder, folders, names in os.walk(package):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            if not name.endswith(".py"):
                continue
            path = os.path.join(folder, name)
            total.update(os.path.relpath(path, package).encode() + b"\0")
            with open(path, "rb") as file:
                source = file.read()
            if any(mark in source for mark in _MARKS):
                total.update(source)
    return total.hexdigest()[:16]


def _places() -> list[Path]:
    places = [_PACKAGE / "__pycache__"]
    with suppress(RuntimeError):  # no home at all
        home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        if os.path.isabs(home):
            places.append(Path(home) / "hybridasr")
    with suppress(OSError):  # no temporary folder that can be written
        places.append(Path(tempfile.gettempdir()))
    return places


def _fresh_folder(name: str) -> Path | None:
    """Make a folder for this process and its workers alone; it is removed at the end."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    except OSError:
        return None
    if multiprocessing.parent_process() is None:
        owner = os.getpid()
        atexit.register(lambda: os.getpid() == owner and shutil.rmtree(folder, True))
    return folder


def _remove_old(place: Path) -> None:
    """Remove the folders of other versions that were not used for long."""
    limit = time.time() - _KEEP_DAYS * 86400
    for old in place.glob(f"{PREFIX}{_user()}-*"):
        with suppress(OSError):
            state = old.lstat()
            if stat.S_ISDIR(state.st_mode) and state.st_mtime < limit:
                shutil.rmtree(old, ignore_errors=True)


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else "user"
