"""Networks on alignments: mini-batches, training, resuming, decoding and aligning with them."""

import json

import numpy as np
import pytest
from small_world import FEATURES, PIPELINE, write_set

from hybridasr.decode.search import SearchOptions
from hybridasr.errors import UserError
from hybridasr.evaluate import decode_set
from hybridasr.features.archives import read_ark, read_scp
from hybridasr.mkgraph import grammar_phrases, make_graph
from hybridasr.model import load_model
from hybridasr.parallel import executor
from hybridasr.train import dnn
from hybridasr.train.align import align_set
from hybridasr.train.dnn import DnnOptions, train_dnn
from hybridasr.train.frames import FrameSet
from hybridasr.train.mono import MonoOptions, train_mono

SMALL = "splice offsets=-2:2\naffine dim=24\nbatchnorm\nrelu\ndropout rate=0.1\noutput\n"


@pytest.fixture(scope="module")
def mono(world, tmp_path_factory):
    """A monophone system and its alignments; beside it the description of a small network."""
    root = tmp_path_factory.mktemp("dnn")
    with executor(1) as pool:
        train_mono(world[0], world[2], FEATURES, PIPELINE, root / "mono", pool,
                   MonoOptions(num_iters=10, max_iter_inc=6, totgauss=40))
    (root / "nnet.conf").write_text(SMALL)
    return root


def train(world, mono, path, steep=False):
    options = DnnOptions(network=str(mono / "nnet.conf"), num_epochs=4, minibatch_size=32,
                         initial_learning_rate=1e30 if steep else 0.01,
                         final_learning_rate=0.001, max_norm=0.0 if steep else 5.0)
    with executor(1) as pool:
        return train_dnn(world[0], world[2], mono / "mono", path, pool, options)


@pytest.fixture(scope="module")
def trained(world, mono):
    return train(world, mono, mono / "dnn"), mono / "dnn"


def errors(model, data):
    loaded = load_model(model)
    make_graph(loaded, model / "graph", "loop", grammar_phrases(loaded.lang, None))
    with executor(1) as pool:
        found = decode_set(model, model / "graph", data, model / "decode", SearchOptions(), pool)
    return sum(tuple(words) != data.utterances[name].words for name, words in found.items())


def test_decodes_what_it_never_heard(world, trained):
    model, directory = trained
    assert model.info["held_out_accuracy"] is None or model.info["held_out_accuracy"] > 80
    assert model.info["accuracy"] > 80
    assert errors(directory, world[1]) <= 1
    assert json.loads((directory / "model.json").read_text())["kind"] == "nnet"
    assert not (directory / "checkpoint.npz").exists()


def test_scores_are_posteriors_over_priors(world, trained):
    model = load_model(trained[1])
    feats = read_scp(world[1].path / "feats.scp")[next(iter(world[1].utterances))]
    posteriors = np.exp(model.nnet.log_posteriors(feats).astype(float))
    np.testing.assert_allclose(posteriors.sum(1), 1, rtol=1e-4)
    scores = model.scorer().loglikes(feats)
    np.testing.assert_allclose(scores, np.log(posteriors) - model.nnet.log_priors, atol=1e-3)
    np.testing.assert_array_equal(model.scorer().loglikes(feats, np.array([3, 1])),
                                  scores[:, [3, 1]])
    ids = np.concatenate([i for _, i in read_ark(trained[1].parent / "mono" / "ali.ark")])
    counts = np.bincount(model.transitions.tid_pdf[ids], minlength=model.tree.num_pdfs) + 1
    np.testing.assert_allclose(model.nnet.log_priors, np.log(counts / counts.sum()), rtol=1e-5)


def test_aligns_as_the_system_it_learned_from(world, mono, trained, tmp_path):
    with executor(2) as pool:
        align_set(world[0], world[2], trained[1], tmp_path, pool)
    same = total = 0
    theirs = dict(read_ark(mono / "mono" / "ali.ark"))
    for name, ids in read_ark(tmp_path / "ali.ark"):
        same, total = same + int((ids == theirs[name]).sum()), total + len(ids)
    assert same / total > 0.85


