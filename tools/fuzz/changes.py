"""Owns the changes that files get: bytes, words of a text, values of JSON, arrays of a bundle.

Every change is drawn from the generator that is given, so that a seed says them all.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

NUMBERS = [-1, 0, 1, 2, 3, 255, 256, 32767, 65535, 65536, 10**6, 10**8, 10**9, 2**31 - 2, 2**31 - 1,
           2**31, 2**32 - 1, 2**63 - 1, -2**31, -2**63, 10**30]
WORDS = ["", "nan", "inf", "-inf", "1e400", "-1e400", "1e-400", "0.0", "-0.5", "1.5", "0x10", "1_000",
         "<eps>", "#0", "</s>", "<s>", "<UNK>", "\0", "\ufeff", "\u3000", "\u202e", "a" * 70000, "你好",
         "é", "|", "cat |", "..", "/", "[", "]", "{", "\"", "'", "%s", "\\", "\r", "\t", "٣", "①"]
VALUES: list[Any] = [None, True, False, "", "x", [], {}, [[]], {"a": 1}, 0.5, float("nan"), float("inf"),
                     -1e308, 1e308, "\0", [None], [1, 2, 3]]


def change_file(path: Path, rng: np.random.Generator) -> str:
    """Change one file in place, once to three times; return what was done."""
    if rng.random() < 0.04:
        return _replace(path, rng)
    data, names = path.read_bytes(), []
    for _ in range(int(rng.integers(1, 4))):
        change = _change_for(path, data, rng)
        names.append(change.__name__.strip("_"))
        data = change(data, rng)
    # Not over the old file, which may be a link to the base.
    path.unlink()
    path.write_bytes(data)
    return "+".join(names)


def _replace(path: Path, rng: np.random.Generator) -> str:
    path.unlink()
    choice = int(rng.integers(5))
    if choice == 0:
        return "missing"
    if choice == 1:
        path.mkdir()
        return "directory"
    path.write_bytes([b"", rng.bytes(200), b"\n"][choice - 2])
    return ["empty", "noise", "blank"][choice - 2]


def _change_for(path: Path, data: bytes, rng: np.random.Generator):
    if rng.random() < 0.25:
        return change_bytes
    if path.suffix == ".npz":
        return change_arrays
    if path.suffix == ".json":
        return change_json
    return change_bytes if b"\0" in data[:4096] else change_text


def change_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip, set, insert, drop, repeat or cut; numbers of four bytes are set as such."""
    if not data:
        return rng.bytes(10)
    place = int(rng.integers(len(data))) if rng.random() < 0.6 else int(rng.integers(min(len(data), 120)))
    length = int(rng.integers(1, 40))
    number = NUMBERS[int(rng.integers(len(NUMBERS)))]
    four = (number % 2**32).to_bytes(4, "little")
    return [lambda: data[:place] + bytes([data[place] ^ 1 << int(rng.integers(8))]) + data[place + 1:],
            lambda: data[:place] + rng.bytes(1) + data[place + 1:],
            lambda: data[:place] + rng.bytes(length) + data[place:],
            lambda: data[:place] + data[place + length:],
            lambda: data[:place] + data[place:place + length] * 3 + data[place + length:],
            lambda: data[:place],
            lambda: data[:place] + bytes(length) + data[place + length:],
            lambda: data[:place] + four + data[place + 4:],
            lambda: data + rng.bytes(length)][int(rng.integers(9))]()


def change_text(data: bytes, rng: np.random.Generator) -> bytes:
    """Change a word, a line or the order of lines."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    place = int(rng.integers(len(lines)))
    other = int(rng.integers(len(lines)))
    words = lines[place].split(" ")
    word = int(rng.integers(len(words)))
    odd = WORDS[int(rng.integers(len(WORDS)))] if rng.random() < 0.6 else str(
        NUMBERS[int(rng.integers(len(NUMBERS)))])
    choice = int(rng.integers(9))
    if choice < 4:
        words[word] = odd if choice < 3 else words[word] + odd
        lines[place] = " ".join(words)
    elif choice == 4:
        lines[place] = " ".join(words[:word] + words[word + 1:])
    elif choice == 5:
        del lines[place]
    elif choice == 6:
        lines[place], lines[other] = lines[other], lines[place]
    elif choice == 7:
        lines.insert(other, lines[place])
    else:
        lines = lines[:place]
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def change_json(data: bytes, rng: np.random.Generator) -> bytes:
    """Change one value anywhere in a tree of JSON, or leave it out."""
    try:
        root = json.loads(data)
    except (ValueError, RecursionError):  # changed before
        return change_bytes(data, rng)
    top: dict[Any, Any] = {"": root}
    holder, key = top, ""
    for _ in range(int(rng.integers(1, 8))):
        value = holder[key]
        if isinstance(value, dict) and value:
            holder, key = value, list(value)[int(rng.integers(len(value)))]
        elif isinstance(value, list) and value:
            holder, key = value, int(rng.integers(len(value)))
    choice = rng.random()
    if choice < 0.15:
        del holder[key]
    elif choice < 0.2:
        return json.dumps(root).encode().replace(b"1", b"[" * 20000 + b"]" * 20000, 1)
    elif choice < 0.6:
        holder[key] = NUMBERS[int(rng.integers(len(NUMBERS)))]
    else:
        holder[key] = VALUES[int(rng.integers(len(VALUES)))]
    return json.dumps(top.get("")).encode()


def change_arrays(data: bytes, rng: np.random.Generator) -> bytes:
    """Change one array of a bundle: a value, all of them, its type, its shape, or leave it out."""
    try:
        with np.load(io.BytesIO(data)) as bundle:
            arrays = {name: bundle[name] for name in bundle.files}
    except Exception:  # changed before
        return change_bytes(data, rng)
    if not arrays:
        return change_bytes(data, rng)
    name = list(arrays)[int(rng.integers(len(arrays)))]
    arrays[name] = _changed(arrays[name], rng)
    if arrays[name] is None:
        del arrays[name]
    file = io.BytesIO()
    (np.savez_compressed if rng.random() < 0.1 else np.savez)(file, **arrays)
    return file.getvalue()


def _changed(array: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    choice = int(rng.integers(14))
    if choice < 6 and array.size:
        flat = array.reshape(-1).copy()
        place = int(rng.integers(flat.size))
        if choice == 5:
            place = slice(None)
        with np.errstate(all="ignore"):
            flat[place] = _odd_number(array.dtype, rng)
        return flat.reshape(array.shape)
    if choice == 6:
        return array[:-1] if array.ndim and len(array) else array.reshape(1, -1)
    if choice == 7:
        return np.concatenate([array, array[:1]]) if array.ndim else array.reshape(1)
    if choice == 8:
        return array.T.copy() if array.ndim > 1 else array.reshape(-1, 1)
    if choice == 9:
        return array.astype([np.float64, np.int64, np.float16, np.uint8, "U8", np.complex64,
                             bool][int(rng.integers(7))], casting="unsafe")
    if choice == 10:
        return array.reshape(-1)[:0]
    if choice == 11 and array.size:
        return rng.permutation(array.reshape(-1)).reshape(array.shape)
    if choice == 12:
        return -array if array.dtype.kind in "if" else array
    return None


def _odd_number(dtype: np.dtype, rng: np.random.Generator) -> Any:
    if dtype.kind == "f":
        return [np.nan, np.inf, -np.inf, 0.0, -1.0, 1e30, -1e30, 1e-30, 1e300][int(rng.integers(9))]
    number = NUMBERS[int(rng.integers(len(NUMBERS)))]
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return min(max(number, limits.min), limits.max)
    return number
