"""Alignment: equal and Viterbi, and the words and phones that an alignment says."""

import numpy as np
import pytest

from hybridasr.decode.align import AlignmentGraph, AlignOptions, align, equal_alignment
from hybridasr.decode.words import Segment, phone_segments, word_segments
from hybridasr.graph.training import TrainingGraphs, arc_costs


def ids(system, *words):
    return tuple(system[0].words[word] for word in words)


def names(system, segments):
    return [system[0].phone_name(s.label) for s in segments]


@pytest.mark.parametrize("frames", [12, 13, 57, 200])
def test_equal_alignment_spreads_the_frames(system, frames):
    lang, transitions, tree = system
    words = ids(system, "dada")
    for seed in range(6):
        tids = equal_alignment(words, lang, transitions, tree, frames, np.random.default_rng(seed))
        assert tids.shape == (frames,)
        phones = phone_segments(tids, transitions)
        assert [p for p in names(system, phones) if p != "SIL"] == ["d", "a1", "d", "a1"]
        assert phones[0].begin == 0
        assert phones[-1].end == frames
        states = np.diff(np.flatnonzero(~transitions.tid_is_self_loop[tids]).tolist() + [frames])
        assert states.max() - states.min() <= 1
        again = equal_alignment(words, lang, transitions, tree, frames, np.random.default_rng(seed))
        np.testing.assert_array_equal(again, tids)


def test_equal_alignment_leaves_silence_out_before_it_gives_up(system):
    lang, transitions, tree = system
    for seed in range(6):
        rng = np.random.default_rng(seed)
        assert equal_alignment(ids(system, "dada"), lang, transitions, tree, 12, rng) is not None
        assert equal_alignment(ids(system, "dada"), lang, transitions, tree, 11, rng) is None


@pytest.mark.parametrize(("begin", "end"), [(0, 200), (30, 200), (0, 120), (30, 120), (2, 199)])
def test_equal_alignment_puts_silence_around_speech(system, begin, end):
    lang, transitions, tree = system
    for seed in range(6):
        rng = np.random.default_rng(seed)
        tids = equal_alignment(ids(system, "dada"), lang, transitions, tree, 200, rng, (begin, end))
        phones = phone_segments(tids, transitions)
        assert tids.shape == (200,)
        assert [p for p in names(system, phones) if p != "SIL"] == ["d", "a1", "d", "a1"]
        # Too few frames for the states of silence are left to what is drawn.
        if begin > 2:
            assert names(system, phones[:2]) == ["SIL", "d"]
            assert phones[1].begin == begin
        if end < 199:
            assert names(system, phones[-2:]) == ["a1", "SIL"]
            assert phones[-2].end == end


def test_equal_alignment_of_speech_too_short_for_its_states_takes_all_frames(system):
    lang, transitions, tree = system
    for seed in range(6):
        rng = np.random.default_rng(seed)
        tids = equal_alignment(ids(system, "dada"), lang, transitions, tree, 14, rng, (3, 10))
        assert names(system, phone_segments(tids, transitions)) == ["d", "a1", "d", "a1"]


def peaky(system, tids, rng):
    """Log likelihoods that favour the pdfs of an alignment."""
    transitions, tree = system[1:]
    loglikes = rng.normal(size=(len(tids), tree.num_pdfs)).astype(np.float32) - 20
    loglikes[np.arange(len(tids)), transitions.tid_pdf[tids]] += 25
    return loglikes


@pytest.mark.parametrize("words", [("da",), ("dada",), ("ta", "da"), ("ta", "ta", "dada")])
def test_alignment_recovers_a_known_path(system, words):
    lang, transitions, tree = system
    rng = np.random.default_rng(len(words))
    known = equal_alignment(ids(system, *words), lang, transitions, tree, 120, rng)
    item = AlignmentGraph.of(TrainingGraphs(*system).build(ids(system, *words)), transitions)
    costs = arc_costs(item.graph, transitions.scaled_costs(1.0, 0.1))
    loglikes = peaky(system, known, rng)[:, item.pdfs]
    path, retried = align(item, costs, loglikes, AlignOptions())
    assert not retried
    assert path.complete
    # The silence may wander among its middle states; pdfs tell all else.
    mine, theirs = transitions.tid_pdf[path.transition_ids], transitions.tid_pdf[known]
    np.testing.assert_array_equal(mine, theirs)
    segments = phone_segments(path.transition_ids, transitions)
    assert names(system, segments) == names(system, phone_segments(known, transitions))
    found = word_segments(segments, list(ids(system, *words)), lang)
    assert tuple(lang.word_name(s.label) for s in found) == words


def test_retry_beam_and_failure(system):
    lang, transitions, tree = system
    words = ids(system, "dada")
    item = AlignmentGraph.of(TrainingGraphs(*system).build(words), transitions)
    costs = arc_costs(item.graph, transitions.scaled_costs(1.0, 0.1))
    rng = np.random.default_rng(0)
    # Silence looks best to the end: a narrow beam drops the word, a wide one gets through.
    loglikes = np.full((40, len(item.pdfs)), -30, np.float32)
    silent = np.isin(item.pdfs, [tree.pdf((lang.optional_silence,), c) for c in range(5)])
    loglikes[:, silent] = 0
    narrow = AlignOptions(beam=0.5, retry_beam=1000.0, acoustic_scale=1.0)
    path, retried = align(item, costs, loglikes, narrow)
    assert retried
    assert path is not None
    assert path.complete
    short = rng.normal(size=(5, len(item.pdfs))).astype(np.float32)
    assert align(item, costs, short, AlignOptions()) == (None, True)


def test_word_matching_by_hand(system):
    lang = system[0]
    sil, d, a1, t, a2 = (lang.phones[p] for p in ("SIL", "d", "a1", "t", "a2"))

    def phones(*labels):
        return [Segment(label, 10 * i, 10 * i + 10) for i, label in enumerate(labels)]

    def found(labels, *words):
        return [(lang.word_name(s.label), s.begin, s.end)
                for s in word_segments(phones(*labels), list(ids(system, *words)), lang)]

    assert found([sil, d, a1, sil, t, a2, sil], "homo", "ta") == [("homo", 10, 30), ("ta", 40, 60)]
    # A prefix must not eat the longer word.
    assert found([d, a1, d, a1, d, a1], "da", "dada") == [("da", 0, 20), ("dada", 20, 60)]
    assert found([d, a1, d, a1, d, a1], "dada", "da") == [("dada", 0, 40), ("da", 40, 60)]
    # Cut short in the last word: it ends where the audio does.
    assert found([sil, d, a1, d], "dada") == [("dada", 10, 40)]
    assert found([t, a1], "da") == []


def test_no_frames(system):
    assert phone_segments(np.zeros(0, np.int32), system[1]) == []
