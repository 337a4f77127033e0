"""A damaged checkpoint made the training start over without a word, or ended it."""

import logging

import numpy as np
import pytest

from hybridasr.checkpoint import read_checkpoint
from hybridasr.storage import write_arrays
from hybridasr.train.nnet_trainer import load_state


def cut(path):
    path.write_bytes(path.read_bytes()[:100])


def bare(path):
    write_arrays(path, digest=np.array("run"))


def garbled(path):
    write_arrays(path, digest=np.array("run"), note=np.array("{"))


@pytest.mark.parametrize("damage", [cut, bare, garbled])
def test_it_is_told_and_the_training_starts_over(tmp_path, caplog, damage):
    path = tmp_path / "checkpoint.npz"
    write_arrays(path, digest=np.array("run"), note=np.array("{}"), big=np.zeros(1000))
    damage(path)
    with caplog.at_level(logging.INFO):
        assert load_state(path, "run") is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert str(path) in record.message
    assert "starting from the beginning" in record.message


def test_one_of_another_run_is_told_as_such(tmp_path, caplog):
    path = tmp_path / "checkpoint.npz"
    write_arrays(path, digest=np.array("other"))
    with caplog.at_level(logging.INFO):
        assert read_checkpoint(path, "run", dict) is None
    assert "other data or options" in caplog.text
    assert read_checkpoint(path, "other", dict).keys() == {"digest"}
