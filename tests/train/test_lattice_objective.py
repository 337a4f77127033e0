"""The objective of lattices: padded batches of utterances, and its gradient by the logits."""

from dataclasses import replace

import numpy as np
import pytest

from hybridasr.nnet.loss import log_softmax
from hybridasr.sequence.criteria import Reading, Units, expected_accuracy, mmi
from hybridasr.sequence.lattice_set import LatticeSet, block_file
from hybridasr.sequence.state_lattice import StateLattice, write_state_lattices
from hybridasr.train.lattice_objective import CriterionOptions, LatticeObjective

UNITS = Units(np.array([-1, 0, 1, 2], np.int32), np.arange(4, dtype=np.int32),
              np.array([False, True, False, False]))
SCALE, LENGTHS = 0.2, (4, 6)


def lattice(num_frames, seed):
    """Two states a frame, all transition-ids between them."""
    rng = np.random.default_rng(seed)
    arcs = []
    for t in range(num_frames):
        for source in ([0] if t == 0 else [2 * t - 1, 2 * t]):
            arcs += [(source, target, tid) for target in (2 * t + 1, 2 * t + 2)
                     for tid in (1, 2, 3) if rng.random() < 0.8 or tid == 1]
    arcs += [(state, 2 * num_frames + 1, 0) for state in (2 * num_frames - 1, 2 * num_frames)]
    source, target, tid = np.array(arcs, np.int32).T.copy()
    return StateLattice(source, target, tid, rng.normal(size=len(arcs)).astype(np.float32),
                        2 * num_frames + 2)


@pytest.fixture
def make(tmp_path):
    def build(kind, **options):
        write_state_lattices(block_file(tmp_path, 1), "", ["a", "b"],
                             [lattice(n, n) for n in LENGTHS])
        lattices = LatticeSet(tmp_path, SCALE, 3, 0, {"a": (1, 0), "b": (1, 1)})
        rng = np.random.default_rng(1)
        return LatticeObjective(lattices, ("a", "b"), np.array([0, 4, 10]),
                                rng.integers(1, 4, 10).astype(np.int32), 1, UNITS,
                                np.log(np.array([0.5, 0.3, 0.2], np.float32)),
                                CriterionOptions(kind, SCALE, **options))
    return build


CHUNKS = np.array([[1, 4, 6], [0, 0, 4]])


def logits(time=7):
    return np.random.default_rng(2).normal(size=(2, time, 3)).astype(np.float32)


@pytest.mark.parametrize("kind", ["mmi", "mpfe", "smbr"])
def test_loss_is_that_of_the_criterion(make, kind):
    objective, values = make(kind, boost=0.3), logits()
    counts, slopes = objective.loss(values.copy(), CHUNKS)
    expected = 0.0
    for row, (utterance, first, length) in enumerate(CHUNKS):
        loglikes = log_softmax(values[row, :length]) - objective.log_priors
        reading = Reading.of(lattice(length, length), UNITS)
        aligned = objective.alignment[first:first + length]
        if kind == "mmi":
            one = mmi(reading, loglikes, aligned, UNITS, SCALE, 0.3)
            expected -= one.value / SCALE
        else:
            one = expected_accuracy(reading, loglikes, aligned, UNITS, SCALE, kind)
            expected += (length - one.value) / SCALE
        np.testing.assert_allclose(slopes[row, :length], -one.gradient / SCALE / 10, rtol=1e-5,
                                   atol=1e-7)
        assert not slopes[row, length:].any()
        assert utterance == (row + 1) % 2
    assert counts.frames == 10
    assert counts.loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["mmi", "smbr"])
def test_a_network_that_scores_some_frames_is_held_against_those(make, kind):
    scored, values = make(kind, smoothing=0.1), logits()
    # Utterances of 10 and 17 frames, of which every third is scored: 4 and 6.
    starts, rng = np.array([0, 10, 27]), np.random.default_rng(3)
    alignment = rng.integers(1, 4, 27).astype(np.int32)
    alignment[:10:3], alignment[10::3] = scored.alignment[:4], scored.alignment[4:]
    third = replace(scored, starts=starts, alignment=alignment, subsampling=3)
    counts, slopes = scored.loss(values.copy(), CHUNKS)
    others, other_slopes = third.loss(values.copy(), np.array([[1, 10, 17], [0, 0, 10]]))
    assert others == counts
    np.testing.assert_array_equal(other_slopes, slopes)


@pytest.mark.parametrize("kind", ["mmi", "smbr"])
def test_gradient_of_the_mean_by_finite_differences(make, kind):
    objective, values = make(kind, smoothing=0.3, drop_frames=False), logits()
    _, slopes = objective.loss(values.copy(), CHUNKS)

    def mean(array):
        return objective.loss(array.copy(), CHUNKS)[0].mean_loss

    for place in [(0, 0, 0), (0, 5, 2), (0, 3, 1), (1, 0, 1), (1, 3, 0), (1, 6, 1)]:
        ahead, behind = values.copy(), values.copy()
        ahead[place] += 0.05
        behind[place] -= 0.05
        assert slopes[place] == pytest.approx((mean(ahead) - mean(behind)) / 0.1, abs=2e-4), place


def test_smoothing_is_a_share_of_the_cross_entropy(make):
    values = logits()
    plain, smooth = (make("smbr", smoothing=share).loss(values.copy(), CHUNKS)[0]
                     for share in (0.0, 0.25))
    objective = make("smbr")
    frames = sum(-log_softmax(values[row, :length])[
        np.arange(length), UNITS.pdf[objective.aligned(utterance)]].sum()
        for row, (utterance, _, length) in enumerate(CHUNKS))
    assert smooth.loss == pytest.approx(0.75 * plain.loss + 0.25 * frames, rel=1e-5)
    assert smooth.correct == plain.correct


def test_frames_that_the_lattice_does_not_cover_are_counted(make):
    objective = make("mmi")
    reading = Reading.of(lattice(4, 4), UNITS)
    expected = sum(UNITS.pdf[tid] not in reading.pdf[(reading.frame == t) & (reading.pdf >= 0)]
                   for t, tid in enumerate(objective.aligned(0)))
    assert objective.uncovered(0) == expected


def test_parts_of_an_utterance_are_refused(make):
    with pytest.raises(ValueError, match="not an utterance"):
        make("mmi").loss(logits(), np.array([[0, 0, 3]]))
