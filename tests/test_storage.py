"""Files on disk: whole or not at all, and errors that say what to do."""

import errno
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridasr import storage
from hybridasr.errors import UserError
from hybridasr.storage import (
    atomic_path,
    atomic_write,
    digest,
    read_arrays,
    read_bytes,
    read_json,
    read_text,
    write_arrays,
    write_json,
    write_text,
)


def write_half(path, error):
    with atomic_write(path) as file:
        file.write("half of the n")
        raise error


def fill_half(path, error):
    with atomic_path(path) as name:
        name.write_bytes(b"half")
        raise error


def test_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "model"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError):
        write_half(path, ZeroDivisionError())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_failed_writer_by_name_keeps_the_old_file(tmp_path):
    path = tmp_path / "feats.ark"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        fill_half(path, KeyboardInterrupt())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    with atomic_path(path) as name:
        assert name.suffix == ".ark"
        name.write_bytes(b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_says_so_and_keeps_the_old_file(tmp_path, code):
    path = tmp_path / "model"
    write_text(path, "old")
    error = OSError(code, os.strerror(code))
    with pytest.raises(UserError, match="model: no space left on the disk; free some, then run"):
        write_half(path, error)
    with pytest.raises(UserError, match="model: no space left on the disk"):
        fill_half(path, error)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_at_rename(tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage.os, "replace", full)
    with pytest.raises(UserError, match="no space left on the disk"):
        write_json(tmp_path / "results.json", [1])
    assert list(tmp_path.iterdir()) == []


def test_directory_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file/model: .*check the path"):
        write_text(tmp_path / "file" / "model", "x")


def test_folders_are_made_and_permissions_are_ordinary(tmp_path):
    path = tmp_path / "exp" / "mono" / "phones.txt"
    write_text(path, "SIL 1\n")
    (tmp_path / "plain").write_text("")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\ufeff")))
def test_text_round_trip(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("text") / "text"
    write_text(path, text)
    assert read_text(path) == text


def test_byte_order_mark_of_windows_is_dropped(tmp_path):
    path = tmp_path / "commands.txt"
    path.write_bytes(b"\xef\xbb\xbf" + "打开".encode())
    assert read_text(path) == "打开"


def test_wrong_encoding_names_line_and_remedy(tmp_path):
    path = tmp_path / "commands.txt"
    path.write_bytes("# 命令\n".encode() + "打开空调\n".encode("gbk"))
    with pytest.raises(UserError, match=r"commands.txt:2: byte 0xb4 is not UTF-8; .*iconv -f GBK"):
        read_text(path)


def test_missing_files_are_named(tmp_path):
    for read in (read_bytes, read_text, read_json, read_arrays):
        with pytest.raises(UserError, match="nowhere: no such file"):
            read(tmp_path / "nowhere")
    for read in (read_bytes, read_text):
        with pytest.raises(UserError, match="cannot be read"):
            read(tmp_path)


def test_json_round_trip_keeps_hanzi_readable(tmp_path):
    path = tmp_path / "results.json"
    value = {"文": [1, 2.5, None, True]}
    write_json(path, value)
    assert read_json(path) == value
    assert "文" in path.read_text(encoding="utf-8")


def test_json_syntax_error_names_its_line(tmp_path):
    path = tmp_path / "results.json"
    path.write_text('[\n  {"wer": 1\n')
    with pytest.raises(UserError, match=r"results.json:\d+: not JSON .*; restore or remake it"):
        read_json(path)


def test_arrays_round_trip_and_same_bytes(tmp_path):
    arrays = {"means": np.arange(6, dtype=np.float32).reshape(2, 3), "ids": np.zeros(0, np.int64)}
    write_arrays(tmp_path / "a.npz", **arrays)
    write_arrays(tmp_path / "b.npz", **arrays)
    back = read_arrays(tmp_path / "a.npz")
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_large_arrays_are_mapped(tmp_path):
    path = tmp_path / "graph.npz"
    rng = np.random.default_rng(1)
    arrays = {"odd": np.arange(3, dtype=np.int8), "weight": rng.random(300_000).astype(np.float32),
              "means": rng.random((700, 400)), "turned": np.asfortranarray(rng.random((400, 500)))}
    write_arrays(path, **arrays)
    for reader in (read_arrays, np.load):  # numpy reads our files, and we read numpy's
        back = reader(path)
        for name, array in arrays.items():
            np.testing.assert_array_equal(back[name], array)
    back = read_arrays(path)
    for name in ("weight", "means"):
        # Aligned, and of no other type to the kernels than an array in memory.
        assert back[name].ctypes.data % 64 == 0
        assert back[name].flags.writeable
        assert type(back[name]) is np.ndarray
    # What is written stays in memory: the file, and who else reads it, keep what was there.
    back["weight"][:] = 0
    np.testing.assert_array_equal(read_arrays(path)["weight"], arrays["weight"])
    np.savez(path, **arrays)
    np.testing.assert_array_equal(read_arrays(path)["means"], arrays["means"])


def test_a_mapped_array_is_checked(tmp_path):
    path = tmp_path / "graph.npz"
    weight = np.random.default_rng(2).random(300_000)
    write_arrays(path, weight=weight)
    contents = bytearray(path.read_bytes())
    contents[contents.index(weight[200_000:200_010].tobytes())] ^= 1
    path.write_bytes(contents)
    with pytest.raises(UserError, match="graph.npz: damaged array file .*CRC.*; remake it"):
        read_arrays(path)


@pytest.mark.parametrize("keep", [0, 10, 200])
def test_truncated_arrays_are_refused(tmp_path, keep):
    path = tmp_path / "final.npz"
    write_arrays(path, means=np.zeros(100))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match="final.npz: damaged array file .*; remake it"):
        read_arrays(path)


def test_pickled_objects_are_refused(tmp_path):
    np.savez(tmp_path / "bad.npz", a=np.array([{}], dtype=object))
    with pytest.raises(UserError, match="damaged array file"):
        read_arrays(tmp_path / "bad.npz")


def test_digest_depends_on_values_order_and_file_contents(tmp_path):
    path = tmp_path / "file"
    path.write_text("a")
    one = digest({"beam": 13, "x": 1}, path, b"raw")
    assert digest({"x": 1, "beam": 13}, path, b"raw") == one
    assert digest(path, {"beam": 13, "x": 1}, b"raw") != one
    assert digest("ab", "c") != digest("a", "bc")
    path.write_text("b")
    assert digest({"beam": 13, "x": 1}, path, b"raw") != one
