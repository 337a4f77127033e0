"""Criteria of lattices against the enumeration of all paths, and against finite differences."""

from dataclasses import replace

import numpy as np
import pytest

from hybridasr.nnet.loss import log_softmax
from hybridasr.sequence.criteria import Reading, Units, expected_accuracy, mmi
from hybridasr.sequence.state_lattice import StateLattice

# Six transition-ids of four pdfs and three phones; phone 1 is silence, 4 and 5 share a pdf.
UNITS = Units(np.array([-1, 0, 0, 1, 2, 2, 3], np.int32), np.array([0, 1, 1, 2, 2, 3, 3], np.int32),
              np.array([False, True, True, False, False, False, False]))
NUM_PDFS, SCALE = 4, 0.3


def random_lattice(seed, num_frames=5, width=3):
    """A lattice of `width` states a frame, with random arcs, some of them epsilon."""
    rng = np.random.default_rng(seed)
    states = [[0]] + [[1 + width * t + i for i in range(width)] for t in range(num_frames)]
    last = 1 + width * num_frames
    arcs = []
    for t in range(num_frames):
        for target in states[t + 1]:
            for source in rng.choice(states[t], min(len(states[t]), 2), replace=False):
                for tid in rng.choice(6, 1 + rng.integers(2), replace=False) + 1:
                    arcs.append((source, target, tid, rng.normal()))
        # An epsilon arc between the states of one frame, always to a later one.
        arcs.append((states[t + 1][0], states[t + 1][-1], 0, rng.normal()))
    arcs += [(state, last, 0, rng.normal()) for state in states[-1]]
    # Every state must be reached, or its arcs are no part of the lattice.
    reached, kept = {0}, []
    for arc in sorted(arcs, key=lambda arc: arc[0]):
        if arc[0] in reached:
            reached.add(arc[1])
            kept.append(arc)
    source, target, tid, cost = zip(*kept, strict=True)
    return StateLattice(np.array(source, np.int32), np.array(target, np.int32),
                        np.array(tid, np.int32), np.array(cost, np.float32), last + 1)


def all_paths(lattice):
    """Every path as a list of arcs: the plain way."""
    paths, waiting = [], [(0, [])]
    while waiting:
        state, arcs = waiting.pop()
        if state == lattice.num_states - 1:
            paths.append(arcs)
        for arc in np.flatnonzero(lattice.source == state):
            waiting.append((lattice.target[arc], [*arcs, arc]))
    return paths


def enumerate_paths(lattice, loglikes, bonus=lambda tid, frame: 0.0):
    """Return (log weights of all paths, their transition-ids by frame)."""
    weights, strings = [], []
    for arcs in all_paths(lattice):
        tids = [int(lattice.tid[arc]) for arc in arcs if lattice.tid[arc]]
        weight = -sum(float(lattice.cost[arc]) for arc in arcs)
        weight += sum(SCALE * float(loglikes[t, UNITS.pdf[tid]]) + bonus(tid, t)
                      for t, tid in enumerate(tids))
        weights.append(weight)
        strings.append(tids)
    return np.array(weights), strings


def draw(seed, num_frames=5):
    rng = np.random.default_rng([seed, 1])
    return (random_lattice(seed, num_frames),
            log_softmax(3 * rng.normal(size=(num_frames, NUM_PDFS)).astype(np.float32)),
            rng.integers(1, 7, num_frames).astype(np.int32))


