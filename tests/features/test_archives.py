"""Kaldi archives: hand-packed bytes, kaldiio as the other side, damage named with file and line."""

import gzip
import pickle
import struct

import kaldiio
import numpy as np
import pytest

from hybridasr.errors import UserError
from hybridasr.features.archives import ScpTable, read_ark, read_scp, write_matrices


def table(dtype=np.float32):
    random = np.random.default_rng(3)
    return {f"spk-{i}": (30 * random.standard_normal((4 + 9 * i, 5))).astype(dtype)
            for i in range(3)}


def write(path, items, **options):
    write_matrices(path / "x.ark", path / "x.scp", items.items(), **options)
    return path / "x.scp"


def test_bytes_are_kaldis(tmp_path):
    x = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.float32)
    scp = write(tmp_path, {"lucas-0-00": x, "v": np.array([1.5]), "ali": np.array([7, -1])})
    expected = (b"lucas-0-00 \0BFM \4" + struct.pack("<i", 2) + b"\4" + struct.pack("<i", 3)
                + struct.pack("<6f", 1, 2, 3, 4, 5, 6)
                + b"v \0BDV \4" + struct.pack("<id", 1, 1.5)
                + b"ali \0B\4" + struct.pack("<i", 2) + b"\4" + struct.pack("<i", 7)
                + b"\4" + struct.pack("<i", -1))
    assert (tmp_path / "x.ark").read_bytes() == expected
    lines = scp.read_text().splitlines()
    assert lines[0] == f"lucas-0-00 {tmp_path / 'x.ark'}:11"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("text", [False, True])
def test_round_trip(tmp_path, dtype, text):
    items = {**table(dtype), "none": np.zeros((0, 5), dtype), "one-row": np.ones((1, 2), dtype),
             "vector": np.arange(3.0).astype(dtype), "ali": np.array([4, 4, 5], dtype=np.int32),
             "silent": np.zeros(0, dtype=np.int32), "last": np.array([7])}
    scp = write(tmp_path, items, text=text)
    loaded = read_scp(scp)
    assert list(loaded) == list(items)
    for source in (loaded, dict(read_ark(tmp_path / "x.ark"))):
        for key, x in items.items():
            if key == "none" and text:
                assert source[key].shape == (0, 0)
                continue
            assert source[key].shape == x.shape
            np.testing.assert_allclose(source[key], x, rtol=1e-6, atol=0)
            source[key][...] = 0  # what is read can be written to
    if not text:
        assert loaded["spk-1"].dtype == dtype


