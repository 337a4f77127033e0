"""Owns what follows on the correlations of a pitch tracker: the cheapest path, and the features.

The path takes the cost of each lag in each frame and gives a lag for each frame. The features take
(frames, 2) of normalised cross-correlation and pitch in hertz, and give float32 (frames, 3): how
voiced a frame is, its log pitch against the surroundings, and the slope of the log pitch.
Ghahremani et al., "A pitch extraction algorithm tuned for automatic speech recognition", ICASSP
2014; Kaldi: feat/pitch-functions.cc (PitchFrameInfo, OnlineProcessPitch).
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numba
import numpy as np

from hybridasr.errors import UserError
from hybridasr.options import option

__all__ = ["ProcessPitchOptions", "advance_paths", "cheapest_path", "process_pitch",
           "slope_noise", "voicing_probability"]

# Tells the noise of the slope apart from the dither of the same utterance, which has its seed, too.
_NOISE_STREAM = 1
# Up to this many states away the best predecessor is looked for one by one.
NEAR = 24
# Back-pointers are int16: a lag a byte pair, as many bytes a frame as the samples take.
MAX_STATES = np.iinfo(np.int16).max


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
    voiced = voicing_probability(correlation)
    features[:, 1] = options.pitch_scale * (log_pitch - _local_mean(log_pitch, voiced, options))
    noise = slope_noise(options, seed_id).standard_normal(len(raw))
    features[:, 2] = options.delta_pitch_scale * (
        _slope(log_pitch, options.delta_window) + options.delta_pitch_noise_stddev * noise)
    return features


def slope_noise(options: ProcessPitchOptions, seed_id: str) -> np.random.Generator:
    """Return what draws the noise of the slope, a value a frame."""
    seed = zlib.crc32(seed_id.encode(errors="surrogatepass"))  # file names may be no UTF-8
    return np.random.default_rng([options.seed, seed, _NOISE_STREAM])


@numba.njit(cache=True, nogil=True)
def voicing_probability(correlation):
    """Return how probable it is that frames are voiced, float64, of their correlations (-1..1).

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


def cheapest_path(costs: Iterable[np.ndarray], num_frames: int, num_states: int,
                  penalty: float) -> np.ndarray:
    """Find the path of least cost, where a change of state costs `penalty` times its square.

    Parameters
    ----------
    costs : iterable of float32 (frames of the block, >= num_states)
        Cost of being in a state, frame by frame; the blocks follow each other in time.
    num_frames, num_states : int
        Of all blocks together; columns from `num_states` on are left out.
    penalty : float
        Above 0.

    Returns
    -------
    int64 array (num_frames,)
        The state in each frame.
    """
    forward = np.zeros(num_states, dtype=np.float32)
    before = np.empty((num_frames, num_states), dtype=np.int16)
    done = 0
    for block in costs:
        advance_paths(block, penalty, forward, before[done:done + len(block)])
        done += len(block)
    path = np.empty(num_frames, dtype=np.int64)
    _trace_back(before, int(np.argmin(forward)), path)
    return path


@numba.njit(cache=True, nogil=True, fastmath=True)
def advance_paths(block, penalty, forward, before):
    """Take the cheapest paths to each state, `forward` (T,), through the frames of `block`.

    Exact in both ways that it finds the best predecessors. In quiet frames the costs are so flat
    that none can be far away; there, all that are near are tried.
    """
    size = len(forward)
    scratch = (np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64),
               np.empty(size, dtype=np.uint8), np.empty(size, dtype=np.int16))
    # Margins that are never the cheapest save the near search from looking after the ends.
    old = np.full(size + 2 * NEAR, np.float32(1e30), dtype=np.float32)
    inside = old[NEAR:NEAR + size]
    offset = np.empty(size, dtype=np.float32)
    prices = np.empty(2 * size, dtype=np.float32)  # of a change by i - size
    for i in range(2 * size):
        prices[i] = penalty * (i - size) ** 2
    for frame in range(len(block)):
        inside[:] = forward
        # To go one state further costs (2 d + 1) penalties at distance d: more than any step of
        # the old costs can save.
        reach = 0.5 * (_steepest(inside) / penalty + 1)
        if reach < NEAR + 1:
            _search_near(old, int(reach), np.float32(penalty), forward, offset, before[frame])
        else:
            _search_envelope(inside, penalty, prices, scratch, forward, before[frame])
        local = block[frame]
        lowest = np.float32(1e30)
        for i in range(size):
            forward[i] += local[i]
            lowest = min(lowest, forward[i])
        # Costs stay near 0, where float32 is precise.
        for i in range(size):
            forward[i] -= lowest


