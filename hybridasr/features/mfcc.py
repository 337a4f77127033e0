"""Owns MFCC and filterbank features, by Kaldi's definitions.

Takes float32 samples in 16-bit range, gives float32 (frames, dim). The work goes in blocks of
frames that stay in the processor's cache: cut and window (kernel), real Fourier transform
(numpy, float64), mel energies from the non-zero weights only (kernel), logarithm, cosine
transform. Kaldi: feat/feature-mfcc.cc, feat/feature-fbank.cc, feat/mel-computations.cc.
"""

from functools import lru_cache
from typing import NamedTuple

import numba
import numpy as np

from hybridasr.features.frames import (
    PITCH_DIM,
    FeatureOptions,
    SampleStream,
    checked_samples,
    cut_frames,
    num_frames,
    window_function,
)
from hybridasr.features.pitch_stream import PitchStream

__all__ = ["FeatureOptions", "FeatureStream", "compute_features", "mel_filters"]

# Smallest energy before a logarithm, float32's epsilon as in Kaldi: log is -15.9424.
ENERGY_EPSILON = np.float32(np.finfo(np.float32).eps)
# Frames worked on at a time: 128 x 512 samples of float32 and their spectrum fill half of L2, and
# the matrix products stay so small that BLAS does not start threads.
BLOCK_FRAMES = 128


def compute_features(samples: np.ndarray, options: FeatureOptions,
                     seed_id: str = "") -> np.ndarray:
    """Compute the features of one recording.

    Parameters
    ----------
    samples : array (num_samples,)
        In 16-bit range (-32768..32767), at `options.sample_rate` hertz.
    options : FeatureOptions
        What to compute.
    seed_id : str
        Utterance id; seeds the dither.

    Returns
    -------
    float32 array (num_frames, options.dim)
        num_frames = 0 if the recording is shorter than one window.

    Raises
    ------
    UserError
        if a sample is not finite.
    """
    stream = FeatureStream(options, seed_id)
    return np.concatenate([stream.accept(samples), stream.finish()])


class FeatureStream:
    """The features of a recording that comes in pieces of any size.

    However it is cut, the frames are those of the whole (`compute_features`), to rounding; memory
    holds what later frames need. Parameters as of `compute_features`.
    """

    def __init__(self, options: FeatureOptions, seed_id: str = ""):
        self._options, self._seed_id, self._given = options, seed_id, 0
        self._spectral = _SpectralStream(options, seed_id)
        self._pitch = PitchStream(options.sample_rate, options.frame_length_ms,
                                  options.frame_shift_ms, options.pitch_look_ahead,
                                  seed_id) if options.pitch else None
        # With pitch: rows that wait for it, and pitch that is ahead; one of the two is empty.
        self._rows = np.zeros((0, options.spectral_dim), np.float32)
        self._track = np.zeros((0, PITCH_DIM), np.float32)
        self._last = np.zeros((1, PITCH_DIM), np.float32)  # zeros where there is no pitch at all

    def accept(self, samples: np.ndarray) -> np.ndarray:
        """Take the next samples; return the frames that are ready, float32 (frames, options.dim).

        Parameters
        ----------
        samples : array (num_samples,)
            In 16-bit range (-32768..32767), at `options.sample_rate` hertz.

        Raises
        ------
        UserError
            if a sample is not finite; none of `samples` is taken then.
        """
        samples = checked_samples(samples, self._seed_id, self._given)
        self._given += len(samples)
        rows = self._spectral.accept(samples)
        return rows if self._pitch is None else self._joined(rows, self._pitch.accept(samples))

    def finish(self) -> np.ndarray:
        """End the recording: return the frames that waited, float32 (frames, options.dim)."""
        rows = self._spectral.finish()
        if self._pitch is None:
            return rows
        joined = self._joined(rows, self._pitch.finish())
        # The pitch counts its frames at another rate: the last one is repeated.
        rest = np.repeat(self._last, len(self._rows), axis=0)
        return np.concatenate([joined, np.concatenate([self._rows, rest], axis=1)])

    def _joined(self, rows: np.ndarray, track: np.ndarray) -> np.ndarray:
        """Put spectral rows and pitch side by side, as far as there are both."""
        self._rows = np.concatenate([self._rows, rows])
        self._track = np.concatenate([self._track, track])
        count = min(len(self._rows), len(self._track))
        joined = np.concatenate([self._rows[:count], self._track[:count]], axis=1)
        if count:
            self._last = self._track[count - 1:count].copy()
        self._rows, self._track = self._rows[count:], self._track[count:]
        return joined


