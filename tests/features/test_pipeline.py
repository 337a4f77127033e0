"""The feature recipe: files of a set, the same rows for any executor, faults named."""

import dataclasses
import json
import logging

import numpy as np
import pytest
import soundfile

from hybridasr.corpus.datadir import Utterance, read_datadir, write_datadir
from hybridasr.corpus.subsets import subset
from hybridasr.errors import UserError
from hybridasr.features import feature_set as room
from hybridasr.features.archives import read_scp, write_matrices
from hybridasr.features.cmvn import cmvn_stats
from hybridasr.features.feature_kind import check_features
from hybridasr.features.feature_set import load_feats, make_feats
from hybridasr.features.front_end import FrontEnd
from hybridasr.features.mfcc import FeatureOptions, compute_features
from hybridasr.features.normalization import set_normalization, utterance_stats
from hybridasr.features.online_cmvn import training_prior
from hybridasr.features.pipeline import PipelineOptions, feature_dim
from hybridasr.features.transforms import add_deltas, splice
from hybridasr.parallel import executor

OPTIONS = FeatureOptions(sample_rate=8000)
BY_SPEAKER = PipelineOptions(cmvn="speaker")


def loaded(data, options, known="all", pool=None):
    """What a model sees of a set."""
    return load_feats(data, set_normalization(data, OPTIONS, options, known=known), pool)


def recording(samples, options, prior=None):
    return FrontEnd.of(OPTIONS, options, prior).recording(samples)[0].features


def samples_of(utterance, length=3000):
    random = np.random.default_rng(len(utterance) + ord(utterance[-1]) * 7 + ord(utterance[0]))
    return (2000 * random.standard_normal(length)).astype(np.int16)


def make_set(path, lengths):
    """A data directory of noise; `lengths` maps 'speaker-n' to a number of samples at 8 kHz."""
    utterances = []
    for utterance, length in lengths.items():
        wav = path.parent / f"{utterance}.wav"
        soundfile.write(wav, samples_of(utterance, length), 8000, subtype="PCM_16")
        speaker = utterance.split("-")[0]
        utterances.append(Utterance(utterance, speaker, ("w",), utterance, str(wav)))
    return write_datadir(path, utterances)


@pytest.fixture
def small_set(tmp_path):
    return make_set(tmp_path / "train", {"a-1": 3000, "a-2": 2500, "b-1": 4000})


def test_files_of_a_set(small_set):
    with executor(1) as pool:
        made = make_feats(small_set, OPTIONS, pool)
    path = small_set.path
    assert made.path == path
    assert list(made.utterances) == ["a-1", "a-2", "b-1"]
    raw = read_scp(path / "feats.scp")
    expected = {u: compute_features(samples_of(u, n), OPTIONS, u)
                for u, n in {"a-1": 3000, "a-2": 2500, "b-1": 4000}.items()}
    for utterance, features in expected.items():
        np.testing.assert_array_equal(raw[utterance], features)
    assert (path / "utt2num_frames").read_text() == "a-1 36\na-2 29\nb-1 48\n"
    assert (path / "utt2dur").read_text() == "a-1 0.375\na-2 0.312\nb-1 0.500\n"
    assert (path / "frame_shift").read_text() == "0.01\n"
    assert json.loads((path / "feature.json").read_text())["sample_rate"] == 8000
    stats = read_scp(path / "cmvn.scp")
    assert list(stats) == ["a", "b"]
    both = np.concatenate([expected["a-1"], expected["a-2"]]).astype(np.float64)
    np.testing.assert_allclose(stats["a"][0], [*both.sum(axis=0), 65], rtol=1e-12, atol=0)
    np.testing.assert_allclose(stats["a"][1], [*(both ** 2).sum(axis=0), 0], rtol=1e-12, atol=0)
    # Read back from the files the set is as it was returned.
    assert read_datadir(path).tables == made.tables


def test_rows_do_not_depend_on_jobs(small_set, monkeypatch):
    monkeypatch.setattr(room, "BLOCK_UTTERANCES", 2)
    with executor(1) as pool:
        one = make_feats(small_set, OPTIONS, pool)
    names = ("feats.ark", "feats.scp", "cmvn.ark", "cmvn.scp", "utt2dur", "feature.json")
    before = {name: (small_set.path / name).read_bytes() for name in names}
    alone = dict(loaded(one, PipelineOptions()))
    with executor(2) as pool:
        two = make_feats(small_set, OPTIONS, pool)
        ahead = dict(loaded(two, PipelineOptions(), pool=pool))
    assert {name: (small_set.path / name).read_bytes() for name in names} == before
    assert list(ahead) == list(alone) == ["a-1", "a-2", "b-1"]
    for utterance, features in alone.items():
        np.testing.assert_array_equal(ahead[utterance], features)


