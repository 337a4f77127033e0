"""Growing of trees: splits and questions against brute force, merging, roots, a phone unseen."""

import itertools

import numpy as np
import pytest

from hybridasr.errors import UserError
from hybridasr.hmm.topology import make_topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.lang_files import Root
from hybridasr.tree.build import TreeOptions, grow_tree
from hybridasr.tree.questions import agglomerate, cluster_sets, phone_questions
from hybridasr.tree.stats import TreeStats, collect, frame_keys, loglike, merge
from hybridasr.tree.tree import (
    DecisionTree,
    Leaf,
    Split,
    allowed_tuples,
    leaves,
    monophone_tree,
    tree_from_dict,
)

PHONES = [2, 3, 4, 5]
TOPOLOGY = make_topology(PHONES, [1])


def gaussian_loglike(frames):
    """Log likelihood of frames under their own Gaussian, variances floored at 0.01."""
    if len(frames) == 0:
        return 0.0
    variance = np.maximum(frames.var(0), 0.01)
    return float((-0.5 * (np.log(2 * np.pi * variance)
                          + (frames - frames.mean(0)) ** 2 / variance)).sum())


@pytest.fixture(scope="module")
def spoken():
    """(keys, frames): triphones whose sound depends on the state and the left neighbour."""
    rng = np.random.default_rng(1)
    keys, frames = [], []
    for left, phone, right, state in itertools.product([0, *PHONES], PHONES, [0, *PHONES],
                                                       range(3)):
        count = int(rng.integers(3, 12))
        centre = np.array([3.0 * state, phone - (2.5 if left in (2, 3) else 0.0)])
        keys += [(left, phone, right, state)] * count
        frames.append(centre + rng.normal(size=(count, 2)))
    return np.array(keys, np.int32), np.concatenate(frames).astype(np.float32)


@pytest.fixture(scope="module")
def stats(spoken):
    return collect(*spoken)


QUESTIONS = [frozenset(q) for size in (1, 2, 3) for q in itertools.combinations(PHONES, size)]
ROOTS = [Root((1,)), Root((2, 3)), Root((4,)), Root((5,))]


def test_statistics_are_sums(spoken, stats):
    keys, frames = spoken
    for row, key in enumerate(stats.keys):
        mine = frames[(keys == key).all(1)].astype(float)
        np.testing.assert_allclose(stats.sums[row], np.concatenate(
            [[len(mine)], mine.sum(0), (mine**2).sum(0)]), rtol=1e-5)
    halves = merge([collect(keys[::2], frames[::2]), collect(keys[1::2], frames[1::2])])
    np.testing.assert_array_equal(halves.keys, stats.keys)
    np.testing.assert_allclose(halves.sums, stats.sums, rtol=1e-9)


def test_likelihood_is_that_of_the_frames(spoken, stats):
    keys, frames = spoken
    for row in (0, 5, 100):
        mine = frames[(keys == stats.keys[row]).all(1)].astype(float)
        assert loglike(stats.sums[row]) == pytest.approx(gaussian_loglike(mine), rel=1e-4)
    assert loglike(np.zeros(5)) == 0.0


def brute_force(keys, frames, numleaves, thresh):
    """Grow the same tree on the frames themselves, trying every question at every leaf."""
    groups = [np.isin(keys[:, 1], root.phones) for root in ROOTS]
    groups = [g for g in groups if g.any()]
    asked = []
    while len(groups) + 1 < numleaves:  # silence has a root, too
        best = (thresh, None)
        for number, group in enumerate(groups):
            whole = gaussian_loglike(frames[group])
            tries = [(-1, frozenset(range(k))) for k in range(1, 5)]
            tries += [(key, question) for key in range(3) for question in QUESTIONS]
            for key, question in tries:
                yes = group & np.isin(keys[:, key], list(question))
                no = group & ~yes
                if yes.any() and no.any():
                    gain = gaussian_loglike(frames[yes]) + gaussian_loglike(frames[no]) - whole
                    if gain > best[0] + 1e-6:
                        best = (gain, (number, yes, no))
        if best[1] is None:
            break
        number, yes, no = best[1]
        groups[number:number + 1] = [yes, no]
        asked.append(best[0])
    return groups, asked


@pytest.mark.parametrize("numleaves", [6, 10, 16])
def test_splits_are_those_of_brute_force(spoken, stats, numleaves):
    keys, frames = spoken
    options = TreeOptions(numleaves=numleaves, thresh=1.0, cluster_thresh=0)
    grown = grow_tree(stats, ROOTS, QUESTIONS, TOPOLOGY, options)
    groups, asked = brute_force(keys, frames.astype(float), numleaves, 1.0)
    assert grown.num_split == len(groups) + 1
    ours = {tuple(sorted(np.flatnonzero([grown.tree.pdf(tuple(k[:3]), k[3]) == pdf
                                         for k in keys.tolist()])))
            for pdf in range(grown.tree.num_pdfs)} - {()}
    assert ours == {tuple(np.flatnonzero(group)) for group in groups}
    assert grown.gain * len(keys) == pytest.approx(sum(asked), rel=1e-3)


