"""The denominator against the enumeration of all its paths, and against finite differences."""

import numpy as np
import pytest
from chain_world import (
    every_path,
    flat_tree,
    left_tree,
    phone_graph,
    random_outputs,
    summed,
)

from hybridasr.chain.den_loss import LANES, den_loss


@pytest.mark.parametrize("tree", [left_tree(), flat_tree()], ids=["left", "flat"])
@pytest.mark.parametrize(("leaky", "time"), [(0.0, 5), (0.05, 3)])
def test_sums_over_all_paths(tree, leaky, time):
    graph = phone_graph(tree).denominator()
    outputs = random_outputs(2, time, graph.num_pdfs)
    log_probs, occupation = den_loss(outputs, np.array([time, time - 1]), graph, leaky)
    for chunk, length in enumerate((time, time - 1)):
        wanted, shares = summed(every_path(graph, length, leaky), outputs[chunk, :length])
        assert log_probs[chunk] == pytest.approx(wanted, abs=1e-5)
        np.testing.assert_allclose(occupation[chunk, :length], shares, rtol=0, atol=2e-6)
        assert not occupation[chunk, length:].any()


def test_occupation_is_the_gradient():
    graph = phone_graph().denominator()
    outputs = random_outputs(1, 7, graph.num_pdfs, seed=4)
    lengths = np.array([7])
    _, occupation = den_loss(outputs, lengths, graph, 0.01)
    for t, pdf in [(0, 0), (2, 3), (4, 7), (6, 1)]:
        step = 2.0**-6
        values = []
        for sign in (1, -1):
            moved = outputs.copy()
            moved[0, t, pdf] += sign * step
            values.append(den_loss(moved, lengths, graph, 0.01)[0][0])
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(occupation[0, t, pdf],
                                                                    abs=2e-4)


def test_many_chunks_of_many_lengths_are_as_one_by_one():
    graph = phone_graph().denominator()
    num_chunks = LANES + 3
    outputs = random_outputs(num_chunks, 9, graph.num_pdfs, seed=2)
    lengths = 1 + np.arange(num_chunks) % 9
    log_probs, occupation = den_loss(outputs, lengths, graph)
    for chunk in range(num_chunks):
        alone, own = den_loss(outputs[chunk:chunk + 1, :lengths[chunk]], lengths[chunk:chunk + 1],
                              graph)
        assert log_probs[chunk] == pytest.approx(alone[0], abs=1e-6)
        np.testing.assert_allclose(occupation[chunk, :lengths[chunk]], own[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(occupation.sum(axis=2),
                               (np.arange(9) < lengths[:, None]).astype(float), rtol=0, atol=1e-5)


def test_long_chunks_with_large_outputs_stay_finite():
    graph = phone_graph().denominator()
    outputs = 40 * random_outputs(2, 400, graph.num_pdfs, seed=3)
    log_probs, occupation = den_loss(outputs, np.array([400, 400]), graph)
    assert np.isfinite(log_probs).all()
    assert np.isfinite(occupation).all()
    np.testing.assert_allclose(occupation.sum(axis=2), 1.0, rtol=0, atol=1e-4)


def test_what_does_not_fit_is_refused():
    graph = phone_graph().denominator()
    with pytest.raises(ValueError, match="pdfs"):
        den_loss(random_outputs(1, 4, 3), np.array([4]), graph)
    with pytest.raises(ValueError, match="lengths from 5"):
        den_loss(random_outputs(1, 4, graph.num_pdfs), np.array([5]), graph)
