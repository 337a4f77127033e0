"""Features in pieces: the frames of the whole recording, however it is cut."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_pitch import tone

from hybridasr.errors import UserError
from hybridasr.features.cmvn import cmvn_stats
from hybridasr.features.frames import FeatureOptions, num_frames
from hybridasr.features.front_end import FrontEnd
from hybridasr.features.mfcc import FeatureStream, compute_features
from hybridasr.features.online_cmvn import level_columns, speech_stats, training_prior
from hybridasr.features.pipeline import ExpandStream, PipelineOptions, expand
from hybridasr.features.pitch_stream import PitchStream, pitch_features

KINDS = {
    "mfcc": FeatureOptions(sample_rate=8000),
    "fbank": FeatureOptions(kind="fbank", sample_rate=8000, use_energy=True),
    "edges": FeatureOptions(sample_rate=8000, snip_edges=False),
    "apart": FeatureOptions(sample_rate=8000, frame_shift_ms=40.0),
    "apart and edges": FeatureOptions(sample_rate=8000, frame_shift_ms=40.0, snip_edges=False),
    "pitch": FeatureOptions(sample_rate=8000, pitch=True),
    "pitch at an odd rate": FeatureOptions(sample_rate=11025, pitch=True, pitch_look_ahead=4),
}
SAMPLES = np.round(tone(8000, 0.9)[0])


def in_pieces(stream, whole, cuts):
    """What a stream gives for a signal that is cut."""
    parts = [stream.accept(piece) for piece in np.split(whole, sorted(cuts))]
    return np.concatenate([*parts, stream.finish()])


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, deadline=None)
@given(length=st.integers(0, len(SAMPLES)), cuts=st.lists(st.integers(0, 8000), max_size=30))
def test_cuts_of_the_samples_change_no_frame(kind, length, cuts):
    samples, options = SAMPLES[:length], KINDS[kind]
    found = in_pieces(FeatureStream(options, "a"), samples, cuts)
    assert found.dtype == np.float32
    assert found.shape == (num_frames(length, options), options.dim)
    np.testing.assert_allclose(found, compute_features(samples, options, "a"), rtol=1e-4, atol=1e-4)


def test_a_sample_at_a_time():
    options = dataclasses.replace(KINDS["pitch"], dither=1.0)
    samples = SAMPLES[:1500]
    found = in_pieces(FeatureStream(options), samples, range(1, 1500))
    np.testing.assert_allclose(found, compute_features(samples, options), rtol=1e-4, atol=1e-4)


def test_a_piece_that_is_no_signal_is_not_taken():
    stream = FeatureStream(KINDS["mfcc"])
    first = stream.accept(SAMPLES[:1000])
    with pytest.raises(UserError, match="sample 1003 is nan"):
        stream.accept(np.array([0, 1, 2, np.nan]))
    rest = [stream.accept(SAMPLES[1000:]), stream.finish()]
    np.testing.assert_allclose(np.concatenate([first, *rest]),
                               compute_features(SAMPLES, KINDS["mfcc"]), rtol=1e-4, atol=1e-4)


def test_memory_holds_what_later_frames_need():
    stream = FeatureStream(KINDS["pitch"])
    for _ in range(100):
        stream.accept(SAMPLES)
    held = [value for part in (stream, stream._spectral, stream._pitch)
            for value in vars(part).values() if isinstance(value, np.ndarray)]
    assert max(map(len, held)) < 2000


@pytest.mark.parametrize("options", [
    PipelineOptions(), PipelineOptions(delta_order=0), PipelineOptions(delta_order=1,
                                                                      delta_window=3),
    PipelineOptions(delta_order=0, splice_left=3, splice_right=1),
    PipelineOptions(delta_order=2, splice_left=0, splice_right=4)])
@settings(max_examples=10, deadline=None)
@given(length=st.integers(0, 40), cuts=st.lists(st.integers(0, 40), max_size=8))
def test_deltas_and_splicing_in_pieces(options, length, cuts):
    rows = np.random.default_rng(1).normal(size=(length, 3)).astype(np.float32)
    found = in_pieces(ExpandStream(options, 3), rows, cuts)
    np.testing.assert_allclose(found, expand(rows, options), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cmvn", ["online", "none", "speaker", "utterance", "sliding"])
def test_an_utterance_in_pieces_is_normalised_as_the_whole(cmvn):
    features = KINDS["mfcc"]
    raw = compute_features(SAMPLES, features)
    prior = cmvn_stats(raw + 1.0)
    if cmvn == "online":
        prior = training_prior([speech_stats(raw + 1.0, *level_columns(features))]).to_array()
    front_end = FrontEnd.of(features, PipelineOptions(cmvn=cmvn, cmvn_look_ahead=7 * (
        cmvn == "online")), prior)
    whole, stats = front_end.recording(SAMPLES)
    stream = front_end.stream()
    found = in_pieces(stream, raw, [1, 2, 30, 31])
    np.testing.assert_allclose(found, whole.features, rtol=1e-5, atol=1e-5)
    assert (stream.stats is None) == (stats is None) == (cmvn != "online")
    # What is heard so far stands in for the whole, where that would be waited for.
    early = front_end.stream(provisional=True)
    ready = early.accept(raw[:40])
    assert len(ready) >= 40 - 4 - 7
    total = np.concatenate([ready, early.accept(raw[40:]), early.finish()])
    assert np.isfinite(total).all()
    assert total.shape == whole.features.shape
    if not front_end.normalization.waits:
        np.testing.assert_allclose(total, found, rtol=1e-5, atol=1e-5)


def smooth(part, look_ahead=15):
    return pitch_features(part.astype(np.float32), 16000, 25.0, 10.0, look_ahead, "x")


@pytest.mark.parametrize("around", ["zeros", "hiss"])
def test_silence_around_a_word_changes_little_within_it(around):
    rng = np.random.default_rng(1)
    word = tone(seconds=0.6)[0] + rng.normal(0, 30, 9600)
    samples = np.concatenate([rng.normal(0, 30, 4800), word, rng.normal(0, 30, 4800)])
    quiet = np.zeros(64000) if around == "zeros" else rng.normal(0, 3, 64000)
    longer = np.concatenate([quiet, samples, quiet])
    found = [smooth(part)[begin:][33:85] for part, begin in ((samples, 0), (longer, 400))]
    np.testing.assert_allclose(found[1][:, :2], found[0][:, :2], atol=0.02)


@pytest.mark.parametrize("loudness", [0.1, 1.0, 5.0])
def test_the_pitch_is_that_of_the_tone(loudness):
    samples, pitch = tone(seconds=0.7, low=120.0, high=180.0)
    found = smooth(samples * loudness, 100)
    # With a look-ahead as long as the window the mean is the log pitch of all.
    assert (found[5:-8, 0] < -0.3).all()
    times = 0.010 * np.arange(len(found)) + 0.0165
    expected = 2 * (np.log(np.interp(times, np.arange(len(pitch)) / 16000, pitch))
                    - np.log(pitch).mean())
    np.testing.assert_allclose(found[5:-8, 1], expected[5:-8], atol=0.08)
    slope = 10 * np.log(180 / 120) / 70
    assert found[10:-10, 2].mean() == pytest.approx(slope, rel=0.3)


def test_what_comes_later_than_the_look_ahead_does_not_count():
    samples, _ = tone(seconds=0.5)
    other = np.concatenate([samples, 3 * tone(seconds=0.5, low=300.0, high=350.0)[0]])
    early = PitchStream(16000, 25.0, 10.0, 10, "x").accept(samples)
    assert len(early) == 1 + (2000 - 100 - 82) // 40 - 10
    np.testing.assert_allclose(smooth(other, 10)[:len(early)], early, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("samples", [
    np.zeros(8000), np.full(8000, 777.0), np.eye(1, 8000, 4000)[0], np.zeros(0), np.ones(399),
    np.tile([32767.0, -32768.0], 4000), 1e5 * np.random.default_rng(1).standard_normal(8000)])
def test_odd_recordings_give_finite_pitch(samples):
    assert np.isfinite(smooth(samples)).all()


def test_what_a_pitch_stream_refuses():
    with pytest.raises(UserError, match="option sample_rate is 4000; give a rate above"):
        PitchStream(4000, 25.0, 10.0, 5)
    with pytest.raises(UserError, match="option pitch_look_ahead is 1; give 2 to 100"):
        FeatureOptions(pitch_look_ahead=1)
