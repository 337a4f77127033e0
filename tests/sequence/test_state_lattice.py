"""Lattices by states: from the search's lattices, and in files."""

import numpy as np
import pytest

from hybridasr.errors import DamagedFile, UserError
from hybridasr.lattice.lattice import Lattice
from hybridasr.lattice.posteriors import forward_backward
from hybridasr.sequence.criteria import Reading, Units, mmi
from hybridasr.sequence.state_lattice import (
    StateLattice,
    read_state_lattices,
    write_state_lattices,
)
from hybridasr.storage import read_arrays, write_arrays

NAMES = ["a", "b", "c"]


def raw_lattice(seed):
    """A lattice as of the search: two states a frame, both final at the end."""
    rng = np.random.default_rng(seed)
    arcs = [(0, 1), (0, 2), (1, 3), (1, 4), (2, 4)]
    source, target = np.array(arcs).T
    final = np.array([np.inf, np.inf, np.inf, 0.5, 0.25])
    return Lattice(source, target, np.zeros(5, int), rng.random(5), rng.random(5), final,
                   np.zeros(5), rng.integers(1, 4, 5))


def test_sums_are_those_of_the_search():
    raw = raw_lattice(1)
    lattice = StateLattice.of(raw)
    units = Units(np.array([-1, 0, 1, 2], np.int32), np.arange(4, dtype=np.int32),
                  np.zeros(4, bool))
    reading = Reading.of(lattice, units)
    assert reading.num_frames == 2
    got = mmi(reading, np.zeros((2, 3), np.float32), np.array([1, 1], np.int32), units, 1.0)
    # Without acoustic scores.
    assert got.value == pytest.approx(-forward_backward(raw, 0.0)[2], rel=1e-6)


def test_a_block_comes_back(tmp_path):
    lattices = [StateLattice.of(raw_lattice(seed)) for seed in range(3)]
    write_state_lattices(tmp_path / "lat.npz", "stamp", NAMES, lattices)
    block = read_state_lattices(tmp_path / "lat.npz")
    assert (block.stamp, block.names) == ("stamp", NAMES)
    for number, lattice in enumerate(lattices):
        again = block.lattice(number)
        assert again.num_states == lattice.num_states
        for name in ("source", "target", "tid", "cost"):
            np.testing.assert_array_equal(getattr(again, name), getattr(lattice, name))
            assert getattr(again, name).dtype == getattr(lattice, name).dtype


def test_a_block_may_be_empty(tmp_path):
    write_state_lattices(tmp_path / "lat.npz", "stamp", [], [])
    assert read_state_lattices(tmp_path / "lat.npz").names == []


@pytest.mark.parametrize("change", [
    {"tid": None}, {"names": None}, {"cost": np.full(21, np.nan, np.float32)},
    {"arc_offsets": np.array([0, 8, 4, 21])}, {"arc_offsets": np.array([0, 7, 14, 20])},
    {"source": np.zeros(3, np.int32)}, {"num_states": np.array([6, 6])}])
def test_damaged_files_are_refused(tmp_path, change):
    path = tmp_path / "lat.npz"
    write_state_lattices(path, "stamp", NAMES,
                         [StateLattice.of(raw_lattice(seed)) for seed in range(3)])
    arrays = {**read_arrays(path), **change}
    write_arrays(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(DamagedFile, match="make-denlats"):
        read_state_lattices(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_state_lattices(tmp_path / "lat.npz")
