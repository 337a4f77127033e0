"""Owns the feature options and the step from samples to windowed frames.

Takes samples in 16-bit range, gives float32 frames ready for the Fourier transform and the energy
of each. Kaldi's order is kept: dither, cut, remove the mean, energy, pre-emphasis, window
(Kaldi: feat/feature-window.cc).
"""

import zlib
from dataclasses import dataclass

import numba
import numpy as np

from hybridasr.errors import UserError
from hybridasr.options import option

WINDOWS = ("povey", "hamming", "hanning", "rectangular")
KINDS = ("mfcc", "fbank")
PITCH_DIM = 3  # columns of `pitch.pitch_features`


@dataclass(frozen=True)
class FeatureOptions:
    """How one frame of samples becomes one row of features; the defaults are Kaldi's."""

    kind: str = option("mfcc", "mfcc: cepstra; fbank: log mel energies", KINDS)
    sample_rate: int = option(16000, "sampling rate in hertz that the features are made at")
    frame_length_ms: float = option(25.0, "length of a frame in milliseconds")
    frame_shift_ms: float = option(10.0, "step between frames in milliseconds")
    preemphasis: float = option(0.97, "pre-emphasis coefficient, 0 for none")
    window: str = option("povey", "window function", WINDOWS)
    num_mel_bins: int = option(23, "number of triangular mel filters")
    num_ceps: int = option(13, "number of cepstra (mfcc only)", needs="kind=mfcc")
    low_freq: float = option(20.0, "lower edge of the mel filters in hertz")
    high_freq: float = option(0.0, "upper edge in hertz; 0 or less: that much below half the rate")
    cepstral_lifter: float = option(22.0, "liftering of the cepstra, 0 for none (mfcc only)",
                                    needs="kind=mfcc")
    use_energy: bool | None = option(
        None, "log energy in the first column: in place of C0 (mfcc), in front (fbank); "
              "none: true for mfcc, false for fbank")
    raw_energy: bool = option(True, "take the energy before pre-emphasis and window")
    energy_floor: float = option(0.0, "floor of the energy, 0 for none")
    snip_edges: bool = option(True, "only frames that lie wholly inside the recording")
    remove_dc_offset: bool = option(True, "subtract the mean of each frame")
    round_to_power_of_two: bool = option(True, "pad the Fourier transform to a power of two")
    use_log_fbank: bool = option(True, "logarithm of the mel energies (fbank only)",
                                 needs="kind=fbank")
    use_power: bool = option(True, "power spectrum; false: magnitude")
    dither: float = option(1.0, "standard deviation of the noise added, in 16-bit units; 0: none")
    seed: int = option(0, "seed of the dither", needs="dither")
    pitch: bool = option(False, "append voicing, pitch and its slope (for tones), three columns")

    def __post_init__(self):
        """Refuse values that contradict each other."""
        nyquist = self.sample_rate / 2
        checks = [
            (self.kind in KINDS, "kind", f"one of {', '.join(KINDS)}"),
            (self.window in WINDOWS, "window", f"one of {', '.join(WINDOWS)}"),
            (self.sample_rate > 0, "sample_rate", "a positive number of hertz"),
            (self.window_samples >= 2, "frame_length_ms", "a frame of 2 samples or more"),
            (self.shift_samples >= 1, "frame_shift_ms", "a step of 1 sample or more"),
            (self.fft_samples % 2 == 0, "round_to_power_of_two", "true, or an even frame length"),
            (0 <= self.preemphasis <= 1, "preemphasis", "a value from 0 to 1"),
            (self.num_mel_bins >= 3, "num_mel_bins", "3 or more"),
            (self.num_ceps >= 1 and (self.kind != "mfcc" or self.num_ceps <= self.num_mel_bins),
             "num_ceps", f"1 to num_mel_bins ({self.num_mel_bins})"),
            (0 <= self.low_freq < nyquist, "low_freq", f"0 to below {nyquist:g} Hz"),
            (self.low_freq < self.top_freq <= nyquist, "high_freq",
             f"more than low_freq ({self.low_freq:g}) and at most {nyquist:g} Hz"),
            (self.dither >= 0, "dither", "0 or more"),
            (self.energy_floor >= 0, "energy_floor", "0 or more"),
            (self.seed >= 0, "seed", "0 or more"),
        ]
        for good, name, wanted in checks:
            if not good:
                raise UserError(f"option {name} is {getattr(self, name)!r}; give {wanted}")

    @property
    def window_samples(self) -> int:
        """Length of a frame in samples."""
        return int(self.sample_rate * 0.001 * self.frame_length_ms)

    @property
    def shift_samples(self) -> int:
        """Step between frames in samples."""
        return int(self.sample_rate * 0.001 * self.frame_shift_ms)

    @property
    def fft_samples(self) -> int:
        """Length of the Fourier transform in samples."""
        # As in Kaldi: a power of two is faster, and zeros fill up the frame.
        if not self.round_to_power_of_two:
            return self.window_samples
        return 1 << max(self.window_samples - 1, 1).bit_length()

    @property
    def top_freq(self) -> float:
        """Upper edge of the mel filters in hertz, resolved."""
        return self.high_freq if self.high_freq > 0 else self.sample_rate / 2 + self.high_freq

    @property
    def has_energy(self) -> bool:
        """Whether a column holds the log energy (`use_energy`, resolved)."""
        return self.kind == "mfcc" if self.use_energy is None else self.use_energy

    @property
    def dim(self) -> int:
        """Number of columns of the features."""
        return self.spectral_dim + PITCH_DIM * self.pitch

    @property
    def spectral_dim(self) -> int:
        """Number of columns without those of the pitch."""
        if self.kind == "mfcc":
            return self.num_ceps
        return self.num_mel_bins + int(self.has_energy)


