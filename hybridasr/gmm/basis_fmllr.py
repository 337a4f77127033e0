"""Owns basis fMLLR: a speaker's transform from a few coefficients, for little speech.

W = [I 0] + sum_n d_n W_n, where the W_n are the directions in which the training speakers differ
most, and the number of coefficients grows with the speech at hand (Povey & Yao 2012, "A basis
representation of constrained MLLR transforms for robust adaptation"; Kaldi's
basis-fmllr-diag-gmm.cc). Distances are measured by the average curvature of the likelihood at the
identity, so that all coefficients are equally well determined by the data.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cholesky, eigh, solve_triangular

from hybridasr.errors import UserError
from hybridasr.gmm.fmllr import FmllrStats, fmllr_objective

SMALLEST_EIGENVALUE = 1e-10  # of the speakers' differences, relative to the largest
LINE_STEPS = 30  # halvings in the search along a direction: far below the noise of the estimate


@dataclass
class BasisStats:
    """Of all training speakers: frames; sum of G (D, D + 1, D + 1); sum of p p' / beta, p the
    gradient at the identity, float64 (D (D + 1), D (D + 1)); speakers.
    """

    beta: float
    g: np.ndarray
    outer: np.ndarray
    speakers: int = 0

    @classmethod
    def zeros(cls, dim: int) -> "BasisStats":
        """Return empty statistics."""
        size = dim * (dim + 1)
        return cls(0.0, np.zeros((dim, dim + 1, dim + 1)), np.zeros((size, size)))

    def add_speaker(self, stats: FmllrStats) -> None:
        """Add one speaker's statistics, on features without transform, in place."""
        if stats.beta <= 0.0:
            return
        gradient = fmllr_gradient(np.eye(stats.dim, stats.dim + 1), stats).ravel()
        self.beta += stats.beta
        self.g += stats.g
        self.outer += np.outer(gradient, gradient / stats.beta)
        self.speakers += 1

    def add(self, other: "BasisStats") -> None:
        """Add the statistics of other speakers, in place."""
        self.beta += other.beta
        self.g += other.g
        self.outer += other.outer
        self.speakers += other.speakers


def fmllr_gradient(matrix: np.ndarray, stats: FmllrStats) -> np.ndarray:
    """Return the derivative of the auxiliary function at W, float64 (D, D + 1)."""
    gradient = stats.k - (stats.g @ matrix[:, :, None])[..., 0]
    gradient[:, :-1] += stats.beta * np.linalg.inv(matrix[:, :-1]).T
    return gradient


def estimate_basis(stats: BasisStats, num_bases: int | None = None) -> np.ndarray:
    """Return the basis, the direction in which speakers differ most first.

    Parameters
    ----------
    num_bases : int, optional
        Default all: one for each speaker, at most D (D + 1).

    Returns
    -------
    float64 (N, D, D + 1)
        The steps along it have unit curvature, a frame, for the average speaker.

    Raises
    ------
    UserError
        if no speaker has frames.
    """
    if stats.speakers == 0:
        raise UserError("a basis of transforms needs speakers with speech, none has any; give "
                        "more recordings")
    dim, wide = stats.g.shape[:2]
    factor = _cholesky(_curvature(0.5 * (stats.g + stats.g.transpose(0, 2, 1)) / stats.beta))
    half = solve_triangular(factor, stats.outer, lower=True)
    whitened = solve_triangular(factor, half.T, lower=True)
    size = min(dim * wide, stats.speakers, num_bases or dim * wide)
    values, vectors = eigh(0.5 * (whitened + whitened.T),
                           subset_by_index=(dim * wide - size, dim * wide - 1))
    kept = np.flatnonzero(values > SMALLEST_EIGENVALUE * values[-1])[::-1]
    vectors = vectors[:, kept]
    # A sign of its own for each direction: the same on every machine.
    vectors *= np.sign(vectors[np.abs(vectors).argmax(0), np.arange(len(kept))])
    basis = solve_triangular(factor, vectors, lower=True, trans="T")
    return np.ascontiguousarray(basis.T).reshape(len(kept), dim, wide)


