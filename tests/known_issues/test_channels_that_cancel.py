"""A stereo file whose channels are inverted copies was silent in the mix, and so no-speech."""

import numpy as np
import soundfile
from command_world import COMMANDS, RATE, speak

from hybridasr.corpus.audio import load_audio
from hybridasr.decode.search import SearchOptions
from hybridasr.recognize.recognizer import load

SAMPLES = speak("da1ti1", np.random.default_rng(5))


def test_the_louder_channel_is_taken_and_said(spoken_world, tmp_path, caplog):
    recognizer = load(spoken_world.mono, SearchOptions(acoustic_scale=0.03), commands=COMMANDS)
    noise = np.random.default_rng(0).integers(-3, 4, len(SAMPLES)).astype(np.int16)
    stereo = np.stack([SAMPLES, -SAMPLES + noise], axis=1)
    path = tmp_path / "stereo.wav"
    soundfile.write(path, stereo, RATE)
    for audio, name in ((path, "stereo.wav"), (stereo, "array")):
        caplog.clear()
        result = recognizer.recognize(audio, RATE)
        assert (result["text"], result["accepted"]) == ("da1ti1", True)
        (record,) = caplog.records
        assert name in record.getMessage()
        assert "channels cancel" in record.getMessage()
        assert "channel 0" in record.getMessage() or "channel 1" in record.getMessage()


def test_other_mixes_stay_as_they_are(tmp_path, caplog):
    path = tmp_path / "two.wav"
    rng = np.random.default_rng(0)
    noise = rng.integers(-900, 900, len(SAMPLES)).astype(np.int16)
    silence = np.zeros_like(SAMPLES)
    for pair in ((SAMPLES, noise), (SAMPLES, silence), (noise, rng.permutation(noise)),
                 (silence, silence), (SAMPLES, SAMPLES)):
        soundfile.write(path, np.stack(pair, axis=1), RATE)
        mean = (pair[0].astype(float) + pair[1]) / 2
        np.testing.assert_allclose(load_audio(path, RATE), mean, rtol=0, atol=0.01)
    assert not caplog.records
