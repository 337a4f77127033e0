"""Owns Kaldi archives: tables of arrays in an ark file, and the scp file that points into it.

Flat matrices and vectors (float32, float64, int32) are read and written here, compressed
matrices through kaldiio. Nothing that an archive may hold beside numbers is ever run: pickled
objects are refused, pipes (``cmd |``) too unless they are asked for.
"""

import io
import re
import struct
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from hybridasr.errors import DamagedFile, UserError
from hybridasr.storage import PathLike, atomic_write, read_error, read_packed, read_text

_FLAT = {b"FM": ("<f4", 2), b"DM": ("<f8", 2), b"FV": ("<f4", 1), b"DV": ("<f8", 1)}
_COMPRESSED = (b"CM", b"CM2", b"CM3")
# An int32 in an archive has its size, one byte, in front.
_SIZED_INT = np.dtype([("size", "i1"), ("value", "<i4")])
_COMPRESSION_AUTO = 1  # kaldiio's number of Kaldi's automatic choice
_ENTRY = re.compile(r"^(?P<path>.+?)(?::(?P<offset>\d+))?(?:\[(?P<range>[\d:,]*)\])?$")
# Whatever numpy, struct and kaldiio raise on bytes that are not an archive.
_BAD_BYTES = (ValueError, struct.error, AssertionError, EOFError, RuntimeError, IndexError,
              OverflowError, MemoryError)


def write_matrices(ark: PathLike, scp: PathLike | None,
                   items: Iterable[tuple[str, np.ndarray]], compress: bool = False,
                   text: bool = False) -> int:
    """Write a table of arrays to `ark`, and to `scp` where each of them begins.

    Both files appear under their names only when all is written. The scp holds the absolute
    path of the ark, so that it can be used from any directory.

    Parameters
    ----------
    ark, scp : path
        `scp` may be None.
    items : iterable of (key, array)
        Matrices or vectors of float32 or float64; vectors of integers (written as int32).
    compress : bool
        Write matrices in Kaldi's compressed form, one or two bytes a value.
    text : bool
        Write a text archive.

    Returns
    -------
    int
        number of entries

    Raises
    ------
    UserError
        if a key is empty, has white space or comes twice, or an array is of another kind.
    """
    with matrix_writer(ark, scp, compress, text) as writer:
        for key, array in items:
            writer.write(key, array)
        return len(writer.lines)


@contextmanager
def matrix_writer(ark: PathLike, scp: PathLike | None, compress: bool = False,
                  text: bool = False) -> Iterator["MatrixWriter"]:
    """As `write_matrices`, for entries that come one by one: ``writer.write(key, array)``."""
    with atomic_write(ark, "wb") as file:
        writer = MatrixWriter(Path(ark).absolute(), file, compress, text)
        yield writer
    if scp is not None:
        with atomic_write(scp) as index:
            index.writelines(writer.lines)


class MatrixWriter:
    """The open archive of `matrix_writer`, and the lines of its index so far."""

    def __init__(self, ark: Path, file: IO[bytes], compress: bool, text: bool):
        self.ark, self.lines = ark, list[str]()
        self._file, self._keys = file, set[str]()
        self._compress, self._text = compress, text

    def write(self, key: str, array: np.ndarray) -> None:
        """Append an entry; raises as `write_matrices`."""
        if not key or key in self._keys or key.split() != [key]:
            raise UserError(f"entry '{key}' is empty, has white space or comes twice; "
                            "give each entry its own key", self.ark)
        self._keys.add(key)
        self._file.write(key.encode() + b" ")
        # Kaldi's offsets point behind the key and its blank, at the array itself.
        self.lines.append(f"{key} {self.ark}:{self._file.tell()}\n")
        try:
            self._file.write(_pack_text(array) if self._text else _pack(array, self._compress))
        except TypeError as error:
            raise UserError(f"entry '{key}': {error}", self.ark) from None


