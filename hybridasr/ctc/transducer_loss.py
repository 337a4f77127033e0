"""Owns the loss of a transducer, with its gradient.

Graves, "Sequence transduction with recurrent neural networks", 2012. Over a grid of frames t and
labels written so far u, the network gives each node a distribution: the blank (class 0) leads to
(t + 1, u), the next label to (t, u + 1). A path from (0, 0) that ends with the blank of the last
frame writes all labels; the probability of the labels is the sum over all paths.
"""

import numba
import numpy as np

from hybridasr.ctc.ctc_loss import NEVER
from hybridasr.nnet.loss import log_softmax


def transducer_loss(logits: np.ndarray, labels: np.ndarray, scale: float = 1.0
                    ) -> tuple[float, np.ndarray]:
    """Return -log P(labels) of an utterance, and its gradient.

    Parameters
    ----------
    logits : float32 (num_frames, num_labels + 1, classes)
        Of every node of the grid; class 0 is the blank.
    labels : int32 (num_labels,)
    scale : float
        Multiplies the gradient only.

    Returns
    -------
    loss : float
        In nats.
    dlogits : array as `logits`

    Examples
    --------
    Two frames and one label: it may be written in either frame.

    >>> loss, _ = transducer_loss(np.zeros((2, 2, 2), np.float32), np.array([1]))
    >>> round(float(np.exp(-loss)), 6)
    0.25
    """
    labels = np.ascontiguousarray(labels, np.int32)
    if logits.ndim != 3 or not len(logits) or logits.shape[1] != len(labels) + 1:
        raise ValueError(f"logits {logits.shape} of {len(labels)} labels; a frame or more, and one "
                         "row more than labels, are expected")
    if len(labels) and not 0 < labels.min() <= labels.max() < logits.shape[2]:
        raise ValueError(f"labels from {labels.min()} to {labels.max()}, classes from 1 to "
                         f"{logits.shape[2] - 1}; 0 is the blank")
    flat = np.ascontiguousarray(logits).reshape(-1, logits.shape[2])
    log_probs = log_softmax(flat).reshape(logits.shape)
    dlogits = np.exp(log_probs)
    loss = _loss(log_probs, labels, scale, dlogits)
    return float(loss), dlogits


@numba.njit(cache=True, nogil=True)
def _log_add(a, b):
    best = max(a, b)
    if best <= NEVER:
        return NEVER
    return best + np.log(np.exp(a - best) + np.exp(b - best))


@numba.njit(cache=True, nogil=True)
def _loss(log_probs, labels, scale, gradient):
    """Return the loss; turn the posteriors in `gradient` into the gradient."""
    frames, rows = log_probs.shape[:2]
    alpha = np.full((frames, rows), NEVER)  # log P(of all ways to the node)
    alpha[0, 0] = 0.0
    for t in range(frames):
        for u in range(rows):
            if t > 0:
                alpha[t, u] = _log_add(alpha[t, u], alpha[t - 1, u] + log_probs[t - 1, u, 0])
            if u > 0:
                alpha[t, u] = _log_add(alpha[t, u],
                                       alpha[t, u - 1] + log_probs[t, u - 1, labels[u - 1]])
    total = alpha[frames - 1, rows - 1] + log_probs[frames - 1, rows - 1, 0]
    after = np.full(rows, NEVER)  # log P(of all ways on from the nodes of the next frame)
    for t in range(frames - 1, -1, -1):
        above = NEVER  # the same of the node one label further
        for u in range(rows - 1, -1, -1):
            on = log_probs[t, u, 0] + after[u]
            if t == frames - 1 and u == rows - 1:
                on = np.float64(log_probs[t, u, 0])
            up = NEVER
            if u < rows - 1:
                up = log_probs[t, u, labels[u]] + above
            here = _log_add(on, up)
            occupancy = scale * np.exp(alpha[t, u] + here - total)
            for k in range(gradient.shape[2]):
                gradient[t, u, k] *= occupancy
            gradient[t, u, 0] -= scale * np.exp(alpha[t, u] + on - total)
            if u < rows - 1:
                gradient[t, u, labels[u]] -= scale * np.exp(alpha[t, u] + up - total)
            above = here
            after[u] = here
    return -total
