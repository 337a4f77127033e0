"""A file of floats that holds 16-bit values was recognised 32,768 times too loud, or refused."""

import logging

import numpy as np
import pytest
import soundfile

from hybridasr.corpus.audio import load_audio

RATE = 16000


@pytest.mark.parametrize(("scale", "told"), [
    (1.0, None), (3.5, None), (5.0, "reach 5, where 1 is full scale; they are scaled down to it"),
    (32768.0, "reach 32768, where 1 is full scale; they are taken as 16-bit values")])
def test_floats_of_any_range(tmp_path, caplog, scale, told):
    wave = np.sin(np.arange(RATE) / 5.0)
    wave /= np.abs(wave).max()
    soundfile.write(tmp_path / "a.wav", wave * scale, RATE, "FLOAT")
    with caplog.at_level(logging.WARNING):
        samples = load_audio(tmp_path / "a.wav", RATE)
    expected = 32768 * (scale if scale < 4 else 1.0) * wave
    np.testing.assert_allclose(samples, expected, rtol=1e-5, atol=1e-2)
    assert [record.getMessage().rpartition("samples ")[2] for record in caplog.records] == (
        [told] if told else [])
