"""A recipe whose network is trained by lattice-free MMI, alone or behind the other network."""

import numpy as np
import pytest
from command_world import write_set

from hybridasr.errors import UserError
from hybridasr.recipe.config import RunOptions, read_recipe
from hybridasr.recipe.runner import run_recipe

CONF = """[recipe]
title = chain for tests
reader = auto
test = test
grammar = commands
phrases = lexicon
systems = {systems}
[features]
use_energy = false
[mono]
num_iters = 10
max_iter_inc = 6
totgauss = 60
[augment]
speeds = 1.0
copies = 1
[dnn_features]
use_energy = false
[chain]
network = nnet.conf
num_epochs = 10
minibatch_size = 300
chunk_width = 60
numleaves = 40
initial_learning_rate = 0.01
final_learning_rate = 0.001
held_out = 0.3
"""


def recipe(folder, systems="mono chain", overrides=None):
    folder.mkdir(exist_ok=True)
    (folder / "recipe.conf").write_text(CONF.format(systems=systems))
    (folder / "nnet.conf").write_text("splice offsets=-3:3 stride=3\naffine dim=48\nrelu\noutput\n")
    return read_recipe(folder, overrides)


@pytest.mark.slow
def test_stages_of_lattice_free_mmi(tmp_path, capsys):
    rng = np.random.default_rng(4)
    for name, speakers in (("train", {"s0": 1.0, "s1": 0.97}), ("test", {"t0": 0.99})):
        data = write_set(tmp_path / "corpus" / name, ["da1ti1", "bu1la1", "li1du1", "ta1"] * 4,
                         speakers, rng)
        for table in ("feats.scp", "cmvn.scp"):
            (data.path / table).unlink()
    options = RunOptions(work=tmp_path / "work", corpus=tmp_path / "corpus", nj=1)
    rows = run_recipe(recipe(tmp_path / "chain"), options)
    assert {(row["system"], row["known"]) for row in rows} == {
        (system, known) for system in ("mono", "chain") for known in ("none", "all")}
    assert all(row["wer"] <= 20 for row in rows), rows
    assert (options.work / "exp" / "chain" / "held_out").read_text()
    assert any((options.work / "exp" / "chain" / "tune").iterdir())
    # All of it is done: nothing is made again.
    before = {path: path.stat().st_mtime_ns for path in options.work.rglob("*.npz")}
    assert run_recipe(recipe(tmp_path / "chain"), options) == rows
    assert {path: path.stat().st_mtime_ns for path in options.work.rglob("*.npz")} == before


def test_networks_come_last_and_have_something_to_start_from(tmp_path):
    assert recipe(tmp_path / "a", "mono dnn chain").alignments == "mono"
    assert recipe(tmp_path / "a", "mono tri1 chain").alignments == "tri1"
    for systems in ("chain", "chain mono", "mono chain tri1"):
        with pytest.raises(UserError, match="dnn and chain come last"):
            recipe(tmp_path / "b", systems)
    with pytest.raises(UserError, match=r"\[dnn\] has no effect"):
        recipe(tmp_path / "c", overrides={"dnn": {"num_epochs": "2"}})
    assert recipe(tmp_path / "c", overrides={"augment": {"copies": "2"}}).options[
        "augment"].copies == 2
