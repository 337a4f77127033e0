"""The systems above the monophones: they train, adapt and decode, whatever the number of jobs."""

import logging
import re
from dataclasses import replace

import numpy as np
import pytest
from small_world import FEATURES, PIPELINE, build_graph, write_set

from hybridasr.batch.align_set import OutputOptions, align_set
from hybridasr.corpus.datadir import Utterance
from hybridasr.errors import UserError
from hybridasr.evaluation.evaluate import decode_set
from hybridasr.features.archives import read_ark, read_scp, write_matrices
from hybridasr.features.pipeline import expand
from hybridasr.gmm.fmllr import FmllrStats, accumulate_fmllr, estimate_fmllr
from hybridasr.lexicon.langdir import prepare_lang
from hybridasr.lexicon.lexicon import Pronunciation, make_lexicon
from hybridasr.lexicon.phones import default_phone_set
from hybridasr.model.adaptation import AdaptOptions, adapt_speaker
from hybridasr.model.directory import load_model, save_model
from hybridasr.options import build_options
from hybridasr.output.ctm import read_ctm
from hybridasr.output.textgrid import read_textgrid
from hybridasr.parallel import executor
from hybridasr.train import em
from hybridasr.train.ladder import TRAINERS
from hybridasr.train.mono import MonoOptions, train_mono

SIZES = {"num_iters": 9, "max_iter_inc": 5, "totgauss": 60, "numleaves": 25, "thresh": 20.0,
         "realign_iters": "3 6"}
MORE = {"deltas": {"delta_order": 1}, "lda-mllt": {"dim": 9, "context": 1, "mllt_iters": "2 4"},
        "sat": {"fmllr_iters": "2 4", "fmllr_min_count": 100.0}, "quick": {}}
CHAIN = ("mono", "deltas", "lda-mllt", "sat", "quick")


def train(kind, data, lang, source, path, nj=1, **more):
    options = build_options(TRAINERS[kind].options, **{**SIZES, **MORE[kind], **more})
    with executor(nj) as pool:
        return TRAINERS[kind].train(data, lang, source, path, pool, options)


def mono(data, lang, path, nj=1):
    with executor(nj) as pool:
        return train_mono(data, lang, FEATURES, PIPELINE, path, pool,
                          build_options(MonoOptions, num_iters=10, max_iter_inc=6, totgauss=40))


def shifted(data, path, seed=5, far=2):
    """The set with every speaker's features moved and turned in a way of their own."""
    rng = np.random.default_rng(seed)
    ways = {s: (np.eye(13) + 0.1 * rng.normal(size=(13, 13)), far * rng.normal(size=13))
            for s in data.speakers}
    known = read_scp(data.path / "feats.scp")
    feats = {}
    for name, utterance in data.utterances.items():
        matrix, offset = ways[utterance.speaker]
        feats[name] = (known[name] @ matrix.T + offset).astype(np.float32)
    return write_set(path, list(data.utterances.values()), feats)


@pytest.fixture(scope="module")
def ladder(world, tmp_path_factory):
    """(train data, test data, lang, directory of exp): every rung, speakers that differ."""
    root = tmp_path_factory.mktemp("ladder")
    sets = [shifted(data, root / name) for name, data in zip(("train", "test"), world[:2],
                                                             strict=True)]
    mono(sets[0], world[2], root / "exp" / "mono")
    for source, kind in zip(CHAIN[:-1], CHAIN[1:], strict=True):
        train(kind, sets[0], world[2], root / "exp" / source, root / "exp" / kind)
    return *sets, world[2], root / "exp"


def errors(exp, data, **adapt):
    """Count the utterances decoded wrongly by a loop of all words."""
    model = load_model(exp)
    build_graph(model, exp / "graph", "loop")
    from hybridasr.decode.search import SearchOptions
    with executor(1) as pool:
        found = decode_set(exp, exp / "graph", data, exp / "decode", SearchOptions(), pool,
                           AdaptOptions(**adapt))
    return sum(tuple(words) != data.utterances[name].words for name, words in found.items())


@pytest.mark.parametrize("kind", CHAIN[1:])
def test_every_rung_decodes(ladder, kind):
    assert errors(ladder[3] / kind, ladder[1]) <= 1


def test_adaptation_pays_where_speakers_differ(ladder, world, tmp_path):
    model = load_model(ladder[3] / "sat")
    assert model.adaptation is not None
    transforms = dict(read_ark(ladder[3] / "sat" / "trans.ark"))
    assert sorted(transforms) == ["s0", "s1", "s2"]
    assert all(t.shape == (9, 10) for t in transforms.values())
    unlike = shifted(world[1], tmp_path / "unlike", seed=6, far=4)
    assert errors(ladder[3] / "sat", unlike, fmllr_passes=0) >= 3
    assert errors(ladder[3] / "sat", unlike, fmllr_min_count=50) <= 1


