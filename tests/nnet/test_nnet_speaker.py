"""A network is fitted to a speaker: what moves, by how much, and that the network itself stays."""

import numpy as np
import pytest

from hybridasr.errors import UserError
from hybridasr.nnet.acoustics import NnetAcoustics
from hybridasr.nnet.loss import cross_entropy
from hybridasr.nnet.network_text import read_network
from hybridasr.nnet.optim import Adam, AdamOptions
from hybridasr.nnet.speaker import BATCH, fit_to_speaker, speaker_parameters, with_speaker_priors

TEXT = "splice offsets=-1:1\naffine dim=16\n{}\nrelu\noutput\n"
CLASSES, DIM = 5, 4


def speech(seed, turned=None, utterances=6, frames=80):
    """Features and classes: a class keeps for some frames, and moves the mean."""
    rng = np.random.default_rng(seed)
    means = 2 * np.random.default_rng(99).normal(size=(CLASSES, DIM))
    classes = [np.repeat(rng.integers(CLASSES, size=frames // 4), 4) for _ in range(utterances)]
    feats = [(means[c] + rng.normal(size=(frames, DIM))).astype(np.float32) for c in classes]
    if turned is not None:
        feats = [(f * turned[0] + turned[1]).astype(np.float32) for f in feats]
    return feats, classes


@pytest.fixture(scope="module", params=["batchnorm", "layernorm"])
def trained(request):
    network = read_network(TEXT.format(request.param), DIM, CLASSES, seed=1)
    optimizer = Adam(AdamOptions(), network.parameters)
    feats, classes = speech(0, utterances=40)
    rng = np.random.default_rng(0)
    for _ in range(600):
        some = rng.integers(40, size=8)
        padded = np.stack([np.pad(feats[n], ((1, 1), (0, 0)), mode="edge") for n in some])
        logits, caches = network.forward(padded, True, rng)
        targets = np.concatenate([classes[n] for n in some]).astype(np.int32)
        _, slopes, _ = cross_entropy(logits.reshape(-1, CLASSES), targets, 1 / len(targets))
        optimizer.step(network.parameters, network.backward(slopes.reshape(logits.shape), caches),
                       0.01)
    return NnetAcoustics(network.for_inference(), np.zeros(CLASSES, np.float32),
                         np.zeros(DIM, np.float32), np.ones(DIM, np.float32))


def right(acoustics, feats, classes):
    """The share of frames that are classified rightly."""
    return np.mean([np.mean(acoustics.log_posteriors(f).argmax(1) == c)
                    for f, c in zip(feats, classes, strict=True)])


def test_a_speaker_is_learned_from_his_paths(trained):
    turned = np.array([1.4, 0.7, 1.0, 1.2]), np.array([0.8, -0.8, 0.5, 0.3])
    feats, classes = speech(3, turned)
    others = speech(4, turned)
    before = {name: array.copy() for name, array in trained.to_arrays().items()}
    fitted = fit_to_speaker(trained, feats, classes, 40, 0.01, 0)
    assert right(trained, *speech(5)) > 0.8
    assert right(fitted, *others) > right(trained, *others) + 0.05
    after = fitted.to_arrays()
    chosen = {f"nnet.{name}" for name in speaker_parameters(trained.network)}
    moved = {name for name, array in after.items() if not np.array_equal(array, before[name])}
    kinds = {name.rpartition(".")[2] for name in moved}
    assert chosen <= moved
    assert kinds - {"mean", "variance"} == {"scale", "shift"}
    for name, array in trained.to_arrays().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    again = fit_to_speaker(trained, feats, classes, 40, 0.01, 0).to_arrays()
    for name, array in after.items():
        np.testing.assert_array_equal(array, again[name], err_msg=name)


def test_the_first_step_is_against_the_slope(trained):
    """Adam's first step is the rate against the sign of the slope, found here by differences."""
    feats, classes = speech(3, utterances=2)
    assert sum(map(len, feats)) < BATCH
    fitted = fit_to_speaker(trained, feats, classes, 1, 0.01, 0)
    padded = [np.pad(f, ((1, 1), (0, 0)), mode="edge") for f in feats]
    windows = np.concatenate([np.stack([p[n:n + 3] for n in range(len(f))])
                              for p, f in zip(padded, feats, strict=True)]).astype(float)
    targets = np.concatenate(classes).astype(np.int32)
    network = read_network(trained.network.text, DIM, CLASSES)
    network.load_arrays(trained.network.to_arrays())
    network.astype(float)
    checked = 0
    for name, array in speaker_parameters(network).items():
        step = fitted.network.parameters[name] - trained.network.parameters[name]
        for place in range(0, len(array), 5):
            losses = []
            for change in (1e-5, -1e-5):
                array[place] += change
                logits, _ = network.forward(windows, True)
                losses.append(cross_entropy(logits[:, 0], targets)[0])
                array[place] -= change
            slope = (losses[0] - losses[1]) / 2e-5
            if abs(slope) > 1e-2:
                assert step[place] == pytest.approx(-0.01 * np.sign(slope), rel=1e-2)
                checked += 1
    assert checked >= 3


def test_a_class_that_is_found_too_often_counts_for_less(trained):
    """Class 0, silence, keeps its prior; the others share the rest as the network finds them."""
    feats, classes = speech(3)
    before = np.log(np.array([0.4, 0.15, 0.15, 0.15, 0.15], np.float32))
    leaning = trained.network.parameters
    bias = next(name for name in leaning if leaning[name].shape == (CLASSES,))
    push = np.array([0.0, 15.0, 0.0, 0.0, 0.0], np.float32)
    arrays = trained.network.to_arrays()
    network = read_network(trained.network.text, DIM, CLASSES)
    network.load_arrays({**arrays, bias: arrays[bias] + push})
    biased = NnetAcoustics(network.for_inference(), before, trained.shift, trained.scale)

    def errors(acoustics):
        return np.mean([np.mean(acoustics.loglikes(f).argmax(1) != c)
                        for f, c in zip(feats, classes, strict=True)])

    fitted = with_speaker_priors(biased, [*feats, feats[0][:0]], [0], 100.0)
    assert errors(fitted) < errors(biased) - 0.05
    shares = np.concatenate([np.exp(biased.log_posteriors(f)) for f in feats])[:, 1:].sum(0)
    expected = shares + 100 * 0.25
    np.testing.assert_allclose(np.exp(fitted.log_priors[1:]), 0.6 * expected / expected.sum(),
                               rtol=1e-5)
    assert fitted.log_priors[0] == before[0]
    np.testing.assert_array_equal(biased.log_priors, before)
    # Much training outweighs the speaker; with none of it, what is never found stays finite.
    np.testing.assert_allclose(with_speaker_priors(biased, feats, [0], 1e9).log_priors, before,
                               rtol=1e-4)
    assert np.isfinite(with_speaker_priors(biased, [], [0], 0.0).log_priors).all()


@pytest.mark.parametrize(("text", "message"), [
    ("affine dim=8\nrelu\noutput\n", "no batchnorm or layernorm"),
    ("batchnorm\nlstm cell=4\noutput\n", "recurrent layer without warmup"),
    ("affine dim=8\nbatchnorm\nrelu\noutput\n", "int8 weights cannot adapt")])
def test_what_cannot_adapt_says_so(text, message):
    network = read_network(text, DIM, CLASSES)
    acoustics = NnetAcoustics(network, np.zeros(CLASSES, np.float32), np.zeros(DIM, np.float32),
                              np.ones(DIM, np.float32))
    if "int8" in message:
        acoustics = acoustics.quantized()
    with pytest.raises(UserError, match=f"{message}.*--nnet-passes 0"):
        fit_to_speaker(acoustics, *speech(0), 1, 0.01, 0)


def test_norms_within_other_layers_adapt():
    network = read_network("batchnorm\ntdnnf dim=4 bottleneck=2\nlstm cell=3 warmup=2\noutput\n",
                           DIM, CLASSES)
    assert set(speaker_parameters(network)) == {"0.scale", "0.shift", "1.norm.scale",
                                                "1.norm.shift"}
    acoustics = NnetAcoustics(network, np.zeros(CLASSES, np.float32), np.zeros(DIM, np.float32),
                              np.ones(DIM, np.float32))
    fitted = fit_to_speaker(acoustics, *speech(0, utterances=2), 1, 0.01, 0).to_arrays()
    moved = {name for name, array in acoustics.to_arrays().items()
             if not np.array_equal(array, fitted[name])}
    assert moved == {f"nnet.{name}" for name in (
        *speaker_parameters(network), "0.mean", "0.variance", "1.norm.mean", "1.norm.variance")}
