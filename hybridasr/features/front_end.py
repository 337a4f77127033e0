"""Owns the way from the samples of a lone recording to what an acoustic model sees."""

from dataclasses import dataclass

import numpy as np

from hybridasr.features.frames import FeatureOptions
from hybridasr.features.mfcc import compute_features
from hybridasr.features.normalization import Normalization, recording_normalization
from hybridasr.features.online_cmvn import SpeechStats, level_columns
from hybridasr.features.pipeline import Frames, PipelineOptions, expand, feature_dim


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
        if len(raw) == 0:
            empty = np.zeros((0, feature_dim(self.features, self.pipeline)), np.float32)
            return Frames(empty, np.zeros(0)), None
        normalized, stats = self.normalization.recording(raw, before)
        weight, _ = level_columns(self.features)
        return Frames(expand(normalized, self.pipeline), raw @ weight), stats
