"""Owns the noises that are added to speech: recordings of a folder, or made by the program.

Both come as a dict of name to float32 samples in the 16-bit range, one channel. The noises made
here (`synthetic_noises`) are for those who have none: each is shaped in the frequency domain or
wraps round, so that its end goes over into its beginning.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from hybridasr.corpus.audio import load_audio
from hybridasr.corpus.readers.base import AUDIO_SUFFIXES
from hybridasr.errors import UserError
from hybridasr.storage import PathLike

SECONDS = 20.0
LEVEL = 1000.0  # root mean square of a noise made here, in 16-bit units
_LOWEST = 20.0  # hertz; nothing below is made
_MAINS = 50.0  # hertz
_TALKERS = 6


def noise_files(folder: PathLike) -> list[Path]:
    """Return the recordings below a folder, sorted by path; hidden ones are left out.

    Raises
    ------
    UserError
        if there is no such folder, or no recording in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError("no such folder of noises; check the path, or name none to have the "
                        "program make its own", folder)
    paths = sorted((path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES
                    and path.is_file() and not path.name.startswith(".")),
                   key=lambda path: path.relative_to(folder).as_posix())
    if not paths:
        raise UserError(f"holds no recordings of noise ({' '.join(AUDIO_SUFFIXES)}); put some "
                        "there, or name no folder to have the program make its own", folder)
    return paths


def load_noises(folder: PathLike, rate: int) -> dict[str, np.ndarray]:
    """Read every recording below a folder.

    Parameters
    ----------
    folder : path
    rate : int
        Hertz wanted; other rates are resampled, channels are mixed.

    Returns
    -------
    dict of str to float32 array (num_samples,)
        Names are paths in the folder.

    Raises
    ------
    UserError
        if there is none, one cannot be read (see `load_audio`), or one is silent.
    """
    noises = {}
    for path in noise_files(folder):
        samples = load_audio(path, rate)
        if samples.min() == samples.max():
            raise UserError("is silent, so no noise; take it out of the folder", path)
        noises[path.relative_to(folder).as_posix()] = samples
    return noises


