"""Owns the feature recipe: from raw features to the rows an acoustic model sees.

A model records its recipe (`PipelineOptions`): normalisation (`features.normalization`), then what
`expand` does. `features.feature_set` applies it to a data directory, `features.front_end` to one
recording in memory.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from hybridasr.errors import UserError
from hybridasr.features.frames import FeatureOptions
from hybridasr.features.transforms import ContextStream, add_deltas, splice
from hybridasr.options import option

MOST_FRAMES = 100  # that deltas and splicing may look at to one side
CMVN_KINDS = ("online", "speaker", "utterance", "sliding", "none")


@dataclass(frozen=True)
class PipelineOptions:
    """The steps from raw features to a model's input: CMVN, deltas, splicing, in this order."""

    cmvn: str = option(
        "speaker", "mean that is taken off. online: of the speech so far, which a lone utterance "
                   "and a stream have too; speaker, utterance: of all their frames, silence and "
                   "all; sliding: of a window", CMVN_KINDS)
    norm_vars: bool = option(False, "normalise the variance too")
    cmvn_window: int = option(600, "frames of the sliding window", needs="cmvn=sliding")
    delta_order: int = option(2, "derivatives appended, 0 for none")
    delta_window: int = option(2, "frames to each side that a derivative looks at",
                              needs="delta_order")
    splice_left: int = option(0, "frames before the frame that are put beside it")
    splice_right: int = option(0, "frames after the frame that are put beside it")
    cmvn_min_window: int = option(100, "frames of the sliding window at the start",
                                 needs="cmvn=sliding")
    cmvn_center: bool = option(False, "centre the sliding window on the frame",
                              needs="cmvn=sliding")
    cmvn_prior_frames: int = option(50, "frames that the training set's mean counts for beside a "
                                        "recording's own when its speaker is unknown")
    cmvn_look_ahead: int = option(0, "frames after a frame that count for its mean",
                                  needs="cmvn=online")

    def __post_init__(self):
        """Refuse values outside their range."""
        if self.cmvn not in CMVN_KINDS:
            raise UserError(f"option cmvn is {self.cmvn!r}; give one of {', '.join(CMVN_KINDS)}")
        least = {"cmvn_window": 1, "cmvn_min_window": 1, "delta_order": 0, "delta_window": 1,
                 "splice_left": 0, "splice_right": 0, "cmvn_prior_frames": 0,
                 "cmvn_look_ahead": 0}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise UserError(f"option {name} is {getattr(self, name)}; give {bound} or more")
        # Larger ones would take memory by the terabyte before any kernel looks at them.
        for name in ("delta_order", "delta_window", "splice_left", "splice_right",
                     "cmvn_look_ahead"):
            if getattr(self, name) > MOST_FRAMES:
                raise UserError(f"option {name} is {getattr(self, name)}; give at most "
                                f"{MOST_FRAMES}")


class Frames(NamedTuple):
    """What a model sees of an utterance.

    Attributes
    ----------
    features : float32 (num_frames, feature_dim)
    levels : float64 (num_frames,)
        How loud each frame is (natural log of power), whatever is taken off the features.
    """

    features: np.ndarray
    levels: np.ndarray


def expand(features: np.ndarray, options: PipelineOptions) -> np.ndarray:
    """Append deltas and neighbouring frames to normalised features, float32 (frames, columns)."""
    if options.delta_order:
        # Deltas first, then splicing: models record their options for this order.
        features = add_deltas(features, options.delta_order, options.delta_window)
    features = splice(features, options.splice_left, options.splice_right)
    return np.ascontiguousarray(features, dtype=np.float32)


class ExpandStream:
    """What `expand` gives, of features (frames, dim) that come in pieces."""

    def __init__(self, options: PipelineOptions, dim: int):
        order, window = options.delta_order, options.delta_window
        left, right = options.splice_left, options.splice_right
        self._none = np.zeros((0, dim), np.float32)
        self._steps = []
        if order:
            self._steps.append(ContextStream(lambda rows: add_deltas(rows, order, window),
                                             order * window, order * window, dim))
        if left or right:
            self._steps.append(ContextStream(lambda rows: splice(rows, left, right), left, right,
                                             dim * (order + 1)))

    def accept(self, features: np.ndarray) -> np.ndarray:
        """Take the next frames; return the rows that are ready, float32 (frames, columns)."""
        for step in self._steps:
            features = step.accept(features)
        return features

    def finish(self) -> np.ndarray:
        """Return the rows that waited for later frames, float32 (frames, columns)."""
        features = self._none
        for step in self._steps:
            features = np.concatenate([step.accept(features), step.finish()])
        return features


def base_pipeline(options: PipelineOptions) -> PipelineOptions:
    """Return the recipe without what `expand` does: normalisation only."""
    return replace(options, delta_order=0, splice_left=0, splice_right=0)


def feature_dim(feature_options: FeatureOptions, pipeline: PipelineOptions) -> int:
    """Return the number of columns that a model sees."""
    spliced = pipeline.splice_left + 1 + pipeline.splice_right
    return feature_options.dim * (pipeline.delta_order + 1) * spliced
