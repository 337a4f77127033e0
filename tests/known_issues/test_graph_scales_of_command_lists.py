"""The scales that a graph was built with did not reach the graphs of command lists."""

import shutil

import numpy as np
from command_world import COMMANDS

from hybridasr.confidence.grammar_maker import GrammarMaker
from hybridasr.graph.mkgraph import grammar_phrases, make_graph
from hybridasr.graph.self_loops import GraphOptions
from hybridasr.model.directory import load_model


def test_scales_of_mkgraph_reach_command_lists(spoken_world, tmp_path):
    directory = shutil.copytree(spoken_world.mono, tmp_path / "mono")
    model, options = load_model(directory), GraphOptions(0.5, 0.7)
    assert model.graph_options == GraphOptions()
    make_graph(model.lang, model.transitions, model.tree, directory / "graph", "commands",
               grammar_phrases(model.lang, None), options=options)
    model = load_model(directory)
    assert model.graph_options == options
    by_itself, given, usual = (GrammarMaker(model, options=scales).make(COMMANDS) for scales in
                               (None, options, GraphOptions()))
    for name in ("graph", "filler"):
        costs = [getattr(grammar, name).weight for grammar in (by_itself, given, usual)]
        np.testing.assert_array_equal(costs[0], costs[1])
        assert not np.array_equal(costs[0], costs[2])