def test_all_utterances_of_a_speaker_count_for_the_transform(ladder):
    model, data = load_model(ladder[3] / "sat"), ladder[0]
    known, paths = read_scp(data.path / "feats.scp"), dict(read_ark(ladder[3] / "sat" / "ali.ark"))
    names = data.speakers["s1"]
    feats = [model.final_features(expand(known[name], model.pipeline)) for name in names]
    calls = []

    def find(number, frames, scorer):
        calls.append(number)
        return None if number == 3 else paths[names[number]]

    options = AdaptOptions(fmllr_passes=1, silence_weight=0.5, prior_frames=100)
    transform = adapt_speaker(model, feats, find, options)
    assert calls == 2 * list(range(len(names)))
    stats = FmllrStats.zeros(9)
    for number, frames in enumerate(feats):
        if number != 3:
            pdfs = model.transitions.tid_pdf[paths[names[number]]]
            weights = np.array([0.5 if pdf in model.silence_pdfs else 1.0 for pdf in pdfs])
            accumulate_fmllr(model.gmm, frames, pdfs, stats, weights, model.adaptation.gmm)
    expected, _ = estimate_fmllr(stats.plus(model.adaptation.prior, 100))
    np.testing.assert_allclose(transform, expected, rtol=0, atol=1e-3)
    assert np.abs(transform - np.eye(9, 10)).max() > 0.1
    calls.clear()
    least = replace(options, fmllr_min_count=stats.beta)
    assert adapt_speaker(model, feats, find, least) is None
    assert calls == list(range(len(names)))


def log_likelihoods(exp):
    lines = re.findall(r"iteration (\d+): log likelihood a frame (-?[\d.]+).*now (\d+)", exp)
    return [(int(i), float(v), int(n)) for i, v, n in lines]


@pytest.mark.parametrize("kind", CHAIN[1:])
def test_em_never_lowers_the_likelihood(ladder, kind, tmp_path, caplog):
    """Splits apart, which move means on purpose, and transforms, which change the features."""
    data, _, lang, exp = ladder
    source = exp / CHAIN[CHAIN.index(kind) - 1]
    quiet = {"lda-mllt": {"mllt_iters": ""}, "sat": {"fmllr_iters": ""}}.get(kind, {})
    with caplog.at_level(logging.DEBUG, logger="hybridasr"):
        train(kind, data, lang, source, tmp_path, totgauss=1, realign_iters="", **quiet)
    rows = log_likelihoods(caplog.text)
    assert len(rows) == 8
    # Without splits and new alignments only removed Gaussians could lower it; there are none.
    assert all(b[1] >= a[1] - 1e-3 for a, b in zip(rows[:-1], rows[1:], strict=True))
    if kind != "quick":  # which starts from the old mixtures, not from the leaves' Gaussians
        assert abs(rows[-1][1] - rows[1][1]) < 0.02


@pytest.mark.parametrize("kind", CHAIN[1:])
def test_any_number_of_jobs_gives_the_same_model(ladder, kind, tmp_path):
    data, _, lang, exp = ladder
    train(kind, data, lang, exp / CHAIN[CHAIN.index(kind) - 1], tmp_path, nj=2)
    ours, theirs = load_model(exp / kind), load_model(tmp_path)
    assert ours.tree == theirs.tree
    for name in ("means", "variances", "weights", "offsets"):
        np.testing.assert_array_equal(getattr(ours.gmm, name), getattr(theirs.gmm, name))
    np.testing.assert_array_equal(ours.transitions.log_probs, theirs.transitions.log_probs)
    for mine, other in zip(read_ark(exp / kind / "ali.ark"), read_ark(tmp_path / "ali.ark"),
                           strict=True):
        np.testing.assert_array_equal(mine[1], other[1])


@pytest.mark.parametrize(("kind", "after"), [("deltas", 1), ("lda-mllt", 3), ("sat", 4),
                                             ("quick", 5)])
def test_interrupted_training_ends_in_the_same_model(ladder, kind, after, tmp_path, monkeypatch):
    data, _, lang, exp = ladder
    real, saved = em.save_checkpoint, []

    def interrupted(*args):
        real(*args)
        saved.append(args)
        if len(saved) == after:
            raise KeyboardInterrupt

    monkeypatch.setattr(em, "save_checkpoint", interrupted)
    source = exp / CHAIN[CHAIN.index(kind) - 1]
    with pytest.raises(KeyboardInterrupt):
        train(kind, data, lang, source, tmp_path)
    assert not (tmp_path / "model.json").exists()
    train(kind, data, lang, source, tmp_path)
    assert len(saved) == SIZES["num_iters"] - 2
    ours, theirs = load_model(exp / kind), load_model(tmp_path)
    np.testing.assert_array_equal(ours.gmm.means, theirs.gmm.means)
    if ours.transform is not None:
        np.testing.assert_array_equal(ours.transform, theirs.transform)


