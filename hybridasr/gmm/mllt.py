"""Owns MLLT, a global semi-tied covariance: the turn after which diagonal covariances fit best.

Takes aligned frames and a `DiagGmm`; gives a square matrix. Gales 1999; Kaldi's mllt.cc.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numba
import numpy as np

from hybridasr.gmm.diag import DiagGmm

ROWS = 4096  # frames of a pdf at a time: bounds the memory of their outer products
SMALLEST_RIDGE = 1e-8  # added to the diagonals of the statistics, relative to them


@dataclass
class MlltStats:
    """For each dimension i: sum of gamma / var_i (x - mu)(x - mu)', float64 (D, D, D); frames."""

    g: np.ndarray
    beta: float = 0.0

    @classmethod
    def zeros(cls, dim: int) -> "MlltStats":
        """Return empty statistics."""
        return cls(np.zeros((dim, dim, dim)))

    def add(self, other: "MlltStats") -> None:
        """Add the statistics of another block, in place."""
        self.g += other.g
        self.beta += other.beta


def accumulate_mllt(gmm: DiagGmm, feats: np.ndarray, frame_pdfs: np.ndarray,
                    stats: MlltStats) -> None:
    """Add aligned frames to `stats`, in place.

    Parameters
    ----------
    feats : float32 (num_frames, dim)
    frame_pdfs : int32 (num_frames,)
        -1 leaves the frame out.
    """
    dim = feats.shape[1]
    for pdf, rows in _pdf_frames(feats, frame_pdfs):
        gaussians = slice(gmm.offsets[pdf], gmm.offsets[pdf + 1])
        # Around the first mean, so that float32 products keep their digits.
        origin = gmm.means[gaussians][0]
        near = (feats[rows] - origin).astype(np.float32)
        means = gmm.means[gaussians] - origin
        posteriors = _gaussian_posteriors(gmm, pdf, feats[rows])
        counts, first = posteriors.sum(0), posteriors.T @ near
        second = _weighted_moments(posteriors, near)
        cross = first[:, :, None] * means[:, None, :]
        second -= cross + cross.transpose(0, 2, 1)
        second += counts[:, None, None] * means[:, :, None] * means[:, None, :]
        inverse = 1.0 / gmm.variances[gaussians]
        stats.g += (inverse.T @ second.reshape(len(second), -1)).reshape(dim, dim, dim)
        stats.beta += len(rows)


