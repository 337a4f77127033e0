"""The verbs with a command list, as a user runs them: lines, figures, files, error lines."""

import json
import shutil

import numpy as np
import pytest
import soundfile
from command_world import COMMANDS, OUTSIDE, RATE, make_network, speak
from test_cli import error_of, hybridasr

from hybridasr.cli import main
from hybridasr.confidence.calibration import load_calibration

pytestmark = pytest.mark.usefixtures("few_noises")
COMMAND_FIELDS = {"file", "text", "id", "confidence", "accepted", "reason", "partial", "result",
                  "alternatives", "slots"}


@pytest.fixture
def place(spoken_world, tmp_path):
    """A directory with a model, a command list and two recordings: of a command, of none."""
    shutil.copytree(spoken_world.mono, tmp_path / "mono")
    (tmp_path / "commands.txt").write_text("".join(f"id{n}\t{text}\n" for n, text in
                                                   enumerate(COMMANDS)))
    for name, text in (("in", COMMANDS[0]), ("out", OUTSIDE[0])):
        soundfile.write(tmp_path / f"{name}.wav", speak(text, np.random.default_rng(1)), RATE)
    return tmp_path


def run(capsys, *words, code=0):
    """Run a verb in this process; return what it printed and its lines on stderr."""
    assert main([*map(str, words)]) == code
    captured = capsys.readouterr()
    return captured.out, captured.err.splitlines()


def check_results(text, place, calibrated):
    """Check the lines of the two recordings."""
    inside, outside = map(json.loads, text.splitlines())
    for result, name in ((inside, "in.wav"), (outside, "out.wav")):
        assert set(result) == COMMAND_FIELDS
        assert result["file"] == str(place / name)
        assert (result["confidence"] is None) == (not calibrated)
    assert (inside["text"], inside["id"], inside["accepted"]) == (COMMANDS[0], "id0", True)
    assert (outside["text"], outside["id"], outside["reason"]) == ("", None, "filler")
    if calibrated:
        assert outside["confidence"] < 0.5 < inside["confidence"]


