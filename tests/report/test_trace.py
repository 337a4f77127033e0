"""One utterance step by step, against the recogniser and against brute force."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

import hybridasr
from hybridasr.corpus.audio import load_audio
from hybridasr.decode.search import SearchOptions, search
from hybridasr.errors import UserError
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.report import trace
from hybridasr.report.state_frames import frames_of_pdf, state_pdf

INF = np.inf


@pytest.fixture(scope="module")
def spoken(spoken_world):
    """(recogniser with commands, samples of the first of them)."""
    utterance = spoken_world.test.utterances["t0-000"]
    recognizer = hybridasr.load(spoken_world.mono, commands=["da1ti1", "bu1la1"])
    return recognizer, load_audio(utterance.wav, 16000)


def random_graph(rng, states=6, arcs=14):
    """A graph whose arcs read 0 (nothing) to 3; arcs that read nothing lead onward."""
    rows = []
    for _ in range(arcs):
        source, target = rng.integers(states, size=2)
        label = int(rng.integers(4))
        if label == 0:
            source, target = sorted((source, target))
            if source == target:
                continue
        rows.append((source, label, 0, rng.uniform(0, 2), target))
    final = np.where(rng.random(states) < 0.5, rng.uniform(0, 1, states), INF)
    return DecodingGraph.from_arcs(0, *zip(*rows, strict=True), final)


def cheapest(graph, ids):
    """Every way through the graph that reads the ids: (cost, states after each) of the best."""
    best = {True: (INF, None), False: (INF, None)}

    def walk(state, place, cost, states):
        if place == len(ids):
            for is_final, extra in ((True, float(graph.final[state])), (False, 0.0)):
                if cost + extra < best[is_final][0]:
                    best[is_final] = (cost + extra, states)
        for arc in range(graph.arc_offsets[state], graph.arc_offsets[state + 1]):
            label, target = graph.ilabel[arc], int(graph.nextstate[arc])
            if label == 0:
                walk(target, place, cost + float(graph.weight[arc]), states)
            elif place < len(ids) and label == ids[place]:
                walk(target, place + 1, cost + float(graph.weight[arc]), [*states, target])

    walk(0, 0, 0.0, [])
    return best[True][1] or best[False][1]


def test_states_of_a_path_against_all_paths():
    rng, read = np.random.default_rng(4), 0
    for _ in range(15):
        graph = random_graph(rng)
        for ids in itertools.product((1, 2, 3), repeat=2):
            wanted = cheapest(graph, ids)
            states = trace.path_states(graph, np.array(ids)).tolist()
            assert states == (wanted or [-1, -1])
            read += wanted is not None
    assert read > 20


def test_tokens_are_those_of_the_search():
    # Two ways over two frames: 1 1 or 2 2; the second is worse by 3 in the first frame.
    graph = DecodingGraph.from_arcs(0, [0, 0, 1, 2], [1, 2, 1, 2], [1, 2, 0, 0], [0.5] * 4,
                                    [1, 2, 3, 3], [INF, INF, INF, 0.0])
    loglikes = np.array([[-1.0, -4.0], [-9.0, -1.0]], np.float32)
    options = SearchOptions(acoustic_scale=1.0, min_active=1)
    traced = trace.trace_tokens(graph, graph.ilabel - 1, loglikes, options)
    np.testing.assert_array_equal(traced.costs, [[INF, 0, 3, INF], [INF, INF, INF, 0]])
    assert traced.best.tolist() == [2, 3]
    assert search(graph, graph.ilabel - 1, loglikes, options).words.tolist() == [2]


def test_decoding_is_that_of_the_recogniser(spoken):
    recognizer, samples = spoken
    steps = trace.feature_steps(recognizer.model, samples)
    assert len(steps.raw) == len(steps.normal) == len(steps.frames.features)
    # With cmvn "speaker", a recording's own mean and the training set's share.
    np.testing.assert_array_equal(steps.frames.features[:, :13], steps.normal)
    decoded, loglikes = trace.decode_trace(recognizer, steps.frames)
    assert decoded.words == recognizer.recognize(samples.astype(np.int16), 16000)["text"].split()
    assert loglikes.shape == (len(steps.raw), recognizer.model.tree.num_pdfs)
    traced = trace.search_trace(recognizer, decoded, loglikes)
    assert (traced.best >= 0).all()
    assert np.isfinite(traced.costs[np.arange(len(traced.best)), traced.best]).all()
    assert (np.nanmin(traced.costs, axis=1) == 0).all()


def test_phones_of_an_alignment(spoken):
    recognizer, samples = spoken
    model = recognizer.model
    frames = trace.feature_steps(model, samples).frames
    # The words of the model are syllables, and some of two.
    tiers, ids = trace.align_trace(model, frames, "da1 ti1")
    assert [label for label, _, _ in tiers["words"]] == ["da1", "ti1"]
    assert [label for label, _, _ in tiers["phones"] if label != "SIL"] == ["d", "a1", "t", "i1"]
    assert tiers["phones"][-1][2] == pytest.approx(len(ids) * 0.01)
    with pytest.raises(UserError, match="no word 'da9' in the model's lexicon"):
        trace.align_trace(model, frames, "da9")
    with pytest.raises(UserError, match="the text is empty"):
        trace.align_trace(model, frames, " ")


def test_posteriors_of_phones_sum_to_one(spoken):
    recognizer, samples = spoken
    model = recognizer.model
    frames = trace.feature_steps(model, samples).frames
    _, loglikes = trace.decode_trace(recognizer, frames)
    posteriors, names = trace.phone_posteriors(model, loglikes)
    np.testing.assert_allclose(posteriors.sum(axis=1), 1)
    assert names[posteriors[0].argmax()] == "SIL"
    assert {"d", "a1", "t", "i1"} <= {names[row] for row in posteriors.argmax(axis=1)}


def test_phones_that_share_all_pdfs_are_one_class():
    # Phones 1 and 2 share both pdfs, 3 shares one of them with nobody else but them.
    tuples = np.array([[1, 0, 0], [1, 1, 1], [2, 0, 0], [2, 1, 1], [3, 0, 0], [3, 1, 2]])
    model = SimpleNamespace(nnet=SimpleNamespace(log_priors=np.zeros(3)),
                            transitions=SimpleNamespace(tuples=tuples),
                            lang=SimpleNamespace(phone_name="_abc".__getitem__))
    posteriors, names = trace.phone_posteriors(model, np.log(np.array([[0.5, 0.3, 0.2]])))
    assert names == ["a b", "c"]
    np.testing.assert_allclose(posteriors, [[0.25 + 0.3, 0.25 + 0.2]], rtol=1e-6)


def test_frames_of_a_state_are_those_of_the_alignment(spoken_world, spoken):
    model = spoken[0].model
    pdf = state_pdf(model, spoken_world.mono, model.lang.phones["a1"], 1)
    frames = frames_of_pdf(model, spoken_world.mono, spoken_world.train, pdf, 10_000)
    # The model was estimated on an alignment before: nearly these frames.
    middle = model.gmm.weights[slice(*model.gmm.offsets[pdf:pdf + 2])] @ model.gmm.means[
        slice(*model.gmm.offsets[pdf:pdf + 2])]
    spread = frames.std(axis=0)
    assert (np.abs(frames.mean(axis=0) - middle) < 0.5 * spread).all()
    assert len(frames_of_pdf(model, spoken_world.mono, spoken_world.train, pdf, 7)) == 7
    with pytest.raises(UserError, match=r"phone 'a1' has no state 5; give 0 to 2"):
        state_pdf(model, spoken_world.mono, model.lang.phones["a1"], 5)
