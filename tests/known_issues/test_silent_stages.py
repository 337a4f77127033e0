"""Long stages said nothing where stderr is no terminal (eleven minutes of a network's training)."""

import logging

import pytest

from hybridasr import progress as module
from hybridasr.progress import progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when the test says so."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_a_line_now_and_then(clock, caplog, capsys):
    caplog.set_level(logging.INFO)
    for _ in progress(range(3600), desc="dnn", unit="round"):
        clock[0] += 1
    lines = [record.getMessage() for record in caplog.records]
    assert lines[:2] == ["dnn: round 10 of 3600, 10 s", "dnn: round 20 of 3600, 20 s"]
    assert 8 <= len(lines) <= 30
    assert capsys.readouterr().out == ""


def test_lines_of_a_bar_that_is_moved_by_hand(clock, caplog):
    caplog.set_level(logging.INFO)
    bar = progress(range(200), desc="dnn", unit="round")
    for _ in range(12):
        clock[0] += 3.75
        bar.set_postfix(loss="1.234")
        bar.update()
    bar.close()
    assert "dnn: round 9 of 200, 34 s, loss 1.234" in caplog.text


def test_short_work_says_nothing(clock, caplog):
    caplog.set_level(logging.INFO)
    assert list(progress(iter("abc"), desc="features")) == ["a", "b", "c"]
    clock[0] += 9
    assert not caplog.records


def test_five_days_are_thirty_lines(clock, caplog):
    caplog.set_level(logging.INFO)
    bar = progress(None, desc="all")
    for _ in range(5 * 24 * 60):
        clock[0] += 60
        bar.update()
    assert len(caplog.records) <= 30
