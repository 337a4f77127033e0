"""Resampling: the values are scipy's, and block by block those of the whole, to the last bit."""

import math

import numpy as np
import pytest
from scipy import signal

from hybridasr.corpus.resample import PASS_BAND, STOP_DB, resample, resample_blocks


@pytest.mark.parametrize(("rate", "new"), [(44100, 16000), (8000, 16000), (48000, 16000),
                                           (16000, 16000), (22050, 8000), (11025, 16000),
                                           (16001, 16000)])
@pytest.mark.parametrize("size", [1, 777, 4096, 30000])
def test_blocks_give_the_same_bits(rate, new, size):
    samples = np.random.default_rng(5).normal(0, 3000, 20000 if size > 1 else 60).astype(np.float32)
    blocks = [samples[start:start + size] for start in range(0, len(samples), size)]
    whole = resample(samples, rate, new)
    parts = np.concatenate(list(resample_blocks(blocks, rate, new)))
    assert parts.dtype == np.float32
    assert np.array_equal(parts, whole)


def test_nothing_gives_nothing():
    assert sum(map(len, resample_blocks([], 44100, 16000))) == 0


@pytest.mark.parametrize(("rate", "new"), [(8000, 16000), (44100, 16000), (16000, 8000),
                                           (48000, 16000), (11025, 16000)])
def test_values_are_those_of_scipy(rate, new):
    samples = (3000 * np.random.default_rng(1).normal(size=2500)).astype(np.float32)
    up, down = new // math.gcd(rate, new), rate // math.gcd(rate, new)
    factor = max(up, down)
    width = (1 - PASS_BAND) / factor
    taps = 2 * math.ceil((STOP_DB - 7.95) / (2.285 * math.pi * width) / 2) + 1
    low_pass = signal.firwin(taps, (1 + PASS_BAND) / 2 / factor,
                             window=("kaiser", signal.kaiser_beta(STOP_DB)))
    expected = signal.resample_poly(samples, up, down, window=low_pass)
    result = resample(samples, rate, new)
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-3)
