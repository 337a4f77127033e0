"""Owns the fit of a calibration: regression, threshold and figures on speakers held out.

Every figure is of probabilities by a regression that has not seen the speaker; the calibration that
is returned is fitted to all utterances.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybridasr.confidence.calibration import Calibration
from hybridasr.confidence.logistic import fit_logistic, grouped_folds, held_out_probabilities
from hybridasr.errors import NotEnoughData, UserError
from hybridasr.options import option, to_dict
from hybridasr.score.detection import TrialKind, Trials, choose_threshold, rate_threshold

logger = logging.getLogger("hybridasr")
MIN_UTTERANCES = 10  # of those that should be accepted, and of those that should not


@dataclass(frozen=True)
class CalibrationOptions:
    """How the calibration is fitted and the threshold chosen."""

    false_accept_rate: float = option(0.05, "largest share of outside utterances to accept, a "
                                            "fraction")
    false_accepts_per_hour: float = option(2.0, "commands to accept an hour in background, where "
                                                "there is some, at most")
    least_threshold: float = option(0.5, "the threshold is at least this, however few outside "
                                         "utterances would be accepted below it")
    l2: float = option(1.0, "penalty on the weights of the logistic regression")
    folds: int = option(10, "parts of the cross-validation, at most as many as speakers")
    wrong_weight: float = option(1.0, "how often an utterance counts whose top command is wrong; "
                                      "other than 1, probabilities are not those of the data")

    def __post_init__(self):
        if not 0 <= self.false_accept_rate < 1:
            raise UserError(f"false-accept-rate is {self.false_accept_rate}; give a fraction from "
                            "0 to below 1 (0.05 for 5 %)")
        if not 0 <= self.false_accepts_per_hour < np.inf:
            raise UserError(f"false-accepts-per-hour is {self.false_accepts_per_hour}; give 0 or "
                            "more")
        if not 0 <= self.least_threshold <= 1:
            raise UserError(f"least-threshold is {self.least_threshold}; give a probability, 0 to "
                            "1")
        for name in ("l2", "wrong_weight"):
            if not 0 < getattr(self, name) < np.inf:
                raise UserError(f"{name.replace('_', '-')} is {getattr(self, name)}; give a "
                                "number above 0")
        if self.folds < 2:
            raise UserError(f"folds is {self.folds}; give at least 2")


@dataclass(frozen=True, eq=False)
class CalibrationReport:
    """What the cross-validation says about a calibration.

    Attributes
    ----------
    trials : Trials
        Probabilities of the utterances by regressions that were fitted to other speakers, and
        their kinds, in the order of the rows: for pictures and further figures.
    folds : int64 (n,)
        Number of the fold of each utterance.
    figures : dict
        Ready for JSON: those of `Trials.figures` at the threshold of the calibration, which was
        chosen on these very probabilities; ``held_out_false_accept``, ``held_out_accepted_right``
        and ``held_out_accepted_wrong``: the same with each fold's threshold chosen on the others;
        ``threshold``, ``speakers``, ``folds``.
    warnings : tuple of str
        What the figures should be read with; logged too.
    """

    trials: Trials
    folds: np.ndarray
    figures: dict[str, Any]
    warnings: tuple[str, ...]


def fit_calibration(features: np.ndarray, names: Sequence[str], kinds: np.ndarray,
                    groups: Sequence[str], options: CalibrationOptions | None = None,
                    signs: Mapping[str, int] | None = None, filler_penalty: float = 0.0,
                    info: Mapping[str, Any] | None = None, background: np.ndarray | None = None,
                    hours: float = 0.0) -> tuple[Calibration, CalibrationReport]:
    """Fit the probability that the top command is right, and the threshold for accepting it.

    The order of the rows changes nothing. Where there are too few speakers to hold one out, the
    folds are of utterances, and a warning says so.

    Parameters
    ----------
    features : float (n, num_measures)
        A row for each utterance, NaN where a measure is missing. A row without any value is an
        utterance that no command came near: its probability is 0, the regression does not see it.
    names : sequence of num_measures str
    kinds : int (n,) of `score.detection.TrialKind`
    groups : sequence of n str
        Speakers.
    options : CalibrationOptions, optional
    signs : mapping name -> 1 or -1, optional
        Of measures of which more never lowers (1) or never raises (-1) the probability.
    filler_penalty, info
        Recorded in the calibration; `info` gets the options and the figures.
    background : bool (n,), optional
        Rows of background, outside utterances all: they are weighed as many as the other outside
        ones, and the threshold lets so few of them pass an hour as `options` says.
    hours : float
        Of background.

    Raises
    ------
    UserError
        if there are too few right commands, outside utterances or utterances whose top command is
        wrong, or a measure has no value.
    ValueError
        if the shapes do not fit, a feature is infinite, or a right command has no measures.
    """
    options, signs = options or CalibrationOptions(), signs or {}
    features, kinds = np.asarray(features, np.float64), np.asarray(kinds, np.int64)
    near = ~np.isnan(features).all(-1)
    _check(features, names, kinds, groups, signs, near)
    # Sums in one order give the same bits, whatever the order of the rows.
    order = np.lexsort((*features.T, kinds, np.unique(np.asarray(groups), return_inverse=True)[1]))
    rows, row_kinds, near = features[order], kinds[order], near[order]
    behind = np.zeros(len(rows), bool) if background is None else np.asarray(background)[order]
    folds, warnings = _folds([groups[row] for row in order], row_kinds, near, options.folds)
    labels = row_kinds[near] == TrialKind.RIGHT
    fit = (options.l2, [signs.get(name, 0) for name in names],
           np.where(labels, 1.0, options.wrong_weight) * _shares(row_kinds, behind)[near])
    probabilities = np.zeros(len(rows))
    probabilities[near] = held_out_probabilities(rows[near], labels, folds[near], *fit)
    regression = fit_logistic(rows[near], labels, *fit)
    # Chosen on probabilities of speakers that the regression had not seen.
    threshold = _threshold(probabilities, row_kinds, options, behind, hours)
    words = ~behind
    warnings += _rate_warnings(int((row_kinds[words] == TrialKind.OUTSIDE).sum()),
                               options.false_accept_rate)
    warnings += _hour_warnings(hours, options.false_accepts_per_hour)
    for warning in warnings:
        logger.warning("%s", warning)
    figures = {**Trials(probabilities[words], row_kinds[words]).figures(threshold),
               **_held_out_figures(probabilities, row_kinds, folds, options, behind, hours),
               "threshold": threshold, "speakers": len(set(groups)),
               "folds": len(np.unique(folds))}
    if hours:
        figures |= {"background_hours": round(hours, 3), "background_accepts_per_hour": round(
            int((probabilities[behind] >= threshold).sum()) / hours, 3)}
    calibration = Calibration(
        tuple(names), regression, threshold, filler_penalty,
        {**(info or {}), "options": to_dict(options), "figures": figures})
    # The caller's order again.
    back = np.argsort(order)
    trials = Trials(probabilities[back], row_kinds[back])
    return calibration, CalibrationReport(trials, folds[back], figures, tuple(warnings))


def _check(features: np.ndarray, names: Sequence[str], kinds: np.ndarray, groups: Sequence[str],
           signs: Mapping[str, int], near: np.ndarray) -> None:
    if features.shape != (len(kinds), len(names)) or len(groups) != len(kinds):
        raise ValueError(f"features {features.shape}, {len(names)} names, {len(kinds)} kinds and "
                         f"{len(groups)} groups do not fit")
    if not set(signs) <= set(names):
        raise ValueError(f"signs for {sorted(set(signs) - set(names))}, which are no measures")
    if np.any(~near & (kinds == TrialKind.RIGHT)):
        raise ValueError("a command recognised right has no measures")
    for name, column in zip(names, features.T, strict=True):
        if len(column) and np.isnan(column).all():
            raise NotEnoughData(f"measure '{name}' has no value in any utterance; leave it out")
    for members, what, remedy in (
            (kinds == TrialKind.RIGHT, "commands recognised right",
             "add recordings of commands of the list"),
            (kinds == TrialKind.OUTSIDE, "outside utterances",
             "add recordings of words that are not in the command list"),
            (near & (kinds != TrialKind.RIGHT), "utterances taken for a wrong command",
             "add recordings of words that sound like commands")):
        count = int(members.sum())
        if count < MIN_UTTERANCES:
            raise NotEnoughData(f"{count or 'no'} {what} to calibrate with, at least "
                                f"{MIN_UTTERANCES} are needed; {remedy}")


def _folds(groups: Sequence[str], kinds: np.ndarray, near: np.ndarray, num_folds: int
           ) -> tuple[np.ndarray, list[str]]:
    """Return the fold of each row: by speakers, or, if that leaves none of a kind, by rows."""
    # Those that no command came near are a kind of their own: the regression does not see them.
    parted = np.where(near, kinds, len(TrialKind))
    folds = grouped_folds(groups, parted, num_folds)
    together = [what for members, what in (
        (kinds == TrialKind.RIGHT, "commands recognised right"),
        (kinds == TrialKind.OUTSIDE, "outside utterances"),
        (near & (kinds != TrialKind.RIGHT), "utterances taken for a wrong command"))
        if len(np.unique(folds[members])) < 2]
    if not together:
        return folds, []
    fault = f"too few speakers of {together[0]} to hold some out"
    if len(set(groups)) == 1:
        fault = f"all {len(kinds)} utterances are of one speaker"
    return grouped_folds(np.arange(len(kinds)), parted, num_folds), [
        f"{fault}: the figures are for speakers that the calibration knows; add recordings of "
        "others"]


def _hour_warnings(hours: float, rate: float) -> list[str]:
    if rate == 0 or not hours or rate * hours >= 1:
        return []
    return [f"{hours:.2f} hours of background cannot show {rate:g} false accepts an hour, so that "
            f"the threshold accepts nothing in it; give {1 / rate:.1f} hours"]


def _rate_warnings(outside: int, rate: float) -> list[str]:
    # With n utterances the smallest rate above 0 is 1 / n.
    if rate == 0 or 1 / outside <= rate:
        return []
    return [f"{outside} outside utterances cannot show a false-accept rate of {100 * rate:g} %, "
            f"so that the threshold accepts none of them; add recordings up to "
            f"{int(np.ceil(1 / rate))} at least"]


def _shares(kinds: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Return how often each row counts: background as much as the other outside utterances."""
    outside = int((kinds[~background] == TrialKind.OUTSIDE).sum())
    share = min(1.0, outside / max(int(background.sum()), 1))
    return np.where(background, share, 1.0)