def _curvature(g: np.ndarray) -> np.ndarray:
    """Return minus the second derivative, a frame, at the identity: (D (D + 1), D (D + 1))."""
    dim, wide = g.shape[:2]
    curvature = np.zeros((dim, wide, dim, wide))
    rows = np.arange(dim)
    curvature[rows, :, rows, :] = g
    # log |det A| couples a_ij with a_ji.
    i, j = np.meshgrid(rows, rows, indexing="ij")
    curvature[i, j, j, i] += 1.0
    return curvature.reshape(dim * wide, dim * wide)


def _cholesky(matrix: np.ndarray) -> np.ndarray:
    """Return the lower factor of a matrix that is positive definite, or nearly so."""
    diagonal = np.diagonal(matrix)
    for ridge in (0.0, *(10.0 ** np.arange(-8, 1))):
        try:
            return cholesky(matrix + np.diag(ridge * np.maximum(diagonal, diagonal.mean())),
                            lower=True)
        except LinAlgError:  # a direction that the model leaves free, such as a rotation
            continue
    raise UserError("the curvature of the speakers' likelihood is not positive; the frames fit "
                    "the model too badly, train it longer")


def estimate_fmllr_basis(stats: FmllrStats, basis: np.ndarray, size_scale: float = 0.2,
                         min_count: float = 50.0, num_iters: int = 20,
                         tolerance: float = 1e-5) -> tuple[np.ndarray, float]:
    """Return the transform (D, D + 1), float64, and the gain in log likelihood a frame.

    Conjugate gradients on the coefficients, each step as long as is best; no step lowers the
    likelihood. Fewer frames than `min_count`, or than one coefficient needs, give the identity.

    Parameters
    ----------
    basis : float64 (N, D, D + 1)
    size_scale : float
        Coefficients for each frame; at most N.
    tolerance : float
        A step that gains less, a frame, is the last.
    """
    matrix = np.eye(stats.dim, stats.dim + 1)
    size = min(int(size_scale * stats.beta), len(basis))
    if stats.beta < max(min_count, 1e-3) or size == 0:
        return matrix, 0.0
    average = FmllrStats(1.0, stats.k / stats.beta,
                         0.5 * (stats.g + stats.g.transpose(0, 2, 1)) / stats.beta)
    flat = basis[:size].reshape(size, -1)
    first = reached = fmllr_objective(matrix, average.k, average.g)
    direction = old = None
    for _ in range(num_iters):
        gradient = flat @ fmllr_gradient(matrix, average).ravel()
        if direction is None:
            direction = gradient
        else:
            memory = max(0.0, gradient @ (gradient - old) / max(old @ old, 1e-300))
            direction = gradient + memory * direction
            if direction @ gradient <= 0.0:
                direction = gradient
        old = gradient
        change = (direction @ flat).reshape(matrix.shape)
        new = matrix + _best_step(matrix, change, average) * change
        now = fmllr_objective(new, average.k, average.g)
        if not now > reached:  # not a number included
            break
        done = now - reached < tolerance
        matrix, reached = new, now
        if done:
            break
    return matrix, reached - first


def _best_step(matrix: np.ndarray, change: np.ndarray, average: FmllrStats) -> float:
    """Return the step along an ascending direction where the objective's slope vanishes.

    log |det (A + t C)| is the sum of log |1 + t e| over the eigenvalues e of inv(A) C; the step
    stays where the determinant keeps its sign.
    """
    eigenvalues = np.linalg.eigvals(np.linalg.solve(matrix[:, :-1], change[:, :-1]))
    moved = (average.g @ change[:, :, None])[..., 0]
    linear = ((average.k * change).sum() - (moved * matrix).sum())
    quadratic = (moved * change).sum()

    def slope(step: float) -> float:
        return float(linear - step * quadratic
                     + (eigenvalues / (1.0 + step * eigenvalues)).real.sum())

    negative = eigenvalues.real[(np.abs(eigenvalues.imag) < 1e-12) & (eigenvalues.real < 0)]
    limit = float(1.0 / -negative.min()) if len(negative) else np.inf
    low, high = 0.0, min(1.0, 0.5 * limit)
    for _ in range(LINE_STEPS):
        if slope(high) <= 0.0:
            break
        low, high = high, min(2.0 * high, 0.5 * (high + limit))
    for _ in range(LINE_STEPS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if slope(middle) > 0.0 else (low, middle)
    return low
