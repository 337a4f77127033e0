"""The history of a training: rows of mixtures and of networks, and of one that went on."""

import pytest
from command_world import make_network

from hybridasr.errors import DamagedFile
from hybridasr.train.history import FILE, History, read_history


def test_an_interrupted_training_goes_on_with_its_rows(tmp_path):
    first = History(tmp_path, "iteration", 1)
    for number in (1, 2, 3):
        first.add(iteration=number, loglike=-number)
    # The third iteration was written, and its checkpoint was not.
    second = History(tmp_path, "iteration", 3)
    second.add(iteration=3, loglike=-30)
    assert [(row["iteration"], row["loglike"]) for row in read_history(tmp_path)] == [
        (1, -1), (2, -2), (3, -30)]
    History(tmp_path, "iteration", 1).add(iteration=1, loglike=0)
    assert len(read_history(tmp_path)) == 1


def test_damaged_histories(tmp_path):
    assert read_history(tmp_path) == []
    for text in ("{", '{"a": 1}', "[1]"):
        (tmp_path / FILE).write_text(text)
        with pytest.raises(DamagedFile):
            read_history(tmp_path)
        # A training begins anew.
        History(tmp_path, "iteration", 1).add(iteration=1)
        assert read_history(tmp_path) == [{"iteration": 1}]


def test_histories_of_trainings(spoken_world, tmp_path):
    rows = read_history(spoken_world.mono)
    assert [row["iteration"] for row in rows] == list(range(1, 10))
    assert rows[-1]["loglike"] > rows[0]["loglike"]
    assert rows[0]["gaussians"] <= rows[-1]["gaussians"]
    network = make_network(spoken_world, tmp_path / "dnn", epochs=2)
    rows = read_history(network)
    assert [(row["round"], row["epoch"]) for row in rows] == [(1, 1), (2, 2)]
    assert rows[1]["loss"] < rows[0]["loss"]
    assert rows[0]["learning_rate"] > rows[1]["learning_rate"] == pytest.approx(0.001, rel=0.1)
    assert all(row["gradient_norm"] > 0 for row in rows)
    assert all(0 < row["held_out_accuracy"] <= 100 for row in rows)
