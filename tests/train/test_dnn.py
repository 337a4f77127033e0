"""Networks on alignments: training, decoding and aligning with them, copies, other speech."""

import json
from dataclasses import replace

import numpy as np
import pytest
from small_world import FEATURES, PIPELINE, build_graph, write_set

from hybridasr.batch.align_set import align_set
from hybridasr.batch.decode_set import decode_set
from hybridasr.corpus.datadir import in_order
from hybridasr.decode.search import SearchOptions
from hybridasr.errors import UserError
from hybridasr.evaluation.tune import held_out, tune_scale
from hybridasr.features.archives import read_ark, read_scp
from hybridasr.model.acoustic import DEFAULT_SCALE
from hybridasr.model.adaptation import AdaptOptions
from hybridasr.model.directory import load_model
from hybridasr.options import build_options
from hybridasr.parallel import SerialExecutor, executor
from hybridasr.recognize.recognizer import load
from hybridasr.train.blocks import write_blocks
from hybridasr.train.chunk_plan import limit_silence
from hybridasr.train.dnn import train_dnn
from hybridasr.train.minibatch import gather_frames, stretched
from hybridasr.train.mono import MonoOptions, train_mono
from hybridasr.train.nnet_options import DnnOptions

SMALL = "splice offsets=-2:2\naffine dim=24\nbatchnorm\nrelu\ndropout rate=0.1\noutput\n"


@pytest.fixture(scope="module")
def mono(world, tmp_path_factory):
    """A monophone system and its alignments; beside it the description of a small network."""
    root = tmp_path_factory.mktemp("dnn")
    with executor(1) as pool:
        train_mono(world[0], world[2], FEATURES, PIPELINE, root / "mono", pool,
                   build_options(MonoOptions, num_iters=10, max_iter_inc=6, totgauss=40))
    (root / "nnet.conf").write_text(SMALL)
    return root


def train(world, mono, path, steep=False):
    options = DnnOptions(network=str(mono / "nnet.conf"), num_epochs=4, minibatch_size=32,
                         silence_share=1.0, initial_learning_rate=1e30 if steep else 0.01,
                         final_learning_rate=0.001, max_norm=0.0 if steep else 5.0)
    with executor(1) as pool:
        return train_dnn(world[0], world[2], mono / "mono", path, pool, options)


@pytest.fixture(scope="module")
def trained(world, mono):
    return train(world, mono, mono / "dnn"), mono / "dnn"


def errors(model, data, scale=None, **adapt):
    loaded = load_model(model)
    build_graph(loaded, model / "graph", "loop")
    with executor(1) as pool:
        decode_set(model, model / "graph", data, model / "decode",
                   SearchOptions(acoustic_scale=scale), pool, AdaptOptions(**adapt))
    texts = (line.split() for line in (model / "decode" / "text").read_text().splitlines())
    return sum(tuple(words) != data.utterances[name].words for name, *words in texts)


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
    held = (trained[1] / "held_out").read_text().split()
    assert 0 < len(held) < 0.2 * len(world[0])
    ids = np.concatenate([i for name, i in read_ark(trained[1].parent / "mono" / "ali.ark")
                          if name not in held])
    counts = np.bincount(model.transitions.tid_pdf[ids], minlength=model.tree.num_pdfs) + 1
    expected = limit_silence(np.log(counts / counts.sum()), np.array(model.silence_pdfs))
    np.testing.assert_allclose(model.nnet.log_priors, expected, rtol=1e-5)


def test_the_scale_that_was_tuned_is_used(world, trained):
    build_graph(load_model(trained[1]), trained[1] / "graph", "loop")
    with executor(1) as pool:
        best, rates = tune_scale(trained[1], trained[1] / "graph",
                                 held_out(trained[1], world[0]), pool)
    assert rates[best] == min(rates.values())
    assert load(trained[1]).options.acoustic_scale == best[0]
    assert load(trained[1], SearchOptions(acoustic_scale=0.5)).options.acoustic_scale == 0.5


