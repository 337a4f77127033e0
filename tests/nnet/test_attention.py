"""Attention over a window: against plain loops, in a stream to the last bit."""

import numpy as np
import pytest
from scipy.special import softmax

from hybridasr.errors import UserError
from hybridasr.nnet.network_text import read_network

TEXT = "attention heads=2 key=3 value=4 before=2 after=1 spacing=2\noutput"


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def by_loops(x, weights, bias, o):
    """Attention of one utterance (time, dim), in float64."""
    p = x.astype(np.float64) @ weights.T + bias
    keys, values, queries = np.split(p, [o.heads * o.key, o.heads * (o.key + o.value)], axis=1)
    keys, values, queries = (a.reshape(len(x), o.heads, -1) for a in (keys, values, queries))
    rows = []
    for t in range(o.before * o.spacing, len(x) - o.after * o.spacing):
        row = []
        for head in range(o.heads):
            at = [t + j * o.spacing for j in range(-o.before, o.after + 1)]
            query, place = queries[t, head, :o.key], queries[t, head, o.key:]
            weight = softmax(keys[at, head] @ query / np.sqrt(o.key) + place)
            row += [weight @ values[at, head], weight]
        rows.append(np.concatenate(row))
    return np.array(rows)


def test_attention_is_that_of_plain_loops():
    layer = read_network(TEXT, 5, 3).layers[0]
    x = noise(2, 12, 5)
    found = layer.forward(x)[0]
    assert (layer.left, layer.right) == (4, 2)
    assert found.shape == (2, 6, 2 * (4 + 4))
    for one, frames in zip(found, x, strict=True):
        expected = by_loops(frames, layer.parameters["affine.weights"],
                            layer.parameters["affine.bias"], layer.options)
        np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-5)
    weights = found.reshape(2, 6, 2, 8)[..., 4:]
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)


def test_large_scores_do_not_overflow():
    layer = read_network(TEXT, 5, 3).layers[0]
    assert np.isfinite(layer.forward(1e4 * noise(1, 12, 5))[0]).all()


@pytest.mark.parametrize("pieces", [(1,) * 20, (8, 8, 4), (3, 17), (20,)])
def test_a_stream_attends_to_the_last_bit(pieces):
    """The same projected frames give the same sums however many outputs are worked out at once."""
    layer = read_network(TEXT, 5, 3).layers[0]
    x = noise(1, 20, 5)
    # By frames, as products of other numbers of rows may round otherwise.
    projected = np.concatenate([layer.parts["affine"].forward(x[:, t:t + 1])[0]
                                for t in range(20)], axis=1)
    whole = layer._attend(projected)
    layer.parts["affine"].forward = lambda frames, train=False: (frames, None)
    state, found, begin = None, [], 0
    for piece in pieces:
        y, state = layer.advance(projected[:, begin:begin + piece], state)
        found.append(y)
        begin += piece
    np.testing.assert_array_equal(np.concatenate(found, axis=1), whole)


def test_a_window_too_wide_is_refused():
    with pytest.raises(UserError, match="too wide; give 999 at most"):
        read_network("attention key=2 value=2 before=600 after=400\noutput", 5, 3)
    with pytest.raises(UserError, match="key=0; give key=N"):
        read_network("attention value=2\noutput", 5, 3)
    with pytest.raises(UserError, match="weights a layer"):
        read_network("attention key=9000 value=9000 heads=9\noutput", 5, 3)
