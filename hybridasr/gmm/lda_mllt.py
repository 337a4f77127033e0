"""Owns LDA and MLLT: linear transforms of the features that separate the pdfs.

LDA projects spliced frames to fewer dimensions (Haeb-Umbach & Ney 1992; Kaldi's
lda-estimate.cc); MLLT, or a global semi-tied covariance, turns them so that diagonal covariances
fit (Gales 1999; Kaldi's mllt.cc).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numba
import numpy as np

from hybridasr.errors import UserError
from hybridasr.gmm.diag import DiagGmm

ROWS = 4096  # frames multiplied at a time in float32
SMALLEST_EIGENVALUE = 1e-6  # of a within-class correlation, relative to the largest
SMALLEST_RIDGE = 1e-8  # added to the diagonals of the MLLT statistics, relative to them


@dataclass
class LdaStats:
    """Frames (C,), sums (C, D) of each class; second moments (D, D) of all; float64."""

    counts: np.ndarray
    first: np.ndarray
    second: np.ndarray

    @classmethod
    def zeros(cls, num_classes: int, dim: int) -> "LdaStats":
        """Return empty statistics."""
        return cls(np.zeros(num_classes), np.zeros((num_classes, dim)), np.zeros((dim, dim)))

    def accumulate(self, feats: np.ndarray, classes: np.ndarray) -> None:
        """Add frames, in place.

        Parameters
        ----------
        feats : float32 (num_frames, dim)
        classes : int32 (num_frames,)
            -1 leaves the frame out.
        """
        labels = classes.astype(np.int32)
        if len(labels) and labels.max() >= len(self.counts):
            raise ValueError(f"class {labels.max()} of {len(self.counts)}")
        self.counts += np.bincount(labels[labels >= 0], minlength=len(self.counts))
        for start in range(0, len(feats), ROWS):
            part = labels[start:start + ROWS]
            block = np.ascontiguousarray(feats[start:start + ROWS][part >= 0], np.float32)
            if len(block) == 0:
                continue
            _add_rows(self.first, block, part[part >= 0])
            # Around the block's mean, so that float32 products keep their digits.
            origin = block.mean(0)
            near = block - origin
            cross = np.outer(near.sum(0, dtype=np.float64), origin)
            self.second += near.T @ near + cross + cross.T
            self.second += len(block) * np.outer(origin, origin.astype(np.float64))

    def add(self, other: "LdaStats") -> None:
        """Add the statistics of another block, in place."""
        self.counts += other.counts
        self.first += other.first
        self.second += other.second


@numba.njit(cache=True, nogil=True)
def _add_rows(sums, feats, labels):
    for frame in range(len(feats)):
        total = sums[labels[frame]]
        for d in range(feats.shape[1]):
            total[d] += feats[frame, d]


@dataclass(frozen=True)
class LdaResult:
    """The projection (dim, D), the whole transform (D, D) and its eigenvalues, descending."""

    matrix: np.ndarray
    full: np.ndarray
    eigenvalues: np.ndarray


def estimate_lda(stats: LdaStats, dim: int) -> LdaResult:
    """Return the transform whose first rows separate the classes best.

    The within-class covariance becomes the identity, the between-class one diagonal. Directions
    in which the classes do not vary count as if they varied a little.

    Raises
    ------
    UserError
        if `dim` is larger than the features have, there are too few frames, or all are alike.
    """
    total = stats.counts.sum()
    wide = stats.second.shape[0]
    if dim > wide:
        raise UserError(f"LDA to {dim} dimensions from {wide}; splice more frames, or give a "
                        "smaller --dim")
    if total <= wide:
        raise UserError(f"LDA needs more than {wide} frames of speech, {int(total)} are there; "
                        "give more recordings")
    mean = stats.first.sum(0) / total
    seen = stats.counts > 0
    means = stats.first[seen] / stats.counts[seen, None]
    weighted = means * stats.counts[seen, None]
    between = means.T @ weighted / total - np.outer(mean, mean)
    within = (stats.second - means.T @ weighted) / total
    scale = np.sqrt(np.maximum(np.diagonal(within), 0.0))
    # Rounding leaves a trace of a constant dimension's power.
    scale[scale <= 1e-7 * np.sqrt(np.diagonal(stats.second) / total)] = 0.0
    if not scale.any():
        raise UserError("LDA of features that do not vary within any class; check the recordings, "
                        "they may be digital silence")
    scale[scale == 0.0] = scale[scale > 0.0].min()
    # Correlations, so that the floor does not depend on the features' units.
    values, vectors = np.linalg.eigh(within / np.outer(scale, scale))
    floored = np.maximum(values, SMALLEST_EIGENVALUE * values[-1])
    whiten = (vectors / np.sqrt(floored)).T / scale
    eigenvalues, rotation = np.linalg.eigh(whiten @ between @ whiten.T)
    full = rotation[:, ::-1].T @ whiten
    # A sign of its own for each row: the same on every machine.
    full *= np.sign(full[np.arange(wide), np.abs(full).argmax(1)])[:, None]
    return LdaResult(full[:dim].copy(), full, eigenvalues[::-1].copy())


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
        done = now - reached < tolerance
        best, reached = matrix, now
        if done:
            break
    return best, reached - first


def mllt_objective(matrix: np.ndarray, g: np.ndarray) -> float:
    """Return log |det M| - 1/2 sum_i m_i G_i m_i', G being a frame's average."""
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
    """Return the mixtures with every mean transformed (Kaldi's gmm-transform-means)."""
    return DiagGmm(gmm.weights, gmm.means @ matrix.T, gmm.variances, gmm.offsets)
