"""A corpus of zeros, or a quarter of it, was "valid", and six systems were trained on it."""

import numpy as np
import pytest
import soundfile

from hybridasr.corpus.datadir import Utterance, write_datadir
from hybridasr.corpus.validate import check_datadir, has_errors, validate_datadir
from hybridasr.errors import UserError

RATE = 16000


def write_set(path, gains):
    utterances = []
    for number, gain in enumerate(gains):
        times = np.arange(2 * RATE) / RATE
        wave = np.clip(np.sin(2 * np.pi * 440 * times) * gain, -32768, 32767).astype(np.int16)
        wav = path / f"{number}.wav"
        path.mkdir(exist_ok=True)
        soundfile.write(wav, wave, RATE)
        utterances.append(Utterance(f"u{number}", f"u{number}", ("a",), f"u{number}", str(wav)))
    write_datadir(path, utterances)
    return path


def test_a_quarter_of_silence_is_named(tmp_path):
    fault, = validate_datadir(write_set(tmp_path / "set", [3000, 0, 3000, 3000]))
    assert "1 of 4 recordings (25 %) are silent from end to end: u1" in str(fault)
    assert not has_errors([fault])


def test_nothing_but_silence_is_refused(tmp_path):
    path = write_set(tmp_path / "set", [0, 0, 1])
    assert has_errors(validate_datadir(path))
    with pytest.raises(UserError, match=r"3 of 3 recordings \(100 %\) are silent.*microphone"):
        check_datadir(path, check_audio=True)


def test_clipped_recordings_are_named(tmp_path):
    fault, = validate_datadir(write_set(tmp_path / "set", [3000, 90000]))
    assert "1 of 2 recordings (50 %) are clipped" in str(fault)
    assert "u1" in str(fault)


def test_recordings_as_they_should_be(tmp_path):
    assert validate_datadir(write_set(tmp_path / "set", [3000, 32000])) == []