def test_kaldiio_reads_what_we_write(tmp_path):
    items = {**table(), "ali": np.array([1, 2, 3], dtype=np.int32)}
    theirs = kaldiio.load_scp(str(write(tmp_path, items)))
    for key, x in items.items():
        np.testing.assert_array_equal(theirs[key], x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_we_read_what_kaldiio_writes(tmp_path, dtype):
    items = {**table(dtype), "ali": np.array([1, 2, 3], dtype=np.int32)}
    kaldiio.save_ark(str(tmp_path / "k.ark"), items, scp=str(tmp_path / "k.scp"))
    for source in (read_scp(tmp_path / "k.scp"), dict(read_ark(tmp_path / "k.ark"))):
        for key, x in items.items():
            np.testing.assert_array_equal(source[key], x)


@pytest.mark.parametrize("method", [1, 2, 3, 5])
def test_compressed_matrices_of_others(tmp_path, method):
    items = table()
    kaldiio.save_ark(str(tmp_path / "k.ark"), items, str(tmp_path / "k.scp"),
                     compression_method=method)
    expected = kaldiio.load_scp(str(tmp_path / "k.scp"))
    # In a row in one archive: the reader must stop where each of them ends.
    for source in (read_scp(tmp_path / "k.scp"), dict(read_ark(tmp_path / "k.ark"))):
        for key, x in items.items():
            np.testing.assert_array_equal(source[key], expected[key])
            span = x.max() - x.min()
            np.testing.assert_allclose(source[key], x, rtol=0, atol=span / 50)


def test_compressed_bytes_by_hand(tmp_path):
    # CM2: two bytes a value, minimum -1, range 2.
    body = b"CM2 " + struct.pack("<ffii", -1.0, 2.0, 1, 3) + struct.pack("<3H", 0, 65535, 13107)
    (tmp_path / "k.ark").write_bytes(b"u \0B" + body)
    ((key, found),) = read_ark(tmp_path / "k.ark")
    assert key == "u"
    np.testing.assert_allclose(found, [[-1.0, 1.0, -0.6]], rtol=1e-6, atol=1e-6)
    # CM: each column by its quarters 0, 10, 20, 30 of the range 0..65535 (in steps of 1).
    body = b"CM " + struct.pack("<ffii", 0.0, 65535.0, 4, 1) + struct.pack("<4H", 0, 10, 20, 30)
    (tmp_path / "k.ark").write_bytes(b"u \0B" + body + bytes([0, 64, 128, 255]))
    ((_, found),) = read_ark(tmp_path / "k.ark")
    np.testing.assert_allclose(found, [[0], [10], [15], [30]], rtol=1e-6, atol=1e-5)


def test_compression_is_small_and_close(tmp_path):
    x = (20 * np.random.default_rng(0).standard_normal((300, 13))).astype(np.float32)
    scp = write(tmp_path, {"long": x, "short": x[:3], "vector": x[0]}, compress=True)
    assert (tmp_path / "x.ark").stat().st_size < 300 * 13 * 1.2
    loaded = read_scp(scp)
    np.testing.assert_allclose(loaded["long"], x, rtol=0, atol=1.5)
    np.testing.assert_allclose(loaded["short"], x[:3], rtol=0, atol=1e-2)
    np.testing.assert_array_equal(loaded["vector"], x[0])


def test_text_archive_of_kaldi(tmp_path):
    (tmp_path / "t.ark").write_text(
        "a  [\n  -1 2.5 \n  3e-2 4 ]\nb  [ 1 2 ]\nc  [ ]\nd 3 4 5\ne 7\n")
    found = dict(read_ark(tmp_path / "t.ark"))
    np.testing.assert_allclose(found["a"], [[-1, 2.5], [0.03, 4]], rtol=1e-6, atol=0)
    np.testing.assert_array_equal(found["b"], [1, 2])
    assert found["c"].shape == (0,)
    np.testing.assert_array_equal(found["d"], [3, 4, 5])
    np.testing.assert_array_equal(found["e"], [7])
    assert found["d"].dtype == np.int32


def test_gzipped_alignments(tmp_path):
    write(tmp_path, {"a": np.array([1, 2]), "b": np.array([3])})
    path = tmp_path / "ali.1.gz"
    path.write_bytes(gzip.compress((tmp_path / "x.ark").read_bytes()))
    assert {k: v.tolist() for k, v in read_ark(path)} == {"a": [1, 2], "b": [3]}


def test_ranges_and_paths_beside_the_scp(tmp_path):
    x = np.arange(20, dtype=np.float32).reshape(5, 4)
    write(tmp_path, {"a": x})
    (tmp_path / "r.scp").write_text(
        "rows x.ark:2[1:3]\nboth x.ark:2[0:1,2:3]\ncolumns x.ark:2[,1:1]\nall x.ark:2\n"
        f"absolute {tmp_path / 'x.ark'}:2[4]\n")
    loaded = read_scp(tmp_path / "r.scp")
    np.testing.assert_array_equal(loaded["rows"], x[1:4])
    np.testing.assert_array_equal(loaded["both"], x[0:2, 2:4])
    np.testing.assert_array_equal(loaded["columns"], x[:, 1:2])
    np.testing.assert_array_equal(loaded["all"], x)
    np.testing.assert_array_equal(loaded["absolute"], x[4:5])


def test_lookup_does_not_load(tmp_path):
    (tmp_path / "r.scp").write_text("a missing.ark:2\n")
    loaded = read_scp(tmp_path / "r.scp")
    assert "a" in loaded
    assert "b" not in loaded
    assert len(loaded) == 1


def test_a_missing_archive_is_named_with_the_line(tmp_path):
    write(tmp_path, {"a": np.ones(2)})
    (tmp_path / "r.scp").write_text("a x.ark:2\nb gone.ark:2\n")
    loaded = read_scp(tmp_path / "r.scp")
    with pytest.raises(UserError, match=r"r\.scp:2: entry 'b': .*gone\.ark.*no such archive"):
        loaded["b"]


@pytest.mark.parametrize("kind", ["FM", "FV", "ali", "CM"])
def test_an_archive_cut_short_is_named(tmp_path, kind):
    items = {"FM": np.ones((9, 5), np.float32), "FV": np.ones(9, np.float32),
             "ali": np.arange(9), "CM": np.ones((9, 5), np.float32)}
    scp = write(tmp_path, {"a": items[kind]}, compress=kind == "CM")
    whole = (tmp_path / "x.ark").read_bytes()
    for length in range(2, len(whole)):
        (tmp_path / "x.ark").write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"x\.scp:1: entry 'a': .*x\.ark:2 is damaged.*again"):
            read_scp(scp)["a"]
        with pytest.raises(UserError, match=r"x\.ark: entry 'a' is damaged"):
            list(read_ark(tmp_path / "x.ark"))


