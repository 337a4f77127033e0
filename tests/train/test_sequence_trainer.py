"""Sequence training of a small network: it gains, it resumes, and what does not fit is refused."""

from dataclasses import replace

import numpy as np
import pytest
from small_world import FEATURES, PIPELINE

from hybridasr.batch.denominator_set import DenlatOptions, make_denlats
from hybridasr.errors import UserError
from hybridasr.features.archives import read_scp
from hybridasr.model.directory import load_model
from hybridasr.options import build_options
from hybridasr.parallel import SerialExecutor
from hybridasr.storage import read_json, write_json
from hybridasr.train import nnet_trainer
from hybridasr.train.dnn import train_dnn
from hybridasr.train.history import read_history
from hybridasr.train.mono import MonoOptions, train_mono
from hybridasr.train.nnet_options import DnnOptions
from hybridasr.train.sequence_options import MmiOptions, SequenceOptions, SmbrOptions
from hybridasr.train.sequence_trainer import SequencePlaces, sequence_line, train_sequence

SMALL = "splice offsets=-1:1\naffine dim=12\nbatchnorm\nrelu\ndropout rate=0.2\noutput\n"
SETTINGS = {"learning_rate": 0.003, "num_epochs": 3, "minibatch_size": 200, "smoothing": 0.0}


@pytest.fixture(scope="module")
def places(world, tmp_path_factory):
    """A network that has learned little, its alignments and lattices."""
    root = tmp_path_factory.mktemp("sequence")
    train_mono(world[0], world[2], FEATURES, PIPELINE, root / "mono", SerialExecutor(),
               build_options(MonoOptions, num_iters=10, max_iter_inc=6, totgauss=40))
    (root / "nnet.conf").write_text(SMALL)
    train_dnn(world[0], world[2], root / "mono", root / "dnn", SerialExecutor(), DnnOptions(
        network=str(root / "nnet.conf"), num_epochs=1, minibatch_size=32, silence_share=1.0,
        held_out=0.2, initial_learning_rate=0.01, final_learning_rate=0.01))
    make_denlats(world[0], world[2], root / "dnn", root / "denlats", SerialExecutor(),
                 DenlatOptions(beam=14.0, lattice_beam=8.0))
    return SequencePlaces(root / "dnn", root / "mono", root / "denlats")


def train(world, places, path, options):
    return train_sequence(world[0], world[2], places, path, SerialExecutor(), options)


@pytest.mark.parametrize("options", [
    build_options(MmiOptions, **SETTINGS), build_options(MmiOptions, boost=0.2, **SETTINGS),
    build_options(SmbrOptions, **SETTINGS), build_options(SmbrOptions, criterion="mpfe", **SETTINGS)
], ids=["mmi", "bmmi", "smbr", "mpfe"])
def test_every_criterion_gains(world, places, tmp_path, options):
    model = train(world, places, tmp_path, options)
    losses = [row["loss"] for row in read_history(tmp_path)]
    assert losses[-1] < losses[0]
    before, after = load_model(places.network), load_model(tmp_path)
    # All but the trained parameters is the network's own.
    assert after.nnet.network.text == before.nnet.network.text
    np.testing.assert_array_equal(after.nnet.log_priors, before.nnet.log_priors)
    for name, array in before.nnet.network.statistics.items():
        np.testing.assert_array_equal(after.nnet.network.statistics[name], array)
    feats = next(iter(read_scp(world[1].path / "feats.scp").values()))
    assert np.abs(after.nnet.log_posteriors(feats) - before.nnet.log_posteriors(feats)).max() > 1e-3
    assert "loss a frame" in sequence_line(tmp_path, model.info)
    assert not (tmp_path / "checkpoint.npz").exists()


def test_a_stopped_training_goes_on_to_the_same(world, places, tmp_path, monkeypatch):
    options = build_options(SmbrOptions, **SETTINGS)
    whole = train(world, places, tmp_path / "whole", options)
    epochs = []

    def stop(*args, plain=nnet_trainer.save_state):
        plain(*args)
        epochs.append(1)
        if len(epochs) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(nnet_trainer, "save_state", stop)
        with pytest.raises(KeyboardInterrupt):
            train(world, places, tmp_path / "parts", options)
    resumed = train(world, places, tmp_path / "parts", options)
    for name, array in whole.nnet.network.to_arrays().items():
        np.testing.assert_array_equal(resumed.nnet.network.to_arrays()[name], array)


def test_lattices_of_other_models_and_sets_are_refused(world, places, tmp_path):
    options = MmiOptions()
    with pytest.raises(UserError, match="no finished denominator lattices"):
        train(world, SequencePlaces(places.network, places.alignments, tmp_path), tmp_path, options)
    with pytest.raises(UserError, match="is no network"):
        train(world, SequencePlaces(places.alignments, places.alignments, places.lattices),
              tmp_path, options)
    others = replace(world[0], utterances={f"x{name}": one for name, one
                                           in world[0].utterances.items()})
    with pytest.raises(UserError, match="of none of the utterances"):
        train_sequence(others, world[2], places, tmp_path, SerialExecutor(), options)
    record = read_json(places.lattices / "denlats.json")
    other = tmp_path / "other"
    other.mkdir()
    for path in places.lattices.glob("lat.*.npz"):
        (other / path.name).write_bytes(path.read_bytes())
    write_json(other / "denlats.json", {**record, "num_tids": record["num_tids"] + 1})
    with pytest.raises(UserError, match="transition-ids"):
        train(world, SequencePlaces(places.network, places.alignments, other), tmp_path, options)


@pytest.mark.parametrize(("options_class", "values", "words"), [
    (SequenceOptions, {"smoothing": 1.0}, "smoothing"), (SequenceOptions, {"learning_rate": 0.0},
                                                         "learning-rate"),
    (SequenceOptions, {"acoustic_scale": 0.0}, "acoustic-scale"),
    (SequenceOptions, {"num_epochs": 0}, "num_epochs"), (MmiOptions, {"boost": -0.1}, "boost")])
def test_options_out_of_range_are_refused(options_class, values, words):
    with pytest.raises(UserError, match=words):
        build_options(options_class, **values)


