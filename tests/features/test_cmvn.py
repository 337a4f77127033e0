"""CMVN against plain means and against Kaldi's window rule in a loop."""

import numpy as np
import pytest

from hybridasr.errors import UserError
from hybridasr.features.cmvn import apply_cmvn, cmvn_stats, sliding_cmvn, sum_stats


def rows(frames, dim=3, seed=0):
    x = np.random.default_rng(seed).standard_normal((frames, dim))
    return (4 * x + 10).astype(np.float32)


def test_stats_have_kaldis_layout():
    x = np.array([[1, 2], [3, 5]], dtype=np.float32)
    np.testing.assert_array_equal(cmvn_stats(x), [[4, 7, 2], [10, 29, 0]])
    np.testing.assert_array_equal(sum_stats([cmvn_stats(x), cmvn_stats(x)]),
                                  [[8, 14, 4], [20, 58, 0]])


def test_mean_and_variance_over_a_speaker():
    a, b = rows(30), rows(50, seed=2)
    both = np.concatenate([a, b]).astype(np.float64)
    stats = sum_stats([cmvn_stats(a), cmvn_stats(b)])
    found = apply_cmvn(a, stats)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, a - both.mean(axis=0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(apply_cmvn(a, stats, norm_vars=True),
                               (a - both.mean(axis=0)) / both.std(axis=0), rtol=1e-4, atol=1e-5)


def test_a_constant_column_becomes_zero_not_infinite():
    x = np.full((10, 2), 3.0, dtype=np.float32)
    np.testing.assert_array_equal(apply_cmvn(x, cmvn_stats(x), norm_vars=True), np.zeros((10, 2)))


def test_stats_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match=r"\(2, 5\) do not fit features of 3 columns"):
        apply_cmvn(rows(3), np.zeros((2, 5)))
    with pytest.raises(UserError, match="statistics of 0 frames"):
        apply_cmvn(rows(3), np.zeros((2, 4)))


@pytest.mark.parametrize("frames", [1, 2, 7, 25, 60])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("norm_vars", [True, False])
@pytest.mark.parametrize(("window", "min_window"), [(10, 4), (11, 30), (100, 5), (1, 1)])
def test_sliding_window_is_kaldis(frames, center, norm_vars, window, min_window):
    x = rows(frames)
    found = sliding_cmvn(x, window, min_window, center, norm_vars)
    assert found.dtype == np.float32
    for t in range(frames):
        if center:
            start = t - window // 2
            end = start + window
        else:
            start, end = t - window, t + 1
        if start < 0:
            end -= start
            start = 0
        if not center and end > t:
            end = max(t + 1, min_window)
        if end > frames:
            start = max(0, start - (end - frames))
            end = frames
        part = x[start:end].astype(np.float64)
        expected = x[t] - part.mean(axis=0)
        if norm_vars and len(part) == 1:
            expected = np.zeros(3)
        elif norm_vars:
            expected = expected / part.std(axis=0)
        np.testing.assert_allclose(found[t], expected, rtol=1e-4, atol=1e-4)


def test_sliding_window_over_nothing():
    assert sliding_cmvn(rows(0)).shape == (0, 3)
