"""Lattices of the search against enumeration of every path."""

import math

import numpy as np
import pytest
from test_search import SCALED, WIDE, all_paths, chain, random_graph

from hybridasr.decode import viterbi
from hybridasr.decode.latgen import LatticeOptions, decode_lattice, raw_lattice
from hybridasr.decode.search import SearchOptions, search, search_alternatives
from hybridasr.errors import UserError
from hybridasr.lattice.paths import n_best

SCALE = 0.3


def word_costs(graph, pdfs, loglikes):
    """Words -> total cost of the best path; over paths that end, or all where none does."""
    paths = list(all_paths(graph, pdfs, loglikes, SCALE))
    ends = [(cost + float(graph.final[state]), words) for cost, state, _, words in paths
            if math.isfinite(graph.final[state])]
    best = {}
    for cost, words in ends or [(cost, words) for cost, _, _, words in paths]:
        best[words] = min(cost, best.get(words, np.inf))
    return best


@pytest.mark.parametrize("seed", range(60))
def test_every_word_sequence_within_the_beam(seed):
    rng = np.random.default_rng(seed)
    graph, pdfs = random_graph(rng, int(rng.integers(2, 6)), int(rng.integers(3, 10)), 4)
    loglikes = rng.normal(size=(int(rng.integers(1, 5)), 4)).astype(np.float32) * 5
    options = SearchOptions(acoustic_scale=SCALE, **WIDE)
    beam = float(rng.uniform(0.5, 8))
    found = decode_lattice(graph, pdfs, loglikes, options, LatticeOptions(beam))
    expected = word_costs(graph, pdfs, loglikes)
    if not expected:
        assert found is None
        return
    path, lattice = found
    alone = search(graph, pdfs, loglikes, options)
    assert path.total_cost == alone.total_cost
    assert path.transition_ids.tolist() == alone.transition_ids.tolist()
    paths = n_best(lattice, 10_000, SCALE)
    assert paths[0].total_cost(SCALE) == pytest.approx(path.total_cost, rel=1e-5, abs=1e-4)
    best = min(expected.values())
    words = {other.words: other.total_cost(SCALE) for other in paths}
    assert all(len(other.transition_ids) == len(loglikes) for other in paths)
    if cyclic(graph):  # ways around a cycle of epsilons are not all there
        assert all(cost >= expected[other] - 1e-4 for other, cost in words.items())
        return
    assert words == pytest.approx({other: expected[other] for other in words}, rel=1e-5, abs=1e-4)
    assert all(cost > best + beam - 1e-4 for other, cost in expected.items() if other not in words)


def cyclic(graph):
    """Say whether the epsilon arcs make a cycle."""
    reach = np.zeros((graph.num_states,) * 2, bool)
    for state in range(graph.num_states):
        for arc in range(graph.eps_offsets[state], graph.arc_offsets[state + 1]):
            reach[state, graph.nextstate[arc]] = True
    for _ in range(graph.num_states):
        reach |= reach @ reach
    return reach.diagonal().any()


@pytest.mark.parametrize("seed", range(10))
def test_pruning_on_the_way_changes_nothing(seed, monkeypatch):
    rng = np.random.default_rng(100 + seed)
    graph, pdfs = random_graph(rng, 60, 400, 20)
    loglikes = rng.normal(size=(30, 20)).astype(np.float32) * 10
    options = SearchOptions(beam=10.0, acoustic_scale=1 / 12)
    # Constants are compiled in: the kernels run as Python here.
    for name in ("_start", "_advance"):
        monkeypatch.setattr(viterbi, name, getattr(viterbi, name).py_func)
    found = []
    for first_links in (1 << 20, 100):
        monkeypatch.setattr(viterbi, "FIRST_LINKS", first_links)
        found.append(search_alternatives(graph, pdfs, loglikes, options, 4.0)[1])
    for name in ("origin", "target", "arc", "acoustic", "final"):
        np.testing.assert_array_equal(getattr(found[0], name), getattr(found[1], name))
    assert np.all(found[0].origin < found[0].target)


def test_the_costs_of_two_words():
    graph, pdfs = chain(3)
    loglikes = np.array([[0, -1, -9], [0, -2, -9]], np.float32)
    _, lattice = decode_lattice(graph, pdfs, loglikes, SearchOptions(acoustic_scale=1.0),
                                LatticeOptions(4.0))
    first, second = n_best(lattice, 5)
    assert (first.words, first.acoustic_cost, first.graph_cost) == ((1,), 0.0, 1.25)
    assert (second.words, second.acoustic_cost, second.graph_cost) == ((2,), 3.0, 1.25)
    assert second.transition_ids.tolist() == [2, 2]
    _, narrow = decode_lattice(graph, pdfs, loglikes, SearchOptions(acoustic_scale=1.0),
                               LatticeOptions(2.0))
    assert [path.words for path in n_best(narrow, 5)] == [(1,)]


def test_no_frames_bad_beam_and_partial_results():
    graph, pdfs = chain(3)
    assert decode_lattice(graph, pdfs, np.zeros((0, 3), np.float32), SCALED,
                          LatticeOptions()) is None
    assert raw_lattice(graph, pdfs, np.zeros((3, 3), np.float32), SCALED,
                       LatticeOptions()) == (None, None)
    path, lattice = decode_lattice(graph, pdfs, np.zeros((1, 3), np.float32), SCALED,
                                   LatticeOptions())
    assert not path.complete
    assert {other.words for other in n_best(lattice, 9)} == {(1,), (2,), (3,)}
    with pytest.raises(UserError, match="lattice-beam is -1"):
        LatticeOptions(-1.0)
