"""The verbs of who speaks: train, enrol, recognise with a profile; what is refused."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_world import COMMANDS, RATE, speak

from hybridasr.cli import main

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "voice"))
from voice_world import write_voices


def run(capsys, *words, code=0):
    """Run a verb in this process; return its lines on both streams."""
    assert main(list(map(str, words))) == code
    captured = capsys.readouterr()
    return captured.out.splitlines(), captured.err.splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, spoken_world):
    """Made-up voices, a check, and a recording of a command."""
    folder = tmp_path_factory.mktemp("cli_voice")
    write_voices(folder / "voices", range(6))
    (folder / "mono").symlink_to(spoken_world.mono)
    (folder / "commands.txt").write_text("\n".join(COMMANDS))
    soundfile.write(folder / "one.wav", speak(COMMANDS[0], np.random.default_rng(2)), RATE)
    soundfile.write(folder / "short.wav", np.zeros(800, np.int16), RATE)
    return folder


@pytest.fixture
def place(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def check(place, capsys):
    line, = run(capsys, "train-speaker-check", "voices", "check.npz")[0]
    return json.loads(line)


def test_from_training_to_a_rejection(place, check, capsys):
    assert (check["check"], check["speakers"]) == ("check.npz", 6)
    assert check["eer"] < 20
    files = sorted(str(path) for path in (place / "voices" / "wav").glob("v01-*.wav"))[:3]
    assert run(capsys, "enrol", "check.npz", "mei.npz", *files) == ([], [])
    words = ["recognize", "--commands", "commands.txt", "--acoustic-scale", 0.03,
             "--speaker-profile", "mei.npz"]
    result = json.loads(run(capsys, *words, "mono", "one.wav")[0][0])
    assert (result["text"], result["accepted"]) == (COMMANDS[0], True)
    # The chord of a single vowel may be too short for a score; then it is nobody's.
    threshold = (result["speaker_score"] or 0.0) + 1
    result = json.loads(run(capsys, *words, "--speaker-threshold", threshold, "mono",
                            "one.wav")[0][0])
    assert (result["text"], result["reason"]) == (COMMANDS[0], "speaker")
    out, _ = run(capsys, "listen", *words[1:], "--speaker-threshold", threshold, "--input",
                 "one.wav", "mono")
    assert out[0].endswith("(speaker, da1ti1)")


@pytest.mark.parametrize(("words", "line"), [
    (["recognize", "--speaker-threshold", "0", "mono", "one.wav"],
     "--speaker-threshold has no effect without a profile; give --speaker-profile FILE too"),
    (["recognize", "--commands", "commands.txt", "--speaker-profile", "check.npz", "mono",
      "one.wav"], "check.npz: is a speaker check, not the profile of a speaker"),
    (["recognize", "--commands", "commands.txt", "--speaker-profile", "none.npz", "mono",
      "one.wav"], "none.npz: no such profile; make it with 'hybridasr enrol'"),
    (["enrol", "check.npz", "mei.npz", "short.wav"], "short.wav: less than 0.1 s of speech"),
    (["enrol", "check.npz", "mei.npz", "none.wav"], "none.wav: no such recording"),
    (["enrol", "none.npz", "mei.npz", "one.wav"], "none.npz: no such file"),
    (["train-speaker-check", "--shrinkage", "2", "voices", "x.npz"],
     "option shrinkage is 2.0; give 0 to 1"),
    (["train-speaker-check", "none", "x.npz"], "none"),
])
def test_error_lines(place, check, capsys, words, line):
    out, err = run(capsys, *words, code=1)
    assert out == []
    assert len(err) == 1
    assert line in err[0]


def test_help_says_what_it_is_not(capsys):
    for verb in ("train-speaker-check", "enrol"):
        assert "It is no security feature" in " ".join(run(capsys, verb, "--help")[0])
