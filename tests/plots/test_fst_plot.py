"""Pictures of transducers: places of states, labels of arcs, what is too large."""

from pathlib import Path

import numpy as np
import pytest

from hybridasr.errors import UserError
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.plots.fst_plot import MAX_ARCS, draw_fst, fst_places

PATH = Path("x.svg")
INF = np.inf


def graph(*arcs, final):
    source, inward, outward, cost, target = zip(*arcs, strict=True)
    return DecodingGraph.from_arcs(0, source, inward, outward, cost, target, final)


def test_columns_count_arcs_from_the_start():
    small = graph((0, 1, 0, 0, 1), (0, 2, 0, 0, 2), (1, 3, 0, 0, 3), (2, 3, 0, 0, 3),
                  (3, 1, 0, 0, 0), (3, 2, 0, 0, 3), final=[INF, INF, INF, 0, INF])
    places = fst_places(small)
    assert places[:, 0].tolist() == [0, 1, 1, 2, 3]  # nothing leads to the last one
    assert places[0, 1] == places[3, 1] == 0
    assert sorted(places[1:3, 1]) == [-0.5, 0.5]


def test_states_are_ordered_without_crossings():
    # 1 and 2 lead to 4 and 3: drawn in the order of numbers, the arcs would cross.
    crossing = graph((0, 1, 0, 0, 1), (0, 2, 0, 0, 2), (1, 3, 0, 0, 4), (2, 3, 0, 0, 3),
                     final=[INF, INF, INF, 0, 0])
    heights = fst_places(crossing)[:, 1]
    assert (heights[1] < heights[2]) == (heights[4] < heights[3])


def test_labels_drawn(figures):
    kept = figures("fst_plot")
    small = graph((0, 1, 7, 0.5, 1), (0, 2, 0, 0, 1), (1, 0, 0, 0.25, 0), (1, 5, 5, 0, 1),
                  final=[INF, 1.5])
    draw_fst(small, {1: "a1", 5: "x"}, {7: "打开", 5: "x"}, "G", PATH)
    axes, = kept[0].axes
    assert {text.get_text() for text in axes.texts} == {
        "", "a1:打开/0.5\n2:ε", "ε/0.25", "x", "0", "1\n/1.5"}


def test_columns_are_as_far_apart_as_their_labels_need(figures):
    kept = figures("fst_plot")
    names = {1: "a", 2: "a_long_name_of_a_word"}
    draw_fst(graph((0, 1, 1, 0, 1), (1, 2, 2, 0, 2), (2, 1, 1, 0, 3), final=[INF, INF, INF, 0]),
             names, names, "G", PATH)
    axes, = kept[0].axes
    across = sorted({line.get_xdata()[0] for line in axes.lines})
    steps = np.diff(across)
    assert steps[1] > 1.5 * steps[0]
    # Labels lie above all arrows and below the states.
    arrows = {text.zorder for text in axes.texts if not text.get_text()}
    labels = {text.zorder for text in axes.texts if text.get_text() in names.values()}
    assert max(arrows) < min(labels) < min(line.zorder for line in axes.lines)


def test_many_parallel_arcs_are_counted(figures):
    kept = figures("fst_plot")
    draw_fst(graph(*((0, n, n, 0, 1) for n in range(1, 31)), final=[INF, 0]), {}, {}, "G", PATH)
    texts = [text.get_text() for text in kept[0].axes[0].texts]
    assert "1\n2\n3\n4\n5\n6\nand 24 more" in texts


def test_large_transducers_are_refused():
    large = graph(*((0, n, n, 0, 1) for n in range(1, MAX_ARCS + 2)), final=[INF, 0])
    with pytest.raises(UserError, match="has 2 states and 151 arcs, a picture holds 1 to 150"):
        draw_fst(large, {}, {}, "G", PATH)
