"""Owns the change of sampling rates: a polyphase filter, whole signals or block by block."""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import lru_cache

import numpy as np

# Flat up to this part of the lower Nyquist frequency, then down by STOP_DB at 1.
PASS_BAND = 0.91
STOP_DB = 80.0


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Change the rate of a signal by a polyphase Kaiser-windowed filter.

    Parameters
    ----------
    samples : float32 array (num_samples,)
    rate, new_rate : int
        Hertz. Flat within 0.1 dB up to 0.91 of the lower Nyquist frequency; above that
        frequency, down by 80 dB.

    Returns
    -------
    float32 array (ceil(num_samples * new_rate / rate),)

    >>> len(resample(np.zeros(441, np.float32), 44100, 16000))
    160
    """
    up, down = _ratio(rate, new_rate)
    if up == down:
        return samples
    from scipy.signal import resample_poly  # half of the start-up time, and rarely needed

    return resample_poly(samples, up, down, window=_low_pass(max(up, down))).astype(np.float32)


def resample_blocks(blocks: Iterable[np.ndarray], rate: int, new_rate: int
                    ) -> Iterator[np.ndarray]:
    """Yield what `resample` gives for the blocks (num_samples,) put together, bit for bit."""
    resampler = Resampler(rate, new_rate)
    for block in blocks:
        yield resampler.accept(block)
    yield resampler.finish()


class Resampler:
    """Changes the rate of a signal that comes in pieces.

    Together they are what `resample` gives, bit for bit. Memory holds the samples that the filter
    still reaches.

    >>> resampler = Resampler(48000, 16000)
    >>> pieces = [resampler.accept(np.zeros(4800, np.float32)), resampler.finish()]
    >>> sum(map(len, pieces))
    1600
    """

    def __init__(self, rate: int, new_rate: int):
        self._up, self._down = _ratio(rate, new_rate)
        self._held, self._first = np.zeros(0, np.float32), 0  # samples, and the first one's number
        self._place = 0  # outputs that went out
        if self._up == self._down:
            return
        taps = _low_pass(max(self._up, self._down)) * self._up
        half = len(taps) // 2
        # Output n is the filtered signal at n * down + half: zeros in front make that a multiple.
        self._taps = np.pad(taps, (-half % self._down, 0))
        self._delay = (half + -half % self._down) // self._down
        self._reach = -(-half // self._up) + 1  # input samples that an output sees to each side

    def accept(self, samples: np.ndarray) -> np.ndarray:
        """Take the next samples (num_samples,); return those that are ready, float32."""
        if self._up == self._down:
            return samples
        self._held = np.concatenate([self._held, samples])
        # Outputs whose inputs are all there.
        end = self._first + len(self._held) - self._reach
        return self._outputs(end * self._up // self._down)

    def finish(self) -> np.ndarray:
        """Return the samples that waited for later ones, float32; another signal may begin."""
        if self._up == self._down:
            return np.zeros(0, np.float32)
        rest = self._outputs(-(-(self._first + len(self._held)) * self._up // self._down))
        self._held, self._first, self._place = self._held[:0], 0, 0
        return rest

    def _outputs(self, ready: int) -> np.ndarray:
        """Return the outputs up to number `ready`, and drop the samples that no later one sees."""
        if ready <= self._place:
            return np.zeros(0, np.float32)
        from scipy.signal import upfirdn  # half of the start-up time, and rarely needed

        up, down, place = self._up, self._down, self._place
        begin = place + self._delay - self._first // down * up
        out = upfirdn(self._taps, self._held, up, down)[begin:begin + ready - place]
        self._place = ready
        drop = max(0, ready * down // up - self._reach - self._first) // down * down
        self._held, self._first = self._held[drop:], self._first + drop
        return np.pad(out, (0, ready - place - len(out))).astype(np.float32)


def _ratio(rate: int, new_rate: int) -> tuple[int, int]:
    # Odd rates without a common factor would need a filter of many millions of taps.
    ratio = Fraction(new_rate, rate).limit_denominator(20000)
    return ratio.numerator, ratio.denominator


@lru_cache(maxsize=8)
def _low_pass(factor: int) -> np.ndarray:
    """Return a symmetric low-pass filter whose stop band begins at 1 / factor of Nyquist."""
    width = (1 - PASS_BAND) / factor
    # Kaiser's estimate of the order, made odd in length so that the delay is whole samples.
    order = (STOP_DB - 7.95) / (2.285 * math.pi * width)
    taps = 2 * math.ceil(order / 2) + 1
    from scipy.signal import firwin, kaiser_beta

    window = ("kaiser", kaiser_beta(STOP_DB))
    return firwin(taps, (1 + PASS_BAND) / 2 / factor, window=window)
