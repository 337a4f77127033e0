"""A graph of another model whose labels fit was taken, and gave other words."""

from dataclasses import replace

import pytest

from hybridasr.errors import UserError
from hybridasr.graph.graph_words import graph_record
from hybridasr.graph.mkgraph import grammar_phrases, make_graph
from hybridasr.model.directory import load_model
from hybridasr.recognize.recognizer import load
from hybridasr.storage import digest, read_json, read_text, write_json, write_text

OTHER = "belongs to another model than .*; run 'hybridasr mkgraph"


def swapped(words):
    """Words with two ids changed for each other."""
    (first, one), (second, two) = [pair for pair in words.items() if pair[0] in ("da1", "ta1")]
    return {**words, first: two, second: one}


@pytest.fixture
def model(spoken_world):
    return load_model(spoken_world.mono)


def build(model, path, lang=None):
    make_graph(lang or model.lang, model.transitions, model.tree, path, "commands",
               grammar_phrases(model.lang, None))
    return path


def test_a_graph_of_another_tree_is_refused_though_its_labels_fit(model, spoken_world, tmp_path):
    graph = build(model, tmp_path / "graph")
    load(spoken_world.mono, graph=graph)
    # Another tree over the same pdfs: two phones changed for each other.
    branches = list(model.tree.root.branches)
    branches[-1], branches[-2] = branches[-2], branches[-1]
    other = replace(model.tree, root=replace(model.tree.root, branches=tuple(branches)))
    write_json(graph / "graph.json", {**read_json(graph / "graph.json"),
                                      **graph_record(other, model.lang,
                                                     model.transitions.topology)})
    with pytest.raises(UserError, match=OTHER):
        load(spoken_world.mono, graph=graph)


def test_a_graph_gives_its_own_words(model, spoken_world, tmp_path):
    graph = build(model, tmp_path / "graph",
                  replace(model.lang, words=swapped(model.lang.words)))
    grammar = load(spoken_world.mono, graph=graph).grammar
    assert grammar.lang.words == swapped(model.lang.words)
    # A table that the graph was not made with is told from it.
    write_text(graph / "words.txt", read_text(spoken_world.mono / "lang/words.txt"))
    with pytest.raises(UserError, match="words.txt: is not the table that the graph was made with"):
        load(spoken_world.mono, graph=graph)


def test_graphs_of_earlier_versions_have_the_words_of_the_model(model, spoken_world, tmp_path):
    graph = build(model, tmp_path / "graph")
    record = read_json(graph / "graph.json")
    (graph / "lexiconp.txt").unlink()
    record.pop("words")
    for words, taken in ((model.lang.words, True), (swapped(model.lang.words), False)):
        write_json(graph / "graph.json", {**record,
                                          "model": digest(model.tree.to_dict(), words)})
        if taken:
            assert load(spoken_world.mono, graph=graph).grammar.lang.words == words
            continue
        with pytest.raises(UserError, match=OTHER):
            load(spoken_world.mono, graph=graph)
    # The earliest say nothing of their model.
    record.pop("model")
    write_json(graph / "graph.json", record)
    load(spoken_world.mono, graph=graph)
