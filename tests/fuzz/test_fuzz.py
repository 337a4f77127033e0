"""A part of the fuzz command: changed inputs end in a result or in one clear line."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FUZZ = Path(__file__).resolve().parents[2] / "tools/fuzz"
sys.path.insert(0, str(FUZZ))

import fuzz  # noqa: E402
from changes import change_file  # noqa: E402
from kinds import kinds_without_model  # noqa: E402
from trial import attempt  # noqa: E402


def test_fifty_changed_inputs(tmp_path):
    rows = list(fuzz.run(kinds_without_model(tmp_path / "base"), 50, 0, 1, tmp_path))
    assert len(rows) == 50
    assert [row for row in rows if row[2].kind in fuzz.BAD] == []


@pytest.mark.slow
def test_changed_inputs_of_every_kind():
    done = subprocess.run([sys.executable, FUZZ / "fuzz.py", "--count", "400", "--seed", "3"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def end(code):
    def action():
        exec(code)
        return 0
    return action


@pytest.mark.parametrize(("code", "kind"), [
    ("pass", "ok"), ("raise ValueError('x')", "fault"), ("import os; os.abort()", "crash"),
    ("import ctypes; ctypes.string_at(0)", "crash"), ("b'x' * (5 << 30)", "memory"),
    ("print('error: a fault of the program (x)'); raise SystemExit(1)", "fault")])
def test_what_becomes_of_an_input_is_told(code, kind):
    assert attempt(end(code)).kind == kind


def test_an_input_that_takes_too_long(monkeypatch):
    monkeypatch.setattr("trial.SECONDS", 1)
    outcome = attempt(end("while True: pass"))
    assert outcome.kind == "time"
    assert outcome.seconds < 5


def test_a_clean_line_is_no_failure():
    def action():
        print("error: a.txt: is empty; write it again")
        return 1
    assert attempt(action).kind == "line"


@pytest.mark.parametrize("name", ["a.npz", "a.json", "a.txt", "a.bin"])
def test_the_same_seed_makes_the_same_change(tmp_path, name):
    results = []
    for folder in ("one", "two"):
        path = tmp_path / folder / name
        path.parent.mkdir()
        if name == "a.npz":
            np.savez(path, a=np.arange(10), b=np.ones((2, 3)))
        else:
            path.write_bytes({"a.json": b'{"a": [1, {"b": 2}]}', "a.txt": b"u1 a b\nu2 c\n",
                              "a.bin": b"\0BFM \4abcd"}[name])
        rng = np.random.default_rng(7)
        results.append([change_file(path, rng) for _ in range(3) if path.is_file()])
        results[-1].append(path.read_bytes() if path.is_file() else None)
    assert results[0] == results[1]
