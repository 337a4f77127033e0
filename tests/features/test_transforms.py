"""Deltas, splicing, linear transforms against loops and Kaldi's values."""

import numpy as np
import pytest

from hybridasr.errors import UserError
from hybridasr.features.archives import read_ark
from hybridasr.features.transforms import add_deltas, apply_transform, splice


def rows(frames, dim=3, seed=0):
    return np.random.default_rng(seed).standard_normal((frames, dim)).astype(np.float32)


@pytest.mark.parametrize("frames", [1, 2, 5, 40])
@pytest.mark.parametrize("window", [1, 2, 3])
def test_deltas_are_the_regression_slope(frames, window):
    x = rows(frames)
    found = add_deltas(x, 2, window)
    assert found.dtype == np.float32
    norm = sum(j * j for j in range(-window, window + 1))

    def at(t):
        return x[min(max(t, 0), frames - 1)].astype(np.float64)

    for t in range(frames):
        slope = sum(j * at(t + j) for j in range(-window, window + 1)) / norm
        # The second is the slope of the slopes, with frames (not slopes) repeated at the ends.
        bend = sum(i * j * at(t + i + j) for i in range(-window, window + 1)
                   for j in range(-window, window + 1)) / norm ** 2
        np.testing.assert_allclose(found[t], [*x[t], *slope, *bend], rtol=1e-5, atol=1e-6)


def test_deltas_of_no_frames_and_of_order_zero():
    assert add_deltas(rows(0)).shape == (0, 9)
    np.testing.assert_array_equal(add_deltas(rows(4), 0), rows(4))


@pytest.mark.realdata
def test_deltas_agree_with_kaldi(ref_root):
    static = dict(read_ark(ref_root / "features" / "mfcc.txt"))
    for key, expected in read_ark(ref_root / "features" / "mfcc_deltas.txt"):
        np.testing.assert_allclose(add_deltas(static[key]), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("frames", [1, 3, 10])
def test_splice_repeats_the_edge_frames(frames):
    x = rows(frames, 2)
    found = splice(x, 3, 2)
    assert found.shape == (frames, 12)
    for t in range(frames):
        expected = [x[min(max(t + d, 0), frames - 1)] for d in range(-3, 3)]
        np.testing.assert_array_equal(found[t], np.concatenate(expected))


def test_splice_of_nothing():
    np.testing.assert_array_equal(splice(rows(4), 0, 0), rows(4))
    assert splice(rows(0), 1, 1).shape == (0, 9)


def test_linear_and_affine_transform():
    x, matrix = rows(5), rows(2, 3, seed=1)
    np.testing.assert_allclose(apply_transform(x, matrix), x @ matrix.T, rtol=1e-6, atol=1e-6)
    affine = np.hstack([matrix, [[10.0], [20.0]]])
    np.testing.assert_allclose(apply_transform(x, affine), x @ matrix.T + [10, 20], rtol=1e-5,
                               atol=1e-5)
    with pytest.raises(UserError, match=r"\(2, 5\) does not fit features of 3 columns"):
        apply_transform(x, np.zeros((2, 5)))
