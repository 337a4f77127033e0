"""Gradients of every layer, of the loss and of whole stacks against finite differences."""

import numpy as np
import pytest

from hybridasr.nnet.loss import cross_entropy
from hybridasr.nnet.network_text import LAYERS, _read_layer, read_network

STEP = 1e-6
# One line a case: the layer, its input columns, and how many channels these have.
CASES = [
    ("affine dim=3", 5, 1),
    ("splice offsets=-2,0,1", 3, 1),
    ("splice offsets=1,3", 3, 1),
    ("splice offsets=-3:3", 2, 1),
    ("splice offsets=-2,0,1 stride=2", 3, 1),
    ("splice offsets=0 stride=3", 3, 1),
    ("tdnn offsets=-1,0,2 dim=3", 4, 1),
    ("tdnn offsets=-1,0 dim=3 stride=3", 4, 1),
    ("relu", 4, 1),
    ("sigmoid", 4, 1),
    ("tanh", 4, 1),
    ("pnorm dim=3", 12, 1),
    ("dropout rate=0.4", 6, 1),
    ("renorm", 6, 1),
    ("layernorm", 6, 1),
    ("batchnorm", 5, 1),
    ("batchnorm frozen=true", 5, 1),
    ("conv channels=3 kernel=3,3", 10, 2),
    ("conv channels=2 kernel=2,5 stride=2 padding=1", 9, 1),
    ("conv channels=2 kernel=3,2 padding=0 pool=2", 8, 1),
    ("conv channels=2 kernel=3,3 pool=2 time_stride=2", 8, 1),
    ("conv channels=2 kernel=1,3 blocks=3", 12, 1),
    ("maxpool size=2", 14, 2),
    ("lstm cell=4", 3, 1),
    ("lstm cell=5 projection=3 warmup=2", 3, 1),
    ("gru cell=4 warmup=1", 3, 1),
    ("rnn cell=4 warmup=1", 3, 1),
    ("bidirectional cell=3 warmup=2", 3, 1),
    ("bidirectional cell=4 projection=2", 3, 1),
    ("bidirectional unit=gru cell=3 warmup=1", 3, 1),
    ("bidirectional unit=rnn cell=3", 3, 1),
    ("attention heads=2 key=3 value=2 before=2 after=1", 4, 1),
    ("attention key=2 value=3 before=1 after=1 spacing=2", 3, 1),
    ("linear dim=3", 5, 1),
    ("tdnnf dim=4 bottleneck=2 offset=2", 4, 1),
    ("tdnnf dim=5 bottleneck=3 bypass=0 dropout=0.3", 4, 1),
    ("tdnnf dim=4 bottleneck=2 offset=0", 4, 1),
]


def make_layer(line, dim, channels, seed=0):
    """A layer in float64, its parameters moved away from their special first values."""
    rng = np.random.default_rng(seed)
    layer = _read_layer(line.split(), dim, channels, 4, rng)
    layer.replace_arrays(lambda array: array + 0.1 * rng.standard_normal(array.shape))
    return layer


def slopes(function, array):
    """Central differences of a scalar by every number of `array`, in place."""
    found = np.zeros_like(array)
    for place in np.ndindex(array.shape):
        kept = array[place]
        array[place] = kept + STEP
        up = function()
        array[place] = kept - STEP
        found[place] = (up - function()) / (2 * STEP)
        array[place] = kept
    return found


def test_every_kind_has_a_case():
    assert {line.split()[0] for line, _, _ in CASES} == set(LAYERS)


