"""The recipes on real speech, end to end: error rates that must be met, stages that are skipped."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


def run(recipe, work, *more):
    """Run a recipe as egs/run.sh does; return (row of results.json, messages)."""
    words = [sys.executable, "-m", "hybridasr.cli", "run-recipe", "--recipes",
             str(REPOSITORY / "egs"), "--recipe", recipe, "--work", str(work), "--nj", "2",
             *map(str, more)]
    done = subprocess.run(words, capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((work / "results.json").read_text())
    return row, done.stderr


def test_commands_zh(tmp_path):
    row, _ = run("commands_zh", tmp_path)
    assert row["utterances"] == 360
    assert row["ser"] <= 3.0
    again, messages = run("commands_zh", tmp_path)
    assert again == row
    assert messages.count("skipped: done") == 7


@pytest.mark.realdata
def test_dsp20(data_root, tmp_path):
    row, _ = run("dsp20", tmp_path, "--corpus", data_root / "dsp20")
    assert row["words"] == 640
    assert row["wer"] <= 14.4  # Kaldi's train_mono.sh
    info = json.loads((tmp_path / "exp/mono/model.json").read_text())["info"]
    assert info["unaligned"] == 0
    log = (tmp_path / "exp/mono/log/train.log").read_text()
    likelihoods = [float(v) for v in re.findall(r"log likelihood a frame (-?[\d.]+)", log)]
    assert len(likelihoods) == 40
    assert (np.diff(likelihoods) > -1e-4).all()  # falls in no iteration, here not even at a split
    files = sorted((data_root / "dsp20" / "speech_data" / "spk24").glob("*.flac"))[:5]
    done = subprocess.run([sys.executable, "-m", "hybridasr.cli", "recognize",
                           str(tmp_path / "exp" / "mono"), *map(str, files)],
                          capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    assert [json.loads(line)["file"] for line in done.stdout.splitlines()] == list(map(str, files))


@pytest.mark.realdata
def test_digits_leaving_one_speaker_out(data_root, tmp_path):
    rates = []
    for speaker in ("george", "jackson", "nicolas", "theo"):
        row, _ = run("digits", tmp_path / speaker, "--corpus", data_root / "fsdd",
                     "--test-speaker", speaker)
        assert row["words"] == 500
        rates.append(row["wer"])
    assert np.mean(rates) <= 20.0, rates


@pytest.mark.realdata
def test_words_zh(data_root, tmp_path):
    row, _ = run("words_zh", tmp_path, "--corpus", data_root / "audio-cmn")
    assert row["words"] >= 490
    assert row["wer"] <= 16.0


@pytest.mark.realdata
def test_yesno_and_the_number_of_jobs(data_root, tmp_path):
    row, _ = run("yesno", tmp_path / "two", "--corpus", data_root / "yesno")
    assert row["wer"] == 0.0
    assert row["utterances"] == 29
    run("yesno", tmp_path / "one", "--corpus", data_root / "yesno", "--nj", 1)
    ours, theirs = (np.load(tmp_path / name / "exp/mono/gmm.npz") for name in ("one", "two"))
    for name in ours.files:
        np.testing.assert_array_equal(ours[name], theirs[name])
