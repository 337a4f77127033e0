"""Owns the figures of accepting and rejecting: ROC and DET curves, equal error rate, thresholds.

Scores are higher for more confidence; a decision is accepted if its score >= the threshold. Rates
of functions and curves are fractions, those of `Trials.figures` per cent, as in ``results.json``.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hybridasr.errors import UserError
from hybridasr.score.reliability import (
    BINS,
    checked_probabilities,
    expected_calibration_error,
    normalized_cross_entropy,
)


class TrialKind(enum.IntEnum):
    """What an utterance is in the test of whether to accept its top command."""

    RIGHT = 0  # a command of the list, and the top command
    WRONG = 1  # a command of the list, but the top command is another one
    OUTSIDE = 2  # no command of the list: other words, or no words


@dataclass(frozen=True, eq=False)
class DetCurve:
    """False accepts against misses, threshold by threshold from the strictest to the laxest.

    Attributes
    ----------
    thresholds : float64 (num_points,)
        Infinity, at which nothing is accepted, then every distinct score, falling.
    false_accept : float64 (num_points,)
        Share of the impostors that is accepted, from 0 to 1.
    miss : float64 (num_points,)
        Share of the targets that is rejected, from 1 to 0.
    """

    thresholds: np.ndarray
    false_accept: np.ndarray
    miss: np.ndarray

    @property
    def equal_error_rate(self) -> float:
        """The rate at which false accepts and misses are equal, a fraction.

        Where the ROC curve, its points joined by straight lines (Fawcett 2006), meets the line of
        equal errors. Without ties that is the corner of the step curve. The rate on the convex hull
        of the curve (Brümmer and de Villiers 2011) is never higher; with few utterances, a good
        deal lower.
        """
        gap = self.miss - self.false_accept  # falls from 1 to -1
        # The first point accepts nothing (gap 1) and the last one all (gap -1), so there is a
        # change.
        after = int(np.argmax(gap <= 0))
        share = gap[after - 1] / (gap[after - 1] - gap[after])
        low, high = self.false_accept[after - 1: after + 1]
        return float(low + share * (high - low))

    @property
    def area(self) -> float:
        """The area under the ROC curve: how often a target scores above an impostor.

        Ties count one half (Mann and Whitney's U; Hanley and McNeil 1982).
        """
        hits = 1 - self.miss
        return float(np.sum(np.diff(self.false_accept) * (hits[1:] + hits[:-1]) / 2))


def det_curve(scores: np.ndarray, labels: np.ndarray) -> DetCurve:
    """Return the error rates at every distinct threshold (ROC and DET; Martin et al. 1997).

    Parameters
    ----------
    scores : float (n,), finite
    labels : bool (n,)
        True of targets, which should be accepted, False of impostors.

    Raises
    ------
    UserError
        if there are no targets or no impostors.
    ValueError
        if the shapes differ or a score is not finite.
    """
    scores, labels = np.asarray(scores, np.float64), np.asarray(labels, bool)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ValueError(f"scores {scores.shape} and labels {labels.shape} must be of one "
                         "dimension and equally many")
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite")
    targets = int(labels.sum())
    if targets in (0, len(labels)):
        raise UserError(f"of {len(labels)} utterances {targets} should be accepted; error rates "
                        "need both some that should be and some that should not")
    # The negative scores sort from the strictest threshold to the laxest.
    thresholds, place = np.unique(-scores, return_inverse=True)
    # Equal scores are one threshold: all of them are accepted together.
    accepted = np.cumsum([np.bincount(place, labels), np.bincount(place, ~labels)], axis=1)
    return DetCurve(np.r_[np.inf, -thresholds], np.r_[0, accepted[1] / (len(labels) - targets)],
                    np.r_[1, (targets - accepted[0]) / targets])


def rate_interval(rate: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate that was seen in `count` utterances (Wilson 1927).

    >>> tuple(round(end, 4) for end in rate_interval(0.0, 100))
    (0.0, 0.037)
    >>> tuple(round(end, 4) for end in rate_interval(0.5, 20))
    (0.2993, 0.7007)
    """
    square = 1.959964 ** 2
    if count == 0:
        return 0.0, 1.0
    centre = (rate + square / (2 * count)) / (1 + square / count)
    half = (square * (rate * (1 - rate) / count + square / (4 * count ** 2))) ** 0.5 / (
        1 + square / count)
    return max(0.0, centre - half), min(1.0, centre + half)


def choose_threshold(scores: np.ndarray, kinds: np.ndarray, false_accept_rate: float) -> float:
    """Return the smallest threshold that keeps the false accepts of outside utterances in bounds.

    Parameters
    ----------
    scores : float (n,), finite
    kinds : int (n,) of `TrialKind`
        Only the outside utterances count.
    false_accept_rate : float
        The largest share of them that may be accepted, a fraction in [0, 1).

    Returns
    -------
    float
        The next number above the highest score that must be rejected; of equal scores all are
        accepted or none.

    Raises
    ------
    UserError
        if there are no outside utterances, or the rate is not in [0, 1).
    ValueError
        if the shapes differ or a score is not finite.
    """
    scores, kinds = np.asarray(scores, np.float64), np.asarray(kinds)
    if scores.ndim != 1 or scores.shape != kinds.shape or not np.isfinite(scores).all():
        raise ValueError(f"scores {scores.shape} and kinds {kinds.shape} must be of one dimension "
                         "and equally many, scores finite")
    if not 0 <= false_accept_rate < 1:
        raise UserError(f"false-accept rate is {false_accept_rate}; give a fraction from 0 to "
                        "below 1 (0.05 for 5 %)")
    outside = np.sort(scores[kinds == TrialKind.OUTSIDE])[::-1]
    if len(outside) == 0:
        raise UserError("no outside utterances, without which no false-accept rate can be kept; "
                        "add recordings of words that are not in the command list")
    allowed = round(false_accept_rate * len(outside))
    # round() may give one too many, and floats may miss the exact rate.
    while allowed / len(outside) > false_accept_rate:
        allowed -= 1
    return float(np.nextafter(outside[allowed], np.inf))


def rate_threshold(confidences: Iterable[float], hours: float, false_accepts_per_hour: float
                   ) -> float:
    """Return the least threshold with no more false accepts an hour than allowed.

    Parameters
    ----------
    confidences : iterable of float
        Of what was taken for the command in speech without it.
    hours : float
        Of that speech.

    Raises
    ------
    UserError
        if the speech is too short to tell: less than one false accept would be allowed in it.

    Examples
    --------
    >>> rate_threshold([0.2, 0.9, 0.6], hours=2.0, false_accepts_per_hour=0.5) > 0.6
    True
    """
    allowed = int(hours * false_accepts_per_hour + 1e-9)
    if false_accepts_per_hour < 0:
        raise UserError(f"false-accepts-per-hour is {false_accepts_per_hour:g}; give 0 or more")
    if not allowed and false_accepts_per_hour > 0:
        raise UserError(f"{hours:.2f} hours of background cannot tell {false_accepts_per_hour:g} "
                        f"false accepts an hour; give {1 / false_accepts_per_hour:.1f} hours, or "
                        "allow more")
    ordered = sorted(confidences, reverse=True)
    return float(np.nextafter(ordered[allowed], 2.0)) if len(ordered) > allowed else 0.0


@dataclass(frozen=True, eq=False)
class Trials:
    """Utterances with the probability that the top command is right, and what they are.

    Attributes
    ----------
    probabilities : float64 (n,), in [0, 1]
    kinds : int8 (n,) of `TrialKind`
    """

    probabilities: np.ndarray
    kinds: np.ndarray

    def __post_init__(self):
        kinds = np.asarray(self.kinds, np.int8)
        if not np.isin(kinds, list(TrialKind)).all():
            raise ValueError("a kind is none of " + ", ".join(kind.name for kind in TrialKind))
        object.__setattr__(self, "kinds", kinds)
        object.__setattr__(self, "probabilities",
                           checked_probabilities(self.probabilities, kinds)[0])

    @property
    def labels(self) -> np.ndarray:
        """Whether accepting the top command would be right, bool (n,)."""
        return self.kinds == TrialKind.RIGHT

    @property
    def right_and_outside(self) -> tuple[int, int]:
        """Number of right commands and of outside utterances: what `curve` compares."""
        counts = np.bincount(self.kinds, minlength=len(TrialKind))
        return int(counts[TrialKind.RIGHT]), int(counts[TrialKind.OUTSIDE])

    def curve(self, wrong_too: bool = False) -> DetCurve:
        """Return the error rates of right commands against outside utterances.

        Parameters
        ----------
        wrong_too : bool
            Commands recognised as another one are impostors too; otherwise they are left out.

        Raises
        ------
        UserError
            as from `det_curve`.
        """
        kept = (self.kinds != TrialKind.WRONG) | wrong_too
        return det_curve(self.probabilities[kept], self.labels[kept])

    def figures(self, threshold: float, bins: int = BINS, accepted: np.ndarray | None = None
                ) -> dict[str, float | int | None]:
        """Return the figures of a threshold; a figure is None if the utterances cannot give it.

        Parameters
        ----------
        accepted : bool (n,), optional
            The decisions, where not one threshold made them.

        Returns
        -------
        dict
            ``commands``, ``outside``: utterances of each; in per cent: ``recognised`` (of the
            commands: the top command is right), ``accepted_right`` (of the commands: it is right
            and accepted), ``accepted_wrong`` (of the commands: another one is accepted),
            ``false_accept`` (of the outside utterances), ``eer`` (right commands against outside
            utterances), ``eer_wrong`` (wrong commands are impostors too); fractions: ``auc``,
            ``ece`` and ``nce`` over all utterances.
        """
        counts = np.bincount(self.kinds, minlength=len(TrialKind))
        chosen = self.probabilities >= threshold if accepted is None else accepted
        taken = np.bincount(self.kinds[chosen], minlength=len(TrialKind))
        outside = int(counts[TrialKind.OUTSIDE])
        commands = int(counts.sum()) - outside
        right = int(counts[TrialKind.RIGHT])
        # A rate needs both kinds: with one of them missing it is None, not 0.
        curve = self.curve() if right and outside else None
        strict = self.curve(wrong_too=True) if 0 < right < len(self.kinds) else None
        nce = normalized_cross_entropy(self.probabilities, self.labels)
        ece = expected_calibration_error(self.probabilities, self.labels, bins)
        return {
            "commands": commands, "outside": outside,
            "recognised": _percent(right, commands),
            "accepted_right": _percent(taken[TrialKind.RIGHT], commands),
            "accepted_wrong": _percent(taken[TrialKind.WRONG], commands),
            "false_accept": _percent(taken[TrialKind.OUTSIDE], outside),
            "eer": None if curve is None else round(100 * curve.equal_error_rate, 2),
            "eer_wrong": None if strict is None else round(100 * strict.equal_error_rate, 2),
            "auc": None if curve is None else round(curve.area, 4),
            "ece": round(ece, 4) if len(self.kinds) else None,
            "nce": None if nce is None else round(nce, 4)}


def _percent(part: int, whole: int) -> float | None:
    return round(100 * int(part) / whole, 2) if whole else None
