"""The transducer's gradients by every parameter, and its search against enumeration."""

import itertools

import numpy as np
import pytest

from hybridasr.ctc.ctc_loss import padded_labels
from hybridasr.ctc.transducer import Encoder, Transducer, TransducerOptions
from hybridasr.ctc.transducer_search import beam_labels, greedy_labels
from hybridasr.errors import UserError
from hybridasr.nnet.network_text import read_network

SIZES = TransducerOptions(embedding=3, cell=4, joint=5, every=2)
LABELS = [np.array([1, 2, 2]), np.array([3])]
FRAMES = np.array([7, 4])


def loss_of(model, hidden):
    return model.loss(hidden, FRAMES, *padded_labels(LABELS))[0].sum()


@pytest.fixture
def model():
    return Transducer(3, 6, SIZES, seed=1).astype(np.float64)


def check_slopes(array, gradient, loss, rng, count=12, step=1e-6):
    flat = array.reshape(-1)
    for place in rng.choice(flat.size, min(count, flat.size), replace=False):
        value = flat[place]
        flat[place] = value + step
        more = loss()
        flat[place] = value - step
        less = loss()
        flat[place] = value
        assert gradient.reshape(-1)[place] == pytest.approx((more - less) / (2 * step), abs=1e-6)


def test_gradients_of_all_parameters_and_of_the_encoder(model):
    rng = np.random.default_rng(2)
    hidden = rng.normal(size=(2, 7, 6))
    _, dhidden, grads = model.loss(hidden, FRAMES, *padded_labels(LABELS))
    assert grads.keys() == model.parameters.keys()
    dhidden, grads = dhidden.copy(), {name: array.copy() for name, array in grads.items()}
    for name, array in model.parameters.items():
        check_slopes(array, grads[name], lambda: loss_of(model, hidden), rng)
    check_slopes(hidden, dhidden, lambda: loss_of(model, hidden), rng, 40)
    assert not dhidden[1, 4:].any()
    assert not dhidden[:, 1::2].any()


def test_gradients_go_through_the_encoder():
    text = "splice offsets=-1:1\naffine dim=5\ntanh\nlstm cell=6\noutput\n"
    encoder = Encoder(read_network(text, 2, 4, seed=3).astype(np.float64))
    model = Transducer(3, encoder.dim, SIZES, seed=1).astype(np.float64)
    rng = np.random.default_rng(4)
    x, weights = rng.normal(size=(2, 9, 2)), rng.normal(size=(2, 7, 4))

    def loss():
        hidden, logits, _ = encoder.forward(x)
        return loss_of(model, hidden) + (weights * logits).sum()

    hidden, logits, caches = encoder.forward(x, True)
    grads = encoder.backward(model.loss(hidden, FRAMES, *padded_labels(LABELS))[1],
                             weights.copy(), caches)
    grads = {name: array.copy() for name, array in grads.items()}
    assert grads.keys() == encoder.network.parameters.keys()
    for name, array in encoder.network.parameters.items():
        check_slopes(array, grads[name], loss, rng, 8)


def test_padding_changes_nothing(model):
    hidden = np.random.default_rng(5).normal(size=(2, 7, 6))
    both = model.loss(hidden, FRAMES, *padded_labels(LABELS))[0]
    for row in range(2):
        alone = model.loss(hidden[row:row + 1, :FRAMES[row]], FRAMES[row:row + 1],
                           *padded_labels(LABELS[row:row + 1]))[0]
        assert both[row] == pytest.approx(alone[0], abs=1e-12)


def test_a_wide_beam_finds_what_enumeration_finds():
    model = Transducer(2, 6, TransducerOptions(embedding=3, cell=4, joint=5, every=1), seed=6)
    model.parameters["output.weights"] *= 3
    hidden = np.random.default_rng(7).normal(size=(3, 6)).astype(np.float32)
    found = dict(beam_labels(model, hidden, beam=10**4))
    for size in range(3):
        for labels in itertools.product((1, 2), repeat=size):
            losses, _, _ = model.loss(hidden[None], np.array([3]),
                                      *padded_labels([np.array(labels, int)]))
            # No pruning of labels this short: all their ways have at most three in a frame.
            assert found[labels] == pytest.approx(-losses[0], abs=0.02)
    best = max(found, key=found.get)
    assert beam_labels(model, hidden, beam=8)[0][0] == best


def test_stepping_is_the_same_as_the_batch():
    """Greedy labels are the likeliest class of each node that is passed."""
    model = Transducer(3, 6, TransducerOptions(embedding=3, cell=4, joint=5, every=1), seed=8)
    model.parameters["output.bias"][0] = 0.1
    hidden = np.random.default_rng(9).normal(size=(6, 6)).astype(np.float32)
    labels = greedy_labels(model, hidden)
    assert labels
    so_far, state = model.advance(0, None)
    for label in labels:
        so_far, state = model.advance(label, state)
    embedded, _ = model._embedding.forward(np.array([[0, *labels]])[:, :, None])
    memory, _ = model._memory.forward(embedded)
    np.testing.assert_allclose(so_far, memory[0, -1] @ model.parameters["joint.labels"].T,
                               rtol=0, atol=1e-5)


def test_arrays_of_another_size_are_refused(model):
    arrays = {**model.parameters, "joint.bias": np.zeros(3)}
    with pytest.raises(UserError, match="joint.bias"):
        model.load_arrays(arrays)
