"""Owns adaptation to a speaker while recognising or aligning: fMLLR from a first pass.

The first pass scores the features as they are with the system's speaker-independent mixtures;
from its path an affine transform is estimated, with which the adapted mixtures score the next
pass, and so on (Kaldi's decode_fmllr.sh, align_fmllr.sh).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hybridasr.corpus.datadir import DataDir
from hybridasr.errors import UserError
from hybridasr.features.transforms import apply_transform
from hybridasr.gmm.diag import GmmScorer
from hybridasr.gmm.fmllr import UPDATES, FmllrStats, accumulate_fmllr, estimate_fmllr
from hybridasr.model import AcousticModel
from hybridasr.options import option
from hybridasr.parallel import split_blocks

# Finds the path of an utterance, given its number, its features and who scores them: the
# transition-ids (num_frames,), or None.
Pass = Callable[[int, np.ndarray, GmmScorer], np.ndarray | None]
BLOCK_UTTERANCES = 64  # that a job decodes or aligns at a time


@dataclass(frozen=True)
class AdaptOptions:
    """How a speaker-adaptive system adapts to a new speaker."""

    fmllr_passes: int = option(2, "times that the speaker's transform is estimated, 0: never")
    fmllr_update: str = option("full", "what of the transform is estimated", UPDATES)
    fmllr_min_count: float = option(300.0, "frames of speech that an estimate needs; with fewer "
                                           "the first pass stands")
    silence_weight: float = option(0.01, "weight of silence frames in the estimate")
    prior_frames: float = option(200.0, "frames that the training set counts for in the estimate: "
                                        "steadies speakers with little speech")

    def __post_init__(self):
        for name in ("fmllr_passes", "fmllr_min_count", "silence_weight", "prior_frames"):
            if getattr(self, name) < 0:
                raise UserError(f"option {name} is {getattr(self, name)}; give 0 or more")


def decoding_blocks(data: DataDir, by_speaker: bool) -> list[DataDir]:
    """Cut a set into what a job decodes or aligns at a time, whatever the number of jobs.

    Parameters
    ----------
    by_speaker : bool
        Each speaker is a block, as adaptation needs it.
    """
    parts = (list(data.speakers.values()) if by_speaker
             else split_blocks(list(data.utterances), BLOCK_UTTERANCES))
    return [replace(data, utterances={name: data.utterances[name] for name in part})
            for part in parts]


def adapt_speaker(model: AcousticModel, utterances: Sequence[np.ndarray], find_path: Pass,
                  options: AdaptOptions) -> np.ndarray | None:
    """Run all passes over the utterances of one speaker.

    The last calls of `find_path`, one for each utterance, are those of the adapted features.

    Parameters
    ----------
    utterances : sequence of float32 (num_frames, dim)
        The speaker's features, `AcousticModel.final_features` applied.

    Returns
    -------
    float64 (dim, dim + 1), the speaker's transform; None if nothing could be estimated
    """
    adaptation = model.adaptation
    if adaptation is None:
        raise ValueError("the model is not speaker-adaptive")
    paths = [find_path(number, feats, adaptation.scorer)
             for number, feats in enumerate(utterances)]
    transform = None
    for _ in range(options.fmllr_passes):
        stats = _speaker_stats(model, utterances, paths, transform, options)
        if stats is None:
            return transform
        transform, _ = estimate_fmllr(stats.plus(adaptation.prior, options.prior_frames),
                                      update=options.fmllr_update)
        paths = [find_path(number, apply_transform(feats, transform), model.gmm_scorer)
                 for number, feats in enumerate(utterances)]
    return transform


def _speaker_stats(model: AcousticModel, utterances: Sequence[np.ndarray],
                   paths: Sequence[np.ndarray | None], transform: np.ndarray | None,
                   options: AdaptOptions) -> FmllrStats | None:
    """Return the statistics of all paths, None of too few frames.

    Posteriors come from the pass that found the paths.
    """
    found = [pair for pair in zip(utterances, paths, strict=True) if pair[1] is not None]
    if not found:
        return None
    pdfs = model.transitions.tid_pdf[np.concatenate([path for _, path in found])]
    weights = np.where(np.isin(pdfs, model.silence_pdfs), options.silence_weight,
                       1.0).astype(np.float32)
    # A single word says too little of its speaker, and would only confirm the first pass.
    if weights.sum(dtype=np.float64) <= options.fmllr_min_count:
        return None
    feats = np.concatenate([feats for feats, _ in found])
    stats = FmllrStats.zeros(feats.shape[1])
    if transform is None:
        accumulate_fmllr(model.gmm, feats, pdfs, stats, weights, model.adaptation.gmm)
    else:
        accumulate_fmllr(model.gmm, feats, pdfs, stats, weights,
                         posterior_feats=apply_transform(feats, transform))
    return stats
