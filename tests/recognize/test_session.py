"""Sessions: audio in pieces, what is refused, and how short the way to the kernels is."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
from command_world import COMMANDS, RATE, speak

from hybridasr.decode import search as search_module
from hybridasr.decode.search import SearchOptions
from hybridasr.errors import UserError
from hybridasr.features.normalization import utterance_stats
from hybridasr.features.online_cmvn import training_prior
from hybridasr.model.directory import load_model
from hybridasr.recognize.recognizer import Recognizer, Speaker, load

SAMPLES = speak("bu1la1", np.random.default_rng(3))


@pytest.fixture(scope="module")
def recognizer(spoken_world):
    return load(spoken_world.mono, SearchOptions(acoustic_scale=0.03), commands=COMMANDS)


@pytest.mark.parametrize("pieces", [1, 2, 7, 400])
def test_the_result_does_not_depend_on_the_pieces(recognizer, pieces):
    session = recognizer.session(endpoint=None)
    for part in np.array_split(SAMPLES, pieces):
        session.accept(part)
    session.accept(SAMPLES[:0])
    assert session.finish() == [recognizer.recognize(SAMPLES, RATE)]


def test_floats_of_a_stream_have_one_full_scale(recognizer):
    """A piece that is quiet is not taken for another range."""
    expected = recognizer.recognize(SAMPLES, RATE)
    for full_scale in (1.0, 32768.0):
        session = recognizer.session(full_scale=full_scale, endpoint=None)
        for part in np.array_split(SAMPLES * (full_scale / 32768), 50):
            session.accept(part)
        assert session.finish() == [expected]
    session = recognizer.session()
    with pytest.raises(UserError, match="samples reach .*floats from -1 to 1"):
        session.accept(SAMPLES.astype(float))


def test_a_session_has_the_commands_of_its_beginning(spoken_world):
    recognizer = load(spoken_world.mono, SearchOptions(acoustic_scale=0.03), commands=COMMANDS)
    session = recognizer.session()
    session.accept(SAMPLES)
    recognizer.remove_command("bu1la1")
    assert session.finish()[0]["text"] == "bu1la1"
    assert recognizer.recognize(SAMPLES, RATE)["text"] == ""


def test_several_sessions_at_once(recognizer):
    texts = [*COMMANDS, *COMMANDS[::-1]]
    audio = [speak(text, np.random.default_rng(number)) for number, text in enumerate(texts)]
    sessions = [recognizer.session() for _ in texts]
    for begin in range(0, max(map(len, audio)), 1000):
        for session, samples in zip(sessions, audio, strict=True):
            session.accept(samples[begin:begin + 1000])
    assert [session.finish()[0]["text"] for session in sessions] == texts


def test_an_empty_session(recognizer):
    assert recognizer.session().finish()[0]["reason"] == "too-short"
    session = recognizer.session()
    session.accept(np.zeros(RATE, np.int16))
    assert session.finish()[0]["reason"] == "no-speech"


def test_what_a_session_refuses(recognizer, spoken_world):
    session = recognizer.session()
    for samples, line in ((np.zeros((10, 200)), r"array of shape \(10, 200\); give \(samples,\)"),
                          (np.array([np.inf]), "sample 0 is inf"), (["x"], "the list holds <U1")):
        with pytest.raises(UserError, match=line):
            session.accept(samples)
    with pytest.raises(UserError, match="no graph and no commands"):
        Recognizer(recognizer.model).session().finish()


def test_a_session_goes_on_with_the_next_utterance(recognizer):
    session = recognizer.session(endpoint=None)
    expected = recognizer.recognize(SAMPLES, RATE)
    for _ in range(3):
        session.accept(SAMPLES)
        assert session.finish() == [expected]


@pytest.fixture
def remembering(spoken_world):
    """A recogniser whose features are normalised by what was said before."""
    model = load_model(spoken_world.mono)
    prior = training_prior(utterance_stats(spoken_world.train, model.features).values())
    pipeline = replace(model.pipeline, cmvn="online", cmvn_look_ahead=100)
    online = Recognizer(replace(model, pipeline=pipeline, cmvn=prior.to_array()),
                        options=SearchOptions(acoustic_scale=0.03))
    online.set_commands(COMMANDS)
    return online


def test_a_speaker_is_remembered_until_forgotten(remembering):
    """What was heard goes into the next utterance, of a session and of single recordings alike."""
    recognizer = remembering
    alone = recognizer.recognize(SAMPLES, RATE)
    speaker = Speaker()
    first = recognizer.recognize(SAMPLES, RATE, speaker=speaker)
    before = speaker.stats
    second = recognizer.recognize(SAMPLES, RATE, speaker=speaker)
    assert first == alone
    assert second["text"] == alone["text"]
    assert speaker.stats.count == pytest.approx(2 * before.count)
    session = recognizer.session(speaker=Speaker(), endpoint=None)
    found = []
    for _ in range(2):
        session.accept(SAMPLES)
        found += session.finish()
    assert found == [first, second]
    session.forget()
    session.accept(SAMPLES)
    assert session.finish() == [alone]


def test_silence_says_nothing_of_a_speaker(recognizer):
    speaker = Speaker()
    recognizer.recognize(np.zeros(RATE, np.int16), RATE, speaker=speaker)
    recognizer.recognize(SAMPLES[:10], RATE, speaker=speaker)
    assert speaker.stats is None


def test_the_way_to_the_kernels_is_short(recognizer, monkeypatch):
    """Seven calls of recognition, and then the search's own."""
    recognizer.recognize(SAMPLES, RATE)
    calls = {}

    def watch(module, name):
        function = getattr(module, name)

        def watched(*args):
            names = [frame.function for frame in inspect.stack(0)[1:]]
            names = [each for each in names[:names.index("recognize") + 1] if each != "watched"]
            calls.setdefault(name, []).append(names[::-1])
            return function(*args)

        monkeypatch.setattr(module, name, watched)

    watch(search_module, "advance")
    assert recognizer.recognize(SAMPLES, RATE)["accepted"]
    # Commands and filler. The model normalises by whole utterances: nothing is searched before.
    way = ["recognize", "utterances", "finish", "finish", "_whole", "decode", "accept", "advance"]
    assert calls["advance"] == [way, way]
