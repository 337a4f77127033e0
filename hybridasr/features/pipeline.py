"""Owns the feature recipe: from raw features to the rows an acoustic model sees.

A model records its recipe (`PipelineOptions`). `features.feature_set` applies it to a data
directory, `recognition_features` to one recording in memory.
"""

from dataclasses import dataclass, replace

import numpy as np

from hybridasr.errors import UserError
from hybridasr.features.cmvn import apply_cmvn, cmvn_stats, sliding_cmvn
from hybridasr.features.frames import FeatureOptions
from hybridasr.features.mfcc import compute_features
from hybridasr.features.transforms import add_deltas, splice
from hybridasr.options import option

MOST_FRAMES = 100  # that deltas and splicing may look at to one side
CMVN_KINDS = ("speaker", "utterance", "sliding", "none")


@dataclass(frozen=True)
class PipelineOptions:
    """The steps from raw features to a model's input: CMVN, deltas, splicing, in this order."""

    cmvn: str = option("speaker", "what the mean is taken over", CMVN_KINDS)
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

    def __post_init__(self):
        """Refuse values outside their range."""
        if self.cmvn not in CMVN_KINDS:
            raise UserError(f"option cmvn is {self.cmvn!r}; give one of {', '.join(CMVN_KINDS)}")
        least = {"cmvn_window": 1, "cmvn_min_window": 1, "delta_order": 0, "delta_window": 1,
                 "splice_left": 0, "splice_right": 0, "cmvn_prior_frames": 0}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise UserError(f"option {name} is {getattr(self, name)}; give {bound} or more")
        # Larger ones would take memory by the terabyte before any kernel looks at them.
        for name in ("delta_order", "delta_window", "splice_left", "splice_right"):
            if getattr(self, name) > MOST_FRAMES:
                raise UserError(f"option {name} is {getattr(self, name)}; give at most "
                                f"{MOST_FRAMES}")


def apply_pipeline(raw: np.ndarray, stats: np.ndarray | None,
                   options: PipelineOptions) -> np.ndarray:
    """Turn raw features into what a model sees.

    Parameters
    ----------
    raw : float32 array (frames, dim)
        As from `compute_features`.
    stats : array (2, dim + 1) or None
        CMVN statistics of the speaker; used with cmvn "speaker" only.
    options : PipelineOptions
        The recipe.

    Returns
    -------
    float32 array (frames, dim * (delta_order + 1) * (splice_left + 1 + splice_right))

    Raises
    ------
    UserError
        if statistics are wanted and missing, or do not fit.
    """
    if options.cmvn == "speaker" and stats is None:
        raise UserError("no CMVN statistics of the speaker; run 'hybridasr make-feats'")
    return expand(_normalized(raw, stats, options), options)


def expand(features: np.ndarray, options: PipelineOptions) -> np.ndarray:
    """Append deltas and neighbouring frames to normalised features, float32 (frames, columns)."""
    if options.delta_order:
        # Deltas first, then splicing: models record their options for this order.
        features = add_deltas(features, options.delta_order, options.delta_window)
    features = splice(features, options.splice_left, options.splice_right)
    return np.ascontiguousarray(features, dtype=np.float32)


def base_pipeline(options: PipelineOptions) -> PipelineOptions:
    """Return the recipe without what `expand` does: normalisation only."""
    return replace(options, delta_order=0, splice_left=0, splice_right=0)


def _normalized(raw: np.ndarray, stats: np.ndarray | None, options: PipelineOptions) -> np.ndarray:
    if options.cmvn == "sliding":
        return sliding_cmvn(raw, options.cmvn_window, options.cmvn_min_window,
                            options.cmvn_center, options.norm_vars)
    if options.cmvn == "none" or len(raw) == 0:
        return raw
    stats = cmvn_stats(raw) if options.cmvn == "utterance" else stats
    return apply_cmvn(raw, stats, options.norm_vars)


def feature_dim(feature_options: FeatureOptions, pipeline: PipelineOptions) -> int:
    """Return the number of columns that a model sees."""
    spliced = pipeline.splice_left + 1 + pipeline.splice_right
    return feature_options.dim * (pipeline.delta_order + 1) * spliced


def frame_levels(expanded: np.ndarray, feature_options: FeatureOptions,
                 pipeline: PipelineOptions) -> np.ndarray:
    """Return how loud each frame is, float64 (num_frames,), by a measure of the features' own.

    The mean over the filter bank, or the first cepstrum; normalised as the features are.

    Parameters
    ----------
    expanded : float32 (num_frames, feature_dim)
        As from `expand`.
    """
    # The frame itself stands behind its left neighbours.
    begin = pipeline.splice_left * feature_options.dim * (pipeline.delta_order + 1)
    count = feature_options.num_mel_bins if feature_options.kind == "fbank" else 1
    return expanded[:, begin:begin + count].mean(axis=1, dtype=np.float64)


def recognition_features(samples: np.ndarray, feature_options: FeatureOptions,
                         pipeline: PipelineOptions, seed_id: str = "",
                         prior: np.ndarray | None = None) -> np.ndarray:
    """Return what a model sees of one recording, which counts as its own speaker.

    The mean of a single word is as much of the word as of the speaker and the room; the training
    set's, counted as `cmvn_prior_frames`, steadies it (as in Kaldi's online CMVN).

    Parameters
    ----------
    samples : array (num_samples,)
        In 16-bit range, at `feature_options.sample_rate` hertz.
    feature_options : FeatureOptions
        The raw features.
    pipeline : PipelineOptions
        What is done to them.
    seed_id : str
        Seeds the dither.
    prior : array (2, dim + 1), optional
        CMVN statistics of the training set; used with cmvn "speaker" only.

    Returns
    -------
    float32 array (frames, feature_dim); no rows if shorter than one window
    """
    raw = compute_features(samples, feature_options, seed_id)
    if len(raw) == 0:
        return np.zeros((0, feature_dim(feature_options, pipeline)), np.float32)
    stats = cmvn_stats(raw)
    if prior is not None:
        # As if the training set were so many more frames of this speaker.
        stats = stats + prior * (pipeline.cmvn_prior_frames / prior[0, -1])
    return apply_pipeline(raw, stats, pipeline)


