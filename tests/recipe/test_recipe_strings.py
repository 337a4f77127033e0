"""A recipe of single words that learns strings of them too: sets, rows, nothing in two places."""

import json

import numpy as np
import pytest
from command_world import write_set

from hybridasr.corpus.datadir import read_datadir
from hybridasr.errors import UserError
from hybridasr.recipe.config import RunOptions, read_recipe
from hybridasr.recipe.runner import STAGES, run_recipe

WORDS = ["da1ti1", "bu1la1", "li1du1", "ta1"]
CONF = """[recipe]
title = strings for tests
reader = auto
test = test
grammar = commands
phrases = {phrases}
systems = mono dnn
strings = {strings}
[join]
max_parts = 4
[features]
use_energy = false
[mono]
num_iters = 10
max_iter_inc = 6
totgauss = 60
[augment]
speeds = 1.0
copies = 1
[dnn_features]
use_energy = false
[dnn]
network = nnet.conf
num_epochs = 4
minibatch_size = 64
initial_learning_rate = 0.01
final_learning_rate = 0.001
held_out = 0.3
[search]
acoustic_scale = 0.1
"""


def recipe(folder, phrases="lexicon", strings="true"):
    folder.mkdir(exist_ok=True)
    (folder / "recipe.conf").write_text(CONF.format(phrases=phrases, strings=strings))
    (folder / "nnet.conf").write_text("splice offsets=-3:3\naffine dim=48\nrelu\noutput\n")
    return read_recipe(folder)


def test_words_and_strings_are_learned_and_tested(tmp_path):
    rng = np.random.default_rng(4)
    for name, speakers in (("train", {"s0": 1.0, "s1": 0.97}), ("test", {"t0": 0.99})):
        data = write_set(tmp_path / "corpus" / name, WORDS * 4, speakers, rng)
        for table in ("feats.scp", "cmvn.scp"):
            (data.path / table).unlink()
    work = tmp_path / "work"
    rows = run_recipe(recipe(tmp_path / "words"), RunOptions(
        work=work, corpus=tmp_path / "corpus", nj=1, stop_stage=1 + list(STAGES).index("dnn")))
    assert {(row["system"], row["test_set"], row["grammar"], row["known"]) for row in rows} == {
        (system, *what, known) for system in ("mono", "dnn") for known in ("none", "all")
        for what in (("test", "commands"), ("test_strings", "loop"))}
    assert all(row["wer"] <= 20 for row in rows), rows
    train, test = (read_datadir(work / "data" / name) for name in ("train", "test_strings"))
    assert len(train) > 32
    strings = {name: parts.split() for name, parts in train.tables["utt2parts"].items()
               if " " in parts}
    # Every word of the test is said once more at most, by the test's own speaker.
    tested = [part for parts in test.tables["utt2parts"].values() for part in parts.split()]
    assert 14 <= len(set(tested)) == len(tested) <= 16
    assert {name.split("-")[0] for name in tested} == {"t0"}
    # What was only watched is part of nothing that was learned.
    held = set((work / "exp" / "dnn" / "held_out").read_text().split())
    assert held & set(strings)
    for string, parts in strings.items():
        assert {*parts} <= held if string in held else not {*parts} & held
    judges = read_datadir(work / "data" / "network" / "held_out")
    assert {len(one.words) for one in judges.utterances.values()} == {1}
    for known in ("", "_alone"):
        decode = work / "exp" / "dnn" / f"decode_test_strings{known}"
        assert len((decode / "text").read_text().splitlines()) == len(test)
    graph = json.loads((work / "exp" / "dnn" / "graph" / "graph.json").read_text())
    assert graph["grammar"] == "commands"


@pytest.mark.parametrize(("values", "why"), [
    ({"phrases": "texts"}, "strings are of the words of the lexicon; give phrases = lexicon"),
    ({"strings": "false"}, r"\[join\] has no effect without strings = true"),
    ({"strings": "some"}, "strings is 'some'; choose one of true, false")])
def test_strings_without_effect_are_refused(tmp_path, values, why):
    with pytest.raises(UserError, match=why):
        recipe(tmp_path / "words", **values)