@pytest.mark.parametrize("body", [
    b"\0BFM \4\xff\xff\xff\xff\4\1\0\0\0", b"\0BXY \4\1\0\0\0", b"\0BHello world, hello",
    b"[ 1 2\n",
    b"[\n 1 2\n 3 ]\n", b"one two\n", b"\0BFM \4\xff\xff\xff\x7f\4\xff\xff\xff\x7f",
])
def test_what_is_not_an_archive_is_refused(tmp_path, body):
    (tmp_path / "x.ark").write_bytes(b"a " + body)
    with pytest.raises(UserError, match=r"entry 'a' is damaged"):
        list(read_ark(tmp_path / "x.ark"))


def test_a_pickle_is_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    (tmp_path / "x.ark").write_bytes(b"a PKL" + pickle.dumps(Trap()))
    with pytest.raises(UserError, match="damaged"):
        list(read_ark(tmp_path / "x.ark"))
    assert not (tmp_path / "sprung").exists()


def test_pipes_only_when_allowed(tmp_path):
    write(tmp_path, {"a": np.array([1.0, 2.0])})
    (tmp_path / "p.scp").write_text(f"a tail -c +3 {tmp_path / 'x.ark'} |\nb false |\n")
    with pytest.raises(UserError, match=r"p\.scp:1: .*is a command.*allow"):
        read_scp(tmp_path / "p.scp")["a"]
    allowed = read_scp(tmp_path / "p.scp", allow_pipes=True)
    np.testing.assert_array_equal(allowed["a"], [1.0, 2.0])
    with pytest.raises(UserError, match=r"p\.scp:2: .*failed with 1"):
        allowed["b"]


def test_faults_of_an_scp_file(tmp_path):
    scp = tmp_path / "x.scp"
    scp.write_text("a x.ark:2\nb\n")
    with pytest.raises(UserError, match=r"x\.scp:2: 'b' is not '<key> <archive>'"):
        read_scp(scp)
    scp.write_text("a x.ark:2\na x.ark:3\n")
    with pytest.raises(UserError, match=r"x\.scp:2: entry 'a' comes twice"):
        read_scp(scp)
    with pytest.raises(UserError, match="no such file"):
        read_scp(tmp_path / "none.scp")


@pytest.mark.parametrize(("items", "message"), [
    ([("a", np.ones(2)), ("a", np.ones(2))], "'a'.*comes twice"),
    ([("a b", np.ones(2))], "'a b'.*white space"),
    ([("", np.ones(2))], "empty"),
    ([("a", np.ones((2, 2, 2)))], "'a'.*float64 .2, 2, 2."),
    ([("a", np.ones((2, 2), int))], "'a'.*int64"),
])
def test_faulty_items_leave_no_files(tmp_path, items, message):
    with pytest.raises(UserError, match=message):
        write_matrices(tmp_path / "x.ark", tmp_path / "x.scp", items)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_writer_keeps_the_old_archive(tmp_path):
    scp = write(tmp_path, {"a": np.ones(2)})
    before = scp.read_text(), (tmp_path / "x.ark").read_bytes()

    def failing():
        yield "b", np.ones(3)
        raise UserError("recording broken")

    with pytest.raises(UserError, match="recording broken"):
        write_matrices(tmp_path / "x.ark", scp, failing())
    assert (scp.read_text(), (tmp_path / "x.ark").read_bytes()) == before


def test_table_survives_a_trip_to_a_worker(tmp_path):
    loaded = pickle.loads(pickle.dumps(read_scp(write(tmp_path, table()))))
    assert isinstance(loaded, ScpTable)
    np.testing.assert_array_equal(loaded["spk-2"], table()["spk-2"])


@pytest.mark.realdata
def test_binary_archive_of_kaldi(ref_root):
    found = dict(read_ark(ref_root / "kaldi_tri1_dsp20" / "feats.ark"))
    assert len(found) == 24
    assert {x.shape[1] for x in found.values()} == {39}
