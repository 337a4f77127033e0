"""MFCC and filterbank: Kaldi's values, a slow float64 twin, options, dither, edges."""

import dataclasses

import numpy as np
import pytest
import soundfile

from hybridasr.errors import UserError
from hybridasr.features.archives import read_ark
from hybridasr.features.mfcc import FeatureOptions, compute_features, mel_filters

QUIET = FeatureOptions(dither=0.0)


def noise(samples=4000, seed=1):
    random = np.random.default_rng(seed)
    tone = 3000 * np.sin(2 * np.pi * 440 / 16000 * np.arange(samples))
    return (tone + 500 * random.standard_normal(samples) + 200).astype(np.float32)


def twin(samples, o):
    """The definition, a frame at a time in float64."""
    x = np.asarray(samples, dtype=np.float64)
    length, shift = int(o.sample_rate * o.frame_length_ms / 1000), int(
        o.sample_rate * o.frame_shift_ms / 1000)
    size = 1
    while size < length:
        size *= 2
    if not o.round_to_power_of_two:
        size = length
    if o.snip_edges:
        starts = [s for s in range(0, len(x), shift) if s + length <= len(x)]
    else:
        count = (len(x) + shift // 2) // shift
        starts = [t * shift + shift // 2 - length // 2 for t in range(count)]
    n = np.arange(length)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / (length - 1))
    window = {"povey": hann ** 0.85, "hanning": hann, "rectangular": np.ones(length),
              "hamming": 0.54 - 0.46 * np.cos(2 * np.pi * n / (length - 1))}[o.window]
    top = o.high_freq if o.high_freq > 0 else o.sample_rate / 2 + o.high_freq

    def mel(f):
        return 1127 * np.log(1 + f / 700)

    def sample(i):
        while not 0 <= i < len(x):
            i = -i - 1 if i < 0 else 2 * len(x) - 1 - i
        return x[i]

    step = (mel(top) - mel(o.low_freq)) / (o.num_mel_bins + 1)
    rows = []
    for start in starts:
        frame = np.array([sample(start + i) for i in range(length)])
        if o.remove_dc_offset:
            frame -= frame.mean()
        energy = (frame ** 2).sum()
        frame = np.concatenate([[frame[0] * (1 - o.preemphasis)],
                                frame[1:] - o.preemphasis * frame[:-1]]) * window
        if not o.raw_energy:
            energy = (frame ** 2).sum()
        energy = np.log(max(energy, 2 ** -23, o.energy_floor))
        spectrum = np.abs(np.fft.fft(frame, size))[: size // 2]
        if o.use_power:
            spectrum = spectrum ** 2
        bins = np.zeros(o.num_mel_bins)
        for b in range(o.num_mel_bins):
            left = mel(o.low_freq) + b * step
            for k in range(size // 2):
                m = mel(k * o.sample_rate / size)
                if left < m < left + 2 * step:
                    bins[b] += (1 - abs(m - left - step) / step) * spectrum[k]
        if o.kind == "mfcc" or o.use_log_fbank:
            bins = np.log(np.maximum(bins, 2 ** -23))
        row = [energy, *bins] if o.use_energy else list(bins)
        if o.kind == "mfcc":
            row = []
            for c in range(o.num_ceps):
                basis = np.cos(np.pi * c * (np.arange(o.num_mel_bins) + 0.5) / o.num_mel_bins)
                value = (bins * basis).sum() * np.sqrt((2 if c else 1) / o.num_mel_bins)
                if o.cepstral_lifter:
                    value *= 1 + o.cepstral_lifter / 2 * np.sin(np.pi * c / o.cepstral_lifter)
                row.append(value)
            if o.use_energy is not False:
                row[0] = energy
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("changes", [
    {},
    {"use_energy": False},
    {"raw_energy": False, "window": "hamming"},
    {"window": "hanning", "preemphasis": 0.0, "remove_dc_offset": False},
    {"window": "rectangular", "energy_floor": 1e12},
    {"sample_rate": 8000, "high_freq": -200.0, "num_mel_bins": 15, "num_ceps": 15},
    {"low_freq": 100.0, "high_freq": 7000.0, "cepstral_lifter": 0.0},
    {"frame_length_ms": 20.0, "frame_shift_ms": 8.0, "round_to_power_of_two": False},
    {"snip_edges": False},
    {"use_power": False},
    {"kind": "fbank", "num_mel_bins": 40},
    {"kind": "fbank", "use_energy": True},
    {"kind": "fbank", "use_log_fbank": False, "use_power": False},
], ids=lambda c: ",".join(f"{k}={v}" for k, v in c.items()) or "default")
def test_agrees_with_the_slow_twin(changes):
    options = dataclasses.replace(QUIET, **changes)
    samples = noise(2500)
    expected = twin(samples, options)
    found = compute_features(samples, options)
    assert found.dtype == np.float32
    assert found.shape == (len(expected), options.dim)
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-3)


def test_many_frames_are_the_same_in_any_block():
    samples = noise(60_000)  # more frames than a block holds
    whole = compute_features(samples, QUIET)
    assert len(whole) == 1 + (60_000 - 400) // 160
    for frame in (0, 127, 128, 129, 256, len(whole) - 1):
        alone = compute_features(samples[frame * 160:frame * 160 + 400], QUIET)
        np.testing.assert_allclose(whole[frame], alone[0], rtol=1e-5, atol=1e-4)


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "changes"), [
    ("mfcc", {}),
    ("mfcc_noenergy", {"use_energy": False}),
    ("fbank40", {"kind": "fbank", "num_mel_bins": 40}),
])
def test_agrees_with_kaldi(ref_root, name, changes):
    options = dataclasses.replace(QUIET, **changes)
    entries = dict(read_ark(ref_root / "features" / f"{name}.txt"))
    assert len(entries) == 3
    for key, expected in entries.items():
        samples, _ = soundfile.read(ref_root / "features" / f"{key}.wav", dtype="int16")
        found = compute_features(samples, options)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (1, 0), (399, 0), (400, 1), (559, 1),
                                                 (560, 2)])
