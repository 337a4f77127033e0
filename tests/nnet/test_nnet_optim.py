"""Loss, optimisers and schedules against literal formulas; training that resumes and learns."""

import copy
import dataclasses

import numpy as np
import pytest
from scipy.special import log_softmax

from hybridasr.errors import UserError
from hybridasr.nnet.loss import cross_entropy
from hybridasr.nnet.network_text import float_network_from_arrays as from_arrays
from hybridasr.nnet.network_text import read_network
from hybridasr.nnet.optim import (
    Adam,
    AdamOptions,
    NewBob,
    NewBobOptions,
    Sgd,
    SgdOptions,
    average,
    cosine_rate,
    exponential_rate,
    gradient_norm,
)


def test_loss_is_scipys():
    rng = np.random.default_rng(0)
    logits = (4 * rng.standard_normal((50, 9))).astype(np.float32)
    targets = rng.integers(-1, 9, 50).astype(np.int32)
    logits[0, 3] = 1e4  # exp of it overflows
    loss, dlogits, correct = cross_entropy(logits, targets, 0.5)
    exact = log_softmax(logits.astype(np.float64), axis=1)
    kept = targets >= 0
    assert loss == pytest.approx(-exact[kept, targets[kept]].sum(), rel=1e-6)
    assert correct == (logits.argmax(1) == targets).sum()
    expected = np.exp(exact)
    expected[kept, targets[kept]] -= 1
    expected[~kept] = 0
    np.testing.assert_allclose(dlogits, 0.5 * expected, rtol=1e-4, atol=1e-6)
    assert dlogits.dtype == np.float32


def test_loss_of_ties_and_of_nothing():
    assert cross_entropy(np.zeros((3, 4), np.float32), np.array([0, 1, -1], np.int32))[2] == 1
    loss, dlogits, correct = cross_entropy(np.zeros((0, 4), np.float32), np.zeros(0, np.int32))
    assert (loss, dlogits.shape, correct) == (0.0, (0, 4), 0)
    with pytest.raises(ValueError, match="targets from 0 to 4"):
        cross_entropy(np.zeros((2, 4), np.float32), np.array([0, 4], np.int32))
    with pytest.raises(ValueError, match="do not fit"):
        cross_entropy(np.zeros((2, 4), np.float32), np.zeros(3, np.int32))


def problem(seed=0):
    rng = np.random.default_rng(seed)
    parameters = {"0.weights": rng.standard_normal((5, 3)).astype(np.float32),
                  "0.bias": rng.standard_normal(5).astype(np.float32)}
    grads = [{name: rng.standard_normal(array.shape).astype(np.float32)
              for name, array in parameters.items()} for _ in range(6)]
    return parameters, grads


def test_gradient_norm():
    _, grads = problem()
    expected = np.sqrt(sum((array.astype(np.float64) ** 2).sum() for array in grads[0].values()))
    assert gradient_norm(grads[0]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("max_norm", [0.0, 1.5])
def test_sgd_by_its_formula(nesterov, max_norm):
    parameters, grads = problem()
    exact = {name: array.astype(np.float64) for name, array in parameters.items()}
    velocity = {name: np.zeros_like(array) for name, array in exact.items()}
    optimiser = Sgd(SgdOptions(0.8, nesterov, 0.1, max_norm), parameters)
    for gradient in grads:
        norm = optimiser.step(parameters, gradient, 0.05)
        assert norm == pytest.approx(gradient_norm(gradient) if max_norm else 0.0)
        scale = min(1.0, max_norm / norm) if max_norm else 1.0
        for name, p in exact.items():
            g = scale * gradient[name] + (0.1 * p if name == "0.weights" else 0.0)
            velocity[name] = 0.8 * velocity[name] + g
            p -= 0.05 * (g + 0.8 * velocity[name] if nesterov else velocity[name])
    for name, p in exact.items():
        np.testing.assert_allclose(parameters[name], p, rtol=1e-4, atol=1e-5)


def test_adam_by_its_formula():
    parameters, grads = problem()
    exact = {name: array.astype(np.float64) for name, array in parameters.items()}
    m = {name: np.zeros_like(array) for name, array in exact.items()}
    v = {name: np.zeros_like(array) for name, array in exact.items()}
    optimiser = Adam(AdamOptions(0.9, 0.99, 1e-3, 0.1, 2.0), parameters)
    for t, gradient in enumerate(grads, 1):
        scale = min(1.0, 2.0 / optimiser.step(parameters, gradient, 0.05))
        for name, p in exact.items():
            g = scale * gradient[name].astype(np.float64)
            m[name] = 0.9 * m[name] + 0.1 * g
            v[name] = 0.99 * v[name] + 0.01 * g * g
            if name == "0.weights":
                p -= 0.05 * 0.1 * p
            p -= 0.05 * m[name] / (1 - 0.9**t) / (np.sqrt(v[name] / (1 - 0.99**t)) + 1e-3)
    for name, p in exact.items():
        np.testing.assert_allclose(parameters[name], p, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "options"), [(Sgd, SgdOptions(max_norm=1.0)),
                                               (Adam, AdamOptions(max_norm=1.0))])
def test_broken_gradients_change_nothing(kind, options):
    parameters, grads = problem()
    logits = np.array([[0.0, np.nan], [1.0, 2.0]], np.float32)
    loss, dlogits, _ = cross_entropy(logits, np.array([0, 1], np.int32))
    assert np.isnan(loss)
    assert np.isnan(dlogits).any()
    optimiser = kind(options, parameters)
    kept = {name: array.copy() for name, array in parameters.items()}
    before = optimiser.to_arrays()
    assert np.isnan(optimiser.step(parameters, {**grads[0], "0.bias": dlogits[0]}, 0.1))
    for name, array in {**kept, **before}.items():
        np.testing.assert_array_equal({**parameters, **optimiser.to_arrays()}[name], array)


