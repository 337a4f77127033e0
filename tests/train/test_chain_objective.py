"""Lattice-free MMI as an objective: what it counts, its gradient, what it leaves out."""

import numpy as np
import pytest

from hybridasr.chain.den_loss import den_loss
from hybridasr.chain.denominator import PhoneGraph
from hybridasr.chain.num_loss import num_loss
from hybridasr.chain.numerator import PhoneTimes, make_numerators
from hybridasr.chain.phone_lm import PhoneLmOptions, estimate_phone_lm
from hybridasr.hmm.topology import chain_topology
from hybridasr.nnet.loss import log_softmax
from hybridasr.train.chain_objective import LatticeFreeMmi
from hybridasr.tree.tree import monophone_tree

SEQUENCES = [(1, 2, 3, 1), (1, 3, 2, 1), (2, 3, 1)]
LENGTHS = [40, 36, 30]


@pytest.fixture(scope="module")
def objective():
    tree = monophone_tree([[1], [2], [3]], chain_topology([1, 2, 3]))
    phones = PhoneGraph(estimate_phone_lm(SEQUENCES, PhoneLmOptions()), tree)
    graph = phones.denominator()
    times = [PhoneTimes(one, np.linspace(0, length, len(one) + 1).astype(np.int64))
             for one, length in zip(SEQUENCES, LENGTHS, strict=True)]
    starts = np.concatenate([[0], np.cumsum([*LENGTHS, 20])])
    return LatticeFreeMmi(starts, graph, make_numerators([*times, None], phones, graph, 3, 5),
                          leaky=1e-3, xent=0.2, l2=0.01)


def batch(objective, chunks, seed=0):
    chunks = np.array(chunks)
    time = -(-chunks[:, 2].max() // 3)
    rng = np.random.default_rng(seed)
    return rng.normal(size=(len(chunks), time, 12)).astype(np.float32), chunks


def whole_loss(objective, logits, chunks):
    """Return the mean of MMI, cross-entropy and squared outputs, written out."""
    sizes = -(-chunks[:, 2] // 3)
    outputs, head = logits[..., :6], logits[..., 6:]
    places = np.column_stack([chunks[:, 0], chunks[:, 1] - objective.starts[chunks[:, 0]], sizes])
    num, reference = num_loss(outputs, places, objective.numerators)
    den, _ = den_loss(np.ascontiguousarray(outputs), sizes, objective.graph, objective.leaky)
    total = (den - num).sum()
    for n, size in enumerate(sizes):
        total -= 0.2 * (reference[n, :size] * log_softmax(head[n, :size])).sum()
        total += 0.01 * 0.5 * (outputs[n, :size].astype(float)**2).sum()
    return total / sizes.sum(), den - num


def test_the_gradient_is_that_of_all_three_parts(objective):
    logits, chunks = batch(objective, [[0, 5, 30], [1, 40, 21], [2, 78, 28]])
    counts, gradient = objective.loss(logits.copy(), chunks)
    mean, apart = whole_loss(objective, logits, chunks)
    assert counts.loss == pytest.approx(apart.sum(), abs=1e-4)
    assert counts.frames == 10 + 7 + 10
    # The reference's occupation, which the head learns, moves with the outputs: its part of the
    # slope is left out, as in Kaldi. So the head is checked whole, the outputs without a head.
    plain = LatticeFreeMmi(objective.starts, objective.graph, objective.numerators, 1e-3, 0.0, 0.01)
    _, without = plain.loss(logits.copy(), chunks)
    np.testing.assert_allclose(without[..., :6], gradient[..., :6], rtol=0, atol=1e-7)
    for place in [(0, 2, 1), (0, 9, 8), (1, 0, 11), (1, 6, 2), (2, 4, 4), (2, 9, 7)]:
        values = []
        for sign in (1, -1):
            moved = logits.copy()
            moved[place] += sign * 0.02
            part, apart = whole_loss(objective, moved, chunks)
            if place[2] < 6:
                sizes = -(-chunks[:, 2] // 3)
                part = apart.sum() + 0.005 * sum(
                    (moved[n, :size, :6].astype(float)**2).sum() for n, size in enumerate(sizes))
                part /= counts.frames
            values.append(part)
        assert (values[0] - values[1]) / 0.04 == pytest.approx(gradient[place], abs=2e-4)
    assert np.isfinite(mean)


def test_nothing_behind_a_chunk_and_nothing_of_what_has_no_reference(objective):
    logits, chunks = batch(objective, [[0, 0, 40], [3, 106, 20], [1, 43, 12]])
    counts, gradient = objective.loss(logits.copy(), chunks)
    assert counts.frames == 14 + 4
    assert not gradient[1].any()
    assert not gradient[2, 4:].any()
    alone = objective.loss(logits[[0, 2]].copy(), chunks[[0, 2]])
    assert alone[0] == counts
    np.testing.assert_array_equal(alone[1], gradient[[0, 2]])
    none, nothing = objective.loss(logits[1:2].copy(), chunks[1:2])
    assert none.frames == 0
    assert not nothing.any()


def test_the_loss_is_never_negative_and_steps_against_the_gradient_lower_it(objective):
    logits, chunks = batch(objective, [[0, 0, 40], [1, 40, 36], [2, 76, 30]], seed=3)
    losses = []
    for _ in range(60):
        counts, gradient = objective.loss(logits, chunks)
        losses.append(counts.mean_loss)
        logits = logits - 8.0 * gradient
    assert min(losses) >= 0
    assert losses[-1] < 0.2 * losses[0]
    assert counts.accuracy > 90
