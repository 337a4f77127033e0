"""Owns voice activity: where somebody speaks, from the silence posteriors of a network.

The probability of speech in a frame is one minus what the network gives to silence; averaged over
neighbouring frames and cut with two thresholds, it becomes segments.
"""

from dataclasses import dataclass

import numpy as np

from hybridasr.errors import UserError
from hybridasr.model.acoustic import AcousticModel
from hybridasr.options import option


@dataclass(frozen=True)
class VadOptions:
    """How frame probabilities become segments; times in seconds."""

    smoothing: float = option(0.11, "seconds that a frame's probability is averaged over")
    onset: float = option(0.5, "speech begins where the probability reaches this")
    offset: float = option(0.35, "speech ends where the probability falls below this")
    min_speech: float = option(0.1, "shorter speech is dropped")
    min_silence: float = option(0.2, "shorter pauses are filled")
    padding: float = option(0.05, "added to both ends of a segment")

    def __post_init__(self):
        if not 0 <= self.offset <= self.onset <= 1:
            raise UserError(f"onset {self.onset} and offset {self.offset}; give probabilities, the "
                            "offset at most the onset")
        for name in ("smoothing", "min_speech", "min_silence", "padding"):
            if getattr(self, name) < 0:
                raise UserError(f"option {name} is {getattr(self, name)}; give 0 or more seconds")


@dataclass(frozen=True)
class Speech:
    """A stretch of speech, in seconds, with the average probability of its frames."""

    start: float
    end: float
    probability: float


def detect_speech(model: AcousticModel, samples: np.ndarray,
                  options: VadOptions | None = None) -> list[Speech]:
    """Find speech in one recording.

    Parameters
    ----------
    samples : float32 (num_samples,)
        In 16-bit range, at the model's sampling rate.

    Raises
    ------
    UserError
        if the model is not a network, or has no silence of its own.
    """
    feats = model.front_end.recording(samples)[0].features
    return speech_segments(speech_probabilities(model, feats), model.frame_shift,
                           options or VadOptions())


def speech_probabilities(model: AcousticModel, feats: np.ndarray) -> np.ndarray:
    """Return the probability of speech at each score of the network, float64 (num_scores,).

    Parameters
    ----------
    feats : float32 (num_frames, dim)
        As from `features.front_end` or `features.feature_set.load_feats`.
    """
    if model.nnet is None:
        raise UserError("voice activity needs a network; train one with 'hybridasr train-dnn'",
                        model.lang.path.parent)
    # Of a CTC network spoken noise may have a class, but silence is blanks, as the ends of labels
    # are.
    tuples, pause = model.transitions.tuples, model.lang.optional_silence
    if not set(model.silence_pdfs) & set(tuples[tuples[:, 0] == pause, 2].tolist()):
        if model.info.get("criterion") == "ctc":
            raise UserError("a CTC network has no class of silence, its blanks are within words "
                            "too; give a network of 'hybridasr train-dnn'", model.lang.path.parent)
        raise UserError("the tree gives silence no pdf of its own; give silence its own root in "
                        "phones/roots.int and train again", model.lang.path)
    posteriors = model.nnet.log_posteriors(model.final_features(feats))
    return 1.0 - np.exp(posteriors[:, model.silence_pdfs].astype(np.float64)).sum(1)


def speech_segments(probabilities: np.ndarray, shift: float, options: VadOptions) -> list[Speech]:
    """Cut frame probabilities (num_frames,), `shift` seconds apart, into segments of speech.

    >>> plain = VadOptions(smoothing=0, min_speech=0, min_silence=0, padding=0)
    >>> [(speech.start, speech.end) for speech in speech_segments(
    ...     np.array([0.0, 0.9, 1.0, 0.4, 0.0]), 0.5, plain)]
    [(0.5, 2.0)]
    """
    count = len(probabilities)
    half = round(options.smoothing / shift) // 2
    # The mean over each window is a difference of sums; windows are shorter at the ends.
    sums = np.concatenate([[0.0], np.cumsum(probabilities)])
    low = np.maximum(np.arange(count) - half, 0)
    high = np.minimum(np.arange(count) + half + 1, count)
    smooth = (sums[high] - sums[low]) / (high - low) if count else probabilities
    # Two thresholds, so that a value that wavers around one does not cut the speech to pieces.
    spans: list[list[int]] = []
    speaking = False
    for frame, value in enumerate(smooth.tolist()):
        if speaking:
            speaking = value >= options.offset
        elif value >= options.onset:
            speaking = True
            # After a short pause the segment before goes on.
            if spans and (frame - spans[-1][1]) * shift < options.min_silence:
                spans[-1][1] = frame + 1
            else:
                spans.append([frame, frame + 1])
        if speaking:
            spans[-1][1] = frame + 1
    segments: list[Speech] = []
    for begin, end in spans:
        if (end - begin) * shift < options.min_speech:
            continue
        start = max(0.0, begin * shift - options.padding)
        if segments:  # two paddings may not overlap
            start = max(start, segments[-1].end)
        stop = min(count * shift, end * shift + options.padding)
        segments.append(Speech(start, stop, float(np.mean(probabilities[begin:end]))))
    return segments
