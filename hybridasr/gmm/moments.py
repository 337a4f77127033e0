"""Owns the moments that every estimate of a feature transform is made of.

Frames are taken pdf by pdf, so that posteriors and second moments are matrix products.
"""

from collections.abc import Iterator

import numpy as np

from hybridasr.gmm.diag import DiagGmm

MAX_ROWS = 4096  # frames of one pdf taken at a time: bounds the memory of a product


def pdf_frames(feats: np.ndarray, frame_pdfs: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
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
            for begin in range(0, len(rows), MAX_ROWS):
                yield pdf, rows[begin:begin + MAX_ROWS]


def gaussian_posteriors(gmm: DiagGmm, pdf: int, feats: np.ndarray) -> np.ndarray:
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


def weighted_moments(posteriors: np.ndarray, feats: np.ndarray) -> np.ndarray:
    """Return the sum of gamma x x' of each Gaussian: float64 (num_gaussians, dim, dim)."""
    frames, dim = feats.shape
    gaussians = posteriors.shape[1]
    weighted = (posteriors.astype(np.float32)[:, :, None] * feats[:, None, :]).reshape(frames, -1)
    return (weighted.T @ feats).reshape(gaussians, dim, dim).astype(np.float64)