def test_load_feats_normalises_per_speaker(small_set):
    with executor(1) as pool:
        made = make_feats(small_set, OPTIONS, pool)
    rows = dict(loaded(made, PipelineOptions(cmvn="speaker", delta_order=1)))
    assert rows["a-1"].shape == (36, 26)
    assert rows["a-1"].dtype == np.float32
    speaker = np.concatenate([rows["a-1"], rows["a-2"]])[:, :13]
    np.testing.assert_allclose(speaker.mean(axis=0), 0, rtol=0, atol=1e-4)
    assert np.abs(rows["a-1"][:, :13].mean(axis=0)).max() > 1e-3
    part = subset(made, utterances=["b-1"])
    ((only, features),) = loaded(part, PipelineOptions(cmvn="speaker", delta_order=1))
    assert only == "b-1"
    np.testing.assert_array_equal(features, rows["b-1"])


def test_recipe_in_order(monkeypatch):
    samples = samples_of("a-1")
    raw = compute_features(samples, OPTIONS)
    centred = raw - raw.mean(axis=0, dtype=np.float64).astype(np.float32)
    options = PipelineOptions(cmvn="utterance", splice_left=1, splice_right=2, delta_order=1)
    found = recording(samples, options)
    np.testing.assert_allclose(found, splice(add_deltas(centred, 1), 1, 2), rtol=1e-5, atol=1e-4)
    assert found.shape[1] == feature_dim(OPTIONS, options) == 13 * 2 * 4
    plain = PipelineOptions(cmvn="none", delta_order=0)
    np.testing.assert_array_equal(recording(samples, plain), raw)
    sliding = PipelineOptions(cmvn="sliding", delta_order=0, cmvn_window=5, cmvn_min_window=3)
    np.testing.assert_allclose(recording(samples, sliding)[20],
                               raw[20] - raw[15:21].mean(axis=0), rtol=1e-4, atol=1e-4)
    scaled = recording(samples, dataclasses.replace(options, norm_vars=True))
    np.testing.assert_allclose(scaled[:, 26:39].std(axis=0), 1, rtol=1e-4, atol=0)


@pytest.mark.parametrize("cmvn", ["online", "speaker", "utterance", "sliding", "none"])
def test_one_recording_is_recognised_as_a_set_of_one(tmp_path, cmvn):
    data = make_set(tmp_path / "one", {"a-1": 3000})
    options = PipelineOptions(cmvn=cmvn, splice_left=1)
    features = dataclasses.replace(OPTIONS, dither=0.0)
    with executor(1) as pool:
        made = make_feats(data, features, pool)
    stats = utterance_stats(made, features)
    prior = training_prior(stats.values()).to_array()
    if cmvn == "speaker":
        prior = cmvn_stats(np.ones((7, 13)))
    normalization = set_normalization(made, features, options, prior, "none")
    ((_, expected),) = load_feats(made, normalization)
    front_end = FrontEnd.of(features, options, prior)
    (found, levels), before = front_end.recording(samples_of("a-1"))
    assert levels.shape == (len(found),)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    if cmvn == "online":
        np.testing.assert_allclose(before.to_array(), stats["a-1"].to_array(), rtol=1e-6)
    else:
        assert before is None
    (empty, _), before = front_end.recording(np.zeros(10))
    assert empty.shape == (0, feature_dim(features, options))
    assert empty.dtype == np.float32
    assert before is None


def test_too_short_utterances_are_left_out_and_named(tmp_path, caplog):
    data = make_set(tmp_path / "test", {"a-1": 3000, "a-2": 100, "c-1": 1})
    with executor(1) as pool, caplog.at_level(logging.WARNING, "hybridasr"):
        made = make_feats(data, OPTIONS, pool)
    assert list(made.utterances) == ["a-1"]
    assert "2 utterances are shorter than one frame (25 ms): a-2, c-1" in caplog.text
    assert list(read_scp(data.path / "cmvn.scp")) == ["a"]
    caplog.clear()
    with caplog.at_level(logging.WARNING, "hybridasr"):
        rows = dict(loaded(read_datadir(data.path), PipelineOptions()))
    assert list(rows) == ["a-1"]
    assert "2 utterances have no features: a-2, c-1" in caplog.text


def test_nothing_but_short_utterances_is_an_error(tmp_path):
    data = make_set(tmp_path / "test", {"a-1": 100, "a-2": 100})
    with executor(1) as pool, pytest.raises(UserError, match="none of the 2 utterances"):
        make_feats(data, OPTIONS, pool)
    assert not (data.path / "feature.json").exists()
    assert not (data.path / "feats.scp").exists()