def synthetic_noises(rate: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Make noises: white, pink, brown, babble, hum, clatter, fan.

    Parameters
    ----------
    rate : int
        Hertz.
    seed : int
        0 or more.

    Returns
    -------
    dict of str to float32 array (20 * rate,)
        Of a root mean square of 1000 each.
    """
    makers: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
        "white": lambda rate, rng: _shaped(rate, rng, lambda hertz: 1.0 + 0 * hertz),
        "pink": lambda rate, rng: _shaped(rate, rng, lambda hertz: hertz**-0.5),
        "brown": lambda rate, rng: _shaped(rate, rng, lambda hertz: 1 / hertz),
        "babble": _babble, "hum": _hum, "clatter": _clatter, "fan": _fan,
    }
    return _made(makers, rate, seed, 0)


def event_noises(rate: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Make noises with single events in them, as speech has them: rustle, household.

    Parameters and result as for `synthetic_noises`.
    """
    return _made({"rustle": _rustle, "household": _household}, rate, seed, 100)


def _made(makers: dict[str, Callable[[int, np.random.Generator], np.ndarray]], rate: int,
          seed: int, first: int) -> dict[str, np.ndarray]:
    noises = {}
    for number, (name, make) in enumerate(makers.items(), first):
        samples = make(rate, np.random.default_rng([seed, number]))
        samples = samples - samples.mean()
        noises[name] = (samples * (LEVEL / samples.std())).astype(np.float32)
    return noises


def _shaped(rate: int, rng: np.random.Generator, amplitude: Callable[[np.ndarray], np.ndarray]
            ) -> np.ndarray:
    """Return noise with a spectrum of `amplitude` (of hertz, from 20 on), deviation 1."""
    count = int(SECONDS * rate)
    hertz = np.fft.rfftfreq(count, 1 / rate)
    spectrum = np.fft.rfft(rng.standard_normal(count))
    spectrum *= np.where(hertz >= _LOWEST, amplitude(np.maximum(hertz, _LOWEST)), 0.0)
    samples = np.fft.irfft(spectrum, count)
    return samples / samples.std()


def _slow(rate: int, rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """Return a slow movement between `low` and `high` hertz, mean 0 and deviation 1."""
    count = int(SECONDS * rate)
    spectrum = np.zeros(count // 2 + 1, dtype=np.complex128)
    first, last = int(low * SECONDS), int(high * SECONDS) + 1
    spectrum[first:last] = rng.standard_normal((last - first, 2)) @ (1, 1j)
    samples = np.fft.irfft(spectrum, count)
    return samples / samples.std()


def _babble(rate: int, rng: np.random.Generator) -> np.ndarray:
    """Several talkers: noise of the long-term spectrum of speech, in syllables (2 to 8 a second).

    The spectrum is flat to 500 Hz and falls by 9 dB an octave from there; each talker has peaks
    of their own on it, where formants would be.
    """
    total = np.zeros(int(SECONDS * rate))
    for _ in range(_TALKERS):
        peaks = rng.uniform((300, 900, 2000), (800, 2000, 3200))

        def amplitude(hertz: np.ndarray, peaks: np.ndarray = peaks) -> np.ndarray:
            tilt = (hertz / 100) / (1 + (hertz / 100)**2)**0.5 / (1 + (hertz / 500)**2)**0.75
            return tilt * (1 + sum(4 * np.exp(-((hertz - p) / (0.12 * p))**2) for p in peaks))

        syllables = np.exp(1.2 * _slow(rate, rng, 2.0, 8.0))
        total += _shaped(rate, rng, amplitude) * syllables * rng.uniform(0.5, 1.0)
    return total


def _hum(rate: int, rng: np.random.Generator) -> np.ndarray:
    """The mains: 50 Hz and its harmonics, the even ones stronger, over a little pink noise."""
    time = np.arange(int(SECONDS * rate)) / rate
    total = 0.02 * _shaped(rate, rng, lambda hertz: hertz**-0.5)
    for harmonic in range(1, min(24, int(0.45 * rate / _MAINS)) + 1):
        strength = rng.uniform(0.5, 1.5) / harmonic * (1.0 if harmonic % 2 else 1.5)
        phase = rng.uniform(0, 2 * np.pi)
        total += strength * np.sin(2 * np.pi * _MAINS * harmonic * time + phase)
    return total


def _clatter(rate: int, rng: np.random.Generator) -> np.ndarray:
    """Dishes and cutlery: knocks at random times (3 a second), each of ringing metal modes."""
    count = int(SECONDS * rate)
    total = np.zeros(count)
    time = np.arange(int(0.6 * rate)) / rate
    for _ in range(rng.poisson(3 * SECONDS)):
        knock = np.zeros(len(time))
        for _ in range(rng.integers(4, 9)):
            hertz = np.exp(rng.uniform(np.log(700), np.log(min(7500, 0.45 * rate))))
            decay = np.exp(rng.uniform(np.log(0.01), np.log(0.12)))
            knock += (rng.uniform(0.3, 1.0) * np.exp(-time / decay)
                      * np.sin(2 * np.pi * hertz * time + rng.uniform(0, 2 * np.pi)))
        # The blow itself: a few milliseconds of noise.
        knock += rng.standard_normal(len(time)) * np.exp(-time / 0.002)
        place = (rng.integers(count) + np.arange(len(time))) % count
        total[place] += knock * np.exp(rng.uniform(np.log(0.1), 0.0))
    # Softly the rest of the kitchen, so that no piece is silent.
    return total / total.std() + 0.03 * _shaped(rate, rng, lambda hertz: hertz**-0.5)


def _fan(rate: int, rng: np.random.Generator) -> np.ndarray:
    """Moving air (falling above 200 Hz), swelling a little, and the tone of the blades."""
    air = _shaped(rate, rng, lambda hertz: 1 / (1 + (hertz / 200)**2)**0.6)
    time = np.arange(int(SECONDS * rate)) / rate
    # In twentieths of a hertz, so that the tone has whole periods.
    blades = round(rng.uniform(60, 140) * SECONDS) / SECONDS
    tone = sum(np.sin(2 * np.pi * blades * k * time + rng.uniform(0, 2 * np.pi)) / k**1.5
               for k in range(1, 6))
    return (air + 0.3 * tone) * (1 + 0.1 * np.clip(_slow(rate, rng, 0.1, 1.5), -3, 3))


def _rustle(rate: int, rng: np.random.Generator) -> np.ndarray:
    """Cloth, paper, water: bursts of 40 to 500 ms (2.5 a second), each of a band of its own."""
    count = int(SECONDS * rate)
    total = np.zeros(count)
    for _ in range(rng.poisson(2.5 * SECONDS)):
        length = int(rate * np.exp(rng.uniform(np.log(0.04), np.log(0.5))))
        low = np.exp(rng.uniform(np.log(100), np.log(0.25 * rate)))
        high = min(low * np.exp(rng.uniform(np.log(1.5), np.log(6))), 0.48 * rate)
        hertz = np.maximum(np.fft.rfftfreq(length, 1 / rate), _LOWEST)
        # 24 dB an octave on either side of the band.
        shape = np.minimum(1, hertz / low)**4 * np.minimum(1, high / hertz)**4
        burst = np.fft.irfft(np.fft.rfft(rng.standard_normal(length)) * shape, length)
        rise, place = rng.uniform(0.02, 0.6), np.linspace(0, 1, length)
        burst *= np.minimum(place / rise, (1 - place) / (1 - rise)) / burst.std()
        total[(rng.integers(count) + np.arange(length)) % count] += (
            burst * np.exp(rng.uniform(np.log(0.1), 0.0)))
    return total / total.std() + 0.05 * _shaped(rate, rng, lambda hertz: hertz**-0.5)


def _household(rate: int, rng: np.random.Generator) -> np.ndarray:
    """Rustle, dishes and a fan together."""
    return _rustle(rate, rng) + _clatter(rate, rng) + 0.5 * _fan(rate, rng)
