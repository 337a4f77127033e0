"""The last stage of a recipe: the network calibrated, commands accepted and rejected."""

import json
import logging
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from command_world import OUTSIDE, write_set

from hybridasr.confidence.calibration import Calibration, Regression, save_calibration
from hybridasr.corpus.command_list import read_commands
from hybridasr.errors import UserError
from hybridasr.recipe.config import read_recipe
from hybridasr.recipe.runner import STAGES, RunOptions, run_recipe
from hybridasr.recognize.recognizer import load

pytestmark = pytest.mark.usefixtures("few_noises")
LAST = 1 + list(STAGES).index("commands")
CONF = """[recipe]
title = a recipe for tests
reader = auto
test = test
grammar = commands
phrases = texts
systems = mono dnn
alignments = mono
outside = test_outside
{more}
[features]
use_energy = false
[mono]
num_iters = 10
max_iter_inc = 6
totgauss = 60
[augment]
speeds = 1.0
copies = 0
[dnn_features]
use_energy = false
[dnn]
network = nnet.conf
num_epochs = 6
minibatch_size = 64
initial_learning_rate = 0.01
final_learning_rate = 0.001
held_out = 0.3
[calibrate]
false_accept_rate = 0.1
[reject]
near_fillers = 2
"""


@pytest.fixture(scope="module")
def place(spoken_world, tmp_path_factory):
    """A recipe, a corpus of Kaldi's directories, and a run of it up to the network."""
    root = tmp_path_factory.mktemp("recipe")
    texts = sorted({" ".join(u.words) for u in spoken_world.train.utterances.values()})
    rng = np.random.default_rng(8)
    # The set's own texts, by other speakers: every second one is a command.
    test = write_set(root / "corpus" / "test", texts, {"t0": 0.99, "t1": 1.02}, rng)
    outside = write_set(root / "corpus" / "test_outside", OUTSIDE, {"t0": 0.99, "t1": 1.02}, rng)
    for name in ("feats.scp", "cmvn.scp"):
        for data in (test, outside):
            (data.path / name).unlink()
    (root / "corpus" / "train").mkdir()
    for name in ("wav.scp", "text", "utt2spk", "spk2utt"):
        shutil.copy(spoken_world.train.path / name, root / "corpus" / "train" / name)
    for name, more in (("listed", "commands = commands.txt"), ("drawn", "commands = drawn"),
                       ("plain", "")):
        (root / name).mkdir()
        (root / name / "recipe.conf").write_text(CONF.format(more=more))
        (root / name / "nnet.conf").write_text("splice offsets=-3:3\naffine dim=48\nrelu\noutput\n")
    commands = texts[::2]
    (root / "listed" / "commands.txt").write_text("".join(f"{text}\n" for text in commands))
    word = next(text for text in commands if len(text) == 6)
    (root / "alike.txt").write_text("".join(
        f"{text}\n" for text in [f"{word[:3]} {word[3:]}", *commands]))
    found = SimpleNamespace(root=root, corpus=root / "corpus", commands=commands, texts=texts)
    run(found, "listed", root / "trained", 1, stop_stage=LAST - 1)
    return found


def run(place, recipe, work, stage=LAST, **options):
    """Run a recipe's last stage, or from an earlier one on; return the rows of results.json."""
    return run_recipe(read_recipe(place.root / recipe), RunOptions(
        work=work, corpus=place.corpus, nj=1, stage=stage, **options))


@pytest.fixture
def work(place, tmp_path):
    return shutil.copytree(place.root / "trained", tmp_path / "work")


def messages(caplog, what):
    return [record.getMessage() for record in caplog.records if what in record.getMessage()]


def test_a_listed_recipe(place, work, caplog):
    caplog.set_level(logging.INFO, logger="hybridasr")
    *words, row, whole, new, new_whole = run(place, "listed", work, 1)
    assert [(r["system"], r["grammar"], r["known"]) for r in words] == [
        (system, "commands", known) for system in ("mono", "dnn") for known in ("none", "all")]
    assert [r["known"] for r in (row, whole, new, new_whole)] == ["none", "all"] * 2
    assert (row["system"], row["test_set"], row["grammar"], row["wer"]) == (
        "dnn", "test+test_outside", "commands and filler", None)
    assert (row["commands"], row["outside"]) == (
        2 * len(place.commands), 2 * (len(place.texts) - len(place.commands)) + 2 * len(OUTSIDE))
    assert row["recognised"] >= 90
    assert row["false_accept"] <= 20
    assert row["ece"] <= 0.1
    # Half of the outside texts as commands that were never trained, against the other half.
    assert (new["test_set"], new["grammar"]) == ("test_outside", "new commands and filler")
    assert new["commands"] == 2 * round(len(OUTSIDE) / 2)
    assert new["commands"] + new["outside"] == 2 * len(OUTSIDE)
    assert json.loads((work / "results.json").read_text())[-4:] == [
        row, whole, new, new_whole]
    model = work / "exp" / "dnn"
    assert json.loads((model / "commands_test_alone" / "detection.json").read_text()) == row
    stored = json.loads((model / "confidence.json").read_text())
    assert stored["info"]["options"]["false_accept_rate"] == 0.1
    # Speakers held out, and no others.
    # As they are and with silence around.
    assert stored["info"]["utterances"] == 2 * len((model / "held_out").read_text().split())
    assert load(model, commands=read_commands(place.root / "listed" / "commands.txt")).calibration
    # The second run does nothing.
    caplog.clear()
    assert run(place, "listed", work) == [*words, row, whole, new, new_whole]
    assert messages(caplog, "calibrate skipped: done")
    assert messages(caplog, "commands skipped: done")
    assert messages(caplog, "new_commands skipped: done")


