"""CTC and transducer trained on recordings; graphs and command lists take the model as it is."""

import json
import logging

import numpy as np
import pytest
import soundfile as sf
from command_world import COMMANDS

from hybridasr.batch.denominator_set import make_denlats
from hybridasr.batch.label_decode import (
    LabelDecodeOptions,
    Labeler,
    decode_labels,
    reference_labels,
)
from hybridasr.cli import main
from hybridasr.ctc.ctc_loss import label_log_prob, needed_frames
from hybridasr.ctc.token_topology import phone_labels, transcript_labels
from hybridasr.errors import DamagedFile, UserError
from hybridasr.features.pipeline import PipelineOptions
from hybridasr.lm.arpa import write_arpa
from hybridasr.lm.estimate import estimate_ngram
from hybridasr.model.directory import load_model
from hybridasr.options import build_options
from hybridasr.parallel import SerialExecutor
from hybridasr.recognize.recognizer import load
from hybridasr.recognize.vad import detect_speech
from hybridasr.storage import read_arrays
from hybridasr.train import ctc_trainer
from hybridasr.train.ctc_trainer import CtcOptions, train_ctc
from hybridasr.train.history import read_history
from hybridasr.train.label_objective import LabelObjective
from hybridasr.train.nnet_trainer import save_state
from hybridasr.train.transducer_trainer import TransducerTrainOptions, train_transducer

NETWORK = """\
splice offsets=-4:4
affine dim=48
batchnorm
relu
splice offsets=-6,-3,0,3,6
affine dim=48
batchnorm
relu
output
"""
QUICK = {"num_epochs": 40, "minibatch_size": 1024, "held_out": 0.3,
         "initial_learning_rate": 0.01, "final_learning_rate": 0.001}


def train(world, path, network=NETWORK, **options):
    path.mkdir(parents=True, exist_ok=True)
    (path / "nnet.conf").write_text(network)
    return train_ctc(world.train, world.lang, path, SerialExecutor(), CtcOptions(
        network=str(path / "nnet.conf"), **{**QUICK, **options}))


@pytest.fixture(scope="module")
def ctc(spoken_world, tmp_path_factory):
    path = tmp_path_factory.mktemp("ctc")
    train(spoken_world, path)
    return path


@pytest.fixture(scope="module")
def transducer(spoken_world, ctc, tmp_path_factory):
    path = tmp_path_factory.mktemp("transducer")
    train_transducer(spoken_world.train, ctc, path, SerialExecutor(), build_options(
        TransducerTrainOptions, num_epochs=60, minibatch_size=512, held_out=0.3,
        initial_learning_rate=0.005, embedding=8, cell=16, joint=24))
    return path


def errors(model, data, path, **options):
    scores, _ = decode_labels(model, data, path, SerialExecutor(), LabelDecodeOptions(**options))
    return scores.wer


def test_labels_of_new_speakers_and_words(spoken_world, ctc, tmp_path):
    greedy = errors(ctc, spoken_world.test, tmp_path / "greedy")
    beam = errors(ctc, spoken_world.test, tmp_path / "beam", label_beam=8)
    assert greedy < 30
    assert beam < 15
    rows = dict(line.split(" ", 1) for line in
                (tmp_path / "beam" / "reference").read_text().splitlines())
    assert rows["t0-000"] == "d a1 t i1"  # the lexicon does not have the word
    assert json.loads((tmp_path / "beam" / "summary.json").read_text())["ler"] == round(beam, 2)


def test_command_lists_are_recognised_as_with_any_model(spoken_world, ctc):
    recognizer = load(ctc, commands=COMMANDS)
    right = heard = 0
    for name, utterance in spoken_world.test.utterances.items():
        result = recognizer.recognize(spoken_world.root / "test" / "wav" / f"{name}.wav")
        text = " ".join(utterance.words)
        heard += 1
        right += result["text"] == (text if text in COMMANDS else "")
    assert right >= 0.9 * heard


def test_the_labels_file_and_the_figures(spoken_world, ctc):
    lines = (ctc / "labels.txt").read_text().split("\n")
    assert lines[:2] == ["<blank> 0", "SPN 1"]
    model = load_model(ctc)
    assert model.info["criterion"] == "ctc"
    assert model.info["labels"] == 8
    held = (ctc / "held_out").read_text().split()
    assert held
    # A training that only watched them knows the others better than chance.
    assert model.info["held_out_accuracy"] > 60


def test_voice_activity_is_refused_as_there_is_no_silence(ctc):
    with pytest.raises(UserError, match="a CTC network has no class of silence"):
        detect_speech(load_model(ctc), np.zeros(16000, np.float32))


