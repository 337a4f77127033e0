"""A graph of another model whose labels fit was taken, and gave other words."""

from dataclasses import replace

import pytest

from hybridasr.errors import UserError
from hybridasr.graph.mkgraph import grammar_phrases, make_graph
from hybridasr.model.directory import load_model
from hybridasr.recognize.recognizer import load
from hybridasr.storage import read_json, write_json


def test_a_graph_of_another_model_is_refused_though_its_labels_fit(spoken_world, tmp_path):
    model, graph = load_model(spoken_world.mono), tmp_path / "graph"
    phrases = grammar_phrases(model.lang, None)
    make_graph(model.lang, model.transitions, model.tree, graph, "commands", phrases)
    load(spoken_world.mono, graph=graph)
    # The same words with two ids changed for each other.
    words = dict(model.lang.words)
    (first, one), (second, two) = list(words.items())[-2:]
    other = replace(model.lang, words={**words, first: two, second: one})
    make_graph(other, model.transitions, model.tree, graph, "commands", phrases)
    with pytest.raises(UserError, match="belongs to another model than .*; run 'hybridasr mkgraph"):
        load(spoken_world.mono, graph=graph)
    # Graphs of earlier versions say nothing of their model.
    record = read_json(graph / "graph.json")
    record.pop("model")
    write_json(graph / "graph.json", record)
    load(spoken_world.mono, graph=graph)
