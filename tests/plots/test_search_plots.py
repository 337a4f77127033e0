"""Pictures of a search: rows of a posteriogram, tokens of a trellis."""

from pathlib import Path

import numpy as np
import pytest

from hybridasr.errors import UserError
from hybridasr.plots.search_plots import draw_posteriogram, draw_trellis, posteriogram_rows

PATH = Path("x.svg")
INF = np.inf


def test_rows_are_in_the_order_of_their_peaks():
    posteriors = np.array([[0.1, 0.0, 0.8, 0.1], [0.1, 0.6, 0.2, 0.1], [0.7, 0.2, 0.0, 0.1]])
    assert posteriogram_rows(posteriors).tolist() == [2, 1, 0]
    assert posteriogram_rows(posteriors, most=2).tolist() == [2, 0]  # the heaviest


def test_posteriogram_drawn(figures):
    kept = figures("search_plots")
    posteriors = np.array([[0.1, 0.0, 0.9], [0.2, 0.7, 0.1]])
    draw_posteriogram(posteriors, ["a", "b", "c"], 0.01, PATH)
    axes = kept[0].axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), posteriors[:, [2, 1, 0]].T)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["c", "b", "a"]
    assert axes.images[0].get_extent() == [0, 0.02, 2.5, -0.5]


def test_trellis_drawn(figures):
    kept = figures("search_plots")
    #              states: never, late, first, dropped by the beam at the end
    costs = np.array([[INF, INF, 0, 4.0], [INF, 2.0, 0, 5.0], [INF, 0, 3.0, 11.0]])
    draw_trellis(costs, np.array([2, 1, 1]), 10.0, 0.5, PATH)
    upper, lower = kept[0].axes[:2]
    image = np.ma.filled(upper.images[0].get_array(), np.nan)
    np.testing.assert_array_equal(image, [[0, 0, 3], [4, 5, np.nan], [np.nan, 2, 0]])
    np.testing.assert_allclose(upper.lines[0].get_xydata(), [[0.25, 0], [0.75, 2], [1.25, 2]])
    assert lower.lines[0].get_ydata().tolist() == [2, 3, 2]
    with pytest.raises(UserError, match="0 states are alive"):
        draw_trellis(np.full((2, 3), INF), np.array([-1, -1]), 10.0, 0.5, PATH)
