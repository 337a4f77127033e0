"""Minimum Bayes risk against expected edit distances counted path by path."""

import itertools

import numpy as np
import pytest
from helpers_lattice import compact
from test_paths import edit_distance

from hybridasr.lattice.mbr import decode_mbr


def random_paths(rng, count, longest=3, words=3):
    """Different word sequences with costs."""
    every = [words_ for length in range(longest + 1)
             for words_ in itertools.product(range(1, words + 1), repeat=length)]
    chosen = rng.choice(len(every), count, replace=False)
    return [(every[i], float(rng.random() * 3)) for i in chosen]


def expected_errors(paths, words):
    shares = np.exp([-cost for _, cost in paths])
    shares /= shares.sum()
    return sum(share * edit_distance(other, words)
               for share, (other, _) in zip(shares, paths, strict=True))


@pytest.mark.parametrize("seed", range(60))
def test_expected_errors_where_no_paths_meet(seed):
    """Over separate paths the recursion is exact."""
    rng = np.random.default_rng(seed)
    paths = random_paths(rng, int(rng.integers(1, 8)))
    lattice = compact(paths)
    for words in ((), (1,), (1, 2), (2, 2, 3)):
        found = decode_mbr(lattice, words=words)
        assert found.words == words
        assert found.expected_errors == pytest.approx(expected_errors(paths, words), abs=1e-3)
    best = decode_mbr(lattice)
    assert best.expected_errors == pytest.approx(expected_errors(paths, best.words), abs=1e-3)
    # Never worse than the likeliest path, where it starts.
    assert best.expected_errors <= expected_errors(paths, min(paths, key=lambda p: p[1])[0]) + 1e-3


def test_decisions_are_near_the_best_of_all():
    """The steps reach a local optimum: more than half of what there is to win is won."""
    likeliest = found = least = 0.0
    for seed in range(60):
        paths = random_paths(np.random.default_rng(seed), 6)
        candidates = [words for length in range(4)
                      for words in itertools.product(range(1, 4), repeat=length)]
        least += min(expected_errors(paths, words) for words in candidates)
        likeliest += expected_errors(paths, min(paths, key=lambda path: path[1])[0])
        found += expected_errors(paths, decode_mbr(compact(paths)).words)
    assert likeliest - found > 0.5 * (likeliest - least)


def test_the_majority_wins_over_the_best_path():
    # The best path has probability 0.4, but its second word only that, too.
    paths = [((1, 2), -np.log(0.4)), ((1, 3), -np.log(0.3)), ((4, 3), -np.log(0.3))]
    found = decode_mbr(compact(paths))
    assert found.words == (1, 3)
    assert found.confidences == pytest.approx((0.7, 0.6), abs=1e-4)
    assert found.expected_errors == pytest.approx(0.7, abs=1e-3)
    assert [dict(position.words) for position in found.positions] == [
        pytest.approx({1: 0.7, 4: 0.3}, abs=1e-4), pytest.approx({3: 0.6, 2: 0.4}, abs=1e-4)]
    np.testing.assert_allclose(found.times, [(0, 1), (1, 2)], rtol=0, atol=1e-9)
    fixed = decode_mbr(compact(paths), words=(1, 2))
    assert fixed.confidences == pytest.approx((0.7, 0.4), abs=1e-4)


def test_a_word_that_may_be_missing():
    paths = [((1, 2), -np.log(0.7)), ((1,), -np.log(0.3))]
    found = decode_mbr(compact(paths))
    assert found.words == (1, 2)
    assert found.confidences == pytest.approx((1.0, 0.7), abs=1e-4)
    assert dict(found.positions[1].words) == pytest.approx({2: 0.7, 0: 0.3}, abs=1e-4)
    silent = decode_mbr(compact([((), 0.5), ((1,), 3.0)]))
    assert silent.words == ()
    assert dict(silent.positions[0].words)[0] == pytest.approx(1 / (1 + np.exp(-2.5)), abs=1e-4)


def test_words_that_the_lattice_has_not():
    found = decode_mbr(compact([((1,), 0.0)]), words=(9,))
    assert found.words == (9,)
    assert found.confidences == (0.0,)
    assert found.expected_errors == pytest.approx(1.0)


def test_no_path():
    lattice = compact([((1,), np.inf)])
    assert decode_mbr(lattice) is None
