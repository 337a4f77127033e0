"""Owns the training of a speaker check: vectors of a set, trials on speakers left out, the fit."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from hybridasr.confidence.logistic import fit_logistic
from hybridasr.corpus.audio import load_utterance
from hybridasr.corpus.datadir import DataDir, Utterance
from hybridasr.errors import NotEnoughData, UserError
from hybridasr.options import option, seed_option
from hybridasr.parallel import run_blocks, split_blocks
from hybridasr.score.detection import DetCurve, det_curve
from hybridasr.voice.plda import Plda, estimate_plda
from hybridasr.voice.speaker_check import HIGHEST_RATE, LOWEST_RATE, SpeakerCheck
from hybridasr.voice.voice_vector import voice_vector

ENROLLED = 3  # utterances, in a trial
LEAST_SPEAKERS = 4
BLOCK_UTTERANCES = 50


@dataclass(frozen=True)
class SpeakerCheckOptions:
    """How a speaker check is trained."""

    sample_rate: int = option(16000, "hertz that recordings are checked at, those of the model")
    shrinkage: float = option(0.3, "share of the covariance between speakers that is assumed "
                              "instead of estimated, 0 to 1; the fewer speakers, the more")
    num_folds: int = option(5, "parts of the speakers, each left out once for the trials")
    draws: int = option(5, "enrolments drawn for each speaker")
    seed: int = seed_option("the enrolments")

    def __post_init__(self):
        """Refuse values outside their range."""
        if not LOWEST_RATE <= self.sample_rate <= HIGHEST_RATE:
            raise UserError(f"option sample_rate is {self.sample_rate}; give {LOWEST_RATE} to "
                            f"{HIGHEST_RATE}")
        if not 0 <= self.shrinkage <= 1:
            raise UserError(f"option shrinkage is {self.shrinkage}; give 0 to 1")
        if self.num_folds < 2 or self.draws < 1:
            raise UserError(f"options num_folds and draws are {self.num_folds} and {self.draws}; "
                            "give 2 or more and 1 or more")


@dataclass(frozen=True, eq=False)
class VoiceSet:
    """The voice vectors of utterances with enough speech.

    Attributes
    ----------
    vectors : float64 (num_utterances, DIM)
    speakers, texts : str array (num_utterances,)
    """

    vectors: np.ndarray
    speakers: np.ndarray
    texts: np.ndarray

    def of(self, speakers: Sequence[str]) -> "VoiceSet":
        """Return the part of these speakers."""
        rows = np.isin(self.speakers, speakers)
        return VoiceSet(self.vectors[rows], self.speakers[rows], self.texts[rows])


def voice_set(sets: Sequence[DataDir], rate: int, pool: Executor) -> VoiceSet:
    """Compute the vectors of all utterances at `rate` hertz; raises as `load_utterance`.

    An utterance without transcript counts as one of its own text.
    """
    utterances = [utterance for data in sets for utterance in data.utterances.values()]
    vectors, kept = [], []
    blocks = split_blocks(utterances, BLOCK_UTTERANCES)
    results = run_blocks(pool, _vectors, [(block, rate) for block in blocks], desc="voices")
    for block, part in zip(blocks, results, strict=True):
        for utterance, vector in zip(block, part, strict=True):
            if vector is not None:
                vectors.append(vector)
                kept.append(utterance)
    return VoiceSet(np.array(vectors), np.array([u.speaker for u in kept], str),
                    np.array([" ".join(u.words or (u.utterance,)) for u in kept], str))


def train_speaker_check(sets: Sequence[DataDir], pool: Executor,
                        options: SpeakerCheckOptions | None = None
                        ) -> tuple[SpeakerCheck, DetCurve]:
    """Train a check, and tell how well it does on speakers that it was not trained on.

    Returns
    -------
    (SpeakerCheck, DetCurve)
        The curve is of the trials on speakers left out: `ENROLLED` utterances each, every
        other utterance of other words a trial.

    Raises
    ------
    NotEnoughData
        if there are too few speakers, or too few utterances of each.
    """
    options = options or SpeakerCheckOptions()
    voices = voice_set(sets, options.sample_rate, pool)
    speakers = np.unique(voices.speakers)
    if len(speakers) < LEAST_SPEAKERS:
        raise NotEnoughData(f"{len(speakers)} speakers with enough speech; a speaker check needs "
                            f"{LEAST_SPEAKERS}, better twenty or more")
    scores, labels = [], []
    num_folds = min(options.num_folds, len(speakers) // 2)
    for fold in range(num_folds):
        left_out = speakers[fold::num_folds]
        train = voices.of(np.setdiff1d(speakers, left_out))
        plda = estimate_plda(train.vectors, train.speakers, options.shrinkage)
        part = speaker_trials(plda, voices.of(left_out), options.draws, options.seed)
        scores.append(part[0])
        labels.append(part[1])
    ratios, same = np.concatenate(scores), np.concatenate(labels)
    if not same.any():
        raise NotEnoughData(f"no speaker has more than {ENROLLED} utterances; give more recordings "
                            "of each")
    # As if the speaker and others came equally often.
    weights = np.where(same, 0.5 / same.sum(), 0.5 / (~same).sum()) * len(same)
    fit = fit_logistic(ratios[:, None], same, signs=[1], sample_weights=weights)
    scale = float(fit.weights[0] / fit.scales[0])
    if scale <= 0:
        raise NotEnoughData("the voices of these speakers cannot be told apart; check that "
                            "utt2spk says who speaks")
    offset = float(fit.bias - scale * fit.means[0])
    check = SpeakerCheck(estimate_plda(voices.vectors, voices.speakers, options.shrinkage),
                         options.sample_rate, scale, offset)
    return check, det_curve(scale * ratios + offset, same)


def check_figures(curve: DetCurve) -> dict[str, float]:
    """Return the figures of trials, rates in per cent, ready for JSON.

    Equal error rate; false accepts and misses with the threshold 0; and the thresholds with which
    at most 5 % and 1 % of others are accepted, with the misses then.
    """
    def percent(values: np.ndarray, at: int) -> float:
        return round(100 * float(values[at]), 2)

    # Thresholds fall from infinity: the last one that still is strict enough.
    at = int((curve.thresholds >= 0).sum()) - 1
    figures = {"eer": round(100 * curve.equal_error_rate, 2),
               "false_accept": percent(curve.false_accept, at), "miss": percent(curve.miss, at)}
    for share in (5, 1):
        at = int((curve.false_accept <= share / 100).sum()) - 1
        figures |= {f"threshold_{share}": round(float(min(curve.thresholds[at], 1e6)), 3),
                    f"miss_{share}": percent(curve.miss, at)}
    return figures


def speaker_trials(plda: Plda, voices: VoiceSet, draws: int, seed: int = 0,
                   tried: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Enrol every speaker `draws` times, and score all utterances of other words against that.

    Parameters
    ----------
    tried : float64 (num_utterances, DIM), optional
        Vectors of the utterances as they are in trials, such as with noise.

    Returns
    -------
    (float64 (num_trials,), bool (num_trials,))
        Log likelihood ratios; whether the enrolled speaker speaks.
    """
    tried = voices.vectors if tried is None else tried
    rng, scores, labels = np.random.default_rng(seed), [np.zeros(0)], [np.zeros(0, bool)]
    places = np.arange(len(voices.speakers))
    for speaker in np.unique(voices.speakers):
        own = places[voices.speakers == speaker]
        # Where a speaker says few different things, a repetition has to do.
        texts = voices.texts if len(set(voices.texts[own])) > ENROLLED else places.astype(str)
        if len(own) <= ENROLLED:
            continue
        for _ in range(draws):
            words = rng.choice(np.unique(texts[own]), ENROLLED, replace=False)
            enrolled = [rng.choice(own[texts[own] == word]) for word in words]
            trials = places[~np.isin(texts, words)]
            scores.append(plda.scores(voices.vectors[enrolled].mean(axis=0), ENROLLED,
                                      tried[trials]))
            labels.append(voices.speakers[trials] == speaker)
    return np.concatenate(scores), np.concatenate(labels)


def _vectors(utterances: Sequence[Utterance], rate: int) -> list[np.ndarray | None]:
    return [voice_vector(load_utterance(utterance, rate), rate) for utterance in utterances]
