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
    """Yield what `resample` gives for the blocks (num_samples,) put together, bit for bit.

    Memory holds one block and the samples beyond it that the filter reaches.
    """
    up, down = _ratio(rate, new_rate)
    if up == down:
        yield from blocks
        return
    from scipy.signal import upfirdn  # half of the start-up time, and rarely needed

    taps = _low_pass(max(up, down)) * up
    half = len(taps) // 2
    # Output n is the filtered signal at n * down + half: zeros in front make that a multiple.
    taps = np.pad(taps, (-half % down, 0))
    delay = (half + -half % down) // down
    reach = -(-half // up) + 1  # input samples that an output sees to each side
    held, first = np.zeros(0, np.float32), 0  # samples, and the number of the first of them
    place = 0  # outputs that went out
    for block in _and_an_end(blocks):
        held = held if block is None else np.concatenate([held, block])
        end = first + len(held)
        # Until the end, outputs whose inputs are all there.
        ready = -(-end * up // down) if block is None else (end - reach) * up // down
        if ready <= place:
            continue
        begin = place + delay - first // down * up
        out = upfirdn(taps, held, up, down)[begin:begin + ready - place]
        yield np.pad(out, (0, ready - place - len(out))).astype(np.float32)
        place = ready
        drop = max(0, place * down // up - reach - first) // down * down
        held, first = held[drop:], first + drop


def _and_an_end(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray | None]:
    yield from blocks
    yield None


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
