"""Owns the pitch features: what the recogniser sees of a raw pitch track.

Takes (frames, 2) of normalised cross-correlation and pitch in hertz, gives float32 (frames, 3):
how voiced a frame is, its log pitch against the surroundings, and the slope of the log pitch.
Ghahremani et al., "A pitch extraction algorithm tuned for automatic speech recognition", ICASSP
2014, section 4; Kaldi: feat/pitch-functions.cc (OnlineProcessPitch).
"""

import zlib
from dataclasses import dataclass

import numpy as np

from hybridasr.errors import UserError
from hybridasr.options import option

__all__ = ["ProcessPitchOptions", "process_pitch", "voicing_probability"]

# Tells the noise of the slope apart from the dither of the same utterance, which has its seed, too.
_NOISE_STREAM = 1


@dataclass(frozen=True)
class ProcessPitchOptions:
    """How a raw pitch track becomes features; the defaults are Kaldi's."""

    pitch_scale: float = option(2.0, "factor of the normalised log pitch")
    pov_scale: float = option(2.0, "factor of the voicing feature")
    pov_offset: float = option(0.0, "added to the voicing feature")
    delta_pitch_scale: float = option(10.0, "factor of the slope of the log pitch")
    delta_pitch_noise_stddev: float = option(
        0.005, "standard deviation of the noise added to the slope before it is scaled; 0: none")
    normalization_left_context: int = option(75, "frames before that the mean is taken over")
    normalization_right_context: int = option(75, "frames after that the mean is taken over")
    delta_window: int = option(2, "frames to either side that the slope is taken over")
    seed: int = option(0, "seed of the noise")

    def __post_init__(self):
        """Refuse values outside their range."""
        for name in ("delta_pitch_noise_stddev", "normalization_left_context",
                     "normalization_right_context", "seed"):
            if getattr(self, name) < 0:
                raise UserError(f"option {name} is {getattr(self, name)!r}; give 0 or more")
        if self.delta_window < 1:
            raise UserError(f"option delta_window is {self.delta_window!r}; give 1 or more")


def process_pitch(raw: np.ndarray, options: ProcessPitchOptions | None = None,
                  seed_id: str = "") -> np.ndarray:
    """Turn a raw pitch track into features.

    Parameters
    ----------
    raw : float array (num_frames, 2)
        Normalised cross-correlation (-1..1) and pitch in hertz (above 0), as `compute_pitch`
        gives them.
    options : ProcessPitchOptions, optional
        Default: Kaldi's values.
    seed_id : str
        Utterance id; seeds the noise.

    Returns
    -------
    float32 array (num_frames, 3)
        The voicing feature ((1.0001 - c)^0.15 - 1 of the correlation c, scaled: the lower the
        more voiced); the log pitch less its mean over the surrounding frames, which count by
        their probability of being voiced; the slope of the log pitch, with noise.

    Raises
    ------
    UserError
        if `raw` is no such track.
    """
    options = options or ProcessPitchOptions()
    raw = np.asarray(raw, dtype=np.float64)
    if raw.ndim != 2 or raw.shape[1] != 2:
        raise UserError(f"a pitch track of shape {raw.shape} instead of (num_frames, 2); give "
                        "correlation and pitch in hertz, and nothing else")
    if not (np.isfinite(raw).all() and (raw[:, 1] > 0).all()):
        bad = int(np.argmin(np.isfinite(raw).all(axis=1) & (raw[:, 1] > 0)))
        raise UserError(f"frame {bad} of the pitch track is {raw[bad].tolist()}, not a finite "
                        "correlation and a pitch above 0 Hz; compute it again")
    features = np.empty((len(raw), 3), dtype=np.float32)
    if len(raw) == 0:
        return features
    correlation, log_pitch = np.clip(raw[:, 0], -1.0, 1.0), np.log(raw[:, 1])
    features[:, 0] = options.pov_scale * ((1.0001 - correlation) ** 0.15 - 1) + options.pov_offset
    features[:, 1] = options.pitch_scale * (log_pitch - _local_mean(
        log_pitch, voicing_probability(correlation), options))
    features[:, 2] = options.delta_pitch_scale * (
        _slope(log_pitch, options.delta_window) + _noise(len(raw), options, seed_id))
    return features


def voicing_probability(correlation: np.ndarray) -> np.ndarray:
    """Return how probable it is that a frame is voiced, float64, of its correlation (-1..1).

    Log odds fitted by the paper's authors to the Keele database; 0 is the least voiced.
    """
    size = np.abs(correlation)
    odds = (-5.2 + 5.4 * np.exp(7.5 * (size - 1)) + 4.8 * size - 2 * np.exp(-10 * size)
            + 4.2 * np.exp(20 * (size - 1)))
    return 1 / (1 + np.exp(-odds))


def _local_mean(values: np.ndarray, weights: np.ndarray,
                options: ProcessPitchOptions) -> np.ndarray:
    """Weighted mean of `values` around each frame; both are (num_frames,)."""
    frames = np.arange(len(values))
    first = np.maximum(frames - options.normalization_left_context, 0)
    stop = np.minimum(frames + options.normalization_right_context + 1, len(values))
    # Sums up to a frame of values near 0, so that little is lost where two sums are subtracted.
    centre = values[0]
    total = np.concatenate([[0.0], np.cumsum(weights)])
    moment = np.concatenate([[0.0], np.cumsum(weights * (values - centre))])
    return centre + (moment[stop] - moment[first]) / (total[stop] - total[first])


def _slope(values: np.ndarray, window: int) -> np.ndarray:
    """Regression slope over `window` frames to either side; the ends are repeated."""
    padded = np.pad(values, window, mode="edge")
    size = len(values)
    slope = np.zeros(size)
    for step in range(1, window + 1):
        after, before = padded[window + step:], padded[window - step:]
        slope += step * (after[:size] - before[:size])
    return slope / (2 * sum(step * step for step in range(1, window + 1)))


def _noise(size: int, options: ProcessPitchOptions, seed_id: str) -> np.ndarray | float:
    if options.delta_pitch_noise_stddev == 0:
        return 0.0
    seed = zlib.crc32(seed_id.encode(errors="surrogatepass"))  # file names may be no UTF-8
    generator = np.random.default_rng([options.seed, seed, _NOISE_STREAM])
    return options.delta_pitch_noise_stddev * generator.standard_normal(size)
