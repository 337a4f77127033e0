"""The search of the first stage against all paths, one by one; cuts; what it refuses."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridasr.wake.phrase_search import Hit, PhraseSearch

CHAINS = [(0, [1, 2]), (0, [1, 3, 2]), (1, [2, 0])]


def best_paths(scores, columns):
    """For each last frame (sum, begin) of the best way through the states, over all of them."""
    found = []
    for end in range(1, len(scores) + 1):
        ways = []
        for begin in range(end - len(columns) + 1):
            for joints in itertools.combinations(range(begin + 1, end), len(columns) - 1):
                cuts = (begin, *joints, end)
                ways.append((sum(scores[a:b, column].sum() for a, b, column in zip(
                    cuts[:-1], cuts[1:], columns, strict=True)), begin))
        found.append(max(ways, default=(-np.inf, 0)))
    return found


def expected(scores, least, settle):
    """Hits by the rule: the best of a phrase, once nothing better has come for a while."""
    paths = [(phrase, best_paths(scores, columns)) for phrase, columns in CHAINS]
    best, hits = {}, []
    for frame in range(len(scores)):
        for phrase, way in paths:
            total, begin = way[frame]
            score = total / (frame + 1 - begin)
            if score >= least and score > best.get(phrase, Hit(0, 0, 0, -np.inf)).score:
                best[phrase] = Hit(phrase, begin, frame + 1, score)
        for phrase in sorted(best):
            if frame + 1 - best[phrase].end >= settle:
                hits.append(best.pop(phrase))
    return hits, [best[phrase] for phrase in sorted(best)]


def places(hits):
    return [hit[:3] for hit in hits]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), settle=st.integers(1, 4), least=st.sampled_from([-9.0, -1.0]),
       cuts=st.lists(st.integers(0, 12), max_size=4).map(sorted))
def test_hits_are_those_of_all_paths(seed, settle, least, cuts):
    scores = -np.random.default_rng(seed).exponential(size=(12, 4)).astype(np.float32)
    search = PhraseSearch(CHAINS, least, settle)
    found = [hit for part in np.split(scores, cuts) for hit in search.accept(part)]
    hits, last = expected(scores.astype(np.float64), least, settle)
    assert places(found) == places(hits)
    assert np.allclose([hit.score for hit in found], [hit.score for hit in hits])
    assert places(search.finish()) == places(last)
    assert search.num_frames == 12


def test_nothing_like_the_phrase_gives_nothing():
    search = PhraseSearch(CHAINS, -2.0, 3)
    assert search.accept(np.full((50, 4), -3.0, np.float32)) == []
    assert search.finish() == []


def test_what_it_refuses():
    with pytest.raises(ValueError, match="without states"):
        PhraseSearch([(0, [])], -1.0, 3)
    with pytest.raises(ValueError, match="column 3"):
        PhraseSearch(CHAINS, -1.0, 3).accept(np.zeros((4, 3), np.float32))
