"""A recipe of sentences: words cut, a language model, its graph, sentences recognised."""

import json
import shutil

import numpy as np
import pytest
from command_world import SYLLABLES, write_set

from hybridasr.corpus.datadir import read_datadir
from hybridasr.errors import UserError
from hybridasr.lm.model_file import read_ngram
from hybridasr.recipe.config import RunOptions, read_recipe
from hybridasr.recipe.recipe_grammar import cut_sentence
from hybridasr.recipe.runner import run_recipe

CONF = """[recipe]
title = sentences for tests
reader = auto
test = test
grammar = {grammar}
phrases = texts
systems = mono
[features]
use_energy = false
[lm]
order = 2
[mono]
num_iters = 10
max_iter_inc = 6
totgauss = 60
"""
SENTENCES = ["da1ti1 bu1la1 li1du1", "bu1la1 da1ti1", "li1du1 li1du1 bu1la1 da1ti1"]


@pytest.fixture
def place(spoken_world, tmp_path):
    """A recipe and its corpus: words to train on, sentences of other words to test on."""
    corpus = tmp_path / "corpus"
    test = write_set(corpus / "test", SENTENCES, {"t0": 0.99, "t1": 1.02},
                     np.random.default_rng(8))
    for name in ("feats.scp", "cmvn.scp"):
        (test.path / name).unlink()
    (corpus / "train").mkdir()
    for name in ("wav.scp", "text", "utt2spk", "spk2utt"):
        shutil.copy(spoken_world.train.path / name, corpus / "train" / name)
    (tmp_path / "recipe").mkdir()
    return tmp_path


def run(place, grammar="ngram", overrides=None, **options):
    (place / "recipe" / "recipe.conf").write_text(CONF.format(grammar=grammar))
    (place / "recipe" / "nnet.conf").write_text("splice offsets=-3:3\naffine dim=32\nrelu\n"
                                                "output\n")
    return run_recipe(read_recipe(place / "recipe", overrides), RunOptions(
        work=place / "work", corpus=place / "corpus", nj=1, **options))


def test_sentences_are_found_with_words_of_the_texts(place):
    text = place / "more.txt"
    text.write_text("Da1ti1, bu1la1; li1du1.\nbu1la1 da1ti1!\nli1du1 bu1la1\n")
    rows = run(place, text=(text,))
    assert {row["grammar"] for row in rows} == {"ngram"}
    # Words that the model was never trained on, in an order that no text has.
    assert all(row["wer"] <= 15 for row in rows), rows
    model = read_ngram(place / "work" / "data" / "lm" / "ngram.bin")
    assert {"da1ti1", "bu1la1", *SYLLABLES} <= {*model.vocabulary}
    graph = json.loads((place / "work" / "exp" / "mono" / "graph" / "graph.json").read_text())
    assert graph["grammar"] == "ngram"
    # The test's sentences have no say.
    said = {line for line in (place / "work" / "data" / "lm" / "text").read_text().splitlines()}
    tested = {" ".join(u.words) for u in read_datadir(
        place / "work" / "data" / "test").utterances.values()}
    assert "li1du1 li1du1 bu1la1 da1ti1" in tested - said
    # Another text: the language model and the graphs are made anew, the system is not trained.
    text.write_text("da1ti1 bu1la1 li1du1\n")
    trained = (place / "work" / "exp" / "mono" / "gmm.npz").stat().st_mtime_ns
    run(place, text=(text,))
    assert (place / "work" / "exp" / "mono" / "gmm.npz").stat().st_mtime_ns == trained
    assert "li1du1" in read_ngram(place / "work" / "data" / "lm" / "ngram.bin").vocabulary


@pytest.mark.slow
def test_lattices_of_the_network_are_rescored(place, caplog):
    caplog.set_level("INFO")
    text = place / "more.txt"
    text.write_text("\n".join(12 * [*SENTENCES, "bu1la1 li1du1", "da1ti1 bu1la1 da1ti1"]) + "\n")
    overrides = {
        "recipe": {"systems": "mono dnn"}, "dnn_features": {"use_energy": "false"},
        "dnn": {"network": "nnet.conf", "num_epochs": "2", "minibatch_size": "64"},
        "augment": {"speeds": "1.0", "copies": "1"},
        "rescore": {"large_order": "3", "neural_order": "3", "epochs": "2", "dim": "8",
                    "min_count": "1", "batch_words": "32"}}
    rows = {row["system"]: row for row in run(place, text=(text,), overrides=overrides)
            if row["known"] == "none"}
    exp = place / "work" / "exp"
    assert {*rows} == {"mono", "dnn", "dnn+3-gram", "dnn+nnlm"}
    # Both larger models know these sentences, the graph's bigram their pairs of words alone.
    assert rows["dnn+3-gram"]["wer"] <= rows["dnn"]["wer"]
    assert rows["dnn+nnlm"]["wer"] <= rows["dnn"]["wer"] + 10
    for name in ("lattices", "large", "nnlm"):
        assert (exp / "dnn" / f"decode_test_{name}" / "lat.1.gz").is_file()
    assert "share of the neural model" in caplog.text
    # Done is done; another beam decodes and rescores, and trains nothing.
    trained = (exp / "nnlm" / "network.npz").stat().st_mtime_ns
    overrides["rescore"]["lattice_beam"] = "5"
    caplog.clear()
    run(place, text=(text,), overrides=overrides)
    told = caplog.text
    assert "nnlm skipped: done" in told
    assert "lattices dnn test skipped" not in told
    assert (exp / "nnlm" / "network.npz").stat().st_mtime_ns == trained


def test_rescoring_without_a_network_is_refused(place):
    with pytest.raises(UserError, match=r"\[rescore\] is for a network with the grammar ngram"):
        run(place, overrides={"rescore": {"large_order": "4"}})


def test_texts_for_another_grammar_are_refused(place):
    (place / "more.txt").write_text("da1ti1\n")
    with pytest.raises(UserError, match="--text has no effect: the grammar of recipe recipe is "
                       "commands"):
        run(place, "commands", text=(place / "more.txt",))


def test_hanzi_are_cut_into_words():
    assert cut_sentence(["我们打开空调", "usa", "好"]) == ("我们", "打开", "空调", "usa", "好")
