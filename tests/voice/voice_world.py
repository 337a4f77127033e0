"""Voices that can be made: a buzz of the speaker's pitch through the throat, words of vowels."""

import numpy as np
import soundfile

from hybridasr.corpus.datadir import Utterance, read_datadir, write_datadir

RATE = 16000
VOWELS = {"a": (700, 1200), "i": (300, 2300), "u": (320, 700), "e": (500, 1800), "o": (450, 850)}
WORDS = ["aiu", "iea", "uoa", "eoi", "oau", "uie"]


def speak(speaker, word, rng):
    """Samples of a word of vowels, float64, with hiss around; `speaker` seeds the voice."""
    voice = np.random.default_rng([7, speaker])
    size, pitch = voice.uniform(0.85, 1.2), voice.uniform(90, 240)
    tilt, band = voice.uniform(0.3, 1.2), voice.uniform(60, 140)
    parts = []
    for vowel in word:
        count = int(RATE * rng.uniform(0.15, 0.25))
        harmonics = np.arange(1, int(7000 / pitch)) * pitch * rng.uniform(0.98, 1.02)
        gains = sum(1 / (1 + ((harmonics - size * formant) / band)**2)
                    for formant in (*VOWELS[vowel], 2700 + 500 * tilt)) * harmonics**-tilt
        phases = rng.uniform(0, 6, len(harmonics))
        parts.append(gains @ np.sin(2 * np.pi * harmonics[:, None] * np.arange(count) / RATE
                                    + phases[:, None]))
    voiced = np.concatenate(parts)
    voiced *= rng.uniform(1000, 4000) / voiced.std()
    return np.pad(voiced, 3200) + 10 * rng.standard_normal(len(voiced) + 6400)


def write_voices(path, speakers, seed=0):
    """A data directory: every word by every speaker, twice."""
    rng, utterances = np.random.default_rng(seed), []
    for speaker in speakers:
        for number, word in enumerate(WORDS * 2):
            key = f"v{speaker:02d}-{number:02d}"
            wav = path / "wav" / f"{key}.wav"
            wav.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(wav, np.round(speak(speaker, word, rng)).astype(np.int16), RATE)
            utterances.append(Utterance(key, f"v{speaker:02d}", (word,), key, str(wav)))
    write_datadir(path, utterances)
    return read_datadir(path, False)
