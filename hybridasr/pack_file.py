"""Owns the pack: one file in place of a directory, a zip of arrays and text that is only read.

Whatever reads a model directory reads a pack as well: ``model.hyb/lang/words.txt`` is a path to a
member, and `hybridasr.storage` finds it here. An ``.npz`` file of the directory is a folder of
``.npy`` members, so that an array that does not shrink is mapped into memory, not copied.

The last bytes of the file are a digest of all others, so that no change goes unseen. Nothing in
a pack is run, and its bytes depend on its contents alone.
"""

import hashlib
import io
import json
import math
import mmap
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from hybridasr.errors import DamagedFile, UserError

SUFFIX = ".hyb"
FORMAT = 1
MANIFEST = "pack.json"  # the first member: format, licence, origin
ARRAYS = ".npz"
_REMEDY = "copy it again, or pack the model again"
# The comment at the end of the zip: these words, and SHA-256 of all bytes before its digits.
_CLOSING, _DIGITS = b"hybridasr pack sha256 ", 64
# Arrays begin at such places of the file: numpy and the kernels want them aligned.
_ALIGNMENT = 64
_PADDING = struct.Struct("<HH")  # an extra field of padding, as zipalign writes it
_PADDING_MARK = 0xD935
# A member is kept as it is where packing saves less: it can be mapped then.
_WORTH_PACKING = 0.8
_SMALL, _MOST_PACKED = 64 << 20, 50  # bytes, and times the file, that a pack may unpack to
_HEADER = 1 << 16  # bytes that hold the header of an array
# In front of the name of a member; its last numbers are the lengths of name and extra fields.
_LOCAL_HEADER = struct.Struct("<26xHH")

PathLike = str | Path
Contents = bytes | Mapping[str, np.ndarray]


def npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read the header of an .npy file: (shape, whether by columns, type); ValueError if damaged."""
    version = np.lib.format.read_magic(file)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0,
                   (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read_header is None:
        raise ValueError(f"array of version {version}")
    return read_header(file)


def pad_member(member: zipfile.ZipInfo, place: int, more: int = 0) -> None:
    """Give a member that begins at `place` an extra field, so that its contents are aligned.

    `more` is what `zipfile` adds in extra fields of its own.
    """
    begin = place + _LOCAL_HEADER.size + len(member.filename.encode()) + _PADDING.size + more
    padding = -begin % _ALIGNMENT
    member.extra = _PADDING.pack(_PADDING_MARK, padding) + bytes(padding)


def contents_begin(file: memoryview, member: zipfile.ZipInfo) -> int:
    """Return where the contents of a member begin; struct.error if there is no header."""
    lengths = _LOCAL_HEADER.unpack_from(file, member.header_offset)
    return member.header_offset + _LOCAL_HEADER.size + sum(lengths)


class PackFile:
    """An open pack.

    Parameters
    ----------
    path : path

    Attributes
    ----------
    names : list of str
        Its files, as those of the directory are named, in order.
    manifest : dict

    Raises
    ------
    UserError
        if the file cannot be read, or is of a newer format.
    DamagedFile
        if it is no pack, was changed or cut off, or names a file outside of itself.
    """

    def __init__(self, path: PathLike):
        self.path = Path(path)
        try:
            with open(path, "rb") as file:
                # A private copy of the pages that are written to, of which there are none: arrays
                # of files that may not be written would be of another type to the kernels.
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except (OSError, ValueError) as error:  # ValueError: an empty file
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"cannot be read ({reason}); {_REMEDY}", path) from None
        self._view = memoryview(self._map)
        if bytes(self._view[-_DIGITS:]) != _digest(self._view[:-_DIGITS]):
            raise DamagedFile(f"is damaged, or no packed model; {_REMEDY}", path)
        try:
            with zipfile.ZipFile(path) as bundle:
                self._members = {member.filename: member for member in bundle.infolist()}
        # The digest is right: the file is whole, and another program's.
        except (zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError) as error:
            raise DamagedFile(f"is no packed model ({error}); {_REMEDY}", path) from None
        self._check_members()
        self.manifest = self._read_manifest()
        self.names = list(dict.fromkeys(_file_of(name) for name in self._members))

    def read(self, name: str) -> bytes:
        """Return the contents of a file; `UserError` if there is none of this name."""
        if name.endswith(ARRAYS):
            raise UserError("is kept as arrays; unpack the model to have the file",
                            self.path / name)
        if name not in self._members:
            raise UserError(f"no such file; {_REMEDY}", self.path / name)
        return bytes(self._contents(name))

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """Return the arrays of an .npz file; those that are not packed are mapped, not copied."""
        prefix = f"{name}/"
        members = [member for member in self._members if member.startswith(prefix)]
        if not members:
            raise UserError(f"no such file; {_REMEDY}", self.path / name)
        return {member[len(prefix):].removesuffix(".npy"): self._array(member)
                for member in members}

    def _array(self, name: str) -> np.ndarray:
        contents = self._contents(name)
        try:
            header = io.BytesIO(bytes(contents[:_HEADER]))
            shape, by_columns, dtype = npy_header(header)
            size = len(contents) - header.tell()
            if dtype.hasobject or math.prod(shape) * dtype.itemsize != size:
                raise ValueError(f"it promises {shape} of {dtype}, and holds {size} bytes")
            flat = np.frombuffer(contents, dtype, offset=header.tell()) if size else (
                np.zeros(0, dtype))
            return flat.reshape(shape, order="F" if by_columns else "C")
        # Whatever numpy raises on bytes that are not its own.
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DamagedFile(f"damaged array ({reason}); {_REMEDY}", self.path / name) from None

    def _contents(self, name: str) -> memoryview | bytearray:
        member, view = self._members[name], self._view
        try:
            begin = contents_begin(view, member)
            contents = view[begin:begin + member.compress_size]
            if member.compress_type == zipfile.ZIP_DEFLATED:
                unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
                contents = bytearray(unpacker.decompress(contents, member.file_size + 1))
            if len(contents) != member.file_size:
                raise ValueError(f"{len(contents)} bytes in place of {member.file_size}")
        except (ValueError, struct.error, zlib.error) as error:
            raise DamagedFile(f"cannot be unpacked ({error}); {_REMEDY}",
                              self.path / name) from None
        return contents

    def _check_members(self) -> None:
        members = self._members.values()
        for name in self._members:
            if not _is_inside(name):
                raise DamagedFile(f"has a file named '{name}', which is outside of it; do not "
                                  "trust where it comes from", self.path)
        if {member.compress_type for member in members} - {zipfile.ZIP_STORED,
                                                           zipfile.ZIP_DEFLATED}:
            raise DamagedFile(f"is packed in a way that is not known; {_REMEDY}", self.path)
        limit = max(_SMALL, _MOST_PACKED * len(self._view))
        if sum(member.file_size for member in members) > limit:
            raise DamagedFile(f"unpacks to more than {limit >> 20} MB; {_REMEDY}", self.path)

    def _read_manifest(self) -> dict[str, Any]:
        try:
            manifest = json.loads(self.read(MANIFEST))
            version = manifest["format"]
        except (UserError, ValueError, KeyError, TypeError, RecursionError):
            version = None
        if not isinstance(version, int):
            raise DamagedFile(f"is no packed model (no {MANIFEST} with a format number); "
                              f"{_REMEDY}", self.path)
        if version > FORMAT:
            raise UserError(f"pack format {version}, this version reads up to {FORMAT}; upgrade "
                            "hybridasr", self.path)
        return manifest


def pack_member(path: PathLike) -> tuple[PackFile, str] | None:
    """Return the pack that a path leads into, and the file in it; None if it leads into none.

    The path of a pack itself leads to its folder "".
    """
    path = Path(path)
    for place in (path, *path.parents):
        if place.suffix == SUFFIX and place.is_file():
            name = path.relative_to(place).as_posix()
            return open_pack(place), "" if name == "." else name
    return None


def open_pack(path: PathLike) -> PackFile:
    """Open a pack, or return it if it is open and the file is still the same."""
    status = os.stat(path)
    return _opened(str(path), status.st_mtime_ns, status.st_size, status.st_ino)


@lru_cache(maxsize=4)
def _opened(path: str, *_status: int) -> PackFile:
    return PackFile(path)


def write_pack(file: IO[bytes], manifest: Mapping[str, Any],
               contents: Mapping[str, Contents]) -> None:
    """Write a pack.

    Parameters
    ----------
    manifest : dict
        For JSON; the format is added.
    contents : dict name -> bytes, or arrays by name for an .npz file
        In the order in which the files are to stand.
    """
    text = json.dumps({"format": FORMAT, **manifest}, ensure_ascii=False, indent=2) + "\n"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as bundle:
        _add(bundle, out, MANIFEST, text.encode())
        for name, value in contents.items():
            if isinstance(value, bytes):
                _add(bundle, out, name, value)
                continue
            for key, array in value.items():
                npy = io.BytesIO()
                np.lib.format.write_array(npy, np.asarray(array), allow_pickle=False)
                _add(bundle, out, f"{name}/{key}.npy", npy.getvalue())
        bundle.comment = _CLOSING + b"0" * _DIGITS
    whole = out.getbuffer()[:-_DIGITS]
    file.write(whole)
    file.write(_digest(whole))


def _add(bundle: zipfile.ZipFile, out: io.BytesIO, name: str, contents: bytes) -> None:
    # No time and no system in it: the bytes depend on the contents alone.
    member = zipfile.ZipInfo(name)
    member.create_system, member.external_attr = 3, 0o644 << 16
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = len(packer.compress(contents)) + len(packer.flush())
    if packed < _WORTH_PACKING * len(contents):
        bundle.writestr(member, contents, zipfile.ZIP_DEFLATED, 9)
        return
    pad_member(member, out.tell())
    bundle.writestr(member, contents, zipfile.ZIP_STORED)


def _digest(contents: memoryview) -> bytes:
    return hashlib.sha256(contents).hexdigest().encode()


def _file_of(member: str) -> str:
    """Return the file that a member belongs to.

    >>> _file_of("graph/graph.npz/final.npy"), _file_of("lang/words.txt")
    ('graph/graph.npz', 'lang/words.txt')
    """
    folder = PurePosixPath(member).parent
    return str(folder) if folder.suffix == ARRAYS else member


def _is_inside(name: str) -> bool:
    """Tell whether a name of a member stays within the folder it is unpacked to.

    >>> [_is_inside(name) for name in ("lang/words.txt", "../x", "/x", "a/../../x", "c:x", "a//b")]
    [True, False, False, False, False, False]
    """
    parts = name.split("/")
    return not re.search(r"[\\:\x00-\x1f]", name) and not {"", ".", ".."} & {*parts}
