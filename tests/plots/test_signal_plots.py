"""Pictures of recordings: the data drawn against the features' own definitions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hybridasr.errors import UserError
from hybridasr.features.frames import FeatureOptions
from hybridasr.features.mfcc import compute_features, mel_filters
from hybridasr.features.pitch_process import voicing_probability
from hybridasr.plots import signal_plots as plots

OPTIONS = FeatureOptions(dither=0.0, kind="fbank")
PATH = Path("x.svg")
SAMPLES = np.random.default_rng(1).normal(scale=1000, size=8000)


def test_power_is_that_of_the_features():
    power = plots.frame_power(SAMPLES, OPTIONS)
    fbank = compute_features(SAMPLES.astype(np.float32), OPTIONS)
    np.testing.assert_allclose(np.log(power[:, :-1] @ mel_filters(OPTIONS).T), fbank, atol=1e-3)
    assert plots.frame_power(SAMPLES[:10], OPTIONS).shape == (0, 257)


def test_a_sine_of_full_scale_is_0_db():
    # On the centre of a bin, so that the window takes nothing off.
    seconds = np.arange(8000) / 16000
    options = replace(OPTIONS, preemphasis=0.0)
    levels = plots.spectrum_levels(plots.frame_power(
        plots.FULL_SCALE * np.sin(2 * np.pi * 1000 * seconds), options), options)
    np.testing.assert_allclose(levels.max(axis=1), 0, atol=0.05)
    assert (levels.argmax(axis=1) == 32).all()


def test_waveform_drawn(figures):
    kept = figures("signal_plots")
    plots.draw_waveform(SAMPLES, 16000, PATH)
    axes, = kept[0].axes
    outline = axes.collections[0].get_paths()[0].vertices
    assert outline[:, 1].max() == pytest.approx(SAMPLES.max() / 32768)
    assert outline[:, 1].min() == pytest.approx(SAMPLES.min() / 32768)
    assert axes.get_xlim() == (0, 0.5)


def test_outline_of_a_long_recording_keeps_the_peaks():
    samples = np.zeros(100_000)
    samples[77_777] = 5.0
    seconds, low, high = plots.waveform_outline(samples, 1000)
    assert len(seconds) <= plots.COLUMNS
    assert high.max() == 5.0
    assert low.min() == 0.0
    assert abs(seconds[high.argmax()] - 77.777) < 0.1
    assert len(plots.waveform_outline(np.zeros(0), 8000)[0]) == 0


def test_spectrum_drawn_is_that_of_the_frame(figures):
    kept = figures("signal_plots")
    plots.draw_spectrum(SAMPLES, OPTIONS, 0.2, PATH)
    axes, = kept[0].axes
    line, dots = axes.lines
    # The frame whose middle is nearest to 0.2 s: 0.0125 + 19 x 0.01.
    assert axes.get_title() == "spectrum of frame 19, 202 ms"
    power = plots.frame_power(SAMPLES, OPTIONS)
    np.testing.assert_allclose(line.get_ydata(), plots.spectrum_levels(power[19], OPTIONS))
    assert len(dots.get_ydata()) == OPTIONS.num_mel_bins
    with pytest.raises(UserError, match=r"time is 0.7 s, the recording has 48 frames in 0.50 s"):
        plots.draw_spectrum(SAMPLES, OPTIONS, 0.7, PATH)


def test_spectrogram_drawn(figures):
    kept = figures("signal_plots")
    plots.draw_spectrogram(SAMPLES, OPTIONS, PATH)
    image = kept[0].axes[0].images[0]
    levels = plots.spectrum_levels(plots.frame_power(SAMPLES, OPTIONS), OPTIONS)
    np.testing.assert_allclose(image.get_array(), levels.T)
    # Frames stand at their middles: 12.5 ms is that of the first.
    np.testing.assert_allclose(image.get_extent(), (0.0075, 0.4875, 0, 8))
    with pytest.raises(UserError, match="less than one frame"):
        plots.draw_spectrogram(SAMPLES[:100], OPTIONS, PATH)


def test_filters_drawn(figures):
    kept = figures("signal_plots")
    plots.draw_filterbank(OPTIONS, PATH)
    lines = kept[0].axes[0].lines
    np.testing.assert_array_equal([line.get_ydata() for line in lines], mel_filters(OPTIONS))
    assert lines[0].get_xdata()[1] == 31.25


def test_features_drawn(figures):
    kept = figures("signal_plots")
    raw = np.arange(20.0).reshape(5, 4)
    plots.draw_features(raw, raw - raw.mean(axis=0), OPTIONS, PATH)
    before, after = (axes.images[0].get_array() for axes in kept[0].axes[:2])
    np.testing.assert_array_equal(before, raw.T)
    np.testing.assert_array_equal(after.mean(axis=1), 0)


def test_pitch_drawn_tells_voiced_frames_apart(figures):
    kept = figures("signal_plots")
    track = np.array([[0.1, 100.0], [0.9, 110.0], [0.95, 120.0]])
    plots.draw_pitch(track, 0.01, PATH)
    upper, lower = kept[0].axes
    silent, voiced = upper.lines
    np.testing.assert_allclose(silent.get_xydata(), [[0, 100]])
    np.testing.assert_allclose(voiced.get_xydata(), [[0.01, 110], [0.02, 120]])
    drawn = lower.collections[0].get_paths()[0].vertices[:, 1].max()
    assert drawn == pytest.approx(voicing_probability(track[:, 0]).max())
