"""Logistic regression against finite differences, closed forms and enumeration; folds."""

import itertools

import numpy as np
import pytest

from hybridasr.confidence import logistic
from hybridasr.confidence.logistic import (
    fit_logistic,
    grouped_folds,
    held_out_probabilities,
    loss_and_gradient,
)
from hybridasr.score.reliability import expected_calibration_error


def drawn(size: int, weights, bias: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features of different scales, and labels by a true logistic model of them."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((size, len(weights))) * np.logspace(-1, 2, len(weights)) + 3
    odds = features @ np.asarray(weights) + bias
    return features, rng.random(size) < 1 / (1 + np.exp(-odds))


def raw_weights(regression) -> np.ndarray:
    return regression.weights / regression.scales


def test_gradient_by_finite_differences():
    rng = np.random.default_rng(0)
    inputs, labels = rng.standard_normal((30, 4)), rng.random(30) < 0.4
    counts, parameters = rng.uniform(0, 3, 30), rng.standard_normal(5)
    gradient = loss_and_gradient(parameters, inputs, labels, counts, 0.7)[1]
    step = 1e-5
    for place, slope in enumerate(gradient):
        moved = step * np.eye(5)[place]
        higher, lower = (loss_and_gradient(parameters + side * moved, inputs, labels, counts,
                                           0.7)[0] for side in (1, -1))
        assert slope == pytest.approx((higher - lower) / (2 * step), rel=1e-7, abs=1e-7)


def newton(inputs: np.ndarray, labels: np.ndarray, l2: float, free: list[int]) -> np.ndarray:
    """Return the best parameters (weights, bias) with all weights but the free ones at 0."""
    design = np.column_stack([inputs[:, free], np.ones(len(labels))])
    penalty = np.diag([l2] * len(free) + [0.0])
    found = np.zeros(len(free) + 1)
    for _ in range(50):
        rates = 1 / (1 + np.exp(-design @ found))
        slope = design.T @ (rates - labels) + penalty @ found
        curvature = design.T @ (design * (rates * (1 - rates))[:, None]) + penalty
        found -= np.linalg.solve(curvature, slope)
    whole = np.zeros(inputs.shape[1] + 1)
    whole[[*free, -1]] = found
    return whole


@pytest.mark.parametrize("signs", [[0, 0, 0, 0], [1, 1, 1, 1], [-1, 1, 0, -1], [-1, -1, -1, -1]])
def test_optimum_by_enumeration_of_the_bounds_in_force(signs):
    features, labels = drawn(300, [2.0, -0.3, 0.05, -0.01])
    regression = fit_logistic(features, labels, 0.5, signs)
    inputs = (features - features.mean(0)) / features.std(0)
    best, least = None, np.inf
    for free in itertools.chain.from_iterable(
            itertools.combinations(range(4), size) for size in range(5)):
        found = newton(inputs, labels, 0.5, list(free))
        loss = loss_and_gradient(found, inputs, labels, np.ones(300), 0.5)[0]
        if np.all(found[:-1] * signs >= 0) and loss < least:
            best, least = found, loss
    np.testing.assert_allclose([*regression.weights, regression.bias], best, rtol=0, atol=1e-6)
    assert np.all(regression.weights * signs >= 0)


def test_one_yes_or_no_feature_has_the_log_odds_ratio():
    feature = np.repeat([0.0, 1.0], (40, 60))
    labels = np.r_[np.arange(40) < 10, np.arange(60) < 45]
    regression = fit_logistic(feature[:, None], labels, 1e-9)
    assert raw_weights(regression)[0] == pytest.approx(np.log(3) - np.log(1 / 3), abs=1e-6)
    np.testing.assert_allclose(regression.probability(np.array([[0.0], [1.0]])), [0.25, 0.75],
                               rtol=0, atol=1e-6)


def test_true_weights_are_found_and_probabilities_are_true():
    true = np.array([3.0, -0.4, 0.0, 0.02])
    features, labels = drawn(20_000, true, bias=-5.0)
    regression = fit_logistic(features[::2], labels[::2])
    # About four standard errors of 10,000 utterances.
    np.testing.assert_allclose(raw_weights(regression) * features.std(0), true * features.std(0),
                               rtol=0, atol=0.15)
    held_out = regression.probability(features[1::2])
    assert expected_calibration_error(held_out, labels[1::2]) < 0.015


def test_scales_of_the_features_do_not_matter():
    features, labels = drawn(200, [1.0, 0.1])
    one = fit_logistic(features, labels, signs=[1, 0])
    other = fit_logistic(features * [1e-6, 1e6] + [1, -1e3], labels, signs=[1, 0])
    np.testing.assert_allclose(one.weights, other.weights, rtol=0, atol=1e-6)


def test_missing_values_are_the_mean():
    features, labels = drawn(100, [1.0, 0.3])
    features[::3, 1] = np.nan
    regression = fit_logistic(features, labels)
    known = features[~np.isnan(features[:, 1]), 1]
    assert regression.means[1] == pytest.approx(known.mean(), rel=1e-12)
    assert regression.scales[1] == pytest.approx(known.std(), rel=1e-12)
    filled = np.where(np.isnan(features), known.mean(), features)
    np.testing.assert_allclose(regression.probability(features), regression.probability(filled),
                               rtol=1e-12)
    # The fit, too, sees the mean: it is the best for the filled rows on the same scale.
    inputs = (filled - regression.means) / regression.scales
    np.testing.assert_allclose([*regression.weights, regression.bias],
                               newton(inputs, labels, 1.0, [0, 1]), rtol=0, atol=1e-6)


def test_columns_that_say_nothing_have_no_weight():
    features, labels = drawn(100, [1.0, 0.3, 0.1])
    features[:, 0], features[:, 2] = 0.1, np.nan
    regression = fit_logistic(features, labels)
    np.testing.assert_allclose(regression.weights[[0, 2]], 0, rtol=0, atol=1e-12)
    assert np.isfinite(regression.probability(features)).all()
    assert abs(regression.weights[1]) > 0.1


@pytest.mark.parametrize("l2", [1.0, 1e-6])
def test_separable_labels_and_far_values_stay_finite(l2):
    feature = np.linspace(-1, 1, 40)[:, None]
    regression = fit_logistic(feature, feature[:, 0] > 0, l2)
    assert np.isfinite(regression.weights).all()
    probabilities = regression.probability(np.array([[-1e9], [-1.0], [1.0], [1e9]]))
    assert probabilities[1] < 0.1
    assert probabilities[2] > 0.9
    assert np.all((probabilities >= 0) & (probabilities < 1))
    one_class = fit_logistic(feature, np.ones(40), l2)
    assert np.all(one_class.probability(feature) > 0.99)


def test_sample_weights_are_repeated_rows():
    features, labels = drawn(60, [1.0, -0.2])
    counts = np.random.default_rng(1).integers(1, 4, 60)
    weighted = fit_logistic(features, labels, sample_weights=counts)
    rows = np.repeat(np.arange(60), counts)
    inputs = ((features - features.mean(0)) / features.std(0))[rows]
    np.testing.assert_allclose([*weighted.weights, weighted.bias],
                               newton(inputs, labels[rows], 1.0, [0, 1]), rtol=0, atol=1e-6)


def test_a_fit_cut_short_is_warned_of(monkeypatch, caplog):
    features, labels = drawn(200, [1.0, 0.1])
    fit_logistic(features, labels, signs=[1, -1])
    assert caplog.messages == []
    monkeypatch.setattr(logistic, "MAX_ITERATIONS", 1)
    fit_logistic(features, labels)
    assert caplog.messages[0].startswith("the logistic regression did not converge (slope ")


def test_what_does_not_fit_is_refused():
    features, labels = drawn(20, [1.0, 1.0])
    regression = fit_logistic(features, labels)
    infinite = np.where(np.eye(20, 2) > 0, np.inf, features)
    for call, reason in (
            (lambda: fit_logistic(features, labels[:-1]), r"\(20, 2\) and labels \(19,\)"),
            (lambda: fit_logistic(features, labels, 0.0), "l2 is 0.0; it must be above 0"),
            (lambda: fit_logistic(features, labels, signs=[1]), "2 signs of -1, 0 or 1"),
            (lambda: fit_logistic(features, labels, signs=[1, 2]), "2 signs of -1, 0 or 1"),
            (lambda: fit_logistic(infinite, labels), "a feature is infinite"),
            (lambda: fit_logistic(features, labels, sample_weights=np.ones(3)), "sample weights"),
            (lambda: regression.probability(infinite), "a feature is infinite"),
            (lambda: regression.probability(features[:, :1]), "the 2 columns of the regression"),
            (lambda: regression.probability(features[0]), "the 2 columns of the regression"),
            (lambda: grouped_folds(["a"], np.zeros(2), 2), "1 groups for 2 rows")):
        with pytest.raises(ValueError, match=reason):
            call()


def speakers(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the speaker and the kind of 400 rows: 13 uneven speakers, kind 2 of five only."""
    rng = np.random.default_rng(seed)
    number = rng.choice(13, 400, p=rng.dirichlet(np.full(13, 3.0)))
    kinds = np.where(number < 5, rng.integers(0, 3, 400), rng.random(400) < 0.2)
    return np.array([f"s{n:02}" for n in number]), kinds


@pytest.mark.parametrize("num_folds", [2, 3, 5, 50])
def test_folds_keep_speakers_together_and_kinds_apart(num_folds):
    names, kinds = speakers()
    folds = grouped_folds(names.tolist(), kinds, num_folds)
    assert all(len(set(folds[names == name])) == 1 for name in set(names))
    wanted = min(num_folds, len(set(names)))
    assert sorted(set(folds.tolist())) == list(range(wanted))
    for kind, owners in ((0, wanted), (1, wanted), (2, min(wanted, 5))):
        assert len(set(folds[kinds == kind])) >= min(owners, 5)
    if num_folds == 2:
        assert 0.4 < np.mean(folds == 0) < 0.6
        assert all(0.3 < np.mean(folds[kinds == kind] == 0) < 0.7 for kind in range(3))
    order = np.random.default_rng(3).permutation(len(names))
    assert np.array_equal(grouped_folds(names[order].tolist(), kinds[order], num_folds),
                          folds[order])


def test_folds_of_nothing_and_of_one():
    assert grouped_folds([], np.zeros(0), 5).tolist() == []
    assert grouped_folds(["a", "a"], np.array([0, 1]), 5).tolist() == [0, 0]


def test_held_out_rows_have_no_part_in_their_probabilities():
    names, kinds = speakers()
    features = np.random.default_rng(0).standard_normal((400, 2)) + kinds[:, None]
    labels, folds = kinds == 0, grouped_folds(names, kinds, 4)
    before = held_out_probabilities(features, labels, folds, 0.1, [0, -1], 1.0 + labels)
    out = folds == 2
    own = fit_logistic(features[~out], labels[~out], 0.1, [0, -1], 1.0 + labels[~out])
    np.testing.assert_array_equal(before[out], own.probability(features[out]))
    labels[out] = ~labels[out]
    after = held_out_probabilities(features, labels, folds, 0.1, [0, -1], 1.0 + (kinds == 0))
    np.testing.assert_array_equal(before[out], after[out])
    assert np.abs(before - after)[~out].min() > 0
