"""Owns the voice vector: how a voice sounds in one recording, whatever is said.

Mean and spread of the cepstra over the frames of speech. Both hold the voice and the microphone.
What is said moves them too, which the model of voices (`plda`) allows for.
"""

import numpy as np

from hybridasr.features.frames import FeatureOptions
from hybridasr.features.mfcc import compute_features

NUM_MEL_BINS = 40
NUM_CEPS = 19  # without the first, which is the loudness
DIM = 2 * NUM_CEPS
# Speech is at most so far below the loud frames, natural log of power (13 dB). With 26 dB the
# dsp20 training speakers have an equal error rate of 8.1 % in place of 8.8 %, but with noise in the
# trials 40 % in place of 32 %.
SPEECH_RANGE = 3.0
LOUD_PERCENTILE = 95
LEAST_FRAMES = 10  # of speech; the spread of fewer says nothing
SMALLEST_SPREAD = 1e-3


def voice_vector(samples: np.ndarray, rate: int) -> np.ndarray | None:
    """Return the voice vector of a recording, float64 (DIM,); None if there is too little speech.

    Parameters
    ----------
    samples : array (num_samples,)
        In 16-bit range, at `rate` hertz.

    Raises
    ------
    UserError
        if a sample is not finite.
    """
    options = FeatureOptions(kind="fbank", sample_rate=rate, num_mel_bins=NUM_MEL_BINS)
    energies = compute_features(samples, options).astype(np.float64)
    if not len(energies):
        return None
    levels = energies.mean(axis=1)
    speech = energies[levels > np.percentile(levels, LOUD_PERCENTILE) - SPEECH_RANGE]
    if len(speech) < LEAST_FRAMES:
        return None
    from scipy.fft import dct  # recognising without a profile does without it

    cepstra = dct(speech, norm="ortho", axis=1)[:, 1:1 + NUM_CEPS]
    return np.concatenate([cepstra.mean(axis=0), np.log(cepstra.std(axis=0) + SMALLEST_SPREAD)])