def test_options_are_checked():
    for make in (lambda: SgdOptions(momentum=1.0), lambda: SgdOptions(l2=-1.0),
                 lambda: AdamOptions(beta2=1.0), lambda: AdamOptions(decay=-0.1),
                 lambda: NewBobOptions(factor=1.0)):
        with pytest.raises(UserError, match="give a number from 0"):
            make()


TEXT = "tdnn offsets=-1,0,1 dim=32\nbatchnorm\nrelu\ndropout rate=0.1\naffine dim=32\nrelu\noutput"


def train(network, optimiser, rate, first, last):
    """Steps on a problem that one frame's neighbours decide; returns the losses."""
    losses = []
    for number in range(first, last):
        rng = np.random.default_rng([9, number])
        x = rng.standard_normal((64, 3, 4)).astype(np.float32)
        targets = ((x[:, 0, 0] > 0) + 2 * (x[:, 2, 1] > 0)).astype(np.int32)
        logits, caches = network.forward(x, True, rng)
        loss, dlogits, _ = cross_entropy(logits[:, 0], targets, 1 / 64)
        optimiser.step(network.parameters, network.backward(dlogits[:, None], caches), rate)
        losses.append(loss / 64)
    return losses


@pytest.mark.parametrize(("kind", "options", "rate"), [
    (Sgd, SgdOptions(0.9, max_norm=5.0), 0.05), (Adam, AdamOptions(decay=0.01), 0.01)])
def test_training_learns_and_resumes_exactly(kind, options, rate):
    network = read_network(TEXT, 4, 4, seed=1)
    optimiser = kind(options, network.parameters)
    losses = train(network, optimiser, rate, 0, 60)
    assert np.mean(losses[:5]) > 1.2
    assert np.mean(losses[-10:]) < 0.6
    again = from_arrays(network.text, network.to_arrays())
    resumed = kind(options, again.parameters)
    resumed.load_arrays(optimiser.to_arrays())
    assert train(network, optimiser, rate, 60, 70) == train(again, resumed, rate, 60, 70)
    for name, array in network.to_arrays().items():
        np.testing.assert_array_equal(array, again.to_arrays()[name])
    with pytest.raises(UserError, match="does not fit"):
        kind(options, read_network("output", 4, 4).parameters).load_arrays(
            {"steps": np.array(3)})


def test_average():
    first, second = ({**problem(seed)[0], "dims": np.array([3, 5])} for seed in (0, 1))
    mean = average([first, second])
    np.testing.assert_allclose(mean["0.weights"], (first["0.weights"] + second["0.weights"]) / 2,
                               rtol=1e-6)
    assert mean["0.bias"].dtype == np.float32
    assert mean["dims"].tolist() == [3, 5]
    with pytest.raises(ValueError, match="nothing"):
        average([])


def test_exponential_rate():
    assert exponential_rate(0.1, 0.001, 0.0) == pytest.approx(0.1)
    assert exponential_rate(0.1, 0.001, 0.5) == pytest.approx(0.01)
    assert exponential_rate(0.1, 0.001, 2.0) == pytest.approx(0.001)


def test_new_bob():
    state, seen = NewBob(0.08), []
    for loss in (2.0, 1.5, 1.49, 1.60, 1.45, 1.4495):
        state = NewBob(**dataclasses.asdict(state)).after(loss)  # as from JSON
        seen.append((state.rate, state.halving, state.stopped, state.accepted))
    assert seen == [
        (0.08, False, False, True), (0.08, False, False, True), (0.04, True, False, True),
        (0.04, True, True, False), (0.04, True, True, True), (0.04, True, True, True)]
    assert state.best == 1.4495
    worse = NewBob(0.08).after(2.0).after(float("nan"))
    assert (worse.rate, worse.accepted, worse.halving, worse.best) == (0.04, False, True, 2.0)


@pytest.mark.parametrize(("kind", "options"), [(Sgd, SgdOptions(momentum=0)),
                                               (Adam, AdamOptions())])
def test_rates_of_layers(kind, options):
    """A factor is another rate for one parameter; 0 leaves it alone."""
    plain, grads = problem()
    half, frozen, slow = (copy.deepcopy(plain) for _ in range(3))
    kind(options, plain).step(plain, grads[0], 0.1)
    kind(options, half).step(half, grads[0], 0.05)
    kind(options, frozen, {"0.weights": 0.0}).step(frozen, grads[0], 0.1)
    kind(options, slow, {"0.weights": 0.5}).step(slow, grads[0], 0.1)
    np.testing.assert_array_equal(frozen["0.weights"], problem()[0]["0.weights"])
    np.testing.assert_array_equal(frozen["0.bias"], plain["0.bias"])
    np.testing.assert_allclose(slow["0.weights"], half["0.weights"], rtol=1e-6)
    np.testing.assert_array_equal(slow["0.bias"], plain["0.bias"])


def test_cosine():
    assert cosine_rate(0.1, 0.01, 0) == pytest.approx(0.1)
    assert cosine_rate(0.1, 0.01, 1.2) == pytest.approx(0.01)
    assert cosine_rate(0.1, 0.01, 1 / 3) == pytest.approx(0.01 + 0.09 * 0.75)
