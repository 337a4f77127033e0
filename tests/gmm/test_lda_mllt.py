"""LDA and MLLT against scipy, plain loops and finite differences."""

import numpy as np
import pytest
import scipy.linalg
from scipy.stats import multivariate_normal

from hybridasr.errors import UserError
from hybridasr.gmm.diag import DiagGmm
from hybridasr.gmm.lda import LdaStats, estimate_lda
from hybridasr.gmm.mllt import (
    MlltStats,
    _mllt_row,
    accumulate_mllt,
    estimate_mllt,
    mllt_objective,
    transform_means,
)


def labelled_frames(seed, frames=9000, dim=7, classes=5, offset=0.0):
    """Frames of correlated classes, and their labels; -1 now and then."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, classes, frames).astype(np.int32)
    mixing = rng.normal(size=(dim, dim))
    means = rng.normal(size=(classes + 1, dim)) * 2
    feats = means[labels] + rng.normal(size=(frames, dim)) @ mixing.T + offset
    return feats.astype(np.float32), labels


def covariances(feats, labels):
    """Within-class and between-class covariance, by loops over the classes."""
    wide, kept = feats[labels >= 0].astype(np.float64), labels[labels >= 0]
    mean, dim = wide.mean(0), wide.shape[1]
    within, between = np.zeros((dim, dim)), np.zeros((dim, dim))
    for label in np.unique(kept):
        rows = wide[kept == label]
        within += (rows - rows.mean(0)).T @ (rows - rows.mean(0)) / len(wide)
        between += np.outer(rows.mean(0) - mean, rows.mean(0) - mean) * len(rows) / len(wide)
    return within, between


@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_lda_solves_the_generalised_eigenproblem(offset):
    feats, labels = labelled_frames(0, offset=offset)
    stats = LdaStats.zeros(6, 7)  # the last class has no frame
    stats.accumulate(feats, labels)
    result = estimate_lda(stats, 3)
    within, between = covariances(feats, labels)
    values, vectors = scipy.linalg.eigh(between, within)
    np.testing.assert_allclose(result.eigenvalues, values[::-1], rtol=1e-3, atol=1e-5)
    assert result.matrix.shape == (3, 7)
    np.testing.assert_array_equal(result.matrix, result.full[:3])
    # scipy's vectors are of unit length in the within-class metric, too: equal up to the sign.
    np.testing.assert_allclose(np.abs(result.matrix @ within @ vectors[:, ::-1][:, :3]), np.eye(3),
                               atol=1e-3)
    np.testing.assert_allclose(result.full @ within @ result.full.T, np.eye(7), atol=1e-4)
    largest = np.abs(result.full).argmax(1)
    assert (result.full[np.arange(7), largest] > 0).all()


def test_lda_statistics_in_parts_and_moments():
    feats, labels = labelled_frames(1)
    parts = [LdaStats.zeros(5, 7) for _ in range(3)]
    parts[0].accumulate(feats[:5000], labels[:5000])
    parts[1].accumulate(feats[5000:], labels[5000:])
    parts[2].accumulate(feats[:0], labels[:0])
    for part in parts[1:]:
        parts[0].add(part)
    wide = feats[labels >= 0].astype(np.float64)
    np.testing.assert_allclose(parts[0].second, wide.T @ wide, rtol=1e-5, atol=1e-1)
    for label in range(5):
        assert parts[0].counts[label] == (labels == label).sum()
        np.testing.assert_allclose(parts[0].first[label],
                                   feats[labels == label].sum(0, dtype=np.float64), rtol=1e-9)
    with pytest.raises(ValueError, match="class 5 of 5"):
        parts[0].accumulate(feats[:1], np.array([5]))


def test_lda_refuses_what_it_cannot_do():
    feats, labels = labelled_frames(2, frames=8)
    stats = LdaStats.zeros(5, 7)
    stats.accumulate(feats, np.arange(8, dtype=np.int32) % 5)
    with pytest.raises(UserError, match="LDA to 8 dimensions from 7"):
        estimate_lda(stats, 8)
    stats = LdaStats.zeros(5, 7)
    stats.accumulate(feats[:7], np.zeros(7, np.int32))
    with pytest.raises(UserError, match="more than 7 frames of speech, 7 are there"):
        estimate_lda(stats, 2)
    stats = LdaStats.zeros(2, 3)
    stats.accumulate(np.full((50, 3), 0.1, np.float32), np.arange(50, dtype=np.int32) % 2)
    with pytest.raises(UserError, match="do not vary within any class"):
        estimate_lda(stats, 2)


def test_lda_leaves_out_dimensions_that_say_nothing():
    """A constant and a doubled dimension change nothing that LDA keeps."""
    feats, labels = labelled_frames(3)
    whole = np.column_stack([feats, np.full(len(feats), 0.3, np.float32), feats[:, 2]])
    plain, singular = LdaStats.zeros(5, 7), LdaStats.zeros(5, 9)
    plain.accumulate(feats, labels)
    singular.accumulate(whole, labels)
    expected, found = estimate_lda(plain, 4), estimate_lda(singular, 4)
    assert np.isfinite(found.full).all()
    np.testing.assert_allclose(found.eigenvalues[:4], expected.eigenvalues[:4], rtol=1e-4)
    projected = feats @ expected.matrix.T
    signs = np.sign((projected * (whole @ found.matrix.T)).sum(0))
    # Apart from a constant, which LDA is free in.
    difference = projected - signs * (whole @ found.matrix.T)
    np.testing.assert_allclose(difference - difference.mean(0), 0.0, atol=2e-2)


def test_lda_does_not_depend_on_units():
    feats, labels = labelled_frames(4)
    units = np.array([1e4, 1, 1e-3, 1, 10, 1, 1], np.float32)
    plain, scaled = LdaStats.zeros(5, 7), LdaStats.zeros(5, 7)
    plain.accumulate(feats, labels)
    scaled.accumulate(feats * units, labels)
    expected, found = estimate_lda(plain, 4), estimate_lda(scaled, 4)
    np.testing.assert_allclose(found.eigenvalues[:4], expected.eigenvalues[:4], rtol=1e-4)


def mixture(seed, sizes=(3, 1, 4), dim=5):
    rng = np.random.default_rng(seed)
    total = sum(sizes)
    weights = np.concatenate([rng.dirichlet(np.ones(size)) for size in sizes])
    return DiagGmm(weights, rng.normal(size=(total, dim)) * 2, rng.uniform(0.3, 2, (total, dim)),
                   np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


def test_mllt_statistics_are_those_of_a_loop():
    gmm, rng = mixture(5), np.random.default_rng(5)
    feats = rng.normal(size=(150, 5)).astype(np.float32) * 2
    pdfs = rng.integers(-1, 3, 150).astype(np.int32)
    expected = np.zeros((5, 5, 5))
    for x, pdf in zip(feats.astype(np.float64), pdfs, strict=True):
        if pdf < 0:
            continue
        rows = range(gmm.offsets[pdf], gmm.offsets[pdf + 1])
        likelihoods = np.array([gmm.weights[g] * multivariate_normal(
            gmm.means[g], np.diag(gmm.variances[g])).pdf(x) for g in rows])
        for gamma, g in zip(likelihoods / likelihoods.sum(), rows, strict=True):
            outer = np.outer(x - gmm.means[g], x - gmm.means[g])
            for i in range(5):
                expected[i] += gamma / gmm.variances[g, i] * outer
    stats, rest = MlltStats.zeros(5), MlltStats.zeros(5)
    accumulate_mllt(gmm, feats[:60], pdfs[:60], stats)
    accumulate_mllt(gmm, feats[60:], pdfs[60:], rest)
    stats.add(rest)
    assert stats.beta == (pdfs >= 0).sum()
    np.testing.assert_allclose(stats.g, expected, rtol=1e-4, atol=1e-3)


def turned_stats(seed, dim=5):
    """Statistics of frames whose classes have correlated residuals, different for each class."""
    rng = np.random.default_rng(seed)
    gmm = mixture(seed, dim=dim)
    mixing = np.eye(dim) + 0.5 * rng.normal(size=(dim, dim))
    pdfs = rng.integers(0, 3, 4000).astype(np.int32)
    chosen = gmm.offsets[pdfs]
    noise = rng.normal(size=(4000, dim)) * np.sqrt(gmm.variances[chosen])
    feats = (gmm.means[chosen] + noise @ mixing.T).astype(np.float32)
    stats = MlltStats.zeros(dim)
    accumulate_mllt(gmm, feats, pdfs, stats)
    return stats


def test_no_row_lowers_the_mllt_objective():
    stats = turned_stats(6)
    g = stats.g / stats.beta
    rng = np.random.default_rng(6)
    matrix = np.eye(5) + 0.3 * rng.normal(size=(5, 5))
    for step in range(20):
        row, before = step % 5, mllt_objective(matrix, g)
        _mllt_row(matrix, np.linalg.inv(matrix), row, np.linalg.inv(g[row]))
        reached = mllt_objective(matrix, g)
        assert reached >= before - 1e-12
        # It is the row's best value: no other does better.
        for _ in range(10):
            other = matrix.copy()
            other[row] += 0.1 * rng.normal(size=5)
            assert mllt_objective(other, g) < reached


def test_mllt_ends_where_the_gradient_vanishes():
    stats = turned_stats(7)
    g = stats.g / stats.beta
    matrix, gain = estimate_mllt(stats, num_iters=2000, tolerance=1e-15)
    assert gain > 0.05
    assert gain == pytest.approx(mllt_objective(matrix, g) - mllt_objective(np.eye(5), g), abs=1e-6)
    for i, j in np.ndindex(5, 5):
        step = np.zeros((5, 5))
        step[i, j] = 1e-4
        slope = (mllt_objective(matrix + step, g) - mllt_objective(matrix - step, g)) / 2e-4
        assert abs(slope) < 1e-4
    # At the optimum the rows decorrelate their own statistics: M G_i m_i' = e_i.
    np.testing.assert_allclose(np.stack([matrix @ g[i] @ matrix[i] for i in range(5)]), np.eye(5),
                               atol=1e-4)


def test_mllt_undoes_a_rotation_of_the_model():
    rng = np.random.default_rng(8)
    gmm = mixture(8, sizes=(1, 1, 1, 1))
    mixing = np.eye(5) + 0.4 * rng.normal(size=(5, 5))
    pdfs = np.repeat(np.arange(4, dtype=np.int32), 10000)
    clean = gmm.means[pdfs] + rng.normal(size=(40000, 5)) * np.sqrt(gmm.variances[pdfs])
    seen = DiagGmm(gmm.weights, gmm.means @ mixing.T, gmm.variances, gmm.offsets)
    # Diagonal covariances of what was mixed are all that the trained model has.
    variances = np.stack([(mixing**2) @ v for v in gmm.variances])
    seen = DiagGmm(seen.weights, seen.means, variances, seen.offsets)
    feats = (clean @ mixing.T).astype(np.float32)
    total = np.eye(5)
    for _ in range(30):  # EM: variances and transform in turn
        stats = MlltStats.zeros(5)
        accumulate_mllt(seen, feats, pdfs, stats)
        matrix, _ = estimate_mllt(stats)
        feats, seen, total = (feats @ matrix.T).astype(np.float32), transform_means(seen, matrix), (
            matrix @ total)
        spread = np.stack([feats[pdfs == p].var(0, dtype=np.float64) for p in range(4)])
        seen = DiagGmm(seen.weights, seen.means, spread, seen.offsets)
    product = np.abs(total @ mixing)
    product /= product.max(1, keepdims=True)
    # A permutation, apart from scales: each row picks out one independent dimension.
    assert (np.sort(product, 1)[:, :-1] < 0.1).all()
    assert sorted(product.argmax(1)) == list(range(5))


def test_mllt_of_little_or_dead_data_is_finite():
    assert (estimate_mllt(MlltStats.zeros(4))[0] == np.eye(4)).all()
    gmm = mixture(9, sizes=(1,))
    for feats in (np.zeros((1, 5)), np.tile(gmm.means[:1], (100, 1)), np.ones((100, 5)) * 7):
        stats = MlltStats.zeros(5)
        accumulate_mllt(gmm, feats.astype(np.float32), np.zeros(len(feats), np.int32), stats)
        matrix, gain = estimate_mllt(stats)
        assert np.isfinite(matrix).all()
        assert np.isfinite(gain)
        assert gain >= 0


def test_means_move_with_the_features():
    gmm = mixture(10)
    matrix = np.random.default_rng(10).normal(size=(5, 5))
    moved = transform_means(gmm, matrix)
    for old, new in zip(gmm.means, moved.means, strict=True):
        np.testing.assert_allclose(new, matrix @ old)
    assert moved.variances is gmm.variances
