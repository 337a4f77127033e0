"""Owns the perturbations of samples: speed, volume, colour, added noise.

Each takes float32 samples in the 16-bit range and gives new ones; the input stays as it
is. A result above full scale is turned down as a whole instead of clipped, so that the shape
of the sound and the ratio of speech to noise stay. Reverberation is in `corpus.room`.
Kaldi: utils/perturb_data_dir_speed.sh, perturb_data_dir_volume.sh, featbin/wav-reverberate.cc.
"""

from fractions import Fraction

import numpy as np
import scipy.fft

from hybridasr.corpus.audio import FULL_SCALE, resample
from hybridasr.errors import UserError

SLOWEST, FASTEST = 0.25, 4.0
# How strong the cosines of a colour are, the tilt first.
_CURVE = np.array([1.0, 0.6, 0.4])
# Samples of a frame whose power is taken: 25 ms at 16 kHz, 50 ms at 8 kHz.
_POWER_FRAME = 400
# Speech is where the power is at most 20 dB below that of its loud frames (19 in 20 are softer:
# a knock on the microphone is not what the rest is measured by).
_ACTIVE_RANGE = 0.01
_LOUD_PERCENTILE = 95.0


def change_speed(samples: np.ndarray, factor: float) -> np.ndarray:
    """Play the samples `factor` times as fast: time and pitch both change, as on a tape.

    Parameters
    ----------
    samples : float32 array (num_samples,)
    factor : float
        0.25 to 4; taken as the nearest fraction whose denominator is at most 200.

    Returns
    -------
    float32 array (ceil(num_samples / factor),)
        A tone of f hertz has become one of f * factor; what would pass half the rate is filtered
        out (`corpus.audio.resample`).

    Raises
    ------
    UserError
        if `factor` is out of its range.
    """
    if not SLOWEST <= factor <= FASTEST:
        raise UserError(f"speed {factor} is out of range; give {SLOWEST} to {FASTEST:g}")
    ratio = Fraction(factor).limit_denominator(200)
    return limit_peak(resample(samples, ratio.numerator, ratio.denominator))


def change_volume(samples: np.ndarray, gain: float) -> np.ndarray:
    """Multiply the samples by `gain` (more than 0), or by less where the peak would clip.

    Raises
    ------
    UserError
        if `gain` is not a positive number.
    """
    if not 0 < gain < float("inf"):
        raise UserError(f"gain {gain} is out of range; give a positive number")
    return limit_peak(np.float64(gain) * samples)


def change_colour(samples: np.ndarray, rate: int, decibels: float, rng: np.random.Generator
                  ) -> np.ndarray:
    """Colour the sound as another microphone would: a smooth curve over frequency, drawn at random.

    The curve is a sum of three cosines over the mel scale, from a tilt to two waves; `decibels` is
    the deviation of the tilt, and the others are smaller. The phase stays.

    Parameters
    ----------
    samples : float32 array (num_samples,)
    rate : int
        Hertz.
    decibels : float
        0 for no change.
    rng : numpy Generator

    Returns
    -------
    float32 array (num_samples,)
    """
    shares = rng.standard_normal(len(_CURVE)) * _CURVE * decibels
    if not len(samples) or decibels == 0:
        return limit_peak(samples)
    size = scipy.fft.next_fast_len(len(samples), real=True)
    hertz = scipy.fft.rfftfreq(size, 1 / rate)
    place = np.log1p(hertz / 700.0) / np.log1p(rate / 1400.0)
    curve = sum(share * np.cos(np.pi * (wave + 1) * place) for wave, share in enumerate(shares))
    spectrum = scipy.fft.rfft(samples.astype(np.float64), size) * 10 ** (curve / 20)
    return limit_peak(scipy.fft.irfft(spectrum, size)[:len(samples)])


def add_noise(samples: np.ndarray, noise: np.ndarray, snr_db: float,
              rng: np.random.Generator) -> np.ndarray:
    """Add a piece of `noise`, from a random place on, at a signal-to-noise ratio.

    The ratio is that of `speech_power` (silence around a word does not count) to the mean power
    of the piece. The mean of the piece is taken off first: an offset of the recording is no noise.

    Parameters
    ----------
    samples : float32 array (num_samples,)
    noise : float32 array (num_noise,)
        Of the same rate; begun anew where it is too short.
    snr_db : float
        Decibels.
    rng : numpy Generator
        Draws the place.

    Returns
    -------
    float32 array (num_samples,)
        A copy of `samples` if they, or the piece, are silent: there is no ratio then.

    Raises
    ------
    UserError
        if `noise` has no samples or `snr_db` is not finite.
    """
    if len(noise) == 0:
        raise UserError("the noise has no samples; give a recording of a second or more")
    if not np.isfinite(snr_db):
        raise UserError(f"a signal-to-noise ratio of {snr_db} dB; give a finite number")
    # A long noise is cut inside, a short one goes round.
    spare = len(noise) - len(samples)
    start = int(rng.integers(spare + 1 if spare >= 0 else len(noise)))
    piece = np.take(noise, np.arange(start, start + len(samples)), mode="wrap").astype(np.float64)
    piece -= piece.mean() if len(piece) else 0.0
    speech, power = speech_power(samples), float(np.mean(piece**2)) if len(piece) else 0.0
    if speech <= 0.0 or power <= 0.0:
        return samples.copy()
    piece *= np.sqrt(speech / power) * 10 ** (-snr_db / 20)
    return limit_peak(piece + samples)


def speech_power(samples: np.ndarray) -> float:
    """Return the mean power of the active part of a recording, in squared 16-bit units.

    Active are the frames of 400 samples that are at most 20 dB below the loud ones (the 95th
    percentile). Less than two frames are taken whole. An offset from zero does not count.
    """
    if len(samples) == 0:
        return 0.0
    centred = samples.astype(np.float64)
    centred -= centred.mean()
    count = len(centred) // _POWER_FRAME
    if count < 2:
        return float(np.mean(centred**2))
    power = np.mean(centred[:count * _POWER_FRAME].reshape(count, _POWER_FRAME)**2, axis=1)
    active = (power >= _ACTIVE_RANGE * np.percentile(power, _LOUD_PERCENTILE)) & (power > 0)
    return float(power[active].mean()) if active.any() else 0.0


def limit_peak(samples: np.ndarray) -> np.ndarray:
    """Return a float32 copy, turned down where a sample would not fit into 16 bits."""
    if len(samples) == 0:
        return np.array(samples, dtype=np.float32)
    excess = max(float(samples.max()) / (FULL_SCALE - 1), -float(samples.min()) / FULL_SCALE)
    return np.array(samples / excess if excess > 1.0 else samples, dtype=np.float32)
