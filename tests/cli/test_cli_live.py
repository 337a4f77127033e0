"""The verb listen as a user runs it: from files, pipes and microphones, to lines and programs."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_world import COMMANDS, OUTSIDE, RATE, speak

from hybridasr.cli import main

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "live"))
from fake_sounddevice import fake_sounddevice

SCALE = ["--acoustic-scale", 0.03]


@pytest.fixture(scope="module")
def audio():
    """Two commands and an outside word with pauses, int16."""
    rng = np.random.default_rng(1)
    parts = [40 * rng.normal(size=8000)]
    for text in (COMMANDS[0], OUTSIDE[0], COMMANDS[1]):
        parts += [speak(text, rng), 40 * rng.normal(size=RATE)]
    return np.round(np.concatenate(parts)).astype(np.int16)


@pytest.fixture
def place(spoken_world, tmp_path, audio, monkeypatch):
    (tmp_path / "mono").symlink_to(spoken_world.mono)
    (tmp_path / "commands.txt").write_text("".join(f"id{n}\t{text}\n" for n, text in
                                                   enumerate(COMMANDS)))
    soundfile.write(tmp_path / "three.wav", audio, RATE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listen(capsys, *words, code=0):
    """Run the verb in this process; return its lines on both streams."""
    assert main(["listen", *map(str, words)]) == code
    captured = capsys.readouterr()
    return captured.out.splitlines(), captured.err.splitlines()


def test_lines_of_a_file(place, capsys):
    out, err = listen(capsys, "--commands", "commands.txt", *SCALE, "--input", "three.wav", "mono")
    assert err == []
    assert [line.split("  ", 1)[1] for line in out] == [
        f"{COMMANDS[0]}  (id0)", "-  (filler)", f"{COMMANDS[1]}  (id1)"]
    begin, end = map(float, out[0].split("  ")[0].split("-"))
    assert 0.5 < begin < 0.8 < end < 1.2
    words = ["--commands", "commands.txt", *SCALE, "--partial", "--endpoint", "short", "--json",
             "--input", "three.wav", "--real-time", "mono"]
    events = [json.loads(line) for line in listen(capsys, *words)[0]]
    assert [e["text"] for e in events if e.get("accepted")] == COMMANDS[:2]
    assert {"partial": COMMANDS[0]} in events


def test_a_program_for_each_command(place, capsys):
    (place / "note.py").write_text(
        "import pathlib, sys\npathlib.Path(sys.argv[1]).write_text(sys.argv[2])\n")
    words = ["--commands", "commands.txt", *SCALE, "--input", "three.wav"]
    listen(capsys, *words, "--exec", f"{sys.executable} note.py", "mono")
    assert {path.name: path.read_text() for path in place.glob("id*")} == {
        "id0": COMMANDS[0], "id1": COMMANDS[1]}
    out, _ = listen(capsys, *words, "--exec", "false", "mono")
    assert out.count(f"notice: the program for '{COMMANDS[0]}' ended with exit code 1") == 1


def test_a_pipe_is_recognised_while_it_is_open(place, audio):
    """The result comes before the pipe ends; Ctrl-C then ends it with exit code 0."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hybridasr.cli", "listen", "--commands", "commands.txt",
         *map(str, SCALE), "--input", "-", "--raw", "s16le:16000:1", "mono"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])})
    process.stdin.write(audio.tobytes())
    process.stdin.flush()
    assert b"(id0)" in process.stdout.readline()
    assert b"(filler)" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    # The writer is still there, as a microphone's program would be.
    process.wait(60)
    assert b"Traceback" not in process.stderr.read()
    assert process.returncode == 0


def test_a_microphone_until_ctrl_c(place, audio, capsys, monkeypatch):
    spoken = audio[:RATE * 2]
    contents = [part.tobytes() for part in np.split(spoken, range(800, len(spoken), 800))]

    def interrupt():
        # What is in the buffer by now is recognised in milliseconds.
        time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(60)

    monkeypatch.setitem(sys.modules, "sounddevice", fake_sounddevice([[*contents, interrupt]]))
    before = signal.getsignal(signal.SIGINT)
    out, err = listen(capsys, "--commands", "commands.txt", *SCALE, "--json", "mono")
    assert json.loads(out[0])["id"] == "id0"
    assert err == []
    assert signal.getsignal(signal.SIGINT) == before


def test_the_list_of_devices(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", fake_sounddevice([]))
    assert listen(capsys, "--list-devices")[0] == ["*   0  device 0  (1 channels, 16000 Hz)"]


@pytest.mark.parametrize(("words", "line"), [
    (["--list-devices", "--json"], "--json has no effect with --list-devices"),
    ([], "no model to listen with; give its directory"),
    (["--raw", "s16le:16000:1", "mono"], "--raw has no effect on a microphone; give --input FILE"),
    (["--real-time", "mono"], "--real-time has no effect on a microphone"),
    (["--channel", "1", "mono"], "--channel has no effect on a microphone"),
    (["--device", "1", "--input", "x.wav", "mono"], "--device has no effect with --input"),
    (["--level", "--input", "x.wav", "mono"], "--level has no effect where standard error is no"),
    (["--exec", "echo", "--input", "x.wav", "mono"], "--exec has no effect without a command list"),
    (["--commands", "commands.txt", "--exec", "nothing-there", "--input", "x.wav", "mono"],
     "no program 'nothing-there' to run"),
    (["--commands", "commands.txt", "--input", "x.wav", "mono"], "x.wav: no such recording"),
    (["--commands", "commands.txt", "--input", "three.wav", "--channel", "2", "mono"],
     "channel 2 asked for"),
    (["--input", "x.wav", "--noise-suppression", "5", "mono"],
     "option noise_suppression is 5; give 0 to 4"),
])
def test_error_lines(place, capsys, words, line):
    out, err = listen(capsys, *words, code=1)
    assert out == []
    assert line in err[-1]


def test_without_the_extra(place, capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: (
        None if name == "sounddevice" else find(name, *rest)))
    _, err = listen(capsys, "--commands", "commands.txt", "mono", code=1)
    assert err == ["error: microphones need sounddevice; run pip install 'hybridasr[live]'"]
