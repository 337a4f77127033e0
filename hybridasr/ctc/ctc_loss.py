"""Owns the loss of connectionist temporal classification, with its gradient.

Graves, Fernandez, Gomez and Schmidhuber, "Connectionist temporal classification: labelling
unsegmented sequence data with recurrent neural networks", 2006. A network gives each frame a
distribution over the labels and the blank (class 0). A path of classes says the labels that are
left when repeats are merged and then blanks are taken out; the probability of a sequence of labels
is the sum over its paths. The sum is taken forward and backward over the states

    blank  label 1  blank  label 2  blank  ...  label n  blank

in natural logs and float64.
"""

import numba
import numpy as np

from hybridasr.nnet.loss import log_softmax

BLANK = 0
NEVER = -1e30  # stands for log 0: minus infinity less minus infinity is not a number
NEGLIGIBLE = 40.0  # nats below the largest summand at which another is lost in float64


def needed_frames(labels: np.ndarray) -> int:
    """Return the fewest frames that can say these labels: between two equal ones lies a blank.

    >>> needed_frames(np.array([3, 1, 1, 2])), needed_frames(np.array([], int))
    (5, 0)
    """
    return len(labels) + int(np.count_nonzero(labels[1:] == labels[:-1]))


def padded_labels(sequences: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return sequences of labels in one array (batch, longest), and their lengths (batch,).

    >>> padded_labels([np.array([1, 2]), np.array([3])])[0].tolist()
    [[1, 2], [3, 0]]
    """
    sizes = np.array([len(one) for one in sequences], np.int64)
    padded = np.zeros((len(sequences), sizes.max(initial=0)), np.int32)
    for row, one in enumerate(sequences):
        padded[row, :len(one)] = one
    return padded, sizes


def check_labels(labels: np.ndarray, sizes: np.ndarray, frames: np.ndarray,
                 shape: tuple[int, ...]) -> None:
    """Refuse what a kernel must not see: labels, lengths and frames that do not fit `shape`.

    Parameters
    ----------
    shape : (batch, time, ..., classes)
        Of the logits.

    Raises
    ------
    ValueError
    """
    batch, time, classes = shape[0], shape[1], shape[-1]
    if not len(labels) == len(sizes) == len(frames) == batch:
        raise ValueError(f"labels of {len(labels)}, lengths of {len(sizes)} and frames of "
                         f"{len(frames)} utterances, logits of {batch}")
    if np.any(sizes < 0) or np.any(sizes > labels.shape[1]):
        raise ValueError(f"{sizes.max()} labels in an array of {labels.shape[1]} columns")
    if np.any(frames < 0) or np.any(frames > time):
        raise ValueError(f"frames from {frames.min()} to {frames.max()}, logits of {time}")
    used = labels[np.arange(labels.shape[1]) < sizes[:, None]]
    if len(used) and not 0 < used.min() <= used.max() < classes:
        raise ValueError(f"labels from {used.min()} to {used.max()}, classes from 1 to "
                         f"{classes - 1}; 0 is the blank")


def ctc_loss(logits: np.ndarray, frames: np.ndarray, labels: np.ndarray, sizes: np.ndarray,
             scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return -log P(labels | utterance) of every utterance, and the gradient of their sum.

    Parameters
    ----------
    logits : float32 (batch, time, classes)
        Class 0 is the blank.
    frames : int64 (batch,)
        Of each utterance; what lies beyond has no part in it.
    labels : int32 (batch, longest), sizes : int64 (batch,)
        As of `padded_labels`.
    scale : float
        Multiplies the gradient only; 1 / frames gives the gradient of the mean.

    Returns
    -------
    losses : float64 (batch,)
        In nats; infinite where the frames are too few for the labels (`needed_frames`): such an
        utterance has no gradient.
    dlogits : (batch, time, classes), of the dtype of `logits`

    Examples
    --------
    >>> logits = np.zeros((1, 2, 2), np.float32)
    >>> losses, _ = ctc_loss(logits, np.array([2]), np.array([[1]], np.int32), np.array([1]))
    >>> float(np.exp(-losses[0]).round(6))  # of four paths, three say the label
    0.75
    """
    frames, sizes = np.asarray(frames, np.int64), np.asarray(sizes, np.int64)
    labels = np.ascontiguousarray(labels, np.int32)
    check_labels(labels, sizes, frames, logits.shape)
    flat = np.ascontiguousarray(logits).reshape(-1, logits.shape[-1])
    log_probs = log_softmax(flat).reshape(logits.shape)
    dlogits = np.exp(log_probs)  # numpy's is a vector instruction, the kernels' is not
    losses = np.empty(len(logits))
    _batch_losses(log_probs, frames, labels, sizes, scale, losses, dlogits)
    return losses, dlogits


def label_log_prob(log_probs: np.ndarray, labels: np.ndarray) -> float:
    """Return log P(labels) under log posteriors (num_frames, classes); minus infinity for none."""
    padded, sizes = padded_labels([np.asarray(labels)])
    frames = np.array([len(log_probs)])
    check_labels(padded, sizes, frames, (1, *log_probs.shape))
    log_probs = np.ascontiguousarray(log_probs)
    alpha = _forward(log_probs, padded[0, :sizes[0]], len(log_probs))
    return float(_total(alpha, len(log_probs))) if needed_frames(labels) <= len(log_probs) \
        else -np.inf


@numba.njit(cache=True, nogil=True)
def _batch_losses(log_probs, frames, labels, sizes, scale, losses, dlogits):
    """Fill the losses; turn the posteriors in `dlogits` into the gradient."""
    for row in range(len(frames)):
        time = frames[row]
        own = labels[row, :sizes[row]]
        repeats = 0
        for place in range(1, len(own)):
            repeats += own[place] == own[place - 1]
        if len(own) + repeats > time:
            losses[row] = np.inf
            dlogits[row] = 0
            continue
        alpha = _forward(log_probs[row], own, time)
        total = _total(alpha, time)
        losses[row] = -total
        _subtract_occupancies(log_probs[row], own, time, alpha, total, dlogits[row])
        factor = dlogits.dtype.type(scale)
        for t in range(time):
            for k in range(dlogits.shape[2]):
                dlogits[row, t, k] *= factor
        dlogits[row, time:] = 0


@numba.njit(cache=True, nogil=True)
def _log_add(a, b, c):
    # The largest first: its exponential is 1, and most others are too small to be computed.
    if b > a:
        a, b = b, a
    if c > a:
        a, c = c, a
    if a <= NEVER:
        return NEVER
    total = 1.0
    if b > a - NEGLIGIBLE:
        total += np.exp(b - a)
    if c > a - NEGLIGIBLE:
        total += np.exp(c - a)
    return a + np.log(total) if total > 1.0 else a


@numba.njit(cache=True, nogil=True)
def _class_of(labels, state):
    return labels[state >> 1] if state & 1 else 0


@numba.njit(cache=True, nogil=True)
def _skips(labels, state):
    """Whether the blank before a state may be left out: that of a label unlike the one before."""
    return state & 1 and state > 1 and labels[state >> 1] != labels[(state >> 1) - 1]


@numba.njit(cache=True, nogil=True)
def _forward(log_probs, labels, time):
    """Return log P(first frames, state) with the frame's own class: float64 (time, states)."""
    states = 2 * len(labels) + 1
    alpha = np.full((time, states), NEVER)
    if time == 0:
        return alpha
    alpha[0, 0] = log_probs[0, 0]
    if states > 1:
        alpha[0, 1] = log_probs[0, labels[0]]
    for t in range(1, time):
        # Elsewhere the beginning cannot have led, or the end is out of reach.
        for state in range(max(0, states - 2 * (time - t)), min(states, 2 * t + 2)):
            one = alpha[t - 1, state - 1] if state > 0 else NEVER
            two = alpha[t - 1, state - 2] if _skips(labels, state) else NEVER
            value = _log_add(alpha[t - 1, state], one, two)
            if value > NEVER:
                alpha[t, state] = value + log_probs[t, _class_of(labels, state)]
    return alpha


@numba.njit(cache=True, nogil=True)
def _total(alpha, time):
    if time == 0:
        return 0.0
    last = alpha.shape[1] - 1
    return _log_add(alpha[time - 1, last], alpha[time - 1, last - 1] if last > 0 else NEVER, NEVER)


@numba.njit(cache=True, nogil=True)
def _subtract_occupancies(log_probs, labels, time, alpha, total, gradient):
    """Subtract P(class in this frame | labels) from each frame's row, going backward."""
    states = alpha.shape[1]
    after = np.full(states + 2, NEVER)  # log P(later frames | state), with the later classes
    before = np.full(states + 2, NEVER)
    for t in range(time - 1, -1, -1):
        for state in range(states):
            if t == time - 1:
                before[state] = 0.0 if state >= states - 2 else NEVER
            else:
                two = after[state + 2] if state + 2 < states and _skips(labels, state + 2) \
                    else NEVER
                before[state] = _log_add(after[state], after[state + 1], two)
            if before[state] > NEVER and alpha[t, state] > NEVER:
                share = alpha[t, state] + before[state] - total
                if share > -NEGLIGIBLE:
                    gradient[t, _class_of(labels, state)] -= np.exp(share)
        for state in range(states):
            after[state] = NEVER
            if before[state] > NEVER:
                after[state] = before[state] + log_probs[t, _class_of(labels, state)]
