"""Owns the pitch features that models see, made as the samples come.

The parts are the pitch tracker's (`pitch`, `pitch_process`), but nothing looks at a whole
recording. The path of a frame is decided `look_ahead` frames later, on the cheapest path at that
time; the mean of the log pitch is taken over the frames before and those looked ahead at; the
ballast, which keeps quiet frames from having an opinion, follows the level of the speech so far.
The features are of the speech: the mean counts frames by their loudness too, and what silence is
around a word changes little within it.
"""

import numba
import numpy as np

from hybridasr.features.frames import checked_samples
from hybridasr.features.pitch import PitchOptions, measure, pitch_tables, resample_part
from hybridasr.features.pitch_process import (
    ProcessPitchOptions,
    advance_paths,
    slope_noise,
    voicing_probability,
)

# Speech is at most 20 dB below its loudest frame.
ACTIVE_RANGE = 0.01
# Deviations (16-bit range): what nothing is turned up from, and what a frame counts for at least.
LEAST_LEVEL = 50.0
LEAST_LOUDNESS = 0.3
# The loudest frame is half forgotten after so many frames; the average is over so many.
HALF_LIFE = 500.0
MOST_ACTIVE = 300.0


class PitchStream:
    """Pitch features of a recording that comes in pieces of any size.

    Parameters
    ----------
    sample_rate : int
        Of the samples, in hertz; above 4000.
    frame_length_ms, frame_shift_ms : float
        Those of the other features, in milliseconds.
    look_ahead : int
        Frames, `ProcessPitchOptions.delta_window` or more.
    seed_id : str
        Utterance id; seeds the noise of the slope.

    Raises
    ------
    UserError
        if the sampling rate is too low.
    """

    def __init__(self, sample_rate: int, frame_length_ms: float, frame_shift_ms: float,
                 look_ahead: int, seed_id: str = ""):
        self._options = options = PitchOptions(
            sample_rate=sample_rate, frame_length_ms=frame_length_ms,
            frame_shift_ms=frame_shift_ms)
        self._process = ProcessPitchOptions()
        self._tables = tables = pitch_tables(options)
        self._look_ahead = look_ahead
        self._noise = slope_noise(self._process, seed_id)
        self._samples, self._before, self._given = np.zeros(0, np.float32), 0, 0
        self._signal, self._resampled = np.zeros(0, np.float32), 0
        # Loudest and average power of the speech so far, and of how many frames.
        self._level = np.array([LEAST_LEVEL ** 2, LEAST_LEVEL ** 2, 0.0])
        self._forward = np.zeros(len(tables.lags), np.float32)
        # Frames that wait: the best state, the states before, correlations and loudness.
        self._best = np.zeros(0, np.int64)
        self._back = np.zeros((0, len(tables.lags)), np.int16)
        self._voicing = np.zeros((0, len(tables.interpolation)), np.float32)
        self._loudness = np.zeros(0)
        # Log pitch and weight of the decided frames that the mean takes in.
        self._past = np.zeros((0, 2))

    def accept(self, samples: np.ndarray) -> np.ndarray:
        """Take the next samples; return the features that are decided, float32 (num_frames, 3).

        Parameters
        ----------
        samples : float32 (num_samples,)
            As from `frames.checked_samples`, in 16-bit range (-32768..32767).
        """
        options, tables = self._options, self._tables
        self._samples = np.concatenate([self._samples, samples])
        self._given += len(samples)
        # Outputs of the filter whose samples are all there.
        units, taps = tables.filter.shape
        last = self._given - taps - int(tables.filter_first.max())
        self._resample((last // tables.unit + 1) * units)
        spare = len(self._signal) - options.window_samples - tables.last_lag
        self._track(0 if spare < 0 else 1 + spare // options.shift_samples)
        return self._decided(len(self._best) - self._look_ahead)

    def finish(self) -> np.ndarray:
        """Return the features of the frames that waited, float32 (num_frames, 3)."""
        options = self._options
        self._resample(-(-self._given * options.resample_frequency // options.sample_rate))
        spare = len(self._signal) - options.window_samples
        self._track(0 if spare < 0 else 1 + spare // options.shift_samples)
        return self._decided(len(self._best))

    def _resample(self, end: int) -> None:
        """Append the signal up to output `end`, and drop the samples that no later one needs."""
        tables = self._tables
        if end <= self._resampled:
            return
        signal = np.empty(end - self._resampled, np.float32)
        resample_part(self._samples, self._before, self._resampled, tables.filter_first,
                      tables.filter, tables.unit, signal)
        self._signal = np.concatenate([self._signal, signal])
        self._resampled = end
        needed = (int(tables.filter_first.min())
                  + end // len(tables.filter) * tables.unit - self._before)
        drop = min(max(needed, 0), len(self._samples))
        self._samples, self._before = self._samples[drop:], self._before + drop

    def _track(self, count: int) -> None:
        """Take `count` more frames of the signal into the search."""
        if count <= 0:
            return
        options, tables = self._options, self._tables
        loudness, scales = np.empty(count), np.empty(count, np.float32)
        _follow(self._signal, options.shift_samples, options.window_samples, self._level,
                0.5 ** (1 / HALF_LIFE), loudness, scales)
        voicing = np.empty((count, len(tables.interpolation)), np.float32)
        costs = np.empty((count, tables.cost.shape[1]), np.float32)
        measure(self._signal, 0, options, tables, scales, voicing, costs)
        best, back = np.empty(count, np.int64), np.empty((count, len(tables.lags)), np.int16)
        _search(costs, tables.penalty, self._forward, best, back)
        self._best = np.concatenate([self._best, best])
        self._back = np.concatenate([self._back, back])
        self._voicing = np.concatenate([self._voicing, voicing])
        self._loudness = np.concatenate([self._loudness, loudness])
        self._signal = self._signal[count * options.shift_samples:]

    def _decided(self, count: int) -> np.ndarray:
        """Decide the first `count` frames that wait; return their features."""
        if count <= 0:
            return np.empty((0, 3), np.float32)
        process = self._process
        noise = process.delta_pitch_noise_stddev * self._noise.standard_normal(count)
        features, decided = np.empty((count, 3), np.float32), np.empty((count, 2))
        past = np.concatenate([self._past, decided])
        _decide(self._best, self._back, self._voicing, self._tables.by_state, self._loudness,
                np.log(1 / self._tables.lags), self._look_ahead, noise, past, len(self._past),
                process.normalization_left_context, process.delta_window, features)
        features[:, 0] = features[:, 0] * process.pov_scale + process.pov_offset
        features[:, 1:] *= np.float32([process.pitch_scale, process.delta_pitch_scale])
        self._past = past[-process.normalization_left_context:].copy()
        self._best, self._back = self._best[count:], self._back[count:]
        self._voicing, self._loudness = self._voicing[count:], self._loudness[count:]
        return features


def pitch_features(samples: np.ndarray, sample_rate: int, frame_length_ms: float,
                   frame_shift_ms: float, look_ahead: int, seed_id: str = "") -> np.ndarray:
    """Compute the pitch features of one recording, float32 (num_frames, 3).

    Parameters and errors as of `PitchStream`; also refuses samples as `frames.checked_samples`
    does. As in Kaldi the frames are counted at 4 kHz, which can give one more or less than other
    features have.
    """
    stream = PitchStream(sample_rate, frame_length_ms, frame_shift_ms, look_ahead, seed_id)
    return np.concatenate([stream.accept(checked_samples(samples, seed_id)), stream.finish()])


@numba.njit(cache=True, nogil=True)
def _follow(signal, shift, size, level, decay, loudness, scales):
    """Fill the deviation of each frame, and what brings the speech so far to variance 1.

    `level` (3,), changed: loudest and average power of the speech so far, frames of the average.
    """
    for frame in range(len(loudness)):
        piece = signal[frame * shift:frame * shift + size]
        mean = 0.0
        for value in piece:
            mean += value
        mean /= size
        power = 0.0
        for value in piece:
            power += (value - mean) ** 2
        power /= size
        level[0] = max(power, level[0] * decay, LEAST_LEVEL ** 2)
        if power >= ACTIVE_RANGE * level[0]:
            level[2] = min(level[2] + 1.0, MOST_ACTIVE)
            level[1] += (power - level[1]) / level[2]
        # What is so far below the loudest was no speech.
        if level[1] < ACTIVE_RANGE * level[0]:
            level[1], level[2] = level[0], 1.0
        loudness[frame] = max(np.sqrt(power), LEAST_LOUDNESS)
        scales[frame] = 1.0 / np.sqrt(level[1])


@numba.njit(cache=True, nogil=True)
def _search(costs, penalty, forward, best, back):
    """Take the cheapest paths through the frames; fill the best last state of each."""
    for frame in range(len(costs)):
        advance_paths(costs[frame:frame + 1], penalty, forward, back[frame:frame + 1])
        best[frame] = np.argmin(forward)


@numba.njit(cache=True, nogil=True)
def _decide(best, back, voicing, by_state, loudness, log_pitch, look_ahead, noise, past, num_past,
            left, window, features):
    """Fill `features` (F, 3), not scaled, and `past` from `num_past` on, frame by frame.

    Each frame looks at the cheapest path that ends `look_ahead` frames later, or at the end.
    """
    ahead = np.empty((look_ahead + 1, 2))  # log pitch and weight of the frame and later ones
    for frame in range(len(features)):
        last = min(frame + look_ahead, len(best) - 1)
        state = best[last]
        correlation = 0.0
        for at in range(last, frame - 1, -1):
            correlation = 0.0
            for lag in range(by_state.shape[1]):
                correlation += voicing[at, lag] * by_state[state, lag]
            correlation = min(max(correlation, -1.0), 1.0)
            ahead[at - frame, 0] = log_pitch[state]
            ahead[at - frame, 1] = voicing_probability(correlation) * loudness[at]
            state = back[at, state]
        known, to_come = num_past + frame, last - frame + 1
        past[known] = ahead[0]
        total, moment = 0.0, 0.0
        for at in range(max(known - left, 0), known):
            total += past[at, 1]
            moment += past[at, 1] * (past[at, 0] - ahead[0, 0])
        for at in range(to_come):
            total += ahead[at, 1]
            moment += ahead[at, 1] * (ahead[at, 0] - ahead[0, 0])
        slope, norm = 0.0, 0.0
        for step in range(1, window + 1):
            # The ends are repeated.
            before = past[max(known - step, 0), 0]
            slope += step * (ahead[min(step, to_come - 1), 0] - before)
            norm += 2.0 * step * step
        features[frame, 0] = (1.0001 - correlation) ** 0.15 - 1.0
        features[frame, 1] = -moment / total
        features[frame, 2] = slope / norm + noise[frame]
