"""N best paths, oracle paths and posteriors against enumeration of every path."""

import numpy as np
import pytest
from helpers_lattice import all_paths, best_paths, compact, random_lattice
from scipy.special import logsumexp

from hybridasr.lattice.determinize import determinize_lattice
from hybridasr.lattice.lattice import CompactLattice
from hybridasr.lattice.paths import n_best, oracle
from hybridasr.lattice.posteriors import forward_backward, word_posteriors


def edit_distance(one, other):
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            before, row[j] = row[j], min(before + (a != b), row[j] + 1, row[j - 1] + 1)
    return row[-1]


def nondeterministic(rng):
    """A compact lattice with arcs without words and several paths of the same words."""
    raw = random_lattice(rng, 7, 16)
    strings = [np.full(int(tid > 0), tid, np.int32) for tid in raw.tid]
    return CompactLattice(raw.source, raw.target, raw.word, raw.graph, raw.acoustic,
                          raw.final_graph, raw.final_acoustic, strings,
                          [np.empty(0, np.int32)] * raw.num_states)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("make", [nondeterministic,
                                  lambda rng: determinize_lattice(random_lattice(rng, 8, 20))])
def test_n_best_are_the_best_of_each_word_sequence(seed, make):
    lattice = make(np.random.default_rng(seed))
    scale = 0.5
    expected = best_paths(lattice, scale)
    totals = sorted((path[0], words) for words, path in expected.items())
    for count in (1, 4, 10_000):
        found = n_best(lattice, count, scale)
        assert [(path.total_cost(scale), path.words) for path in found] == totals[:count]
    for path in found:
        total, graph, acoustic, tids = expected[path.words]
        assert path.graph_cost + scale * path.acoustic_cost == total
        assert (path.words, path.graph_cost, path.acoustic_cost, tuple(path.transition_ids)) in \
            all_paths(lattice)


@pytest.mark.parametrize("seed", range(40))
def test_oracle_is_the_nearest_path(seed):
    rng = np.random.default_rng(seed)
    for lattice in (nondeterministic(rng), determinize_lattice(random_lattice(rng, 9, 25))):
        reference = tuple(rng.integers(1, 4, rng.integers(0, 5)).tolist())
        sequences = {path[0] for path in all_paths(lattice)}
        found = oracle(lattice, reference)
        if not sequences:
            assert found is None
            continue
        assert found.errors == min(edit_distance(words, reference) for words in sequences)
        assert found.words in sequences
        assert edit_distance(found.words, reference) == found.errors


@pytest.mark.parametrize("seed", range(20))
def test_posteriors_sum_over_paths(seed):
    rng = np.random.default_rng(seed)
    lattice, scale = nondeterministic(rng), 0.7
    paths = all_paths(lattice)
    arcs, ends, total = forward_backward(lattice, scale)
    if not paths:
        assert total == -np.inf
        assert not arcs.any()
        return
    logs = np.array([-graph - scale * acoustic for _, graph, acoustic, _ in paths])
    assert total == pytest.approx(logsumexp(logs), rel=1e-12)
    shares = np.exp(logs - logsumexp(logs))
    expected = {word: sum(share * words.count(word)
                          for share, (words, *_) in zip(shares, paths, strict=True))
                for word in {word for words, *_ in paths for word in words}}
    found = word_posteriors(lattice, scale)
    assert {word: found[word] for word in expected} == pytest.approx(expected, rel=1e-9)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert ends.sum() == pytest.approx(1.0)
    # What flows in flows out.
    flow_in = np.bincount(lattice.target, arcs, minlength=lattice.num_states)
    flow_out = np.bincount(lattice.source, arcs, minlength=lattice.num_states)
    np.testing.assert_allclose((flow_in - flow_out - ends)[1:], 0, rtol=0, atol=1e-12)


def test_empty_lattices():
    nothing = compact([])
    nothing = CompactLattice(*(getattr(nothing, name)[:0] for name in (
        "source", "target", "word", "graph", "acoustic", "final_graph", "final_acoustic")), [], [])
    assert n_best(nothing, 3) == []
    assert oracle(nothing, [1]) is None
    assert forward_backward(nothing)[2] == -np.inf


def test_an_utterance_without_words():
    lattice = compact([((), 1.0), ((1,), 2.0)])
    assert [path.words for path in n_best(lattice, 5)] == [(), (1,)]
    assert oracle(lattice, []).errors == 0
    assert oracle(lattice, [2, 1]).words == (1,)
