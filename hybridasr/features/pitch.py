"""Owns the pitch tracker.

Takes float32 samples in 16-bit range, gives float32 (frames, 2): normalised cross-correlation and
pitch in hertz. The signal is brought down to 4 kHz; the correlation of each frame with itself is
measured at whole lags and interpolated at lags that lie a fixed ratio apart; the cheapest path
through those is the pitch track. There is no decision between voiced and unvoiced: every frame has
a pitch. Ghahremani et al., "A pitch extraction algorithm tuned for automatic speech recognition",
ICASSP 2014; Kaldi: feat/pitch-functions.cc, with the whole recording given at once. The features
that models see are made of the same parts by `pitch_stream`, as the samples come.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numba
import numpy as np

from hybridasr.errors import UserError
from hybridasr.features.frames import checked_samples
from hybridasr.features.pitch_process import (
    MAX_STATES,
    ProcessPitchOptions,
    cheapest_path,
    process_pitch,
)
from hybridasr.options import option

__all__ = ["PitchOptions", "PitchTables", "ProcessPitchOptions", "compute_pitch", "measure",
           "pitch_tables", "process_pitch", "resample_part"]

# Frames worked on at a time; bounds the memory of a long recording.
BLOCK_FRAMES = 256
# Columns of the correlations are padded to a multiple of this, so that vector loops have no rest.
VECTOR = 16
# So many lags are interpolated from at a time; each state is loaded and stored as often less.
GROUP = 4


@dataclass(frozen=True)
class PitchOptions:
    """How the pitch is tracked; the defaults are Kaldi's."""

    sample_rate: int = option(16000, "sampling rate of the samples in hertz")
    frame_length_ms: float = option(25.0, "length of a frame in milliseconds")
    frame_shift_ms: float = option(10.0, "step between frames in milliseconds")
    min_f0: float = option(50.0, "lowest pitch looked for in hertz")
    max_f0: float = option(400.0, "highest pitch looked for in hertz")
    soft_min_f0: float = option(10.0, "pitch in hertz that is made dear, as a soft lower limit")
    penalty_factor: float = option(0.1, "price of a change of pitch between two frames")
    delta_pitch: float = option(0.005, "smallest relative change of pitch that is told apart")
    nccf_ballast: float = option(7000.0, "how strongly the correlation of quiet frames is reduced")
    preemphasis: float = option(0.0, "pre-emphasis coefficient, 0 for none")
    resample_frequency: int = option(4000, "rate in hertz that the correlation is measured at")
    lowpass_cutoff: float = option(1000.0, "cut-off of the low-pass filter before it, in hertz")
    lowpass_filter_width: int = option(1, "width of that filter in zero crossings")
    upsample_filter_width: int = option(5, "width of the interpolation between lags")
    snip_edges: bool = option(True, "only frames that lie wholly inside the recording")

    def __post_init__(self):
        """Refuse values that contradict each other."""
        half = self.resample_frequency / 2
        checks = [
            (self.resample_frequency >= 1, "resample_frequency", "1 Hz or more"),
            (self.sample_rate > self.resample_frequency, "sample_rate",
             f"a rate above resample_frequency ({self.resample_frequency} Hz), or leave the pitch "
             "out"),
            (0 < self.lowpass_cutoff <= half, "lowpass_cutoff", f"above 0 to {half:g} Hz"),
            (self.lowpass_filter_width >= 1, "lowpass_filter_width", "1 or more"),
            (self.upsample_filter_width >= 1, "upsample_filter_width", "1 or more"),
            (0 < self.min_f0 < self.max_f0, "min_f0", f"above 0 to below max_f0 ({self.max_f0:g})"),
            (self.max_f0 * self.upsample_filter_width <= 2 * self.resample_frequency, "max_f0",
             "at most 2 resample_frequency / upsample_filter_width"),
            (self.window_samples >= 2, "frame_length_ms", "a frame of 2 samples or more"),
            (self.shift_samples >= 1, "frame_shift_ms", "a step of 1 sample or more"),
            (0 <= self.preemphasis <= 1, "preemphasis", "a value from 0 to 1"),
            (self.soft_min_f0 >= 0, "soft_min_f0", "0 or more"),
            (self.penalty_factor > 0, "penalty_factor", "more than 0"),
            (self.nccf_ballast >= 0, "nccf_ballast", "0 or more"),
        ]
        for good, name, wanted in checks:
            if not good:
                raise UserError(f"option {name} is {getattr(self, name)!r}; give {wanted}")
        smallest = math.expm1(math.log(self.max_f0 / self.min_f0) / (MAX_STATES - 1))
        if not self.delta_pitch >= smallest:
            raise UserError(f"option delta_pitch is {self.delta_pitch!r}; give {smallest:.2g} or "
                            "more")

    @property
    def window_samples(self) -> int:
        """Length of a frame in samples at `resample_frequency`."""
        return int(self.resample_frequency * self.frame_length_ms / 1000)

    @property
    def shift_samples(self) -> int:
        """Step between frames in samples at `resample_frequency`."""
        return int(self.resample_frequency * self.frame_shift_ms / 1000)