class _SpectralStream:
    """MFCC or filter bank of a recording that comes in pieces of any size.

    Parameters
    ----------
    options : FeatureOptions
    seed_id : str
        Utterance id; seeds the dither.
    """

    def __init__(self, options: FeatureOptions, seed_id: str = ""):
        self._options, self._tables = options, _tables(options)
        self._samples = SampleStream(options, seed_id)
        self._held = np.zeros(0, np.float32)  # samples that the next frames begin with
        self._given = self._made = 0  # samples, frames
        self._skip = 0  # samples to come that are in no frame

    def accept(self, samples: np.ndarray) -> np.ndarray:
        """Take the next samples; return the frames that are complete, float32 (frames, columns).

        Parameters
        ----------
        samples : float32 (num_samples,)
            As from `frames.checked_samples`, in 16-bit range (-32768..32767).
        """
        self._given += len(samples)
        self._hold(self._samples.accept(samples))
        spare = len(self._held) - self._options.window_samples
        return self._frames(0 if spare < 0 else 1 + spare // self._options.shift_samples)

    def finish(self) -> np.ndarray:
        """Return the frames that reach beyond the end, which only come without `snip_edges`."""
        self._hold(self._samples.finish())
        return self._frames(num_frames(self._given, self._options) - self._made)

    def _hold(self, samples: np.ndarray) -> None:
        self._held = np.concatenate([self._held, samples[self._skip:]])
        self._skip = max(0, self._skip - len(samples))

    def _frames(self, count: int) -> np.ndarray:
        options = self._options
        features = np.empty((max(count, 0), options.spectral_dim), dtype=np.float32)
        if count <= 0:
            return features
        energies = np.empty(count, dtype=np.float32)
        # Zeros beyond the window pad the transform; the kernel leaves them as they are.
        frames = np.zeros((min(count, BLOCK_FRAMES), options.fft_samples), dtype=np.float32)
        mel = np.empty((frames.shape[0], options.num_mel_bins), dtype=np.float32)
        for first in range(0, count, BLOCK_FRAMES):
            rows = slice(first, min(count, first + BLOCK_FRAMES))
            size = rows.stop - first
            cut_frames(self._held, first, options.shift_samples, self._tables.window,
                       np.float32(options.preemphasis), options.remove_dc_offset,
                       options.raw_energy, frames[:size], energies[rows])
            # numpy transforms float32 several times slower than float64.
            spectrum = np.fft.rfft(frames[:size].astype(np.float64), axis=1).astype(np.complex64)
            _mel_energies(spectrum.view(np.float32), self._tables.first_bin, self._tables.offset,
                          self._tables.weight, options.use_power, mel[:size])
            _finish(mel[:size], features[rows], self._tables, options)
        if options.has_energy:
            features[:, 0] = _log_energy(energies, options)
        self._made += count
        # Frames further apart than they are long leave samples out.
        self._skip = max(0, count * options.shift_samples - len(self._held))
        self._held = self._held[count * options.shift_samples:]
        return features


def mel_filters(options: FeatureOptions) -> np.ndarray:
    """Return the triangular mel filters, float64 (num_mel_bins, fft_samples / 2).

    The triangles are straight in mel, not in hertz; the bin at half the rate is left out.
    """
    bins = np.arange(options.fft_samples // 2) * (options.sample_rate / options.fft_samples)
    edges = np.linspace(_mel(options.low_freq), _mel(options.top_freq), options.num_mel_bins + 2)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    # Kaldi's triangles are straight in mel: the slopes are computed there.
    position = _mel(bins)[None, :]
    rising = (position - left) / (centre - left)
    falling = (right - position) / (right - centre)
    return np.maximum(0.0, np.minimum(rising, falling))


def dct_matrix(options: FeatureOptions) -> np.ndarray:
    """Return the liftered cosine transform, float64 (num_mel_bins, num_ceps)."""
    bins, ceps = options.num_mel_bins, np.arange(options.num_ceps)
    angle = np.pi / bins * np.outer(np.arange(bins) + 0.5, ceps)
    matrix = np.sqrt(2.0 / bins) * np.cos(angle)
    # The orthonormal DCT has another factor for C0, as in Kaldi.
    matrix[:, 0] = np.sqrt(1.0 / bins)
    if options.cepstral_lifter > 0:
        length = options.cepstral_lifter
        matrix *= 1.0 + 0.5 * length * np.sin(np.pi * ceps / length)
    return matrix


class _Tables(NamedTuple):
    """What depends on the options alone; `weight[offset[b]:offset[b + 1]]` belongs to filter b."""

    window: np.ndarray
    first_bin: np.ndarray
    offset: np.ndarray
    weight: np.ndarray
    dct: np.ndarray


@lru_cache(maxsize=16)
def _tables(options: FeatureOptions) -> _Tables:
    first_bin, offset, weights = [], [0], []
    for row in mel_filters(options):
        used = np.flatnonzero(row)
        # A filter between two bins (too many filters for the transform) stays empty, as in Kaldi.
        first, stop = (used[0], used[-1] + 1) if len(used) else (0, 0)
        first_bin.append(first)
        weights.append(row[first:stop])
        offset.append(offset[-1] + stop - first)
    return _Tables(
        window_function(options),
        np.array(first_bin, dtype=np.int64),
        np.array(offset, dtype=np.int64),
        np.concatenate(weights).astype(np.float32),
        np.ascontiguousarray(dct_matrix(options), dtype=np.float32),
    )


def _finish(mel: np.ndarray, features: np.ndarray, tables: _Tables,
            options: FeatureOptions) -> None:
    """Turn mel energies (F, bins), which are overwritten, into features (F, dim)."""
    if options.kind == "mfcc" or options.use_log_fbank:
        # The log of 0 would be -inf, which no mean survives.
        np.maximum(mel, ENERGY_EPSILON, out=mel)
        np.log(mel, out=mel)
    if options.kind == "mfcc":
        np.matmul(mel, tables.dct, out=features)
    else:
        features[:, int(options.has_energy):] = mel


def _log_energy(energies: np.ndarray, options: FeatureOptions) -> np.ndarray:
    floor = max(ENERGY_EPSILON, np.float32(options.energy_floor))
    return np.log(np.maximum(energies, floor))


def _mel(hertz):
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _mel_energies(spectrum, first_bin, offset, weight, use_power, mel):
    """Fill `mel` (F, bins) from `spectrum` float32 (F, 2 * transform bins: real, imaginary)."""
    num_bins = spectrum.shape[1] // 2
    power = np.empty(num_bins, dtype=np.float32)
    for row in range(mel.shape[0]):
        values = spectrum[row]
        for k in range(num_bins):
            power[k] = values[2 * k] * values[2 * k] + values[2 * k + 1] * values[2 * k + 1]
        if not use_power:
            for k in range(num_bins):
                power[k] = np.sqrt(power[k])
        for b in range(mel.shape[1]):
            start = offset[b]
            shift = first_bin[b] - start
            total = np.float32(0.0)
            for k in range(start, offset[b + 1]):
                total += weight[k] * power[shift + k]
            mel[row, b] = total
