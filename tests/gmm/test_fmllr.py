"""fMLLR against plain loops, finite differences and speakers made to measure."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from hybridasr.features.transforms import apply_transform
from hybridasr.gmm.diag import DiagGmm
from hybridasr.gmm.fmllr import (
    FmllrStats,
    _fmllr_row,
    accumulate_fmllr,
    compose_affine,
    estimate_fmllr,
    fmllr_objective,
)

DIM, SIZES = 6, (3, 1, 4, 2)
IDENTITY = np.eye(DIM, DIM + 1)


def mixture(seed=0, sizes=SIZES, dim=DIM):
    rng = np.random.default_rng(seed)
    total = sum(sizes)
    weights = np.concatenate([rng.dirichlet(np.full(size, 5.0)) for size in sizes])
    return DiagGmm(weights, rng.normal(size=(total, dim)) * 2, rng.uniform(0.3, 2, (total, dim)),
                   np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


def draw(gmm, frames, rng):
    """Frames of the model, float64, and their pdfs."""
    pdfs = rng.integers(0, gmm.num_pdfs, frames).astype(np.int32)
    chosen = np.array([rng.choice(np.arange(gmm.offsets[p], gmm.offsets[p + 1]),
                                  p=gmm.weights[gmm.offsets[p]:gmm.offsets[p + 1]]) for p in pdfs])
    noise = rng.normal(size=(frames, gmm.means.shape[1]))
    return gmm.means[chosen] + noise * np.sqrt(gmm.variances[chosen]), pdfs


def spoken(transform, clean):
    """What a speaker says so that `transform` gives the clean frames."""
    dim = clean.shape[1]
    return np.linalg.solve(transform[:, :dim], (clean - transform[:, dim]).T).T.astype(np.float32)


def stats_of(gmm, feats, pdfs, **more):
    stats = FmllrStats.zeros(feats.shape[1])
    accumulate_fmllr(gmm, feats, pdfs, stats, **more)
    return stats


def literal_stats(gmm, feats, pdfs, weights, posterior_gmm, posterior_feats):
    dim = feats.shape[1]
    beta, k, g = 0.0, np.zeros((dim, dim + 1)), np.zeros((dim, dim + 1, dim + 1))
    for x, other, pdf, weight in zip(feats.astype(np.float64), posterior_feats.astype(np.float64),
                                     pdfs, weights, strict=True):
        if pdf < 0:
            continue
        rows = range(gmm.offsets[pdf], gmm.offsets[pdf + 1])
        likelihoods = np.array([posterior_gmm.weights[m] * multivariate_normal(
            posterior_gmm.means[m], np.diag(posterior_gmm.variances[m])).pdf(other) for m in rows])
        extended = np.append(x, 1.0)
        for gamma, m in zip(weight * likelihoods / likelihoods.sum(), rows, strict=True):
            beta += gamma
            for i in range(dim):
                k[i] += gamma * gmm.means[m, i] / gmm.variances[m, i] * extended
                g[i] += gamma / gmm.variances[m, i] * np.outer(extended, extended)
    return beta, k, g


@pytest.mark.parametrize("two_models", [False, True])
def test_statistics_are_those_of_a_loop(two_models):
    gmm, rng = mixture(), np.random.default_rng(1)
    frames = 700  # more than one block of the accumulation
    feats = rng.normal(size=(frames, DIM)).astype(np.float32) * 2
    pdfs = rng.integers(-1, gmm.num_pdfs, frames).astype(np.int32)
    weights = rng.choice([0.0, 0.25, 1.0], frames).astype(np.float32)
    scoring, others = gmm, feats
    more = {"weights": weights}
    if two_models:
        scoring, others = mixture(9), (feats + 0.5).astype(np.float32)
        more |= {"posterior_gmm": scoring, "posterior_feats": others}
    beta, k, g = literal_stats(gmm, feats, pdfs, weights, scoring, others)
    found = stats_of(gmm, feats, pdfs, **more)
    assert found.beta == pytest.approx(beta)
    np.testing.assert_allclose(found.k, k, rtol=1e-4, atol=1e-4 * np.abs(k).max())
    np.testing.assert_allclose(found.g, g, rtol=1e-4, atol=1e-4 * np.abs(g).max())
    np.testing.assert_array_equal(found.g, found.g.transpose(0, 2, 1))


def test_statistics_add_up():
    gmm, rng = mixture(), np.random.default_rng(2)
    feats, pdfs = rng.normal(size=(300, DIM)).astype(np.float32), rng.integers(0, 4, 300)
    whole, parts = stats_of(gmm, feats, pdfs), stats_of(gmm, feats[:100], pdfs[:100])
    parts.add(stats_of(gmm, feats[100:], pdfs[100:]))
    parts.add(stats_of(gmm, feats[:0], pdfs[:0]))
    assert parts.beta == whole.beta == 300
    np.testing.assert_allclose(parts.k, whole.k, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(parts.g, whole.g, rtol=1e-4, atol=1e-2)
    smoothed = whole.plus(parts, 30.0)
    assert smoothed.beta == 330
    np.testing.assert_allclose(smoothed.g, whole.g + 0.1 * parts.g)
    np.testing.assert_allclose(smoothed.k, whole.k + 0.1 * parts.k)


def test_models_and_features_must_correspond():
    gmm, feats, pdfs = mixture(), np.zeros((4, DIM), np.float32), np.zeros(4, np.int32)
    with pytest.raises(ValueError, match="has other Gaussians"):
        stats_of(gmm, feats, pdfs, posterior_gmm=mixture(sizes=(3, 2, 3, 2)))
    with pytest.raises(ValueError, match="the model has 6 columns"):
        stats_of(gmm, feats, pdfs, posterior_feats=feats[:3])
    with pytest.raises(ValueError, match="the model has 6 columns"):
        accumulate_fmllr(gmm, feats[:, :5], pdfs, FmllrStats.zeros(DIM))


def random_transform(rng, size=0.3):
    return IDENTITY + size * rng.normal(size=(DIM, DIM + 1))


def speaker_stats(seed, frames=3000):
    rng, gmm = np.random.default_rng(seed), mixture()
    clean, pdfs = draw(gmm, frames, rng)
    return stats_of(gmm, spoken(random_transform(rng), clean), pdfs)


def test_no_row_lowers_the_auxiliary_function():
    stats, rng = speaker_stats(3), np.random.default_rng(3)
    k, g = stats.k / stats.beta, stats.g / stats.beta
    matrix = random_transform(rng)
    for step in range(3 * DIM):
        row, before = step % DIM, fmllr_objective(matrix, k, g)
        _fmllr_row(matrix, np.linalg.inv(matrix[:, :DIM]), row, k[row], np.linalg.inv(g[row]))
        reached = fmllr_objective(matrix, k, g)
        assert reached >= before - 1e-12
        for scale in (0.01, 0.3, 3.0):  # it is the row's best value, far away, too
            other = matrix.copy()
            other[row] += scale * rng.normal(size=DIM + 1)
            assert fmllr_objective(other, k, g) < reached


def fmllr_gradient(matrix, stats):
    """The auxiliary function's derivative, as a formula."""
    gradient = stats.k - np.einsum("ijk,ik->ij", stats.g, matrix)
    gradient[:, :-1] += stats.beta * np.linalg.inv(matrix[:, :-1]).T
    return gradient


