"""Networks that score every second or third frame: against the same network at the full rate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridasr.errors import UserError
from hybridasr.nnet.acoustics import NnetAcoustics
from hybridasr.nnet.network_text import _read_layer, read_network
from hybridasr.nnet.quantize import network_from_arrays, quantize
from hybridasr.nnet.speaker import _windows, with_speaker_priors

# A network, the same with layers at the full rate and wider offsets in place of strides, and the
# rate. Batchnorm and the like know nothing of frames.
PAIRS = [
    ("splice offsets=-2:2 stride=3\naffine dim=7\nrelu\ntdnn offsets=-1,0,1 dim=6\nbatchnorm\n"
     "output",
     "splice offsets=-2:2\naffine dim=7\nrelu\ntdnn offsets=-3,0,3 dim=6\nbatchnorm\noutput", 3),
    ("tdnn offsets=-1,0,2 dim=6\nrelu\ntdnn offsets=-2,1 dim=6 stride=2\ntanh\n"
     "splice offsets=-3,0\noutput",
     "tdnn offsets=-1,0,2 dim=6\nrelu\ntdnn offsets=-2,1 dim=6\ntanh\nsplice offsets=-6,0\noutput",
     2),
    ("affine dim=5\nsplice offsets=0 stride=3\nrelu\noutput", "affine dim=5\nsplice offsets=0\n"
     "relu\noutput", 3),
    ("splice offsets=1 stride=3\naffine dim=5\noutput", "splice offsets=1\naffine dim=5\noutput",
     3),
]
OTHERS = [
    "conv channels=3 kernel=3,3 pool=2 time_stride=2\nrelu\nsplice offsets=-1:1\noutput",
    "tdnn offsets=-1,0,1 dim=6 stride=3\nrelu\nlstm cell=5 warmup=2\nsplice offsets=0,2\noutput",
]
DIM, CLASSES = 8, 5
TEXTS = [pair[0] for pair in PAIRS] + OTHERS


def noise(*shape, seed=3):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def plain_layer(line, dim=DIM):
    return _read_layer(line.split(), dim, 1, 4, np.random.default_rng(0))


@pytest.mark.parametrize("line", ["splice offsets=-2,0,1", "splice offsets=-1:1",
                                  "splice offsets=2", "tdnn offsets=-1,2 dim=3",
                                  "conv channels=2 kernel=3,3",
                                  "conv channels=2 kernel=4,2 pool=2"])
@pytest.mark.parametrize("stride", [2, 3, 5])
def test_a_layer_computes_some_frames_of_the_full_rate(line, stride):
    full = plain_layer(line)
    some = plain_layer(f"{line} {'time_' * line.startswith('conv')}stride={stride}")
    for frames in range(full.left + full.right + 1, 13):
        x = noise(2, frames, DIM)
        expected = full.forward(x)[0][:, ::stride]
        found = some.forward(x)[0]
        assert found.shape[1] == some.steps(frames) == expected.shape[1]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert plain_layer(some.text).stride == stride


@pytest.mark.parametrize(("text", "full", "rate"), PAIRS)
def test_a_network_scores_some_frames_of_the_full_rate(text, full, rate):
    network, whole = (read_network(one, DIM, CLASSES, seed=2) for one in (text, full))
    whole.load_arrays(network.to_arrays())
    assert (network.subsampling, whole.subsampling) == (rate, 1)
    assert (network.left_context, network.right_context) == (whole.left_context,
                                                             whole.right_context)
    for frames in (*range(1, 8), 40):
        feats = noise(frames, DIM, seed=frames)
        found = network.log_posteriors(feats)
        # Output t is that of the input frame t * rate.
        assert len(found) == network.num_outputs(frames) == -(-frames // rate)
        np.testing.assert_allclose(found, whole.log_posteriors(feats)[::rate], rtol=1e-5,
                                   atol=1e-5)
    # A training chunk of N outputs needs (N - 1) * rate + 1 frames and the context.
    need = network.left_context + network.right_context + 3 * rate + 1
    assert [network.forward(noise(1, need + more, DIM))[0].shape[1]
            for more in (-1, 0, rate - 1, rate)] == [3, 4, 4, 5]


@pytest.mark.parametrize("text", TEXTS)
@settings(max_examples=25, deadline=None)
@given(frames=st.integers(0, 30), data=st.data())
def test_streams_are_the_whole_however_cut(text, frames, data):
    network = read_network(text, DIM, CLASSES, seed=1)
    cuts = sorted(data.draw(st.lists(st.integers(0, frames), max_size=12)))
    feats, stream = noise(frames, DIM, seed=frames), network.stream()
    parts = [stream.push(piece) for piece in np.split(feats, cuts)] + [stream.finish()]
    found = np.concatenate(parts)
    assert found.shape == (network.num_outputs(frames), CLASSES)
    if frames:
        whole = network.forward(network.with_context(feats)[None])[0][0]
        np.testing.assert_allclose(found, whole, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(np.concatenate(list(network.chunked(feats, 7))), whole,
                                   rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(network.log_posteriors(feats, 4), network.log_posteriors(feats),
                                   rtol=1e-5, atol=1e-5)
    # No output waits for more than the right context.
    stream = network.stream()
    counts = np.cumsum([len(stream.push(feats[t:t + 1])) for t in range(frames)])
    assert counts.tolist() == [network.num_outputs(max(0, t + 1 - network.right_context))
                               for t in range(frames)]


@pytest.mark.parametrize("text", TEXTS)
def test_int8_networks_keep_the_rate(text):
    network = read_network(text, DIM, CLASSES, seed=1)
    small = quantize(network)
    again = network_from_arrays(network.text, small.to_arrays())
    assert small.subsampling == again.subsampling == network.subsampling > 1
    feats = noise(31, DIM)
    for one in (small, again):
        found = one.log_posteriors(feats)
        np.testing.assert_allclose(found, network.log_posteriors(feats), atol=0.15)
        stream = one.stream()
        parts = [stream.push(feats[:13]), stream.push(feats[13:]), stream.finish()]
        np.testing.assert_array_equal(np.concatenate(parts).argmax(1), found.argmax(1))


@pytest.mark.parametrize("text", [
    "splice offsets=-1:1 stride=3\naffine dim=5\nsigmoid\nsplice offsets=-3,0,3\naffine dim=4\n"
    "relu\nsplice offsets=-6,2\noutput\n",
    "conv channels=2 kernel=3,3 time_stride=2\nrelu\nsplice offsets=-5,0,4\noutput\n",
    "affine dim=5\nrelu\nsplice offsets=-4,0,4 stride=3\noutput\n"])
def test_single_frames_window_by_window(text):
    """Training on one frame against the same frame in the middle of the whole computation."""
    rng = np.random.default_rng(3)
    network = read_network(text, DIM, CLASSES).astype(np.float64)
    frames = network.left_context + network.right_context + 1
    x, dlogits = rng.standard_normal((7, frames, DIM)), rng.standard_normal((7, 1, CLASSES))
    logits, caches = network.forward(x, True, rng)
    assert caches[network._join] is None
    logits, grads = logits.copy(), network.backward(dlogits.copy(), caches)
    grads = {name: array.copy() for name, array in grads.items()}
    network._join = -1
    wanted, caches = network.forward(x, True, rng)
    np.testing.assert_allclose(logits, wanted, rtol=1e-12, atol=1e-12)
    for name, array in network.backward(dlogits.copy(), caches).items():
        np.testing.assert_allclose(grads[name], array, rtol=1e-10, atol=1e-12, err_msg=name)


def test_multiplications_are_of_an_output():
    network = read_network("affine dim=5\nsplice offsets=0,1 stride=3\naffine dim=4\noutput", DIM,
                           CLASSES)
    assert network.multiplications == 3 * DIM * 5 + 10 * 4 + 4 * CLASSES


def test_too_few_scores_are_refused():
    text = "splice offsets=0 stride=2\naffine dim=3\nsplice offsets=0 stride=2\noutput\n"
    with pytest.raises(UserError, match=r"net:3: splice: one output for 4 frames; .*at most 3"):
        read_network(text, 2, 3, source="net")
    for line in ("splice stride=0", "tdnn dim=3 stride=-1", "conv channels=2 time_stride=0"):
        with pytest.raises(UserError, match="stride=(0|-1); give"):
            read_network(f"{line}\noutput\n", 4, 3)


def test_a_speaker_is_weighed_by_frames():
    """Priors count as many frames at any rate; a network is fitted to those that it scores."""
    network = read_network("splice offsets=-1:1 stride=3\nlayernorm\noutput\n", 4, CLASSES, seed=2)
    acoustics = NnetAcoustics(network, np.log(np.full(CLASSES, 1 / CLASSES, np.float32)),
                              np.zeros(4, np.float32), np.ones(4, np.float32))
    assert acoustics.subsampling == 3
    speech = [noise(10, 4), noise(8, 4, seed=5)]
    frames, places = _windows(acoustics, speech)
    np.testing.assert_array_equal(frames[places],
                                  np.concatenate([one[::3] for one in speech]))
    heard = sum(np.exp(acoustics.log_posteriors(one)).sum(0) for one in speech)
    found = with_speaker_priors(acoustics, speech, [], 21.0)
    np.testing.assert_allclose(np.exp(found.log_priors), (21 / CLASSES + 3 * heard) / 42,
                               rtol=1e-5)