def _pdf_frames(feats: np.ndarray, frame_pdfs: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each pdf that has frames, with the numbers of its frames, ascending.

    Parameters
    ----------
    feats : (num_frames, dim)
    frame_pdfs : int32 (num_frames,)
        -1 leaves the frame out.
    """
    order = np.argsort(frame_pdfs, kind="stable")
    pdfs, starts = np.unique(frame_pdfs[order], return_index=True)
    for pdf, rows in zip(pdfs.tolist(), np.split(order, starts[1:]), strict=True):
        if pdf >= 0:
            for begin in range(0, len(rows), ROWS):
                yield pdf, rows[begin:begin + ROWS]


def _gaussian_posteriors(gmm: DiagGmm, pdf: int, feats: np.ndarray) -> np.ndarray:
    """Return the posteriors of a pdf's Gaussians: float64 (num_frames, num_gaussians)."""
    rows = slice(gmm.offsets[pdf], gmm.offsets[pdf + 1])
    if rows.stop - rows.start == 1:
        return np.ones((len(feats), 1))
    inverse = 1.0 / gmm.variances[rows]
    constants = np.log(gmm.weights[rows]) + 0.5 * np.log(inverse).sum(1) - 0.5 * (
        gmm.means[rows] ** 2 * inverse).sum(1)
    wide = feats.astype(np.float64)
    scores = constants + wide @ (gmm.means[rows] * inverse).T - 0.5 * (wide * wide) @ inverse.T
    scores -= scores.max(1, keepdims=True)
    np.exp(scores, out=scores)
    return scores / scores.sum(1, keepdims=True)


def _weighted_moments(posteriors: np.ndarray, feats: np.ndarray) -> np.ndarray:
    """Return the sum of gamma x x' of each Gaussian: float64 (num_gaussians, dim, dim)."""
    frames, dim = feats.shape
    gaussians = posteriors.shape[1]
    weighted = (posteriors.astype(np.float32)[:, :, None] * feats[:, None, :]).reshape(frames, -1)
    return (weighted.T @ feats).reshape(gaussians, dim, dim).astype(np.float64)


def estimate_mllt(stats: MlltStats, num_iters: int = 200,
                  tolerance: float = 1e-6) -> tuple[np.ndarray, float]:
    """Return the transform (D, D), float64, and the gain in log likelihood a frame.

    Each row in turn takes its best value, the others fixed, until a whole round gains less than
    `tolerance` a frame; no step lowers the likelihood. No more frames than dimensions give the
    identity.
    """
    dim = len(stats.g)
    matrix = np.eye(dim)
    if stats.beta <= dim or not np.diagonal(stats.g, axis1=1, axis2=2).any():
        return matrix, 0.0
    g = 0.5 * (stats.g + stats.g.transpose(0, 2, 1)) / stats.beta
    # Without it a dimension that never varies would be scaled without limit.
    power = np.diagonal(g, axis1=1, axis2=2)
    power = np.maximum(power, SMALLEST_RIDGE * power.max(1, keepdims=True))
    g = g + SMALLEST_RIDGE * power[:, :, None] * np.eye(dim)
    inverses = np.linalg.inv(g)
    best, first = matrix, mllt_objective(matrix, g)
    reached = first
    for _ in range(num_iters):
        matrix = best.copy()
        _mllt_round(matrix, np.linalg.inv(matrix), inverses)
        if not np.isfinite(matrix).all():  # the statistics are singular but for the ridge
            break
        now = mllt_objective(matrix, g)
        if now <= reached:
            break
        gain = now - reached
        best, reached = matrix, now
        if gain < tolerance:
            break
    return best, reached - first


def mllt_objective(matrix: np.ndarray, g: np.ndarray) -> float:
    """Return log |det M| - 1/2 sum_i m_i G_i m_i', G being a frame's average.

    >>> mllt_objective(np.eye(2), np.array([np.eye(2), np.eye(2)]))
    -1.0
    """
    quadratic = ((g @ matrix[:, :, None])[..., 0] * matrix).sum()
    return float(np.linalg.slogdet(matrix)[1] - 0.5 * quadratic)


@numba.njit(cache=True, nogil=True)
def _mllt_row(matrix, inverse, row, inverse_g):
    """Give one row its best value, in place; `inverse` is that of the matrix."""
    cofactor = inverse[:, row].copy()  # times the determinant, which cancels
    direction = inverse_g @ cofactor
    matrix[row] = direction / np.sqrt(np.dot(cofactor, direction))


@numba.njit(cache=True, nogil=True)
def _mllt_round(matrix, inverse, inverse_g):
    """Update every row of `matrix` in place; `inverse` follows."""
    dim = len(matrix)
    for row in range(dim):
        old = matrix[row].copy()
        _mllt_row(matrix, inverse, row, inverse_g[row])
        follow_row(inverse, row, matrix[row] - old)


@numba.njit(cache=True, nogil=True)
def follow_row(inverse, row, change):
    """Update an inverse in place after `change` was added to one row (Sherman & Morrison)."""
    left = inverse[:, row].copy()
    factor = 1.0 + np.dot(change, left)
    right = change @ inverse
    for i in range(len(inverse)):
        for j in range(len(inverse)):
            inverse[i, j] -= left[i] * right[j] / factor


def transform_means(gmm: DiagGmm, matrix: np.ndarray) -> DiagGmm:
    """Return the mixtures with every mean transformed (Kaldi's gmm-transform-means).

    >>> gmm = DiagGmm(np.ones(1), np.array([[1.0, 2.0]]), np.ones((1, 2)), np.array([0, 1]))
    >>> transform_means(gmm, np.array([[0.0, 1.0], [1.0, 0.0]])).means.tolist()
    [[2.0, 1.0]]
    """
    return DiagGmm(gmm.weights, gmm.means @ matrix.T, gmm.variances, gmm.offsets)
