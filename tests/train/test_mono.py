"""Monophone training in a small world whose right answers are known."""

import logging
import re

import numpy as np
import pytest
from small_world import FEATURES, PIPELINE, write_set

from hybridasr.corpus.datadir import Utterance
from hybridasr.errors import UserError
from hybridasr.features.archives import read_scp
from hybridasr.features.feature_set import load_feats
from hybridasr.features.pipeline import Frames
from hybridasr.graph.compose import make_hclg
from hybridasr.lm.grammar import command_grammar
from hybridasr.model.directory import load_model, save_model
from hybridasr.options import build_options, change_options
from hybridasr.parallel import executor
from hybridasr.recognize.graph_grammar import GraphGrammar
from hybridasr.recognize.recognizer import Recognizer
from hybridasr.storage import read_arrays
from hybridasr.train import em
from hybridasr.train.mono import MonoOptions, train_mono

OPTIONS = build_options(MonoOptions, num_iters=14, max_iter_inc=8, totgauss=40,
                        realign_iters="1 2 3 4 5 7 9 11 13")


def train(world, path, nj=1, options=OPTIONS, data=None):
    with executor(nj) as pool:
        return train_mono(data or world[0], world[2], FEATURES, PIPELINE, path, pool, options)


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    """(directory, model, messages of the training)."""
    path = tmp_path_factory.mktemp("mono")
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger("hybridasr")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        model = train(world, path)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return path, model, lines


def test_recognises_what_it_never_heard(world, trained):
    model = trained[1]
    names = [w for w in model.lang.words if w in ("da", "ta", "dai", "tai")]
    grammar = command_grammar([(name,) for name in names], model.lang.words, loop=True)
    graph = make_hclg(model.lang, grammar, model.transitions, model.tree)
    recognizer = Recognizer(model, GraphGrammar.of(model, graph))
    wrong = 0
    for utterance, feats in load_feats(world[1], model.normalization(world[1])):
        decoded = recognizer.decode(Frames(feats, np.zeros(len(feats))))
        wrong += tuple(decoded.words) != world[1].utterances[utterance].words
        assert decoded.complete
        times = [t for _, begin, end in decoded.times for t in (begin, end)]
        assert times == sorted(times)
        assert [word for word, _, _ in decoded.times] == decoded.words
    assert wrong == 0


def test_likelihood_falls_only_where_mixtures_were_split(trained):
    lines = [re.match(r"iteration (\d+): log likelihood a frame (-?[\d.]+).*now (\d+) gaussians",
                      line) for line in trained[2]]
    rows = [(int(m[1]), float(m[2]), int(m[3])) for m in lines if m]
    assert [row[0] for row in rows] == list(range(OPTIONS.em.num_iters))
    grown = [b[2] > a[2] for a, b in zip(rows[:-1], rows[1:], strict=True)]
    for before, after, split in zip(rows[:-1], rows[1:], [False, *grown], strict=False):
        if not split:
            assert after[1] >= before[1] - 1e-3, (before, after)
    assert rows[-1][2] > rows[0][2]
    assert rows[-1][1] > rows[1][1]


def test_any_number_of_jobs_gives_the_same_model(world, trained, tmp_path):
    train(world, tmp_path / "two", nj=2)
    ours, theirs = read_arrays(trained[0] / "gmm.npz"), read_arrays(tmp_path / "two" / "gmm.npz")
    for name, values in ours.items():
        np.testing.assert_array_equal(values, theirs[name])


@pytest.mark.parametrize("stop_after", [1, 6, 12])
def test_interrupted_training_ends_in_the_same_model(world, trained, tmp_path, monkeypatch,
                                                     stop_after):
    real, saved = em.save_checkpoint, []

    def interrupted(*args):
        real(*args)
        saved.append(args)
        if len(saved) == stop_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(em, "save_checkpoint", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(world, tmp_path)
    assert not (tmp_path / "model.json").exists()
    train(world, tmp_path)
    # The second run only did what was left.
    assert len(saved) == OPTIONS.em.num_iters - 2
    ours, theirs = read_arrays(trained[0] / "gmm.npz"), read_arrays(tmp_path / "gmm.npz")
    for name, values in ours.items():
        np.testing.assert_array_equal(values, theirs[name])
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(("checkpoint", "blocks"))] == []


