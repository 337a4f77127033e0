"""Owns the binary form of n-gram models: one file of aligned arrays, mapped into memory.

The file begins with `MAGIC`, the format version and the length of the header (both uint32, little
endian) and the header's CRC-32; the header is JSON: the order, the number of words, and for each
array its type, length, place and CRC-32. The arrays begin at multiples of 64 bytes. Processes that
map the same file share its pages.
"""

import json
import struct
import zlib
from pathlib import Path

import numpy as np

from hybridasr.errors import DamagedFile, UserError
from hybridasr.lm.ngram import BEGIN, END, MAX_ORDER, NgramModel
from hybridasr.storage import PathLike, atomic_write, read_error

MAGIC = b"hybridLM"
VERSION = 1
_HEAD = struct.Struct("<8sIII")
_ALIGN = 64
_SMALL = 64 << 20
_TYPES = {"words": "|u1", "keys": "<i8", "log10_probs": "<f4", "log10_backoffs": "<f4"}


def write_binary_lm(path: PathLike, model: NgramModel) -> None:
    """Write a model in binary form; the same model gives the same bytes."""
    arrays = {"words": np.frombuffer("\n".join(model.words).encode(), np.uint8)}
    for order in range(1, model.order + 1):
        arrays[f"log10_probs{order}"] = model.log10_probs[order - 1]
        if order > 1:  # the keys of unigrams are their ids
            arrays[f"keys{order}"] = model.keys[order - 1]
        if order < model.order:
            arrays[f"log10_backoffs{order}"] = model.log10_backoffs[order - 1]
    listing, place, parts = {}, 0, []
    for name, array in arrays.items():
        part = np.ascontiguousarray(array, _TYPES[name.rstrip("0123456789")])
        listing[name] = {"size": len(part), "place": place, "crc": zlib.crc32(part)}
        parts.append(part)
        place += -(-part.nbytes // _ALIGN) * _ALIGN
    header = json.dumps({"order": model.order, "num_words": len(model.words), "arrays": listing,
                         "bytes": place}).encode()
    with atomic_write(path, "wb") as file:
        file.write(_HEAD.pack(MAGIC, VERSION, len(header), zlib.crc32(header)))
        file.write(header)
        file.write(bytes(-file.tell() % _ALIGN))
        for part in parts:
            file.write(part)
            file.write(bytes(-file.tell() % _ALIGN))


def read_binary_lm(path: PathLike, check: bool = False) -> NgramModel:
    """Map a model in binary form.

    Parameters
    ----------
    check : bool
        Whether to compare the checksums of the arrays, which reads the whole file. That of a
        file of up to 64 MB is always done: it takes no time.

    Raises
    ------
    UserError
        if there is no such file, or its format is newer than this program.
    DamagedFile
        if it is something else, cut short, or damaged.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD.size)
            if not head.startswith(MAGIC) or len(head) < _HEAD.size:
                raise _damaged("is no binary language model", path)
            _, version, length, crc = _HEAD.unpack(head)
            if version > VERSION:
                raise UserError(f"has format {version} of binary language models, this program "
                                f"reads {VERSION}; update it, or make the file again", path)
            text = file.read(length)
        if zlib.crc32(text) != crc:
            raise _damaged("has a damaged header", path)
        header = json.loads(text)
        begin = -(-(_HEAD.size + length) // _ALIGN) * _ALIGN
        if Path(path).stat().st_size != begin + header["bytes"]:
            raise _damaged(f"has {Path(path).stat().st_size} bytes instead of "
                           f"{begin + header['bytes']}", path)
        return _map_arrays(path, header, begin, check or header["bytes"] <= _SMALL)
    except FileNotFoundError:
        raise UserError("no such file; check the path", path) from None
    except OSError as error:
        raise read_error(error, path) from None
    except (KeyError, ValueError, TypeError) as error:
        raise _damaged(f"has a damaged header ({error})", path) from None


def _map_arrays(path: PathLike, header: dict, begin: int, check: bool) -> NgramModel:
    arrays, order = {}, header["order"]
    if not 1 <= order <= MAX_ORDER * 2:
        raise _damaged(f"is of order {order}", path)
    for name, entry in header["arrays"].items():
        kind = _TYPES[name.rstrip("0123456789")]
        arrays[name] = (np.memmap(path, kind, "r", begin + entry["place"], (entry["size"],))
                        if entry["size"] else np.empty(0, kind))
        if check and zlib.crc32(arrays[name]) != entry["crc"]:
            raise _damaged(f"has other contents in '{name}' than were written", path)
    words = tuple(arrays["words"].tobytes().decode().split("\n"))
    keys = [np.arange(len(words)), *(arrays[f"keys{n}"] for n in range(2, order + 1))]
    model = NgramModel(words, tuple(keys),
                       tuple(arrays[f"log10_probs{n}"] for n in range(1, order + 1)),
                       tuple(arrays[f"log10_backoffs{n}"] for n in range(1, order)))
    sizes = model.num_ngrams
    if (len(words) != header["num_words"] or END not in words or (order > 1 and BEGIN not in words)
            or sizes != tuple(map(len, model.log10_probs))
            or sizes[:-1] != tuple(map(len, model.log10_backoffs))):
        raise _damaged("has arrays that do not fit together", path)
    for length in range(2, order + 1):
        one = keys[length - 1]
        # The last key of a sorted array is the largest.
        if len(one) and not 0 <= one[0] <= one[-1] < sizes[length - 2] * len(words):
            raise _damaged(f"has {length}-grams of histories that it lacks", path)
    return model


def _damaged(what: str, path: PathLike) -> DamagedFile:
    return DamagedFile(f"{what}; make it again with 'hybridasr convert-lm'", path)
