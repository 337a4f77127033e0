"""Owns pictures of a recording and its features: waveform, spectra, filters, cepstra, pitch.

Samples are float arrays in 16-bit range; times are seconds from the start of the recording. A
frame is drawn at its middle.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.errors import UserError
from hybridasr.features.frames import FeatureOptions, num_frames, window_function
from hybridasr.features.mfcc import mel_filters
from hybridasr.features.pitch_process import voicing_probability
from hybridasr.plots.canvas import COLOURS, VALUES, WIDTH, pyplot_for, save

FULL_SCALE = 32768.0  # of 16-bit samples: 0 dB
COLUMNS = 1600  # a waveform is drawn as that many stretches at most
DYNAMIC_RANGE = 60.0  # dB below the loudest that a spectrogram shows
LEAST_POWER = 1e-10  # of a sample of full scale, before a logarithm
VOICED = 0.5  # probability from which a frame counts as voiced


def frame_times(count: int, options: FeatureOptions) -> np.ndarray:
    """Return the middle of each frame in seconds, float64 (count,).

    >>> frame_times(2, FeatureOptions()).round(4).tolist()
    [0.0125, 0.0225]
    """
    middle = options.window_samples / 2 if options.snip_edges else options.shift_samples / 2
    return (np.arange(count) * options.shift_samples + middle) / options.sample_rate


def waveform_outline(samples: np.ndarray, rate: int, columns: int = COLUMNS
                     ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (seconds, lowest, highest sample) of at most `columns` stretches of equal length.

    >>> waveform_outline(np.array([1.0, -2.0, 3.0, 4.0]), 2, 2)[1:]
    (array([-2.,  3.]), array([1., 4.]))
    """
    size = max(1, -(-len(samples) // columns))
    starts = np.arange(0, len(samples), size)
    if len(starts) == 0:
        return starts / rate, np.zeros(0), np.zeros(0)
    return (starts / rate, np.minimum.reduceat(samples, starts),
            np.maximum.reduceat(samples, starts))


def frame_power(samples: np.ndarray, options: FeatureOptions) -> np.ndarray:
    """Return the power spectrum of every frame, float64 (frames, fft_samples / 2 + 1).

    The frames are those of the features, without dither: mean taken off, pre-emphasis, window.
    """
    plain = replace(options, snip_edges=True)
    count, size = num_frames(len(samples), plain), options.window_samples
    if count == 0:
        return np.zeros((0, options.fft_samples // 2 + 1))
    samples = np.asarray(samples, np.float64)
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::options.shift_samples]
    frames = frames[:count] - options.remove_dc_offset * frames[:count].mean(axis=1, keepdims=True)
    # The first sample of a frame has none before it, and is its own neighbour.
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    frames = (frames - options.preemphasis * before) * window_function(options)
    return np.abs(np.fft.rfft(frames, options.fft_samples)) ** 2


def spectrum_levels(power: np.ndarray, options: FeatureOptions) -> np.ndarray:
    """Return power spectra in dB of a sine of full scale, float64."""
    scale = (FULL_SCALE * window_function(options).sum() / 2) ** 2
    return 10 * np.log10(np.maximum(power / scale, LEAST_POWER))


def draw_waveform(samples: np.ndarray, rate: int, path: Path) -> None:
    """Draw the samples over time.

    How to read it: height is the pressure of the sound as the microphone took it, between -1 and
    1. Speech is thick, silence a thin line; a top that is cut off flat is clipped, a line beside
    zero an offset. The thickness of the silence is the noise.
    """
    plt = pyplot_for(path)
    figure, axes = plt.subplots(figsize=(WIDTH, 2.4), layout="constrained")
    seconds, low, high = waveform_outline(samples, rate)
    axes.fill_between(seconds, low / FULL_SCALE, high / FULL_SCALE, color=COLOURS[0],
                      linewidth=0.4, edgecolor=COLOURS[0])
    axes.axhline(0, color="0.6", linewidth=0.5)
    top = max(0.01, 1.05 * float(np.abs(samples).max(initial=0)) / FULL_SCALE)
    axes.set(xlim=(0, len(samples) / rate), ylim=(-top, top), xlabel="time, s",
             ylabel="sample, of full scale", title=f"waveform, {rate} Hz")
    save(figure, path)


def draw_spectrum(samples: np.ndarray, options: FeatureOptions, time: float, path: Path) -> None:
    """Draw the spectrum of the frame at `time`, with what the mel filters make of it.

    How to read it: the thin line has a peak for each harmonic of a voice, at multiples of its
    pitch; the broad hills are the resonances of the mouth (formants), which make the vowel. The
    dots, one a mel filter, follow the hills and lose the harmonics: that is what the features
    keep. A hiss (s, x) is high on the right, silence low everywhere.

    Raises
    ------
    UserError
        if no frame is there at that time.
    """
    plt = pyplot_for(path)
    times = frame_times(num_frames(len(samples), replace(options, snip_edges=True)), options)
    if len(times) == 0 or not 0 <= time <= len(samples) / options.sample_rate:
        raise UserError(f"time is {time:g} s, the recording has {len(times)} frames in "
                        f"{len(samples) / options.sample_rate:.2f} s; give a time within it")
    frame = int(np.argmin(np.abs(times - time)))
    start = frame * options.shift_samples
    power = frame_power(samples[start:start + options.window_samples], options)[0]
    hertz = np.arange(len(power)) * options.sample_rate / options.fft_samples
    filters = mel_filters(options)
    # The mean power under a filter: a sum would grow with the filter's width.
    bands = filters @ power[:-1] / np.maximum(filters.sum(axis=1), 1e-9)
    figure, axes = plt.subplots(figsize=(WIDTH, 3.4), layout="constrained")
    axes.plot(hertz, spectrum_levels(power, options), color=COLOURS[0], linewidth=0.9,
              label="Fourier transform of the frame")
    axes.plot(hertz[:-1][filters.argmax(axis=1)], spectrum_levels(bands, options), "o-",
              markersize=4, color=COLOURS[1], label="mean under each mel filter")
    axes.set(xlim=(0, options.sample_rate / 2), xlabel="frequency, Hz",
             ylabel="level, dB of full scale", title=f"spectrum of frame {frame}, "
             f"{times[frame] * 1000:.0f} ms")
    axes.legend(frameon=False)
    axes.grid(color="0.92")
    save(figure, path)


def draw_spectrogram(samples: np.ndarray, options: FeatureOptions, path: Path) -> None:
    """Draw the spectra of all frames side by side: time to the right, frequency upwards.

    How to read it: light is loud. A vowel is a stack of light bands (formants) that move slowly, a
    fricative a light cloud high up, a stop a dark gap and then a thin light line. Straight lines
    from left to right are a hum or a whistle, and not speech. Bands that end at one height tell of
    a recording at a lower rate, or a telephone.
    """
    plt = pyplot_for(path)
    figure, axes = plt.subplots(figsize=(WIDTH, 3.6), layout="constrained")
    image = show_spectrogram(axes, samples, options)
    axes.set(xlabel="time, s", title="spectrogram")
    figure.colorbar(image, label="level, dB of full scale", pad=0.01)
    save(figure, path)


def show_spectrogram(axes: Any, samples: np.ndarray, options: FeatureOptions) -> Any:
    """Draw a spectrogram into axes, seconds against kilohertz; return the image.

    Raises
    ------
    UserError
        if the recording is shorter than a frame.
    """
    levels = spectrum_levels(frame_power(samples, options), options)
    if len(levels) == 0:
        raise UserError(f"{len(samples)} samples are less than one frame of "
                        f"{options.window_samples}; give a longer recording")
    times, half = frame_times(len(levels), options), options.shift_samples / options.sample_rate / 2
    top = float(levels.max())
    image = axes.imshow(levels.T, origin="lower", aspect="auto", cmap=VALUES,
                        vmin=top - DYNAMIC_RANGE, vmax=top, interpolation="nearest",
                        extent=(times[0] - half, times[-1] + half, 0, options.sample_rate / 2000))
    axes.set(xlim=(0, len(samples) / options.sample_rate), ylabel="frequency, kHz")
    return image


def draw_filterbank(options: FeatureOptions, path: Path) -> None:
    """Draw the triangular mel filters.

    How to read it: each triangle is one filter; it weighs the powers under it and sums them up to
    one number a frame. They are narrow where the ear tells pitches well apart, and wider the
    higher they are; neighbours overlap by half.
    """
    plt = pyplot_for(path)
    filters = mel_filters(options)
    hertz = np.arange(filters.shape[1]) * options.sample_rate / options.fft_samples
    figure, axes = plt.subplots(figsize=(WIDTH, 2.8), layout="constrained")
    for number, weights in enumerate(filters):
        # Two colours in turn: neighbours are what must be told apart.
        axes.plot(hertz, weights, linewidth=1, color=COLOURS[number % 2],
                  linestyle="-" if number % 2 == 0 else "--")
    axes.set(xlim=(0, options.sample_rate / 2), ylim=(0, 1.05), xlabel="frequency, Hz",
             ylabel="weight", title=f"{len(filters)} mel filters from {options.low_freq:g} to "
             f"{options.top_freq:g} Hz")
    save(figure, path)


def draw_features(raw: np.ndarray, normal: np.ndarray, options: FeatureOptions, path: Path
                  ) -> None:
    """Draw features over time, before and after their normalisation.

    Parameters
    ----------
    raw, normal : float (num_frames, options.dim)
        Each column of `normal` has its mean taken off, and perhaps its variance made 1.

    How to read it: a row is one coefficient. Before, the first rows outweigh all others, and a
    microphone or a voice shifts whole rows; after, all rows move around 0, and what is left is
    how the sound changes. A row of one colour carries nothing.
    """
    plt = pyplot_for(path)
    figure, panels = plt.subplots(2, sharex=True, figsize=(WIDTH, 5), layout="constrained")
    name = "MFCC" if options.kind == "mfcc" else "log mel energies"
    times, half = frame_times(len(raw), options), options.shift_samples / options.sample_rate / 2
    for axes, values, title in zip(panels, (raw, normal), ("before", "after"), strict=True):
        # A few wild values must not take all the colours.
        low, high = np.percentile(values, (1, 99)) if values.size else (0.0, 1.0)
        image = axes.imshow(values.T, origin="lower", aspect="auto", cmap=VALUES, vmin=low,
                            vmax=high, interpolation="nearest",
                            extent=(0 if len(raw) == 0 else times[0] - half,
                                    1 if len(raw) == 0 else times[-1] + half,
                                    -0.5, values.shape[1] - 0.5))
        axes.set(ylabel="coefficient", title=f"{name} {title} normalisation")
        figure.colorbar(image, ax=axes, label="value", pad=0.01)
    panels[-1].set_xlabel("time, s")
    save(figure, path)


def draw_pitch(track: np.ndarray, frame_shift: float, path: Path) -> None:
    """Draw the pitch of a voice over time, and how probably there is a voice at all.

    Parameters
    ----------
    track : float (num_frames, 2)
        Correlation and hertz, as from `features.pitch.compute_pitch`.
    frame_shift : float
        Seconds.

    How to read it: large dots are voiced frames; their line is the melody, in Mandarin the tone
    (1 level, 2 rising, 3 dipping, 4 falling). Small grey dots are frames without a voice, where
    the tracker only bridges the gap. A line that jumps to half or double is an error of the
    tracker.
    """
    plt = pyplot_for(path)
    seconds = np.arange(len(track)) * frame_shift
    probability = voicing_probability(track[:, 0].astype(np.float64))
    voiced = probability >= VOICED
    figure, (upper, lower) = plt.subplots(2, sharex=True, figsize=(WIDTH, 4),
                                          height_ratios=(2, 1), layout="constrained")
    upper.plot(seconds[~voiced], track[~voiced, 1], ".", color="0.7", markersize=3,
               label="not voiced")
    upper.plot(seconds[voiced], track[voiced, 1], "o", color=COLOURS[0], markersize=4,
               label="voiced")
    upper.set(ylabel="pitch, Hz", title="pitch and voicing")
    upper.legend(frameon=False, ncols=2)
    lower.fill_between(seconds, probability, color=COLOURS[5])
    lower.axhline(VOICED, color="0.4", linewidth=0.8, linestyle="--")
    lower.set(ylim=(0, 1), xlabel="time, s", ylabel="voiced, probability")
    for axes in (upper, lower):
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
    save(figure, path)
