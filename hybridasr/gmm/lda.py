"""Owns LDA: the projection of spliced frames that separates the pdfs best.

Takes labelled frames; gives a linear transform. Haeb-Umbach & Ney 1992; Kaldi's lda-estimate.cc.
"""

from dataclasses import dataclass

import numba
import numpy as np

from hybridasr.errors import UserError

ROWS = 4096  # frames multiplied at a time in float32
SMALLEST_EIGENVALUE = 1e-6  # of a within-class correlation, relative to the largest


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

    >>> stats = LdaStats.zeros(num_classes=2, dim=2)
    >>> feats = np.array([[0, 0], [0, 1], [5, 0], [5, 1], [0, .5], [5, .5]], np.float32)
    >>> stats.accumulate(feats, np.array([0, 0, 1, 1, 0, 1], np.int32))
    >>> abs(estimate_lda(stats, 1).matrix[0]).argmax().tolist()  # the classes differ in column 0
    0

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
    active = stats.counts > 0
    means = stats.first[active] / stats.counts[active, None]
    weighted = means * stats.counts[active, None]
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