def test_features_of_other_utterances_are_an_error(small_set):
    write_matrices(small_set.path / "feats.ark", small_set.path / "feats.scp",
                   [("z-1", np.ones((3, 2), np.float32))])
    with pytest.raises(UserError, match="none of the 3 utterances has features"):
        list(loaded(small_set, PipelineOptions(cmvn="none")))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_bad_recording_is_named(small_set, jobs):
    (small_set.path.parent / "a-2.wav").write_bytes(b"this is no recording")
    with executor(jobs) as pool, pytest.raises(UserError, match=r"'a-2'.*a-2\.wav"):
        make_feats(small_set, OPTIONS, pool)
    assert not (small_set.path / "feats.scp").exists()


def test_features_of_kaldi_are_loaded(small_set):
    rows = {u: np.full((4, 2), i, np.float32) for i, u in enumerate(small_set.utterances)}
    write_matrices(small_set.path / "feats.ark", small_set.path / "feats.scp", rows.items())
    options = PipelineOptions(cmvn="none", delta_order=0)
    found = dict(loaded(small_set, options))
    np.testing.assert_array_equal(found["b-1"], rows["b-1"])
    with pytest.raises(UserError, match=r"cmvn\.scp.*make-feats"):
        list(loaded(small_set, BY_SPEAKER))
    write_matrices(small_set.path / "cmvn.ark", small_set.path / "cmvn.scp",
                   [("a", np.ones((2, 3)))])
    with pytest.raises(UserError, match="speaker 'b' has no CMVN statistics"):
        list(loaded(small_set, BY_SPEAKER))
    write_matrices(small_set.path / "feats.ark", small_set.path / "feats.scp",
                   [("a-1", np.ones(3))])
    with pytest.raises(UserError, match="'a-1' is a vector"):
        list(loaded(small_set, options))


def test_features_not_made_yet(small_set):
    with pytest.raises(UserError, match=r"feats\.scp: no such file; run 'hybridasr make-feats"):
        list(loaded(small_set, PipelineOptions(cmvn="none")))


def test_features_of_another_kind_are_refused(small_set):
    with executor(1) as pool:
        make_feats(small_set, OPTIONS, pool)
    path = small_set.path
    check_features(path, OPTIONS)
    check_features(path, dataclasses.replace(OPTIONS, dither=0.0, seed=3, use_energy=True))
    with pytest.raises(UserError, match="sample_rate expected 16000, found 8000.*make-feats"):
        check_features(path, FeatureOptions())
    with pytest.raises(UserError, match="use_energy expected False, found True"):
        check_features(path, dataclasses.replace(OPTIONS, use_energy=False))
    (path / "feature.json").unlink()
    check_features(path, OPTIONS)
    with pytest.raises(UserError, match="13 columns found, 40 expected"):
        check_features(path, FeatureOptions(kind="fbank", num_mel_bins=40))


@pytest.mark.parametrize(("changes", "message"), [
    ({"cmvn": "global"}, "cmvn is 'global'.*online, speaker"),
    ({"delta_order": -1}, "delta_order is -1"),
    ({"cmvn_window": 0}, "cmvn_window is 0"),
])
def test_options_out_of_range_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        PipelineOptions(**changes)


def test_a_failed_run_leaves_no_options_to_trust(small_set):
    with executor(1) as pool:
        make_feats(small_set, OPTIONS, pool)
        (small_set.path.parent / "b-1.wav").unlink()
        with pytest.raises(UserError, match=r"b-1\.wav"):
            make_feats(small_set, dataclasses.replace(OPTIONS, num_ceps=12), pool)
    assert not (small_set.path / "feature.json").exists()


def test_prior_steadies_the_mean_of_a_single_recording():
    samples = samples_of("a-1")
    raw = compute_features(samples, OPTIONS)
    prior = cmvn_stats(raw + 3.0) * 7  # any number of frames: only its mean counts
    options = PipelineOptions(cmvn="speaker", delta_order=0, cmvn_prior_frames=25)
    own, frames = raw.mean(0), len(raw)
    mean = (frames * own + 25 * (own + 3.0)) / (frames + 25)
    np.testing.assert_allclose(recording(samples, options, prior), raw - mean, rtol=1e-4, atol=1e-3)
    without = PipelineOptions(cmvn="speaker", delta_order=0, cmvn_prior_frames=0)
    np.testing.assert_allclose(recording(samples, without, prior), raw - own, rtol=1e-4, atol=1e-3)
