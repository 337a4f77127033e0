"""Owns SpecAugment: stripes of time and of frequency are blotted out of training features.

Park et al., "SpecAugment: a simple data augmentation method for automatic speech recognition"
(2019), without the warping of time. Takes and gives float32 (frames, dim), before deltas and
splicing. Frequency stripes are for filterbanks (fbank) alone: neighbouring cepstra are not
neighbouring frequencies, so that MFCC get stripes of time only (`freq_masks` 0), and so do
columns of pitch or energy.
"""

import numpy as np

from hybridasr.errors import UserError

# The largest part of a recording that one stripe of time may take: of a single word more than
# this is not the same word any more.
MAX_TIME_SHARE = 0.2


def spec_augment(feats: np.ndarray, rng: np.random.Generator, time_masks: int = 2,
                 max_time: int = 20, freq_masks: int = 0, max_freq: int = 8,
                 max_time_share: float = MAX_TIME_SHARE) -> np.ndarray:
    """Return a copy of features with stripes at random places replaced by the mean.

    Parameters
    ----------
    feats : float32 array (frames, dim)
        Unchanged.
    rng : numpy Generator
        Draws widths and places; the number of draws depends on the two counts only.
    time_masks, freq_masks : int
        Number of stripes, which may overlap.
    max_time, max_freq : int
        Largest width in frames and columns; a width is drawn evenly from 0 to it.
    max_time_share : float
        0 to 1: a stripe takes at most this part of the frames, whatever `max_time`.

    Returns
    -------
    float32 array (frames, dim)
        Within a stripe, each column's mean over all frames of `feats`.

    Raises
    ------
    UserError
        if `feats` is not two-dimensional or a number is negative or out of range.
    """
    if np.ndim(feats) != 2:
        raise UserError(f"features of shape {np.shape(feats)}; give (frames, dim)")
    for name, value in (("time_masks", time_masks), ("max_time", max_time),
                        ("freq_masks", freq_masks), ("max_freq", max_freq)):
        if value < 0:
            raise UserError(f"{name} is {value}; give 0 or more")
    if not 0 <= max_time_share <= 1:
        raise UserError(f"max_time_share is {max_time_share}; give 0 to 1")
    frames, dim = feats.shape
    in_time = _stripes(frames, time_masks, min(max_time, int(max_time_share * frames)), rng)
    in_freq = _stripes(dim, freq_masks, min(max_freq, dim), rng)
    if frames == 0:
        return np.array(feats, dtype=np.float32)
    mean = np.mean(feats, axis=0, dtype=np.float64).astype(np.float32)
    return np.where(in_time[:, None] | in_freq, mean, feats).astype(np.float32, copy=False)


def _stripes(length: int, count: int, widest: int, rng: np.random.Generator) -> np.ndarray:
    """Return which of `length` places are in one of `count` stripes, bool (length,)."""
    # Fractions of what is possible, so that every length takes the same draws.
    draws = rng.random((count, 2))
    width = np.floor(draws[:, 0] * (widest + 1))
    start = np.floor(draws[:, 1] * (length - width + 1))
    place = np.arange(length)
    inside = (place >= start[:, None]) & (place < (start + width)[:, None])
    return inside.any(axis=0)
