"""Scores with too few columns, and other arrays that do not fit, were read out of bounds."""

import numpy as np
import pytest

from hybridasr.decode.search import Search, SearchOptions, search
from hybridasr.errors import UserError
from hybridasr.graph.arrays import DecodingGraph

OPTIONS = SearchOptions(acoustic_scale=1.0)


@pytest.fixture
def graph():
    """Two words of one frame, columns 0 and 1."""
    return DecodingGraph.from_arcs(0, [0, 0], [1, 2], [1, 2], [0.0, 0.0], [1, 1], [np.inf, 0.0])


def test_too_few_columns(graph):
    scores = np.zeros((4, 2), np.float32)
    with pytest.raises(UserError, match="reads 2 columns .* given are 1; make the graph"):
        search(graph, graph.ilabel - 1, scores[:, :1], OPTIONS)
    assert search(graph, graph.ilabel - 1, scores[:1], OPTIONS).words.tolist() == [1]
    # Every block is looked at, not the first alone.
    utterance = Search(graph, graph.ilabel - 1, OPTIONS)
    utterance.advance(scores[:1])
    with pytest.raises(UserError, match="reads 2 columns"):
        utterance.advance(scores[1:2, :1])


def test_columns_that_do_not_fit_the_graph(graph):
    scores = np.zeros((1, 2), np.float32)
    for pdfs in (np.zeros(1, np.int32), np.zeros(2), np.zeros((2, 1), np.int32)):
        with pytest.raises(ValueError, match="arc_pdfs .* for 2 arcs"):
            search(graph, pdfs, scores, OPTIONS)
    with pytest.raises(ValueError, match="no column"):
        search(graph, np.array([0, -1]), scores, OPTIONS)
    with pytest.raises(ValueError, match="weights .* for 2 arcs"):
        search(graph, graph.ilabel - 1, scores, OPTIONS, np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="log likelihoods float32"):
        search(graph, graph.ilabel - 1, scores[0], OPTIONS)
    for start in (-1, 2):
        broken = DecodingGraph(start, *(getattr(graph, name) for name in (
            "arc_offsets", "eps_offsets", "ilabel", "olabel", "weight", "nextstate", "final")))
        with pytest.raises(ValueError, match=f"start state {start} of 2"):
            search(broken, graph.ilabel - 1, scores, OPTIONS)


def test_infinite_scores(graph):
    scores = np.array([[-np.inf, 0.0]], np.float32)
    assert search(graph, graph.ilabel - 1, scores, OPTIONS).words.tolist() == [2]
    assert search(graph, graph.ilabel - 1, np.full((1, 2), -np.inf), OPTIONS) is None
    for value in (np.inf, np.nan):
        with pytest.raises(UserError, match="NaN or infinity"):
            search(graph, graph.ilabel - 1, np.array([[-np.inf, value]], np.float32), OPTIONS)


def test_the_scale_is_given():
    graph = DecodingGraph.from_arcs(0, [], [], [], [], [], [0.0])
    with pytest.raises(ValueError, match="acoustic scale"):
        Search(graph, graph.ilabel, SearchOptions())
    assert SearchOptions().resolved(0.25) == SearchOptions(acoustic_scale=0.25)
    assert SearchOptions(acoustic_scale=0.5).resolved(0.25).acoustic_scale == 0.5
