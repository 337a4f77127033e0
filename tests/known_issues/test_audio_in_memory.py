"""Samples and files in memory gave no-speech, a mixture of channels, or bare errors."""

import io
import json

import numpy as np
import pytest
import soundfile
from command_world import COMMANDS, RATE, speak

from hybridasr.decode.search import SearchOptions
from hybridasr.errors import UserError
from hybridasr.recognize.recognizer import load
from hybridasr.recognize.samples import to_16_bit_range

TEXT = "bu1la1"
SAMPLES = speak(TEXT, np.random.default_rng(3))


@pytest.fixture(scope="module")
def recognizer(spoken_world):
    return load(spoken_world.mono, SearchOptions(acoustic_scale=0.03), commands=COMMANDS)


def wav(samples, rate=RATE, **options):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", **options)
    return file.getvalue()


@pytest.mark.parametrize("audio", [
    SAMPLES, SAMPLES / 32768, (SAMPLES / 32768).astype(np.float32), SAMPLES.astype(np.float64),
    SAMPLES.astype(np.int32) * 65536, SAMPLES.astype(np.int64), SAMPLES.tolist(),
    SAMPLES[:, None], np.stack([SAMPLES, SAMPLES], axis=1),
    np.stack([SAMPLES, SAMPLES], axis=1) / 32768.0, SAMPLES.astype(">i2"),
], ids=["int16", "unit", "unit32", "float", "int32", "int64", "list", "column", "stereo",
        "unit stereo", "big endian"])
def test_samples_in_any_form(recognizer, audio):
    assert recognizer.recognize(audio, RATE) == recognizer.recognize(SAMPLES, RATE)
    assert recognizer.recognize(audio, RATE)["text"] == TEXT


def test_coarse_and_unsigned_integers():
    coarse = np.round(SAMPLES / 256)
    for audio, expected in ((coarse.astype(np.int8), coarse * 256),
                            ((coarse + 128).astype(np.uint8), coarse * 256),
                            ((SAMPLES.astype(np.int32) + 32768).astype(np.uint16), SAMPLES)):
        np.testing.assert_array_equal(to_16_bit_range(audio), expected)


def test_16_bit_values_in_wide_integers_are_taken_as_such_and_said(recognizer, caplog):
    assert recognizer.recognize(SAMPLES.astype(np.int32), RATE)["text"] == TEXT
    assert "taken as 16-bit values" in caplog.text


def test_channels_are_mixed_or_chosen(recognizer):
    other = np.random.default_rng(0).normal(size=len(SAMPLES)).astype(np.int16)
    audio = np.stack([other, SAMPLES], axis=1)
    assert recognizer.recognize(audio, RATE)["text"] == TEXT
    assert recognizer.recognize(audio, RATE, channel=1) == recognizer.recognize(SAMPLES, RATE)
    assert recognizer.recognize(audio, RATE, channel=0)["reason"] == "no-speech"
    with pytest.raises(UserError, match="channel 2 asked for, but .* has 2"):
        recognizer.recognize(audio, RATE, channel=2)


def test_nearly_silent_floats_are_not_blown_up(recognizer):
    """Noise of one bit in the 16-bit range, and a recording in which nobody speaks."""
    rng = np.random.default_rng(0)
    assert recognizer.recognize(rng.integers(-1, 2, RATE).astype(float), RATE)[
        "reason"] == "no-speech"
    assert recognizer.recognize(np.zeros(RATE), RATE)["reason"] == "no-speech"
    assert recognizer.recognize(rng.normal(size=RATE) * 40, RATE)["reason"] == "no-speech"
    # Peaks a little above full scale are common after resampling.
    loud = SAMPLES / np.abs(SAMPLES).max() * 1.3
    np.testing.assert_allclose(to_16_bit_range(loud), loud * 32768, rtol=1e-6)


@pytest.mark.parametrize(("audio", "line"), [
    (np.zeros((2, RATE)), r"array of shape \(2, 16000\).*samples.*channels.*array\.T"),
    (np.zeros((10, 2, 2)), r"array of shape \(10, 2, 2\)"), (np.float64(3), r"array of shape \(\)"),
    (np.zeros((10, 0)), r"array of shape \(10, 0\)"),
    (SAMPLES * 100.0, r"reach \d+.*-32768 to 32767.*-1 to 1"),
    (SAMPLES.astype(np.int64) * 100, r"reach \d+.*-32768 to 32767"),
    (np.zeros(9, bool), "bool"), (np.zeros(9, complex), "complex128"),
    (["a", "b"], "list"), ([[1, 2], [3]], "list"), (None, "NoneType"), (3.5, "float"),
    ({}, "dict"), (np.array(["x"]), "<U1"), (np.full(400, np.nan), "sample 0 is nan")])
def test_what_is_no_audio_is_one_line(recognizer, audio, line):
    with pytest.raises(UserError, match=line) as error:
        recognizer.recognize(audio, RATE)
    assert "\n" not in str(error.value)


def test_files_in_memory(recognizer, tmp_path):
    path = tmp_path / "said.wav"
    path.write_bytes(wav(SAMPLES))
    expected = recognizer.recognize(path)
    assert expected["text"] == TEXT
    for audio in (wav(SAMPLES), bytearray(wav(SAMPLES)), memoryview(wav(SAMPLES)),
                  io.BytesIO(wav(SAMPLES)), path.open("rb")):
        assert recognizer.recognize(audio)["text"] == TEXT
    half = wav(SAMPLES[::2], RATE // 2)
    with pytest.raises(UserError, match="8000 Hz, the model wants 16000 Hz"):
        recognizer.recognize(half, strict_rate=True)
    assert json.dumps(recognizer.recognize(io.BytesIO(half)))
    for audio, line in ((b"", "empty"), (b"hello there", "text file, not audio"),
                        (wav(SAMPLES)[:30], "damaged|cannot be read|no samples"),
                        (io.StringIO("x"), "text mode|binary")):
        with pytest.raises(UserError, match=line) as error:
            recognizer.recognize(audio)
        assert "BytesIO object" not in str(error.value)