def test_models_are_read_as_they_were_written(ladder):
    for kind in CHAIN[1:]:
        model = load_model(ladder[3] / kind)
        assert (model.transform is None) == (kind == "deltas")
        assert (model.adaptation is None) == (kind in ("deltas", "lda-mllt"))
        assert model.tree.context_width == 3
        assert set(model.info["seconds"]) >= {"prepare", "tree", "accumulate", "update", "align"}


def one_speaker(data, path, count=None):
    """The set as if a single speaker had said it all."""
    known = read_scp(data.path / "feats.scp")
    chosen = list(data.utterances.values())[:count]
    return write_set(path, [replace(u, speaker="s") for u in chosen],
                     {u.utterance: known[u.utterance] for u in chosen})


def test_a_corpus_with_one_speaker(world, tmp_path):
    data, lang = one_speaker(world[0], tmp_path / "data"), world[2]
    mono(data, lang, tmp_path / "mono")
    train("lda-mllt", data, lang, tmp_path / "mono", tmp_path / "lda")
    train("sat", data, lang, tmp_path / "lda", tmp_path / "sat")
    assert errors(tmp_path / "sat", world[1]) <= 1


def test_speakers_with_too_little_speech(ladder, tmp_path, caplog):
    data, _, lang, exp = ladder
    known = read_scp(data.path / "feats.scp")
    first = next(iter(data.utterances.values()))
    alone = Utterance("z-short", "z", first.words, "z-short", "/nowhere/z.wav")
    more = write_set(tmp_path / "data", [*data.utterances.values(), alone],
                     {**{u: known[u] for u in data.utterances}, "z-short": known[first.utterance]})
    with executor(1) as pool:
        align_set(more, lang, exp / "lda-mllt", tmp_path / "ali", pool)
    with caplog.at_level(logging.DEBUG, logger="hybridasr"):
        model = train("sat", more, lang, tmp_path / "ali", tmp_path / "sat")
    assert "too little speech of z" in caplog.text
    assert model.info["unaligned"] == 0
    assert "z" not in dict(read_ark(tmp_path / "sat" / "trans.ark"))
    with caplog.at_level(logging.WARNING, logger="hybridasr"):
        model = train("sat", more, lang, tmp_path / "ali", tmp_path / "none",
                      fmllr_min_count=1e6)
    assert "no speaker has the 1e+06 frames" in caplog.text
    assert not (tmp_path / "none" / "trans.ark").exists()
    assert errors(tmp_path / "none", ladder[1]) <= 1


def test_a_silent_utterance_of_a_speaker_of_its_own(ladder, tmp_path):
    _, test, lang, exp = ladder
    silence = np.repeat(read_scp(test.path / "feats.scp")[next(iter(test.utterances))][:1], 30, 0)
    data = write_set(tmp_path / "data", [Utterance("q-1", "q", (), "q-1", "/nowhere/q.wav")],
                     {"q-1": silence})
    texts = []
    for passes in (0, 2):
        assert errors(exp / "sat", data, fmllr_passes=passes) == 1  # a loop has at least one word
        texts.append((exp / "sat" / "decode" / "text").read_text())
    assert texts[0] == texts[1]
    with executor(1) as pool:
        align_set(data, lang, exp / "sat", tmp_path / "ali", pool,
                  adapt=AdaptOptions(silence_weight=0, fmllr_min_count=0))
    assert {row.symbol for row in read_ctm(tmp_path / "ali" / "phones.ctm")} == {"SIL"}
    assert not (tmp_path / "ali" / "trans.ark").exists()


def test_alignments_of_another_lexicon_are_refused(ladder, tmp_path):
    data, _, lang, exp = ladder
    for entries, message in (
            ({"da": "t a1", "ta": "d a1", "dai": "d ai4", "tai": "t ai4", "<UNK>": "SPN"},
             "its alignments are of another lexicon than .*: the one of '.*' has the phones .*"),
            ({"da": "b a1", "ta": "t a1", "dai": "d ai4", "tai": "t ai4", "<UNK>": "SPN"},
             "its alignments are of another lexicon than .*: phone '.*' is .* there and")):
        lexicon = make_lexicon({word: [Pronunciation(1.0, tuple(phones.split()))]
                                for word, phones in entries.items()})
        other = prepare_lang(lexicon, default_phone_set().covering(lexicon.phones),
                             tmp_path / f"lang{len(message)}")
        with pytest.raises(UserError, match=message):
            train("deltas", data, other, exp / "mono", tmp_path / "tri")


