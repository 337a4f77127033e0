"""Pictures of scores: counts of confusions, bars and marks of systems."""

from pathlib import Path

import numpy as np
import pytest

from hybridasr.plots.score_plots import (
    NOTHING,
    confusion_matrix,
    draw_confusion,
    draw_error_rates,
    draw_systems,
)
from hybridasr.score.wer import GAP

PATH = Path("x.svg")
ROWS = [{"system": "mono", "test_set": "t", "grammar": None, "wer": 8.0, "wer_low": 5.0,
         "wer_high": 12.0, "rtf": 0.01},
        {"system": "dnn", "test_set": "t", "grammar": None, "wer": 2.0, "wer_low": None,
         "wer_high": None, "rtf": 0.1},
        {"system": "dnn", "test_set": "t", "grammar": "commands and filler", "wer": None}]


def test_confusions_keep_the_units_with_the_most_errors():
    pairs = [("a", "a", 50), ("b", "a", 3), ("c", "c", 9), (GAP, "b", 2), ("d", GAP, 1)]
    names, counts = confusion_matrix(pairs, most=2)
    assert names == ["a", "b", NOTHING]
    assert counts.tolist() == [[50, 0, 0], [3, 0, 0], [0, 2, 0]]


def test_confusion_drawn(figures):
    kept = figures("score_plots")
    draw_confusion(["a", "b", NOTHING], np.array([[3, 1, 0], [0, 0, 0], [0, 2, 0]]), "phone", PATH)
    axes = kept[0].axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), [[0.75, 0.25, 0], [0] * 3,
                                                               [0, 1, 0]])
    assert [text.get_text() for text in axes.texts] == ["3", "1", "2"]
    assert axes.get_ylabel() == "phone said"


def test_systems_drawn(figures):
    kept = figures("score_plots")
    draw_systems(ROWS, PATH, [{**ROWS[1], "wer": 3.0}])
    axes, = kept[0].axes
    assert [bar.get_width() for bar in axes.patches] == [8, 2]
    assert axes.lines[0].get_xydata().tolist() == [[5, 0], [12, 0]]
    assert axes.lines[1].get_xydata().tolist() == [[3, 1]]  # the other run's
    assert [label.get_text() for label in axes.get_yticklabels()] == ["mono, t", "dnn, t"]


def test_without_errors_the_interval_is_three_among_the_words(figures):
    kept = figures("score_plots")
    row = {**ROWS[0], "wer": 0.0, "wer_low": 0.0, "wer_high": 0.0, "words": 24}
    draw_systems([row], PATH)
    draw_error_rates([row], PATH)
    for figure, want in zip(kept, ([[0, 0], [12.5, 0]], [[0.01, 0], [0.01, 12.5]]), strict=True):
        line = figure.axes[0].lines[0]
        assert line.get_xydata().tolist() == want
        assert line.get_linestyle() == ":"
    assert kept[0].axes[0].get_xlim()[1] > 12.5


def test_every_system_has_a_mark_of_its_own(figures):
    kept = figures("score_plots")
    draw_error_rates([{**ROWS[1], "system": str(number)} for number in range(20)], PATH)
    marks = {(line.get_color(), line.get_marker()) for line in kept[0].axes[0].lines}
    assert len(marks) == 20


def test_error_rates_drawn(figures):
    kept = figures("score_plots")
    draw_error_rates(ROWS, PATH)
    axes, = kept[0].axes
    marks = [line.get_xydata().tolist() for line in axes.lines if len(line.get_xydata()) == 1]
    assert marks == [[[pytest.approx(0.01), 8]], [[pytest.approx(0.1), 2]]]
    assert axes.get_xscale() == "log"