def test_two_trainings_give_the_same_network(spoken_world, tmp_path):
    one, two = (train(spoken_world, tmp_path / name, num_epochs=1) for name in "ab")
    for name, array in one.nnet.to_arrays().items():
        np.testing.assert_array_equal(array, two.nnet.to_arrays()[name])


def test_characters_have_a_lang_directory_of_their_own(spoken_world, tmp_path):
    model = train(spoken_world, tmp_path, num_epochs=1, units="characters", blank_prior=0.3)
    assert {"d", "a", "1"} <= {*model.lang.phones}
    share = model.info["blank_share"]
    assert load_model(tmp_path).nnet.log_priors[0] == pytest.approx(
        0.3 * np.log(share / (1 - share) * model.info["labels"]), abs=1e-5)
    assert not load_model(tmp_path).nnet.log_priors[1:].any()
    reference = reference_labels(spoken_world.test, model.lang, "characters")
    assert reference["t0-000"] == list("da1ti1")


def test_utterances_too_short_for_their_labels_are_named_and_left_out(spoken_world, ctc, caplog,
                                                                     monkeypatch):
    monkeypatch.setattr(ctc_trainer, "needed_frames",
                        lambda labels: 1000 if len(labels) == 2 else needed_frames(labels))
    normalization = load_model(ctc).normalization(spoken_world.train)
    labels = ctc_trainer.gather_labels(spoken_world.train, spoken_world.lang, normalization,
                                       ctc / "short", SerialExecutor(), 1)
    short = [name for name, one in spoken_world.train.utterances.items()
             if len(one.words[0]) == 3]
    assert set(labels.frames.utterances) == {*spoken_world.train.utterances} - {*short}
    assert f"{len(short)} utterances" in caplog.text
    assert short[0] in caplog.text


@pytest.fixture(scope="module")
def strided(spoken_world, tmp_path_factory):
    """A network that writes for every second frame."""
    path = tmp_path_factory.mktemp("strided")
    text = NETWORK.replace("offsets=-4:4", "offsets=-4:4 stride=2").replace("-6,-3,0,3,6", "-3:3")
    train(spoken_world, path, text)
    return path


def test_a_network_with_a_stride(spoken_world, ctc, strided, tmp_path):
    model, full = load_model(strided), load_model(ctc)
    assert model.subsampling == 2
    assert model.transitions.tuples.tolist() == full.transitions.tuples.tolist()
    assert errors(strided, spoken_world.test, tmp_path / "labels", label_beam=8) < 20
    recognizer = load(strided, commands=COMMANDS)
    right = 0
    for name, utterance in spoken_world.test.utterances.items():
        wav = spoken_world.root / "test" / "wav" / f"{name}.wav"
        result, text = recognizer.recognize(wav), " ".join(utterance.words)
        right += result["text"] == (text if text in COMMANDS else "")
        assert all(word["end"] <= sf.info(wav).duration + 0.03 for word in result["result"])
    assert right >= 0.9 * len(spoken_world.test.utterances)


def test_a_transducer_on_a_network_with_a_stride(spoken_world, strided, tmp_path):
    train_transducer(spoken_world.train, strided, tmp_path, SerialExecutor(), build_options(
        TransducerTrainOptions, num_epochs=30, minibatch_size=512, held_out=0.3,
        initial_learning_rate=0.005, embedding=8, cell=16, joint=24))
    assert errors(tmp_path, spoken_world.train, tmp_path / "decode") < 25


def test_a_transducer_that_was_stopped_goes_on(spoken_world, ctc, tmp_path, monkeypatch, caplog):
    options = build_options(TransducerTrainOptions, num_epochs=4, minibatch_size=512, held_out=0.3,
                            embedding=8, cell=16, joint=24)

    def trained(path):
        train_transducer(spoken_world.train, ctc, path, SerialExecutor(), options)
        return read_arrays(path / "nnet.npz") | read_arrays(path / "transducer.npz")

    def save(path, run, now):
        save_state(path, run, now)
        if now.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("hybridasr.train.transducer_trainer.save_state", save)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "stopped")
    with caplog.at_level(logging.INFO, "hybridasr"):
        resumed = trained(tmp_path / "stopped")
    assert "resuming after epoch 1" in caplog.text
    whole = trained(tmp_path / "whole")
    assert resumed.keys() == whole.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(resumed[name], array)
    assert len(read_history(tmp_path / "stopped")) == 4
    assert not (tmp_path / "stopped" / "checkpoint.npz").exists()


