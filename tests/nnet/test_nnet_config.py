"""Networks from text: what is built, what is refused; arrays there and back; int8."""

import copy
import pickle

import numpy as np
import pytest

from hybridasr.errors import UserError
from hybridasr.nnet.network_text import float_network_from_arrays as from_arrays
from hybridasr.nnet.network_text import frozen_text, read_network
from hybridasr.nnet.quantize import network_from_arrays as quantized_from_arrays
from hybridasr.nnet.quantize import quantize, quantize_rows, quantized_product

TEXT = """
# a stack with everything that has arrays
splice offsets=-2:2
affine dim=64 init=glorot   # wide
batchnorm
relu

tdnn offsets=-1,0,2 dim=48
pnorm dim=24
renorm
lstm cell=16 projection=8
layernorm
dropout rate=0.2
output
"""


def test_sizes():
    network = read_network(TEXT, 10, 7)
    assert (network.input_dim, network.output_dim) == (10, 7)
    assert (network.left_context, network.right_context) == (3, 4)
    sizes = [50 * 64, 64, 64, 64, 3 * 64 * 48, 48, 64 * 24, 64 * 8, 64, 8 * 16, 8, 8, 8 * 7, 7]
    assert network.num_parameters == sum(sizes)
    assert network.multiplications == (50 * 64 + 3 * 64 * 48 + 64 * (24 + 8) + 8 * 16 + 8 * 7)
    assert network.parameters["1.weights"].shape == (64, 50)
    assert set(network.statistics) == {"2.mean", "2.variance"}
    lines = [line.partition("#")[0].strip() for line in TEXT.splitlines()]
    assert network.text == "\n".join(line for line in lines if line) + "\n"


def test_conv_counts_its_columns():
    network = read_network("conv channels=4 kernel=3,5 pool=2 blocks=3\nrelu\n"
                           "conv channels=6 kernel=1,3\noutput", 30, 7)
    assert [layer.output_dim for layer in network.layers] == [20, 20, 30, 7]
    assert network.multiplications == 10 * 4 * 3 * 5 * 3 + 5 * 6 * 3 * 4 + 30 * 7
    assert (network.left_context, network.right_context) == (1, 1)


def test_seeds():
    first, again, other = (read_network(TEXT, 10, 7, seed) for seed in (3, 3, 4))
    for name, array in first.parameters.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, again.parameters[name])
    assert not np.array_equal(first.parameters["1.weights"], other.parameters["1.weights"])
    wide = read_network("affine dim=400\naffine dim=200 init=glorot\noutput", 300, 7)
    assert wide.parameters["0.weights"].std() == pytest.approx((2 / 300) ** 0.5, rel=0.02)
    assert wide.parameters["1.weights"].std() == pytest.approx((2 / 600) ** 0.5, rel=0.02)