def _threshold(probabilities: np.ndarray, kinds: np.ndarray, options: CalibrationOptions,
               background: np.ndarray, hours: float) -> float:
    by_rate = choose_threshold(probabilities[~background], kinds[~background],
                               options.false_accept_rate)
    if not hours:
        return max(by_rate, options.least_threshold)
    # Of little background nothing may be accepted, which the user is told.
    allowed = options.false_accepts_per_hour
    by_hour = rate_threshold(probabilities[background], hours,
                             allowed if allowed * hours >= 1 else 0.0)
    return max(by_rate, by_hour, options.least_threshold)


def _held_out_figures(probabilities: np.ndarray, kinds: np.ndarray, folds: np.ndarray,
                      options: CalibrationOptions, background: np.ndarray, hours: float
                      ) -> dict[str, float | None]:
    """Return the rates, in per cent, of thresholds that were chosen on the other folds."""
    accepted = np.zeros(len(kinds))
    for fold in np.unique(folds):
        out = folds == fold
        share = (background & ~out).sum() / max(background.sum(), 1)
        threshold = _threshold(probabilities[~out], kinds[~out], options, background[~out],
                               hours * share)
        accepted[out] = probabilities[out] >= threshold
    figures = Trials(accepted[~background], kinds[~background]).figures(1.0)
    return {f"held_out_{name}": figures[name]
            for name in ("false_accept", "accepted_right", "accepted_wrong")}
