"""Pitch: Kaldi's values, a slow float64 twin, brute-force paths, tones, edges, the features."""

import dataclasses
import itertools

import numpy as np
import pytest
import soundfile

from hybridasr.errors import UserError
from hybridasr.features.archives import read_ark
from hybridasr.features.pitch import (
    PitchOptions,
    ProcessPitchOptions,
    compute_pitch,
    process_pitch,
)
from hybridasr.features.pitch_process import MAX_STATES, cheapest_path

NOISELESS = ProcessPitchOptions(delta_pitch_noise_stddev=0.0)


def tone(rate=16000, seconds=1.0, low=110.0, high=220.0, noise=50.0):
    """Twelve harmonics that glide at an even rate in octaves; returns samples and pitch."""
    time = np.arange(int(rate * seconds)) / rate
    pitch = low * (high / low) ** (time / seconds)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    samples = sum(3000 / k * np.cos(k * phase + k) * (k * pitch < 0.45 * rate)
                  for k in range(1, 13))
    samples += noise * np.random.default_rng(3).standard_normal(len(samples))
    return samples.astype(np.float32), pitch


def real_tracks(ref_root):
    """Yield samples and the two tables of Kaldi's for each recording."""
    raw = dict(read_ark(ref_root / "features" / "pitch.txt"))
    processed = dict(read_ark(ref_root / "features" / "pitch_processed_nonoise.txt"))
    assert len(raw) == 3
    for key, expected in raw.items():
        samples, _ = soundfile.read(ref_root / "features" / f"{key}.wav", dtype="int16")
        yield samples.astype(np.float32), expected, processed[key]


@pytest.mark.realdata
def test_track_agrees_with_kaldi(ref_root):
    pairs = [(compute_pitch(samples), expected)
             for samples, expected, _ in real_tracks(ref_root)]
    for found, expected in pairs:
        assert found.dtype == np.float32
        assert found.shape == expected.shape
    found, expected = map(np.concatenate, zip(*pairs, strict=True))
    # Where quiet frames have two paths of the same cost but for float32, Kaldi may take the other,
    # a lag away (0.5 %).
    np.testing.assert_allclose(found[:, 1], expected[:, 1], rtol=0.0051, atol=0)
    same = np.isclose(found[:, 1], expected[:, 1], rtol=1e-5, atol=0)
    voiced = expected[:, 0] > 0.6
    assert voiced.sum() > 100
    assert same[voiced].all()
    assert same.mean() > 0.95
    np.testing.assert_allclose(found[same, 0], expected[same, 0], rtol=0, atol=1e-4)


@pytest.mark.realdata
def test_features_agree_with_kaldi(ref_root):
    differences = []
    for samples, raw, expected in real_tracks(ref_root):
        np.testing.assert_allclose(process_pitch(raw, NOISELESS), expected, rtol=0, atol=1e-5)
        differences.append(np.abs(process_pitch(compute_pitch(samples), NOISELESS) - expected))
    differences = np.concatenate(differences)
    assert (differences < 0.01).all(axis=1).mean() > 0.97
    assert differences.max() < 0.05


def hann_sinc(seconds, cutoff, width):
    inside = np.abs(seconds) < width / (2 * cutoff)
    window = 0.5 * (1 + np.cos(2 * np.pi * cutoff / width * seconds)) * inside
    return 2 * cutoff * np.sinc(2 * cutoff * seconds) * window