def test_sums_are_those_of_the_leaves(spoken, stats):
    keys, frames = spoken
    grown = grow_tree(stats, ROOTS, QUESTIONS, TOPOLOGY, TreeOptions(numleaves=12, thresh=5.0))
    pdfs = np.array([grown.tree.pdf(tuple(k[:3]), k[3]) for k in keys.tolist()])
    for pdf in range(grown.tree.num_pdfs):
        np.testing.assert_allclose(grown.sums[pdf, 0], (pdfs == pdf).sum())
        np.testing.assert_allclose(grown.sums[pdf, 1:3], frames[pdfs == pdf].sum(0), rtol=1e-3,
                                   atol=1e-3)


def test_merging_loses_less_than_the_smallest_split(stats):
    apart = grow_tree(stats, ROOTS, QUESTIONS, TOPOLOGY,
                      TreeOptions(numleaves=60, thresh=1.0, cluster_thresh=0))
    merged = grow_tree(stats, ROOTS, QUESTIONS, TOPOLOGY,
                       TreeOptions(numleaves=60, thresh=1.0, cluster_thresh=20.0))
    assert merged.num_split == apart.num_split
    assert merged.tree.num_pdfs < apart.tree.num_pdfs
    assert merged.gain < apart.gain
    # Leaves of different roots stay apart.
    for phone, other in ((2, 4), (4, 5), (3, 5)):
        mine, theirs = ({pdf for p, _, pdf in allowed_tuples(merged.tree, TOPOLOGY) if p == q}
                        for q in (phone, other))
        assert not mine & theirs


def test_roots_keep_states_apart_or_whole(stats):
    roots = [Root((1,), False, False), Root((2, 3), False, False), Root((4,), False, True),
             Root((5,))]
    grown = grow_tree(stats, roots, QUESTIONS, TOPOLOGY,
                      TreeOptions(numleaves=40, thresh=1.0, cluster_thresh=0))
    by_phone = {p: {} for p in (1, *PHONES)}
    for phone, state, pdf in allowed_tuples(grown.tree, TOPOLOGY):
        by_phone[phone].setdefault(state, set()).add(pdf)
    assert [len(by_phone[2][state]) for state in range(3)] == [1, 1, 1]
    assert by_phone[2] == by_phone[3]
    assert len(by_phone[1]) == 5
    assert all(len(by_phone[1][state]) == 1 for state in range(5))
    for first, second in itertools.combinations(range(3), 2):
        assert not by_phone[4][first] & by_phone[4][second]
    assert sum(map(len, by_phone[4].values())) > 3


@pytest.mark.parametrize("width", [1, 2])
def test_narrower_windows(spoken, width):
    keys, frames = spoken
    narrow = keys[:, [1, 3]] if width == 1 else keys[:, [0, 1, 3]]
    grown = grow_tree(collect(narrow, frames), ROOTS, QUESTIONS, TOPOLOGY,
                      TreeOptions(numleaves=30, thresh=1.0, context_width=width))
    assert grown.tree.context_width == width
    assert grown.tree.central_position == width // 2
    # Only the left neighbour matters to these sounds.
    windows = {(2, 4), (5, 4)} if width == 2 else {(4,)}
    assert len({grown.tree.pdf(w, 1) for w in windows}) == len(windows)


def test_fewer_leaves_than_roots_is_said(stats, caplog):
    grown = grow_tree(stats, ROOTS, QUESTIONS, TOPOLOGY, TreeOptions(numleaves=1, thresh=1.0))
    assert f"numleaves is 1, but the roots of the tree alone are {grown.num_split}" in caplog.text
    caplog.clear()
    grow_tree(stats, ROOTS, QUESTIONS, TOPOLOGY, TreeOptions(numleaves=60, thresh=1.0))
    assert not caplog.records


def test_a_phone_never_seen_has_a_pdf(stats):
    grown = grow_tree(stats, ROOTS, QUESTIONS, TOPOLOGY, TreeOptions(numleaves=20, thresh=1.0))
    silent = {pdf for phone, _, pdf in allowed_tuples(grown.tree, TOPOLOGY) if phone == 1}
    assert len(silent) == 1
    assert grown.sums[silent.pop()].sum() == 0.0


def test_roots_that_do_not_fit(stats):
    with pytest.raises(UserError, match=r"phone 5 is missing; mend phones/roots.int"):
        grow_tree(stats, ROOTS[:-1], QUESTIONS, TOPOLOGY, TreeOptions())
    with pytest.raises(UserError, match="phone 4 is there twice"):
        grow_tree(stats, [*ROOTS, Root((4,))], QUESTIONS, TOPOLOGY, TreeOptions())
    with pytest.raises(UserError, match="share a root but not a topology"):
        grow_tree(stats, [Root((1, 2), False), *ROOTS[2:], Root((3,))], QUESTIONS, TOPOLOGY,
                  TreeOptions())