def test_number_of_frames(samples, frames):
    assert compute_features(noise(samples), QUIET).shape == (frames, 13)


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (79, 0), (80, 1), (100, 1), (400, 3)])
def test_number_of_frames_beyond_the_edges(samples, frames):
    options = dataclasses.replace(QUIET, snip_edges=False)
    found = compute_features(noise(samples), options)
    assert found.shape == (frames, 13)
    assert np.isfinite(found).all()


def test_short_recordings_with_dither_have_no_frames():
    assert compute_features(noise(100), FeatureOptions(), "u").shape == (0, 13)
    assert compute_features(np.zeros(0), FeatureOptions(kind="fbank"), "u").shape == (0, 23)


def test_dither_depends_on_the_utterance_and_the_seed_only():
    samples, options = noise(), FeatureOptions()
    first = compute_features(samples, options, "a-1")
    np.testing.assert_array_equal(first, compute_features(samples, options, "a-1"))
    assert np.abs(first - compute_features(samples, options, "a-2")).max() > 0
    other = compute_features(samples, dataclasses.replace(options, seed=1), "a-1")
    assert np.abs(first - other).max() > 0


def test_dither_leaves_the_samples_alone():
    samples = noise()
    before = samples.copy()
    compute_features(samples, FeatureOptions(), "a")
    np.testing.assert_array_equal(samples, before)


@pytest.mark.parametrize("deviation", [1.0, 4.0])
def test_dither_lifts_digital_silence_to_its_own_energy(deviation):
    silence = np.zeros(160_000, dtype=np.float32)
    quiet = compute_features(silence, QUIET, "u")
    np.testing.assert_allclose(quiet[:, 0], -15.9424, rtol=0, atol=1e-3)
    dithered = compute_features(silence, FeatureOptions(dither=deviation), "u")
    # 400 squared draws a frame (the mean that is taken off costs one).
    np.testing.assert_allclose(np.exp(dithered[:, 0]).mean(), 399 * deviation ** 2, rtol=0.02,
                               atol=0)


def test_dither_hardly_changes_speech():
    samples = noise(16000)
    difference = compute_features(samples, FeatureOptions(), "u") - compute_features(samples, QUIET)
    assert np.abs(difference).max() < 0.5


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_not_finite_is_named(bad):
    samples = noise()
    samples[123] = bad
    with pytest.raises(UserError, match=r"'spk-1'.*sample 123 is -?(nan|inf)"):
        compute_features(samples, FeatureOptions(), "spk-1")


def test_two_channels_are_refused():
    with pytest.raises(UserError, match=r"shape \(4000, 2\).*one channel"):
        compute_features(np.zeros((4000, 2)), QUIET)


@pytest.mark.parametrize(("changes", "message"), [
    ({"kind": "plp"}, "kind is 'plp'.*mfcc, fbank"),
    ({"window": "kaiser"}, "window is 'kaiser'"),
    ({"num_ceps": 24}, r"num_ceps is 24.*1 to num_mel_bins \(23\)"),
    ({"num_ceps": 0}, "num_ceps is 0"),
    ({"sample_rate": 0}, "sample_rate is 0"),
    ({"low_freq": 9000.0}, "low_freq is 9000"),
    ({"high_freq": 9000.0}, "high_freq is 9000"),
    ({"high_freq": -7990.0}, "high_freq is -7990"),
    ({"frame_shift_ms": 0.0}, "frame_shift_ms"),
    ({"dither": -1.0}, "dither is -1"),
    ({"frame_length_ms": 25.07, "round_to_power_of_two": False}, "round_to_power_of_two"),
])
def test_options_out_of_range_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        FeatureOptions(**changes)


def test_energy_column_follows_the_kind_unless_told():
    assert FeatureOptions().has_energy
    assert not FeatureOptions(kind="fbank").has_energy
    assert FeatureOptions(kind="fbank", use_energy=True).dim == 24
    assert FeatureOptions(num_ceps=20).dim == 20


def test_mel_filters_cover_the_band():
    filters = mel_filters(FeatureOptions())
    assert filters.shape == (23, 256)
    # Between the first and the last centre neighbours add up to one.
    inner = filters.sum(axis=0)[filters[0].argmax() + 1:filters[-1].argmax()]
    np.testing.assert_allclose(inner, 1.0, rtol=1e-9, atol=0)
    assert filters[0, :1].sum() == 0  # below 20 Hz


def test_more_filters_than_the_transform_can_tell_apart():
    options = dataclasses.replace(QUIET, kind="fbank", num_mel_bins=200)
    assert np.isfinite(compute_features(noise(), options)).all()
