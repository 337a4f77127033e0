"""Determinisation against enumeration of every path."""

import numpy as np
import pynini
import pytest
from helpers_lattice import all_paths, best_paths, random_lattice

from hybridasr.lattice.determinize import determinize_lattice
from hybridasr.lattice.lattice import Lattice
from hybridasr.lattice.shortest import costs_to_end


@pytest.mark.parametrize("seed", range(150))
def test_each_word_sequence_keeps_its_best_path(seed):
    rng = np.random.default_rng(seed)
    lattice = random_lattice(rng, int(rng.integers(2, 9)), int(rng.integers(1, 20)))
    scale = float(rng.choice([0.25, 0.5, 1.0]))
    expected = best_paths(lattice, scale)
    found = determinize_lattice(lattice, acoustic_scale=scale)
    paths = all_paths(found)
    # Deterministic: a sequence of words is there once, and no arc is without one.
    assert np.all(found.word > 0)
    pairs = list(zip(found.source, found.word, strict=True))
    assert len(set(pairs)) == len(pairs)
    assert {words: (graph + scale * acoustic, graph, acoustic, tids)
            for words, graph, acoustic, tids in paths} == expected
    assert len(paths) == len(expected)


@pytest.mark.parametrize("seed", range(60))
def test_pruning_keeps_what_is_within_the_beam(seed):
    rng = np.random.default_rng(1000 + seed)
    lattice = random_lattice(rng, 9, 24)
    expected = best_paths(lattice)
    if not expected:
        return
    best = min(path[0] for path in expected.values())
    beam = float(rng.integers(0, 6))
    found = {words: (graph + acoustic, graph, acoustic, tids)
             for words, graph, acoustic, tids in all_paths(determinize_lattice(lattice, beam))}
    kept = {words for words, path in expected.items() if path[0] <= best + beam}
    assert kept <= set(found)
    assert all(expected[words] == path for words, path in found.items())
    # Each arc is on a path within the beam, as far as the paths before it go.
    lattice = determinize_lattice(lattice, beam)
    arcs, ends = lattice.costs(1.0)
    onward = costs_to_end(lattice, *lattice.costs(1.0))[0]
    so_far = np.full(lattice.num_states, np.inf)
    so_far[0] = 0.0
    for arc, (source, target) in enumerate(zip(lattice.source, lattice.target, strict=True)):
        assert so_far[source] + arcs[arc] + onward[target] <= best + beam + 1e-5
        so_far[target] = min(so_far[target], so_far[source] + arcs[arc])


@pytest.mark.parametrize("seed", range(40))
def test_words_and_totals_are_openfsts(seed):
    rng = np.random.default_rng(2000 + seed)
    lattice = random_lattice(rng, 10, 25)
    fst = pynini.Fst()
    fst.add_states(lattice.num_states)
    fst.set_start(0)
    for arc in range(lattice.num_arcs):
        label = int(lattice.word[arc])
        cost = lattice.graph[arc] + lattice.acoustic[arc]
        fst.add_arc(int(lattice.source[arc]),
                    pynini.Arc(label, label, cost, int(lattice.target[arc])))
    for state in np.flatnonzero(np.isfinite(lattice.final_graph)):
        fst.set_final(int(state), lattice.final_graph[state])
    theirs = pynini.determinize(fst.rmepsilon())
    found = determinize_lattice(lattice)
    totals = {}
    ways = theirs.paths()
    while not ways.done():
        totals[tuple(ways.ilabels())] = float(ways.weight())
        ways.next()
    assert {words: graph + acoustic for words, graph, acoustic, _ in all_paths(found)} \
        == pytest.approx(totals)


def test_equal_futures_share_states():
    """Two first words with the same continuation: four sequences, three states."""
    source = np.array([0, 0, 1, 1], np.int32)
    target = np.array([1, 1, 2, 2], np.int32)
    lattice = Lattice(source, target, np.array([1, 2, 3, 4], np.int32), np.array([1.0, 2, 3, 4]),
                      np.zeros(4), np.array([np.inf, np.inf, 0.0]), np.zeros(3),
                      np.array([5, 6, 7, 8], np.int32))
    found = determinize_lattice(lattice)
    assert found.num_states == 3
    assert found.num_arcs == 4
    assert [string.tolist() for string in found.strings] == [[5], [6], [7], [8]]


def test_a_lattice_without_an_end_is_empty():
    lattice = Lattice(np.array([0], np.int32), np.array([1], np.int32), np.array([1], np.int32),
                      np.zeros(1), np.zeros(1), np.full(2, np.inf), np.zeros(2),
                      np.array([1], np.int32))
    assert determinize_lattice(lattice).num_states == 0
    assert determinize_lattice(lattice, beam=3.0).num_arcs == 0


def test_a_lattice_too_large_is_pruned_more(monkeypatch, caplog):
    rng = np.random.default_rng(5)
    lattice = random_lattice(rng, 40, 300, words=6, silent=0.2)
    monkeypatch.setattr("hybridasr.lattice.determinize.MAX_ELEMENTS", 60)
    found = determinize_lattice(lattice, beam=12.0)
    assert "narrowed" in caplog.text
    best = min(graph + acoustic for _, graph, acoustic, _ in all_paths(found))
    wide = determinize_lattice(lattice, beam=0.5)
    assert best == min(graph + acoustic for _, graph, acoustic, _ in all_paths(wide))