def test_gradient_is_that_of_finite_differences():
    stats, matrix = speaker_stats(4), random_transform(np.random.default_rng(4))
    found = fmllr_gradient(matrix, stats) / stats.beta
    for i, j in np.ndindex(DIM, DIM + 1):
        step = np.zeros((DIM, DIM + 1))
        step[i, j] = 1e-5
        slope = (fmllr_objective(matrix + step, stats.k / stats.beta, stats.g / stats.beta)
                 - fmllr_objective(matrix - step, stats.k / stats.beta, stats.g / stats.beta))
        assert found[i, j] == pytest.approx(slope / 2e-5, rel=1e-4, abs=1e-5)


def test_full_estimate_ends_where_the_gradient_vanishes():
    stats = speaker_stats(5)
    matrix, gain = estimate_fmllr(stats, num_iters=1000, tolerance=1e-15)
    assert gain > 0.5
    k, g = stats.k / stats.beta, stats.g / stats.beta
    assert gain == pytest.approx(fmllr_objective(matrix, k, g) - fmllr_objective(IDENTITY, k, g))
    np.testing.assert_allclose(fmllr_gradient(matrix, stats) / stats.beta, 0.0, atol=1e-5)


@pytest.mark.parametrize("update", ["diag", "offset"])
def test_smaller_updates_are_the_best_of_their_kind(update):
    stats = speaker_stats(6)
    k, g = stats.k / stats.beta, stats.g / stats.beta

    def matrix_of(values):
        return np.column_stack([np.diag(values[:DIM] if update == "diag" else np.ones(DIM)),
                                values[-DIM:]])

    start = np.concatenate([np.ones(DIM), np.zeros(DIM)])[-DIM * (1 + (update == "diag")):]
    best = minimize(lambda values: -fmllr_objective(matrix_of(values), k, g), start, tol=1e-10)
    found, gain = estimate_fmllr(stats, update=update)
    np.testing.assert_allclose(found, matrix_of(best.x), atol=1e-4)
    assert gain == pytest.approx(-best.fun - fmllr_objective(IDENTITY, k, g), abs=1e-6)
    assert 0 < gain < estimate_fmllr(stats)[1]


def test_no_update_and_unknown_updates():
    stats = speaker_stats(7)
    assert (estimate_fmllr(stats, update="none")[0] == IDENTITY).all()
    with pytest.raises(ValueError, match="update 'all', not one of full diag offset none"):
        estimate_fmllr(stats, update="all")


