"""Owns files on disk: atomic writes, JSON, array bundles.

Every output is written under a temporary name beside its target and renamed when complete,
so that a crash, Ctrl-C or a full disk never leaves half a file under the real name. What is read
may be inside of a packed model (`hybridasr.pack_file`), as if that were a directory.
"""

import atexit
import errno
import gzip
import hashlib
import io
import json
import math
import mmap
import os
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from hybridasr.errors import DamagedFile, ResourceError, UserError
from hybridasr.pack_file import contents_begin, npy_header, pack_member, pad_member

PathLike = str | Path
# A file may be packed, but not so well that a small one fills the memory.
_SMALL_FILE, _MOST_PACKED = 64 << 20, 50
# Arrays are mapped from this size on; bytes of the extra field that zip has for large members.
_LARGE, _ZIP64 = 1 << 20, 20
# Temporary names end in the process that writes, and for writers that look at it a suffix.
_TEMPORARY = re.compile(r"\..*\.([0-9]+)\.part(\.[^.]*)?")
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_MORE = (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN)


@contextmanager
def atomic_write(path: PathLike, mode: str = "w") -> Iterator[IO]:
    """Open a temporary file beside `path`; rename it to `path` if the block succeeds.

    Raises
    ------
    UserError
        if the disk is full or the directory cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        encoding = None if "b" in mode else "utf-8"
        handle, temporary = tempfile.mkstemp(f".{os.getpid()}.part", f".{path.name}.", path.parent)
        with os.fdopen(handle, mode, encoding=encoding) as file:
            yield file
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise write_error(error, path) from error
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


@contextmanager
def atomic_path(path: PathLike) -> Iterator[Path]:
    """Like `atomic_write`, for writers that want a name: yields a temporary path to fill."""
    path = Path(path)
    temporary = path.parent / f".{path.stem}.{os.getpid()}.part{path.suffix}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise write_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def remove_stale_temporaries(folder: PathLike) -> list[Path]:
    """Remove the temporary files below `folder` whose process has ended; return what was there.

    A process that is killed leaves what it was writing. Links to folders are not followed.
    """
    stale = []
    for place, _, names in os.walk(folder):
        for name in names:
            process = _TEMPORARY.fullmatch(name)
            if process and not _runs(int(process[1])):
                (Path(place) / name).unlink(missing_ok=True)
                stale.append(Path(place) / name)
    return stale


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def package_folder(inside: str, checkout: str) -> Path:
    """Return a folder of data files that come with the package.

    Parameters
    ----------
    inside : str
        Where an installed package has it, e.g. ``lexicon/tables``.
    checkout : str
        Its name at the top of the repository, for a checkout.
    """
    package = Path(__file__).resolve().parent
    installed = package / inside
    if package.parent.is_file():
        return _from_zip(package.parent, f"{package.name}/{inside}/")
    return installed if installed.is_dir() else package.parent / checkout


@lru_cache
def _from_zip(path: Path, prefix: str) -> Path:
    """Unpack a folder of a package that runs from a zip, until the program ends."""
    place = Path(tempfile.mkdtemp(prefix="hybridasr-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    with zipfile.ZipFile(path) as bundle:
        bundle.extractall(place, [name for name in bundle.namelist() if name.startswith(prefix)])
    return place / prefix


def write_error(error: OSError, path: PathLike) -> UserError:
    """Turn an operating-system error on `path` into the line a user can act on."""
    # numpy reports a write that the disk cut short without an error number.
    cut_short = error.errno is None and "written" in str(error)
    if cut_short or error.errno in _DISK_FULL:
        return ResourceError("no space left on the disk; free some, then run the same command "
                             "again (what was finished is kept)", path)
    if error.errno == errno.EFBIG:
        return ResourceError("larger than this system lets a file be; raise the limit (ulimit -f) "
                             "or write to another disk", path)
    if error.errno in _NO_MORE:
        return ResourceError(f"{error.strerror}; end other programs, or give a smaller --nj", path)
    if error.errno == errno.EIO:
        return ResourceError("the disk fails to read or write; look at it, or use another", path)
    if (pack := pack_member(path)) and pack[1]:
        return UserError("is in a packed model, which is not written to; run 'hybridasr unpack' "
                         "and give the directory", path)
    return UserError(f"{error.strerror or error}; check the path and its permissions", path)


def write_text(path: PathLike, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_write(path) as file:
        file.write(text)


def is_file(path: PathLike) -> bool:
    """Tell whether there is such a file, on the disk or in a packed model."""
    pack = pack_member(path)
    return pack[1] in pack[0].names if pack and pack[1] else Path(path).is_file()


def is_dir(path: PathLike) -> bool:
    """Tell whether there is such a directory, on the disk or in a packed model, or is a pack."""
    return bool(files_below(path)) if pack_member(path) else Path(path).is_dir()


def file_size(path: PathLike) -> int:
    """Return the bytes of a file; of an .npz file in a packed model, those of its arrays."""
    if not pack_member(path):
        return Path(path).stat().st_size
    path = Path(path)
    return sum(array.nbytes for array in read_arrays(path).values()) if path.suffix == ".npz" \
        else len(read_bytes(path))


def files_below(directory: PathLike) -> list[Path]:
    """Return all files of a directory and its sub-directories, on the disk or in a pack."""
    directory = Path(directory)
    pack = pack_member(directory)
    if pack is None:
        return sorted(path for path in directory.rglob("*") if path.is_file())
    bundle, folder = pack
    paths = [bundle.path / name for name in bundle.names]
    return [path for path in paths if not folder or directory in path.parents]


def read_bytes(path: PathLike) -> bytes:
    """Read a file; `UserError` if it is missing or unreadable."""
    pack = pack_member(path)
    if pack and pack[1]:
        return pack[0].read(pack[1])
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError("no such file; check the path", path) from None
    except OSError as error:
        raise read_error(error, path) from None


def read_error(error: OSError, path: PathLike) -> UserError:
    """Turn an operating-system error on reading `path` into the line a user can act on."""
    if error.errno in (*_NO_MORE, errno.EIO):
        return write_error(error, path)
    return UserError(f"cannot be read ({error.strerror or error}); check the path", path)


def read_packed(path: PathLike) -> bytes:
    """Read a file whole, unpacked where its name ends in ``.gz``.

    Raises
    ------
    UserError
        if it is missing or may not be read.
    DamagedFile
        if it is no gzip file, ends early, or unpacks to an absurd size.
    """
    data = read_bytes(path)
    if Path(path).suffix != ".gz":
        return data
    limit = max(_SMALL_FILE, _MOST_PACKED * len(data))
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            contents = file.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedFile(f"cannot be unpacked ({error}); make it again, or copy it again",
                          path) from None
    if len(contents) > limit:
        raise DamagedFile(f"unpacks to more than {limit >> 20} MB; unpack it yourself if it is to "
                          "be so large", path)
    return contents


def read_text(path: PathLike) -> str:
    """Read a UTF-8 file.

    Raises
    ------
    UserError
        if the file is missing, unreadable or not UTF-8 (the line of the first bad byte is named).
    """
    return decode_text(read_bytes(path), path)


def decode_text(data: bytes, path: PathLike) -> str:
    """Return the UTF-8 text of a file's bytes; `UserError` as from `read_text`."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DamagedFile(f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8 "
                          "(for GBK: iconv -f GBK -t UTF-8)", path, line) from None


