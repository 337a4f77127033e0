"""The transducer's loss against the enumeration of all paths and finite differences."""

import itertools

import numpy as np
import pytest

from hybridasr.ctc.transducer_loss import transducer_loss


def enumerated(logits, labels):
    """Sum over all orders of frames' blanks and labels, the last a blank."""
    log_probs = logits - np.log(np.exp(logits).sum(2, keepdims=True))
    frames, size = len(logits), len(labels)
    total = -np.inf
    for places in itertools.combinations(range(frames - 1 + size), size):
        t = u = 0
        score = 0.0
        for step in range(frames - 1 + size):
            if step in places:
                score += log_probs[t, u, labels[u]]
                u += 1
            else:
                score += log_probs[t, u, 0]
                t += 1
        total = np.logaddexp(total, score + log_probs[t, u, 0])
    return -total


@pytest.mark.parametrize(("frames", "labels"), [(1, []), (1, [2]), (4, [1, 1, 2]), (5, [3]),
                                                (3, [2, 1, 3, 1])])
def test_loss_is_that_of_all_paths(frames, labels):
    logits = np.random.default_rng(frames).normal(size=(frames, len(labels) + 1, 4))
    loss, _ = transducer_loss(logits, np.array(labels, int))
    assert loss == pytest.approx(enumerated(logits, labels), abs=1e-10)


def test_gradient_is_that_of_finite_differences():
    logits = np.random.default_rng(1).normal(size=(4, 3, 5))
    labels, step = np.array([4, 2]), 1e-6
    _, gradient = transducer_loss(logits, labels, scale=2.0)
    for place in np.ndindex(logits.shape):
        more, less = logits.copy(), logits.copy()
        more[place] += step
        less[place] -= step
        slope = (transducer_loss(more, labels)[0] - transducer_loss(less, labels)[0]) / step
        assert gradient[place] == pytest.approx(slope, abs=1e-7)


def test_long_utterances_stay_finite():
    logits = (5 * np.random.default_rng(2).normal(size=(400, 61, 30))).astype(np.float32)
    loss, gradient = transducer_loss(logits, np.random.default_rng(3).integers(1, 30, 60))
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()
    assert gradient.dtype == np.float32
    np.testing.assert_allclose(gradient.sum(2), 0.0, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("shape", "labels", "message"), [
    ((0, 2, 3), [1], "a frame or more"), ((4, 2, 3), [1, 1], "one row more"),
    ((4, 2, 3), [3], "classes from 1 to 2"), ((4, 2, 3), [0], "0 is the blank")])
def test_what_does_not_fit_is_refused(shape, labels, message):
    with pytest.raises(ValueError, match=message):
        transducer_loss(np.zeros(shape), np.array(labels))
