"""Both directions against two layers run by hand; whole utterances however they come."""

import numpy as np
import pytest
from scipy.special import log_softmax

from hybridasr.errors import UserError
from hybridasr.nnet.network_text import LAYERS, read_network
from hybridasr.options import from_strings

TEXT = "bidirectional cell=4 warmup=2\naffine dim=5\nrelu\nbidirectional unit=gru cell=3\noutput"


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("line", "unit", "values"), [
    ("bidirectional cell=4 projection=3 warmup=2", "lstm", {"cell": "4", "projection": "3"}),
    ("bidirectional unit=gru cell=4 warmup=2", "gru", {"cell": "4"}),
    ("bidirectional unit=rnn cell=4 warmup=2", "rnn", {"cell": "4"})])
def test_both_directions_by_hand(line, unit, values):
    layer = read_network(f"{line}\noutput", 5, 3).layers[0]
    x = noise(2, 9, 5)
    found = layer.forward(x)[0]
    columns = found.shape[2] // 2
    kind = LAYERS[unit]
    for place, (frames, part) in enumerate((
            (x[:, :-2], "forward"), (x[:, 2:][:, ::-1], "backward"))):
        one = kind(from_strings(kind.options_class, values, ""), 5, 1, np.random.default_rng(0))
        for name, array in one.parameters.items():
            array[...] = layer.parameters[f"{part}.{name}"]
        y = one.forward(frames.copy())[0][:, 2:]
        y = y[:, ::-1] if place else y
        np.testing.assert_allclose(found[:, :, place * columns:(place + 1) * columns], y,
                                   rtol=1e-5, atol=1e-6)


def test_a_whole_utterance_whatever_the_pieces():
    network = read_network(TEXT, 6, 4, seed=2)
    assert not network.streams
    feats = noise(50, 6)
    whole = network.log_posteriors(feats)
    np.testing.assert_array_equal(network.log_posteriors(feats, 7), whole)
    stream = network.stream()
    assert [len(stream.push(feats[t:t + 9])) for t in range(0, 50, 9)] == [0] * 6
    logits = stream.finish()
    np.testing.assert_allclose(log_softmax(logits, axis=1), whole, rtol=1e-5, atol=1e-5)
    assert network.stream().finish().shape == (0, 4)
    # The last frame changes what is said of the first.
    feats[-1] += 5
    assert not np.array_equal(network.log_posteriors(feats)[0], whole[0])


def test_layers_that_stream_are_told_apart():
    assert read_network("lstm cell=3\nattention key=2 value=2\noutput", 4, 3).streams
    with pytest.raises(ValueError, match="needs the whole utterance"):
        read_network(TEXT, 6, 4).layers[0].advance(noise(1, 3, 6), None)


def test_a_projection_is_for_lstm():
    with pytest.raises(UserError, match="projection=2 is for unit=lstm"):
        read_network("bidirectional unit=gru cell=3 projection=2\noutput", 4, 3)
    with pytest.raises(UserError, match="unit=elman; choose from lstm, gru, rnn"):
        read_network("bidirectional unit=elman cell=3\noutput", 4, 3)


def test_every_third_frame_of_a_whole_utterance():
    network = read_network(f"splice offsets=-1:1 stride=3\n{TEXT}", 6, 4, seed=2)
    feats = noise(50, 6)
    stream = network.stream()
    stream.push(feats)
    logits = stream.finish()
    assert len(logits) == network.num_outputs(50) == 17
    np.testing.assert_allclose(log_softmax(logits, axis=1), network.log_posteriors(feats, 7),
                               rtol=1e-5, atol=1e-5)
