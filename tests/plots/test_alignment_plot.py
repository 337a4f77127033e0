"""Pictures of alignments: where the intervals stand, and which labels have room."""

from pathlib import Path

import numpy as np
import pytest

from hybridasr.features.frames import FeatureOptions
from hybridasr.plots.alignment_plot import draw_alignment


def test_intervals_stand_where_they_are(figures):
    kept = figures("alignment_plot")
    tiers = {"words": [("da1ti1", 0.1, 0.4)], "phones": [("d", 0.1, 0.2), ("a1", 0.2, 0.4)],
             "states": [("d_0", 0.1, 0.104), ("a1_2", 0.2, 0.4)]}
    draw_alignment(np.ones(8000), FeatureOptions(), tiers, Path("x.svg"))
    top, *rows = kept[0].axes
    spans = [[(patch.get_x(), patch.get_x() + patch.get_width()) for patch in row.patches]
             for row in rows]
    assert spans[1] == [pytest.approx((0.1, 0.2)), pytest.approx((0.2, 0.4))]
    # A narrow state has no room for its number.
    assert [[text.get_text() for text in row.texts] for row in rows] == [
        ["da1ti1"], ["d", "a1"], ["2"]]
    assert [row.get_ylabel() for row in rows] == ["words", "phones", "states"]
    assert [line.get_xdata()[0] for line in top.lines] == [0.1, 0.1, 0.2]
    assert top.get_xlim() == (0, 0.5)
