"""Enhancement in front of a recogniser: as if the samples had come enhanced, however cut."""

import importlib.util

import numpy as np
import pytest
from command_world import COMMANDS, RATE, speak

from hybridasr.corpus.enhance import EnhanceOptions, Enhancer
from hybridasr.decode.search import SearchOptions
from hybridasr.errors import UserError
from hybridasr.recognize.recognizer import load

HIGH_PASS = EnhanceOptions(high_pass=60.0)
WEBRTC = EnhanceOptions(noise_suppression=1, high_pass=60.0)


@pytest.fixture(params=[HIGH_PASS, WEBRTC], ids=["high-pass", "webrtc"])
def options(request):
    if request.param.noise_suppression and not importlib.util.find_spec("webrtc_noise_gain"):
        pytest.skip("webrtc-noise-gain has wheels for Linux only")
    return request.param


def opened(world, enhance=None):
    return load(world.mono, SearchOptions(acoustic_scale=0.03), commands=COMMANDS, enhance=enhance)


@pytest.fixture
def samples():
    rng = np.random.default_rng(4)
    pause = np.round(40 * rng.standard_normal(RATE)).astype(np.int16)
    return np.concatenate([part for text in COMMANDS for part in (speak(text, rng), pause)])


def test_results_are_those_of_enhanced_samples(spoken_world, samples, options):
    enhancer = Enhancer(options, RATE)
    enhanced = np.concatenate([enhancer.accept(samples.astype(np.float32)), enhancer.finish()])
    plain = opened(spoken_world).session(full_scale=32768.0, endpoint=None, partials=False)
    expected = plain.accept(enhanced) + plain.finish()
    session = opened(spoken_world, options).session(endpoint=None, partials=False)
    assert session.accept(samples) + session.finish() == expected


def test_results_do_not_depend_on_the_pieces(spoken_world, samples, options):
    recognizer = opened(spoken_world, options)
    results = []
    for pieces in (1, 3, 1000):
        session = recognizer.session()
        events = [event for piece in np.array_split(samples, pieces)
                  for event in session.accept(piece)]
        results.append(events + session.finish())
    # To WebRTC, which knows real voices, the later chords are noise.
    assert [event["text"] for event in results[0] if event.get("accepted")][:1] == COMMANDS[:1]
    assert results[1:] == results[:1] * 2


def test_each_stream_begins_anew(spoken_world, samples, options):
    session = opened(spoken_world, options).session()
    first, second = (session.accept(samples) + session.finish() for _ in range(2))
    assert first == second


def test_an_offset_and_hum_are_taken_out(spoken_world):
    rng = np.random.default_rng(5)
    spoken = speak(COMMANDS[1], rng)
    hum = 3000 * np.sin(2 * np.pi * 25 * np.arange(len(spoken)) / RATE) - 2000
    recognizer = opened(spoken_world, EnhanceOptions(high_pass=150.0))
    result = recognizer.recognize((spoken + hum).astype(np.int16), RATE)
    assert result["text"] == COMMANDS[1]


def test_what_is_missing_is_told_at_once(spoken_world, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None)
    with pytest.raises(UserError, match="need webrtc_noise_gain; run pip install"):
        opened(spoken_world, WEBRTC)