def twin_costs(samples, o):
    """The paper's definition in float64: local costs and correlations at the lags, and the lags."""
    at, to = o.sample_rate, o.resample_frequency
    length = next(n for n in itertools.count() if n * at >= len(samples) * to)
    inputs = np.arange(len(samples)) / at
    signal = np.array([(samples * hann_sinc(n / to - inputs, o.lowpass_cutoff,
                                            o.lowpass_filter_width)).sum() / at
                       for n in range(length)])
    size, shift = int(to * o.frame_length_ms / 1000), int(to * o.frame_shift_ms / 1000)
    lags = [1 / o.max_f0]
    while lags[-1] * (1 + o.delta_pitch) <= 1 / o.min_f0:
        lags.append(lags[-1] * (1 + o.delta_pitch))
    lags = np.array(lags)
    reach = o.upsample_filter_width / (2 * to)
    whole = np.arange(np.ceil(to * (lags[0] - reach)),
                      np.floor(to * (1 / o.min_f0 + reach)) + 1).astype(int)
    full = size + whole[-1]
    if o.snip_edges:
        starts = [s for s in range(0, length, shift) if s + size <= length]
    else:
        starts = [int((t + 0.5) * shift) - full // 2 for t in range(int(length / shift + 0.5))]
    ballast = o.nccf_ballast * (signal.var() * size) ** 2
    weights = hann_sinc(lags[:, None] - whole / to, to / 2, o.upsample_filter_width) / to
    costs, correlations = [], []
    for start in starts:
        inside = np.arange(max(start, 0), min(start + full, length))
        window = np.zeros(full)
        window[inside - start] = np.concatenate(
            [[signal[inside[0]] * (1 - o.preemphasis)],
             signal[inside[1:]] - o.preemphasis * signal[inside[:-1]]])
        window -= window[:size].mean()
        here, there = window[:size], [window[lag:lag + size] for lag in whole]
        inner = np.array([here @ part for part in there])
        norm = np.array([(here @ here) * (part @ part) for part in there])
        plain = weights @ (inner / np.sqrt(norm))
        held = weights @ (inner / np.sqrt(norm + ballast))
        costs.append(1 - held * (1 - o.soft_min_f0 * lags))
        correlations.append(plain)
    return np.array(costs), np.array(correlations), lags


def twin_path(costs, penalty):
    """Viterbi with every transition tried, in float64."""
    steps = np.arange(costs.shape[1])
    change = penalty * (steps[:, None] - steps) ** 2
    forward, before = costs[0], []
    for row in costs[1:]:
        total = forward + change
        before.append(total.argmin(axis=1))
        forward = total.min(axis=1) + row
    path = [int(forward.argmin())]
    for row in reversed(before):
        path.append(int(row[path[-1]]))
    return np.array(path[::-1])


@pytest.mark.parametrize("changes", [
    {},
    {"sample_rate": 8000},
    {"sample_rate": 11025, "preemphasis": 0.5},
    {"snip_edges": False},
    {"frame_length_ms": 20.0, "frame_shift_ms": 7.8, "snip_edges": False},
    {"min_f0": 80.0, "max_f0": 300.0, "delta_pitch": 0.02, "soft_min_f0": 40.0},
    {"resample_frequency": 5000, "lowpass_cutoff": 1500.0, "lowpass_filter_width": 3,
     "upsample_filter_width": 3, "nccf_ballast": 10.0, "penalty_factor": 2.0},
], ids=lambda c: ",".join(f"{k}={v}" for k, v in c.items()) or "default")
def test_agrees_with_the_slow_twin(changes):
    options = PitchOptions(**changes)
    samples, _ = tone(options.sample_rate, 0.3)
    samples[:500] *= 0.01
    costs, correlations, lags = twin_costs(samples, options)
    path = twin_path(costs, options.penalty_factor * np.log(1 + options.delta_pitch) ** 2)
    found = compute_pitch(samples, options)
    assert len(found) == len(costs) > 20
    np.testing.assert_allclose(found[:, 1], 1 / lags[path], rtol=1e-5, atol=0)
    np.testing.assert_allclose(found[:, 0], correlations[range(len(path)), path],
                               rtol=0, atol=2e-4)


def path_cost(costs, path, penalty):
    return costs[range(len(path)), path].sum() + penalty * (np.diff(path) ** 2).sum()


@pytest.mark.parametrize("penalty", [0.01, 0.1, 1.0, 10.0])
def test_cheapest_path_against_all_paths(penalty):
    random = np.random.default_rng(5)
    for _ in range(5):
        costs = random.standard_normal((5, 6)).astype(np.float32)
        best = min(path_cost(costs, path, penalty)
                   for path in itertools.product(range(6), repeat=5))
        found = cheapest_path([costs[:2], costs[2:]], 5, 6, penalty)
        assert path_cost(costs, found, penalty) == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1e-4, 3e-4, 1e-2, 1.0])
@pytest.mark.parametrize("kind", ["noise", "waves", "ramp"])
def test_cheapest_path_of_flat_and_of_steep_costs(kind, scale):
    # Near and far predecessors are found in different ways; the scale chooses between them.
    frames, states, penalty = 30, 150, 2.5e-6
    random = np.random.default_rng(6)
    at, now = np.arange(states), np.arange(frames)[:, None]
    costs = scale * {"noise": random.standard_normal((frames, states)),
                     "waves": np.cos(at / 9 + now) + 0.3 * np.cos(at / 31 - now / 5),
                     "ramp": np.abs(at - 5.0 * now)}[kind].astype(np.float32)
    best = path_cost(costs, twin_path(costs.astype(np.float64), penalty), penalty)
    path = cheapest_path([costs.astype(np.float32)], frames, states, penalty)
    assert path_cost(costs, path, penalty) == pytest.approx(best, rel=1e-6, abs=1e-6 + 1e-5 * scale)