def compute_pitch(samples: np.ndarray, options: PitchOptions | None = None) -> np.ndarray:
    """Track the pitch of one recording.

    Parameters
    ----------
    samples : array (num_samples,)
        In 16-bit range (-32768..32767), at `options.sample_rate` hertz.
    options : PitchOptions, optional
        Default: Kaldi's values.

    Returns
    -------
    float32 array (num_frames, 2)
        Normalised cross-correlation (-1..1) and pitch in hertz. As in Kaldi the frames are counted
        at `resample_frequency`, which can give one more or less than other features have.

    Raises
    ------
    UserError
        if a sample is not finite.
    """
    options = options or PitchOptions()
    samples = checked_samples(samples)
    tables = pitch_tables(options)
    signal = np.empty(-(-len(samples) * options.resample_frequency // options.sample_rate),
                      dtype=np.float32)
    count = _num_frames(len(signal), options)
    if count == 0:
        return np.zeros((0, 2), dtype=np.float32)
    resample_part(samples, 0, 0, tables.filter_first, tables.filter, tables.unit, signal)
    voicing = np.empty((count, tables.interpolation.shape[0]), dtype=np.float32)
    # The ballast keeps quiet frames from having an opinion. It is relative to the variance (Kaldi's
    # takes in the last half a millisecond only for the last frames), so that goes to 1.
    deviation = float(np.std(signal, dtype=np.float64))
    if deviation > np.finfo(np.float32).tiny:
        signal *= np.float32(1 / deviation)
    costs = _local_costs(signal, voicing, tables, options)
    path = cheapest_path(costs, count, len(tables.lags), tables.penalty)
    correlation = np.einsum("fl,fl->f", voicing, tables.by_state[path])
    return np.stack([correlation, 1 / tables.lags[path]], axis=1).astype(np.float32)


class PitchTables(NamedTuple):
    """What depends on the options alone; T states (lags), L whole lags, padded to a multiple."""

    lags: np.ndarray  # float64 (T,), in seconds
    first_lag: int  # in samples, that of column 0
    last_lag: int
    interpolation: np.ndarray  # float32 (L, T): correlations at whole lags to those at `lags`
    by_state: np.ndarray  # float32 (T, L): the same, a row a state
    cost: np.ndarray  # float32 (L, T padded): the same to local costs
    cost_range: np.ndarray  # int64 (L / GROUP, 2): columns of `cost` that are not 0 in its rows
    filter: np.ndarray  # float32 (output samples of a unit, taps)
    filter_first: np.ndarray  # int64 (output samples of a unit,): input sample of the first tap
    unit: int  # input samples of a unit, after which input and output meet again
    penalty: float


@lru_cache(maxsize=16)
def pitch_tables(options: PitchOptions) -> PitchTables:
    """Return what depends on the options alone."""
    rate, width = options.resample_frequency, options.upsample_filter_width
    steps = int(math.log(options.max_f0 / options.min_f0) / math.log1p(options.delta_pitch) + 1e-9)
    lags = (1 + options.delta_pitch) ** np.arange(steps + 1) / options.max_f0
    first_lag = math.ceil(rate / options.max_f0 - width / 2)
    last_lag = math.floor(rate / options.min_f0 + width / 2)
    whole = np.arange(first_lag, last_lag + 1)
    interpolation = np.zeros((_padded(len(whole)), len(lags)))
    interpolation[:len(whole)] = _windowed_sinc(lags - whole[:, None] / rate, rate / 2, width,
                                                rate)
    # The paper's cost of a state is 1 - correlation * (1 - soft_min_f0 * lag); the 1 is the same
    # for all and is left out.
    cost = np.zeros((len(interpolation), _padded(len(lags))), dtype=np.float32)
    cost[:, :len(lags)] = interpolation * (options.soft_min_f0 * lags - 1)
    cost_range = np.zeros((len(cost) // GROUP, 2), dtype=np.int64)
    for row, used in zip(cost_range, cost.reshape(-1, GROUP, cost.shape[1]), strict=True):
        nonzero = np.flatnonzero(used.any(axis=0))
        if len(nonzero):
            row[:] = nonzero[0] // VECTOR * VECTOR, _padded(int(nonzero[-1]) + 1)
    taps, first, unit = _resampling_filter(options)
    return PitchTables(lags, first_lag, last_lag, interpolation.astype(np.float32),
                       np.ascontiguousarray(interpolation.T, np.float32), cost, cost_range,
                   taps, first, unit, options.penalty_factor * math.log1p(options.delta_pitch) ** 2)


def _resampling_filter(options: PitchOptions) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the fields `filter`, `filter_first` and `unit` of the tables."""
    common = math.gcd(options.sample_rate, options.resample_frequency)
    reach = options.lowpass_filter_width / (2 * options.lowpass_cutoff)
    centres = np.arange(options.resample_frequency // common) / options.resample_frequency
    first = np.floor((centres - reach) * options.sample_rate).astype(np.int64) + 1
    taps = math.ceil(2 * reach * options.sample_rate)
    inputs = (first[:, None] + np.arange(taps)) / options.sample_rate
    weights = _windowed_sinc(inputs - centres[:, None], options.lowpass_cutoff,
                             options.lowpass_filter_width, options.sample_rate)
    return weights.astype(np.float32), first, options.sample_rate // common


def _windowed_sinc(seconds: np.ndarray, cutoff: float, width: int, rate: float) -> np.ndarray:
    """Low-pass filter at times around its centre: a sinc under a Hann window, per input sample."""
    window = 0.5 + 0.5 * np.cos(2 * np.pi * cutoff / width * seconds)
    window[np.abs(seconds) >= width / (2 * cutoff)] = 0
    return 2 * cutoff / rate * np.sinc(2 * cutoff * seconds) * window


def _padded(size: int) -> int:
    return -(-size // VECTOR) * VECTOR


def _num_frames(length: int, options: PitchOptions) -> int:
    """Return how many frames a resampled signal of `length` samples gives."""
    spare = length - options.window_samples
    if spare < 0:
        return 0
    if options.snip_edges:
        return 1 + spare // options.shift_samples
    return int(length / options.shift_samples + 0.5)


def _local_costs(signal: np.ndarray, voicing: np.ndarray, tables: PitchTables,
                 options: PitchOptions) -> Iterator[np.ndarray]:
    """Yield the cost of each state, block by block, and fill `voicing` (num_frames, L)."""
    first = 0 if options.snip_edges else (
        options.shift_samples // 2 - (options.window_samples + tables.last_lag) // 2)
    block = np.empty((min(len(voicing), BLOCK_FRAMES), tables.cost.shape[1]), dtype=np.float32)
    scales = np.ones(len(block), np.float32)
    for done in range(0, len(voicing), BLOCK_FRAMES):
        rows = voicing[done:done + BLOCK_FRAMES]
        measure(signal, first + done * options.shift_samples, options, tables, scales, rows,
                block[:len(rows)])
        yield block[:len(rows)]


def measure(signal: np.ndarray, first: int, options: PitchOptions, tables: PitchTables,
            scales: np.ndarray, voicing: np.ndarray, costs: np.ndarray) -> None:
    """Fill in the correlations of frames with themselves, and the costs of the states.

    Parameters
    ----------
    signal : float32 (num_samples,)
        At `resample_frequency`; outside there is silence.
    first : int
        Where the first frame begins.
    scales : float32 (>= num_frames,)
        Factors that bring the signal of each frame to the variance 1 that the ballast is for.
    voicing : float32 (num_frames, L)
        Filled with correlations at whole lags, without ballast.
    costs : float32 (num_frames, T padded)
        Filled.
    """
    size = options.window_samples
    _measure(signal, first, options.shift_samples, size, tables.first_lag, tables.last_lag,
             np.float32(options.preemphasis), np.float32(options.nccf_ballast * size ** 2),
             tables.cost, tables.cost_range, scales, voicing, costs)


@numba.njit(cache=True, nogil=True, fastmath=True)
def resample_part(samples, before, place, first, weights, unit, signal):
    """Fill `signal` with the outputs from number `place` on; see `PitchTables` for the filter.

    `samples` are those from number `before` on; outside the recording there is silence.
    """
    units, taps = weights.shape
    for k in range(len(signal)):
        phase = (place + k) % units
        start = first[phase] + (place + k) // units * unit - before
        total = np.float32(0.0)
        low, high = max(0, -start), min(taps, len(samples) - start)
        weight, part = weights[phase, low:high], samples[start + low:start + high]
        for tap in range(len(part)):
            total += weight[tap] * part[tap]
        signal[k] = total


@numba.njit(cache=True, nogil=True, fastmath=True)
def _measure(signal, first, shift, size, first_lag, last_lag, preemphasis, ballast, cost,
             cost_range, scales, voicing, block):
    """Fill `voicing` (F, L) and `block` (F, T padded) for frames from sample `first` on."""
    num_lags = cost.shape[0]
    window = np.zeros(size + first_lag + num_lags, dtype=np.float32)
    inner = np.empty(num_lags, dtype=np.float32)
    energy = np.empty(num_lags, dtype=np.float32)
    sums = np.empty((2, len(window)), dtype=np.float32)
    correlation = np.empty(num_lags, dtype=np.float32)
    tiny = np.float32(1e-30)  # guards 0 / 0 in digital silence; the signal has variance 1
    for frame in range(len(voicing)):
        _cut(signal, first + frame * shift, size + last_lag, size, preemphasis, scales[frame],
             window)
        own = _sliding_energy(window, size, first_lag, sums, energy)
        _correlate(window, size, first_lag, inner)
        out = voicing[frame]
        for lag in range(num_lags):
            norm = own * energy[lag]
            out[lag] = inner[lag] / np.sqrt(max(norm, tiny))
            correlation[lag] = inner[lag] / np.sqrt(norm + ballast + tiny)
        row = block[frame]
        row[:] = 0
        for group in range(len(cost_range)):
            low, high, lag = cost_range[group, 0], cost_range[group, 1], group * GROUP
            part = row[low:high]
            weight_0, value_0 = cost[lag, low:high], correlation[lag]
            weight_1, value_1 = cost[lag + 1, low:high], correlation[lag + 1]
            weight_2, value_2 = cost[lag + 2, low:high], correlation[lag + 2]
            weight_3, value_3 = cost[lag + 3, low:high], correlation[lag + 3]
            for i in range(len(part)):
                part[i] += (weight_0[i] * value_0 + weight_1[i] * value_1
                            + weight_2[i] * value_2 + weight_3[i] * value_3)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _cut(signal, start, length, size, preemphasis, scale, window):
    """Fill `window` up to `length`, less the mean of its first `size` samples, times `scale`."""
    low, high = max(0, -start), min(length, len(signal) - start)
    window[:low] = 0
    window[low:high] = signal[start + low:start + high]
    window[max(low, high):length] = 0
    if preemphasis > 0 and low < high:
        for i in range(high - 1, low, -1):
            window[i] -= preemphasis * window[i - 1]
        window[low] *= np.float32(1.0) - preemphasis
    # In float64, so that a constant frame has no correlation, instead of one of rounding errors.
    total = 0.0
    for i in range(size):
        total += window[i]
    mean = np.float32(total / size)
    for i in range(length):
        window[i] = (window[i] - mean) * scale


@numba.njit(cache=True, nogil=True, fastmath=True)
def _sliding_energy(window, size, first_lag, sums, energy):
    """Fill `energy[l]` with that of `size` samples from `first_lag` + l on; return that from 0 on.

    Sums of 1, 2, 4, ... samples are put together: as quick as a running sum in vector operations,
    and nothing is subtracted, which would leave rounding errors where the signal turns silent.
    """
    reach = len(window)
    now, then = sums[0], sums[1]
    for i in range(reach):
        now[i] = window[i] * window[i]
    own = np.float32(0.0)
    energy[:] = 0
    offset, width = 0, 1
    while width <= size:
        if size & width:
            own += now[offset]
            ahead = now[first_lag + offset:]
            for lag in range(len(energy)):
                energy[lag] += ahead[lag]
            offset += width
        reach -= width
        ahead = now[width:]
        for i in range(reach):
            then[i] = now[i] + ahead[i]
        now, then = then, now
        width *= 2
    return own


@numba.njit(cache=True, nogil=True, fastmath=True)
def _correlate(window, size, first_lag, inner):
    """Fill `inner[l]` with the products of the first `size` samples and those a lag further."""
    inner[:] = 0
    num_lags = len(inner)
    whole = size - size % 4
    for i in range(0, whole, 4):
        # Four at a time: a quarter of the loads and stores of the sums.
        a, b, c, d = window[i], window[i + 1], window[i + 2], window[i + 3]
        ahead = window[i + first_lag:]
        for lag in range(num_lags):
            inner[lag] += (a * ahead[lag] + b * ahead[lag + 1]
                           + c * ahead[lag + 2] + d * ahead[lag + 3])
    for i in range(whole, size):
        ahead = window[i + first_lag:]
        for lag in range(num_lags):
            inner[lag] += window[i] * ahead[lag]
