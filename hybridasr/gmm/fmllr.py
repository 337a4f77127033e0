"""Owns fMLLR: an affine transform of a speaker's features towards the model.

Constrained MLLR (Gales 1998; Kaldi's fmllr-diag-gmm.cc): the rows of W = [A; b] maximise
beta log |det A| + sum_i (k_i w_i' - 1/2 w_i G_i w_i'). A speaker with little speech is helped by
prior statistics: those of the training set, whose own best transform is the identity, counted as
a few hundred frames (a smoothed estimate, as in MAP).
"""

from dataclasses import dataclass

import numba
import numpy as np

from hybridasr.gmm.diag import DiagGmm, component_posteriors
from hybridasr.gmm.lda_mllt import follow_row

ROWS = 512  # frames whose products are held at a time: they stay in the processor's cache
# Of the smallest to the largest eigenvalue, once every dimension has unit power: below it lies
# nothing but the rounding of float32 products, so the frames span too few directions.
SMALLEST_RATIO = 1e-6
UPDATES = ("full", "diag", "offset", "none")


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
        """Return these statistics with `prior` counted as so many frames.

        Parameters
        ----------
        prior : FmllrStats
            Of many speakers, on features that need no further transform (the training speakers'
            own applied): alone they would give about the identity, so that few frames of a
            speaker move little away from it, and many frames outweigh it.
        """
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
        Default all one.
    posterior_gmm, posterior_feats
        Where the Gaussians' posteriors come from, if not from `gmm` and `feats`; Gaussian by
        Gaussian the same layout (Kaldi's gmm-post-to-gpost).

    Raises
    ------
    ValueError
        if the two models' Gaussians, or the two features' frames, do not correspond.
    """
    scoring = gmm if posterior_gmm is None else posterior_gmm
    if not np.array_equal(scoring.offsets, gmm.offsets):
        raise ValueError("the model of the posteriors has other Gaussians than the model")
    feats = np.ascontiguousarray(feats, np.float32)
    scored = feats if posterior_feats is None else np.ascontiguousarray(posterior_feats, np.float32)
    if len(scored) != len(feats) or {feats.shape[1], scored.shape[1]} != {stats.dim}:
        raise ValueError(f"features {feats.shape} and {scored.shape}, the model has {stats.dim} "
                         "columns")
    pdfs = frame_pdfs.astype(np.int32)
    weights = np.ones(len(feats), np.float32) if weights is None else weights.astype(np.float32)
    scorer, dim = scoring.scorer(), stats.dim
    inverse = 1.0 / gmm.variances
    targets = (inverse * gmm.means).astype(np.float32)
    inverse = inverse.astype(np.float32)
    row, column = np.triu_indices(dim + 1)
    extended = np.ones((ROWS, dim + 1), np.float32)
    first, second, products = (np.empty((ROWS, width), np.float32)
                               for width in (dim, dim, len(row)))
    packed = np.zeros((dim, len(row)))
    for start in range(0, len(feats), ROWS):
        part = slice(start, min(start + ROWS, len(feats)))
        size = part.stop - start
        extended[:size, :dim] = feats[part]
        stats.beta += _expected_targets(
            scored[part], pdfs[part], weights[part], scorer.constants, scorer.rows,
            scorer.offsets, targets, inverse, first[:size], second[:size])
        _products(extended[:size], products[:size])
        stats.k += first[:size].T @ extended[:size]
        packed += second[:size].T @ products[:size]
    whole = np.empty_like(stats.g)
    whole[:, row, column] = packed
    whole[:, column, row] = packed
    stats.g += whole


# Reordering sums is what lets the compiler use vector instructions for them.
_FAST = {"contract", "reassoc", "nsz"}


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _expected_targets(feats, pdfs, weights, constants, rows, offsets, targets, inverse, first,
                      second):
    """Fill `first` and `second` with each frame's sums of gamma mu / var and gamma / var.

    Frames left out get zeros. Returns the frames' weights, summed.
    """
    dim = feats.shape[1]
    posteriors = np.empty(max(1, np.max(offsets[1:] - offsets[:-1])), np.float32)
    x = np.zeros(rows.shape[1] // 2, np.float32)  # padded with zeros, as the rows are
    beta = 0.0
    for frame in range(len(feats)):
        first[frame] = 0.0
        second[frame] = 0.0
        pdf = pdfs[frame]
        if pdf < 0 or weights[frame] == 0.0:
            continue
        for d in range(dim):
            x[d] = feats[frame, d]
        start = offsets[pdf]
        size = offsets[pdf + 1] - start
        component_posteriors(x, constants, rows, start, size, posteriors)
        beta += weights[frame]
        for i in range(size):
            gamma = weights[frame] * posteriors[i]
            if gamma != 0.0:
                for d in range(dim):
                    first[frame, d] += gamma * targets[start + i, d]
                    second[frame, d] += gamma * inverse[start + i, d]
    return beta


@numba.njit(cache=True, nogil=True)
def _products(feats, out):
    """Fill the rows of `out` with the upper triangles of x x'."""
    for frame in range(len(feats)):
        column = 0
        for i in range(feats.shape[1]):
            for j in range(i, feats.shape[1]):
                out[frame, column] = feats[frame, i] * feats[frame, j]
                column += 1


def estimate_fmllr(stats: FmllrStats, min_count: float = 0.0, num_iters: int = 40,
                   tolerance: float = 1e-6, update: str = "full") -> tuple[np.ndarray, float]:
    """Return the transform (D, D + 1), float64, and the gain in log likelihood a frame.

    The rows take their best values in turn, starting from the identity; no step lowers the
    likelihood. The identity results from fewer frames than `min_count`, and from frames that span
    too few directions to tell what is best (no more frames than dimensions, constant frames).

    Parameters
    ----------
    num_iters : int
        Rounds over all rows at most.
    tolerance : float
        A round that gains less, a frame, is the last.
    update : {"full", "diag", "offset", "none"}
        What of W is estimated: all, the diagonal of A and b, only b, nothing.
    """
    if update not in UPDATES:
        raise ValueError(f"update {update!r}, not one of {' '.join(UPDATES)}")
    identity = np.eye(stats.dim, stats.dim + 1)
    if update == "none" or stats.beta < max(min_count, 1e-3):
        return identity, 0.0
    g = 0.5 * (stats.g + stats.g.transpose(0, 2, 1)) / stats.beta
    k = stats.k / stats.beta
    first = fmllr_objective(identity, k, g)
    if update != "full":
        matrix = _best_diagonal(k, g, update == "diag")
        return matrix, fmllr_objective(matrix, k, g) - first
    inverses = _inverses(g)
    if inverses is None:
        return identity, 0.0
    matrix, best, reached = identity.copy(), identity, first
    for _ in range(num_iters):
        _fmllr_round(matrix, np.linalg.inv(matrix[:, :-1]), k, inverses)
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
    quadratic = ((g @ matrix[:, :, None])[..., 0] * matrix).sum()
    return float(np.linalg.slogdet(matrix[:, :-1])[1] + (k * matrix).sum() - 0.5 * quadratic)


def _inverses(g: np.ndarray) -> np.ndarray | None:
    """Invert every G; None if one is singular but for rounding."""
    power = np.sqrt(np.diagonal(g, axis1=1, axis2=2))
    if not np.isfinite(g).all() or not power.all():
        return None
    scale = power[:, :, None] * power[:, None, :]
    values = np.linalg.eigvalsh(g / scale)
    if (values[:, 0] < SMALLEST_RATIO * values[:, -1]).any():
        return None
    return np.linalg.inv(g / scale) / scale


def _best_diagonal(k: np.ndarray, g: np.ndarray, scales: bool) -> np.ndarray:
    """Return the best W with a diagonal A (of ones without `scales`), in closed form."""
    dim = len(k)
    matrix = np.eye(dim, dim + 1)
    for i in range(dim):
        square, cross, ones = g[i, i, i], g[i, i, dim], g[i, dim, dim]
        # With the best offset for each scale s, log s + linear s - 1/2 spread s^2 is left.
        spread = square - cross * cross / ones
        linear = k[i, i] - cross * k[i, dim] / ones
        if scales and spread > SMALLEST_RATIO * square:
            matrix[i, i] = (linear + np.sqrt(linear * linear + 4.0 * spread)) / (2.0 * spread)
        matrix[i, dim] = (k[i, dim] - cross * matrix[i, i]) / ones
    return matrix


@numba.njit(cache=True, nogil=True)
def _fmllr_row(matrix, inverse, row, k_row, inverse_g):
    """Give one row of W its best value, in place; `inverse` is that of A."""
    dim = len(matrix)
    cofactor = np.zeros(dim + 1)  # times the determinant, which cancels
    cofactor[:dim] = inverse[:, row]
    direction = inverse_g @ cofactor
    square = np.dot(cofactor, direction)
    linear = np.dot(k_row, direction)
    # The best step along the cofactors solves square a^2 + linear a - 1 = 0.
    root = np.sqrt(linear * linear + 4.0 * square)
    best, step = -np.inf, 0.0
    for candidate in ((-linear + root) / (2.0 * square), (-linear - root) / (2.0 * square)):
        value = np.log(abs(candidate * square + linear)) - 0.5 * candidate * candidate * square
        if value > best:
            best, step = value, candidate
    matrix[row] = step * direction + inverse_g @ k_row


@numba.njit(cache=True, nogil=True)
def _fmllr_round(matrix, inverse, k, inverse_g):
    """Update every row of W in place; `inverse`, that of A, follows."""
    dim = len(matrix)
    for row in range(dim):
        old = matrix[row, :dim].copy()
        _fmllr_row(matrix, inverse, row, k[row], inverse_g[row])
        follow_row(inverse, row, matrix[row, :dim] - old)


def compose_affine(second: np.ndarray, first: np.ndarray | None) -> np.ndarray:
    """Return the transform that applies `first` and then `second`; affine if one of them is.

    Parameters
    ----------
    second, first : (D, D) or (D, D + 1)
        None for `first` is the identity.

    Raises
    ------
    ValueError
        if the shapes are others.
    """
    dim = len(second)
    for matrix in (second,) if first is None else (second, first):
        if len(matrix) != dim or matrix.shape[1] not in (dim, dim + 1):
            raise ValueError(f"a transform of shape {matrix.shape} among {dim} dimensions")
    if first is None:
        return second
    result = second[:, :dim] @ first
    if second.shape[1] == dim + 1:
        if result.shape[1] == dim:
            result = np.column_stack([result, np.zeros(dim)])
        result[:, dim] += second[:, dim]
    return result
