"""Owns the normalisation that lone utterances and streams can have: a running mean of the speech.

The mean of a recording is as much of its silence as of its speech. Here a frame weighs by how loud
it is beside the loudest one so far, so that silence hardly counts, of whatever length and level it
is, and the louder speech that comes later takes the place of a noise that came before it. The mean
starts from that of the training set, or from what was heard of the speaker before, and moves as
speech arrives (as Kaldi's online CMVN does, feat/online-feature.cc, which weighs all frames alike).
A frame sees the frames before it and `look_ahead` after it, so that a recording gives the same
frames however it is cut.

What the training set says is kept free of its volume: the mean is held relative to the level of the
loudest frame. What was heard of a speaker (`SpeechStats`) adds up over utterances, in any order.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numba
import numpy as np

from hybridasr.features.frames import FeatureOptions

# Weight of a frame: exp(this times how far it is below the loudest one, natural log of power).
LOUDNESS = 1.0
# A start as quiet as this below the training set's loudest frames (natural log of power) is not
# turned up: it is silence, and speech is still to come.
QUIET = 8.0
# The same for a speaker who was heard before: a next utterance may be so much softer.
SOFTER = 4.0
# What was heard of a speaker before counts for at most so many frames: the last words may have been
# one word, said again and again.
MOST_REMEMBERED = 50.0
# What was heard in this stream counts for at most so many, so that after hours it still follows.
MOST_HEARD = 300.0
VARIANCE_FLOOR = 1e-4


@dataclass(frozen=True, eq=False)
class SpeechStats:
    """What was heard of a speaker.

    Attributes
    ----------
    sums, squares : float64 (dim,)
        Weighted sums of the features, relative to the loudest frame, and of their squares.
    count : float
        Sum of the weights: frames, if all were as loud as the loudest.
    level : float
        Of the loudest frame (natural log of power).
    """

    sums: np.ndarray
    squares: np.ndarray
    count: float
    level: float

    def to_array(self) -> np.ndarray:
        """Return all in one, float64 (2, dim + 1), as files of features hold it."""
        return np.array([[*self.sums, self.count], [*self.squares, self.level]])

    @classmethod
    def from_array(cls, array: np.ndarray) -> "SpeechStats":
        """Rebuild from `to_array`."""
        wide = np.asarray(array, np.float64)
        return cls(wide[0, :-1], wide[1, :-1], float(wide[0, -1]), float(wide[1, -1]))

    def __add__(self, later: "SpeechStats") -> "SpeechStats":
        """Add what was heard later; the level is that of the later."""
        return SpeechStats(self.sums + later.sums, self.squares + later.squares,
                           self.count + later.count, later.level)


def add_up(parts: Iterable[SpeechStats]) -> SpeechStats | None:
    """Return the sum of statistics, in their order; None of none."""
    return reduce(SpeechStats.__add__, parts) if (parts := list(parts)) else None


def level_columns(options: FeatureOptions) -> tuple[np.ndarray, np.ndarray]:
    """Return what the level of a frame is made of, and what a level does to the columns.

    Returns
    -------
    (float64 (dim,), float64 (dim,))
        The level of a frame, a natural log of power, is its row times the first. Sound that is
        louder by one raises the row by the second.
    """
    weight, lift = np.zeros(options.dim), np.zeros(options.dim)
    if options.has_energy:
        weight[0] = lift[0] = 1.0
    elif options.kind == "mfcc":
        # C0 is the sum of the log mel energies over the root of their number.
        lift[0] = np.sqrt(options.num_mel_bins)
        weight[0] = 1.0 / lift[0]
    if options.kind == "fbank":
        bins = slice(int(options.has_energy), options.spectral_dim)
        lift[bins] = 1.0
        if not options.has_energy:
            weight[bins] = 1.0 / options.num_mel_bins
    return weight, lift


@dataclass(frozen=True, eq=False)
class OnlineCmvn:
    """Normalises recordings by the running mean of their speech; the same for all threads.

    Attributes
    ----------
    weight, lift : float64 (dim,)
        As from `level_columns`.
    prior : SpeechStats
        Of the training set, as from `training_prior`.
    prior_frames : float
        Frames that the prior counts for.
    norm_vars : bool
        Divide by the deviation too.
    look_ahead : int
        Frames after a frame that count for its mean.
    """

    weight: np.ndarray
    lift: np.ndarray
    prior: SpeechStats
    prior_frames: float
    norm_vars: bool = False
    look_ahead: int = 0

    def normalize(self, raw: np.ndarray, before: SpeechStats | None = None
                  ) -> tuple[np.ndarray, SpeechStats | None]:
        """Normalise a recording, float32 (num_frames, dim); return what was heard in it too.

        Parameters
        ----------
        raw : float32 (num_frames, dim)
        before : SpeechStats, optional
            Of the speaker, before this recording.
        """
        stream = NormalizedStream(self, before)
        return np.concatenate([stream.accept(raw), stream.finish()]), stream.stats

    def start(self, before: SpeechStats | None) -> np.ndarray:
        """Return the state of a stream at its beginning: float64 (5, dim), see `_advance`."""
        frames, prior = self.prior_frames, self.prior
        state = np.zeros((5, len(self.lift)))
        sums, squares, level = prior.sums * frames, prior.squares * frames, prior.level - QUIET
        if before is not None and before.count > 0:
            share = min(1.0, MOST_REMEMBERED / before.count)
            sums, squares = sums + share * before.sums, squares + share * before.squares
            frames += share * before.count
            level = max(level, before.level - SOFTER)
        state[0], state[1] = sums / frames, squares / frames
        state[4, :4] = 0.0, level, frames, -np.inf
        return state


class NormalStream:
    """A recording that comes in pieces, and is normalised; this one leaves it as it is."""

    def accept(self, raw: np.ndarray) -> np.ndarray:
        """Take the next raw frames; return those that are ready, float32 (num_frames, dim)."""
        return raw

    def finish(self) -> np.ndarray | None:
        """Return the frames that waited for later ones, float32 (num_frames, dim); None: none."""
        return None

    @property
    def stats(self) -> SpeechStats | None:
        """What was heard, with cmvn "online" and one frame or more; otherwise None."""
        return None


class NormalizedStream(NormalStream):
    """A recording that is normalised by the running mean of its speech."""

    def __init__(self, cmvn: OnlineCmvn, before: SpeechStats | None = None):
        self._cmvn, self._state = cmvn, cmvn.start(before)
        self._waiting = np.zeros((0, len(cmvn.lift)), np.float32)

    def accept(self, raw: np.ndarray) -> np.ndarray:  # noqa: D102
        cmvn = self._cmvn
        frames = np.concatenate([self._waiting, np.asarray(raw, np.float32)])
        ready = np.empty((max(len(frames) - cmvn.look_ahead, 0), frames.shape[1]), np.float32)
        _advance(frames, len(self._waiting), cmvn.look_ahead, cmvn.weight, cmvn.lift,
                 cmvn.norm_vars, self._state, ready)
        self._waiting = frames[len(ready):]
        return ready

    def finish(self) -> np.ndarray:  # noqa: D102
        rest = np.empty_like(self._waiting)
        # All have been counted: nothing is new, and nothing is looked ahead for.
        _advance(self._waiting, len(rest), 0, self._cmvn.weight, self._cmvn.lift,
                 self._cmvn.norm_vars, self._state, rest)
        self._waiting = self._waiting[:0]
        return rest

    @property
    def stats(self) -> SpeechStats | None:  # noqa: D102
        level, loudest = self._state[4, 1], self._state[4, 3]
        if loudest == -np.inf:
            return None
        # The level may still be that of the start; the loudest frame of the stream counts here.
        share = np.exp(LOUDNESS * (level - loudest))
        return _relative(self._state[2] * share, self._state[3] * share, self._state[4, 0] * share,
                         loudest, self._cmvn.lift)


def speech_stats(raw: np.ndarray, weight: np.ndarray, lift: np.ndarray) -> SpeechStats:
    """Return the statistics of a whole recording (num_frames, dim), one frame or more."""
    wide = np.asarray(raw, np.float64)
    levels = wide @ weight
    level = float(levels.max())
    shares = np.exp(LOUDNESS * (levels - level))
    return _relative(shares @ wide, shares @ wide**2, float(shares.sum()), level, lift)


def training_prior(parts: Iterable[SpeechStats]) -> SpeechStats | None:
    """Return the averages over recordings: means, mean squares, a count of 1 and the level.

    None if there is no recording.
    """
    parts = list(parts)
    if not parts:
        return None
    return SpeechStats(np.mean([part.sums / part.count for part in parts], axis=0),
                       np.mean([part.squares / part.count for part in parts], axis=0), 1.0,
                       float(np.mean([part.level for part in parts])))


def _relative(sums: np.ndarray, squares: np.ndarray, count: float, level: float,
              lift: np.ndarray) -> SpeechStats:
    """Take the level of the loudest frame out of sums and sums of squares."""
    shift = lift * level
    return SpeechStats(sums - count * shift, squares - 2 * shift * sums + count * shift**2,
                       float(count), float(level))


@numba.njit(cache=True, nogil=True)
def _count(frame, weight, state):
    """Add one frame (dim,) to the statistics `state`, see `_advance`."""
    loud = 0.0
    for k in range(len(frame)):
        loud += frame[k] * weight[k]
    state[4, 3] = max(state[4, 3], loud)
    if loud > state[4, 1]:
        # All that came before weighs less beside this frame.
        share = np.exp(LOUDNESS * (state[4, 1] - loud))
        state[4, 0] *= share
        for k in range(len(frame)):
            state[2, k] *= share
            state[3, k] *= share
        state[4, 1] = loud
    share = np.exp(LOUDNESS * (loud - state[4, 1]))
    state[4, 0] += share
    for k in range(len(frame)):
        state[2, k] += share * frame[k]
        state[3, k] += share * frame[k] * frame[k]
    if state[4, 0] > MOST_HEARD:
        share = MOST_HEARD / state[4, 0]
        state[4, 0] = MOST_HEARD
        for k in range(len(frame)):
            state[2, k] *= share
            state[3, k] *= share


@numba.njit(cache=True, nogil=True)
def _advance(frames, counted, look_ahead, weight, lift, norm_vars, state, ready):
    """Count the frames (F, dim) and normalise the first of them into `ready`.

    The first `counted` frames are in the statistics already; `ready` has F - look_ahead rows, or
    none. `state` (5, dim), changed: means and mean squares that it starts from, relative to the
    level; sums and sums of squares so far; and in the last row the sum of the weights, the level,
    the frames that the start counts for, and the level of the loudest frame.
    """
    for row in range(ready.shape[0]):
        while counted <= row + look_ahead and counted < frames.shape[0]:
            _count(frames[counted], weight, state)
            counted += 1
        level, start_frames = state[4, 1], state[4, 2]
        total = state[4, 0] + start_frames
        for k in range(frames.shape[1]):
            shift = lift[k] * level
            mean = (state[2, k] + start_frames * (state[0, k] + shift)) / total
            value = frames[row, k] - mean
            if norm_vars:
                square = state[1, k] + 2.0 * shift * state[0, k] + shift * shift
                square = (state[3, k] + start_frames * square) / total
                value /= np.sqrt(max(square - mean * mean, VARIANCE_FLOOR))
            ready[row, k] = value
    # Fewer frames than are looked ahead for: the first that is ready will have seen them all.
    while counted < frames.shape[0]:
        _count(frames[counted], weight, state)
        counted += 1
