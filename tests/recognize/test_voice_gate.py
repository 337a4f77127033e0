"""Who speaks, in results: the utterance's own samples are scored, and others are rejected."""

from types import SimpleNamespace

import numpy as np
import pytest
from command_world import COMMANDS, RATE, speak

from hybridasr.decode.search import SearchOptions
from hybridasr.errors import UserError
from hybridasr.recognize.recognizer import Speaker, load


class Voice:
    """In place of a profile: a list of scores to give, and the samples that they were asked for."""

    def __init__(self, *scores):
        self.check, self.scores, self.asked = SimpleNamespace(rate=RATE), list(scores), []

    def score(self, samples):
        self.asked.append(samples)
        return self.scores[(len(self.asked) - 1) % len(self.scores)]


@pytest.fixture
def recognizer(spoken_world):
    return load(spoken_world.mono, SearchOptions(acoustic_scale=0.03), commands=COMMANDS)


@pytest.fixture
def samples():
    """Half a second of hiss, then commands with pauses."""
    rng = np.random.default_rng(4)
    parts = [np.round(40 * rng.standard_normal(RATE // 2))]
    for text in COMMANDS:
        parts += [speak(text, rng), np.round(40 * rng.standard_normal(RATE))]
    return np.concatenate(parts).astype(np.int16)


def results(session, samples, pieces=7):
    events = [event for part in np.array_split(samples, pieces) for event in session.accept(part)]
    return [event for event in events + session.finish() if "text" in event]


def test_the_samples_of_an_utterance_are_scored(recognizer, samples):
    voice = Voice(1.25, -2.0, None)
    recognizer.set_profile(voice)
    for pieces in (1, 500):
        voice.asked.clear()
        told = [one for one in results(recognizer.session(), samples, pieces) if one["text"]]
        assert [one["speaker_score"] for one in told] == [1.25, -2.0, None]
        assert all(one["accepted"] for one in told)
        assert len(voice.asked) == len(told)
        for one, asked in zip(told, voice.asked, strict=True):
            begin, end = (round(one[name] * RATE) for name in ("start", "end"))
            assert np.array_equal(asked[:end - begin], samples[begin:end])
            assert len(asked) - (end - begin) in range(RATE // 50)


def test_a_lone_recording_is_scored_whole(recognizer, samples):
    voice = Voice(3.0)
    recognizer.set_profile(voice)
    part = samples[:2 * RATE]
    assert recognizer.recognize(part, RATE)["speaker_score"] == 3.0
    assert np.array_equal(voice.asked[0], part)


def test_other_voices_are_rejected(recognizer, samples):
    recognizer.set_profile(Voice(1.25, -2.0, None), 0.5)
    told = [one for one in results(recognizer.session(), samples) if one["text"]]
    assert [one["text"] for one in told] == COMMANDS
    assert [one["reason"] for one in told] == [None, "speaker", "speaker"]
    assert [one["accepted"] for one in told] == [True, False, False]


def test_silence_is_nobodys_voice(recognizer):
    voice = Voice(1.0)
    recognizer.set_profile(voice, 0.0)
    result = recognizer.recognize(np.zeros(RATE, np.int16), RATE)
    assert (result["reason"], result["speaker_score"]) == ("no-speech", None)
    assert voice.asked == []


def test_another_voice_is_not_remembered(recognizer, samples, monkeypatch):
    remembered = []
    monkeypatch.setattr(Speaker, "remember", lambda self, stats: remembered.append(stats))
    recognizer.set_profile(Voice(-1.0), 0.0)
    results(recognizer.session(speaker=Speaker()), samples[:2 * RATE])
    assert remembered == []


def test_without_a_profile_nothing_is_scored(recognizer, samples):
    plain = results(recognizer.session(), samples)
    recognizer.set_profile(Voice(1.0))
    session = recognizer.session()
    recognizer.set_profile(None)
    assert results(recognizer.session(), samples) == plain
    assert "speaker_score" not in plain[0]
    # A session has the profile of its beginning.
    assert results(session, samples)[-1]["speaker_score"] == 1.0


def test_what_is_refused(recognizer, tmp_path):
    voice = Voice(1.0)
    voice.check.rate = 8000
    with pytest.raises(UserError, match="a profile of 8000 Hz, the model wants 16000 Hz; train a "
                       "speaker check with --sample-rate 16000"):
        recognizer.set_profile(voice)
    with pytest.raises(UserError, match="a speaker threshold of nan; give a finite number"):
        recognizer.set_profile(Voice(1.0), float("nan"))
    with pytest.raises(UserError, match="no such profile"):
        recognizer.set_profile(tmp_path / "none.npz")
