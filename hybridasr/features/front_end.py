"""Owns the way from the samples of a lone recording to what an acoustic model sees."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hybridasr.features.frames import FeatureOptions
from hybridasr.features.mfcc import compute_features
from hybridasr.features.normalization import Normalization, recording_normalization
from hybridasr.features.online_cmvn import SpeechStats, level_columns
from hybridasr.features.pipeline import ExpandStream, Frames, PipelineOptions


@dataclass(frozen=True, eq=False)
class FrontEnd:
    """Computes, normalises and expands the features of recordings; the same for all threads."""

    features: FeatureOptions
    pipeline: PipelineOptions
    normalization: Normalization

    @classmethod
    def of(cls, features: FeatureOptions, pipeline: PipelineOptions, prior: np.ndarray | None
           ) -> "FrontEnd":
        """Put it together; arguments and errors as of `normalization.recording_normalization`."""
        return cls(features, pipeline, recording_normalization(features, pipeline, prior))

    def recording(self, samples: np.ndarray, before: SpeechStats | None = None
                  ) -> tuple[Frames, SpeechStats | None]:
        """Return what a model sees of one recording, and what was heard in it.

        Parameters
        ----------
        samples : array (num_samples,)
            In 16-bit range, at `features.sample_rate` hertz.
        before : SpeechStats, optional
            Of the speaker before this recording; used with cmvn "online" only.

        Returns
        -------
        (Frames, SpeechStats or None)
            No frames if the recording is shorter than one window. None if nothing was heard, or
            the recipe has no use for it.
        """
        # The dither hangs on nothing but the samples' places: a copy under another name is equal.
        raw = compute_features(samples, self.features)
        stream = self.stream(before)
        features = np.concatenate([stream.accept(raw), stream.finish()])
        return Frames(features, self.levels(raw)), stream.stats

    def stream(self, before: SpeechStats | None = None, provisional: bool = False
               ) -> "InputStream":
        """Begin an utterance whose raw features come in pieces.

        Parameters as of `Normalization.stream`.
        """
        return InputStream(self, before, provisional)

    def levels(self, raw: np.ndarray) -> np.ndarray:
        """Return how loud raw frames are, natural log of power, float64 (num_frames,)."""
        return raw @ self._level_weight

    @cached_property
    def _level_weight(self) -> np.ndarray:
        return level_columns(self.features)[0]


class InputStream:
    """What a model sees of an utterance whose raw features come in pieces."""

    def __init__(self, front_end: FrontEnd, before: SpeechStats | None, provisional: bool):
        self._normal = front_end.normalization.stream(before, provisional)
        self._expand = ExpandStream(front_end.pipeline, front_end.features.dim)

    def accept(self, raw: np.ndarray) -> np.ndarray:
        """Take the next raw frames (frames, dim); return those ready, float32 (frames, columns)."""
        return self._expand.accept(self._normal.accept(raw))

    def finish(self) -> np.ndarray:
        """End the utterance: return the frames that waited, float32 (frames, columns)."""
        rest = self._normal.finish()
        last = [] if rest is None else [self._expand.accept(rest)]
        return np.concatenate([*last, self._expand.finish()])

    @property
    def stats(self) -> SpeechStats | None:
        """What was heard so far, with cmvn "online"; None of nothing."""
        return self._normal.stats
