"""Pictures of models: probabilities of HMMs, owners of frames, ellipses."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from hybridasr.hmm.topology import make_topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.plots.model_plots import (
    PhoneTransition,
    draw_gaussians,
    draw_topology,
    mixture_view,
    phone_transitions,
)

PATH = Path("x.svg")


def test_arcs_are_means_over_the_pdfs():
    model = TransitionModel(make_topology([2, 3], [1]), [(2, 0, 0), (2, 0, 1), (2, 1, 2),
                                                         (3, 0, 3)])
    counts = np.zeros(model.num_tids + 1)
    # The first pdf stays 9 of 10 times, the second 5 of 10; the others were not seen.
    for pdf, loops in ((0, 90), (1, 50)):
        tids = model.tids(model.transition_state(2, 0, pdf))
        counts[tids[0]], counts[tids[1]] = loops, 100 - loops
    arcs = phone_transitions(model.updated(counts), 2)
    loop, onward = arcs[:2]
    assert (loop.source, loop.target, onward.target) == (0, 0, 1)
    assert (loop.probability, loop.least, loop.most) == pytest.approx((0.7, 0.5, 0.9))
    assert onward.probability == pytest.approx(0.3)
    # A state that no pdf was made for has the topology's probabilities.
    assert arcs[4] == PhoneTransition(2, 2, 0.75, 0.75, 0.75)


def test_topology_drawn(figures):
    kept = figures("model_plots")
    arcs = [PhoneTransition(0, 0, 0.8, 0.7, 0.9), PhoneTransition(0, 1, 0.2, 0.2, 0.2)]
    draw_topology(arcs, "a1", PATH)
    axes, = kept[0].axes
    texts = {text.get_text() for text in axes.texts}
    assert texts == {"", "0.80\n0.70 to 0.90", "0.20", "0", "end"}


def test_frames_go_to_the_likeliest_gaussian():
    rng = np.random.default_rng(0)
    feats, means = rng.normal(size=(50, 3)), rng.normal(size=(4, 3))
    variances, weights = rng.uniform(0.5, 2, size=(4, 3)), np.array([0.1, 0.2, 0.3, 0.4])
    view = mixture_view(feats, weights, means, variances, (2, 0))
    wanted = [max(range(4), key=lambda g: np.log(weights[g]) + norm.logpdf(
        frame, means[g], np.sqrt(variances[g])).sum()) for frame in feats]
    assert view.owners.tolist() == wanted
    np.testing.assert_array_equal(view.frames, feats[:, [2, 0]])
    assert view.names == ("feature column 2", "feature column 0")


def test_gaussians_drawn(figures):
    kept = figures("model_plots")
    view = mixture_view(np.array([[0.0, 0], [5, 5], [5, 6]]), np.array([0.4, 0.6]),
                        np.array([[0.0, 0], [5, 5]]), np.array([[1.0, 4], [1, 1]]), (0, 1))
    draw_gaussians(view, "a1", PATH)
    axes, = kept[0].axes
    # Two standard deviations to each side.
    assert [(one.width, one.height) for one in axes.patches] == [(4, 8), (4, 4)]
    # The frames of a Gaussian have a shape of their own, which the legend shows.
    marks = [(line.get_marker(), line.get_xydata().tolist()) for line in axes.lines]
    assert marks == [("o", [[0, 0]]), ("x", [[0, 0]]), ("o", []),
                     ("s", [[5, 5], [5, 6]]), ("x", [[5, 5]]), ("s", [])]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "weight 0.40, 1 frames", "weight 0.60, 2 frames"]
    assert axes.get_title() == "a1: 2 Gaussians, 3 frames"
