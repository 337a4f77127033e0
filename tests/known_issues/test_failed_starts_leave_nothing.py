"""Verbs that failed at once left a directory with nothing in it but a log of the failure."""

import logging

import pytest

from hybridasr.cli import main
from hybridasr.errors import UserError
from hybridasr.progress import job_log, logger


@pytest.mark.parametrize("line", [
    "train-mono data lang exp/a", "train-dnn data lang ali exp/a", "make-denlats data lang m exp/a",
    "train-ctc data lang exp/a", "recognize --output-dir exp/a model b.wav"])
def test_nothing_is_left(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 1
    assert "error: " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def fail(path, error, work=lambda: None):
    """Do some work under a log, and fail."""
    def work_and_fail():
        work()
        raise error

    with pytest.raises(type(error)), job_log(path, "train"):
        work_and_fail()


def test_logs_of_work_stay(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    fail(tmp_path / "a" / "log", UserError("late"), lambda: logger.info("some work"))
    assert "some work\nERROR UserError: late" in (tmp_path / "a" / "log").read_text()
    # A fault of the program, or a folder that was there: the log is kept, too.
    fail(tmp_path / "b" / "log", ValueError("fault"))
    fail(tmp_path / "a" / "other", UserError("early"))
    # A file of the work stays, and its folder.
    fail(tmp_path / "c" / "log" / "d", UserError("early"), (tmp_path / "c" / "model").touch)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "a", "a/log", "a/other", "b", "b/log", "c", "c/model"]
