"""Owns logistic regression: fit with a quadratic penalty, and folds that keep speakers together.

Features are standardised first, so that one penalty suits measures of any scale.
"""

import logging
from collections.abc import Hashable, Sequence

import numpy as np
from scipy.optimize import minimize

from hybridasr.confidence.calibration import Regression, standardised

logger = logging.getLogger("hybridasr")
# A column that varies by less than this part of its mean is constant but for rounding.
CONSTANT = 1e-9
MAX_ITERATIONS = 1000
# Slope of the loss of one utterance above which something is amiss; 1e-8 is usual.
TOLERANCE = 1e-4


def fit_logistic(features: np.ndarray, labels: np.ndarray, l2: float = 1.0,
                 signs: Sequence[int] | None = None,
                 sample_weights: np.ndarray | None = None) -> Regression:
    """Fit a logistic regression (penalised maximum likelihood) with L-BFGS-B (Byrd et al. 1995).

    Parameters
    ----------
    features : float (n, k)
        NaN where a value is missing: the mean of the others stands in for it.
    labels : bool (n,)
    l2 : float, positive
        The loss gets l2 / 2 times the squared weights of the standardised features; the bias is
        free. Keeps the weights finite where a plane separates the labels.
    signs : sequence of k numbers -1, 0 or 1, optional
        1: the weight must not be negative (more of the measure never lowers the probability);
        -1: must not be positive; 0: free.
    sample_weights : float (n,), optional
        How often each row counts.

    Returns
    -------
    Regression
        A constant column, or one without values, has weight 0.

    Raises
    ------
    ValueError
        if shapes or signs do not fit, a feature is infinite, or `l2` is not positive.
    """
    features, labels = np.asarray(features, np.float64), np.asarray(labels, bool)
    if features.ndim != 2 or labels.shape != features.shape[:1] or len(labels) == 0:
        raise ValueError(f"features {features.shape} and labels {labels.shape} do not fit")
    if np.isinf(features).any():
        raise ValueError("a feature is infinite; NaN stands for a missing value")
    if not l2 > 0:
        raise ValueError(f"l2 is {l2}; it must be above 0")
    width = features.shape[1]
    signs = [0] * width if signs is None else list(signs)
    if len(signs) != width or not set(signs) <= {-1, 0, 1}:
        raise ValueError(f"{signs} are not {width} signs of -1, 0 or 1")
    counts = np.ones(len(labels)) if sample_weights is None else np.asarray(sample_weights, float)
    if counts.shape != labels.shape:
        raise ValueError(f"sample weights {counts.shape} and labels {labels.shape} do not fit")
    means, scales = _moments(features)
    inputs = standardised(features, means, scales)
    # Per utterance, so that the tolerance does not depend on how many there are.
    total = counts.sum()

    def objective(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = loss_and_gradient(parameters, inputs, labels, counts, l2)
        return loss / total, gradient / total

    bounds = [{0: (None, None), 1: (0, None), -1: (None, 0)}[sign] for sign in signs]
    solution = minimize(objective, np.zeros(width + 1), jac=True, method="L-BFGS-B",
                        bounds=[*bounds, (None, None)],
                        options={"maxiter": MAX_ITERATIONS, "maxfun": 5 * MAX_ITERATIONS,
                                 "ftol": 0.0, "gtol": 1e-10})
    # With ftol 0 the search may also end where rounding hides the descent: that is no fault.
    slope = _slope_within(solution.x, objective(solution.x)[1], signs)
    if slope > TOLERANCE:
        logger.warning("the logistic regression did not converge (slope %.1e)", slope)
    return Regression(means, scales, solution.x[:-1], float(solution.x[-1]))


def loss_and_gradient(parameters: np.ndarray, inputs: np.ndarray, labels: np.ndarray,
                      counts: np.ndarray, l2: float) -> tuple[float, np.ndarray]:
    """Return the penalised negative log likelihood and its gradient.

    Parameters
    ----------
    parameters : float64 (k + 1,)
        Weights, then the bias.
    inputs : float64 (n, k), labels : bool (n,), counts : float64 (n,)
    l2 : float

    Returns
    -------
    (float, float64 (k + 1,))
        Natural log; sum over the rows.
    """
    weights, bias = parameters[:-1], parameters[-1]
    odds = inputs @ weights + bias
    # log(1 + e^x) without overflow.
    loss = np.sum(counts * (np.logaddexp(0.0, odds) - labels * odds)) + l2 / 2 * weights @ weights
    error = counts * (np.exp(-np.logaddexp(0.0, -odds)) - labels)
    return float(loss), np.append(error @ inputs + l2 * weights, error.sum())


def grouped_folds(groups: Sequence[Hashable], kinds: np.ndarray, num_folds: int) -> np.ndarray:
    """Part rows into folds: each group as a whole in one, each kind as evenly as may be.

    Groups are placed from the largest on, each in the fold that has least of its kinds so far.
    The order of the rows does not matter.

    Parameters
    ----------
    groups : sequence of n names
        Such as the speaker of each row; of one sortable type.
    kinds : int (n,), not negative
    num_folds : int
        At most; never more than there are groups.

    Returns
    -------
    int64 (n,)
        Number of the fold of each row, from 0.

    Raises
    ------
    ValueError
        if the lengths differ.
    """
    kinds = np.asarray(kinds, np.int64)
    if len(groups) != len(kinds):
        raise ValueError(f"{len(groups)} groups for {len(kinds)} rows")
    _, number = np.unique(np.asarray(groups), return_inverse=True)
    if len(kinds) == 0:
        return np.zeros(0, np.int64)
    table = np.zeros((number.max() + 1, kinds.max() + 1))
    np.add.at(table, (number, kinds), 1)
    # Rare kinds weigh more: what counts is the share of a kind that a fold has.
    shares = table / np.maximum(table.sum(0), 1)
    filled = np.zeros((min(num_folds, len(table)), table.shape[1]))
    fold_of = np.zeros(len(table), np.int64)
    for group in np.argsort(-table.sum(1), kind="stable"):
        # The fold whose sum of squared shares grows least; of equal ones, the emptiest.
        growth = np.round(filled @ shares[group], 12)
        fold = np.lexsort((np.round(filled.sum(1), 12), growth))[0]
        filled[fold] += shares[group]
        fold_of[group] = fold
    return fold_of[number]


def held_out_probabilities(features: np.ndarray, labels: np.ndarray, folds: np.ndarray,
                           l2: float = 1.0, signs: Sequence[int] | None = None,
                           sample_weights: np.ndarray | None = None) -> np.ndarray:
    """Return each row's probability by a regression that was fitted to the other folds.

    Parameters
    ----------
    features, labels, l2, signs, sample_weights
        As of `fit_logistic`.
    folds : int (n,)
        As from `grouped_folds`; at least two of them.

    Returns
    -------
    float64 (n,)
    """
    features, labels, folds = np.asarray(features), np.asarray(labels), np.asarray(folds)
    counts = np.ones(len(labels)) if sample_weights is None else np.asarray(sample_weights)
    probabilities = np.zeros(len(labels))
    for fold in np.unique(folds):
        out = folds == fold
        regression = fit_logistic(features[~out], labels[~out], l2, signs, counts[~out])
        probabilities[out] = regression.probability(features[out])
    return probabilities


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means and standard deviations of the columns without NaN; 1 for constant ones."""
    there = ~np.isnan(features)
    count = np.maximum(there.sum(0), 1)
    means = np.where(there, features, 0.0).sum(0) / count
    scales = np.sqrt((np.where(there, features - means, 0.0) ** 2).sum(0) / count)
    return means, np.where(scales <= CONSTANT * np.abs(means), 1.0, scales)


def _slope_within(parameters: np.ndarray, gradient: np.ndarray, signs: Sequence[int]) -> float:
    """Return the largest slope along which the bounds still let the loss fall."""
    bound = np.append(signs, 0)
    blocked = (parameters == 0) & (bound * gradient > 0)
    return float(np.abs(np.where(blocked, 0.0, gradient)).max())
