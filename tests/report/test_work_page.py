"""The page of a recipe's run, of a work directory made by hand."""

import json

import numpy as np
import pytest
import soundfile
from page_checks import check_page

from hybridasr.corpus.datadir import Utterance, write_datadir
from hybridasr.errors import UserError
from hybridasr.report.work_page import report, speaker_errors
from hybridasr.score.wer import score_texts
from hybridasr.storage import write_json

pytest.importorskip("matplotlib")
pytest.importorskip("rapidfuzz")
ROW = {"system": "mono", "test_set": "test", "grammar": "loop", "known": "all", "wer": 50.0,
       "wer_low": 20.0, "wer_high": 80.0, "ser": 50.0, "words": 4, "utterances": 2, "rtf": 0.01,
       "train_seconds": 3.0}


def make_run(work, recognised, wer, seed):
    """A run with one system, whose decode directory has these texts."""
    utterances = []
    for name, words in (("a-1", ("open", "door")), ("b-1", ("<shut>", "it"))):
        wav = work / f"{name}.wav"
        wav.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(wav, np.zeros(1600, np.int16), 16000)
        utterances.append(Utterance(name, name[0], words, name, str(wav)))
    write_datadir(work / "data" / "test", utterances)
    decode = work / "exp" / "mono" / "decode_test"
    decode.mkdir(parents=True)
    (decode / "text").write_text(recognised)
    write_json(work / "exp" / "mono" / "history.json",
               [{"iteration": 1, "loglike": -9.5, "gaussians": 4}])
    write_json(work / "results.json", [{**ROW, "wer": wer}])
    (work / ".stages").mkdir()
    write_json(work / ".stages" / "mono.json", {
        "format": 1, "files": {}, "options": {"MonoOptions.seed": seed, "MonoOptions.beam": 10.0},
        "line": "mono: <done>", "seconds": 3.25})
    return work


@pytest.fixture
def work(tmp_path):
    return make_run(tmp_path / "new", "a-1 open door\nb-1 cut it\n", 25.0, 1)


def test_page_of_a_run(work, tmp_path):
    report(work, tmp_path / "page.html")
    page = check_page(tmp_path / "page.html")
    assert "Run of new" in page.text
    assert "mono, test, loop, whole speakers 25 20 80" in page.text
    # Only the utterance with an error can be listened to.
    assert [sound["aria-label"] for sound in page.all("audio")] == ["utterance b-1"]
    assert "b-1 <shut> it cut it" in page.text
    assert "b 1 2 1 50 a 1 2 0 0" in page.text
    assert "mono 3.25 <done>" in page.text
    assert "MonoOptions.seed 1" in page.text
    # Systems, errors against time, the training.
    assert len(page.all("img")) == 3


def test_stages_are_told_once(work, tmp_path):
    record = json.loads((work / ".stages" / "mono.json").read_text())
    write_json(work / ".stages" / "tri1.json", {
        **record, "line": "tri1: work/x/exp/tri1: 2 jobs", "seconds": 1.0})
    write_json(work / ".stages" / "lang.json", {**record, "options": {"x": 1}})
    report(work, tmp_path / "page.html")
    page = check_page(tmp_path / "page.html")
    assert "tri1 1 2 jobs" in page.text
    # Stages with the same options share their table.
    assert page.text.count("mono, tri1: 2 options") == 1
    assert page.text.count("MonoOptions.seed") == 1


def test_sets_without_errors_are_named_together(work, tmp_path):
    (work / "exp" / "mono" / "decode_test" / "text").write_text("a-1 open door\nb-1 <shut> it\n")
    report(work, tmp_path / "page.html")
    assert "Errors Without errors: mono, test." in check_page(tmp_path / "page.html").text


def test_changes_against_another_run(work, tmp_path):
    old = make_run(tmp_path / "old", "a-1 open\nb-1 <shut> it\n", 50.0, 0)
    report(work, tmp_path / "page.html", old)
    text = check_page(tmp_path / "page.html").text
    assert "Run of new against old" in text
    assert "mono, test, loop, whole speakers 50 25 -25" in text
    assert "mono seed 0 1" in text
    assert "beam" not in text.partition("Against old")[2].partition("Errors")[0]
    assert "mono, test: 1 utterances better, 1 worse" in text
    assert "a-1 1 0 open door open door" in text


def test_no_sound_where_the_recording_is_gone(work, tmp_path):
    (work / "b-1.wav").unlink()
    report(work, tmp_path / "page.html")
    page = check_page(tmp_path / "page.html")
    assert page.all("audio") == []
    assert "recording not found" in page.text


def test_what_is_no_work_directory(tmp_path):
    with pytest.raises(UserError, match="is no work directory of a recipe"):
        report(tmp_path, tmp_path / "page.html")
    (tmp_path / ".stages").mkdir()
    (tmp_path / ".stages" / "mono.json").write_text(json.dumps(["nothing"]))
    with pytest.raises(UserError, match="is no work directory of a recipe"):
        report(tmp_path, tmp_path / "page.html")


def test_errors_by_speaker_are_in_order():
    scores = score_texts({"u1": ["a", "b"], "u2": ["c"], "u3": ["d"]},
                         {"u1": ["a", "b"], "u2": ["x"], "u3": ["d"]},
                         {"u1": "s1", "u2": "s2", "u3": "s1"})
    assert speaker_errors(scores) == [("s2", 1, 1, 1, 100.0), ("s1", 2, 3, 0, 0.0)]