def test_a_list_with_other_thresholds_decides_anew(place, work, tmp_path):
    shutil.rmtree(work / "data" / "test_outside")
    path, rows = tmp_path / "commands.txt", []
    for threshold in (0.0, 1.0):
        path.write_text("".join(f"{n}\t{text}\t{threshold}\n"
                                for n, text in enumerate(place.commands)))
        rows.append(run(place, "drawn", work, commands=path)[-1])
    assert rows[0]["accepted_right"] == rows[0]["recognised"] == rows[1]["recognised"] >= 90
    assert rows[1]["accepted_right"] == 0.0


def test_drawn_lists(place, work):
    *_, row, _, _, _ = run(place, "drawn", work)
    stored = json.loads((work / "exp" / "dnn" / "confidence.json").read_text())
    assert stored["info"]["lists"] == 6
    assert row["commands"] == 2 * round(len(place.texts) / 2)
    assert row["recognised"] >= 90


def test_a_recipe_without_commands_has_no_such_stage(place, work, caplog):
    caplog.set_level(logging.INFO, logger="hybridasr")
    rows = run(place, "plain", work, 1)
    assert [row["grammar"] for row in rows] == ["commands"] * 4
    assert messages(caplog, "stage 11") == []
    assert not (work / "exp" / "dnn" / "confidence.json").exists()


def test_a_corpus_of_commands_alone(place, work, tmp_path, caplog):
    """Nothing to calibrate with, no set of outside words: a row without probabilities."""
    old = Calibration(("margin",), Regression(np.zeros(1), np.ones(1), np.ones(1), 0.0), 0.5)
    save_calibration(old, work / "exp" / "dnn")
    everything = tmp_path / "all.txt"
    everything.write_text("".join(f"{text}\n" for text in place.texts))
    shutil.rmtree(work / "data" / "test_outside")
    caplog.clear()
    *_, row = run(place, "listed", work, commands=everything)
    assert (row["test_set"], row["outside"], row["eer"], row["ece"]) == ("test", 0, None, None)
    assert row["commands"] == 2 * len(place.texts)
    (line,) = messages(caplog, "is not calibrated")
    assert "no outside utterances to calibrate with" in line
    # That of the other list is gone.
    assert not (work / "exp" / "dnn" / "confidence.json").exists()


def test_outside_words_that_changed_are_heard_anew(place, work, tmp_path, caplog):
    caplog.set_level(logging.WARNING, logger="hybridasr")
    commands = place.root / "alike.txt"
    first = run(place, "listed", work, commands=commands)[-4]
    # Calibration and decisions name the commands that sound alike once.
    lines = messages(caplog, "sound")
    assert "sound the same" in lines[0]
    pairs = [line.partition(" sound")[0] for line in lines]
    assert len(pairs) == len(set(pairs))
    corpus = shutil.copytree(place.corpus, tmp_path / "corpus")
    for name in ("wav.scp", "text", "utt2spk"):
        path = corpus / "test_outside" / name
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    (corpus / "test_outside" / "spk2utt").write_text("t0 t0-000 t0-001 t0-002\n")
    changed = SimpleNamespace(**{**vars(place), "corpus": corpus})
    row = run(changed, "listed", work, 1, commands=commands)[-4]
    assert row["outside"] == first["outside"] - 2 * len(OUTSIDE) + 3


def test_commands_with_new_words_go_with_the_model(place, work, tmp_path):
    """The graph of an earlier run's network knows them, too."""
    path = tmp_path / "new.txt"
    path.write_text("".join(f"{text}\n" for text in [*place.commands, "da1da1", "lu1lu1lu1"]))
    run(place, "plain", work, 1, commands=path, stop_stage=LAST - 1)
    words = (work / "exp" / "dnn" / "lang" / "words.txt").read_text().split()
    assert {"da1da1", "lu1lu1lu1"} <= set(words)


def test_options_of_the_sections_are_checked(place):
    for section, name, value, line in (
            ("reject", "near_fillers", "-1", "near-fillers is -1"),
            ("reject", "threshold", "2", "threshold is 2.0"),
            ("calibrate", "folds", "1", "folds is 1"),
            ("reject", "beam", "3", "unknown option 'beam'")):
        with pytest.raises(UserError, match=line):
            read_recipe(place.root / "listed", {section: {name: value}})
    recipe = read_recipe(place.root / "listed", {"reject": {"filler_penalty": "-2.5"}})
    assert recipe.options["reject"].filler_penalty == -2.5
    assert (recipe.commands, recipe.outside) == ("commands.txt", ("test_outside",))