@pytest.mark.parametrize(("text", "message"), [
    ("affine dim=512\nrelo\noutput", "net:2: relo: no such layer; did you mean 'relu'? known: "),
    ("affine dmi=512\noutput", "net:1: affine: unknown option 'dmi'; did you mean 'dim'?"),
    ("\naffine dim=wide\noutput", "net:2: affine: option 'dim' is 'wide'; give a whole number"),
    ("affine\noutput", "net:1: affine: dim=0; give dim=N with N at least 1"),
    ("affine dim=3 dim=4\noutput", "net:1: affine: 'dim=4' is not a new key=value"),
    ("affine 512\noutput", "net:1: affine: '512' is not a new key=value"),
    ("affine dim=3 init=xavier\noutput", "init=xavier; choose from he, glorot"),
    ("relu dim=3\noutput", "net:1: relu: unknown option 'dim'"),
    ("splice offsets=5:-5\noutput", "offsets=5:-5; give rising whole numbers"),
    ("tdnn offsets=-1,x dim=3\noutput", "offsets=-1,x; give rising whole numbers"),
    ("affine dim=10\npnorm dim=4\noutput", "net:2: pnorm: dim=4 does not divide the layer's 10"),
    ("dropout rate=1\noutput", "rate=1.0; give a number from 0 to below 1"),
    ("conv channels=2 kernel=3\noutput", "kernel=3; give frames and frequencies"),
    ("conv channels=2 kernel=3,90 padding=0\noutput", "kernel=3,90 is wider than"),
    ("conv channels=2 pool=80\noutput", "size=80 exceeds the layer's 20 frequencies"),
    ("conv channels=2 blocks=7\noutput", "blocks=7 does not fit 20 columns"),
    ("lstm cell=4 cell_clip=0\noutput", "cell_clip=0.0; give a number above 0"),
    ("gru cell=4 warmup=-1\noutput", "warmup=-1; give warmup=N with N at least 0"),
    ("batchnorm decay=1\noutput", "decay=1.0; give a number"),
    ("layernorm epsilon=0\noutput", "epsilon=0.0; give a number above 0"),
    ("output\nrelu", "net:2: 'relu' after 'output'; move 'output' to the end"),
    ("relu learning_rate_factor=0.5\noutput", "net:1: relu: learning_rate_factor has no effect"),
    ("affine dim=3 learning_rate_factor=-1\noutput", "learning_rate_factor=-1; give a number from"),
    ("affine dim=3 learning_rate_factor=x\noutput", "learning_rate_factor=x; give a number from"),
    ("output dim=3", "net:1: output: 'dim' is not known"),
    ("relu\n# no end", "net:2: the last layer is not 'output'; add"),
    ("", "net:1: the last layer is not 'output'"),
])
def test_faults_are_named(text, message):
    with pytest.raises(UserError) as caught:
        read_network(text, 20, 7, source="net")
    assert message in str(caught.value)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_arrays_there_and_back():
    network = read_network(TEXT, 10, 7, seed=2)
    network.forward(noise(4, 9, 10), True, np.random.default_rng(0))  # moves the statistics
    arrays = network.to_arrays()
    again = from_arrays(network.text, arrays)
    feats = noise(20, 10, seed=1)
    expected = network.log_posteriors(feats)
    np.testing.assert_array_equal(again.log_posteriors(feats), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(network)).log_posteriors(feats),
                                  expected)
    network.parameters["1.weights"][:] = 0  # the copies are no views
    np.testing.assert_array_equal(again.log_posteriors(feats), expected)
    assert arrays["1.weights"].any()
    with pytest.raises(UserError, match="m.npz: array '1.bias' is missing"):
        from_arrays(again.text, {k: v for k, v in arrays.items() if k != "1.bias"}, "m.npz")
    with pytest.raises(UserError, match=r"'1.bias' is \(3,\), the configuration wants \(64,\)"):
        from_arrays(again.text, {**arrays, "1.bias": np.zeros(3, np.float32)})
    with pytest.raises(UserError, match="'dims' is missing"):
        from_arrays(again.text, {})


@pytest.mark.parametrize("columns", [1, 7, 32, 64, 301])
def test_quantised_product_is_that_of_integers(columns):
    x, weights, bias = noise(9, columns), noise(70, columns, seed=1), noise(70, seed=2)
    x[3] = 0
    values, scales = quantize_rows(x)
    assert values.dtype == np.int8
    assert (np.abs(values).max(1) == np.where(np.arange(9) == 3, 0, 127)).all()
    assert (np.abs(values * scales[:, None] - x) <= 0.5001 * scales[:, None]).all()
    quantized, row_scales = quantize_rows(weights)
    product = values.astype(np.int32) @ quantized.T.astype(np.int32)
    np.testing.assert_allclose(
        quantized_product(x, quantized, row_scales, bias),
        product * scales[:, None].astype(np.float64) * row_scales + bias, rtol=1e-5, atol=1e-6)
    # A row is the same to the last bit, whatever is worked on with it.
    for cut in (1, 2, 5):
        np.testing.assert_array_equal(
            np.concatenate([quantized_product(part, quantized, row_scales, bias)
                            for part in (x[:cut], x[cut:])]),
            quantized_product(x, quantized, row_scales, bias))


def test_values_that_int8_cannot_hold_are_refused():
    with pytest.raises(UserError, match="not finite"):
        quantize_rows(np.array([[1.0, np.inf]], np.float32))
    with pytest.raises(UserError, match="not finite"):
        quantize_rows(np.array([[1.0, np.nan]], np.float32))
    # As good as zero, and its inverse would overflow.
    assert not quantize_rows(np.array([[1e-44, -1e-44]], np.float32))[0].any()