def read_ark(path: PathLike) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every (key, array) of a binary or text archive, which may be gzipped (``.gz``).

    Raises
    ------
    UserError
        if the file is missing, ends early or holds something else.
    """
    with _open(Path(path)) as file:
        while (key := _read_key(file)) is not None:
            try:
                yield key, _read_array(file)
            except _BAD_BYTES as error:
                raise DamagedFile(f"entry '{key}' is damaged ({error}); make the archive again",
                                  path) from None


def read_scp(scp: PathLike, allow_pipes: bool = False) -> "ScpTable":
    """Read an scp file; the arrays are loaded when they are asked for.

    Raises
    ------
    UserError
        if the file is missing, a line has no second field or a key comes twice.
    """
    entries: dict[str, str] = {}
    for number, line in enumerate(read_text(scp).splitlines(), 1):
        key, _, where = line.strip().partition(" ")
        if not where.strip():
            raise UserError(f"'{line}' is not '<key> <archive>'; mend the line", scp, number)
        if key in entries:
            raise UserError(f"entry '{key}' comes twice; keep one of the lines", scp, number)
        entries[key] = where.strip()
    return ScpTable(entries, scp, allow_pipes)


class ScpTable(Mapping):
    """The entries of an scp file as a mapping from key to array; small to send to a worker.

    Parameters
    ----------
    entries : dict
        What stands behind each key: ``path``, ``path:offset``, either with a range of rows and
        columns ``[0:9,2:3]`` (both ends count), or ``cmd |``.
    scp : path
        Where they stand; for messages, and for archives given relative to it.
    allow_pipes : bool
        Run ``cmd |``.
    """

    def __init__(self, entries: Mapping[str, str], scp: PathLike, allow_pipes: bool = False):
        self.entries = dict(entries)
        self.scp = Path(scp)
        self.allow_pipes = allow_pipes

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, key: object) -> bool:
        # Mapping's own would load the array.
        return key in self.entries

    def __getitem__(self, key: str) -> np.ndarray:
        where = self.entries[key]
        try:
            # As in Kaldi, a command may stand in place of a file.
            if where.endswith("|"):
                return _read_array(io.BytesIO(self._run(where[:-1])))
            match = _ENTRY.match(where)
            with _open(self._find(match["path"])) as file:
                file.seek(int(match["offset"] or 0))
                array = _read_array(file)
            return array if match["range"] is None else array[_slices(match["range"])]
        except (*_BAD_BYTES, OSError) as error:
            what = f"{where} is damaged ({error}); make the archive again"
            raise self._error(key, what) from None
        except UserError as error:
            raise self._error(key, str(error), type(error)) from None

    def _run(self, command: str) -> bytes:
        if not self.allow_pipes:
            raise UserError(f"'{command}|' is a command; write its output to a file, or allow "
                            "pipes if you trust it")
        done = subprocess.run(command, shell=True, capture_output=True, check=False)
        if done.returncode:
            raise UserError(f"'{command}|' failed with {done.returncode}: "
                            f"{done.stderr.decode(errors='replace').strip()[-200:]}; mend it")
        return done.stdout

    def _find(self, name: str) -> Path:
        """Kaldi takes paths from the working directory; ours may be from the scp's, too."""
        path, beside = Path(name), self.scp.parent / name
        return beside if not path.exists() and beside.exists() else path

    def _error(self, key: str, what: str, kind: type[UserError] = DamagedFile) -> UserError:
        try:
            rows = self.scp.read_text(encoding="utf-8").splitlines()
            lines = [n for n, row in enumerate(rows, 1) if row.split(maxsplit=1)[:1] == [key]]
        except (OSError, UnicodeDecodeError):
            lines = []
        return kind(f"entry '{key}': {what}", self.scp, lines[0] if lines else None)


def _open(path: Path) -> IO[bytes]:
    try:
        if path.suffix == ".gz":
            # All of it at once: to seek in a gzip stream is to start again.
            return io.BytesIO(read_packed(path))
        return path.open("rb")
    except FileNotFoundError:
        raise UserError("no such archive; make it again, or mend the path", path) from None
    except OSError as error:
        raise read_error(error, path) from None


def _read_key(file: IO[bytes]) -> str | None:
    key = bytearray()
    while (byte := file.read(1)) not in (b" ", b""):
        key += byte
    return key.decode(errors="replace").strip() or None