@pytest.mark.parametrize(("line", "dim", "channels"), CASES)
def test_layer_gradients(line, dim, channels):
    layer = make_layer(line, dim, channels)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 7, dim))
    direction = rng.standard_normal(layer.forward(x, True, np.random.default_rng(2))[0].shape)
    frames = -(-(7 - layer.left - layer.right) // layer.stride)
    assert direction.shape == (2, frames, layer.output_dim)

    def loss():
        return float((layer.forward(x, True, np.random.default_rng(2))[0] * direction).sum())

    _, cache = layer.forward(x, True, np.random.default_rng(2))
    dx, grads = layer.backward(direction.copy(), cache)
    dx = dx.copy()
    np.testing.assert_allclose(dx, slopes(loss, x), rtol=1e-6, atol=1e-7)
    assert set(grads) == set(layer.parameters)
    for name, array in layer.parameters.items():
        assert grads[name].shape == array.shape
        np.testing.assert_allclose(grads[name], slopes(loss, array), rtol=1e-6, atol=1e-7)
    # Without the input's gradient the parameters' stay the same.
    kept = {name: array.copy() for name, array in grads.items()}
    _, cache = layer.forward(x, True, np.random.default_rng(2))
    again = layer.backward(direction.copy(), cache, input_gradient=False)[1]
    for name, array in kept.items():
        np.testing.assert_array_equal(again[name], array)


def test_clipped_cells_have_no_slope():
    layer = make_layer("lstm cell=3 cell_clip=0.2", 2, 1)
    layer.parameters["weights"] *= 5
    rng = np.random.default_rng(3)
    x = 2 * rng.standard_normal((2, 6, 2))
    direction = rng.standard_normal((2, 6, 3))
    _, cache = layer.forward(x, True)
    memory = cache[2]
    assert (np.abs(memory) == 0.2).any()
    assert (np.abs(memory[1:]) < 0.2).any()
    dx, _ = layer.backward(direction.copy(), cache)
    expected = slopes(lambda: float((layer.forward(x, True)[0] * direction).sum()), x)
    np.testing.assert_allclose(dx, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_gradients_through_the_recurrence_are_clipped(kind):
    layer = make_layer(f"{kind} cell=3 gradient_clip=0.01", 2, 1)
    x = np.random.default_rng(4).standard_normal((1, 5, 2))
    _, cache = layer.forward(x, True)
    dy = np.zeros((1, 5, 3))
    dy[0, 4] = 1000.0
    dx, _ = layer.backward(dy, cache)
    weights = np.linalg.norm(layer.parameters["weights"])
    assert np.linalg.norm(dx[0, 4]) > 1
    assert (np.linalg.norm(dx[0, :4], axis=1) <= 0.05 * weights).all()
    assert np.linalg.norm(dx[0, 3]) > 0


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_loss_gradient(scale):
    rng = np.random.default_rng(5)
    logits = 3 * rng.standard_normal((6, 4))
    targets = np.array([0, 3, -1, 1, 2, 2], np.int32)
    _, dlogits, _ = cross_entropy(logits, targets, scale)
    expected = slopes(lambda: cross_entropy(logits, targets)[0], logits) * scale
    np.testing.assert_allclose(dlogits, expected, rtol=1e-6, atol=1e-8)


STACKS = [
    ("splice offsets=-1:1\naffine dim=6\nrelu\nbatchnorm\naffine dim=6\npnorm dim=3\nrenorm\n"
     "dropout rate=0.3\noutput", 3),
    ("batchnorm\ntdnn offsets=-1,0,1 dim=5\nsigmoid\ntdnn offsets=-2,1 dim=4\ntanh\nlayernorm\n"
     "output", 3),
    ("conv channels=2 kernel=3,3 pool=2\nrelu\nconv channels=3 kernel=1,2\nlstm cell=3 warmup=1\n"
     "gru cell=3\noutput", 8),
    ("tdnn offsets=-1,1 dim=5\nrelu\nsplice offsets=-1:1 stride=3\naffine dim=4\ntanh\n"
     "tdnn offsets=-1,0,1 dim=4\nbatchnorm\nlstm cell=3 warmup=1\noutput", 3),
    ("tdnnf dim=4 bottleneck=2 bypass=0\ntdnnf dim=4 bottleneck=2\nlinear dim=3\noutput", 3),
    ("affine dim=4\nattention heads=2 key=2 value=2 before=1 after=1\n"
     "bidirectional cell=3 warmup=1\nbidirectional unit=rnn cell=2 warmup=1\noutput", 3),
]


@pytest.mark.parametrize(("text", "dim"), STACKS)
def test_stack_gradients(text, dim):
    network = read_network(text, dim, 4, seed=3).astype(np.float64)
    rng = np.random.default_rng(6)
    frames = 2
    x = rng.standard_normal((2, (frames - 1) * network.subsampling + 1 + network.left_context
                             + network.right_context, dim))
    targets = rng.integers(0, 4, 2 * frames).astype(np.int32)

    def loss():
        logits, _ = network.forward(x, True, np.random.default_rng(7))
        return cross_entropy(logits.reshape(-1, 4), targets)[0]

    logits, caches = network.forward(x, True, np.random.default_rng(7))
    dlogits = cross_entropy(logits.reshape(-1, 4), targets)[1]
    grads = network.backward(dlogits.reshape(logits.shape), caches)
    assert set(grads) == set(network.parameters)
    for name, array in network.parameters.items():
        np.testing.assert_allclose(grads[name], slopes(loss, array), rtol=2e-5, atol=2e-7,
                                   err_msg=name)
