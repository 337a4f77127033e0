"""Mixtures scored as the search needs them, against scoring all of them."""

import numpy as np
import pytest

from hybridasr.gmm.diag import DiagGmm
from hybridasr.gmm.lazy import AHEAD, LazyScorer, known_scores, score_ahead


def mixtures(rng, sizes, dim):
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    weights = rng.random(offsets[-1]) + 0.1
    weights /= np.repeat(np.add.reduceat(weights, offsets[:-1]), sizes)
    return DiagGmm(weights, rng.normal(size=(offsets[-1], dim)) * 3,
                   rng.random((offsets[-1], dim)) + 0.2, offsets)


@pytest.mark.parametrize(("num_frames", "dim"), [(1, 3), (AHEAD, 13), (50, 39), (37, 40)])
def test_scores_are_those_of_all(num_frames, dim):
    rng = np.random.default_rng(dim)
    scorer = mixtures(rng, [1, 7, 20, 2], dim).scorer()
    # Frames far from every mean: single components decide.
    feats = (rng.normal(size=(num_frames, dim)) * rng.choice([1, 30], (num_frames, 1)))
    feats = feats.astype(np.float32)
    table = LazyScorer(scorer).of(feats).table()
    assert np.isnan(table.loglikes).all()
    for pdf in (2, 0):
        for frame in range(0, num_frames, AHEAD):
            score_ahead(table, frame, pdf)
    # Sums of large squares in another order.
    expected = scorer.loglikes(feats)
    np.testing.assert_allclose(table.loglikes[:, [2, 0]], expected[:, [2, 0]], rtol=2e-5,
                               atol=1e-3)
    assert np.isnan(table.loglikes[:, [1, 3]]).all()


def test_frames_ahead_and_no_further():
    rng = np.random.default_rng(0)
    scorer = mixtures(rng, [3, 4], 5).scorer()
    feats = rng.normal(size=(3 * AHEAD, 5)).astype(np.float32)
    table = LazyScorer(scorer).of(feats).table()
    score_ahead(table, 7, 1)
    known = np.flatnonzero(~np.isnan(table.loglikes[:, 1]))
    assert known.tolist() == list(range(7, 7 + AHEAD))
    np.testing.assert_allclose(table.loglikes[known, 1], scorer.loglikes(feats)[known, 1],
                               rtol=1e-5, atol=1e-4)


def test_wrong_dimension_and_known_scores():
    scorer = mixtures(np.random.default_rng(0), [2], 4).scorer()
    with pytest.raises(ValueError, match="the model has 4 columns"):
        LazyScorer(scorer).of(np.zeros((3, 5), np.float32))
    assert len(LazyScorer(scorer).of(np.zeros((3, 4), np.float32))) == 3
    np.testing.assert_array_equal(known_scores(np.ones((2, 3))).loglikes, np.ones((2, 3)))