def test_a_checkpoint_of_other_options_is_not_used(world, tmp_path, monkeypatch):
    short = change_options(OPTIONS, num_iters=3)
    real = em.save_checkpoint
    monkeypatch.setattr(em, "save_checkpoint", lambda *args: (real(*args), _stop()))
    with pytest.raises(KeyboardInterrupt):
        train(world, tmp_path, options=change_options(short, totgauss=20))
    monkeypatch.setattr(em, "save_checkpoint", real)
    resumed = train(world, tmp_path, options=short)
    fresh = train(world, tmp_path / "fresh", options=short)
    np.testing.assert_array_equal(resumed.gmm.means, fresh.gmm.means)


def _stop():
    raise KeyboardInterrupt


def with_extra(world, path, name, words, feats):
    """The training set and one more utterance."""
    data = world[0]
    known = read_scp(data.path / "feats.scp")
    rows = {u: known[u] for u in data.utterances} | {name: feats}
    extra = Utterance(name, "s9", words, name, "/nowhere/extra.wav")
    return write_set(path, [*data.utterances.values(), extra], rows)


def test_too_short_utterances_are_named_and_left_out(world, tmp_path, caplog):
    data = with_extra(world, tmp_path / "data", "s9-short", ("dai", "tai"),
                      np.zeros((4, 13), np.float32))
    with caplog.at_level(logging.DEBUG, logger="hybridasr"):
        model = train(world, tmp_path / "mono", options=change_options(OPTIONS, num_iters=3),
                      data=data)
    assert model.info["unaligned"] == 1
    assert "not aligned: s9-short" in caplog.text
    assert "failed 1 of 49" in caplog.text


def test_unknown_words_are_spoken_noise(world, tmp_path):
    data = with_extra(world, tmp_path / "data", "s9-new", ("da", "unheard"),
                      np.random.default_rng(0).normal(size=(60, 13)).astype(np.float32))
    model = train(world, tmp_path / "mono", options=change_options(OPTIONS, num_iters=3), data=data)
    assert model.info["unaligned"] == 0


def test_nothing_can_be_aligned(world, tmp_path):
    utterance = Utterance("s-1", "s", ("dai",), "s-1", "/nowhere/x.wav")
    data = write_set(tmp_path / "data", [utterance], {"s-1": np.zeros((3, 13), np.float32)})
    with pytest.raises(UserError, match="no utterance could be aligned.*s-1.*check text and audio"):
        train(world, tmp_path / "mono", data=data)


def test_model_directory(world, trained, tmp_path):
    model = load_model(trained[0])
    np.testing.assert_array_equal(model.gmm.means, trained[1].gmm.means)
    np.testing.assert_array_equal(model.transitions.log_probs, trained[1].transitions.log_probs)
    assert model.tree == trained[1].tree
    assert model.features == FEATURES
    assert model.lang.words == world[2].words
    save_model(model, tmp_path / "copy")
    again = load_model(tmp_path / "copy")
    np.testing.assert_array_equal(again.gmm.variances, model.gmm.variances)
    text = (tmp_path / "copy" / "model.json").read_text()
    (tmp_path / "copy" / "model.json").write_text(text.replace('"format": 1', '"format": 99'))
    with pytest.raises(UserError, match="model format 99, this version reads up to 1; upgrade"):
        load_model(tmp_path / "copy")
    (tmp_path / "copy" / "model.json").write_text(text.replace('"tree"', '"bush"'))
    with pytest.raises(UserError, match="entry 'tree' is missing"):
        load_model(tmp_path / "copy")
    (tmp_path / "copy" / "model.json").write_text(text)
    (tmp_path / "copy" / "gmm.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(UserError, match="damaged array file"):
        load_model(tmp_path / "copy")
    with pytest.raises(UserError, match="no model.json there"):
        load_model(tmp_path)


@pytest.mark.parametrize(("values", "message"), [
    ({"num_iters": 0}, "num-iters 0"), ({"realign_iters": "1 two"}, "must be numbers")])
def test_options(values, message):
    with pytest.raises(UserError, match=message):
        build_options(MonoOptions, **values)
