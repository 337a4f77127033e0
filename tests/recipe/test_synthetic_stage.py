"""A recipe whose network hears synthetic speakers beside the few of its training set."""

import logging

import numpy as np
import pytest
from command_world import write_set

from hybridasr.corpus.datadir import Utterance, read_datadir, write_datadir
from hybridasr.corpus.synthetic_set import synthetic_utterances
from hybridasr.errors import UserError
from hybridasr.features.archives import read_ark
from hybridasr.lexicon.langdir import read_lang
from hybridasr.recipe import synthetic_stage
from hybridasr.recipe.config import RunOptions, read_recipe
from hybridasr.recipe.runner import STAGES, run_recipe
from hybridasr.recipe.synthetic_stage import frequent_texts, hears_synthetic

WORDS = ["da1ti1", "bu1la1", "li1du1", "ta1"]
CONF = """[recipe]
title = synthetic speakers for tests
reader = auto
test = test
grammar = commands
phrases = lexicon
systems = mono dnn
[features]
use_energy = false
[mono]
num_iters = 10
max_iter_inc = 6
totgauss = 60
[synthesize]
speakers = 2
[augment]
speeds = 1.0
copies = 1
[dnn_features]
use_energy = false
[dnn]
network = nnet.conf
num_epochs = 2
minibatch_size = 64
held_out = 0.3
[search]
acoustic_scale = 0.1
"""


@pytest.fixture
def recipe(tmp_path):
    folder = tmp_path / "few"
    folder.mkdir()
    (folder / "recipe.conf").write_text(CONF)
    (folder / "nnet.conf").write_text("splice offsets=-3:3\naffine dim=48\nrelu\noutput\n")
    return read_recipe(folder)


def test_the_network_hears_them_and_is_not_watched_by_them(tmp_path, recipe):
    pytest.importorskip("espeakng_loader")
    pytest.importorskip("pypinyin")
    rng = np.random.default_rng(4)
    for name, speakers in (("train", {"s0": 1.0, "s1": 0.97}), ("test", {"t0": 0.99})):
        data = write_set(tmp_path / "corpus" / name, WORDS * 4, speakers, rng)
        for table in ("feats.scp", "cmvn.scp"):
            (data.path / table).unlink()
    work = tmp_path / "work"
    run_recipe(recipe, RunOptions(work=work, corpus=tmp_path / "corpus", nj=1,
                                  stop_stage=1 + list(STAGES).index("dnn")))
    made = synthetic_utterances(read_datadir(work / "data" / "wider"))
    assert len(made) == 2 * len(WORDS) * 2
    learned = read_datadir(work / "data" / "network" / "train")
    assert len(synthetic_utterances(learned)) == 2 * len(made)  # each and its copy
    aligned = {name for name, _ in read_ark(work / "exp" / "mono_wider" / "ali.ark")}
    assert made & aligned  # the mixtures know other voices only
    assert aligned > set(read_datadir(work / "data" / "train").utterances)
    # Mixtures and choices rest on people.
    assert not made & {name for name, _ in read_ark(work / "exp" / "mono" / "ali.ark")}
    held = set((work / "exp" / "dnn" / "held_out").read_text().split())
    assert held
    assert not held & made


def test_they_may_say_texts_of_a_file(tmp_path, recipe):
    """Words that nobody else says are in the lexicon; a file that is not there is named."""
    (recipe.directory / "more.txt").write_text("# comment\nli1da1 ta1\nbu1ti1\n")
    rng = np.random.default_rng(4)
    for name in ("train", "test"):
        write_set(tmp_path / "corpus" / name, WORDS, {f"{name}0": 1.0}, rng)
    run = RunOptions(work=tmp_path / "work", corpus=tmp_path / "corpus", nj=1, stop_stage=2)
    overrides = {"synthesize": {"texts": "more.txt", "texts_each": "1"}}
    run_recipe(read_recipe(recipe.directory, overrides), run)
    words = read_lang(tmp_path / "work" / "data" / "lang").words
    assert {"li1da1", "bu1ti1", *WORDS} <= set(words)
    overrides["synthesize"]["texts"] = "none.txt"
    with pytest.raises(UserError, match="none.txt"):
        run_recipe(read_recipe(recipe.directory, overrides), run)


def test_without_what_speaks_there_are_none_and_the_user_is_told(recipe, monkeypatch, caplog):
    monkeypatch.setattr(synthetic_stage, "find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING, "hybridasr"):
        assert not hears_synthetic(recipe)
    assert "'espeakng_loader' is not installed; pip install 'hybridasr[synth]'" in caplog.text


def test_none_are_asked_for_by_default(recipe):
    recipe.options["synthesize"] = type(recipe.options["synthesize"])()
    assert not hears_synthetic(recipe)


def test_the_most_frequent_transcripts_are_said(tmp_path):
    said = ["two", "one", "one", "three", "three", "three", ""]
    data = write_datadir(tmp_path / "set", [
        Utterance(f"u{number}", "ann", tuple(text.split()), f"u{number}", "a.wav")
        for number, text in enumerate(said)])
    assert frequent_texts(data, 2) == ["one", "three"]
    assert frequent_texts(data, 50) == ["one", "three", "two"]


def test_a_recipe_without_networks_has_no_use_for_them(tmp_path, recipe):
    conf = recipe.directory / "recipe.conf"
    conf.write_text(CONF.replace("systems = mono dnn", "systems = mono"))
    with pytest.raises(UserError, match=r"\[synthesize\] has no effect"):
        read_recipe(recipe.directory, {"synthesize": {"speakers": "3"}})
