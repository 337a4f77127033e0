"""Resampling block by block is resampling of the whole, to the last bit."""

import numpy as np
import pytest

from hybridasr.corpus.resample import resample, resample_blocks


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
