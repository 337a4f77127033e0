"""Statistics of trees: rows of frames counted by what they have in common."""

import numpy as np
import pytest

from hybridasr.tree.stats import collect, distinct_rows


@pytest.mark.parametrize("num_frames", [0, 1, 2, 500])
def test_distinct_rows_are_those_of_numpy(num_frames):
    rng = np.random.default_rng(num_frames)
    # Runs of 1 to 6 equal rows, as the frames of a phone are; many rows come back later.
    rows = np.repeat(rng.integers(0, 3, (num_frames, 3)), rng.integers(1, 7, num_frames), axis=0)
    unique, numbers = distinct_rows(rows)
    expected, inverse = np.unique(rows, axis=0, return_inverse=True)
    assert np.array_equal(unique, expected)
    assert np.array_equal(numbers, inverse.reshape(-1))


def test_sums_of_a_key_are_those_of_its_frames():
    rng = np.random.default_rng(1)
    keys = np.repeat(rng.integers(0, 2, (60, 2)), rng.integers(1, 5, 60), axis=0).astype(np.int32)
    feats = rng.normal(size=(len(keys), 4)).astype(np.float32)
    stats = collect(keys, feats)
    assert stats.keys.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    for key, sums in zip(stats.keys, stats.sums, strict=True):
        mine = feats[(keys == key).all(1)].astype(np.float64)
        np.testing.assert_allclose(sums, [len(mine), *mine.sum(0), *(mine**2).sum(0)], rtol=1e-12)
