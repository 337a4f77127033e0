"""Times of words on arcs against the best of all paths over each arc."""

from types import SimpleNamespace

import numpy as np
import pytest

from hybridasr.decode.arc_times import NEGLIGIBLE, arc_times
from hybridasr.lattice.lattice import CompactLattice
from hybridasr.lattice.mbr import decode_mbr

SILENCE = 1
PRONUNCIATIONS = {1: (2,), 2: (3, 2), 3: (2, 3), 4: (3,)}
LANG = SimpleNamespace(optional_silence=SILENCE, pronunciations={
    word: [(1.0, phones)] for word, phones in PRONUNCIATIONS.items()})


class Transitions:
    """Phone p begins with transition-id 2 p and goes on with 2 p + 1."""

    tid_phone = np.arange(8) // 2

    def phone_starts(self, tids):
        return np.flatnonzero(tids % 2 == 0)


def spoken(rng, words):
    """Transition-ids of words with silences between: (ids, [begin, end) of each word)."""
    tids, times = [], []
    for word in (*words, None):
        if rng.random() < 0.5:
            tids += [2 * SILENCE] + [2 * SILENCE + 1] * int(rng.integers(0, 3))
        begin = len(tids)
        for phone in PRONUNCIATIONS.get(word, ()):
            tids += [2 * phone] + [2 * phone + 1] * int(rng.integers(0, 3))
        times += [(begin, len(tids))] if word else []
    return np.array(tids, np.int32), times


def prefix_lattice(rng, sentences):
    """A deterministic lattice: strings lie as early as all that follows allows, as Kaldi's do.

    Returns the lattice and arc -> (cost, begin, end) of the best sentence over it.
    """
    paths = {words: (*spoken(rng, words), place * 1.7) for place, words
             in enumerate(sorted(sentences, key=lambda _: rng.random()))}
    states = sorted({words[:n] for words in paths for n in range(len(words) + 1)},
                    key=lambda words: (len(words), words))
    number = {words: place for place, words in enumerate(states)}

    def shared(prefix):
        strings = [tids for words, (tids, *_) in paths.items() if words[:len(prefix)] == prefix]
        first, length = strings[0], min(map(len, strings))
        same = [all((tids[:n] == first[:n]).all() for tids in strings) for n in range(length + 1)]
        return first[:max(n for n in range(length + 1) if same[n])] if prefix else first[:0]

    rows = sorted((number[words[:-1]], number[words], words[-1], words)
                  for words in states if words)
    strings = [shared(words)[len(shared(words[:-1])):] for *_, words in rows]
    finals, final_strings = np.full(len(states), np.inf), [np.empty(0, np.int32)] * len(states)
    for words, (tids, _, cost) in paths.items():
        finals[number[words]] = cost
        final_strings[number[words]] = tids[len(shared(words)):]
    expected = [min((cost, *times[len(prefix) - 1]) for words, (_, times, cost) in paths.items()
                    if words[:len(prefix)] == prefix) for *_, prefix in rows]
    zeros = np.zeros(len(rows))
    source, target, word = np.array([row[:3] for row in rows], np.int32).T
    return CompactLattice(source, target, word, zeros, zeros, finals, np.zeros(len(states)),
                          strings, final_strings), expected


@pytest.mark.parametrize("seed", range(40))
def test_each_arc_has_the_times_of_the_best_path_over_it(seed):
    rng = np.random.default_rng(seed)
    sentences = {tuple(rng.integers(1, 5, rng.integers(1, 5)).tolist())
                 for _ in range(int(rng.integers(1, 7)))}
    lattice, expected = prefix_lattice(rng, sentences)
    begins, ends = arc_times(lattice, Transitions(), LANG, 0.3)
    best = min(cost for cost, *_ in expected)
    for arc, (cost, begin, end) in enumerate(expected):
        if cost <= best + NEGLIGIBLE:
            assert (begins[arc], ends[arc]) == (begin, end)


def test_a_lone_word_has_its_own_frames():
    """Determinisation puts the whole file on its arc."""
    tids = np.array([2, 3, 3, 6, 7, 4, 5, 2, 3], np.int32)
    none = np.empty(0, np.int32)
    lattice = CompactLattice(np.array([0]), np.array([1]), np.array([2]), np.zeros(1), np.zeros(1),
                             np.array([np.inf, 0.0]), np.zeros(2), [tids], [none, none])
    assert decode_mbr(lattice).times == ((0.0, 9.0),)
    times = arc_times(lattice, Transitions(), LANG, 1.0)
    assert decode_mbr(lattice, times=times).times == ((3.0, 7.0),)


def test_words_that_do_not_match_keep_the_frames_of_their_states():
    none = np.empty(0, np.int32)
    lattice = CompactLattice(np.array([0]), np.array([1]), np.array([4]), np.zeros(1), np.zeros(1),
                             np.array([np.inf, 0.0]), np.zeros(2), [np.array([4, 5], np.int32)],
                             [none, none])
    begins, ends = arc_times(lattice, Transitions(), LANG, 1.0)
    assert (begins.tolist(), ends.tolist()) == ([0.0], [2.0])
    empty = CompactLattice(*(array[:0] for array in (
        lattice.source, lattice.target, lattice.word, lattice.graph, lattice.acoustic,
        lattice.final_graph, lattice.final_acoustic)), [], [])
    assert len(arc_times(empty, Transitions(), LANG, 1.0)[0]) == 0