@pytest.mark.parametrize("text", [
    "splice offsets=-5:5\naffine dim=256\nrelu\naffine dim=256\nrelu\noutput",
    "tdnn dim=256\nrelu\nbatchnorm\ntdnn offsets=-3,0,3 dim=256\nrelu\noutput",
    "conv channels=32 kernel=3,5 pool=2\nrelu\nconv channels=48 kernel=1,3\nrelu\naffine dim=64\n"
    "relu\noutput",
    "affine dim=128\nrelu\nlstm cell=128 projection=64 warmup=3\naffine dim=128\nrelu\noutput",
    "affine dim=128\nrelu\ngru cell=128\noutput",
    "rnn cell=128\nlinear dim=64\noutput learning_rate_factor=0.5",
    "affine dim=128\ntdnnf dim=128 bottleneck=48\ntdnnf dim=128 bottleneck=48\noutput",
    "affine dim=128\nrelu\nattention heads=2 key=32 value=48\naffine dim=96\noutput"])
def test_quantised_network_is_small_and_near(text):
    network = read_network(text, 24, 50, seed=5)
    small = quantize(network)
    feats = noise(60, 24, seed=3)
    exact, near = network.log_posteriors(feats), small.log_posteriors(feats)
    assert np.abs(exact - near).mean() < 0.02 * exact.std()
    assert (exact.argmax(1) == near.argmax(1)).mean() > 0.9
    np.testing.assert_allclose(small.log_posteriors(feats, 7), near, rtol=1e-4, atol=1e-4)
    size = sum(array.nbytes for array in small.to_arrays().values())
    assert size <= 0.3 * sum(array.nbytes for array in network.to_arrays().values())
    assert (small.multiplications, small.text) == (network.multiplications, network.text)
    again = quantized_from_arrays(small.text, small.to_arrays())
    np.testing.assert_array_equal(again.log_posteriors(feats), near)
    assert f"{len(small.layers) - 1}.weights" not in small.parameters  # no float copy is left
    plain = quantized_from_arrays(network.text, network.to_arrays())
    np.testing.assert_array_equal(plain.log_posteriors(feats), exact)
    np.testing.assert_array_equal(network.log_posteriors(feats), exact)  # left as it was
    with pytest.raises(ValueError, match="cannot be trained"):
        small.forward(noise(1, 20, 24), True)


def test_frozen_text_has_the_same_arrays_and_draws_nothing():
    text = ("splice offsets=-1:1\naffine dim=6\nbatchnorm decay=0.8\nrelu\ndropout rate=0.5\n"
            "batchnorm frozen=true\noutput\n")
    network = read_network(text, 3, 4)
    frozen = read_network(frozen_text(text), 3, 4)
    frozen.load_arrays(network.to_arrays())
    x = np.random.default_rng(0).standard_normal((2, 8, 3)).astype(np.float32)
    # Without a generator of random numbers: dropout would ask for one.
    np.testing.assert_allclose(frozen.forward(x, True)[0], network.forward(x)[0], rtol=1e-5,
                               atol=1e-6)
    assert [layer.kind for layer in frozen.layers] == [layer.kind for layer in network.layers]


def test_a_quantised_layer_in_both_directions():
    network = read_network("bidirectional cell=64 projection=32\naffine dim=64\noutput", 24, 50)
    small, feats = quantize(network), noise(60, 24, seed=3)
    exact, near = network.log_posteriors(feats), small.log_posteriors(feats)
    assert 0 < np.abs(exact - near).mean() < 0.02 * exact.std()
    size = sum(array.nbytes for array in small.to_arrays().values())
    assert size <= 0.35 * sum(array.nbytes for array in network.to_arrays().values())
    again = quantized_from_arrays(small.text, small.to_arrays())
    np.testing.assert_array_equal(again.log_posteriors(feats), near)
    assert not small.streams


def test_layers_of_parts_travel_and_change_with_their_parts():
    network = read_network("affine dim=6\ntdnnf dim=6 bottleneck=3\nbidirectional cell=4\n"
                           "attention key=2 value=3\noutput learning_rate_factor=0", 5, 3)
    feats = noise(20, 5)
    expected = network.log_posteriors(feats)
    for other in (pickle.loads(pickle.dumps(network)), copy.deepcopy(network),
                  from_arrays(network.text, network.to_arrays()).for_inference()):
        np.testing.assert_allclose(other.log_posteriors(feats), expected, rtol=1e-5, atol=1e-5)
        for array in other.parameters.values():
            array *= 0.5  # in place: what trains the network
        halved = other.log_posteriors(feats)
        assert np.abs(halved - expected).max() > 0.01
        assert other.text == network.text
        assert other.rate_factors == {"4.weights": 0.0, "4.bias": 0.0}
    exact = network.astype(np.float64).log_posteriors(feats.astype(np.float64))
    assert exact.dtype == np.float64
    np.testing.assert_allclose(exact, expected, rtol=1e-4, atol=1e-4)
