"""Kaldi's text archives of lattices: as written, read again, and damaged."""

import gzip

import numpy as np
import pytest
from helpers_lattice import all_paths, random_lattice

from hybridasr.errors import UserError
from hybridasr.lattice.determinize import determinize_lattice
from hybridasr.lattice.lattice import CompactLattice, Lattice
from hybridasr.lattice.lattice_text import (
    format_lattice,
    read_lattices,
    write_lattices,
)

COMPACT = """utt-1\x20
0\t1\t7\t1.5,20.25,3_3_4
0\t2\t8\t2,30,
1\t0.5,0,5
2

utt-2\x20
0

"""
PLAIN = """utt-1\x20
0\t1\t3\t7\t1.5,20.25
0\t2\t5\t0
1\t2\t0\t9\t0.25,0
2\t1,2

"""


def test_compact_archive(tmp_path):
    (tmp_path / "lat").write_text(COMPACT)
    (key, lattice), (_, silent) = read_lattices(tmp_path / "lat")
    assert key == "utt-1"
    assert isinstance(lattice, CompactLattice)
    assert sorted(all_paths(lattice)) == [((7,), 2.0, 20.25, (3, 3, 4, 5)), ((8,), 2.0, 30.0, ())]
    assert all_paths(silent) == [((), 0.0, 0.0, ())]
    write_lattices(tmp_path / "again", read_lattices(tmp_path / "lat"))
    again = [sorted(all_paths(item)) for _, item in read_lattices(tmp_path / "again")]
    assert again == [sorted(all_paths(item)) for _, item in read_lattices(tmp_path / "lat")]


def test_plain_archive(tmp_path):
    with gzip.open(tmp_path / "lat.1.gz", "wt") as file:
        file.write(PLAIN)
    ((_, lattice),) = read_lattices(tmp_path / "lat.1.gz")
    assert isinstance(lattice, Lattice)
    assert sorted(all_paths(lattice)) == [((), 1.0, 2.0, (5,)), ((7, 9), 2.75, 22.25, (3,))]
    assert sorted(all_paths(determinize_lattice(lattice))) == sorted(all_paths(lattice))


def test_written_as_kaldi_does():
    lattice = CompactLattice(
        np.array([0, 0], np.int32), np.array([1, 1], np.int32), np.array([4, 5], np.int32),
        np.array([1.0, 0.0]), np.array([2.5, 0.0]), np.array([np.inf, 0.0]), np.zeros(2),
        [np.array([6, 7], np.int32), np.empty(0, np.int32)], [np.empty(0, np.int32)] * 2)
    assert format_lattice(lattice) == "0\t1\t4\t1,2.5,6_7\n0\t1\t5\n1\n"


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_random_lattices_come_back(seed, suffix, tmp_path):
    rng = np.random.default_rng(seed)
    raw = random_lattice(rng, 8, 18)
    written = [("a", raw), ("b", determinize_lattice(raw))]
    write_lattices(tmp_path / f"lat{suffix}", written)
    found = list(read_lattices(tmp_path / f"lat{suffix}"))
    assert [key for key, _ in found] == ["a", "b"]
    for (_, lattice), (_, original) in zip(found, written, strict=True):
        assert sorted(all_paths(lattice)) == sorted(all_paths(original))


def test_states_in_any_order(tmp_path):
    (tmp_path / "lat").write_text("u \n5\t9\t1\t1,1,2\n7\t3\n9\t7\t2\t1,1,3\n7\n\n")
    with pytest.raises(UserError, match=r"lat:3: lattice of 'u': '7 3' is neither an arc nor"):
        list(read_lattices(tmp_path / "lat"))
    (tmp_path / "lat").write_text("u \n5\t9\t1\t1,1,2\n7\n9\t7\t2\t1,1,3\n\n")
    ((_, lattice),) = read_lattices(tmp_path / "lat")
    assert all_paths(lattice) == [((1, 2), 2.0, 2.0, (2, 3))]


@pytest.mark.parametrize(("text", "message"), [
    ("", None),
    (COMPACT[:-1], r"lat:8: ends within the lattice of 'utt-2'"),
    (COMPACT[:COMPACT.index("3_3")], r"lat:2: ends within a line"),
    (COMPACT[:COMPACT.index("1\t0.5")], r"lat:3: ends within the lattice of 'utt-1'"),
    ("0\t1\t7\t1,2,3\n\n", r"lat:1: .*where the name of an utterance"),
    (COMPACT.replace("2,30,", "2,thirty,"), r"lat:3: lattice of 'utt-1': '2,thirty,' is not a we"),
    (COMPACT.replace("3_3_4", "3__4"), r"lat:2: .*is not a weight"),
    (COMPACT.replace("3_3_4", "3_0_4"), r"lat:2: .*is not a weight"),
    (COMPACT.replace("2,30,", "nan,30,"), r"lat:3: .*is not a weight"),
    (COMPACT.replace("0\t2\t8", "0\tx\t8"), r"lat:3: .*'x' is not a state"),
    (COMPACT.replace("0\t2\t8", "0\t2\t-8"), r"lat:3: .*'-8' is not a word id"),
    (COMPACT.replace("0\t2\t8", "0\t2\t80"), r"lat:3: .*word 80 is not in the table of words"),
    (COMPACT.replace("2,30,", "Infinity,30,"), r"lat:3: .*cost is infinite"),
    (COMPACT.replace("2\n\n", "2\n2\n\n"), r"lat:6: .*state 2 ends twice"),
    (COMPACT.replace("0\t2\t8", "0\t2\t8\t8\t8"), r"lat:3: .*6 fields, at most 5"),
    (COMPACT.replace("0\t2\t8\t2,30,", "0\t2\t8\t8\t2,30"), r"lat:3: .*mixed"),
    (COMPACT.replace("2,30,", "2,30"), r"lat:3: .*does not fit"),
    (COMPACT.replace("2\n\n", "2\t0\t7\n2\n\n"), r"lat:1: the lattice of 'utt-1' has a cycle"),
    ("utt \0BFST\n", r"lat: is in Kaldi's binary form"),
])
def test_damaged_archives(text, message, tmp_path):
    (tmp_path / "lat").write_text(text)
    if message is None:
        assert list(read_lattices(tmp_path / "lat")) == []
        return
    with pytest.raises(UserError, match=message):
        list(read_lattices(tmp_path / "lat", words=range(1, 10)))


def test_missing_and_cut_gzip(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        list(read_lattices(tmp_path / "none"))
    (tmp_path / "lat.gz").write_bytes(gzip.compress(COMPACT.encode())[:-9])
    with pytest.raises(UserError, match=r"lat.gz: cannot be read"):
        list(read_lattices(tmp_path / "lat.gz"))