def test_every_state_gets_its_best_predecessor():
    # A cliff makes the search look at all distances; beside it the costs are as flat as the price
    # of a change, where a state that is wrongly left out shows. The second frame allows one state.
    random = np.random.default_rng(7)
    steps = np.arange(60)
    for _ in range(10):
        first = random.uniform(0, 2, 60).astype(np.float32)
        first[30:] += 300
        for state in steps:
            second = np.where(steps == state, 0, 10_000).astype(np.float32)
            path = cheapest_path([np.stack([first, second])], 2, 60, 1.0)
            assert path[1] == state
            best = (first + (steps - state) ** 2.0).min()
            assert first[path[0]] + (path[0] - state) ** 2.0 == pytest.approx(best, abs=1e-3)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize(("low", "high", "within"), [
    (110.0, 220.0, 0.01), (300.0, 180.0, 0.01),
    # A frame holds less than two periods: one frame is 1.2 % off, in the slow twin as well.
    (75.0, 95.0, 0.015)])
def test_gliding_tone_is_followed(rate, low, high, within):
    samples, pitch = tone(rate, 1.0, low, high)
    found = compute_pitch(samples, PitchOptions(sample_rate=rate))
    # A correlation compares a window with one a period later; the pitch lies between the two.
    middle = 0.010 * np.arange(len(found)) + 0.0125 + 0.5 / found[:, 1]
    expected = np.interp(middle, np.arange(len(pitch)) / rate, pitch)
    inner = slice(3, -4)  # the last windows reach past the end
    np.testing.assert_allclose(found[inner, 1], expected[inner], rtol=within, atol=0)
    assert (found[inner, 0] > 0.9).all()


def test_loudness_and_constant_offset_do_not_matter():
    samples, _ = tone(noise=0.0)
    expected = compute_pitch(samples)
    for changed in (samples * 1e-3, samples * 100, samples * 1e12):
        found = compute_pitch(changed)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    # The recording's edges are steps, once there is an offset.
    found = compute_pitch(samples + 300)[3:-4]
    np.testing.assert_allclose(found, expected[3:-4], rtol=0.0051, atol=0.01)


def test_a_long_recording_is_the_same_in_any_block():
    samples = np.tile(tone()[0], 4)  # more frames than a block holds
    found = compute_pitch(samples)
    for start in (100, 200, 300):
        part = compute_pitch(samples[start * 160:(start + 100) * 160])
        np.testing.assert_allclose(found[start + 5:start + 90, 1], part[5:90, 1], rtol=0.0051)


@pytest.mark.parametrize("samples", [0, 1, 100, 396, 397, 400, 559, 560, 1000])
def test_short_recordings(samples):
    found = compute_pitch(tone()[0][:samples])
    resampled = -(-samples // 4)
    assert found.shape == (max(0, 1 + (resampled - 100) // 40), 2)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("samples", [
    np.zeros(8000), np.full(8000, 777.0), np.full(8000, -1e-30), np.eye(1, 8000, 4000)[0],
    np.concatenate([np.zeros(4000), tone(seconds=0.3)[0], np.zeros(4000)]),
    np.sign(tone()[0]) * 32768, np.tile([32767.0, -32768.0], 4000),
    1e30 * np.random.default_rng(1).standard_normal(8000),
], ids=["silence", "constant", "tiny", "click", "pauses", "clipped", "alternating", "huge"])
def test_odd_recordings_give_finite_values(samples):
    raw = compute_pitch(samples.astype(np.float32))
    assert np.isfinite(raw).all()
    assert (np.abs(raw[:, 0]) < 1.2).all()
    assert ((raw[:, 1] > 49.9) & (raw[:, 1] < 400.1)).all()
    assert np.isfinite(process_pitch(raw)).all()


def test_silence_is_unvoiced_and_flat():
    raw = compute_pitch(np.zeros(16000, dtype=np.float32))
    assert (raw[:, 0] == 0).all()
    assert (raw[:, 1] == raw[0, 1]).all()
    # A tone followed by digital silence: nothing of it is left in the silence.
    samples = np.concatenate([tone()[0], np.zeros(16000, dtype=np.float32)])
    raw = compute_pitch(samples)
    assert (raw[2:90, 0] > 0.9).all()
    assert (raw[101:, 0] == 0).all()


def plain_features(raw, o):
    """The features from their formulas, a frame at a time."""
    rows = []
    log_pitch = np.log(raw[:, 1])
    size = np.minimum(np.abs(raw[:, 0]), 1)
    odds = (-5.2 + 5.4 * np.exp(7.5 * (size - 1)) + 4.8 * size - 2 * np.exp(-10 * size)
            + 4.2 * np.exp(20 * (size - 1)))
    weight = np.exp(odds) / (1 + np.exp(odds))
    last = len(raw) - 1
    for t in range(len(raw)):
        near = range(max(0, t - o.normalization_left_context),
                     min(last, t + o.normalization_right_context) + 1)
        mean = sum(weight[i] * log_pitch[i] for i in near) / sum(weight[i] for i in near)
        steps = range(-o.delta_window, o.delta_window + 1)
        slope = (sum(k * log_pitch[min(max(t + k, 0), last)] for k in steps)
                 / sum(k * k for k in steps))
        correlation = min(max(raw[t, 0], -1), 1)
        rows.append([o.pov_scale * ((1.0001 - correlation) ** 0.15 - 1) + o.pov_offset,
                     o.pitch_scale * (log_pitch[t] - mean), o.delta_pitch_scale * slope])
    return np.array(rows)


def track(frames, seed=2):
    random = np.random.default_rng(seed)
    return np.stack([random.uniform(-1.05, 1.05, frames),
                     np.exp(random.uniform(4, 6, frames))], axis=1)


@pytest.mark.parametrize("frames", [1, 2, 5, 100, 300])
@pytest.mark.parametrize("changes", [
    {}, {"pitch_scale": 3.0, "pov_scale": 0.5, "pov_offset": 2.0, "delta_pitch_scale": 4.0},
    {"normalization_left_context": 0, "normalization_right_context": 20, "delta_window": 3}])
def test_features_follow_the_formulas(frames, changes):
    options = dataclasses.replace(NOISELESS, **changes)
    raw = track(frames)
    found = process_pitch(raw, options)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, plain_features(raw, options), rtol=1e-5, atol=1e-5)


