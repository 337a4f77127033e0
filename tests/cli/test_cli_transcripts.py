"""Long recordings on the command line: every command, cuts at pauses, subtitles and other forms."""

import json

import numpy as np
import pytest
import soundfile
from command_world import COMMANDS, OUTSIDE, RATE, speak

from hybridasr.cli import main
from hybridasr.output.ctm import read_ctm
from hybridasr.output.textgrid import read_textgrid
from hybridasr.recognize import transcript as transcript_module

SCALE = ["--acoustic-scale", 0.03]
WORDS = ["--commands", "commands.txt", *SCALE]


@pytest.fixture
def begins(spoken_world, tmp_path, monkeypatch):
    """A folder with a model and long.wav; returns where its commands begin, in seconds."""
    rng = np.random.default_rng(1)
    (tmp_path / "mono").symlink_to(spoken_world.mono)
    (tmp_path / "commands.txt").write_text("".join(f"{text}\n" for text in COMMANDS))
    parts, places = [40 * rng.normal(size=8000)], []
    for text in (COMMANDS[0], OUTSIDE[0], COMMANDS[1], COMMANDS[2]):
        if text in COMMANDS:
            places.append(sum(map(len, parts)) / RATE)
        parts += [speak(text, rng), 40 * rng.normal(size=RATE)]
    soundfile.write(tmp_path / "long.wav", np.round(np.concatenate(parts)).astype("i2"), RATE)
    monkeypatch.chdir(tmp_path)
    return places


def recognize(capsys, *words, code=0):
    assert main(["recognize", *map(str, words)]) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_every_command_and_nothing_else(begins, capsys):
    out, _ = recognize(capsys, *WORDS, "--continuous", "mono", "long.wav")
    results = [json.loads(line) for line in out.splitlines()]
    assert [result["text"] for result in results] == COMMANDS
    for result, begin in zip(results, begins, strict=True):
        # The recording of a command begins with up to 0.15 s of noise.
        assert begin - 0.05 < result["start"] < begin + 0.25
        assert result["start"] == result["result"][0]["start"]
        assert result["end"] == result["result"][-1]["end"]
    out, _ = recognize(capsys, *WORDS, "--endpoint", "default", "mono", "long.wav")
    assert len(out.splitlines()) == 4


def test_forms(begins, capsys, tmp_path):
    words = [*WORDS, "--continuous"]
    srt, _ = recognize(capsys, *words, "--output", "srt", "mono", "long.wav")
    assert [line for line in srt.splitlines() if line[:1].isalpha()] == COMMANDS
    assert srt.count(" --> ") == 3
    vtt, _ = recognize(capsys, *words, "--output", "vtt", "mono", "long.wav")
    assert vtt.startswith("WEBVTT\n\n00:00:00.")
    ctm, _ = recognize(capsys, *words, "--output", "ctm", "mono", "long.wav")
    for form in ("srt", "vtt", "ctm", "textgrid"):
        out, _ = recognize(capsys, *words, "--output", form, "--output-dir", "out", "mono",
                           "long.wav")
        assert out == ""
    assert (tmp_path / "out" / "long.srt").read_text() == srt
    assert (tmp_path / "out" / "long.vtt").read_text() == vtt
    assert (tmp_path / "out" / "long.ctm").read_text() == ctm
    rows = read_ctm(tmp_path / "out" / "long.ctm")
    assert [row.symbol for row in rows] == " ".join(COMMANDS).split()
    seconds, tiers = read_textgrid(tmp_path / "out" / "long.TextGrid")
    assert seconds == pytest.approx(soundfile.info("long.wav").duration, abs=1e-5)
    assert [one.label for one in tiers["utterances"]] == COMMANDS
    assert [one.begin for one in tiers["words"]] == pytest.approx([row.begin for row in rows],
                                                                  abs=0.006)


def test_a_long_recording_with_a_list_is_warned_of(begins, capsys, monkeypatch):
    monkeypatch.setattr(transcript_module, "LONGEST_UTTERANCE", 3.0)
    out, err = recognize(capsys, *WORDS, "mono", "long.wav")
    assert len(out.splitlines()) == 1
    assert "taken for one command; give --continuous" in err


@pytest.mark.parametrize(("words", "line"), [
    ([*SCALE, "--continuous", "mono", "long.wav"], "--continuous has no effect without a command"),
    ([*WORDS, "--output", "textgrid", "mono", "long.wav"], "give --output-dir DIR too"),
    ([*WORDS, "--output", "srt", "mono", "long.wav", "x.wav"], "give --output-dir DIR too"),
    ([*WORDS, "--output-dir", "out", "mono", "a/x.wav", "b/x.wav"],
     "a/x.wav and b/x.wav would both be written to out/x.json"),
])
def test_error_lines(begins, capsys, words, line):
    out, err = recognize(capsys, *words, code=1)
    assert out == ""
    assert line in err
