"""Verbs with templates and JSGF, as a user runs them: sentences, slots, graphs, faults."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from command_world import OUTSIDE, RATE, speak
from test_cli import error_of, hybridasr

from hybridasr.batch.spot_set import make_trial
from hybridasr.cli import main
from hybridasr.corpus.command_list import Command
from hybridasr.corpus.datadir import read_datadir
from hybridasr.decode.search import SearchOptions
from hybridasr.recognize.recognizer import load
from hybridasr.score.detection import TrialKind

TEMPLATES = """\
{what} = ti1 => T, la1, (du1|da1) ta1 => both
{who} = bu1, li1
one	[ta1]da1{what}
two	{who}{what}
"""
JSGF = """\
#JSGF V1.0;
grammar world;
public <say> = <who> {who} [bu1] (ti1 {what=T} | la1 {what} | du1 ta1 {what=both});
<who> = /3/ da1 | /1/ (bu1 | li1) {group=2};
"""


@pytest.fixture
def place(spoken_world, tmp_path, monkeypatch):
    """A directory with a model, two grammars and recordings named after what they say."""
    shutil.copytree(spoken_world.mono, tmp_path / "mono")
    (tmp_path / "home.txt").write_text(TEMPLATES)
    (tmp_path / "home.jsgf").write_text(JSGF)
    for text in ("da1ti1", "bu1la1", "li1du1 ta1", OUTSIDE[0]):
        soundfile.write(tmp_path / f"{text}.wav", speak(text, np.random.default_rng(1)), RATE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *words, code=0):
    """Run a verb in this process; return what it printed and its lines on stderr."""
    capsys.readouterr()
    assert main([*map(str, words)]) == code
    captured = capsys.readouterr()
    return captured.out, captured.err.splitlines()


def test_slots_of_recordings(place, capsys):
    files = ["da1ti1.wav", "bu1la1.wav", "li1du1 ta1.wav", f"{OUTSIDE[0]}.wav"]
    out, _ = run(capsys, "recognize", "--commands", "home.txt", "mono", *files)
    rows = [json.loads(line) for line in out.splitlines()]
    assert [(row["text"], row["id"], row["slots"]) for row in rows] == [
        ("da1ti1", "one", {"what": "T"}), ("bu1la1", "two", {"who": "bu1", "what": "la1"}),
        ("li1du1 ta1", "two", {"who": "li1", "what": "both"}), ("", None, {})]
    assert all(set(other) == {"text", "id", "slots", "confidence"}
               for row in rows for other in row["alternatives"])
    out, err = run(capsys, "recognize", "--commands", "home.jsgf", "mono", *files)
    rows = [json.loads(line) for line in out.splitlines()]
    assert [(row["text"], row["id"], row["slots"]) for row in rows] == [
        ("da1 ti1", "say", {"who": "da1", "what": "T"}),
        ("bu1 la1", "say", {"group": 2, "who": "bu1", "what": "la1"}),
        ("li1 du1 ta1", "say", {"group": 2, "who": "li1", "what": "both"}), ("", None, {})]
    assert "warning: home.jsgf: weights have no effect in a command list" in err[0]


@pytest.mark.parametrize(("slot", "kind"), [(1, TrialKind.RIGHT), (2, TrialKind.WRONG)])
def test_a_wrong_slot_is_a_wrong_command(spoken_world, slot, kind):
    """Sentences of one id are told apart by their slots."""
    recognizer = load(spoken_world.mono, SearchOptions(acoustic_scale=0.03), commands=[
        Command("da1ti1", "x", slots=(("a", 1),)), Command("bu1la1", "x", slots=(("a", slot),))])
    result = recognizer.recognize(speak("da1ti1", np.random.default_rng(1)), RATE)
    assert (result["text"], result["slots"]) == ("da1ti1", {"a": 1})
    # The second was said, and the first recognised.
    decision = SimpleNamespace(command=recognizer.commands[0], probability=None, reason=None,
                               measures=None)
    trial = make_trial(recognizer, "u", "s", ["bu1la1"], SimpleNamespace(decision=decision), 9)
    assert trial.kind == kind
    recognizer.add_command("li1du1")
    assert [command.slots for command in recognizer.commands] == [(("a", 1),), (("a", slot),), ()]


def test_evaluate(place, spoken_world, capsys):
    out, _ = run(capsys, "evaluate", "--commands", "home.txt", "mono", spoken_world.test.path)
    (row,) = json.loads(out)
    said = {"".join(u.words) for u in read_datadir(spoken_world.test.path).utterances.values()}
    assert len(said) == 7
    assert (row["commands"], row["outside"], row["recognised"]) == (18, 24, 100.0)


def test_expand_grammar(place, capsys):
    out, _ = run(capsys, "expand-grammar", "home.txt")
    lines = out.splitlines()
    assert lines[:3] == ["one\tda1ti1", "one\tda1la1", "one\tda1du1 ta1"]
    assert len(lines) == 2 * 4 + 2 * 4
    # What it prints is a command list.
    (place / "all.txt").write_text(out)
    again, _ = run(capsys, "expand-grammar", "all.txt")
    assert again == out
    out, _ = run(capsys, "expand-grammar", "home.jsgf", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert rows[0] == {"text": "da1 ti1", "id": "say", "slots": {"what": "T", "who": "da1"},
                       "probability": 0.75 / 2 / 3}
    assert sum(row["probability"] for row in rows) == pytest.approx(1)
    drawn, _ = run(capsys, "expand-grammar", "home.jsgf", "--number", 5, "--seed", 3)
    assert len(drawn.splitlines()) == 5
    assert drawn == run(capsys, "expand-grammar", "home.jsgf", "--number", 5, "--seed", 3)[0]
    assert {line.split("\t")[1] for line in drawn.splitlines()} <= {row["text"] for row in rows}


def test_a_graph_of_a_grammar(place, capsys):
    (place / "many.jsgf").write_text("#JSGF V1.0;\ngrammar many;\npublic <x> = (da1 | bu1 | li1) "
                                     "(ti1 | la1 | <du>)+;\n<du> = du1 ta1;\n")
    run(capsys, "mkgraph", "--grammar", "rules", "--commands", "many.jsgf", "mono", "graph")
    out, _ = run(capsys, "recognize", "--graph", "graph", "mono", "da1ti1.wav", "li1du1 ta1.wav")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["text"] for row in rows] == ["da1 ti1", "li1 du1 ta1"]
    assert [set(row) & {"id", "slots"} for row in rows] == [set(), set()]
    # Templates too, and a list of plain texts; mkgraph lists sentences with the grammar commands.
    for words in (["rules", "--commands", "home.txt"], ["commands", "--commands", "home.txt"]):
        run(capsys, "mkgraph", "--grammar", *words, "mono", "graph")
        out, _ = run(capsys, "recognize", "--graph", "graph", "mono", "bu1la1.wav")
        assert json.loads(out)["text"].replace(" ", "") == "bu1la1"


def test_a_lang_directory_has_the_words_of_a_grammar(place, capsys):
    (place / "x.jsgf").write_text("#JSGF V1.0;\ngrammar x;\npublic <x> = 打开 (空调 | 电视)+;\n")
    run(capsys, "prepare-lang", "home.txt", "x.jsgf", "lang")
    words = {line.split()[0] for line in (place / "lang/words.txt").read_text().splitlines()}
    assert words >= {"打开", "空调", "电视", "da1ti1", "li1du1", "ta1", "ta1da1la1"}


def test_suggest_fillers_of_templates(place, capsys):
    (place / "x.txt").write_text("on\t(打开|关闭){x}\n{x} = 空调\n")
    out, _ = run(capsys, "suggest-fillers", "--json", "x.txt")
    assert {json.loads(line)["command"] for line in out.splitlines()} == {"打开空调", "关闭空调"}


@pytest.mark.parametrize(("words", "line"), [
    (["expand-grammar", "plus.jsgf"], "error: plus.jsgf:3: column 17: '+' repeats without end, and "
     "the list of all sentences is finite; "),
    (["expand-grammar", "--seed", "3", "home.txt"], "error: --seed has no effect without --number"),
    (["expand-grammar", "--number", "0", "home.txt"], "error: --number 0 and --seed 0; give at"),
    (["expand-grammar", "none.txt"], "error: none.txt: "),
    (["recognize", "--commands", "plus.jsgf", "mono", "da1ti1.wav"], "error: plus.jsgf:3: column "
     "17: '+' repeats without end, and a command list is finite; "),
    (["recognize", "--commands", "bad.txt", "mono", "da1ti1.wav"], "error: bad.txt:1: column 4: "
     "'(' is not closed; add ')'"),
    (["recognize", "--commands", "ku.txt", "mono", "da1ti1.wav"], "error: ku.txt:2: command "
     "'da1ku1': 'da1ku1' needs the phones k, which the model has never heard"),
    (["mkgraph", "--grammar", "rules", "mono", "graph"], "error: grammar rules needs --commands"),
    (["mkgraph", "--grammar", "rules", "--commands", "ku.txt", "mono", "graph"],
     "error: ku.txt:2: column 1: 'da1ku1' needs the phones k"),
    (["mkgraph", "--grammar", "rules", "--arpa", "x", "mono", "graph"], "error: --arpa has no"),
])
def test_error_lines(place, capsys, words, line):
    (place / "plus.jsgf").write_text("#JSGF V1.0;\ngrammar x;\npublic <x> = da1+;\n")
    (place / "bad.txt").write_text("da1(ti1\n")
    (place / "ku.txt").write_text("[bu1]la1\nda1(ku1|la1)\n")
    out, err = run(capsys, *words, code=1)
    assert out == ""
    assert [text for text in err if not text.startswith("warning")][0].startswith(line)


def test_the_program(place):
    assert "打开" in hybridasr("expand-grammar", "--json", write(
        place, "a\t(打开|关闭)灯\n"), cwd=place).stdout
    assert error_of("expand-grammar", write(place, "(打开")).endswith(
        "x.txt:1: column 1: '(' is not closed; add ')' behind the group")


def write(place, text):
    (place / "x.txt").write_text(text, encoding="utf-8")
    return place / "x.txt"