def test_a_speakers_transform_is_recovered():
    rng, gmm = np.random.default_rng(8), mixture()
    clean, pdfs = draw(gmm, 40000, rng)
    true = random_transform(rng)
    feats, total = spoken(true, clean), IDENTITY
    for _ in range(12):  # posteriors and transform in turn
        change, _ = estimate_fmllr(stats_of(gmm, apply_transform(feats, total), pdfs))
        total = compose_affine(change, total)
    np.testing.assert_allclose(total, true, atol=0.03)


def test_degenerate_frames_give_the_identity_or_little():
    gmm, rng = mixture(), np.random.default_rng(9)
    one = rng.normal(size=(1, DIM)).astype(np.float32)
    for feats in (one[:0], one, np.repeat(one, 1000, 0), np.zeros((1000, DIM), np.float32),
                  rng.normal(size=(DIM, DIM)).astype(np.float32)):
        stats = stats_of(gmm, feats, np.zeros(len(feats), np.int32))
        assert (estimate_fmllr(stats)[0] == IDENTITY).all()
        for update in ("diag", "offset"):
            assert np.isfinite(estimate_fmllr(stats, update=update)[0]).all()


def test_too_few_frames_give_the_identity():
    stats = speaker_stats(10, frames=200)
    matrix, gain = estimate_fmllr(stats, min_count=201)
    assert (matrix == IDENTITY).all()
    assert gain == 0.0
    assert estimate_fmllr(stats, min_count=200)[1] > 0.0


@pytest.mark.parametrize("first_columns", [DIM, DIM + 1])
@pytest.mark.parametrize("second_columns", [DIM, DIM + 1])
def test_composed_transforms_apply_one_after_the_other(first_columns, second_columns):
    rng = np.random.default_rng(11)
    first, second = rng.normal(size=(DIM, first_columns)), rng.normal(size=(DIM, second_columns))
    kept = [first.copy(), second.copy()]
    feats = rng.normal(size=(9, DIM)).astype(np.float32)
    composed = compose_affine(second, first)
    assert composed.shape == (DIM, max(first_columns, second_columns))
    np.testing.assert_allclose(apply_transform(feats, composed),
                               apply_transform(apply_transform(feats, first), second), atol=1e-4)
    assert (first == kept[0]).all()
    assert (second == kept[1]).all()
    assert compose_affine(second, None) is second


def test_transforms_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="a transform of shape"):
        compose_affine(IDENTITY, np.ones((DIM, DIM + 4)))


# Speakers differ in some directions only, as vocal tracts and microphones do, and lose about one
# nat a frame without a transform. The prior's best weight depends on this: it helps less the more
# speakers differ, and speakers who hardly differ are best left alone.
WIDE, DIRECTIONS = 13, 8


def speaker_transform(rng):
    dim, size = WIDE, (DIRECTIONS, WIDE, WIDE + 1)
    directions = np.random.default_rng(12).normal(size=size) * np.append(np.full(dim, 0.015), 0.075)
    return np.eye(dim, dim + 1) + np.tensordot(rng.normal(size=DIRECTIONS), directions, 1)


def training_statistics(gmm, count=120, frames=400):
    """Statistics of adapted training speakers."""
    rng, prior = np.random.default_rng(12), FmllrStats.zeros(gmm.means.shape[1])
    for _ in range(count):
        clean, pdfs = draw(gmm, frames, rng)
        prior.add(stats_of(gmm, clean.astype(np.float32), pdfs))
    return prior


def held_out(gmm, matrix, feats, pdfs):
    """Log likelihood a frame of the transformed frames, Jacobian included."""
    scores = gmm.scorer().loglikes(apply_transform(feats, matrix))
    return (scores[np.arange(len(pdfs)), pdfs].mean(dtype=np.float64)
            + np.linalg.slogdet(matrix[:, :-1])[1])


def test_little_speech_is_helped_by_prior_statistics():
    gmm = mixture(dim=WIDE)
    prior = training_statistics(gmm)
    for frames in (50, 200):
        rng, scores = np.random.default_rng(frames), []
        for _ in range(20):
            true, (clean, pdfs) = speaker_transform(rng), draw(gmm, frames, rng)
            unseen, unseen_pdfs = draw(gmm, 1000, rng)
            seen = stats_of(gmm, spoken(true, clean), pdfs, posterior_feats=clean)
            scores.append([
                held_out(gmm, matrix, spoken(true, unseen), unseen_pdfs)
                for matrix in (np.eye(WIDE, WIDE + 1), estimate_fmllr(seen)[0],
                               estimate_fmllr(seen.plus(prior, 100.0))[0])])
        identity, full, smoothed = np.mean(scores, axis=0)
        assert smoothed > max(identity, full) + 0.05
