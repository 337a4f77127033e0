"""Owns the softmax: log posteriors, and the cross-entropy loss with its gradient."""

import numba
import numpy as np

from hybridasr.nnet.layer import FAST


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return natural log posteriors of logits (num_frames, num_classes), a new array."""
    shifted = np.empty(logits.shape, logits.dtype)
    _subtract_largest(logits, shifted)
    # numpy's exp is a vector instruction, the kernels' is not
    sums = np.exp(shifted).sum(axis=1, keepdims=True)
    shifted -= np.log(sums)
    return shifted


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def _subtract_largest(x, y):
    for row in range(len(x)):
        best = x[row].max()
        for i in range(x.shape[1]):
            y[row, i] = x[row, i] - best


def cross_entropy(logits: np.ndarray, targets: np.ndarray, scale: float = 1.0
                  ) -> tuple[float, np.ndarray, int]:
    """Sum -log softmax(logits)[target] over the frames.

    Parameters
    ----------
    logits : float32 (num_frames, num_classes)
    targets : int32 (num_frames,)
        The class of each frame; -1 leaves the frame out of the sum, the gradient and the count.
    scale : float
        Multiplies the gradient only; 1 / frames gives the gradient of the mean.

    Returns
    -------
    loss : float
        Natural logs, summed in float64.
    dlogits : (num_frames, num_classes), of the dtype of `logits`
    correct : int
        Frames whose largest logit (the first of equals) is the target.
    """
    if logits.ndim != 2 or targets.shape != (len(logits),):
        raise ValueError(f"logits {logits.shape} and targets {targets.shape} do not fit")
    if len(targets) and not -1 <= targets.min() <= targets.max() < logits.shape[1]:
        raise ValueError(f"targets from {targets.min()} to {targets.max()}, "
                         f"classes from 0 to {logits.shape[1] - 1} (-1: left out)")
    logits = np.ascontiguousarray(logits)
    shifted = np.empty_like(logits)
    picked = np.zeros(len(logits), logits.dtype)
    correct = _shift(logits, targets, shifted, picked)
    np.exp(shifted, out=shifted)  # numpy's is a vector instruction, the kernels' is not
    loss = _normalize(shifted, targets, picked, scale)
    return float(loss), shifted, int(correct)


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _shift(logits, targets, shifted, picked):
    """Subtract each row's largest; keep the target's value; count the rows it is the largest of."""
    correct = 0
    for row in range(len(logits)):
        best = logits[row, 0]
        for i in range(1, logits.shape[1]):
            best = max(best, logits[row, i])
        for i in range(logits.shape[1]):
            shifted[row, i] = logits[row, i] - best
        target = targets[row]
        if target < 0:
            continue
        picked[row] = shifted[row, target]
        if picked[row] == 0:
            first = True
            for i in range(target):
                first = first and shifted[row, i] < 0
            correct += first
    return correct


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _normalize(values, targets, picked, scale):
    """Turn exponentials into the gradient; return the loss."""
    loss = 0.0
    for row in range(len(values)):
        if targets[row] < 0:
            for i in range(values.shape[1]):
                values[row, i] = 0
            continue
        total = 0.0
        for i in range(values.shape[1]):
            total += values[row, i]
        loss += np.log(total) - picked[row]
        factor = values.dtype.type(scale / total)
        for i in range(values.shape[1]):
            values[row, i] *= factor
        values[row, targets[row]] -= scale
    return loss
