"""Voice vectors: of the speech alone, whatever its level, and not of too little."""

import numpy as np
import pytest
from voice_world import RATE, speak

from hybridasr.errors import UserError
from hybridasr.voice.voice_vector import DIM, NUM_CEPS, voice_vector


def word(speaker=1, seed=0):
    return speak(speaker, "aiu", np.random.default_rng(seed))


def test_level_and_silence_change_nothing():
    samples = word()
    vector = voice_vector(samples, RATE)
    assert vector.shape == (DIM,)
    assert np.allclose(voice_vector(samples / 4, RATE), vector, atol=0.15)
    hiss = 10 * np.random.default_rng(1).standard_normal(RATE)
    around = np.concatenate([hiss, samples, hiss])
    assert np.allclose(voice_vector(around, RATE), vector, atol=0.3)


def test_what_is_not_too_little():
    assert voice_vector(word()[:100], RATE) is None
    assert voice_vector(np.zeros(0), RATE) is None
    assert voice_vector(word()[3200:3200 + RATE // 12], RATE) is None


def test_a_filter_moves_the_means_alone():
    """Cepstra turn what a microphone does to all frames into a sum."""
    samples = word()
    change = voice_vector(np.diff(samples, prepend=0.0), RATE) - voice_vector(samples, RATE)
    assert np.abs(change[:NUM_CEPS]).max() > 2
    assert np.abs(change[NUM_CEPS:]).max() < 0.5


def test_samples_that_are_not_finite():
    with pytest.raises(UserError, match="sample 3 .*is nan"):
        voice_vector(np.where(np.arange(RATE) == 3, np.nan, 1.0), RATE)