@pytest.mark.parametrize("boost", [0.0, 0.7])
@pytest.mark.parametrize("seed", range(6))
def test_mmi_is_what_all_paths_give(seed, boost):
    lattice, loglikes, alignment = draw(seed)
    got = mmi(Reading.of(lattice, UNITS), loglikes, alignment, UNITS, SCALE, boost, reject=False)

    def bonus(tid, t):
        return boost * (UNITS.phone[tid] != UNITS.phone[alignment[t]] and not UNITS.silent[tid])

    weights, strings = enumerate_paths(lattice, loglikes, bonus)
    total = np.logaddexp.reduce(weights)
    expected = SCALE * loglikes[np.arange(5), UNITS.pdf[alignment]].sum() - total
    assert got.value == pytest.approx(expected, rel=1e-5)
    slopes = np.zeros((5, NUM_PDFS))
    for share, tids in zip(np.exp(weights - total), strings, strict=True):
        slopes[np.arange(5), UNITS.pdf[tids]] -= SCALE * share
    slopes[np.arange(5), UNITS.pdf[alignment]] += SCALE
    np.testing.assert_allclose(got.gradient, slopes, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("one_class", [True, False])
@pytest.mark.parametrize("kind", ["mpfe", "smbr"])
@pytest.mark.parametrize("seed", range(4))
def test_expected_accuracy_is_what_all_paths_give(seed, kind, one_class):
    lattice, loglikes, alignment = draw(seed)
    got = expected_accuracy(Reading.of(lattice, UNITS), loglikes, alignment, UNITS, SCALE, kind,
                            one_class)
    weights, strings = enumerate_paths(lattice, loglikes)
    shares = np.exp(weights - np.logaddexp.reduce(weights))

    def right(tid, aligned):
        unit = UNITS.pdf if kind == "smbr" else UNITS.phone
        if one_class:
            return unit[tid] == unit[aligned] or (UNITS.silent[tid] and UNITS.silent[aligned])
        return unit[tid] == unit[aligned] and not UNITS.silent[tid]

    counts = np.array([sum(map(right, tids, alignment)) for tids in strings], float)
    mean = shares @ counts
    assert got.value == pytest.approx(mean, rel=1e-6)
    slopes = np.zeros((5, NUM_PDFS))
    for share, count, tids in zip(shares, counts, strings, strict=True):
        slopes[np.arange(5), UNITS.pdf[tids]] += SCALE * share * (count - mean)
    np.testing.assert_allclose(got.gradient, slopes, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["mmi", "bmmi", "mpfe", "smbr"])
def test_gradient_through_log_softmax_by_finite_differences(name):
    lattice, _, alignment = draw(11)
    reading = Reading.of(lattice, UNITS)
    logits = np.random.default_rng(5).normal(size=(5, NUM_PDFS))

    def criterion(values):
        loglikes = log_softmax(values.astype(np.float32))
        if name in ("mpfe", "smbr"):
            return expected_accuracy(reading, loglikes, alignment, UNITS, SCALE, name)
        return mmi(reading, loglikes, alignment, UNITS, SCALE, 0.4 * (name == "bmmi"), False)

    slopes = criterion(logits).gradient.astype(np.float64)
    slopes -= np.exp(log_softmax(logits)) * slopes.sum(axis=1, keepdims=True)
    step = 0.03  # float32 log likelihoods: a smaller one drowns in rounding
    for place in np.ndindex(logits.shape):
        ahead, behind = logits.copy(), logits.copy()
        ahead[place] += step
        behind[place] -= step
        difference = (criterion(ahead).value - criterion(behind).value) / (2 * step)
        assert slopes[place] == pytest.approx(difference, abs=3e-4), place


def test_slopes_of_a_frame_sum_to_nothing():
    lattice, loglikes, alignment = draw(3)
    reading = Reading.of(lattice, UNITS)
    for got in (mmi(reading, loglikes, alignment, UNITS, SCALE, reject=False),
                expected_accuracy(reading, loglikes, alignment, UNITS, SCALE)):
        np.testing.assert_allclose(got.gradient.sum(axis=1), 0, rtol=0, atol=1e-6)


def chain(*tids):
    """A lattice of one path."""
    n = len(tids)
    return StateLattice(np.arange(n, dtype=np.int32), np.arange(1, n + 1, dtype=np.int32),
                        np.array(tids, np.int32), np.zeros(n, np.float32), n + 1)


def test_frames_whose_aligned_pdf_the_lattice_lacks_are_rejected():
    reading, loglikes = Reading.of(chain(1, 3, 4), UNITS), np.zeros((3, NUM_PDFS), np.float32)
    alignment = np.array([1, 6, 4], np.int32)
    got = mmi(reading, loglikes, alignment, UNITS, SCALE)
    assert got.rejected == 1
    assert not got.gradient.any()
    kept = mmi(reading, loglikes, alignment, UNITS, SCALE, reject=False)
    assert kept.rejected == 0
    np.testing.assert_allclose(kept.gradient[1], [0, -SCALE, 0, SCALE], rtol=1e-6, atol=0)


def test_of_a_single_path_all_is_certain():
    reading, loglikes = Reading.of(chain(1, 3, 5), UNITS), np.zeros((3, NUM_PDFS), np.float32)
    # 2 is silence as 1 is; 5 has the pdf of 4, which is another phone.
    alignment = np.array([2, 3, 4], np.int32)
    values = {(kind, one): expected_accuracy(reading, loglikes, alignment, UNITS, SCALE, kind,
                                             one).value
              for kind in ("mpfe", "smbr") for one in (True, False)}
    assert values == {("mpfe", True): 2, ("mpfe", False): 1, ("smbr", True): 3, ("smbr", False): 2}


@pytest.mark.parametrize("change", [
    {"target": np.array([1, 2, 9], np.int32)}, {"target": np.array([1, 1, 3], np.int32)},
    {"source": np.array([0, 2, 1], np.int32)}, {"tid": np.array([1, 3, 99], np.int32)}])
def test_arrays_that_are_no_lattice_are_refused(change):
    with pytest.raises(ValueError, match="no lattice"):
        Reading.of(replace(chain(1, 3, 4), **change), UNITS)


def test_arrays_that_do_not_fit_are_refused():
    reading = Reading.of(chain(1, 3, 4), UNITS)
    good, alignment = np.zeros((3, NUM_PDFS), np.float32), np.array([1, 3, 4], np.int32)
    for loglikes, ids in ((good[:2], alignment), (good[:, :2], alignment), (good, alignment[:2]),
                          (good, np.array([0, 3, 4], np.int32)), (good.astype(float), alignment)):
        with pytest.raises(ValueError, match="log likelihoods|an alignment"):
            mmi(reading, loglikes, ids, UNITS, SCALE)
