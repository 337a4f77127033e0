"""A search in blocks of frames: the same to the last bit, in memory of its own trace."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_search import SCALED, WIDE, chain, random_graph

from hybridasr.decode import viterbi
from hybridasr.decode.search import Search, SearchOptions, search, search_alternatives
from hybridasr.graph.arrays import DecodingGraph

FRAMES = 30
NARROW = SearchOptions(beam=10.0, acoustic_scale=1 / 12)


def world(seed):
    rng = np.random.default_rng(seed)
    graph, pdfs = random_graph(rng, 60, 400, 20)
    return graph, pdfs, rng.normal(size=(FRAMES, 20)).astype(np.float32) * 10


def assert_same(one, other):
    """Best paths and alternatives are equal, bit for bit."""
    for left, right in zip(one, other, strict=True):
        assert (left is None) == (right is None)
        for name, value in vars(left).items() if left is not None else ():
            assert np.asarray(value).tobytes() == np.asarray(getattr(right, name)).tobytes(), name


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 5), cuts=st.lists(st.integers(0, FRAMES), max_size=12),
       lattice_beam=st.sampled_from([None, 0.0, 4.0]), looks=st.booleans())
def test_cuts_change_nothing(seed, cuts, lattice_beam, looks):
    graph, pdfs, loglikes = world(seed)
    utterance = Search(graph, pdfs, NARROW, lattice_beam=lattice_beam)
    for block in np.split(loglikes, sorted(cuts)):  # a cut that comes twice: no frames
        utterance.advance(block)
        if looks:
            utterance.partial()
            utterance.settled()
    assert utterance.num_frames == FRAMES
    whole = ((search(graph, pdfs, loglikes, NARROW), None) if lattice_beam is None
             else search_alternatives(graph, pdfs, loglikes, NARROW, lattice_beam))
    assert_same(utterance.finish(), whole)


@pytest.mark.parametrize("lattice_beam", [None, 4.0])
def test_small_rooms_change_nothing(lattice_beam, monkeypatch):
    """The trace is compacted and links are pruned many times over, cut anyhow."""
    graph, pdfs, loglikes = world(7)
    expected = ((search(graph, pdfs, loglikes, NARROW), None) if lattice_beam is None
                else search_alternatives(graph, pdfs, loglikes, NARROW, lattice_beam))
    monkeypatch.setattr(viterbi, "FIRST_TOKENS", 16)
    monkeypatch.setattr(viterbi, "FIRST_LINKS", 50)
    # Constants are compiled in: the kernels run as Python here.
    for name in ("_start", "_advance"):
        monkeypatch.setattr(viterbi, name, getattr(viterbi, name).py_func)
    for size in (1, 7, FRAMES):
        utterance = Search(graph, pdfs, NARROW, lattice_beam=lattice_beam)
        for begin in range(0, FRAMES, size):
            utterance.advance(loglikes[begin:begin + size])
        assert_same(utterance.finish(), expected)


def test_partial_and_settled_words_on_the_way():
    """Against searches of the beginnings alone, whose every state is final."""
    rng = np.random.default_rng(3)
    graph, pdfs = random_graph(rng, 12, 60, 6)
    open_ended = DecodingGraph(graph.start, graph.arc_offsets, graph.eps_offsets, graph.ilabel,
                               graph.olabel, graph.weight, graph.nextstate,
                               np.zeros(graph.num_states, np.float32))
    loglikes = 40 * rng.normal(size=(60, 6)).astype(np.float32)
    utterance = Search(graph, pdfs, NARROW)
    assert utterance.partial() is None
    words = []
    for frame in range(len(loglikes)):
        utterance.advance(loglikes[frame:frame + 1])
        partial = utterance.partial()
        alone = search(open_ended, pdfs, loglikes[:frame + 1], NARROW)
        assert partial.transition_ids.tolist() == alone.transition_ids.tolist()
        assert partial.total_cost == pytest.approx(alone.total_cost, rel=1e-12)
        assert not partial.complete
        settled = utterance.settled().tolist()
        assert settled[:len(words)] == words
        assert partial.words.tolist()[:len(settled)] == settled
        words = settled
    path, _ = utterance.finish()
    assert path.words.tolist()[:len(words)] == words
    assert len(words) > 5


def test_settled_is_all_that_living_paths_share():
    # Word 1, then word 2 or 3, which both live until the end.
    graph = DecodingGraph.from_arcs(0, [0, 1, 1, 2, 3], [1, 1, 1, 1, 1], [1, 2, 3, 0, 0],
                                    [0.0, 0.0, 0.5, 0.0, 0.0], [1, 2, 3, 4, 4],
                                    [np.inf] * 4 + [0.0])
    utterance = Search(graph, graph.ilabel - 1, SCALED)
    settled = []
    for _ in range(3):
        utterance.advance(np.zeros((1, 1), np.float32))
        settled.append(utterance.settled().tolist())
    assert settled == [[1], [1], [1, 2]]


def tangle(states, rng):
    """Every state is reached from four others in every frame, and nearly every path dies soon."""
    target = np.repeat(np.arange(states), 4)
    source = rng.integers(0, states, len(target))
    source[::4] = (target[::4] - 1) % states
    columns = rng.integers(0, 8, len(target))
    return DecodingGraph.from_arcs(0, source, 1 + columns, 0 * columns, rng.random(len(target)),
                                   target, np.zeros(states))


def test_the_trace_does_not_grow_with_what_has_died():
    rng = np.random.default_rng(0)
    graph = tangle(200, rng)
    options = SearchOptions(acoustic_scale=1.0, **WIDE)
    utterance = Search(graph, graph.ilabel - 1, options)
    loglikes = rng.normal(size=(20_000, 8)).astype(np.float32)
    for begin in range(0, len(loglikes), 1000):
        utterance.advance(loglikes[begin:begin + 1000])
    # 4 million tokens lived; what the living ones come from is little more than a path.
    assert len(utterance._progress.tokens.arc) < 200_000
    costs = np.full(graph.num_states, np.inf)
    costs[0] = 0.0
    source = np.repeat(np.arange(graph.num_states), np.diff(graph.arc_offsets))
    for row in loglikes:
        reached = costs[source] + graph.weight - row[graph.ilabel - 1]
        costs = np.full(graph.num_states, np.inf)
        np.minimum.at(costs, graph.nextstate, reached)
    path, _ = utterance.finish()
    assert path.total_cost == pytest.approx(costs.min(), rel=1e-6)
    assert len(path.transition_ids) == len(loglikes)


def test_searches_run_in_threads():
    graph, pdfs, loglikes = world(1)
    expected = search_alternatives(graph, pdfs, loglikes, NARROW, 4.0)
    results = [None] * 8

    def run(number):
        results[number] = search_alternatives(graph, pdfs, loglikes, NARROW, 4.0)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        assert_same(result, expected)


def test_no_frames_and_dead_ends():
    graph, pdfs = chain(3)
    for lattice_beam in (None, 4.0):
        utterance = Search(graph, pdfs, SCALED, lattice_beam=lattice_beam)
        utterance.advance(np.zeros((0, 3), np.float32))
        assert utterance.finish() == (None, None)
        with pytest.raises(ValueError, match="finished"):
            utterance.advance(np.zeros((1, 3), np.float32))
        utterance = Search(graph, pdfs, SCALED, lattice_beam=lattice_beam)
        for _ in range(5):  # the graph has no path of three frames
            utterance.advance(np.zeros((1, 3), np.float32))
        assert utterance.partial() is None
        assert utterance.settled().tolist() == []
        assert utterance.finish() == (None, None)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 5), cuts=st.lists(st.integers(0, FRAMES), max_size=12))
def test_settling_changes_nothing(seed, cuts):
    graph, pdfs, loglikes = world(seed)
    silent = np.zeros(graph.num_arcs, bool)
    silent[::3] = True
    utterance, plain = (Search(graph, pdfs, NARROW) for _ in range(2))
    words = []
    for block in np.split(loglikes, sorted(cuts)):
        utterance.advance(block)
        plain.advance(block)
        words += utterance.settle().tolist()
        assert words == utterance.settled().tolist() == plain.settled().tolist()
        assert_same([utterance.partial()], [plain.partial()])
        assert utterance.ending(silent) == plain.ending(silent)
    assert_same(utterance.finish(), plain.finish())


def test_settled_tokens_are_freed(monkeypatch):
    monkeypatch.setattr(viterbi, "FIRST_TOKENS", 16)
    for name in ("_start", "_advance"):
        monkeypatch.setattr(viterbi, name, getattr(viterbi, name).py_func)
    graph = tangle(20, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    options = SearchOptions(acoustic_scale=1.0, beam=3.0, max_active=100, min_active=1)
    utterance, plain = (Search(graph, graph.ilabel - 1, options) for _ in range(2))
    rooms = []
    for _ in range(20):
        block = rng.normal(size=(40, 8)).astype(np.float32)
        utterance.advance(block)
        plain.advance(block)
        utterance.settle()
        rooms.append(len(utterance._progress.tokens.arc))
    assert rooms[-1] == rooms[5] < len(plain._progress.tokens.arc)
    assert_same(utterance.finish(), plain.finish())
    with pytest.raises(ValueError, match="keeps alternatives"):
        Search(graph, graph.ilabel - 1, options, lattice_beam=1.0).settle()


def test_how_the_best_path_ends():
    # Word 1 for a frame or more, then silence (column 2) for a frame or more, which is final.
    graph = DecodingGraph.from_arcs(0, [0, 1, 1, 2], [1, 1, 2, 2], [1, 0, 0, 0], [0.5] * 4,
                                    [1, 1, 2, 2], [np.inf, np.inf, 1.5])
    silent = graph.ilabel == 2
    utterance = Search(graph, graph.ilabel - 1, SCALED)
    assert utterance.ending(silent).frames == utterance.ending(silent).silence == 0
    found = []
    for column in (0, 0, 1, 1, 1):
        row = np.full((1, 2), -90.0, np.float32)
        row[0, column] = 0.0
        utterance.advance(row)
        end = utterance.ending(silent)
        found.append((end.frames, end.silence))
    assert found == [(1, 0), (2, 0), (3, 1), (4, 2), (5, 3)]
    assert end.relative_cost == pytest.approx(1.5)
    assert end.cost == pytest.approx(2.5)
    with pytest.raises(ValueError, match="silent"):
        utterance.ending(silent[:2])
