"""Streams: equal to the last bit however they are cut, the end of speech, faults, memory."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from command_world import COMMANDS, RATE, make_adaptive, make_network, speak
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybridasr.corpus.resample import resample
from hybridasr.decode.endpoint import EndpointOptions, EndpointRule
from hybridasr.decode.search import SearchOptions
from hybridasr.errors import UserError
from hybridasr.features.normalization import utterance_stats
from hybridasr.features.online_cmvn import training_prior
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.graph.mkgraph import make_graph
from hybridasr.model.adaptation import AdaptOptions
from hybridasr.model.directory import load_model
from hybridasr.recognize import session as session_module
from hybridasr.recognize.graph_grammar import GraphGrammar
from hybridasr.recognize.recognizer import Recognizer, Speaker

NETWORKS = {
    "tdnn": "tdnn offsets=-2:2 dim=48\nrelu\ntdnn offsets=-3,0,3 dim=48\nbatchnorm\nrelu\noutput\n",
    "cnn": "conv channels=6 kernel=3,3 pool=2 blocks=1\nrelu\nsplice offsets=-2:2\naffine dim=48\n"
           "relu\noutput\n",
    "lstm": "splice offsets=-1:2\nlstm cell=40 projection=24\noutput\n",
    "third": "splice offsets=-4:4 stride=3\naffine dim=48\nrelu\ntdnn offsets=-1,0,1 dim=48\n"
             "batchnorm\nrelu\noutput\n",
}
KINDS = ["gmm", "gmm online", *NETWORKS]


def quiet(seconds, rng):
    return np.round(40 * rng.normal(size=int(RATE * seconds))).astype(np.int16)


def stream_of(texts, pause, seed=5):
    """Texts with pauses between; (samples, seconds at which each text begins and ends)."""
    rng = np.random.default_rng(seed)
    parts, times, place = [quiet(0.3, rng)], [], 0.3
    for text in texts:
        spoken = speak(text, rng)
        times.append((place, place + len(spoken) / RATE))
        parts += [spoken, quiet(pause, rng)]
        place += len(spoken) / RATE + pause
    return np.concatenate(parts), times


@pytest.fixture(scope="module")
def models(spoken_world, tmp_path_factory):
    mono = load_model(spoken_world.mono)
    prior = training_prior(utterance_stats(spoken_world.train, mono.features).values())
    online = replace(mono, cmvn=prior.to_array(),
                     pipeline=replace(mono.pipeline, cmvn="online", cmvn_look_ahead=10))
    found = {"gmm": mono, "gmm online": online}
    for name, layers in NETWORKS.items():
        path = make_network(spoken_world, tmp_path_factory.mktemp(name), layers, epochs=3)
        found[name] = load_model(path)
    return found


def loop_of(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("graph")
    words = [(word,) for word in model.lang.lexicon.entries if word[0] != "<"][:12]
    make_graph(model.lang, model.transitions, model.tree, path, "loop", words)
    return DecodingGraph.load(path / "graph.npz")


@pytest.fixture(scope="module")
def recognizers(models, tmp_path_factory):
    """By model and grammar: a loop over words of the lexicon, a list of commands."""
    found = {}
    for name, model in models.items():
        scale = 0.03 if model.nnet is None else 0.3 * model.subsampling
        options, graph = SearchOptions(acoustic_scale=scale), loop_of(model, tmp_path_factory)
        found[name, "graph"] = Recognizer(model, GraphGrammar.of(model, graph), options)
        found[name, "list"] = Recognizer(model, options=options)
        found[name, "list"].set_commands(COMMANDS)
    return found


def events_of(session, pieces):
    return [event for piece in pieces for event in session.accept(piece)] + session.finish()


def results(events):
    return [event for event in events if "text" in event]


AUDIO, TIMES = stream_of([COMMANDS[0], COMMANDS[1], COMMANDS[2]], 0.8)
CUTS = st.one_of(st.lists(st.integers(0, len(AUDIO)), max_size=40).map(sorted),
                 st.sampled_from([160, 1000, 16000]).map(lambda n: range(n, len(AUDIO), n)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grammar", ["graph", "list"])
@settings(max_examples=6, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=CUTS, form=st.sampled_from(["int16", "float", "bytes"]), nbest=st.sampled_from([0, 2]))
def test_cuts_change_nothing(recognizers, kind, grammar, cuts, form, nbest, monkeypatch):
    """Words, times, confidences and costs, with the ends of speech and without."""
    recognizer = recognizers[kind, grammar]
    costs = []
    make_result = session_module.make_result
    monkeypatch.setattr(session_module, "make_result", lambda decoded, *rest: (
        costs.append(decoded.path and (decoded.path.graph_cost, decoded.path.acoustic_cost,
                                       decoded.path.transition_ids.tolist())),
        make_result(decoded, *rest))[1])
    for endpoint in ("short", None):
        # An odd byte at the end of a piece belongs to the next one.
        pieces = ([AUDIO.tobytes()[i:j] for i, j in zip([0, *cuts], [*cuts, 2 * len(AUDIO)],
                                                        strict=True)] if form == "bytes" else
                  np.split(AUDIO if form == "int16" else AUDIO / 32768, cuts))
        found = events_of(recognizer.session(nbest=nbest, endpoint=endpoint), pieces)
        in_pieces, costs[:] = list(costs), []
        whole = events_of(recognizer.session(nbest=nbest, endpoint=endpoint), [AUDIO])
        assert found == whole
        assert in_pieces == costs
        costs.clear()
    # The last one was without ends: a recording.
    assert results(whole) == [recognizer.recognize(AUDIO, RATE, nbest=nbest)]
    costs.clear()
    monkeypatch.undo()


def test_a_sample_at_a_time(recognizers):
    recognizer = recognizers["tdnn", "list"]
    part = AUDIO[:16000]
    pieces = part.reshape(-1, 1)
    assert (events_of(recognizer.session(), [piece for piece in pieces])
            == events_of(recognizer.session(), [part]))


@pytest.mark.parametrize("kind", ["gmm", *NETWORKS])
def test_utterances_of_a_stream_are_those_of_single_recordings(recognizers, kind):
    recognizer = recognizers[kind, "list"]
    found = results(events_of(recognizer.session(endpoint="short"), [AUDIO]))
    assert [result["text"] for result in found] == COMMANDS
    assert all(result["end_reason"] in ("rule2", "speech", "finish") for result in found)
    for result, (begin, end) in zip(found, TIMES, strict=True):
        # Silence around a text is 0.08 to 0.15 seconds.
        assert begin < result["result"][0]["start"] < begin + 0.25
        assert end - 0.25 < result["result"][-1]["end"] < end + 0.05
        assert result["start"] < result["result"][0]["start"]
        assert result["result"][-1]["end"] < result["end"] < end + 0.8
    starts = [result["start"] for result in found]
    assert starts[0] == 0.0
    assert starts[1:] == [result["end"] for result in found[:-1]]


def test_partial_words_come_before_the_result(recognizers):
    events = events_of(recognizers["tdnn", "list"].session(), [AUDIO])
    kinds = ["text" in event for event in events]
    first = kinds.index(True)
    assert first > 0
    assert events[first - 1] == {"partial": events[first]["text"]}
    silent = recognizers["tdnn", "list"].session(partials=False)
    assert events_of(silent, [AUDIO]) == results(events)


def test_a_pause_within_an_utterance_is_waited_for(recognizers):
    """A longer wait makes one utterance of what a shorter one takes for two."""
    recognizer = recognizers["tdnn", "graph"]
    audio, times = stream_of(["da1ti1", "bu1la1"], 0.45)
    audio = np.concatenate([audio, quiet(1.0, np.random.default_rng(1))])
    counts = []
    for wait in (0.2, 0.7):
        rules = EndpointOptions(rule2=EndpointRule(True, wait, 2.0), rule3=EndpointRule(True, 9.0),
                                rule4=EndpointRule(True, 9.0))
        rules = replace(rules, speech=replace(rules.speech, min_trailing_silence=0.0))
        found = results(events_of(recognizer.session(endpoint=rules), [audio]))
        # The loop has no way for silence alone: what begins after the words is left out.
        counts.append(len([result for result in found if result["start"] < times[1][0] + 0.1]))
    assert counts == [2, 1]


def test_a_long_utterance_is_ended_by_its_length(recognizers):
    for grammar in ("graph", "list"):
        rules = EndpointOptions(rule5=EndpointRule(False, 0.0, min_utterance_length=1.0))
        found = results(events_of(recognizers["tdnn", grammar].session(endpoint=rules),
                                  [stream_of(["da1ti1bu1la1li1du1ta1" * 3], 0.3)[0]]))
        lengths = [result["end"] - result["start"] for result in found[:-1]]
        assert lengths
        assert all(1.0 <= length < 1.1 for length in lengths)
        assert {result["end_reason"] for result in found[:-1]} == {"rule5"}


def test_silence_is_told_once(recognizers):
    """Silence of a dead microphone, and that of a room; then the session lives on."""
    recognizer = recognizers["tdnn", "list"]
    dead = np.zeros(16 * RATE, np.int16)
    room = quiet(16, np.random.default_rng(2))
    for silence in (dead, room):
        session = recognizer.session(speaker=Speaker(), partials=False)
        events = session.accept(silence)
        assert [event["reason"] for event in events] == ["no-speech"]
        assert events[0]["end_reason"] == "rule1"
        found = events_of(session, [AUDIO])
        assert [event["text"] for event in found] == COMMANDS
        assert found[0]["end"] > 16


def test_a_faulty_piece_is_refused_and_the_stream_goes_on(recognizers):
    recognizer = recognizers["tdnn", "list"]
    expected = events_of(recognizer.session(), [AUDIO])
    session = recognizer.session(rate=RATE)
    events = session.accept(AUDIO[:20000])
    bad = np.zeros(100)
    bad[3] = np.nan
    for piece, rate, line in (
            (bad, None, "sample 3 is nan"), (AUDIO, 8000, "piece of 8000 Hz in a stream of 16000"),
            (np.full(5, 1e6), None, "samples reach"), ("text", None, "str is no audio"),
            (np.zeros((3, 3, 3)), None, "array of shape")):
        with pytest.raises(UserError, match=line):
            session.accept(piece, rate)
    events += session.accept(AUDIO[20000:], RATE)
    assert events + session.finish() == expected


def test_a_session_begins_anew_after_its_end(recognizers):
    recognizer = recognizers["lstm", "list"]
    session = recognizer.session()
    assert events_of(session, [AUDIO]) == events_of(session, [AUDIO])


@pytest.mark.parametrize("rate", [8000, 44100])
def test_a_stream_at_another_rate_is_resampled(recognizers, rate):
    audio = resample(AUDIO.astype(np.float32), RATE, rate)
    recognizer = recognizers["tdnn", "list"]
    found = events_of(recognizer.session(rate), np.array_split(np.round(audio).astype(np.int16), 9))
    assert found == events_of(recognizer.session(rate), [np.round(audio).astype(np.int16)])
    assert len(results(found)) == 3
    if rate > RATE:
        assert [result["text"] for result in results(found)] == COMMANDS


def test_channels_of_a_stream(recognizers):
    recognizer = recognizers["tdnn", "list"]
    expected = events_of(recognizer.session(), [AUDIO])
    both = np.stack([AUDIO, np.zeros_like(AUDIO)], axis=1)
    assert events_of(recognizer.session(channel=0), np.array_split(both, 7)) == expected
    raw = recognizer.session(channel=0, raw=f"s16le:{RATE}:2")
    contents = both.tobytes()
    assert events_of(raw, [contents[i:i + 1001] for i in range(0, len(contents), 1001)]) == expected
    with pytest.raises(UserError, match="channel 1 asked for, but the file has 1"):
        recognizer.session(channel=1).accept(AUDIO)


@pytest.mark.parametrize(("arguments", "line"), [
    ({"rate": 0}, "a stream of 0 Hz"), ({"rate": 16000.5}, "a stream of 16000.5 Hz"),
    ({"rate": 8000, "raw": "s16le:16000:1"}, "leave the rate out"),
    ({"raw": "s17le:16000:1"}, "encoding 's17le'"), ({"endpoint": "soon"}, "mode 'soon'"),
    ({"nbest": -1}, "nbest is -1")])
def test_what_no_session_is_begun_with(recognizers, arguments, line):
    with pytest.raises(UserError, match=line):
        recognizers["tdnn", "list"].session(**arguments)


def test_memory_of_a_stream_does_not_grow(recognizers):
    """All that a session holds is of the utterance, and of what frames look ahead at."""
    recognizer = recognizers["tdnn", "graph"]
    session = recognizer.session(partials=False)
    sizes = []
    for _ in range(4):
        for _ in range(3):
            session.accept(AUDIO)
        held = [part for part in vars(session).items()
                if part[0] in ("_features", "_resampler", "_pieces")]
        sizes.append(len(pickle.dumps(held)))
        assert len(session._utterance._raw) < 100
        assert session._utterance.length < 2100
    assert max(sizes) < min(sizes) + 20000


def test_adaptive_systems_hear_an_utterance_out(spoken_world, tmp_path):
    model = load_model(make_adaptive(spoken_world, tmp_path / "sat"))
    recognizer = Recognizer(model, options=SearchOptions(acoustic_scale=0.03),
                            adapt=AdaptOptions(fmllr_min_count=30.0))
    recognizer.set_commands(COMMANDS)
    events = events_of(recognizer.session(endpoint="short"), np.array_split(AUDIO, 50))
    assert len(results(events)) == 3
    assert results(events)[-1]["text"] == COMMANDS[-1]
    assert events == events_of(recognizer.session(endpoint="short"), [AUDIO])
    assert (events_of(recognizer.session(endpoint=None, partials=False), np.array_split(AUDIO, 10))
            == [recognizer.recognize(AUDIO, RATE)])
