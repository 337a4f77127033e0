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


def test_logs_of_work_stay(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with pytest.raises(UserError, match="late"), job_log(tmp_path / "a" / "log", "train"):
        logger.info("some work")
        raise UserError("late")
    assert "some work\nERROR UserError: late" in (tmp_path / "a" / "log").read_text()
    # A fault of the program, or a folder that was there: the log is kept, too.
    with pytest.raises(ValueError, match="fault"), job_log(tmp_path / "b" / "log", "train"):
        raise ValueError("fault")
    with pytest.raises(UserError, match="early"), job_log(tmp_path / "a" / "other", "train"):
        raise UserError("early")
    # A file of the work stays, and its folder.
    with pytest.raises(UserError, match="early"), job_log(tmp_path / "c" / "log" / "d", "train"):
        (tmp_path / "c" / "model").touch()
        raise UserError("early")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "a", "a/log", "a/other", "b", "b/log", "c", "c/model"]
