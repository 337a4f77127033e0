"""The first stage of wake words: a recipe trains it beside its network, with int8 weights."""

import json

import pytest

from hybridasr.model.directory import load_model
from hybridasr.nnet.quantize import QuantizedLayer
from hybridasr.recipe.config import read_overrides, read_recipe
from hybridasr.recipe.runner import RunOptions, run_recipe
from hybridasr.wake.first_stage import FirstStage

pytestmark = pytest.mark.slow

CONF = """
[recipe]
title = chords
reader = kaldi
test = test
grammar = commands
phrases = lexicon
systems = mono dnn
[features]
use_energy = false
[mono]
totgauss = 60
num_iters = 10
[augment]
speeds = 1.0
copies = 0
[dnn]
network = network.conf
num_epochs = 2
minibatch_size = 64
[wake]
network = small.conf
num_epochs = 2
minibatch_size = 64
"""


def test_a_recipe_with_a_first_stage(spoken_world, tmp_path):
    recipe, work = tmp_path / "recipe", tmp_path / "work"
    recipe.mkdir()
    (recipe / "recipe.conf").write_text(CONF)
    (recipe / "network.conf").write_text("splice offsets=-2:2\naffine dim=32\nrelu\noutput\n")
    (recipe / "small.conf").write_text("splice offsets=-1:1\naffine dim=16\nrelu\noutput\n")
    options = RunOptions(work, spoken_world.root, nj=1)
    run_recipe(read_recipe(recipe, read_overrides([])), options)
    small, large = load_model(work / "exp/dnn/wake"), load_model(work / "exp/dnn")
    assert any(isinstance(layer, QuantizedLayer) for layer in small.nnet.network.layers)
    assert small.lang.phones == large.lang.phones
    # It knows the states of the monophones.
    assert small.nnet.num_pdfs == load_model(work / "exp/mono").transitions.num_pdfs
    stage = FirstStage.of(small, [[("d", "a1", "t", "i1")]], -2.0)
    assert len(stage.chains[0][1]) == 12
    # Nothing is trained again; a [wake] without a network is no stage.
    before = (work / "exp/dnn/wake/nnet.npz").stat().st_mtime_ns
    run_recipe(read_recipe(recipe, read_overrides([])), options)
    assert (work / "exp/dnn/wake/nnet.npz").stat().st_mtime_ns == before
    assert json.loads((work / "results.json").read_text())
