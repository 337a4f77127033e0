"""Owns adaptation to a speaker while recognising or aligning, from the paths of a first pass.

A speaker-adaptive GMM system scores the features as they are with its speaker-independent mixtures
first; from the paths an affine transform is estimated (fMLLR), with which the adapted mixtures
score the next pass, and so on (Kaldi's decode_fmllr.sh, align_fmllr.sh). A network is fitted to the
paths itself (`hybridasr.nnet.speaker`), if asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hybridasr.errors import UserError
from hybridasr.features.transforms import apply_transform
from hybridasr.gmm.fmllr import UPDATES, FmllrStats, accumulate_fmllr, estimate_fmllr
from hybridasr.model.acoustic import AcousticModel, Adaptation, Scorer
from hybridasr.nnet.acoustics import NnetAcoustics
from hybridasr.nnet.speaker import fit_to_speaker, speaker_parameters, with_speaker_priors
from hybridasr.options import option

# Finds the path of an utterance, given its number, its features and what scores them: the
# transition-ids (num_frames,), or None.
Pass = Callable[[int, np.ndarray, Scorer], np.ndarray | None]


@dataclass(frozen=True)
class AdaptOptions:
    """How a speaker-adaptive system, or a network, adapts to a new speaker."""

    fmllr_passes: int = option(2, "times that the speaker's transform is estimated, 0: never")
    fmllr_update: str = option("full", "what of the transform is estimated", UPDATES)
    fmllr_min_count: float = option(300.0, "frames of speech that adapting needs, of a network "
                                           "too; with fewer the first pass stands")
    silence_weight: float = option(0.01, "weight of silence frames in the estimate")
    prior_frames: float = option(200.0, "frames that the training set counts for in the estimate: "
                                        "steadies speakers with little speech")
    nnet_passes: int = option(0, "times that a network is fitted to the speaker, 0: never")
    nnet_epochs: int = option(4, "passes over the speaker's frames each time")
    nnet_learning_rate: float = option(4e-3, "step size at the beginning of each time")
    nnet_prior_frames: float | None = option(
        None, "take the network's mean posteriors of the speaker for its priors, the training "
              "counting for so many frames of them; for speakers who say every word about as often "
              "as in the training (none: the priors stay)")

    def __post_init__(self):
        for name in ("fmllr_passes", "fmllr_min_count", "silence_weight", "prior_frames",
                     "nnet_passes", "nnet_epochs", "nnet_learning_rate", "nnet_prior_frames"):
            if (getattr(self, name) or 0) < 0:
                raise UserError(f"option {name} is {getattr(self, name)}; give 0 or more")


def works_by_speaker(model: AcousticModel, options: AdaptOptions) -> bool:
    """Return whether utterances of one speaker help each other."""
    if model.nnet is not None:
        return options.nnet_passes > 0 or options.nnet_prior_frames is not None
    return model.adaptation is not None and options.fmllr_passes > 0


def adapt_speaker(model: AcousticModel, utterances: Sequence[np.ndarray], find_path: Pass,
                  options: AdaptOptions) -> np.ndarray | None:
    """Run all passes over the utterances of one speaker; one pass if the model does not adapt.

    The last calls of `find_path`, one for each utterance, are those of the adapted features or of
    the adapted network.

    Parameters
    ----------
    utterances : sequence of float32 (num_frames, dim)
        The speaker's features, `AcousticModel.final_features` applied.

    Returns
    -------
    float64 (dim, dim + 1), the speaker's transform; None if there is none

    Raises
    ------
    UserError
        if a network is to adapt and cannot (`nnet.adapt.speaker_parameters`).
    """
    if model.adaptation is not None:
        return _adapt_features(model, model.adaptation, utterances, find_path, options)
    if model.nnet is not None and works_by_speaker(model, options):
        _adapt_network(model, model.nnet, utterances, find_path, options)
    else:
        scorer = model.scorer()
        for number, feats in enumerate(utterances):
            find_path(number, feats, scorer)
    return None


def _adapt_features(model: AcousticModel, adaptation: Adaptation, utterances: Sequence[np.ndarray],
                    find_path: Pass, options: AdaptOptions) -> np.ndarray | None:
    paths = [find_path(number, feats, adaptation.scorer)
             for number, feats in enumerate(utterances)]
    transform = None
    for _ in range(options.fmllr_passes):
        heard = _heard(model, utterances, paths, options)
        if heard is None:
            return transform
        feats, pdfs = np.concatenate(heard.utterances), np.concatenate(heard.pdfs)
        stats = FmllrStats.zeros(feats.shape[1])
        # Posteriors come from the pass that found the paths.
        if transform is None:
            accumulate_fmllr(model.gmm, feats, pdfs, stats, heard.weights, adaptation.gmm)
        else:
            accumulate_fmllr(model.gmm, feats, pdfs, stats, heard.weights,
                             posterior_feats=apply_transform(feats, transform))
        transform, _ = estimate_fmllr(stats.plus(adaptation.prior, options.prior_frames),
                                      update=options.fmllr_update)
        paths = [find_path(number, apply_transform(feats, transform), model.gmm_scorer)
                 for number, feats in enumerate(utterances)]
    return transform


def _adapt_network(model: AcousticModel, nnet: NnetAcoustics, utterances: Sequence[np.ndarray],
                   find_path: Pass, options: AdaptOptions) -> None:
    """Fit the network to the paths of each pass; it goes on from where the last pass left it."""
    if options.nnet_passes:
        speaker_parameters(nnet.network)  # says at once if there are none

    def decode(nnet: NnetAcoustics) -> list[np.ndarray | None]:
        if options.nnet_prior_frames is not None:
            nnet = with_speaker_priors(nnet, utterances, model.silence_pdfs,
                                       options.nnet_prior_frames)
        return [find_path(number, feats, nnet) for number, feats in enumerate(utterances)]

    paths = decode(nnet)
    for seed in range(options.nnet_passes):
        heard = _heard(model, utterances, paths, options)
        if heard is None:
            return
        nnet = fit_to_speaker(nnet, heard.utterances, heard.pdfs, options.nnet_epochs,
                              options.nnet_learning_rate, seed)
        paths = decode(nnet)


@dataclass(frozen=True)
class _Heard:
    """The utterances that a path was found for, the pdfs of their frames, weights of all frames."""

    utterances: list[np.ndarray]
    pdfs: list[np.ndarray]
    weights: np.ndarray


def _heard(model: AcousticModel, utterances: Sequence[np.ndarray],
           paths: Sequence[np.ndarray | None], options: AdaptOptions) -> _Heard | None:
    """Return what a pass found; None if that is too little to adapt to."""
    found = [(feats, model.transitions.tid_pdf[path])
             for feats, path in zip(utterances, paths, strict=True) if path is not None]
    if not found:
        return None
    pdfs = [pdf for _, pdf in found]
    weights = np.where(np.isin(np.concatenate(pdfs), model.silence_pdfs), options.silence_weight,
                       1.0).astype(np.float32)
    # A single word says too little of its speaker, and would only confirm the first pass.
    if weights.sum(dtype=np.float64) <= options.fmllr_min_count:
        return None
    return _Heard([feats for feats, _ in found], pdfs, weights)