def test_least_count_and_least_gain(stats):
    options = TreeOptions(numleaves=100, thresh=0.0, cluster_thresh=0, min_count=150)
    grown = grow_tree(stats, ROOTS, QUESTIONS, TOPOLOGY, options)
    assert (grown.sums[:, 0][grown.sums[:, 0] > 0] >= 150).all()
    stumps = grow_tree(stats, ROOTS, QUESTIONS, TOPOLOGY, TreeOptions(thresh=1e9))
    assert stumps.tree.num_pdfs == len(ROOTS)
    with pytest.raises(UserError, match="context-width is 4"):
        TreeOptions(context_width=4)


def test_questions_by_clustering(stats):
    sums = np.array([[10.0, 10 * m, 10 * (m * m + 1)] for m in (0.0, 5.0, 0.2, 5.3, 90.0)])
    found = cluster_sets([(2,), (3,), (4,), (5,), (6,)], sums)
    assert found[5:] == [frozenset({2, 4}), frozenset({3, 5}), frozenset({2, 3, 4, 5}),
                         frozenset({2, 3, 4, 5, 6})]
    asked = phone_questions(stats, 1, [(p,) for p in PHONES], [(2, 5), ()])
    assert asked[0] == frozenset({2, 5})
    assert len(asked) == len(set(asked))
    assert frozenset(PHONES) not in asked
    assert all(frozenset({p}) in asked for p in PHONES)


def test_clusters_merge_in_the_order_of_their_loss():
    rng = np.random.default_rng(0)
    frames = [rng.normal(size=(20, 3)) + 3 * rng.normal(size=3) for _ in range(6)]
    sums = np.stack([np.concatenate([[20.0], f.sum(0), (f**2).sum(0)]) for f in frames])
    groups = [[i] for i in range(6)]
    for kept, gone, loss in agglomerate(sums):
        def cost(pair):
            parts = [np.concatenate([frames[i] for i in g]) for g in pair]
            return sum(map(gaussian_loglike, parts)) - gaussian_loglike(np.concatenate(parts))
        alive = [g for g in groups if g]
        cheapest = min(map(cost, itertools.combinations(alive, 2)))
        assert loss == pytest.approx(cost((groups[kept], groups[gone])), rel=1e-6)
        assert loss == pytest.approx(cheapest, rel=1e-6)
        groups[kept] += groups[gone]
        groups[gone] = []
    assert sorted(groups[0]) == list(range(6))


def test_windows_of_an_alignment():
    tree = monophone_tree([[1], [2], [3]], make_topology([2, 3], [1]))
    model = TransitionModel(make_topology([2, 3], [1]),
                            allowed_tuples(tree, make_topology([2, 3], [1])))
    ids, wanted = [], []
    said = [2, 3, 3, 2]
    for place, phone in enumerate(said):
        left = said[place - 1] if place else 0
        right = said[place + 1] if place + 1 < len(said) else 0
        for state in range(3):
            tstate = model.transition_state(phone, state, tree.pdf((phone,), state))
            forward = next(t for t in model.tids(tstate) if not model.tid_is_self_loop[t])
            for tid in [forward] + [model.self_loop(tstate)] * (place % 3):
                ids.append(tid)
                wanted.append([left, phone, right, state])
    ids = np.array(ids, np.int32)
    np.testing.assert_array_equal(frame_keys(ids, model, 3, 1, []), wanted)
    alone = [[0, p, 0, s] if p == 3 else [a, p, b, s] for a, p, b, s in wanted]
    np.testing.assert_array_equal(frame_keys(ids, model, 3, 1, [3]), alone)


def test_round_trip_and_leaves(stats):
    grown = grow_tree(stats, ROOTS, QUESTIONS, TOPOLOGY, TreeOptions(numleaves=20, thresh=1.0))
    assert tree_from_dict(grown.tree.to_dict()) == grown.tree
    assert {leaf.pdf for leaf in leaves(grown.tree.root)} == set(range(grown.tree.num_pdfs))


def test_a_window_of_another_width():
    tree = DecisionTree(3, 1, 2, Split(0, frozenset({2}), Leaf(0), Leaf(1)))
    assert tree.pdf((2, 3, 4), 0) == 0
    assert tree.pdf((3, 3, 4), 0) == 1
    with pytest.raises(UserError, match="has 1 phones, the tree's have 3"):
        tree.pdf((2,), 0)
    assert isinstance(collect(np.zeros((0, 4), np.int32), np.zeros((0, 2), np.float32)), TreeStats)
