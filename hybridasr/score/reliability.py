"""Owns how true probabilities are: reliability table, expected calibration error, cross entropy.

A probability of 0.8 is true if the decision is right in eight of ten such cases.
"""

import math
from typing import NamedTuple

import numpy as np

BINS = 10
# A certainty that turns out wrong would cost infinitely much (normalised cross entropy).
CERTAIN = 1e-7


class ReliabilityBin(NamedTuple):
    """One row of the reliability table: probabilities in (low, high], the first bin from `low`.

    `confidence` is the mean probability, `accuracy` the share that was right; NaN if count is 0.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def reliability_table(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS,
                      equal_mass: bool = False) -> list[ReliabilityBin]:
    """Compare probabilities with how often they came true, bin by bin.

    Parameters
    ----------
    probabilities : float (n,), in [0, 1]
    labels : bool (n,)
        Whether it came true.
    bins : int
    equal_mass : bool
        Bins of about equally many utterances (Nixon et al. 2019) in place of equal width (Guo et
        al. 2017). Equal probabilities stay together, so that there may be fewer bins.

    Raises
    ------
    ValueError
        if the shapes differ, a value is not in [0, 1], or `bins` is not positive.
    """
    probabilities, labels = checked_probabilities(probabilities, labels)
    if bins < 1:
        raise ValueError(f"{bins} bins; give at least 1")
    inner = np.arange(1, bins) / bins
    if equal_mass:
        ordered = np.sort(probabilities)
        ends = len(ordered) * np.arange(1, bins) // bins
        inner = np.unique(ordered[ends[ends > 0] - 1])
        # A last bin that nothing falls into is none.
        inner = inner[inner < ordered.max(initial=0.0)]
    place = np.searchsorted(inner, probabilities, side="left")
    count = np.bincount(place, minlength=len(inner) + 1)
    # Empty bins divide 0 by 0: their NaN says "nothing there".
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(place, probabilities, len(inner) + 1) / count
        accuracy = np.bincount(place, labels, len(inner) + 1) / count
    edges = [0.0, *inner.tolist(), 1.0]
    return [ReliabilityBin(*row) for row in zip(
        edges[:-1], edges[1:], count.tolist(), confidence.tolist(), accuracy.tolist(),
        strict=True)]


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS,
                               equal_mass: bool = False) -> float:
    """Return the mean gap of confidence and accuracy, bins weighed by their utterances.

    ECE of Guo et al., "On calibration of modern neural networks", ICML 2017, equation 3; with
    `equal_mass` that of Nixon et al., "Measuring calibration in deep learning", 2019. In [0, 1];
    NaN without utterances. Parameters and errors as of `reliability_table`.
    """
    table = reliability_table(probabilities, labels, bins, equal_mass)
    total = sum(row.count for row in table)
    if total == 0:
        return math.nan
    return sum(row.count * abs(row.accuracy - row.confidence) for row in table if row.count) / total


def normalized_cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    """Return the share of the uncertainty about the labels that the probabilities take away.

    NCE = (H - C) / H, H the entropy of the labels if only their mean is known, C the cross entropy
    of the probabilities: 1 for certainty, 0 for knowing the mean, negative for worse than that
    (Siu and Gish 1999; NIST's evaluations of recognition from 1996 on). Probabilities are kept
    `CERTAIN` away from 0 and 1. None if all labels are equal: nothing is uncertain.

    Raises
    ------
    ValueError
        as from `reliability_table`.
    """
    probabilities, labels = checked_probabilities(probabilities, labels)
    mean = labels.mean() if len(labels) else 0.0
    # All right or all wrong: the entropy is 0 and there is nothing to explain.
    if mean in (0.0, 1.0):
        return None
    given = np.clip(probabilities, CERTAIN, 1 - CERTAIN)
    cross = -np.where(labels, np.log(given), np.log1p(-given)).mean()
    entropy = -mean * np.log(mean) - (1 - mean) * np.log1p(-mean)
    return float(1 - cross / entropy)


def checked_probabilities(probabilities: np.ndarray, labels: np.ndarray
                          ) -> tuple[np.ndarray, np.ndarray]:
    """Return both as float64 and bool; ValueError if they do not fit or are no probabilities."""
    probabilities, labels = np.asarray(probabilities, np.float64), np.asarray(labels, bool)
    if probabilities.ndim != 1 or probabilities.shape != labels.shape:
        raise ValueError(f"probabilities {probabilities.shape} and labels {labels.shape} must be "
                         "of one dimension and equally many")
    # NaN fails both comparisons.
    if not np.all((probabilities >= 0) & (probabilities <= 1)):
        raise ValueError("a probability is not in [0, 1]")
    return probabilities, labels
