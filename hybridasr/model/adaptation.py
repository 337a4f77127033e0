"""Owns adaptation to a speaker while recognising or aligning, from the paths of a first pass.

A speaker-adaptive GMM system scores the features as they are with its speaker-independent mixtures
first; from the paths an affine transform is estimated (fMLLR), with which the adapted mixtures
score the next pass, and so on (Kaldi's decode_fmllr.sh, align_fmllr.sh). A network is fitted to the
paths itself (`hybridasr.nnet.speaker`), if asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hybridasr.errors import UserError
from hybridasr.features.transforms import apply_transform
from hybridasr.gmm.fmllr import UPDATES, FmllrStats, accumulate_fmllr, estimate_fmllr
from hybridasr.model.acoustic import AcousticModel, Adaptation, Scorer
from hybridasr.nnet.acoustics import NnetAcoustics
from hybridasr.nnet.speaker import fit_to_speaker, speaker_parameters, with_speaker_priors
from hybridasr.options import option

# Returns the path of an utterance, given its number, its features and what scores them: the
# transition-ids (num_scores,), or None.
FindPath = Callable[[int, np.ndarray, Scorer], np.ndarray | None]


@dataclass(frozen=True)
class AdaptOptions:
    """How a speaker-adaptive system, or a network, adapts to a new speaker."""

    fmllr_passes: int = option(2, "times that the speaker's transform is estimated, 0: never")
    fmllr_update: str = option("full", "what of the transform is estimated", UPDATES,
                              needs="fmllr_passes")
    fmllr_min_count: float = option(300.0, "frames of speech that adapting needs, of a network "
                                           "too; with fewer the first pass stands")
    silence_weight: float = option(0.01, "weight of silence frames in the estimate")
    prior_frames: float = option(200.0, "frames that the training set counts for in the estimate: "
                                        "steadies speakers with little speech",
                                 needs="fmllr_passes")
    nnet_passes: int = option(0, "times that a network is fitted to the speaker, 0: never")
    nnet_epochs: int = option(4, "passes over the speaker's frames each time", needs="nnet_passes")
    nnet_learning_rate: float = option(4e-3, "step size at the beginning of each time",
                                       needs="nnet_passes")
    nnet_prior_frames: float | None = option(
        None, "take the network's mean posteriors of the speaker for its priors, the training "
              "counting for so many frames of them; for speakers who say every word about as often "
              "as in the training (none: the priors stay)")

    def for_one_utterance(self) -> "AdaptOptions":
        """Return the same for utterances on their own, which a network cannot be fitted to."""
        return replace(self, nnet_passes=0, nnet_prior_frames=None)

    def __post_init__(self):
        for name in ("fmllr_passes", "fmllr_min_count", "silence_weight", "prior_frames",
                     "nnet_passes", "nnet_epochs", "nnet_learning_rate", "nnet_prior_frames"):
            if (getattr(self, name) or 0) < 0:
                raise UserError(f"option {name} is {getattr(self, name)}; give 0 or more")


def works_by_speaker(model: AcousticModel, options: AdaptOptions, known: str = "all") -> bool:
    """Return whether utterances of one speaker are adapted to together.

    Only if all of them are `known` when the first is recognised (`features.normalization.KNOWN`).
    """
    if known != "all":
        return False
    if model.nnet is not None:
        # Speaker priors need all utterances too, even if the network itself is not fitted.
        return options.nnet_passes > 0 or options.nnet_prior_frames is not None
    return model.adaptation is not None and options.fmllr_passes > 0


class SpeakerAdaptation:
    """The utterances of one speaker, and what is known of the speaker after each pass.

    This class is for a model that does not adapt: there is one pass. `speaker_adaptation` gives
    the right kind for a model. Each pass scores `features` with `scorer` and finds a path for
    each utterance; `adapt` says whether another pass follows:

        speaker = speaker_adaptation(model, utterances, options)
        paths = [find_path(feats, speaker.scorer) for feats in speaker.features]
        while speaker.adapt(paths):
            paths = [find_path(feats, speaker.scorer) for feats in speaker.features]

    Attributes
    ----------
    features : list of float32 (num_frames, dim)
        Of each utterance, as this pass sees them.
    scorer : Scorer
        Scores `features`.
    transform : float64 (dim, dim + 1) or None
        The speaker's transform, which is in `features` already.
    """

    def __init__(self, model: AcousticModel, utterances: Sequence[np.ndarray],
                 options: AdaptOptions, scorer: Scorer | None = None):
        self._model, self._options = model, options
        self._utterances = list(utterances)
        self._num_passes = 0
        self.features = self._utterances
        self.scorer = scorer or model.scorer()
        self.transform: np.ndarray | None = None

    def adapt(self, paths: Sequence[np.ndarray | None]) -> bool:
        """Adapt to the paths of this pass; return whether another pass follows.

        Parameters
        ----------
        paths : sequence of int32 (num_scores,) or None
            Transition-ids of each utterance; None where there is no path.
        """
        del paths
        return False

    def _targets(self, paths: Sequence[np.ndarray | None]) -> "_Targets | None":
        """Return the utterances with a path as targets; None if they are too few to adapt to."""
        numbers = [number for number, path in enumerate(paths) if path is not None]
        if not numbers:
            return None
        pdfs = [self._model.transitions.tid_pdf[paths[number]] for number in numbers]
        weights = np.where(np.isin(np.concatenate(pdfs), self._model.silence_pdfs),
                           self._options.silence_weight, 1.0).astype(np.float32)
        # A single word says too little of its speaker, and would only confirm the first pass.
        frames = weights.sum(dtype=np.float64) * self._model.subsampling
        if frames <= self._options.fmllr_min_count:
            return None
        return _Targets([self._utterances[number] for number in numbers], pdfs, weights)


@dataclass(frozen=True)
class _Targets:
    """Utterances with the pdfs of their frames, and a weight of each frame of all of them."""

    utterances: list[np.ndarray]
    pdfs: list[np.ndarray]
    weights: np.ndarray


class _FeatureAdaptation(SpeakerAdaptation):
    """Transforms the features of a speaker (fMLLR)."""

    def __init__(self, model: AcousticModel, adaptation: Adaptation,
                 utterances: Sequence[np.ndarray], options: AdaptOptions):
        # The first pass sees features that are not adapted, so it needs the other mixtures.
        super().__init__(model, utterances, options, adaptation.scorer)
        self._adaptation = adaptation

    def adapt(self, paths: Sequence[np.ndarray | None]) -> bool:
        """Estimate the transform anew; see `SpeakerAdaptation.adapt`."""
        if self._num_passes == self._options.fmllr_passes:
            return False
        targets = self._targets(paths)
        if targets is None:
            return False
        feats, pdfs = np.concatenate(targets.utterances), np.concatenate(targets.pdfs)
        stats = FmllrStats.zeros(feats.shape[1])
        # Posteriors come from the pass that gave the paths.
        if self.transform is None:
            accumulate_fmllr(self._model.gmm, feats, pdfs, stats, targets.weights,
                             self._adaptation.gmm)
        else:
            accumulate_fmllr(self._model.gmm, feats, pdfs, stats, targets.weights,
                             posterior_feats=apply_transform(feats, self.transform))
        # The prior counts like so many frames of the average speaker: little speech moves little.
        self.transform, _ = estimate_fmllr(
            stats.plus(self._adaptation.prior, self._options.prior_frames),
            update=self._options.fmllr_update)
        # From the original features: transforms of several passes must not pile up.
        self.features = [apply_transform(feats, self.transform) for feats in self._utterances]
        # From now on the adapted mixtures fit the features.
        self.scorer = self._model.gmm_scorer
        self._num_passes += 1
        return True


class _NetworkAdaptation(SpeakerAdaptation):
    """Fits a network to a speaker; it goes on from where the last pass left it."""

    def __init__(self, model: AcousticModel, nnet: NnetAcoustics,
                 utterances: Sequence[np.ndarray], options: AdaptOptions):
        super().__init__(model, utterances, options)
        if options.nnet_passes:
            speaker_parameters(nnet.network)  # says at once if there are none
        self._set(nnet)

    def adapt(self, paths: Sequence[np.ndarray | None]) -> bool:
        """Fit the network once more; see `SpeakerAdaptation.adapt`."""
        if self._num_passes == self._options.nnet_passes:
            return False
        targets = self._targets(paths)
        if targets is None:
            return False
        # Silence says nothing of the speaker, and a word that was once taken for it would stay so.
        spoken = [np.where(np.isin(pdfs, self._model.silence_pdfs), -1, pdfs)
                  for pdfs in targets.pdfs]
        # Another seed each time: the order of the frames is drawn anew.
        self._set(fit_to_speaker(self._nnet, targets.utterances, spoken,
                                 self._options.nnet_epochs, self._options.nnet_learning_rate,
                                 seed=self._num_passes))
        self._num_passes += 1
        return True

    def _set(self, nnet: NnetAcoustics) -> None:
        self._nnet = self.scorer = nnet
        if self._options.nnet_prior_frames is not None:
            self.scorer = with_speaker_priors(nnet, self._utterances, self._model.silence_pdfs,
                                              self._options.nnet_prior_frames)


def speaker_adaptation(model: AcousticModel, utterances: Sequence[np.ndarray],
                       options: AdaptOptions) -> SpeakerAdaptation:
    """Begin the passes over the utterances of one speaker.

    Parameters
    ----------
    utterances : sequence of float32 (num_frames, dim)
        The speaker's features, `AcousticModel.final_features` applied.

    Raises
    ------
    UserError
        if a network is to adapt and cannot (`nnet.speaker.speaker_parameters`).
    """
    if model.adaptation is not None:
        return _FeatureAdaptation(model, model.adaptation, utterances, options)
    if model.nnet is not None and works_by_speaker(model, options):
        return _NetworkAdaptation(model, model.nnet, utterances, options)
    return SpeakerAdaptation(model, utterances, options)


def adapt_speaker(model: AcousticModel, utterances: Sequence[np.ndarray], find_path: FindPath,
                  options: AdaptOptions) -> np.ndarray | None:
    """Run all passes of `speaker_adaptation`; return the speaker's transform, if there is one.

    `find_path` is called for each utterance in each pass; its last calls are those of the adapted
    features or of the adapted network.
    """
    speaker = speaker_adaptation(model, utterances, options)
    while True:
        paths = [find_path(number, feats, speaker.scorer)
                 for number, feats in enumerate(speaker.features)]
        if not speaker.adapt(paths):
            return speaker.transform