def test_noise_is_seeded_and_of_the_wanted_strength():
    raw = track(20_000)
    quiet = process_pitch(raw, NOISELESS, "a")
    one, again, other = (process_pitch(raw, seed_id=name) for name in ("a", "a", "b"))
    seeded = process_pitch(raw, ProcessPitchOptions(seed=1), "a")
    np.testing.assert_array_equal(one, again)
    for noisy in (one, other, seeded):
        np.testing.assert_array_equal(noisy[:, :2], quiet[:, :2])
        noise = (noisy - quiet)[:, 2]
        assert noise.std() == pytest.approx(0.05, rel=0.03)
        assert abs(noise.mean()) < 0.002
    for first, second in itertools.combinations((one, other, seeded), 2):
        pair = np.stack([first[:, 2] - quiet[:, 2], second[:, 2] - quiet[:, 2]])
        assert abs(np.corrcoef(pair)[0, 1]) < 0.05


@pytest.mark.parametrize(("options", "name"), [
    ({"sample_rate": 4000}, "sample_rate"), ({"sample_rate": 2000}, "sample_rate"),
    ({"min_f0": 400.0}, "min_f0"), ({"max_f0": 2000.0}, "max_f0"),
    ({"delta_pitch": 0.0}, "delta_pitch"), ({"delta_pitch": 1e-5}, "delta_pitch"),
    ({"frame_shift_ms": 0.1}, "frame_shift_ms"), ({"frame_length_ms": 0.3}, "frame_length_ms"),
    ({"penalty_factor": 0.0}, "penalty_factor"), ({"lowpass_cutoff": 2500.0}, "lowpass_cutoff"),
    ({"preemphasis": 2.0}, "preemphasis"),
])
def test_bad_options_are_refused(options, name):
    with pytest.raises(UserError, match=f"option {name} is .*; give "):
        PitchOptions(**options)


def test_the_finest_grid_that_is_allowed_fits_the_back_pointers():
    smallest = np.expm1(np.log(8) / (MAX_STATES - 1))
    found = compute_pitch(tone(seconds=0.05)[0], PitchOptions(delta_pitch=smallest * (1 + 1e-9)))
    assert np.isfinite(found).all()


def test_bad_input_is_refused():
    bad = tone()[0]
    bad[7] = np.nan
    with pytest.raises(UserError, match="the samples: sample 7 is nan"):
        compute_pitch(bad)
    with pytest.raises(UserError, match=r"of shape \(5, 3\)"):
        process_pitch(np.ones((5, 3)))
    with pytest.raises(UserError, match="frame 2 of the pitch track"):
        process_pitch(np.array([[0.5, 100.0], [0.5, 100.0], [0.5, 0.0]]))
    with pytest.raises(UserError, match="option delta_window is 0"):
        ProcessPitchOptions(delta_window=0)
