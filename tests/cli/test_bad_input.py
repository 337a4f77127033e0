"""Bad input through the real commands: exit code 1 and one line that names file and mend."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from test_cli import REPOSITORY, error_of, hybridasr, world  # noqa: F401 (world is a fixture)

RATE = 16000


def noise(seconds=1.0, seed=0, level=1000.0, rate=RATE):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=int(seconds * rate)) * level).astype(np.int16)


@pytest.fixture(scope="module")
def mono(world):  # noqa: F811
    """A trained model directory."""
    return world / "exp" / "mono"


def run_recipe(corpus, work, *more):
    recipes = REPOSITORY / "egs"
    return ["run-recipe", "--recipes", recipes, "--corpus", corpus, "--work", work,
            "--stop-stage", 4, *more]


def write_text_wav(path):
    path.write_text("hello, this is no audio\n")


def write_truncated(path):
    soundfile.write(path, noise(), RATE)
    path.write_bytes(path.read_bytes()[:44])


def write_nan(path):
    samples = noise().astype(np.float32) / 32768
    samples[77] = np.nan
    soundfile.write(path, samples, RATE, subtype="FLOAT")


@pytest.mark.parametrize(("write", "message"), [
    (write_text_wav, "is a text file, not audio"),
    (lambda path: path.write_bytes(b""), r"the file is empty \(0 bytes\)"),
    (write_truncated, "has no samples"),
    (write_nan, "sample 77 .* is nan"),
    (lambda path: None, "no such recording; check the path"),
], ids=["text", "zero-length", "header only", "nan", "missing"])
def test_unreadable_recording(mono, tmp_path, write, message):
    bad, good = tmp_path / "bad.wav", tmp_path / "good.wav"
    write(bad)
    line = error_of("recognize", mono, bad)
    assert line.startswith(f"error: {bad}: ")
    assert re.search(message, line)
    # The other files still get their lines.
    soundfile.write(good, noise(), RATE)
    run = hybridasr("recognize", mono, bad, good, code=1)
    assert json.loads(run.stdout)["file"] == str(good)


def test_recordings_that_can_be_read(mono, world, tmp_path):  # noqa: F811
    speech = next((world / "corpus").rglob("*.flac"))
    samples, rate = soundfile.read(speech)
    known = json.loads(hybridasr("recognize", mono, speech).stdout)["text"]
    stereo = tmp_path / "stereo.wav"
    wide = np.interp(np.arange(0, len(samples), RATE / 44100), np.arange(len(samples)), samples)
    soundfile.write(stereo, np.stack([wide, wide], axis=1), 44100)
    silence, cut, short = (tmp_path / f"{name}.wav" for name in ("silence", "cut", "short"))
    soundfile.write(silence, np.zeros(2 * RATE, np.int16), RATE)
    soundfile.write(cut, samples, rate)
    cut.write_bytes(cut.read_bytes()[:-2000])
    soundfile.write(short, noise(0.1), RATE)
    run = hybridasr("recognize", mono, stereo, silence, cut, short)
    results = [json.loads(line) for line in run.stdout.splitlines()]
    assert results[0]["text"] == known
    assert results[0]["accepted"]
    assert (results[1]["accepted"], results[1]["reason"]) == (False, "no-speech")
    assert results[2]["text"] == known
    assert "cut short: the header promises" in run.stderr
    assert (results[3]["accepted"], results[3]["reason"]) == (False, "too-short")
    assert "the model wants 16000 Hz" in error_of("recognize", "--strict-rate", mono, stereo)
    assert "channel 2 asked for" in error_of("recognize", "--channel", 2, mono, stereo)


def test_corpus_folders(tmp_path):
    assert f"error: {tmp_path / 'none'}: no such corpus folder; check --corpus" == error_of(
        *run_recipe(tmp_path / "none", tmp_path / "w"))
    (tmp_path / "empty" / "打开空调").mkdir(parents=True)
    (tmp_path / "empty" / "打开空调" / "notes.txt").write_text("no audio")
    assert "holds no recordings" in error_of(*run_recipe(tmp_path / "empty", tmp_path / "w"))
    assert "pass --download to fetch yesno" in error_of(
        "run-recipe", "--recipes", REPOSITORY / "egs", "--recipe", "yesno",
        "--work", tmp_path / "w")


def folder_corpus(root, spoil=None):
    """Two commands, three speakers, four recordings each of noise of two colours."""
    for number, name in enumerate(("打开", "关闭")):
        (root / name).mkdir(parents=True)
        for speaker in ("ann", "bob", "cid"):
            for take in range(4):
                samples = noise(0.8, seed=take)
                samples = np.cumsum(samples - samples.mean()) / 20 if number else samples
                soundfile.write(root / name / f"{speaker}-{take}.wav",
                                np.clip(samples, -3e4, 3e4).astype(np.int16), RATE)
    if spoil:
        spoil(root / "打开")
    return root


def small(*words):
    return [*words, "--set", "mono.num_iters=6", "--set", "mono.max_iter_inc=4", "--set",
            "mono.totgauss=30"]


def test_bad_recordings_in_a_corpus(tmp_path):
    corpus = folder_corpus(tmp_path / "c", lambda d: write_text_wav(d / "ann-0.wav"))
    line = error_of(*run_recipe(corpus, tmp_path / "w"))
    assert "ann-0.wav: is a text file, not audio" in line
    assert "wav.scp:5: recording 'ann-" in line


def test_silent_and_short_recordings_do_not_spoil_the_training(tmp_path):
    def spoil(folder):
        soundfile.write(folder / "ann-0.wav", np.zeros(RATE, np.int16), RATE)  # digital silence
        soundfile.write(folder / "ann-1.wav", noise(0.05), RATE)  # shorter than its HMM
        soundfile.write(folder / "ann-2.wav", noise(0.01), RATE)  # shorter than a window

    corpus = folder_corpus(tmp_path / "c", spoil)
    run = hybridasr(*small(*run_recipe(corpus, tmp_path / "w")))
    assert "1 utterances are shorter than one frame" in run.stderr
    assert "failed 1 of" in run.stderr
    log = (tmp_path / "w" / "exp" / "mono" / "log" / "train.log").read_text()
    assert "not aligned: ann-" in log
    arrays = np.load(tmp_path / "w" / "exp" / "mono" / "gmm.npz")
    assert all(np.isfinite(arrays[name]).all() for name in arrays.files)


def test_one_speaker_one_command(tmp_path):
    (tmp_path / "c" / "打开").mkdir(parents=True)
    for take in range(8):
        soundfile.write(tmp_path / "c" / "打开" / f"take{take}.wav", noise(0.8, take), RATE)
    run = hybridasr(*small(*run_recipe(tmp_path / "c", tmp_path / "w")))
    assert "mono" in run.stdout


def data_pair(world, path, change):  # noqa: F811
    """Kaldi directories with one table of the training set changed."""
    for name in ("train", "test"):
        (path / name).mkdir(parents=True)
        for table in ("wav.scp", "text", "utt2spk", "spk2utt"):
            shutil.copy(world / name / table, path / name / table)
    change(path / "train")
    return path


def rewrite(table, function):
    def change(directory):
        lines = (directory / table).read_text().splitlines()
        (directory / table).write_text("".join(line + "\n" for line in function(lines)))
    return change


@pytest.mark.parametrize(("change", "message"), [
    (rewrite("text", lambda lines: [*lines, lines[0]]), r"text:\d+: .* is in line 1 already"),
    (rewrite("utt2spk", lambda lines: lines[::-1]), "not sorted|valid"),
    (rewrite("wav.scp", lambda lines: lines[1:]), "wav.scp"),
    (rewrite("text", lambda lines: [lines[0].replace(" ", "\u3000"), *lines[1:]]), "text"),
    (lambda directory: (directory / "utt2spk").unlink(), "utt2spk"),
    (rewrite("text", lambda lines: [lines[0] + " 囧xq", *lines[1:]]), "no pronunciation for"),
    (rewrite("wav.scp", lambda lines: [lines[0].split()[0] + " flac -dc x.flac |", *lines[1:]]),
     "--allow-pipes"),
], ids=["twice", "unsorted", "missing key", "wide space", "missing file", "no pronunciation",
        "pipe"])
def test_data_directories(world, tmp_path, change, message):  # noqa: F811
    pair = data_pair(world, tmp_path / "pair", change)
    words = small(*run_recipe(pair, tmp_path / "w", "--stop-stage", 3))
    if message == "not sorted|valid":
        hybridasr(*words)  # reading sorts; only validate-data insists
        assert "not sorted" in hybridasr("validate-data", pair / "train", code=1).stderr
        return
    assert re.search(message, error_of(*words))


@pytest.mark.parametrize(("content", "message"), [
    (b"", "no command in the list"),
    (b"# nothing\n", "no command in the list"),
    ("打开\n".encode("gbk"), ":1: byte 0x.. is not UTF-8; save the file as UTF-8"),
    ("打开\n打开\n".encode(), ":2: '打开' is there already, in line 1"),
    ("打开!\n".encode(), ":1: .*without punctuation"),
    ("1\t打开\t1.5\n".encode(), ":1: threshold 1.5 is outside 0..1"),
], ids=["empty", "comments", "gbk", "twice", "punctuation", "threshold"])
def test_command_lists(mono, tmp_path, content, message):
    path = tmp_path / "commands.txt"
    path.write_bytes(content)
    line = error_of("mkgraph", "--commands", path, mono, tmp_path / "graph")
    assert line.startswith(f"error: {path}")
    assert re.search(message, line)


def test_words_without_pronunciation(tmp_path):
    path = tmp_path / "commands.txt"
    path.write_text("打开\nxqzt\n", encoding="utf-8")
    line = error_of("prepare-lang", path, tmp_path / "lang")
    assert f"{path}:2: no pronunciation for 'xqzt'" in line
    hybridasr("prepare-lang", "--oov", "guess", path, tmp_path / "lang")
    assert "xqzt 1 " in (tmp_path / "lang" / "lexiconp.txt").read_text()


def test_full_disk_keeps_what_was_made(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)],
                      capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        corpus = folder_corpus(tmp_path / "c")
        words = small(*run_recipe(corpus, disk / "w"))
        line = error_of(*words)
        assert str(disk) in line
        assert "no space left on the disk; free some, then run the same command again" in line
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        run = hybridasr(*words)
        assert "corpus skipped: done" in run.stderr
        assert "mono" in run.stdout
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_models_and_results(mono, tmp_path):
    assert "no model.json there" in error_of("recognize", tmp_path, "x.wav")
    copy = tmp_path / "copy"
    shutil.copytree(mono, copy)
    shutil.rmtree(copy / "graph")
    assert "run 'hybridasr mkgraph' first" in error_of("recognize", copy, "x.wav")
    (copy / "model.json").write_text("{ cut")
    assert "not JSON" in error_of("recognize", copy, "x.wav")
    assert "--nj is 0" in error_of("make-feats", "--nj", 0, mono)


def test_read_only_places(tmp_path):
    line = error_of(*run_recipe(folder_corpus(tmp_path / "c"), "/proc/nowhere"))
    assert line.startswith("error: /proc/nowhere")


def test_closed_pipe(mono, world):  # noqa: F811
    file = next((world / "corpus").rglob("*.flac"))
    run = subprocess.run(
        f"{sys.executable} -m hybridasr.cli recognize {mono} {file} {file} | head -c 1",
        shell=True, capture_output=True, text=True, cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    assert "Traceback" not in run.stderr
    assert run.stdout == "{"


def test_a_recording_made_anew_is_noticed(tmp_path):
    corpus = folder_corpus(tmp_path / "c")
    words = small(*run_recipe(corpus, tmp_path / "w"))
    hybridasr(*words)
    assert hybridasr(*words).stderr.count("skipped: done") == 7
    # Same name, same length: only the content tells.
    soundfile.write(corpus / "打开" / "ann-0.wav", noise(0.8, seed=99), RATE)
    messages = hybridasr(*words).stderr
    assert "ann-0.wav changed" in messages
    assert "features of test skipped: done" in messages
    assert "mono: data/train/feats.ark changed" in messages
