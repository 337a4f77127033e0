"""Words that the lexicon did not have at training could not go into a graph."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from command_world import COMMANDS, OUTSIDE, RATE, SYLLABLES, speak

from hybridasr.batch.decode_set import DecodeOutput, decode_set
from hybridasr.decode.search import SearchOptions
from hybridasr.errors import UserError
from hybridasr.evaluation.evaluate import evaluate, graph_lang, homophone_classes
from hybridasr.graph.mkgraph import WordSources, find_words, make_graph
from hybridasr.lattice.lattice_text import read_lattices
from hybridasr.lexicon.lang_files import read_symbols
from hybridasr.lexicon.langdir import prepare_lang
from hybridasr.lexicon.lexicon import build_lexicon
from hybridasr.lexicon.phones import default_phone_set
from hybridasr.model.directory import copy_beside, load_model, save_model
from hybridasr.parallel import SerialExecutor
from hybridasr.recognize.recognizer import load

TEXTS = [*COMMANDS, *OUTSIDE]
HANZI = {"da1ti1": "搭梯", "bu1la1": "布拉"}  # 布 is bu4, a tone that was never heard


def build(model, graph, kind="commands", **sources):
    words = find_words(model.lang, kind, WordSources(**sources))
    make_graph(words.lang, model.transitions, model.tree, graph, kind, words.phrases, words.ngram,
               reasons=words.reasons)
    return graph


def listed(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def model(spoken_world):
    loaded = load_model(spoken_world.mono)
    assert not {"da1ti1", "bu1la1", *OUTSIDE[:2]} & loaded.lang.words.keys()
    return loaded


@pytest.fixture(scope="module")
def graph(spoken_world, model, tmp_path_factory):
    path = tmp_path_factory.mktemp("graph")
    return build(model, path / "graph", commands=listed(path / "c.txt", TEXTS))


def test_they_are_recognised_as_by_a_model_that_knew_them(spoken_world, model, graph, tmp_path):
    # The same numbers, and a lexicon that had the words from the beginning.
    lexicon = build_lexicon({*model.lang.words, *(word for text in TEXTS for word in text.split())}
                            - {"<SIL>", "<UNK>", "<eps>", "#0", "<s>", "</s>"})
    lang = prepare_lang(lexicon, default_phone_set().covering(lexicon.phones), tmp_path / "lang")
    save_model(replace(model, lang=lang), tmp_path / "knew")
    theirs = build(load_model(tmp_path / "knew"), tmp_path / "knew/graph",
                   commands=listed(tmp_path / "c.txt", TEXTS))
    pool = SerialExecutor()
    for directory, one, name in ((spoken_world.mono, graph, "ours"),
                                 (tmp_path / "knew", theirs, "theirs")):
        decode_set(directory, one, spoken_world.test, tmp_path / name, SearchOptions(), pool,
                   output=DecodeOutput(write_lattices=True))
    for file in ("text", "ctm"):
        ours = (tmp_path / "ours" / file).read_text(encoding="utf-8")
        assert ours == (tmp_path / "theirs" / file).read_text(encoding="utf-8")
    # The lattices name the words by the graph's table.
    names = {number: word for word, number in read_symbols(graph / "words.txt").items()}
    said = {name: " ".join(u.words) for name, u in spoken_world.test.utterances.items()}
    lattices = dict(read_lattices(tmp_path / "ours/lat.1.gz", names))
    assert lattices.keys() == said.keys()
    row = evaluate(spoken_world.mono, graph, spoken_world.test, tmp_path / "scored",
                   SearchOptions(), pool)
    assert row["wer"] == 0


def test_a_recording_gives_them_with_their_times(spoken_world, graph):
    recognizer = load(spoken_world.mono, graph=graph)
    result = recognizer.recognize(speak("da1ti1", np.random.default_rng(1)), RATE, nbest=2)
    assert result["text"] == "da1ti1"
    (word,) = result["result"]
    assert 0.05 < word["start"] < word["end"] < 0.6
    assert all(text["text"] for text in result["alternatives"])


def test_nothing_is_said_of_words_that_the_graph_has(spoken_world, model, graph, tmp_path, caplog):
    evaluate(spoken_world.mono, graph, spoken_world.test, tmp_path / "out", SearchOptions(),
             SerialExecutor())
    assert "are not in the lexicon of" not in caplog.text
    few = build(model, tmp_path / "few", commands=listed(tmp_path / "c.txt", COMMANDS))
    evaluate(spoken_world.mono, few, spoken_world.test, tmp_path / "out", SearchOptions(),
             SerialExecutor())
    assert f"are not in the lexicon of {few}: 'ba1lu1' (6)" in caplog.text


def test_homophones_are_those_of_the_graph(spoken_world, model, tmp_path):
    graph = build(model, tmp_path / "graph", commands=listed(
        tmp_path / "c.txt", [HANZI.get(text, text) for text in TEXTS]),
        lexicon=listed(tmp_path / "lex.txt", ["搭梯 d a1 t i1", "布拉 b u1 l a1",
                                              "da1ti1 d a1 t i1", "bu1la1 b u1 l a1"]))
    lang = graph_lang(spoken_world.mono, graph)
    lang = replace(lang, words={**lang.words, "da1ti1": 9999, "bu1la1": 9998}, pronunciations={
        **lang.pronunciations, 9999: lang.pronunciations[lang.words["搭梯"]],
        9998: lang.pronunciations[lang.words["布拉"]]})
    row = evaluate(spoken_world.mono, graph, spoken_world.test, tmp_path / "out", SearchOptions(),
                   SerialExecutor(), homophone_classes(lang))
    assert row["wer"] == 0
    assert "搭梯" in (tmp_path / "out/text").read_text(encoding="utf-8")


def test_a_users_lexicon_serves_command_lists(spoken_world, tmp_path):
    lexicon = listed(tmp_path / "lex.txt", ["xqzt d a1 t i1", "da1 l u1"])
    with pytest.raises(UserError, match=r"no pronunciation for 'xqzt'; add it to a lexicon of"):
        load(spoken_world.mono, commands=["xqzt", "bu1la1"])
    recognizer = load(spoken_world.mono, commands=["xqzt", "bu1la1"], lexicon=lexicon)
    assert recognizer.recognize(speak("da1ti1", np.random.default_rng(2)), RATE)["text"] == "xqzt"
    # A word of the model with another pronunciation; and one that is added later.
    recognizer.add_command("da1 da1")
    assert recognizer.recognize(speak("lu1lu1", np.random.default_rng(3)), RATE)["text"] == (
        "da1 da1")
    with pytest.raises(UserError, match="lexicon is for command lists, and no commands are given"):
        load(spoken_world.mono, lexicon=lexicon)


def test_a_copy_of_a_model_takes_the_words_of_its_graph_along(spoken_world, model, tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(spoken_world.mono, source)
    shutil.rmtree(source / "graph", ignore_errors=True)
    build(model, source / "graph", commands=listed(tmp_path / "c.txt", COMMANDS))
    save_model(model, target)
    copy_beside(source, target)
    assert (target / "graph/phones/align_lexicon.txt").is_file()
    grammar = load(target).grammar
    assert "da1ti1" in grammar.lang.words


@pytest.mark.parametrize("kind", ["loop", "ngram"])
def test_any_grammar_takes_them(spoken_world, model, tmp_path, kind):
    from hybridasr.lm.arpa import write_arpa
    from hybridasr.lm.estimate import estimate_ngram

    texts = [text.split() for text in TEXTS]
    write_arpa(tmp_path / "lm", estimate_ngram(texts * 2, 2))
    sources = ({"arpa": tmp_path / "lm"} if kind == "ngram" else
               {"commands": listed(tmp_path / "c.txt", {w for text in texts for w in text})})
    graph = build(model, tmp_path / "graph", kind, **sources)
    assert json.loads((graph / "graph.json").read_text())["grammar"] == kind
    row = evaluate(spoken_world.mono, graph, spoken_world.test, tmp_path / "out", SearchOptions(),
                   SerialExecutor())
    # Syllables are words of the model; the words of the grammar alone are recognised.
    assert row["wer"] < 5
    assert not set(SYLLABLES) - {"ta1", "bu1"} & set(
        (tmp_path / "out/text").read_text().split())
