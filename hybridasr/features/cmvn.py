"""Owns cepstral mean and variance normalisation: per speaker, per utterance, sliding window.

Statistics are in Kaldi's layout, float64 (2, dim + 1): sums and, last, the count; sums of squares
and, last, 0 (Kaldi: transform/cmvn.cc; feat/feature-functions.cc for the sliding window).
"""

from collections.abc import Iterable

import numpy as np

from hybridasr.errors import UserError

# Kaldi's floors of a variance, against a column that never changes.
VARIANCE_FLOOR = 1e-20
SLIDING_VARIANCE_FLOOR = 1e-10


def cmvn_stats(features: np.ndarray) -> np.ndarray:
    """Return the statistics, float64 (2, dim + 1), of features (frames, dim)."""
    wide = np.asarray(features, dtype=np.float64)
    stats = np.zeros((2, wide.shape[1] + 1))
    stats[0, :-1] = wide.sum(axis=0)
    stats[0, -1] = len(wide)
    stats[1, :-1] = np.square(wide).sum(axis=0)
    return stats


def sum_stats(parts: Iterable[np.ndarray]) -> np.ndarray:
    """Add up statistics (2, dim + 1), in the order given."""
    return np.sum(np.stack(list(parts)), axis=0)


def apply_cmvn(features: np.ndarray, stats: np.ndarray, norm_vars: bool = False) -> np.ndarray:
    """Subtract the mean that `stats` hold and, with `norm_vars`, divide by the deviation.

    Parameters
    ----------
    features : float32 array (frames, dim)
        What to normalise.
    stats : array (2, dim + 1)
        Of the speaker or the utterance.
    norm_vars : bool
        Normalise the variance too.

    Returns
    -------
    float32 array (frames, dim)

    Raises
    ------
    UserError
        if the dimensions differ or the statistics are of no frame at all.
    """
    dim = features.shape[1]
    if stats.shape != (2, dim + 1):
        raise UserError(f"CMVN statistics of shape {tuple(stats.shape)} do not fit features of "
                        f"{dim} columns, which need (2, {dim + 1}); make features and statistics "
                        "again together")
    count = stats[0, -1]
    if count < 1.0:
        raise UserError(f"CMVN statistics of {count:g} frames; make them again")
    mean = stats[0, :-1] / count
    if not norm_vars:
        return features - mean.astype(np.float32)
    variance = np.maximum(stats[1, :-1] / count - mean * mean, VARIANCE_FLOOR)
    return ((features - mean) / np.sqrt(variance)).astype(np.float32)


def sliding_cmvn(features: np.ndarray, window: int = 600, min_window: int = 100,
                 center: bool = False, norm_vars: bool = False) -> np.ndarray:
    """Normalise each frame by the frames around it (Kaldi's apply-cmvn-sliding).

    Parameters
    ----------
    features : float32 array (frames, dim)
        What to normalise.
    window : int
        Frames to average over.
    min_window : int
        Without `center`: frames to average over at the start, where fewer have been seen.
    center : bool
        Window centred on the frame; false: the frame and those before it.
    norm_vars : bool
        Normalise the variance too.

    Returns
    -------
    float32 array (frames, dim)
    """
    frames = len(features)
    if frames == 0:
        return features.copy()
    start, end = _sliding_bounds(frames, window, min_window, center)
    wide = np.asarray(features, dtype=np.float64)
    count = (end - start)[:, None]
    mean = _window_sums(wide, start, end) / count
    if not norm_vars:
        return (wide - mean).astype(np.float32)
    variance = _window_sums(wide * wide, start, end) / count - mean * mean
    scaled = (wide - mean) / np.sqrt(np.maximum(variance, SLIDING_VARIANCE_FLOOR))
    # One frame alone has no variance: zero, as in Kaldi.
    return np.where(count > 1, scaled, 0.0).astype(np.float32)


def _sliding_bounds(frames: int, window: int, min_window: int,
                    center: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return first frame and end of the window of each frame, int64 (frames,) both."""
    frame = np.arange(frames)
    if center:
        start = frame - window // 2
        # A window that would begin before the recording is moved, not cut.
        start, end = np.maximum(start, 0), np.maximum(start, 0) + window
    else:
        # So Kaldi's window has window + 1 frames here; its first frames look ahead.
        start = np.maximum(frame - window, 0)
        end = np.maximum(frame + 1, min_window)
    over = np.maximum(end - frames, 0)
    return np.maximum(start - over, 0), end - over


def _window_sums(values: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    total = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=total[1:])
    return total[end] - total[start]