def test_sources_that_do_not_fit(ladder, tmp_path):
    data, test, lang, exp = ladder
    save_model(load_model(exp / "mono"), tmp_path / "model")
    with pytest.raises(UserError, match=r"no alignments \(ali.ark\) there; make them with"):
        train("deltas", data, lang, tmp_path / "model", tmp_path / "tri")
    write_matrices(tmp_path / "model" / "ali.ark", None, [("else", np.ones(4, np.int32))])
    with pytest.raises(UserError, match="of none of the utterances"):
        train("deltas", data, lang, tmp_path / "model", tmp_path / "tri")
    name = next(iter(data.utterances))
    write_matrices(tmp_path / "model" / "ali.ark", None, [(name, np.full(4, 9999, np.int32))])
    with pytest.raises(UserError, match="transition-ids that its model lacks"):
        train("deltas", data, lang, tmp_path / "model", tmp_path / "tri")
    with pytest.raises(UserError, match="LDA to 50 dimensions from 39"):
        train("lda-mllt", data, lang, exp / "deltas", tmp_path / "tri", dim=50)
    assert test is not None


@pytest.mark.parametrize("kind", ["mono", "deltas", "sat"])
def test_align_gives_what_the_training_gave(ladder, kind, tmp_path):
    data, _, lang, exp = ladder
    adapt = AdaptOptions(prior_frames=0, silence_weight=0)
    with executor(2) as pool:
        line = align_set(data, lang, exp / kind, tmp_path, pool, adapt=adapt,
                         output=OutputOptions(states=True, textgrid=True))
    assert f"{len(data)} utterances" in line
    same = total = 0
    for (name, ours), (other, theirs) in zip(read_ark(tmp_path / "ali.ark"),
                                             read_ark(exp / kind / "ali.ark"), strict=True):
        assert name == other
        same, total = same + int((ours == theirs).sum()), total + len(ours)
    assert same / total >= (0.97 if kind == "sat" else 1.0)
    words = {}
    for row in read_ctm(tmp_path / "words.ctm"):
        words.setdefault(row.recording, []).append(row.symbol)
    assert {u: tuple(words[u]) for u in data.utterances} == {
        u: data.utterances[u].words for u in data.utterances}
    name = next(iter(data.utterances))
    end, tiers = read_textgrid(tmp_path / "textgrid" / f"{name}.TextGrid")
    assert set(tiers) == {"words", "phones", "states"}
    frames = read_scp(data.path / "feats.scp")[name].shape[0]
    assert end == pytest.approx(frames * 0.01)
    for tier in ("phones", "states"):
        edges = [t for interval in tiers[tier] for t in interval[:2]]
        assert edges[0] == 0
        assert edges[1:-1:2] == pytest.approx(edges[2::2])
    assert len(tiers["states"]) >= 3 * len(tiers["phones"])
    assert (tmp_path / "outliers.txt").is_file()
    assert load_model(tmp_path).tree == load_model(exp / kind).tree


def test_the_next_system_starts_from_an_alignment_directory(ladder, tmp_path):
    data, _, lang, exp = ladder
    with executor(1) as pool:
        align_set(data, lang, exp / "sat", tmp_path / "ali", pool)
    model = train("quick", data, lang, tmp_path / "ali", tmp_path / "quick")
    assert model.adaptation is not None


def test_align_names_what_cannot_be_aligned(ladder, tmp_path, caplog):
    data, _, lang, exp = ladder
    known = read_scp(data.path / "feats.scp")
    short = Utterance("z-1", "z", ("dai", "tai"), "z-1", "/nowhere/z.wav")
    more = write_set(tmp_path / "data", [*data.utterances.values(), short],
                     {**{u: known[u] for u in data.utterances},
                      "z-1": np.zeros((5, 13), np.float32)})
    with executor(1) as pool:
        align_set(data, lang, exp / "sat", tmp_path / "ali", pool)
        assert (tmp_path / "ali" / "trans.ark").is_file()
        line = align_set(more, lang, exp / "deltas", tmp_path / "ali", pool)
        assert line.endswith("failed 1")
        assert (tmp_path / "ali" / "failed").read_text() == "z-1\n"
        report = (tmp_path / "ali" / "outliers.txt").read_text().splitlines()
        assert report[4].split()[:3] == ["z-1", "failed", "-"]
        assert not list((tmp_path / "ali").glob("trans.*"))  # deltas have no transforms
        align_set(data, lang, exp / "deltas", tmp_path / "ali", pool)
        assert not (tmp_path / "ali" / "failed").exists()
        alone = write_set(tmp_path / "alone", [short], {"z-1": np.zeros((5, 13), np.float32)})
        with pytest.raises(UserError, match="no utterance could be aligned"):
            align_set(alone, lang, exp / "deltas", tmp_path / "none", pool)
    assert "could not be aligned: z-1" in caplog.text
