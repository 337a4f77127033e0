"""Evaluating two models left the first one's features for the second: KeyError 'use_log_fbank'."""

import shutil
from dataclasses import replace

import pytest
from command_world import COMMANDS, make_network

from hybridasr.batch.align_set import align_set
from hybridasr.batch.spot_set import CommandList, spot_set
from hybridasr.corpus.command_list import make_commands
from hybridasr.corpus.datadir import read_datadir, write_datadir
from hybridasr.errors import UserError
from hybridasr.evaluation.calibrate import calibrate
from hybridasr.features import feature_cache as cache
from hybridasr.features.feature_cache import FOLDER, matching_features
from hybridasr.features.feature_kind import check_features, feature_differences
from hybridasr.features.feature_set import make_feats
from hybridasr.features.frames import FeatureOptions
from hybridasr.model.directory import load_model
from hybridasr.parallel import SerialExecutor

LIST = CommandList(tuple(make_commands(COMMANDS)))
FBANK = FeatureOptions(kind="fbank", use_energy=False)
POOL = SerialExecutor()


@pytest.fixture(scope="module")
def models(spoken_world, tmp_path_factory):
    """Monophones on MFCC, a network on filter banks."""
    root = tmp_path_factory.mktemp("models")
    train = write_datadir(root / "train", spoken_world.train.utterances.values())
    world = replace_train(spoken_world, make_feats(train, FBANK, POOL))
    return spoken_world.mono, make_network(world, root / "dnn")


def replace_train(world, train):
    return type(world)(**{**vars(world), "train": read_datadir(train.path)})


@pytest.fixture
def bare(spoken_world, tmp_path):
    """A user's data directory: recordings and text, no features."""
    return write_datadir(tmp_path / "other", spoken_world.test.utterances.values())


def own_files(path):
    return {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_models_of_different_features_take_turns(models, bare, spoken_world, tmp_path, few_noises,
                                                 order):
    before = own_files(bare.path)
    for number in order:
        model = shutil.copytree(models[number], tmp_path / f"model{number}")
        (trials,) = spot_set(model, read_datadir(bare.path), [LIST], POOL)
        assert len(trials) == len(bare)
        align_set(read_datadir(bare.path), spoken_world.lang, model, tmp_path / "ali", POOL)
        calibrate(model, read_datadir(bare.path), POOL, LIST)
    assert own_files(bare.path) == before
    assert len(list((bare.path / FOLDER).iterdir())) == 2


def test_own_features_of_the_kind_are_used_and_made_ones_once(models, spoken_world, bare,
                                                              monkeypatch):
    mfcc, fbank = (load_model(model).features for model in models)
    data = read_datadir(spoken_world.test.path)
    assert matching_features(data, mfcc, POOL) is data
    first = matching_features(bare, fbank, POOL)
    assert matching_features(first, fbank, POOL) is first
    monkeypatch.setattr(cache, "make_feats", None)  # not called again
    assert matching_features(bare, fbank, POOL).tables == first.tables
    with pytest.raises(TypeError):  # other options, or other recordings
        matching_features(bare, replace(fbank, num_mel_bins=30), POOL)
    wav = next(iter(bare.utterances.values())).wav
    monkeypatch.setattr(cache, "_state", lambda path: [1] if str(path) == wav else [2])
    with pytest.raises(TypeError):
        matching_features(bare, fbank, POOL)


def test_without_recordings_every_difference_is_named(spoken_world, tmp_path):
    data = read_datadir(spoken_world.test.path)
    silent = replace(data, utterances={name: replace(utterance, wav="")
                                       for name, utterance in data.utterances.items()})
    with pytest.raises(UserError, match="kind expected fbank, found mfcc.*use_log_fbank expected "
                                        "True, found none.*num_ceps expected none, found 13"):
        matching_features(silent, FBANK, POOL)
    with pytest.raises(UserError, match="features of another kind: kind expected fbank"):
        check_features(data.path, FBANK)
    assert any(line.startswith("use_log_fbank expected none, found True")
               for line in feature_differences(FeatureOptions(), FBANK))


def test_commands_of_wav_scp_are_not_run(tmp_path, bare):
    data = replace(bare, utterances={name: replace(utterance, wav=f"touch {tmp_path}/run |")
                                     for name, utterance in bare.utterances.items()})
    with pytest.raises(UserError, match="is a command, which is not run unasked.*--allow-pipes"):
        matching_features(data, FBANK, POOL)
    assert not (tmp_path / "run").exists()