def write_json(path: PathLike, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON, atomically."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def read_json(path: PathLike) -> Any:
    """Read a JSON file; `DamagedFile` names the line of a syntax error."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DamagedFile(f"not JSON ({error.msg}); restore or remake it", path,
                          error.lineno) from None
    except (RecursionError, ValueError) as error:  # nested too deep, numbers of too many digits
        raise DamagedFile(f"not JSON that can be read ({error}); restore or remake it",
                          path) from None


def write_arrays(path: PathLike, **arrays: np.ndarray) -> None:
    """Write named arrays to one uncompressed .npz file, atomically; same arrays, same bytes.

    The numbers of each begin at a multiple of 64 bytes, so that they can be mapped.
    """
    with atomic_write(path, "wb") as file, zipfile.ZipFile(file, "w") as bundle:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")
            pad_member(member, file.tell(), _ZIP64)
            with bundle.open(member, "w", force_zip64=True) as part:
                np.lib.format.write_array(part, np.asanyarray(array), allow_pickle=False)


def read_arrays(path: PathLike) -> dict[str, np.ndarray]:
    """Read every array of an .npz file; large ones are mapped, so that processes share them.

    Nothing in it is run, and no more memory is taken than the file can hold. What is written into
    a mapped array stays in this process.

    Raises
    ------
    UserError
        if there is no such file.
    DamagedFile
        if it is no .npz file, holds something else than arrays, or unpacks to an absurd size.
    """
    pack = pack_member(path)
    if pack and pack[1]:
        return pack[0].arrays(pack[1])
    try:
        with zipfile.ZipFile(path) as bundle:
            members = bundle.infolist()
            limit = max(_SMALL_FILE, _MOST_PACKED * os.path.getsize(path))
            if sum(member.file_size for member in members) > limit:
                raise ValueError(f"it unpacks to more than {limit >> 20} MB")
            return {member.filename.removesuffix(".npy"): _read_member(bundle, member)
                    for member in members}
    except FileNotFoundError:
        raise UserError("no such file; make it first (is the stage finished?)", path) from None
    except MemoryError:
        raise ResourceError("not enough memory to read it; end other programs", path) from None
    # Whatever zipfile, zlib and numpy raise on bytes that are not theirs: there is no list.
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise read_error(error, path) from None
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DamagedFile(f"damaged array file ({reason}); remake it", path) from None


def _read_member(bundle: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with bundle.open(member) as file:
        # numpy takes memory for what the header promises before it reads: look there first.
        shape, by_column, dtype = npy_header(file)
        if math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
            raise ValueError(f"{member.filename} promises {shape} of {dtype}, and holds "
                             f"{member.file_size - file.tell()} bytes")
        if (member.file_size >= _LARGE and member.compress_type == zipfile.ZIP_STORED
                and not by_column and not dtype.hasobject and os.name == "posix"):
            return _map_member(bundle, member, file.tell(), shape, dtype)
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)


def _map_member(bundle: zipfile.ZipFile, member: zipfile.ZipInfo, head: int,
                shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Map the numbers of an array whose own header takes `head` bytes."""
    with open(bundle.filename, "rb") as file:
        # A private copy of pages that are written to: arrays that may not be written would be of
        # another type to the kernels.
        mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    begin = contents_begin(mapped, member)
    contents = mapped[begin:begin + member.file_size]
    if zlib.crc32(contents) != member.CRC:
        raise ValueError(f"Bad CRC-32 for file {member.filename!r}")
    return np.frombuffer(contents, dtype, offset=head).reshape(shape)


def take_array(arrays: Mapping[str, np.ndarray], name: str, path: PathLike, dtype: Any,
               shape: tuple[int | None, ...], least: float | None = None,
               most: float | None = None, remedy: str = "remake it",
               infinite: bool = False) -> np.ndarray:
    """Return one array of a file, contiguous and of the type wanted, or refuse the file.

    Parameters
    ----------
    arrays : dict name -> array
        As from `read_arrays` of `path`.
    dtype : numpy type
        Of floats or of integers; a file with floats has no integers to give.
    shape : tuple
        None where any length will do.
    least, most : number, optional
        Bounds of the values, themselves allowed.
    remedy : str
        How the file is mended.
    infinite : bool
        Whether infinity (not minus infinity) is a value too.

    Raises
    ------
    DamagedFile
        if the array is missing, of another type or shape, or has a value that is not finite or
        out of bounds.

    >>> take_array({"ids": np.array([3, 1])}, "ids", "a.npz", np.int32, (None,), 0, 5).tolist()
    [3, 1]
    """
    if name not in arrays:
        raise DamagedFile(f"array '{name}' is missing; {remedy}", path)
    array, whole = arrays[name], np.issubdtype(dtype, np.integer)
    if array.dtype.kind not in ("iu" if whole else "iuf"):
        raise DamagedFile(f"array '{name}' is of {array.dtype}, not of "
                          f"{'integers' if whole else 'numbers'}; {remedy}", path)
    if array.ndim != len(shape) or any(size not in (None, actual) for size, actual
                                       in zip(shape, array.shape, strict=True)):
        shape_text = ", ".join("any" if size is None else str(size) for size in shape)
        raise DamagedFile(f"array '{name}' is {array.shape}, ({shape_text}) is needed; {remedy}",
                          path)
    finite = np.isfinite(array)
    if not whole and not (finite | (array == np.inf) if infinite else finite).all():
        raise DamagedFile(f"array '{name}' has values that are not finite; {remedy}", path)
    limits = np.iinfo(dtype) if whole else np.finfo(dtype)
    low = limits.min if least is None else least
    high = (np.inf if infinite else limits.max) if most is None else most
    if array.size and (array.min() < low or array.max() > high):
        wrong = array.min() if array.min() < low else array.max()
        raise DamagedFile(f"array '{name}' has the value {wrong}, outside {low:g} to {high:g}; "
                          f"{remedy}", path)
    return np.asarray(array, dtype, order="C")


def digest(*parts: Any) -> str:
    """Return a short SHA-256 of bytes, files (as `Path`) and JSON-able values, in order."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            total.update(hashlib.sha256(part.read_bytes()).digest())
        elif isinstance(part, bytes):
            total.update(hashlib.sha256(part).digest())
        else:
            total.update(json.dumps(part, sort_keys=True, default=str).encode())
        total.update(b"\0")
    return total.hexdigest()[:24]


def digest_file(path: PathLike) -> str:
    """Return a short digest of a file's contents."""
    total = hashlib.sha256()
    with open(path, "rb") as file:
        # In blocks: archives of features may be larger than memory.
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()[:24]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
