"""Determinisation and minimisation against all paths of an automaton."""

from collections import Counter

import numpy as np
import pytest

from hybridasr.graph.automata import determinize, minimize
from hybridasr.graph.openfst import FlatFst


def random_fst(seed, num_states=9, num_labels=2, share=0.4):
    """A loop-free automaton with few labels, so that much is alike; every state can be reached."""
    rng = np.random.default_rng(seed)
    pairs = [(s, t) for s in range(num_states) for t in range(s + 1, num_states)
             if t == s + 1 or rng.random() < share for _ in range(2)]
    source, target = np.array(pairs).T
    final = np.where(rng.random(num_states) < 0.3, rng.integers(0, 2, num_states), np.inf)
    final[-1] = 0.5
    size = len(source)
    return FlatFst.from_arcs(0, source, rng.integers(0, num_labels + 1, size),
                             rng.integers(0, 2, size), rng.choice([0.0, 0.25], size), target,
                             final)


def paths(fst):
    """Return {symbols of a path: least final cost}."""
    found = {}
    stack = [(fst.start, ())]
    while stack:
        state, symbols = stack.pop()
        if np.isfinite(fst.final[state]):
            found[symbols] = min(found.get(symbols, np.inf), float(fst.final[state]))
        stack += [(int(fst.nextstate[arc]),
                   (*symbols, (int(fst.ilabel[arc]), int(fst.olabel[arc]),
                               float(fst.weight[arc]))))
                  for arc in range(fst.arc_offsets[state], fst.arc_offsets[state + 1])]
    return found


def smallest(said):
    """Number of different ways to go on (Myhill and Nerode), of the paths as `paths` gives them."""
    ways = {}
    for symbols, cost in said.items():
        for length in range(len(symbols) + 1):
            ways.setdefault(symbols[:length], set()).add((symbols[length:], cost))
    return len(set(map(frozenset, ways.values())))


@pytest.mark.parametrize("seed", range(30))
def test_paths_stay_and_the_result_is_the_smallest(seed):
    fst = random_fst(seed)
    expected = paths(fst)
    wide, offsets, members = determinize(fst)
    symbols = Counter(zip(wide.source.tolist(), wide.ilabel.tolist(), wide.olabel.tolist(),
                          wide.weight.tolist(), strict=True))
    assert max(symbols.values()) == 1
    assert paths(wide) == expected
    assert members[offsets[0]:offsets[1]].tolist() == [fst.start]
    # A state stands for those that the same symbols lead to.
    for arc in range(wide.num_arcs):
        symbol = wide.ilabel[arc], wide.olabel[arc], wide.weight[arc]
        state, after = wide.source[arc], wide.nextstate[arc]
        reached = {int(fst.nextstate[a]) for m in members[offsets[state]:offsets[state + 1]]
                   for a in range(fst.arc_offsets[m], fst.arc_offsets[m + 1])
                   if (fst.ilabel[a], fst.olabel[a], fst.weight[a]) == symbol}
        assert sorted(reached) == members[offsets[after]:offsets[after + 1]].tolist()
    small = minimize(wide)
    assert paths(small) == expected
    assert small.num_states == smallest(expected)
    again = minimize(fst)  # not deterministic: the paths stay all the same
    assert paths(again) == expected
    assert again.num_states <= fst.num_states


def test_tables_that_grow():
    """Random words of eight letters of four: a trie of thousands of states, and its ends."""
    rng = np.random.default_rng(0)
    words = {tuple(word) for word in rng.integers(1, 5, (4000, 8)).tolist()}
    rows = np.array(sorted(words))
    inner = 1 + np.arange(7 * len(rows)).reshape(len(rows), 7)
    end = inner.max() + 1
    source = np.column_stack([np.zeros(len(rows), int), inner]).ravel()
    target = np.column_stack([inner, np.full(len(rows), end)]).ravel()
    final = np.full(end + 1, np.inf)
    final[end] = 0.0
    nothing = np.zeros(rows.size)
    chains = FlatFst.from_arcs(0, source, rows.ravel(), nothing, nothing, target, final)
    trie = determinize(chains)[0]
    beginnings = {word[:length] for word in words for length in range(8)}
    assert trie.num_states == len(beginnings) + 1
    small = minimize(trie)
    assert small.num_states == smallest(dict.fromkeys(words, 0.0))
    assert {tuple(label for label, _, _ in path) for path in paths(small)} == words


def test_cycles_are_refused():
    ring = FlatFst.from_arcs(0, [0, 1, 1], [1, 2, 3], [0, 0, 0], [0.0, 0.0, 0.0], [1, 0, 2],
                             [np.inf, np.inf, 0.0])
    assert determinize(ring)[0].num_states == 3
    with pytest.raises(ValueError, match="a cycle"):
        minimize(ring)