@pytest.mark.parametrize("subsampling", [1, 2, 3])
def test_outputs_of_utterances(subsampling):
    chunks = np.array([[0, 0, frames] for frames in range(1, 12)])
    assert LabelObjective.of([np.array([1])], subsampling).num_outputs(chunks).tolist() == [
        len(range(0, frames, subsampling)) for frames in range(1, 12)]


def test_objective_gives_the_mean_over_frames():
    rng = np.random.default_rng(1)
    sequences = [np.array([1, 2]), np.array([2])]
    objective = LabelObjective.of(sequences)
    logits = rng.normal(size=(2, 6, 3)).astype(np.float32)
    chunks = np.array([[1, 10, 4], [0, 0, 6]])
    counts, dlogits = objective.loss(logits.copy(), chunks)
    log_probs = logits - np.log(np.exp(logits).sum(2, keepdims=True))
    expected = -(label_log_prob(log_probs[0, :4], sequences[1])
                 + label_log_prob(log_probs[1], sequences[0]))
    assert counts.loss == pytest.approx(expected, rel=1e-5)
    assert counts.frames == 10
    step, place = 1e-2, (1, 3, 2)
    logits[place] += step
    more, _ = objective.loss(logits.copy(), chunks)
    logits[place] -= 2 * step
    less, _ = objective.loss(logits.copy(), chunks)
    assert dlogits[place] == pytest.approx((more.loss - less.loss) / (2 * step) / 10, abs=1e-4)


def test_transducer_writes_labels(spoken_world, transducer, tmp_path):
    assert errors(transducer, spoken_world.train, tmp_path / "train") < 10
    assert errors(transducer, spoken_world.test, tmp_path / "test", label_beam=4) < 40


def test_the_encoder_of_a_transducer_is_a_ctc_model(spoken_world, transducer):
    recognizer = load(transducer, commands=COMMANDS)
    wav = spoken_world.root / "test" / "wav" / "t0-000.wav"
    assert recognizer.recognize(wav)["text"] == COMMANDS[0]


def test_int8_networks_write_labels_too(spoken_world, transducer, tmp_path):
    assert main(["quantize", str(transducer), str(tmp_path / "int8")]) == 0
    assert errors(tmp_path / "int8", spoken_world.train, tmp_path / "decode") < 15


def test_lattices_are_not_for_labels(spoken_world, ctc, tmp_path):
    with pytest.raises(UserError, match="writes labels .train-ctc., which it would not do after"):
        make_denlats(spoken_world.train, spoken_world.lang, ctc, tmp_path, SerialExecutor())


def test_an_ngram_of_labels_is_for_ctc(spoken_world, ctc, transducer, tmp_path):
    lang = spoken_world.lang
    labels = phone_labels(lang)
    assert len(transcript_labels([lang.words["da1"]], lang, labels)) == 2
    write_arpa(tmp_path / "p.arpa", estimate_ngram([["d", "a1"], ["t", "i1"]], 2, "witten-bell"))
    arpa = str(tmp_path / "p.arpa")
    assert errors(ctc, spoken_world.test, tmp_path / "lm", label_beam=8, arpa=arpa) < 60
    with pytest.raises(UserError, match="leave --arpa out"):
        Labeler(transducer, LabelDecodeOptions(label_beam=4, arpa=arpa))


def test_other_models_and_damaged_files_are_refused(spoken_world, ctc, transducer, tmp_path):
    with pytest.raises(UserError, match="no model that writes labels"):
        Labeler(spoken_world.mono, LabelDecodeOptions())
    with pytest.raises(UserError, match="no model of train-ctc"):
        train_transducer(spoken_world.train, spoken_world.mono, tmp_path, SerialExecutor(),
                         TransducerTrainOptions())
    description = (transducer / "transducer.json").read_text()
    for text, error in [("[]", DamagedFile), (description.replace('"format": 1', '"format": 2'),
                                              UserError),
                        (description.replace('"num_labels": 8', '"num_labels": 9'), DamagedFile)]:
        (transducer / "transducer.json").write_text(text)
        with pytest.raises(error):
            Labeler(transducer, LabelDecodeOptions())
    (transducer / "transducer.json").write_text(description)


def test_options_without_effect_are_refused():
    with pytest.raises(UserError, match="whole utterances"):
        CtcOptions(chunk_width=8)
    with pytest.raises(UserError, match="blank_prior"):
        CtcOptions(blank_prior=2.0)
    assert CtcOptions().cmvn == PipelineOptions(cmvn="online").cmvn