def num_frames(num_samples: int, options: FeatureOptions) -> int:
    """Return how many frames a recording of `num_samples` samples gives (Kaldi's count)."""
    if options.snip_edges:
        spare = num_samples - options.window_samples
        return 0 if spare < 0 else 1 + spare // options.shift_samples
    # Without snip_edges the number depends on the shift alone: one frame for each shift, rounded.
    return (num_samples + options.shift_samples // 2) // options.shift_samples


def window_function(options: FeatureOptions) -> np.ndarray:
    """Return the window, float32 (window_samples,)."""
    length = options.window_samples
    cosine = np.cos(2 * np.pi * np.arange(length) / (length - 1))
    values = {
        "povey": (0.5 - 0.5 * cosine) ** 0.85,  # like hamming, but zero at the edges
        "hanning": 0.5 - 0.5 * cosine,
        "hamming": 0.54 - 0.46 * cosine,
        "rectangular": np.ones(length),
    }
    return values[options.window].astype(np.float32)


def prepare_samples(samples: np.ndarray, options: FeatureOptions, seed_id: str) -> np.ndarray:
    """Check, dither and (without `snip_edges`) mirror the samples at the edges.

    Dither is added once to the waveform, where Kaldi draws it anew for each frame: two and a half
    times fewer draws for the same noise in each frame; only the noise of overlapping frames is
    no longer independent. It is seeded by `seed_id`, so that a recording gives the same features
    in any order of work.

    Parameters
    ----------
    samples : array (num_samples,)
        In 16-bit range (-32768..32767).
    options : FeatureOptions
        Their dither, seed and kind of edges are used.
    seed_id : str
        Utterance id.

    Returns
    -------
    float32 array (>= num_samples,), to be cut from its first sample on.

    Raises
    ------
    UserError
        if `samples` is not one-dimensional or a sample is not finite.
    """
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    where = f"utterance '{seed_id}'" if seed_id else "the samples"
    if samples.ndim != 1:
        raise UserError(f"{where}: array of shape {samples.shape} instead of (num_samples,); "
                        "mix down to one channel")
    # One NaN would spread through the mean of the frame into all cepstra.
    if not np.isfinite(samples).all():
        bad = int(np.argmin(np.isfinite(samples)))
        raise UserError(f"{where}: sample {bad} is {samples[bad]}, not a finite number; "
                        "convert the recording again")
    if options.dither > 0:
        seed = zlib.crc32(seed_id.encode(errors="surrogatepass"))  # file names may be no UTF-8
        generator = np.random.default_rng([options.seed, seed])
        noise = generator.standard_normal(len(samples), dtype=np.float32)
        if options.dither != 1.0:
            noise *= np.float32(options.dither)
        noise += samples
        samples = noise
    return samples if options.snip_edges else _mirror_edges(samples, options)


def _mirror_edges(samples: np.ndarray, options: FeatureOptions) -> np.ndarray:
    """Extend the samples so that frame t, cut at t * shift, is centred on its shift."""
    count, length = num_frames(len(samples), options), len(samples)
    if count == 0:
        return samples[:0]
    shift, window = options.shift_samples, options.window_samples
    first = shift // 2 - window // 2
    index = np.arange(first, first + (count - 1) * shift + window)
    # Fold into one period of the mirrored recording: ... c b a | a b c | c b a ...
    index = index % (2 * length)
    return samples[np.minimum(index, 2 * length - 1 - index)]


@numba.njit(cache=True, nogil=True, fastmath=True)
def cut_frames(samples, first, shift, window, preemphasis, remove_mean, raw_energy, frames, energy):
    """Fill `frames` (F, >= W) and `energy` (F,) from frame `first` on.

    samples float32 (N,), window float32 (W,), preemphasis float32; columns of `frames` from W on
    are left alone (zero padding of the transform).
    """
    length = window.shape[0]
    keep = np.float32(1.0) - preemphasis
    for row in range(frames.shape[0]):
        start = (first + row) * shift
        piece = samples[start:start + length]
        out = frames[row]
        mean = np.float32(0.0)
        if remove_mean:
            for i in range(length):
                mean += piece[i]
            mean *= np.float32(1.0) / np.float32(length)
        raw = np.float32(0.0)
        for i in range(length):
            centred = piece[i] - mean
            raw += centred * centred
        # The mean comes off before pre-emphasis: x[i] - c x[i-1] - (1 - c) mean.
        lost = keep * mean
        out[0] = keep * (piece[0] - mean) * window[0]
        for i in range(1, length):
            out[i] = (piece[i] - preemphasis * piece[i - 1] - lost) * window[i]
        if not raw_energy:
            raw = np.float32(0.0)
            for i in range(length):
                raw += out[i] * out[i]
        energy[row] = raw
