"""Owns how long phones last: log-normal distributions from an alignment.

A phone that was seen rarely leans on the average of all phones.
"""

from collections.abc import Iterable

import numpy as np

from hybridasr.hmm.transitions import TransitionModel

# An average phone counts as this many observations of every phone.
PRIOR_COUNT = 5.0
LEAST_DEVIATION = 0.1  # of the log


def estimate_durations(alignments: Iterable[np.ndarray], transitions: TransitionModel,
                       phones: Iterable[int]) -> np.ndarray:
    """Return mean and standard deviation of the log of each phone's frames.

    Parameters
    ----------
    alignments : arrays of transition-ids (num_frames,)
        Self-loops follow the forward transition of their state.
    phones : phones that the average is taken over
        Speech phones.

    Returns
    -------
    float32 (largest phone + 1, 2)
    """
    size = 1 + max(transitions.topology.phones)
    sums = np.zeros((size, 3))  # count, sum, sum of squares
    for ids in alignments:
        starts = transitions.phone_starts(ids)
        logs = np.log(np.diff(np.append(starts, len(ids))))
        np.add.at(sums, transitions.tid_phone[ids[starts]],
                  np.stack([np.ones(len(logs)), logs, logs**2], axis=1))
    average = sums[sorted(set(phones))].sum(axis=0)
    average = average / average[0] if average[0] else np.array([1.0, np.log(8.0), np.log(8.0)**2])
    sums += PRIOR_COUNT * average
    mean = sums[:, 1] / sums[:, 0]
    variance = sums[:, 2] / sums[:, 0] - mean**2
    deviation = np.sqrt(np.maximum(variance, LEAST_DEVIATION**2))
    return np.stack([mean, deviation], axis=1).astype(np.float32)


def rescaled(durations: np.ndarray, factor: float) -> np.ndarray:
    """Return the same durations in frames of which there are `factor` times as many.

    >>> np.exp(rescaled(np.log([[12.0, 1.5]]), 1 / 3)).round(3).tolist()
    [[4.0, 1.5]]
    """
    return (durations + np.array([np.log(factor), 0.0])).astype(durations.dtype)


def standard_deviations(phones: np.ndarray, frames: np.ndarray,
                        durations: np.ndarray) -> np.ndarray:
    """Return how many standard deviations each phone's log duration is from its mean, signed."""
    mean, deviation = durations[phones].T
    return (np.log(frames) - mean) / deviation
