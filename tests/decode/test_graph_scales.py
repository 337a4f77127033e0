"""Language-model scale and word insertion penalty of a search against the sum over every path."""

import math

import numpy as np
import pytest
from test_search import WIDE, all_paths, random_graph

from hybridasr.decode.search import SearchOptions, search
from hybridasr.errors import UserError
from hybridasr.recognize.graph_grammar import GraphGrammar


@pytest.mark.parametrize("seed", range(30))
def test_best_path_under_scales(seed):
    rng = np.random.default_rng(seed)
    graph, pdfs = random_graph(rng, int(rng.integers(2, 6)), int(rng.integers(3, 10)), 4)
    loglikes = rng.normal(size=(int(rng.integers(1, 5)), 4)).astype(np.float32) * 5
    options = SearchOptions(acoustic_scale=0.3, lm_scale=float(rng.uniform(0, 3)),
                            word_ins_penalty=float(rng.uniform(0, 4)), **WIDE)
    grammar = GraphGrammar(None, graph, None, pdfs)
    found = search(grammar.weighted(options).graph, pdfs, loglikes, options)
    # The same walk twice: once without scores, for the graph costs alone.
    walks = zip(all_paths(graph, pdfs, loglikes, 0.3), all_paths(graph, pdfs, 0 * loglikes, 0.3),
                strict=True)
    totals = []
    for (cost, state, _, words), (plain, *_) in walks:
        if math.isfinite(graph.final[state]):
            totals.append(options.lm_scale * (plain + float(graph.final[state])) + cost - plain
                          + options.word_ins_penalty * len(words))
    if totals:
        assert found.total_cost == pytest.approx(min(totals), rel=1e-5, abs=1e-4)
        assert found.complete
    # The graph itself stays as it was, for others.
    assert grammar.graph is graph


def test_defaults_change_nothing():
    rng = np.random.default_rng(0)
    grammar = GraphGrammar(None, *(lambda graph, pdfs: (graph, None, pdfs))(
        *random_graph(rng, 4, 8, 3)))
    for options in (SearchOptions(), SearchOptions(word_ins_penalty=0.0),
                    SearchOptions().resolved(0.1), SearchOptions().resolved(0.1, 0.0)):
        assert grammar.weighted(options) is grammar


def test_the_penalty_of_the_model_unless_one_is_given():
    assert SearchOptions().resolved(0.1, 0.5).word_ins_penalty == 0.5
    assert SearchOptions(word_ins_penalty=0.0).resolved(0.1, 0.5).word_ins_penalty == 0.0
    assert SearchOptions(acoustic_scale=1.0).resolved(0.1, 0.5).word_ins_penalty == 0.5


@pytest.mark.parametrize(("values", "reason"), [
    ({"lm_scale": -1.0}, "lm-scale is -1.0; give a number from 0"),
    ({"lm_scale": math.inf}, "lm-scale is inf"),
    ({"word_ins_penalty": math.nan}, "word-ins-penalty is nan; give a number"),
])
def test_scales_that_are_none(values, reason):
    with pytest.raises(UserError, match=reason):
        SearchOptions(**values)