def test_a_network_adapts_to_a_speaker(world, trained, tmp_path):
    """Every speaker's features are moved his own way: his words tell which."""
    rng, known = np.random.default_rng(7), read_scp(world[1].path / "feats.scp")
    # More than a mean that moves, which the normalisation takes off.
    ways = {s: rng.uniform(0.3, 3.0, 13)[:, None] * (np.eye(13) + 0.3 * rng.normal(size=(13, 13)))
            for s in world[1].speakers}
    moved = {name: (known[name] @ ways[one.speaker]).astype(np.float32)
             for name, one in world[1].utterances.items()}
    data = write_set(tmp_path / "moved", list(world[1].utterances.values()), moved)
    rates = {passes: errors(trained[1], data, DEFAULT_SCALE, nnet_passes=passes,
                            fmllr_min_count=50, nnet_learning_rate=0.02) for passes in (0, 4)}
    assert rates[0] >= 8
    assert rates[4] <= rates[0] - 3
    build_graph(trained[0], trained[1] / "graph", "loop")
    texts = []
    for nj in (1, 2):
        with executor(nj) as pool:
            decode_set(trained[1], trained[1] / "graph", data, tmp_path / f"decode{nj}",
                       SearchOptions(), pool, AdaptOptions(nnet_passes=2, fmllr_min_count=50,
                                                           nnet_prior_frames=100.0))
        texts.append((tmp_path / f"decode{nj}" / "text").read_bytes())
    assert texts[0] == texts[1]
    few = AdaptOptions(nnet_passes=2, fmllr_min_count=1e6)
    with executor(1) as pool:
        decode_set(trained[1], trained[1] / "graph", data, tmp_path / "few", SearchOptions(), pool,
                   few)
        decode_set(trained[1], trained[1] / "graph", data, tmp_path / "none", SearchOptions(), pool)
    assert (tmp_path / "few" / "text").read_bytes() == (tmp_path / "none" / "text").read_bytes()


def test_realigning_trains_on_the_networks_own_alignments(world, mono, tmp_path):
    options = DnnOptions(network=str(mono / "nnet.conf"), num_epochs=2, minibatch_size=32,
                         initial_learning_rate=0.01, silence_share=1.0, realign=1)
    with executor(1) as pool:
        model = train_dnn(world[0], world[2], mono / "mono", tmp_path / "dnn", pool, options)
        once = replace(options, realign=0)
        first = train_dnn(world[0], world[2], mono / "mono", tmp_path / "first", pool, once)
        align_set(world[0], world[2], tmp_path / "first", tmp_path / "first_ali", pool)
        again = train_dnn(world[0], world[2], tmp_path / "first_ali", tmp_path / "again", pool,
                          once)
    for name, array in model.nnet.to_arrays().items():
        np.testing.assert_array_equal(array, again.nnet.to_arrays()[name], err_msg=name)
    assert not np.array_equal(model.nnet.log_priors, first.nnet.log_priors)


def test_copies_are_gathered_with_their_originals_alignment(world, mono, tmp_path):
    original, copy = list(world[0].utterances)[:2]
    data = replace(world[0], tables={**world[0].tables, "utt2uniq": {copy: original}})
    ids = dict(read_ark(mono / "mono" / "ali.ark"))[original]
    data.tables["utt2silence"] = {copy: "0.05 0.12"}
    model = load_model(mono / "mono")
    tid_pdf = model.transitions.tid_pdf
    with executor(1) as pool:
        refs = write_blocks(data, world[2], model.normalization(data), tmp_path / "blocks", pool)
    frames = gather_frames(refs, PIPELINE, {original: ids}, model, data, 0.01, tmp_path / "f.npy")
    assert sorted(frames.utterances) == sorted([original, copy])
    assert frames.originals == [original] * 2
    assert frames.speakers == [data.utterances[original].speaker] * 2
    begin, end = frames.starts[frames.utterances.index(copy):][:2]
    inside = slice(begin + 5, end - 12)
    np.testing.assert_array_equal(frames.pdfs[inside], tid_pdf[stretched(ids, end - begin - 17)])
    around = {*frames.pdfs[begin:begin + 5], *frames.pdfs[end - 12:end]}
    (silence,) = around
    assert silence in model.silence_pdfs