@numba.njit(cache=True, nogil=True, fastmath=True)
def _steepest(old):
    ahead = old[1:]
    steepest = np.float32(0.0)
    for i in range(len(ahead)):
        steepest = max(steepest, abs(ahead[i] - old[i]))
    return steepest


@numba.njit(cache=True, nogil=True, fastmath=True)
def _search_near(old, reach, penalty, forward, offset, back):
    """Fill `forward` and `back` from predecessors up to `reach` states away.

    `old` has NEAR more states at either end; `forward` holds the old costs.
    """
    size = len(forward)
    offset[:] = 0
    for step in range(1, reach + 1):
        left, right = old[NEAR - step:NEAR - step + size], old[NEAR + step:NEAR + step + size]
        distance = np.float32(step)
        price = penalty * distance * distance
        for i in range(size):
            best, chosen = forward[i], offset[i]
            chosen = -distance if left[i] + price < best else chosen
            best = min(best, left[i] + price)
            chosen = distance if right[i] + price < best else chosen
            forward[i] = min(best, right[i] + price)
            offset[i] = chosen
    for i in range(size):
        back[i] = i + np.int64(offset[i])


@numba.njit(cache=True, nogil=True, fastmath=True)
def _search_envelope(old, penalty, prices, scratch, forward, back):
    """Fill `forward` and `back` from predecessors at any distance.

    The costs of all paths to a state are the lower envelope of parabolas, one on each old state:
    two of them cross once, so a stack finds the envelope in linear time (Felzenszwalb and
    Huttenlocher, "Distance transforms of sampled functions", 2012). Many states can be told from
    their neighbours to be no part of it, which vector operations do beforehand.
    """
    hull, starts, useful, entered = scratch
    size = len(old)
    _find_useful(old, np.float32(0.5 / penalty), useful)
    count = _envelope(old, useful, penalty, hull, starts)
    entered[:] = 0
    for k in range(count):
        entered[starts[k]] = hull[k]
    # The predecessor of a state is the last one entered; a running maximum is free of branches.
    state = np.int64(0)
    for i in range(size):
        state = max(state, np.int64(entered[i]))
        back[i] = state
        at = np.uint64(state)  # unsigned: numba need not look for negative indices
        forward[i] = old[at] + prices[np.uint64(size + i) - at]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _find_useful(old, half, useful):
    """Mark the states that can be the best predecessor of any, as far as their neighbours tell.

    State j costs state i no more than j + 1 does while i <= j + 1/2 + half (old[j+1] - old[j]),
    and no more than j - 1 does while i >= j - 1/2 + half (old[j] - old[j-1]). A little more is
    let through, for rounding.
    """
    last = len(old) - 1
    slack = np.float32(0.5 + 0.1)
    for j in range(1, last):
        high = slack + half * (old[j + 1] - old[j])
        low = half * (old[j] - old[j - 1]) - slack
        useful[j] = (low <= high) & (high >= np.float32(-j)) & (low <= np.float32(last - j))
    useful[0] = useful[last] = 1


@numba.njit(cache=True, nogil=True)
def _envelope(old, useful, penalty, hull, starts):
    """Fill `hull` with the old states of the envelope, `starts` with the first new one of each.

    Returns
    -------
    int
        how many they are
    """
    size = len(old)
    count = 0
    for j in range(size):
        if not useful[j]:
            continue
        start = 0
        while count > 0:
            top = hull[count - 1]
            crossing = 0.5 * (j + top + (np.float64(old[j]) - old[top]) / (penalty * (j - top)))
            start = 0 if crossing < 0 else int(min(crossing, size - 1.0)) + 1
            if start > starts[count - 1]:
                break
            count -= 1
            start = 0
        if start < size:
            hull[count], starts[count] = j, start
            count += 1
    return count


@numba.njit(cache=True, nogil=True)
def _trace_back(before, state, path):
    """Follow the back-pointers `before` (F, T) from the last `state` and fill `path` (F,)."""
    for frame in range(len(path) - 1, -1, -1):
        path[frame] = state
        state = before[frame, state]
