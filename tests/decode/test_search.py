"""The beam search against enumeration of every path."""

import itertools
import math
import os
from pathlib import Path

import numpy as np
import pytest

from hybridasr.decode.search import Search, SearchOptions, search
from hybridasr.errors import UserError
from hybridasr.graph.arrays import DecodingGraph

SCALED = SearchOptions(acoustic_scale=1 / 12)
WIDE = {"beam": 1e9, "max_active": 1 << 30, "min_active": 0}


def random_graph(rng, num_states, num_arcs, num_pdfs):
    """A graph with emitting and epsilon arcs; epsilons may make cycles (of positive cost)."""
    epsilon = rng.random(num_arcs) < 0.3
    ilabel = np.where(epsilon, 0, rng.integers(1, num_pdfs + 1, num_arcs))
    final = np.where(rng.random(num_states) < 0.4, rng.random(num_states) * 3, np.inf)
    graph = DecodingGraph.from_arcs(
        0, rng.integers(0, num_states, num_arcs), ilabel, rng.integers(0, 4, num_arcs),
        rng.random(num_arcs) * 4, rng.integers(0, num_states, num_arcs), final)
    return graph, (graph.ilabel - 1).astype(np.int32)


def all_paths(graph, pdfs, loglikes, scale):
    """(cost, final?, transition-ids, words) of every path; epsilon arcs never twice in a row."""
    def walk(state, frame, cost, tids, words, seen):
        if frame == len(loglikes):
            yield cost, state, tids, words
        for arc in range(graph.arc_offsets[state], graph.arc_offsets[state + 1]):
            onward = words + ((int(graph.olabel[arc]),) if graph.olabel[arc] else ())
            target, price = int(graph.nextstate[arc]), cost + float(graph.weight[arc])
            if pdfs[arc] < 0:
                if arc not in seen:
                    yield from walk(target, frame, price, tids, onward, seen | {arc})
            elif frame < len(loglikes):
                price -= scale * float(loglikes[frame, pdfs[arc]])
                yield from walk(target, frame + 1, price,
                                (*tids, int(graph.ilabel[arc])), onward, frozenset())

    return walk(graph.start, 0, 0.0, (), (), frozenset())


@pytest.mark.parametrize("seed", range(40))
def test_exact_on_small_random_graphs(seed):
    rng = np.random.default_rng(seed)
    graph, pdfs = random_graph(rng, int(rng.integers(2, 6)), int(rng.integers(3, 10)), 4)
    loglikes = rng.normal(size=(int(rng.integers(1, 5)), 4)).astype(np.float32) * 5
    found = search(graph, pdfs, loglikes, SearchOptions(acoustic_scale=0.3, **WIDE))
    paths = list(all_paths(graph, pdfs, loglikes, 0.3))
    ends = [(cost + float(graph.final[state]), tids, words) for cost, state, tids, words in paths
            if math.isfinite(graph.final[state])]
    if not paths:
        assert found is None
        return
    assert found.complete == bool(ends)
    best = min(ends) if ends else min((cost, tids, words) for cost, _, tids, words in paths)
    assert found.total_cost == pytest.approx(best[0], rel=1e-5, abs=1e-4)
    # The path that is given has the cost that is given.
    candidates = ends or [(cost, tids, words) for cost, _, tids, words in paths]
    mine = [cost for cost, tids, words in candidates
            if tids == tuple(found.transition_ids) and words == tuple(found.words)]
    assert min(mine) == pytest.approx(best[0], rel=1e-5, abs=1e-4)
    assert len(found.transition_ids) == len(loglikes)


@pytest.mark.parametrize("seed", range(10))
def test_wider_beams_are_never_costlier(seed):
    rng = np.random.default_rng(100 + seed)
    graph, pdfs = random_graph(rng, 60, 400, 20)
    loglikes = rng.normal(size=(30, 20)).astype(np.float32) * 10
    exact = search(graph, pdfs, loglikes, SearchOptions(acoustic_scale=1 / 12, **WIDE))
    for bounds in ({"beam": 2.0}, {"beam": 8.0}, {"beam": 1e9, "max_active": 5}):
        options = SearchOptions(acoustic_scale=1 / 12, min_active=0, **bounds)
        found = search(graph, pdfs, loglikes, options)
        assert found is None or not found.complete or (
            found.total_cost >= exact.total_cost - 1e-4)
    wide = search(graph, pdfs, loglikes, SearchOptions(beam=50.0, acoustic_scale=1 / 12))
    assert wide.total_cost == pytest.approx(exact.total_cost, rel=1e-6)


