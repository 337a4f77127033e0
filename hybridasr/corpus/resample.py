"""Owns the change of sampling rates: a polyphase filter, whole signals or block by block."""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import lru_cache

import numba
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
    resampler = Resampler(rate, new_rate)
    return np.concatenate([resampler.accept(samples), resampler.finish()])


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
        taps = np.pad(taps, (-half % self._down, 0))
        # Row p has the taps that an output sees which lies p steps of the finer grid behind an
        # input sample.
        self._phases = np.ascontiguousarray(
            np.pad(taps, (0, -len(taps) % self._up)).reshape(-1, self._up).T)
        self._delay = (half + -half % self._down) // self._down
        self._reach = -(-half // self._up) + 1  # input samples that an output sees to each side

    def accept(self, samples: np.ndarray) -> np.ndarray:
        """Take the next samples (num_samples,); return those that are ready, float32."""
        if self._up == self._down:
            return samples
        self._held = np.concatenate([self._held, samples], dtype=np.float32)
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
        up, down, place = self._up, self._down, self._place
        out = np.empty(ready - place, np.float32)
        _filter(self._held, self._phases, down, place + self._delay - self._first // down * up,
                out)
        self._place = ready
        drop = max(0, ready * down // up - self._reach - self._first) // down * down
        self._held, self._first = self._held[drop:], self._first + drop
        return out


@numba.njit(cache=True, nogil=True)
def _filter(samples, phases, down, begin, out):
    """Fill `out` with every `down`-th value of the filtered signal, from the `begin`-th on.

    The signal is that with zeros between the samples (Crochiere and Rabiner 1983, section 3.4).
    """
    up, length = phases.shape
    for number in range(len(out)):
        place = (begin + number) * down
        newest, phase = place // up, place % up
        total = 0.0
        for back in range(min(length - 1, newest), max(-1, newest - len(samples)), -1):
            total += samples[newest - back] * phases[phase, back]
        out[number] = total


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
    cutoff, place = (1 + PASS_BAND) / 2 / factor, np.arange(taps) - (taps - 1) / 2
    # Kaiser's shape for a stop band of more than 50 dB.
    response = np.sinc(cutoff * place) * np.kaiser(taps, 0.1102 * (STOP_DB - 8.7))
    return response / response.sum()
