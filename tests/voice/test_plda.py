"""The model of voices against the joint Gaussian, and against drawn speakers."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from hybridasr.voice.plda import RIDGE, Plda, estimate_plda


def drawn(rng, speakers, recordings, between, within):
    """Vectors and names of speakers drawn from two covariances."""
    dim = len(between)
    points = np.repeat(rng.multivariate_normal(np.arange(dim), between, speakers), recordings, 0)
    vectors = points + rng.multivariate_normal(np.zeros(dim), within, len(points))
    return vectors, np.repeat([f"s{number}" for number in range(speakers)], recordings)


@pytest.mark.parametrize("count", [1, 3])
def test_scores_are_ratios_of_joint_gaussians(count):
    """Log of p(enrolled, trial, of one speaker) / p(enrolled) p(trial), each one Gaussian."""
    rng, dim = np.random.default_rng(1), 3
    transform, between = rng.normal(size=(dim, dim)), np.array([0.2, 1.0, 5.0])
    model = Plda(rng.normal(size=dim), transform, between)
    back = np.linalg.inv(transform)
    across, within = back @ np.diag(between) @ back.T, back @ back.T

    def density(vectors):
        covariance = np.kron(np.ones((len(vectors),) * 2), across) + np.kron(
            np.eye(len(vectors)), within)
        return multivariate_normal(np.tile(model.mean, len(vectors)), covariance).logpdf(
            np.ravel(vectors))

    enrolled, trials = rng.normal(size=(count, dim)), rng.normal(size=(4, dim))
    expected = [density([*enrolled, trial]) - density(enrolled) - density([trial])
                for trial in trials]
    assert np.allclose(model.scores(enrolled.mean(axis=0), count, trials), expected, rtol=1e-9,
                       atol=1e-9)


def test_estimates_are_the_covariances():
    rng = np.random.default_rng(2)
    between, within = np.array([[4.0, 1.0], [1.0, 2.0]]), np.array([[1.0, -0.5], [-0.5, 2.0]])
    model = estimate_plda(*drawn(rng, 3000, 10, between, within), shrinkage=0.0)
    back = np.linalg.inv(model.transform)
    ridge = 1 + RIDGE * np.eye(2)
    # Of ten recordings, the means still hold a tenth of what is within a speaker.
    assert np.allclose(back @ back.T, 0.9 * within * ridge, rtol=0.05, atol=0.05)
    assert np.allclose(back @ np.diag(model.between) @ back.T, between + within / 10, rtol=0.1,
                       atol=0.1)
    assert np.allclose(model.mean, [0.0, 1.0], atol=0.15)


def test_shrinkage_gives_every_direction_a_share():
    rng = np.random.default_rng(3)
    vectors, speakers = drawn(rng, 3, 50, np.eye(6), 0.1 * np.eye(6))
    bare = estimate_plda(vectors, speakers, 0.0).between
    shrunk = estimate_plda(vectors, speakers, 0.3).between
    # Three speakers span a plane.
    assert (bare < 1e-5).sum() == 4
    assert shrunk.min() == pytest.approx(0.3 * bare.sum() / 6, rel=1e-3)
    assert shrunk.sum() == pytest.approx(bare.sum(), rel=1e-3)