def chain(words, frames_each=2):
    """One branch a word: `frames_each` emitting states of the word's own pdf."""
    rows = []
    state = 1
    for word in range(1, words + 1):
        place = 0
        for frame in range(frames_each):
            target = state if frame < frames_each - 1 else 1000
            rows.append((place, word, word if frame == 0 else 0, 0.5, target))
            place, state = state, state + 1
    end = state
    rows = [(*row[:4], end if row[4] == 1000 else row[4]) for row in rows]
    final = np.full(end + 1, np.inf)
    final[end] = 0.25
    source, ilabel, olabel, weight, target = zip(*rows, strict=True)
    graph = DecodingGraph.from_arcs(0, source, ilabel, olabel, weight, target, final)
    return graph, (graph.ilabel - 1).astype(np.int32)


def test_finds_the_word_and_its_costs():
    graph, pdfs = chain(3)
    loglikes = np.array([[0, -1, -9], [0, -1, -9]], np.float32)
    found = search(graph, pdfs, loglikes, SearchOptions(acoustic_scale=1.0))
    assert found.words.tolist() == [1]
    assert found.complete
    assert found.graph_cost == pytest.approx(1.25)
    loglikes[1] = [-9, -1, -9]
    found = search(graph, pdfs, loglikes, SearchOptions(acoustic_scale=1.0))
    assert found.words.tolist() == [2]
    assert found.acoustic_cost == pytest.approx(2.0)
    assert search(graph, pdfs, loglikes, SearchOptions(acoustic_scale=0.5)
                  ).acoustic_cost == pytest.approx(1.0)


def test_partial_result_is_flagged():
    graph, pdfs = chain(3)
    found = search(graph, pdfs, np.zeros((1, 3), np.float32), SCALED)
    assert not found.complete
    assert len(found.words) == 1
    assert search(graph, pdfs, np.zeros((3, 3), np.float32), SCALED) is None
    assert search(graph, pdfs, np.zeros((0, 3), np.float32), SCALED) is None


def test_max_active_prunes():
    graph, pdfs = chain(50)
    rng = np.random.default_rng(0)
    loglikes = rng.normal(size=(2, 50)).astype(np.float32)
    loglikes[0, 7] = 5.0
    loglikes[1, 7] = -50.0
    # Word 8 leads after the first frame; with one token alive it cannot be overtaken.
    narrow = SearchOptions(acoustic_scale=1.0, max_active=1, min_active=0)
    wide = SearchOptions(acoustic_scale=1.0, beam=1e9)
    assert search(graph, pdfs, loglikes, narrow).words.tolist() == [8]
    assert search(graph, pdfs, loglikes, wide).words.tolist() != [8]


def test_long_utterances_outgrow_the_first_trace():
    # 200 states all alive for 300 frames: more than the trace's first room.
    states = 200
    pairs = list(itertools.product(range(states), (0, 1)))
    source = [s for s, _ in pairs]
    target = [(s + step) % states for s, step in pairs]
    final = np.zeros(states)
    graph = DecodingGraph.from_arcs(0, source, [1 + step for _, step in pairs], [0] * len(pairs),
                                    [0.01 * step for _, step in pairs], target, final)
    loglikes = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    found = search(graph, (graph.ilabel - 1).astype(np.int32), loglikes,
                   SearchOptions(acoustic_scale=1.0, **WIDE))
    best = np.maximum(loglikes[:, 0], loglikes[:, 1] - 0.01)
    assert found.total_cost == pytest.approx(-best.sum(dtype=np.float64), rel=1e-4)


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system has no /proc")
@pytest.mark.parametrize("lattice_beam", [None, 6.0])
def test_states_that_are_never_visited_take_no_memory(lattice_beam):
    states, (first, last) = 10_000_000, (3, 9_999_999)  # far apart
    offsets = np.zeros(states + 1, np.int64)
    graph = DecodingGraph(first, offsets, offsets[1:], *(np.array([1, 1], np.int32),) * 2,
                          np.zeros(2, np.float32), np.array([last, last], np.int32),
                          np.zeros(states, np.float32))
    offsets[first + 1:last + 1], offsets[-1] = 1, 2
    # The graph itself is in memory now; 21 bytes a state would be 210 MB.
    before = resident()
    utterance = Search(graph, np.zeros(2, np.int32), SCALED, lattice_beam=lattice_beam)
    utterance.advance(np.zeros((2, 1), np.float32))
    assert resident() - before < 20_000_000
    path, _ = utterance.finish()
    assert path.words.tolist() == [1, 1]
    assert path.complete


def test_nan_and_bad_options_are_refused():
    graph, pdfs = chain(2)
    with pytest.raises(UserError, match="NaN"):
        search(graph, pdfs, np.full((2, 2), np.nan, np.float32), SCALED)
    with pytest.raises(UserError, match="beam is 0"):
        SearchOptions(beam=0)
    with pytest.raises(UserError, match="max-active 10"):
        SearchOptions(max_active=10)
    with pytest.raises(UserError, match="acoustic-scale"):
        SearchOptions(acoustic_scale=-1)