@pytest.mark.parametrize("after", [1, 3])
def test_interrupted_training_ends_in_the_same_network(tmp_path, monkeypatch, after):
    real, saved = dnn._save, []

    def stop(*args):
        real(*args)
        saved.append(1)
        if len(saved) == after:
            raise KeyboardInterrupt

    rng = np.random.default_rng(0)
    np.save(tmp_path / "frames.npy", rng.normal(size=(300, 4)).astype(np.float32))
    frames = FrameSet(tmp_path / "frames.npy", rng.integers(0, 3, 300).astype(np.int32),
                      np.arange(0, 301, 30), [f"u{i}" for i in range(10)], ["s"] * 10)
    options = DnnOptions(num_epochs=4, average_epochs=2)
    whole, _ = dnn.fit(frames, SMALL, 3, options, tmp_path / "none.npz")
    monkeypatch.setattr(dnn, "_save", stop)
    with pytest.raises(KeyboardInterrupt):
        dnn.fit(frames, SMALL, 3, options, tmp_path / "checkpoint.npz")
    monkeypatch.setattr(dnn, "_save", real)
    again, _ = dnn.fit(frames, SMALL, 3, options, tmp_path / "checkpoint.npz")
    for name, array in whole.to_arrays().items():
        np.testing.assert_array_equal(array, again.to_arrays()[name], err_msg=name)


def test_every_frame_is_drawn_once_an_epoch_with_its_context(tmp_path):
    feats = np.arange(23, dtype=np.float32)[:, None]
    np.save(tmp_path / "frames.npy", feats)
    frames = FrameSet(tmp_path / "frames.npy", np.arange(23, dtype=np.int32),
                      np.array([0, 10, 12, 23]), ["a", "b", "c"], ["s"] * 3)
    seen = []
    for x, pdfs in frames.batches(frames.chunks(1, np.arange(3)), 1, 2, 1, 5,
                                  np.random.default_rng(0)):
        assert x.shape[1:] == (4, 1)
        for window, pdf in zip(x[..., 0], pdfs[:, 0], strict=True):
            begin, end = next((b, e) for b, e in ((0, 10), (10, 12), (12, 23)) if b <= pdf < e)
            assert window.tolist() == [float(min(max(pdf + k, begin), end - 1))
                                       for k in (-2, -1, 0, 1)]
            seen.append(int(pdf))
    assert sorted(seen) == list(range(23))
    chunks = frames.chunks(4, np.arange(3))
    x, pdfs = frames.batch(chunks, 4, 0, 0)
    assert set(pdfs[pdfs >= 0].tolist()) == set(range(23))
    assert pdfs[3].tolist() == [10, 11, -1, -1]  # shorter than a chunk
    assert pdfs[2].tolist() == [6, 7, 8, 9]  # moved back to end with its utterance


def test_what_stops_a_training(world, mono, tmp_path):
    with pytest.raises(UserError, match="diverged in epoch 0.*smaller --initial-learning-rate"):
        train(world, mono, tmp_path / "steep", steep=True)
    with pytest.raises(UserError, match="utterance 's0-000' has features that are not numbers"):
        train_on_nan(world, mono, tmp_path)
    (tmp_path / "bad.conf").write_text("splice offsets=-2:2\nafine dim=3\noutput\n")
    options = DnnOptions(network=str(tmp_path / "bad.conf"))
    with executor(1) as pool, pytest.raises(UserError, match=r"bad.conf:2: .*afine"):
        train_dnn(world[0], world[2], mono / "mono", tmp_path / "x", pool, options)
    with pytest.raises(UserError, match="option num_epochs is 0"):
        DnnOptions(num_epochs=0)
    with pytest.raises(UserError, match="give positive ones that do not rise"):
        DnnOptions(initial_learning_rate=1e-5)


def train_on_nan(world, mono, path):
    """Train on features one of which is not a number."""
    known = read_scp(world[0].path / "feats.scp")
    feats = {u: known[u].copy() for u in world[0].utterances}
    next(iter(feats.values()))[3, 2] = np.nan
    data = write_set(path / "data", list(world[0].utterances.values()), feats)
    options = DnnOptions(network=str(mono / "nnet.conf"), num_epochs=1)
    with executor(1) as pool:
        return train_dnn(data, world[2], mono / "mono", path / "dnn", pool, options)