def test_aligns_as_the_system_it_learned_from(world, mono, trained, tmp_path):
    with executor(2) as pool:
        align_set(world[0], world[2], trained[1], tmp_path, pool)
    same = total = 0
    theirs = dict(read_ark(mono / "mono" / "ali.ark"))
    for name, ids in read_ark(tmp_path / "ali.ark"):
        same, total = same + int((ids == theirs[name]).sum()), total + len(ids)
    assert same / total > 0.85


def test_other_speech_needs_no_alignment(world, mono, tmp_path):
    """Utterances of the unknown word alone: loud frames are its phone, the others nothing."""
    data, lang = world[0], world[2]
    names = list(data.utterances)[:4]
    other = {f"other-{name}": replace(data.utterances[name], utterance=f"other-{name}",
                                      speaker="other", words=(lang.word_name(lang.oov),))
             for name in names}
    tables = {table: {**rows, **{f"other-{name}": rows[name] for name in names if name in rows}}
              for table, rows in data.tables.items()}
    both = replace(data, utterances=in_order([*data.utterances.values(), *other.values()]),
                   tables=tables)
    (tmp_path / "net").write_text(SMALL)
    model = train_dnn(both, lang, mono / "mono", tmp_path / "dnn", SerialExecutor(),
                      DnnOptions(network=str(tmp_path / "net"), num_epochs=8, held_out=0.3,
                                 cmvn="none", initial_learning_rate=0.01,
                                 final_learning_rate=0.001))
    (pdf,) = {pdf for phone, state, pdf in model.transitions.tuples.tolist()
              if lang.phone_name(phone) == "SPN" and state == 0}
    assert load_model(tmp_path / "dnn").noise_pdf == pdf
    assert pdf not in model.silence_pdfs
    assert 0 < model.info["noise_hours"] < model.info["hours"]
    held = (tmp_path / "dnn" / "held_out").read_text().split()
    assert held
    assert not any(name.startswith("other-") for name in held)
    plain = train_dnn(data, lang, mono / "mono", tmp_path / "plain", SerialExecutor(),
                      DnnOptions(network=str(tmp_path / "net"), num_epochs=1, cmvn="none"))
    assert plain.noise_pdf is None
    assert pdf in plain.silence_pdfs


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


def test_a_network_learns_from_a_teacher(world, mono, trained, tmp_path):
    """With the teacher's posteriors alone it comes nearer to them than by the classes alone."""
    data, lang = world[0], world[2]
    (mono / "small.conf").write_text("splice offsets=-1:1\naffine dim=6\nrelu\noutput\n")
    options = DnnOptions(network=str(mono / "small.conf"), num_epochs=6, minibatch_size=32,
                         initial_learning_rate=0.01, final_learning_rate=0.001, silence_share=0.5)
    taught = replace(options, teacher=str(trained[1]), teacher_weight=1.0, temperature=1.0)
    alone = train_dnn(data, lang, mono / "mono", tmp_path / "alone", SerialExecutor(), options)
    pupil = train_dnn(data, lang, mono / "mono", tmp_path / "pupil", SerialExecutor(), taught)
    teacher, feats = trained[0].nnet, np.random.default_rng(0).normal(size=(200, alone.nnet.dim))
    feats = teacher.shift + feats.astype(np.float32) / teacher.scale
    expected = np.exp(teacher.log_posteriors(feats))
    far, near = (-(expected * model.nnet.log_posteriors(feats)).sum() for model in (alone, pupil))
    assert near < far
    with pytest.raises(UserError, match="nowhere: no such model"):
        train_dnn(data, lang, mono / "mono", tmp_path / "x", SerialExecutor(),
                  replace(options, teacher="nowhere"))
    with pytest.raises(UserError, match="a teacher is a network"):
        train_dnn(data, lang, mono / "mono", tmp_path / "x", SerialExecutor(),
                  replace(options, teacher=str(mono / "mono")))
    with pytest.raises(UserError, match="teacher_weight is 0"):
        DnnOptions(teacher_weight=0)