def _read_array(file: IO[bytes]) -> np.ndarray:
    if (mark := _exactly(file, 1)) != b"\0":
        return _read_text_array(mark, file)
    if (mark := _exactly(file, 1)) != b"B":
        raise ValueError(f"{mark!r} after the zero byte, not B")
    first = file.read(1)
    if first == b"\4":
        (count,) = struct.unpack("<i", _exactly(file, 4))
        packed = np.frombuffer(_exactly(file, count * _SIZED_INT.itemsize), dtype=_SIZED_INT)
        return packed["value"].astype(np.int32)
    # The token, such as "FM ", ends with a blank; four bytes are the longest ("CM2 ").
    token = first
    while len(token) < 4 and not token.endswith(b" "):
        token += _exactly(file, 1)
    if token.rstrip() in _COMPRESSED:
        import kaldiio  # recognising does without it

        # It wants to read the token itself, so the cursor goes back before it.
        file.seek(-len(token) - 2, io.SEEK_CUR)
        return np.array(kaldiio.matio.read_kaldi(file), dtype=np.float32)
    if token.rstrip() not in _FLAT:
        raise ValueError(f"it holds {token!r}, not a matrix or vector")
    dtype, axes = _FLAT[token.rstrip()]
    shape = [struct.unpack("<xi", _exactly(file, 5))[0] for _ in range(axes)]
    # Python integers: the product of two damaged lengths must not overflow.
    size = int(np.prod(shape, dtype=object))
    data = _exactly(file, size * np.dtype(dtype).itemsize)
    # A copy: what comes from a buffer cannot be written to.
    return np.frombuffer(data, dtype=dtype).reshape(shape).copy()


def _exactly(file: IO[bytes], count: int) -> bytes:
    if count < 0:
        raise ValueError("a length in it is negative")
    data = file.read(count)
    if len(data) != count:
        raise ValueError(f"it ends early: {count} bytes wanted, {len(data)} there")
    return data


def _read_text_array(start: bytes, file: IO[bytes]) -> np.ndarray:
    """Read ``[ numbers ]`` (floats; rows on lines of their own) or bare integers on one line."""
    line = start if start == b"\n" else start + file.readline()
    if b"[" not in line:
        return np.array(line.split(), dtype=np.int32)
    body = line.split(b"[", 1)[1]
    matrix = not body.strip()
    rows = []
    while True:
        numbers, closed, _ = body.partition(b"]")
        if numbers.strip():
            rows.append(np.array(numbers.split(), dtype=np.float32))
        if closed:
            break
        if not (body := file.readline()):
            raise ValueError("it ends before its ']'")
    if matrix:
        return np.stack(rows) if rows else np.zeros((0, 0), np.float32)
    return np.stack(rows) if len(rows) > 1 else (rows or [np.zeros(0, np.float32)])[0]


def _pack(array: np.ndarray, compress: bool) -> bytes:
    array = np.asarray(array)
    if array.ndim == 1 and array.dtype.kind in "iu":
        packed = np.empty(len(array), dtype=_SIZED_INT)
        # Kaldi writes the size of an integer in bytes, 4, in front of each one.
        packed["size"], packed["value"] = 4, array
        return b"\0B\4" + struct.pack("<i", len(array)) + packed.tobytes()
    if array.ndim not in (1, 2) or array.dtype not in (np.float32, np.float64):
        raise TypeError(f"an array of {array.dtype} {array.shape} has no form in an archive; "
                        "give a float32 matrix")
    if compress and array.ndim == 2 and array.size:
        import kaldiio

        file = io.BytesIO()
        kaldiio.matio.write_array(file, array.astype(np.float32),
                                  compression_method=_COMPRESSION_AUTO)
        return file.getvalue()
    wide = array.dtype == np.float64
    token = ("D" if wide else "F") + ("M" if array.ndim == 2 else "V") + " "
    shape = b"".join(struct.pack("<bi", 4, length) for length in array.shape)
    return b"\0B" + token.encode() + shape + array.astype("<f8" if wide else "<f4").tobytes()


def _pack_text(array: np.ndarray) -> bytes:
    array = np.asarray(array)
    if array.ndim == 1 and array.dtype.kind in "iu":
        return (" ".join(map(str, array)) + "\n").encode()
    if array.ndim not in (1, 2):
        raise TypeError(f"an array of shape {array.shape} has no form in an archive; "
                        "give a matrix or vector")
    rows = [" ".join(f"{value:.9g}" for value in row) for row in np.atleast_2d(array)]
    if array.ndim == 1:
        return f" [ {rows[0]} ]\n".encode()
    return (" [\n  " + "\n  ".join(rows) + " ]\n").encode()


def _slices(text: str) -> tuple[slice, ...]:
    parts = []
    for part in text.split(","):
        ends = part.split(":")
        parts.append(slice(int(ends[0]), int(ends[-1]) + 1) if ends[-1] else slice(None))
    return tuple(parts)
