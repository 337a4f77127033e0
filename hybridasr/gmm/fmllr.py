"""Owns fMLLR: an affine transform of a speaker's features towards the model.

Constrained MLLR (Gales 1998; Kaldi's fmllr-diag-gmm.cc): the rows of W = [A; b] maximise
beta log |det A| + sum_i (k_i w_i' - 1/2 w_i G_i w_i'). A speaker with little speech is helped by
prior statistics: those of the training set, whose own best transform is the identity, counted as
a few hundred frames (a smoothed estimate, as in MAP).
"""

from dataclasses import dataclass

import numba
import numpy as np

from hybridasr.gmm.diag import DiagGmm
from hybridasr.gmm.moments import gaussian_posteriors, pdf_frames, weighted_moments


@dataclass
class FmllrStats:
    """Frames beta; k (D, D + 1): sum of gamma mu / var x+'; g (D, D + 1, D + 1): sum of
    gamma / var x+ x+', with x+ the frame and a one; float64.
    """

    beta: float
    k: np.ndarray
    g: np.ndarray

    @classmethod
    def zeros(cls, dim: int) -> "FmllrStats":
        """Return empty statistics."""
        return cls(0.0, np.zeros((dim, dim + 1)), np.zeros((dim, dim + 1, dim + 1)))

    @property
    def dim(self) -> int:
        """Dimension of the features."""
        return len(self.k)

    def add(self, other: "FmllrStats") -> None:
        """Add the statistics of other frames, in place."""
        self.beta += other.beta
        self.k += other.k
        self.g += other.g

    def plus(self, prior: "FmllrStats", frames: float) -> "FmllrStats":
        """Return these statistics with `prior` counted as so many frames."""
        share = frames / max(prior.beta, 1e-10)
        return FmllrStats(self.beta + frames, self.k + share * prior.k, self.g + share * prior.g)


def accumulate_fmllr(gmm: DiagGmm, feats: np.ndarray, frame_pdfs: np.ndarray, stats: FmllrStats,
                     weights: np.ndarray | None = None, posterior_gmm: DiagGmm | None = None,
                     posterior_feats: np.ndarray | None = None) -> None:
    """Add aligned frames of one speaker to `stats`, in place.

    Parameters
    ----------
    gmm : DiagGmm
        The model that the features shall fit.
    feats : float32 (num_frames, dim)
        What is to be transformed.
    frame_pdfs : int32 (num_frames,)
        -1 leaves the frame out.
    weights : float32 (num_frames,), optional
    posterior_gmm, posterior_feats
        Where the Gaussians' posteriors come from, if not from `gmm` and `feats`; Gaussian by
        Gaussian the same layout (Kaldi's gmm-post-to-gpost).
    """
    scoring = gmm if posterior_gmm is None else posterior_gmm
    scored = feats if posterior_feats is None else posterior_feats
    dim = feats.shape[1]
    extended = np.ones((len(feats), dim + 1), np.float32)
    extended[:, :dim] = feats
    for pdf, rows in pdf_frames(feats, frame_pdfs):
        gaussians = slice(gmm.offsets[pdf], gmm.offsets[pdf + 1])
        posteriors = gaussian_posteriors(scoring, pdf, scored[rows])
        if weights is not None:
            posteriors = posteriors * weights[rows, None]
        inverse = 1.0 / gmm.variances[gaussians]
        second = weighted_moments(posteriors, extended[rows])
        stats.g += (inverse.T @ second.reshape(len(second), -1)).reshape(stats.g.shape)
        # The last row of the second moments is the sum of gamma x+.
        stats.k += (gmm.means[gaussians] * inverse).T @ second[:, dim, :]
        stats.beta += float(posteriors.sum())


def estimate_fmllr(stats: FmllrStats, min_count: float = 0.0, num_iters: int = 40,
                   tolerance: float = 1e-6) -> tuple[np.ndarray, float]:
    """Return the transform (D, D + 1) and the gain in log likelihood a frame.

    The rows take their best values in turn, starting from the identity; no step lowers the
    likelihood. Fewer frames than `min_count` give the identity.
    """
    dim = stats.dim
    identity = np.eye(dim, dim + 1)
    if stats.beta <= max(min_count, 1e-3):
        return identity, 0.0
    g = 0.5 * (stats.g + stats.g.transpose(0, 2, 1)) / stats.beta
    k = stats.k / stats.beta
    smallest = 1e-8 * np.trace(g, axis1=1, axis2=2)[:, None, None] / dim
    inverses = np.linalg.inv(g + smallest * np.eye(dim + 1))
    matrix, best = identity.copy(), identity
    first = reached = fmllr_objective(identity, k, g)
    for _ in range(num_iters):
        _fmllr_round(matrix, np.linalg.inv(matrix[:, :dim]), k, inverses)
        now = fmllr_objective(matrix, k, g)
        if not now > reached:  # not a number included
            break
        done = now - reached < tolerance
        best, reached = matrix.copy(), now
        if done:
            break
    return best, reached - first


def fmllr_objective(matrix: np.ndarray, k: np.ndarray, g: np.ndarray) -> float:
    """Return log |det A| + sum_i (k_i w_i' - 1/2 w_i G_i w_i'), for a frame's average k and G."""
    quadratic = np.einsum("ij,ijk,ik->", matrix, g, matrix)
    return float(np.linalg.slogdet(matrix[:, :-1])[1] + (k * matrix).sum() - 0.5 * quadratic)


@numba.njit(cache=True)
def _fmllr_round(matrix, inverse, k, inverse_g):
    """Update every row of W in place; `inverse`, that of A, follows (Sherman & Morrison)."""
    dim = len(matrix)
    cofactor = np.zeros(dim + 1)
    for row in range(dim):
        cofactor[:dim] = inverse[:, row]
        direction = inverse_g[row] @ cofactor
        square = np.dot(cofactor, direction)
        linear = np.dot(k[row], direction)
        # The best step along the cofactors solves square a^2 + linear a - 1 = 0.
        root = np.sqrt(linear * linear + 4.0 * square)
        best, step = -np.inf, 0.0
        for candidate in ((-linear + root) / (2.0 * square), (-linear - root) / (2.0 * square)):
            value = np.log(abs(candidate * square + linear)) - 0.5 * candidate * candidate * square
            if value > best:
                best, step = value, candidate
        new = inverse_g[row] @ (step * cofactor + k[row])
        change = new[:dim] - matrix[row, :dim]
        left = inverse[:, row].copy()
        factor = 1.0 + np.dot(change, left)
        right = change @ inverse
        for i in range(dim):
            for j in range(dim):
                inverse[i, j] -= left[i] * right[j] / factor
        matrix[row] = new


def compose_affine(second: np.ndarray, first: np.ndarray | None) -> np.ndarray:
    """Return the transform that applies `first` and then `second`; affine if one of them is.

    Parameters
    ----------
    second, first : (D, D) or (D, D + 1)
        None for `first` is the identity.
    """
    if first is None:
        return second
    dim = len(second)
    result = second[:, :dim] @ first
    if second.shape[1] == dim + 1:
        if result.shape[1] == dim:
            result = np.column_stack([result, np.zeros(dim)])
        result[:, dim] += second[:, dim]
    return result
