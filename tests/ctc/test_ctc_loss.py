"""CTC's loss against the enumeration of all paths, finite differences and a plain twin."""

import itertools

import numpy as np
import pytest

from hybridasr.ctc.ctc_loss import ctc_loss, label_log_prob, needed_frames, padded_labels
from hybridasr.nnet.loss import log_softmax


def said(path):
    """Merge repeats, then take out blanks."""
    return tuple(key for key, _ in itertools.groupby(path) if key != 0)


def path_sums(logits):
    """Return P(labels) of every sequence of labels, by walking all paths of classes."""
    probs = np.exp(logits - np.log(np.exp(logits).sum(1, keepdims=True)))
    sums = {}
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        product = np.prod([probs[t, k] for t, k in enumerate(path)])
        sums[said(path)] = sums.get(said(path), 0.0) + product
    return sums


def twin(log_probs, labels):
    """Plain forward recursion over the states, with numpy's logaddexp."""
    states = [0]
    for label in labels:
        states += [label, 0]
    alpha = np.full(len(states), -np.inf)
    alpha[0] = 0.0
    before = True
    for row in log_probs:
        new = np.full(len(states), -np.inf)
        for s, k in enumerate(states):
            ways = [alpha[s]] + [alpha[s - 1]] * (s > 0)
            if before:
                ways = [0.0] if s < 2 else []
            elif s > 1 and k and states[s - 2] != k:
                ways.append(alpha[s - 2])
            new[s] = np.logaddexp.reduce([-np.inf, *ways]) + row[k]
        alpha, before = new, False
    return np.logaddexp.reduce(alpha[-2:])


def one_loss(logits, labels, **more):
    padded, sizes = padded_labels([np.array(labels, int)])
    losses, grads = ctc_loss(logits[None], np.array([len(logits)]), padded, sizes, **more)
    return losses[0], grads[0]


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_every_label_sequence_has_the_probability_of_its_paths(frames):
    logits = np.random.default_rng(1).normal(size=(frames, 3))
    sums = path_sums(logits)
    assert sum(sums.values()) == pytest.approx(1.0, abs=1e-12)
    for labels, probability in sums.items():
        assert one_loss(logits, labels)[0] == pytest.approx(-np.log(probability), abs=1e-10)
        assert label_log_prob(log_softmax(logits), np.array(labels, int)) == pytest.approx(
            np.log(probability), abs=1e-10)


def test_gradient_is_that_of_finite_differences():
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(3, 9, 5))
    frames, step = np.array([9, 7, 4]), 1e-6
    labels, sizes = padded_labels([np.array([1, 1, 4, 2]), np.array([3]), np.array([2, 2])])
    _, grads = ctc_loss(logits, frames, labels, sizes, scale=0.5)
    for place in np.ndindex(logits.shape):
        more, less = logits.copy(), logits.copy()
        more[place] += step
        less[place] -= step
        slope = 0.5 * (ctc_loss(more, frames, labels, sizes)[0].sum()
                       - ctc_loss(less, frames, labels, sizes)[0].sum()) / (2 * step)
        assert grads[place] == pytest.approx(slope, abs=1e-8)


def test_a_long_utterance_is_that_of_the_twin():
    rng = np.random.default_rng(3)
    logits = (4 * rng.normal(size=(300, 40))).astype(np.float32)
    labels = rng.integers(1, 40, 90)
    labels[10:13] = 7
    loss, grads = one_loss(logits, labels)
    assert loss == pytest.approx(-twin(log_softmax(logits.astype(np.float64)), labels), rel=1e-6)
    assert grads.dtype == np.float32
    # Posteriors and occupancies both sum to one in every frame.
    np.testing.assert_allclose(grads.sum(1), 0.0, rtol=0, atol=1e-4)


def test_batches_give_what_each_utterance_gives_alone():
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(2, 12, 6))
    sequences = [np.array([5, 1, 1]), np.array([2, 3, 4, 5, 1])]
    frames = np.array([8, 12])
    losses, grads = ctc_loss(logits, frames, *padded_labels(sequences))
    for row in range(2):
        loss, alone = one_loss(logits[row, :frames[row]], sequences[row])
        assert losses[row] == pytest.approx(loss, abs=1e-12)
        np.testing.assert_allclose(grads[row, :frames[row]], alone, rtol=0, atol=1e-12)
    assert not grads[0, 8:].any()


def test_too_few_frames_are_told_and_have_no_gradient():
    logits = np.zeros((3, 2))
    for labels, feasible in [([1, 1], True), ([1, 1, 1], False), ([1], True)]:
        loss, grads = one_loss(logits, labels)
        assert np.isfinite(loss) == feasible == (needed_frames(np.array(labels)) <= 3)
        assert grads.any() == feasible
    assert label_log_prob(log_softmax(logits), np.array([1, 1, 1])) == -np.inf


@pytest.mark.parametrize(("labels", "sizes", "frames", "message"), [
    ([[3]], [1], [4], "classes from 1 to 2"),
    ([[0]], [1], [4], "0 is the blank"),
    ([[1]], [2], [4], "1 columns"),
    ([[1]], [1], [5], "logits of 4"),
    ([[1]], [1], [4, 4], "2 utterances"),
])
def test_what_does_not_fit_is_refused(labels, sizes, frames, message):
    with pytest.raises(ValueError, match=message):
        ctc_loss(np.zeros((1, 4, 3)), np.array(frames), np.array(labels), np.array(sizes))
