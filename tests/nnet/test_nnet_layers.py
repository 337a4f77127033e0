"""Layers' outputs against plain loops, scipy, and what they promise; chunks against the whole."""

import numpy as np
import pytest
from scipy.signal import correlate2d
from scipy.special import expit, log_softmax

from hybridasr.nnet import convolution
from hybridasr.nnet.network_text import _read_layer, read_network
from hybridasr.nnet.optim import Adam, AdamOptions

RNG = 11


def make(line, dim, channels=1, seed=0):
    layer = _read_layer(line.split(), dim, channels, 4, np.random.default_rng(seed))
    rng = np.random.default_rng(seed + 1)
    for array in layer.parameters.values():
        array += 0.1 * rng.standard_normal(array.shape).astype(np.float32)
    return layer


def noise(*shape, seed=RNG):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_outputs_are_float32_and_the_same_in_training():
    for line in ("affine dim=3", "relu", "sigmoid", "tanh", "pnorm dim=2", "renorm", "layernorm",
                 "splice offsets=-1,1", "tdnn dim=2", "conv channels=2 pool=2", "maxpool size=3",
                 "lstm cell=3", "gru cell=3", "rnn cell=3", "bidirectional cell=3",
                 "attention key=2 value=3 before=2 after=1",
                 "linear dim=3"):
        layer = make(line, 8)
        x = noise(2, 5, 8)
        kept = x.copy()
        y = layer.forward(x)[0]
        assert y.dtype == np.float32, line
        np.testing.assert_allclose(layer.forward(x, True)[0], y, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(x, kept, err_msg=line)


def test_affine_and_activations():
    layer, x = make("affine dim=4", 6), noise(2, 3, 6)
    expected = x @ layer.parameters["weights"].T + layer.parameters["bias"]
    np.testing.assert_allclose(layer.forward(x)[0], expected, rtol=1e-5, atol=1e-6)
    x[0, 0, :2] = 200, -200
    for line, function in (("relu", lambda v: np.maximum(v, 0)), ("sigmoid", expit),
                           ("tanh", np.tanh)):
        np.testing.assert_allclose(make(line, 6).forward(x)[0], function(x), rtol=1e-5, atol=1e-7)
    assert np.isnan(make("relu", 1).forward(np.full((1, 1, 1), np.nan, np.float32))[0]).all()


def test_splice_and_tdnn_by_loops():
    x = noise(2, 6, 3)
    splice = make("splice offsets=-2,0,1", 3)
    y = splice.forward(x)[0]
    assert (splice.left, splice.right, y.shape) == (2, 1, (2, 3, 9))
    for t in range(3):
        np.testing.assert_array_equal(y[:, t], np.concatenate(
            [x[:, t], x[:, t + 2], x[:, t + 3]], axis=1))
    tdnn = make("tdnn offsets=-2,0,1 dim=4", 3)
    expected = y @ tdnn.parameters["weights"].T + tdnn.parameters["bias"]
    np.testing.assert_allclose(tdnn.forward(x)[0], expected, rtol=1e-5, atol=1e-6)
    # One output frame of neighbours is the chunk itself.
    np.testing.assert_array_equal(make("splice offsets=-3:2", 3).forward(x)[0], x.reshape(2, 1, 18))


def test_pnorm_and_renorm_by_loops():
    x = noise(1, 4, 12)
    x[0, 1, :4] = 0
    y = make("pnorm dim=3", 12).forward(x)[0]
    for t in range(4):
        for group in range(3):
            assert y[0, t, group] == pytest.approx(
                sum(float(v) ** 2 for v in x[0, t, 4 * group:4 * group + 4]) ** 0.5, rel=1e-6)
    z = make("renorm", 12).forward(7 * x)[0]
    np.testing.assert_allclose(np.sqrt((z**2).mean(2)), 1.0, rtol=1e-6)
    np.testing.assert_allclose(z[0, 0] / z[0, 0, 0], x[0, 0] / x[0, 0, 0], rtol=1e-5)
    assert (make("renorm", 3).forward(np.zeros((1, 2, 3), np.float32))[0] == 0).all()


def test_layernorm():
    layer, x = make("layernorm", 9), 3 + 2 * noise(2, 3, 9)
    normal = (x - x.mean(2, keepdims=True)) / np.sqrt(x.var(2, keepdims=True) + 1e-5)
    expected = normal * layer.parameters["scale"] + layer.parameters["shift"]
    np.testing.assert_allclose(layer.forward(x)[0], expected, rtol=1e-4, atol=1e-5)


def test_batchnorm_trains_on_the_batch_and_runs_on_the_average():
    layer = make("batchnorm decay=0.5", 4)
    scale, shift = layer.parameters["scale"], layer.parameters["shift"]
    mean, variance = np.zeros(4), np.ones(4)
    for seed in range(3):
        x = 5 + 3 * noise(6, 2, 4, seed=seed)
        flat = x.reshape(-1, 4).astype(np.float64)
        expected = (x - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-3) * scale + shift
        np.testing.assert_allclose(layer.forward(x, True)[0], expected, rtol=1e-4, atol=1e-5)
        mean = 0.5 * mean + 0.5 * flat.mean(0)
        variance = 0.5 * variance + 0.5 * flat.var(0)
    np.testing.assert_allclose(layer.statistics["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(layer.statistics["variance"], variance, rtol=1e-5)
    expected = (x - mean) / np.sqrt(variance + 1e-3) * scale + shift
    np.testing.assert_allclose(layer.forward(x)[0], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.statistics["mean"], mean, rtol=1e-5)  # inference moves nothing


def test_frozen_batchnorm_trains_as_it_runs():
    layer, x = make("batchnorm frozen=true", 4), 5 + 3 * noise(6, 2, 4)
    kept = {name: array.copy() for name, array in layer.statistics.items()}
    np.testing.assert_array_equal(layer.forward(x, True)[0], layer.forward(x)[0])
    for name, array in kept.items():
        np.testing.assert_array_equal(layer.statistics[name], array)


def test_dropout_drops_its_share_and_keeps_the_mean():
    layer = make("dropout rate=0.3", 50)
    x = np.ones((40, 10, 50), np.float32)
    assert layer.forward(x)[0] is x
    y = layer.forward(x, True, np.random.default_rng(0))[0]
    assert abs((y == 0).mean() - 0.3) < 0.01
    np.testing.assert_allclose(y[y > 0], 1 / 0.7, rtol=1e-4)
    with pytest.raises(ValueError, match="give forward"):
        layer.forward(x, True)


@pytest.mark.parametrize(("kernel", "stride", "padding", "blocks"),
                         [("3,3", 1, -1, 1), ("2,5", 2, 3, 1), ("3,2", 1, 0, 3)])
def test_conv_is_scipys(kernel, stride, padding, blocks):
    channels = 1 if blocks > 1 else 2
    inputs = max(blocks, channels)
    layer = make(f"conv channels=3 kernel={kernel} stride={stride} padding={padding} "
                 f"blocks={blocks}", 9 * inputs, channels)
    x = noise(2, 6, 9 * inputs)
    maps = (x.reshape(2, 6, 9, 2) if blocks == 1
            else x.reshape(2, 6, 3, 9).transpose(0, 1, 3, 2))
    frames, width = (int(v) for v in kernel.split(","))
    padding = (width - 1) // 2 if padding < 0 else padding
    maps = np.pad(maps, ((0, 0), (0, 0), (padding, padding), (0, 0)))
    weights = layer.parameters["weights"].reshape(3, frames, width, inputs)
    found = layer.forward(x)[0].reshape(2, 6 - frames + 1, -1, 3)
    for b in range(2):
        for o in range(3):
            expected = layer.parameters["bias"][o] + sum(
                correlate2d(maps[b, :, :, c], weights[o, :, :, c], mode="valid")
                for c in range(inputs))
            np.testing.assert_allclose(found[b, :, :, o], expected[:, ::stride], rtol=1e-4,
                                       atol=1e-5)


def test_pooling_takes_the_largest():
    x = noise(2, 3, 14)
    expected = x.reshape(2, 3, 7, 2)[:, :, :6].reshape(2, 3, 2, 3, 2).max(3).reshape(2, 3, 4)
    np.testing.assert_array_equal(make("maxpool size=3", 14, 2).forward(x)[0], expected)
    plain, pooled = make("conv channels=2 kernel=1,3", 7), make("conv channels=2 kernel=1,3 pool=3",
                                                                7)
    x = noise(2, 3, 7)
    np.testing.assert_array_equal(pooled.forward(x)[0],
                                  make("maxpool size=3", 14, 2).forward(plain.forward(x)[0])[0])


@pytest.mark.parametrize("projection", [0, 2])
def test_lstm_by_a_loop(projection):
    layer = make(f"lstm cell=3 projection={projection} warmup=2", 4)
    p = {name: array.astype(np.float64) for name, array in layer.parameters.items()}
    x = noise(2, 6, 4)
    found = layer.forward(x)[0]
    assert found.shape == (2, 4, projection or 3)
    for b in range(2):
        h, c = np.zeros(projection or 3), np.zeros(3)
        for t in range(6):
            i, f, g, o = np.split(p["weights"] @ x[b, t] + p["recurrent"] @ h + p["bias"], 4)
            c = expit(f) * c + expit(i) * np.tanh(g)
            h = expit(o) * np.tanh(c)
            h = p["projection"] @ h if projection else h
            if t >= 2:
                np.testing.assert_allclose(found[b, t - 2], h, rtol=1e-4, atol=1e-6)


def test_gru_by_a_loop():
    layer = make("gru cell=3", 4)
    p = {name: array.astype(np.float64) for name, array in layer.parameters.items()}
    x = noise(2, 6, 4)
    found = layer.forward(x)[0]
    for b in range(2):
        h = np.zeros(3)
        for t in range(6):
            ar, az, an = np.split(p["weights"] @ x[b, t] + p["bias"], 3)
            br, bz, bn = np.split(p["recurrent"] @ h, 3)
            z = expit(az + bz)
            n = np.tanh(an + expit(ar + br) * (bn + p["recurrent_bias"]))
            h = (1 - z) * n + z * h
            np.testing.assert_allclose(found[b, t], h, rtol=1e-4, atol=1e-6)


def test_rnn_by_a_loop():
    layer = make("rnn cell=3 warmup=1", 4)
    p = {name: array.astype(np.float64) for name, array in layer.parameters.items()}
    x, h = noise(1, 6, 4), np.zeros(3)
    found = layer.forward(x)[0]
    assert found.shape == (1, 5, 3)
    for t in range(6):
        h = np.tanh(p["weights"] @ x[0, t] + p["recurrent"] @ h + p["bias"])
        if t:
            np.testing.assert_allclose(found[0, t - 1], h, rtol=1e-4, atol=1e-6)
    recurrent = read_network("rnn cell=40\noutput", 4, 3).parameters["0.recurrent"]
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(40), atol=1e-5)


NETWORKS = [
    "splice offsets=-5:5\naffine dim=8\nrelu\nbatchnorm\noutput",
    "tdnn offsets=-1,0,1 dim=8\nrelu\nrenorm\ntdnn offsets=-3,0,2 dim=6\ntanh\noutput",
    "tdnn offsets=-2,0 dim=8\nlstm cell=6 projection=4\ntdnn offsets=0,3 dim=5\ngru cell=4\noutput",
    "conv channels=3 kernel=3,3 pool=2\nrelu\nlstm cell=5 warmup=4\nlayernorm\noutput",
    "attention heads=2 key=3 value=4 before=3 after=2 spacing=2\nrnn cell=5 warmup=2\noutput",
    "affine dim=6\ntdnnf dim=6 bottleneck=3\ntdnnf dim=6 bottleneck=3 offset=3\nlinear dim=4\n"
    "output",
]


@pytest.mark.parametrize("text", NETWORKS)
@pytest.mark.parametrize("chunk", [1, 3, 16, 1000])
def test_chunks_are_the_whole(text, chunk):
    network = read_network(text, 8, 5, seed=1)
    for frames in (1, 2, 40):
        feats = noise(frames, 8, seed=frames)
        whole = network.log_posteriors(feats)
        assert whole.shape == (frames, 5)
        np.testing.assert_allclose(network.log_posteriors(feats, chunk), whole, rtol=1e-5,
                                   atol=1e-5)
        parts = list(network.chunked(feats, chunk))
        assert len(parts) == -(-frames // chunk) + 1  # and what waited for the right context
        np.testing.assert_allclose(log_softmax(np.concatenate(parts), axis=1), whole, rtol=1e-5,
                                   atol=1e-5)


@pytest.mark.parametrize("text", NETWORKS[:2])
def test_utterance_is_its_frames_in_training_chunks(text):
    network = read_network(text, 8, 5, seed=1)
    feats = noise(12, 8)
    left, right = network.left_context, network.right_context
    padded = np.concatenate([feats[:1]] * left + [feats] + [feats[-1:]] * right)
    chunks = np.stack([padded[t:t + left + 1 + right] for t in range(12)])
    logits = network.forward(chunks)[0]
    assert logits.shape == (12, 1, 5)
    np.testing.assert_allclose(network.log_posteriors(feats), log_softmax(logits[:, 0], axis=1),
                               rtol=1e-5, atol=1e-5)


def test_wrong_shapes_are_named():
    network = read_network(NETWORKS[0], 8, 5)
    with pytest.raises(ValueError, match="has 8 columns"):
        network.forward(noise(2, 11, 7))
    with pytest.raises(ValueError, match="context is 5 . 5"):
        network.forward(noise(2, 10, 8))
    with pytest.raises(ValueError, match="has 8 columns"):
        network.log_posteriors(noise(4, 9))
    assert network.log_posteriors(noise(0, 8)).shape == (0, 5)
    assert network.log_posteriors(noise(0, 8), 4).shape == (0, 5)


@pytest.mark.parametrize("text", NETWORKS)
def test_layout_for_inference_changes_no_result(text):
    network, other = (read_network(text, 8, 5, seed=1) for _ in range(2))
    feats = noise(20, 8)
    np.testing.assert_allclose(other.for_inference().log_posteriors(feats),
                               network.log_posteriors(feats), rtol=1e-5, atol=1e-5)
    for name, array in network.to_arrays().items():
        np.testing.assert_array_equal(other.to_arrays()[name], array)
        assert other.to_arrays()[name].flags.c_contiguous
    with pytest.raises(ValueError, match="laid out for inference"):
        Adam(AdamOptions(), other.parameters)


@pytest.mark.parametrize("pool", [1, 2])
def test_conv_in_parts_is_the_whole(pool, monkeypatch):
    """Patches are cut some frames at a time; the number of frames is no matter."""
    x, results = noise(3, 9, 10), []
    for block in (convolution.BLOCK, 1):
        monkeypatch.setattr(convolution, "BLOCK", block)
        layer = make(f"conv channels=4 kernel=3,3 pool={pool}", 10)
        y, cache = layer.forward(x, True)
        dx, grads = layer.backward(np.cos(y), cache)
        results.append([y.copy(), dx.copy(), grads["weights"], grads["bias"]])
    for first, second in zip(*results, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_draws_of_dropout_are_16_bits_a_value(rate):
    layer, x = make(f"dropout rate={rate}", 6), np.ones((3, 2, 6), np.float32)
    y = layer.forward(x, True, np.random.default_rng(4))[0]
    draws = np.random.default_rng(4).integers(0, 65536, x.shape, np.uint16)
    np.testing.assert_array_equal(y > 0, draws >= round(rate * 65536))


def test_moments_of_many_rows():
    """Sums in strips of rows keep the precision, also far from 0."""
    x = 50 + noise(1000, 1, 3)
    layer = make("batchnorm decay=0", 3)
    layer.forward(x, True)
    exact = x.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(layer.statistics["mean"], exact.mean(0), rtol=1e-6)
    np.testing.assert_allclose(layer.statistics["variance"], exact.var(0), rtol=1e-5)


@pytest.mark.parametrize("text", [
    "conv channels=3 kernel=3,4 pool=2\nrelu\nsplice offsets=-5,-1,0,4\naffine dim=6\nrelu\n"
    "output\n",
    "splice offsets=-1:1\naffine dim=5\nsigmoid\nsplice offsets=-3,0,3\naffine dim=4\nrelu\n"
    "splice offsets=-6,2\noutput\n"])
def test_single_frames_window_by_window(text):
    """Training on one frame against the same frame in the middle of the whole computation."""
    rng = np.random.default_rng(3)
    network = read_network(text, 8, 4).astype(np.float64)
    frames = network.left_context + network.right_context + 1
    x = rng.standard_normal((7, frames, 8))
    dlogits = rng.standard_normal((7, 1, 4))
    assert network._join > 0
    logits, caches = network.forward(x, True, rng)
    assert caches[network._join] is None
    logits, grads = logits.copy(), network.backward(dlogits.copy(), caches)
    grads = {name: array.copy() for name, array in grads.items()}
    network._join = -1
    wanted, caches = network.forward(x, True, rng)
    np.testing.assert_allclose(logits, wanted, rtol=1e-12, atol=1e-12)
    for name, array in network.backward(dlogits.copy(), caches).items():
        np.testing.assert_allclose(grads[name], array, rtol=1e-10, atol=1e-12, err_msg=name)


def test_where_all_frames_are_needed_nothing_is_cut():
    for text in ("splice offsets=-2:2\naffine dim=3\noutput\n",  # no trained layer below
                 "affine dim=3\nsplice offsets=-2:2\noutput\n",  # every frame is taken
                 "affine dim=3\nsplice offsets=-2,2\nlstm cell=3\noutput\n",
                 "lstm cell=3\nsplice offsets=-2,2\noutput\n",
                 "bidirectional cell=3\nsplice offsets=-2,2\noutput\n"):
        assert read_network(text, 4, 3)._join == -1
