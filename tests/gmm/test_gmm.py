"""Diagonal mixtures against scipy, dense EM and plain loops."""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from hybridasr.gmm.diag import DiagGmm, GmmStats
from hybridasr.gmm.update import UpdateOptions, estimate, initial_gmm, split, split_targets


def random_gmm(rng, sizes, dim):
    total = sum(sizes)
    weights = np.concatenate([rng.dirichlet(np.ones(size)) for size in sizes])
    return DiagGmm(weights, rng.normal(size=(total, dim)), rng.uniform(0.3, 2, (total, dim)),
                   np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


def component_scores(gmm, feats):
    """log w N(x): (frames, gaussians), by scipy."""
    return np.stack([np.log(gmm.weights[g]) + multivariate_normal(
        gmm.means[g], np.diag(gmm.variances[g])).logpdf(feats)
        for g in range(gmm.num_gaussians)], axis=1)


@pytest.mark.parametrize("dim", [1, 7, 16, 39])
def test_loglikes_are_scipys(dim):
    rng = np.random.default_rng(dim)
    gmm = random_gmm(rng, [1, 5, 3], dim)
    feats = rng.normal(size=(45, dim)).astype(np.float32)
    scores = component_scores(gmm, feats)
    expected = np.stack([logsumexp(scores[:, a:b], axis=1)
                         for a, b in zip(gmm.offsets[:-1], gmm.offsets[1:], strict=True)], axis=1)
    found = gmm.scorer().loglikes(feats)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)
    chosen = gmm.scorer().loglikes(feats, np.array([2, 0]))
    np.testing.assert_allclose(chosen, found[:, [2, 0]], rtol=1e-6)


def test_columns_must_fit():
    with pytest.raises(ValueError, match="the model has 3 columns"):
        random_gmm(np.random.default_rng(0), [2], 3).scorer().loglikes(np.zeros((4, 5), np.float32))
    assert random_gmm(np.random.default_rng(0), [2], 3).scorer().loglikes(
        np.zeros((0, 3), np.float32)).shape == (0, 1)


def test_statistics_are_those_of_dense_em():
    rng = np.random.default_rng(1)
    gmm = random_gmm(rng, [4, 1, 6], 5)
    feats = rng.normal(size=(200, 5)).astype(np.float32)
    pdfs = rng.integers(-1, 3, 200)  # -1: left out
    stats = GmmStats.zeros(11, 5)
    gmm.scorer().accumulate(feats, pdfs, stats)
    scores = component_scores(gmm, feats)
    owner = np.repeat(np.arange(3), np.diff(gmm.offsets))
    scores[owner[None] != pdfs[:, None]] = -np.inf
    kept = pdfs >= 0
    total = logsumexp(scores[kept], axis=1)
    posteriors = np.exp(scores[kept] - total[:, None])
    x = feats[kept].astype(np.float64)
    assert stats.frames == kept.sum()
    assert stats.loglike == pytest.approx(total.sum(), rel=1e-6)
    np.testing.assert_allclose(stats.occupancy, posteriors.sum(0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(stats.first, posteriors.T @ x, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(stats.second, posteriors.T @ x**2, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_em_never_lowers_the_likelihood(seed):
    rng = np.random.default_rng(seed)
    gmm = random_gmm(rng, [3, 5], 4)
    feats = (rng.normal(size=(600, 4)) * rng.uniform(0.5, 3, 4)
             + 3 * rng.integers(0, 3, (600, 1))).astype(np.float32)
    pdfs = rng.integers(0, 2, 600)
    history = []
    for _ in range(12):
        stats = GmmStats.zeros(gmm.num_gaussians, 4)
        gmm.scorer().accumulate(feats, pdfs, stats)
        history.append(stats.loglike)
        gmm = estimate(gmm, stats, UpdateOptions(min_occupancy=0.0, min_weight=0.0))
        np.testing.assert_allclose(np.add.reduceat(gmm.weights, gmm.offsets[:-1]), 1.0, rtol=1e-9)
    assert (np.diff(history) >= -1e-3).all()
    assert history[-1] > history[0]


def test_poor_gaussians_go_and_the_last_one_stays():
    gmm = random_gmm(np.random.default_rng(0), [3, 2, 2], 2)
    stats = GmmStats.zeros(7, 2)
    stats.occupancy[:] = [50, 4, 50, 2, 3, 0, 0]
    stats.first[:] = stats.occupancy[:, None] * 2.0
    stats.second[:] = stats.occupancy[:, None] * 5.0
    found = estimate(gmm, stats)
    assert np.diff(found.offsets).tolist() == [2, 1, 2]
    np.testing.assert_allclose(found.weights[:3], [0.5, 0.5, 1.0], rtol=1e-12)
    np.testing.assert_allclose(found.means[:3], 2.0, rtol=1e-12)
    np.testing.assert_allclose(found.variances[:3], 1.0, rtol=1e-12)
    # A pdf without frames stays as it was.
    np.testing.assert_array_equal(found.means[3:], gmm.means[5:])
    np.testing.assert_array_equal(found.weights[3:], gmm.weights[5:])


def test_variances_have_a_floor():
    gmm = random_gmm(np.random.default_rng(0), [1], 2)
    stats = GmmStats(np.array([100.0]), np.array([[200.0, 0.0]]), np.array([[400.0, 100.0]]))
    found = estimate(gmm, stats)
    np.testing.assert_allclose(found.variances, [[0.001, 1.0]], rtol=1e-9)


def slow_targets(occupancy, total, power, min_count):
    targets = [1] * len(occupancy)
    open_pdfs = set(range(len(occupancy)))
    while sum(targets) < total and open_pdfs:
        pdf = max(open_pdfs, key=lambda p: (occupancy[p] ** power / targets[p], -p))
        if occupancy[pdf] / (targets[pdf] + 1) < min_count:
            open_pdfs.remove(pdf)
        else:
            targets[pdf] += 1
    return targets


def test_split_targets_against_a_plain_loop():
    rng = np.random.default_rng(3)
    for total in (5, 20, 60, 500):
        occupancy = rng.uniform(1, 3000, 8)
        found = split_targets(occupancy, np.ones(8, int), total, 0.25, 20.0)
        assert found.tolist() == slow_targets(occupancy, total, 0.25, 20.0)


def test_split_keeps_weight_and_mean():
    gmm = random_gmm(np.random.default_rng(0), [1, 2], 3)
    grown = split(gmm, np.array([1000.0, 1000.0]), 10, 0.25, seed=4)
    assert grown.num_gaussians == 10
    for pdf in range(2):
        old = slice(*gmm.offsets[pdf:pdf + 2])
        new = slice(*grown.offsets[pdf:pdf + 2])
        assert grown.weights[new].sum() == pytest.approx(1.0, rel=1e-12)
        np.testing.assert_allclose(grown.weights[new] @ grown.means[new],
                                   gmm.weights[old] @ gmm.means[old], rtol=1e-9, atol=1e-9)
    again = split(gmm, np.array([1000.0, 1000.0]), 10, 0.25, seed=4)
    np.testing.assert_array_equal(again.means, grown.means)


def test_flat_start():
    gmm = initial_gmm(np.array([1.0, 2.0]), np.array([3.0, 4.0]), 5)
    assert gmm.num_pdfs == gmm.num_gaussians == 5
    assert (gmm.means == [1.0, 2.0]).all()
