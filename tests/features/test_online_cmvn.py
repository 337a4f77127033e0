"""The running mean of the speech: against its definition, in pieces, at any level, remembered."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridasr.features.frames import FeatureOptions
from hybridasr.features.mfcc import compute_features
from hybridasr.features.online_cmvn import (
    LOUDNESS,
    MOST_REMEMBERED,
    QUIET,
    SOFTER,
    NormalizedStream,
    OnlineCmvn,
    SpeechStats,
    add_up,
    level_columns,
    speech_stats,
    training_prior,
)

FBANK = FeatureOptions(kind="fbank", num_mel_bins=8, dither=0.0)
WEIGHT, LIFT = level_columns(FBANK)
RNG = np.random.default_rng(0)
PRIOR = SpeechStats(RNG.normal(size=8), 2 + RNG.random(8), 1.0, 12.0)


def speech(seed=0, frames=60, level=10.0):
    """Frames whose level goes up and down."""
    rng = np.random.default_rng(seed)
    loud = level + 4 * np.sin(np.arange(frames) / 7) + rng.normal(size=frames)
    return (loud[:, None] + rng.normal(size=(frames, 8))).astype(np.float32)


def online(**changes):
    return OnlineCmvn(**{"weight": WEIGHT, "lift": LIFT, "prior": PRIOR, "prior_frames": 20.0,
                         **changes})


def brute_force(raw, cmvn, before=None):
    """Frame by frame from the definition: nothing is carried from one frame to the next."""
    wide = raw.astype(np.float64)
    levels = wide @ WEIGHT
    frames, sums = cmvn.prior_frames, cmvn.prior.sums * cmvn.prior_frames
    squares, least = cmvn.prior.squares * cmvn.prior_frames, cmvn.prior.level - QUIET
    if before is not None:
        share = min(1.0, MOST_REMEMBERED / before.count)
        frames, sums = frames + share * before.count, sums + share * before.sums
        squares, least = squares + share * before.squares, max(least, before.level - SOFTER)
    rows = []
    for place, row in enumerate(wide):
        seen = slice(0, min(place + cmvn.look_ahead + 1, len(wide)))
        top = max(least, levels[seen].max())
        weights = np.exp(LOUDNESS * (levels[seen] - top))
        relative = wide[seen] - LIFT * top
        total = weights.sum() + frames
        mean = (weights @ relative + sums) / total
        variance = (weights @ relative**2 + squares) / total - mean**2
        row = row - LIFT * top - mean
        rows.append(row / np.sqrt(variance) if cmvn.norm_vars else row)
    return np.array(rows)


@pytest.mark.parametrize("look_ahead", [0, 1, 16, 100])
@pytest.mark.parametrize("norm_vars", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_against_the_definition(look_ahead, norm_vars, known):
    cmvn = online(look_ahead=look_ahead, norm_vars=norm_vars)
    before = speech_stats(speech(5, 900, 13.0), WEIGHT, LIFT) if known else None
    found, stats = cmvn.normalize(speech(), before)
    np.testing.assert_allclose(found, brute_force(speech(), cmvn, before), atol=2e-5)
    expected = speech_stats(speech(), WEIGHT, LIFT).to_array()
    np.testing.assert_allclose(stats.to_array(), expected, rtol=1e-9)
    np.testing.assert_array_equal(SpeechStats.from_array(expected).to_array(), expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 60), max_size=12), st.sampled_from([0, 1, 5, 16, 70]))
def test_the_same_frames_however_they_are_cut(cuts, look_ahead):
    cmvn, raw = online(look_ahead=look_ahead), speech()
    stream = NormalizedStream(cmvn)
    parts = [stream.accept(part) for part in np.split(raw, sorted(cuts))]
    parts.append(stream.finish())
    whole, stats = cmvn.normalize(raw)
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(stream.stats.to_array(), stats.to_array())
    # What has been seen is given back at once, but for the frames that wait.
    assert sum(map(len, parts[:-1])) == max(len(raw) - look_ahead, 0)


def test_silence_hardly_counts():
    """A second, and ten, of silence before the speech changes its frames little."""
    raw, cmvn = speech(), online()
    alone = cmvn.normalize(raw)[0]
    for frames, most in ((100, 0.15), (1000, 0.8), (20000, 2.0)):
        quiet = speech(3, frames, -5.0)
        found = cmvn.normalize(np.concatenate([quiet, raw]))[0][frames:]
        assert np.abs(found - alone).max() < most
        # A mean over all frames would be off by as much as the silence is softer.
        plain = raw - np.concatenate([quiet, raw]).mean(0)
        assert np.abs(plain - (raw - raw.mean(0))).max() > 5


def test_the_volume_is_taken_out():
    """Louder or softer by 20 dB: once the level is known, the same frames."""
    raw, cmvn = speech(level=14.0), online()
    found = [cmvn.normalize(raw + np.float32(gain))[0] for gain in (0.0, 4.6, -4.6)]
    for other in found[1:]:
        np.testing.assert_allclose(other[30:], found[0][30:], atol=0.02)


def test_what_was_heard_adds_up_in_any_order():
    parts = [speech_stats(speech(n, 30 + n, 5.0 * n), WEIGHT, LIFT) for n in range(4)]
    total = add_up(parts)
    np.testing.assert_allclose(total.sums, sum(part.sums for part in parts))
    assert total.level == parts[-1].level
    assert add_up([]) is None
    backwards = add_up(parts[::-1])
    np.testing.assert_allclose(backwards.sums, total.sums)
    prior = training_prior(parts)
    np.testing.assert_allclose(prior.sums, np.mean([p.sums / p.count for p in parts], axis=0))
    assert training_prior([]) is None


@pytest.mark.parametrize("options", [
    FeatureOptions(dither=0.0), FeatureOptions(use_energy=False, dither=0.0),
    FeatureOptions(kind="fbank", num_mel_bins=30, pitch=True, dither=0.0),
    FeatureOptions(kind="fbank", use_energy=True, dither=0.0)])
def test_levels_follow_the_volume(options):
    """A louder recording moves the level by its gain, and each column by what is said."""
    weight, lift = level_columns(options)
    samples = 3000 * np.random.default_rng(2).normal(size=8000)
    gain = 1.5
    before, after = (compute_features(samples * factor, options).astype(np.float64)
                     for factor in (1.0, np.exp(gain / 2)))
    np.testing.assert_allclose((after - before) @ weight, gain, atol=1e-3)
    columns = slice(0, options.spectral_dim)
    np.testing.assert_allclose((after - before)[:, columns].mean(0), gain * lift[columns],
                               atol=1e-3)