def test_recognize_calibrate_evaluate_and_recognize_again(place, spoken_world, capsys):
    """One line of JSON a file; the calibration is stored, drawn and used."""
    recognize = ["recognize", "--commands", place / "commands.txt", place / "mono",
                 place / "in.wav", place / "out.wav"]
    done = hybridasr(*recognize)
    lines = done.stderr.splitlines()
    assert [line for line in lines if not line.startswith("compiling kernels")] == []
    check_results(done.stdout, place, False)
    data = spoken_world.test.path
    done = hybridasr("calibrate", "--nj", 2, "--commands", place / "commands.txt", "--plots",
                     place / "plots", "--false-accept-rate", 0.1, place / "mono", data)
    figures = json.loads(done.stdout)
    assert figures["accepted_right"] > 90
    assert figures["false_accept"] <= 10
    stored = load_calibration(place / "mono")
    assert stored.info["figures"] == figures
    assert stored.info["options"]["false_accept_rate"] == 0.1
    for name in ("reliability", "det", "roc"):
        assert (place / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    out, _ = run(capsys, "evaluate", "--commands", place / "commands.txt", place / "mono", data)
    (row,) = json.loads(out)
    assert (row["system"], row["test_set"], row["commands"], row["outside"]) == (
        "mono", "test", 18, 24)
    assert (row["accepted_right"], row["false_accept"]) == (100.0, 0.0)
    assert row["ece"] <= 0.05
    trials = (place / "mono" / "commands_test" / "trials").read_text().splitlines()
    assert len(trials) == 42
    check_results(run(capsys, *recognize)[0], place, True)


def test_options_of_rejection(place, capsys):
    audio = [place / "mono", place / "in.wav"]
    for words, accepted in ((["--filler-penalty", -30], False),
                            (["--filler-penalty", 0, "--near-fillers", 0], True)):
        out, _ = run(capsys, "recognize", "--commands", place / "commands.txt", *words, *audio)
        assert json.loads(out)["accepted"] == accepted
    (place / "fillers.txt").write_text("ta1ti1\n# none\nbu1bu1 la1\n")
    out, err = run(capsys, "recognize", "--commands", place / "commands.txt", "--fillers",
                   place / "fillers.txt", *audio)
    assert json.loads(out)["accepted"]
    assert err == []


def test_drawn_lists(place, spoken_world, capsys):
    out, err = run(capsys, "calibrate", "--draws", 2, "--list-share", 0.4, place / "mono",
                   spoken_world.test.path)
    figures = json.loads(out)
    assert figures["commands"] == 2 * 3 * 6  # two lists of three of the seven texts
    assert err == []
    assert load_calibration(place / "mono").info["lists"] == 2


def test_evaluate_makes_features_that_are_missing(place, spoken_world, capsys):
    data = place / "data"
    data.mkdir()
    for name in ("wav.scp", "text", "utt2spk", "spk2utt"):
        shutil.copy(spoken_world.test.path / name, data / name)
    out, _ = run(capsys, "evaluate", "--commands", place / "commands.txt", place / "mono", data)
    (row,) = json.loads(out)
    assert (row["utterances"], row["recognised"], row["ece"]) == (42, 100.0, None)


def test_commands_that_sound_alike_are_named_once_a_run(place, spoken_world, capsys):
    (place / "alike.txt").write_text("da1ti1\nda1 ti1\nbu1la1\nli1du1\n")
    line = "warning: commands 'da1 ti1' and 'da1ti1' sound the same"
    words = ["--commands", place / "alike.txt", place / "mono"]
    for more in (["recognize", *words, place / "in.wav", place / "out.wav"],
                 ["evaluate", "--nj", 2, *words, spoken_world.test.path],
                 ["calibrate", *words, spoken_world.test.path]):
        _, err = run(capsys, *more)
        (found,) = [text for text in err if "sound" in text]
        assert found.startswith(line)


@pytest.mark.parametrize(("text", "lines"), [
    ("da1ti1\nku1 la1\n", ["error: {}:2: command 'ku1 la1': 'ku1' needs the phones k, which the "
                           "model has never heard; "]),
    ("da1ti1\n\nbu1\nda1ti1\n", ["error: {}:4: 'da1ti1' is there already, in line 1; delete"]),
    ("", ["error: {}: no command in the list; write one command a line"]),
    ("# nothing\n", ["error: {}: no command in the list; "]),
    ("x\tda1ti1\t1.5\n", ["error: {}:1: threshold 1.5 is outside 0..1; give 0 to 1"]),
    ("x\tda1ti1\tmany\n", ["error: {}:1: threshold 'many' is no number; give 0 to 1"]),
    ("da1!\nbu1\nqqq\n", ["error: {}:1: 'da1!' has !; write words only"]),
    ("zzz\nda1\nxxx\n", ["error: {}:1: command 'zzz': no pronunciation for 'zzz'; ",
                         "{}:3: command 'xxx': no pronunciation for 'xxx'; "]),
])
def test_error_lines_of_a_command_list(place, capsys, text, lines):
    path = place / "bad.txt"
    path.write_text(text)
    out, err = run(capsys, "recognize", "--commands", path, place / "mono", place / "in.wav",
                   code=1)
    assert out == ""
    for found, expected in zip(err, lines, strict=True):
        assert found.startswith(expected.format(path)), found


def test_other_error_lines(place, spoken_world, capsys):
    commands = ["--commands", place / "commands.txt"]
    audio, data = [place / "mono", place / "in.wav"], [place / "mono", spoken_world.test.path]
    (place / "fillers.txt").write_text("ku1\n")
    (place / "few.txt").write_text("".join(f"{text}\n" for text in [*COMMANDS, *OUTSIDE[:3]]))
    (place / "all.txt").write_text("".join(f"{text}\n" for text in [*COMMANDS, *OUTSIDE]))
    for words, line in (
            (["recognize", *commands, "--threshold", 1.5, *audio], "threshold is 1.5; give a prob"),
            (["recognize", *commands, "--near-fillers", -1, *audio], "near-fillers is -1; give 0"),
            (["recognize", "--commands", place / "none.txt", *audio], "none.txt: no such file"),
            (["recognize", "--fillers", place / "fillers.txt", *audio],
             "--fillers has no effect without a command list; give --commands FILE too"),
            (["calibrate", "--fillers", place / "fillers.txt", *data], "give --commands FILE too"),
            (["evaluate", "--fillers", place / "fillers.txt", *data], "give --commands FILE too"),
            (["recognize", *commands, "--fillers", place / "fillers.txt", *audio],
             "'ku1' needs the phones k"),
            (["calibrate", "--commands", place / "all.txt", *data],
             "no outside utterances to calibrate with, at least 10 are needed; add recordings"),
            (["calibrate", "--commands", place / "few.txt", *data],
             "6 outside utterances to calibrate with"),
            (["calibrate", "--draws", 0, *data], "draws and list-size must be 1 or more"),
            (["calibrate", "--held-out", *data], "held_out: names no utterance of this set"),
            (["calibrate", *commands, "--folds", 1, *data], "folds is 1; give at least 2")):
        out, err = run(capsys, *words, code=1)
        assert out == ""
        (found,) = err
        assert found.startswith("error: ")
        assert line in found


def test_damaged_calibrations(place, spoken_world, capsys):
    recognize = ["recognize", "--commands", place / "commands.txt", place / "mono",
                 place / "in.wav", place / "out.wav"]
    path = place / "mono" / "confidence.json"
    values = {"format": 1, "names": ["loudness"], "means": [0.0], "scales": [1.0],
              "weights": [1.0], "bias": 0.0, "threshold": 0.5, "filler_penalty": 0.0}
    for text, line in (
            (json.dumps({**values, "scales": [0.0]}), f"error: {path}: entry 'scales' has one"),
            (json.dumps({**values, "format": 2}), f"error: {path}: calibration format 2, this"),
            # Once, not for each recording.
            (json.dumps(values), f"error: {path}: the calibration wants the measure 'loudness'")):
        path.write_text(text)
        out, (found,) = run(capsys, *recognize, code=1)
        assert (out, found[:len(line)]) == ("", line)
    path.write_text('{"format": 1,')
    assert error_of(*recognize).startswith(f"error: {path}:1: not JSON")
    # What the line asks for mends it.
    run(capsys, "calibrate", "--commands", place / "commands.txt", place / "mono",
        spoken_world.test.path)
    assert len(run(capsys, *recognize)[0].splitlines()) == 2


def test_a_quantised_network_keeps_its_calibration(place, spoken_world, capsys):
    model = make_network(spoken_world, place / "dnn")
    run(capsys, "calibrate", "--commands", place / "commands.txt", model, spoken_world.test.path)
    run(capsys, "quantize", model, place / "int8")
    for name in ("confidence.json", "confusions.json"):
        assert (place / "int8" / name).read_bytes() == (model / name).read_bytes()
    found = [json.loads(run(capsys, "recognize", "--commands", place / "commands.txt", path,
                            place / "in.wav")[0]) for path in (model, place / "int8")]
    assert found[0]["confidence"] == pytest.approx(found[1]["confidence"], abs=0.05)
    # A network quantised anew has none, if the one that it comes from has none.
    for name in ("confidence.json", "confusions.json"):
        (model / name).unlink()
    run(capsys, "quantize", model, place / "int8")
    assert not (place / "int8" / "confidence.json").exists()
    assert not (place / "int8" / "confusions.json").exists()
