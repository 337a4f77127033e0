"""Packs: what goes in comes out, read like a directory; what was changed is refused by name."""

import hashlib
import io
import json
import zipfile

import numpy as np
import pytest

from hybridasr.errors import DamagedFile, UserError
from hybridasr.pack_file import MANIFEST, open_pack, write_pack
from hybridasr.storage import (
    file_size,
    files_below,
    is_dir,
    is_file,
    read_arrays,
    read_bytes,
    read_json,
    read_text,
    write_text,
)

RNG = np.random.default_rng(4)
ARRAYS = {"weights": RNG.normal(size=(50, 30)).astype(np.float32),  # which no packing shrinks
          "columns": np.asfortranarray(RNG.normal(size=(4, 3))),
          "zeros": np.zeros((40, 7), np.int32), "none": np.zeros((0, 3)), "one": np.array(5)}
TEXT = "打开 1\n" * 40


@pytest.fixture
def pack(tmp_path):
    path = tmp_path / "lamp.hyb"
    with open(path, "wb") as file:
        write_pack(file, {"licence": "free"}, {"a/words.txt": TEXT.encode(), "b/net.npz": ARRAYS,
                                               "x.json": b"{}"})
    return path


def closed(contents: bytes) -> bytes:
    """Contents with the digest that they ought to have."""
    return contents[:-64] + hashlib.sha256(contents[:-64]).hexdigest().encode()


def bundle(members, comment=b"0" * 64) -> bytes:
    """A zip of (name, contents), as somebody else may make one."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, contents in members:
            file.writestr(name, contents)
        file.comment = comment
    return closed(out.getvalue())


def test_a_pack_is_read_like_a_directory(pack):
    assert read_text(pack / "a" / "words.txt") == TEXT
    assert read_json(pack / MANIFEST)["licence"] == "free"
    for name, array in read_arrays(pack / "b" / "net.npz").items():
        assert array.dtype == ARRAYS[name].dtype
        assert np.array_equal(array, ARRAYS[name])
        assert array.flags.f_contiguous == ARRAYS[name].flags.f_contiguous
    assert [path.relative_to(pack).as_posix() for path in files_below(pack)] == [
        MANIFEST, "a/words.txt", "b/net.npz", "x.json"]
    assert files_below(pack / "b") == [pack / "b" / "net.npz"]
    assert [is_file(pack / name) for name in ("x.json", "b/net.npz", "b", "y")] == [
        True, True, False, False]
    assert [is_dir(pack / name) for name in ("", "a", "a/words.txt", "y")] == [
        True, True, False, False]
    assert file_size(pack / "x.json") == 2
    for name in ("y.txt", "y.npz"):
        with pytest.raises(UserError, match=f"lamp.hyb/{name}: no such file"):
            (read_arrays if name.endswith("npz") else read_bytes)(pack / name)


def test_kernels_take_arrays_of_a_pack_for_those_of_a_file(pack):
    """Aligned and writable, or numba would compile all kernels once more."""
    for array in read_arrays(pack / "b" / "net.npz").values():
        assert array.flags.aligned
        assert array.flags.writeable
    before = pack.read_bytes()
    read_arrays(pack / "b" / "net.npz")["weights"][:] = 0
    assert pack.read_bytes() == before


def test_nothing_is_written_into_a_pack(pack):
    for name in ("new.txt", "a/new.txt", "x.json"):
        with pytest.raises(UserError, match="in a packed model, which is not written to"):
            write_text(pack / name, "new")


def test_every_changed_byte_is_refused(pack):
    contents = pack.read_bytes()
    places = np.unique(np.concatenate([np.arange(0, len(contents), 97), np.arange(80),
                                       np.arange(len(contents) - 200, len(contents))]))
    for place in places.tolist():
        changed = bytearray(contents)
        changed[place] ^= 1 << (place % 8)
        pack.write_bytes(changed)
        with pytest.raises(DamagedFile) as error:
            open_pack(pack)
        assert str(error.value).startswith(f"{pack}: ")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("length", [0, 1, 22, 63, 64, 500, -65, -64, -1])
def test_a_pack_that_is_cut_off_is_refused(pack, length):
    pack.write_bytes(pack.read_bytes()[:length])
    with pytest.raises(UserError, match="lamp.hyb: "):
        open_pack(pack)


def test_a_longer_pack_is_refused(pack):
    pack.write_bytes(pack.read_bytes() + b"\n")
    with pytest.raises(DamagedFile, match="lamp.hyb: is damaged"):
        open_pack(pack)


@pytest.mark.parametrize(("contents", "fault"), [
    (closed(b"x" * 500), "is no packed model"),
    (bundle([("x.json", "{}")]), "is no packed model"),
    (bundle([(MANIFEST, "{}")]), "is no packed model"),
    (bundle([(MANIFEST, "[1")]), "is no packed model"),
    (bundle([(MANIFEST, '{"format": 2}')]), "pack format 2, this version reads up to 1; upgrade"),
    *((bundle([(MANIFEST, '{"format": 1}'), (name, "x")]), "which is outside of it")
      for name in ("../x", "/x", "a/../../x", "c:x", "a\\..\\x")),
])
def test_other_files_are_refused(tmp_path, contents, fault):
    path = tmp_path / "other.hyb"
    path.write_bytes(contents)
    with pytest.raises(UserError) as error:
        open_pack(path)
    assert str(error.value).startswith(f"{path}: ")
    assert fault in str(error.value)


def test_no_more_memory_is_taken_than_a_file_may_hold(tmp_path):
    path, out = tmp_path / "bomb.hyb", io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(MANIFEST, json.dumps({"format": 1}))
        file.writestr("zeros", bytes(80 << 20))
        file.comment = b"0" * 64
    path.write_bytes(closed(out.getvalue()))
    with pytest.raises(DamagedFile, match="bomb.hyb: unpacks to more than 64 MB"):
        open_pack(path)


def npy(array, allow_pickle=False) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, allow_pickle=allow_pickle)
    return out.getvalue()


@pytest.mark.parametrize("contents", [
    b"", b"no array", npy(np.zeros(9))[:-1], npy(np.zeros(9)) + b"x",
    npy(np.array([{}], object), allow_pickle=True)])
def test_damaged_arrays_and_objects_are_refused(tmp_path, contents):
    path = tmp_path / "odd.hyb"
    path.write_bytes(bundle([(MANIFEST, '{"format": 1}'), ("a.npz/x.npy", contents)]))
    with pytest.raises(DamagedFile, match=r"odd.hyb/a.npz/x.npy: damaged array"):
        read_arrays(path / "a.npz")


def test_a_pack_that_is_replaced_is_read_anew(pack):
    assert read_text(pack / "a" / "words.txt") == TEXT
    new = pack.with_suffix(".new")
    with open(new, "wb") as file:
        write_pack(file, {}, {"a/words.txt": b"other"})
    new.replace(pack)
    assert read_text(pack / "a" / "words.txt") == "other"
