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
PITCH_DIM = 3  # columns of `pitch_stream.PitchStream`
# Frames that the pitch may look ahead at: its slope needs two.
LEAST_LOOK_AHEAD, MOST_LOOK_AHEAD = 2, 100


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
    pitch_look_ahead: int = option(15, "frames after a frame that its pitch is decided by",
                                   needs="pitch")

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
            (LEAST_LOOK_AHEAD <= self.pitch_look_ahead <= MOST_LOOK_AHEAD, "pitch_look_ahead",
             f"{LEAST_LOOK_AHEAD} to {MOST_LOOK_AHEAD}"),
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


def checked_samples(samples: np.ndarray, seed_id: str = "", before: int = 0) -> np.ndarray:
    """Return samples as float32 (num_samples,); refuse what is no signal.

    Parameters
    ----------
    samples : array (num_samples,)
    seed_id : str
        Utterance id, for the line.
    before : int
        Samples that came before these, for the line.

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
        raise UserError(f"{where}: sample {before + bad} is {samples[bad]}, not a finite number; "
                        "convert the recording again")
    return samples


class SampleStream:
    """The samples that frames are cut from, as they come: dithered, and mirrored at the edges.

    Dither is added once to the waveform, where Kaldi draws it anew for each frame: two and a half
    times fewer draws for the same noise in each frame; only the noise of overlapping frames is
    no longer independent. It is seeded by `seed_id` and hangs on nothing but the samples' places,
    so that a recording gives the same features in any order of work, and in any pieces.
    """

    def __init__(self, options: FeatureOptions, seed_id: str = ""):
        self._options = options
        seed = zlib.crc32(seed_id.encode(errors="surrogatepass"))  # file names may be no UTF-8
        self._noise = np.random.default_rng([options.seed, seed])
        # Without snip_edges, frame t, cut at t * shift, is centred on its shift: there are samples
        # before the first and after the last one, mirrored.
        self._first = 0 if options.snip_edges else (
            options.shift_samples // 2 - options.window_samples // 2)
        self._place = self._first  # of the next sample that goes out
        self._length = 0
        self._last = np.zeros(0, np.float32)  # the samples that may be mirrored, or wait

    def accept(self, samples: np.ndarray) -> np.ndarray:
        """Take the next samples, as of `checked_samples`; return those that are ready."""
        samples = self._dithered(samples)
        self._length += len(samples)
        if self._options.snip_edges:
            return samples
        self._last = np.concatenate([self._last, samples])
        if self._length < self._options.window_samples:  # too few to mirror
            return samples[:0]
        ready = self._up_to(self._length)
        self._last = self._last[-self._options.window_samples:]
        return ready

    def finish(self) -> np.ndarray:
        """Return the samples after the end that frames reach into."""
        options = self._options
        count = num_frames(self._length, options)
        if options.snip_edges or count == 0:
            return np.zeros(0, np.float32)
        return self._up_to(self._first + (count - 1) * options.shift_samples
                           + options.window_samples)

    def _dithered(self, samples: np.ndarray) -> np.ndarray:
        options = self._options
        if options.dither == 0:
            return samples
        noise = self._noise.standard_normal(len(samples), dtype=np.float32)
        if options.dither != 1.0:
            noise *= np.float32(options.dither)
        noise += samples
        return noise

    def _up_to(self, end: int) -> np.ndarray:
        index = np.arange(self._place, end)
        self._place = max(self._place, end)
        # Fold into one period of the mirrored recording: ... c b a | a b c | c b a ...
        index = index % (2 * self._length)
        index = np.minimum(index, 2 * self._length - 1 - index)
        return self._last[index - (self._length - len(self._last))]


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
