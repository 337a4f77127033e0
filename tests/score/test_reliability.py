"""Calibration error and cross entropy, against their definitions."""

import math

import numpy as np
import pytest

from hybridasr.score.reliability import (
    expected_calibration_error,
    normalized_cross_entropy,
    reliability_table,
)


def drawn(seed: int, size: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities, some of them tied and on the borders of bins, and labels."""
    rng = np.random.default_rng(seed)
    probabilities = np.where(rng.random(size) < 0.5, rng.random(size),
                             rng.integers(0, 11, size) / 10)
    return probabilities, rng.random(size) < probabilities ** 2


@pytest.mark.parametrize("bins", [1, 7, 10, 15])
@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_by_its_definition(seed, bins):
    probabilities, labels = drawn(seed)
    total = 0.0
    for number in range(bins):
        members = [place for place, value in enumerate(probabilities.tolist())
                   if number / bins < value <= (number + 1) / bins or value == number == 0]
        if members:
            total += abs(sum(labels[place] - probabilities[place] for place in members))
    assert expected_calibration_error(probabilities, labels, bins) == pytest.approx(
        total / len(labels), rel=0, abs=1e-12)


def test_table_of_equal_width():
    table = reliability_table(np.array([0, 0.1, 0.1000001, 0.3, 1.0]),
                              np.array([True, False, True, False, True]))
    assert [row[:3] for row in table[:4]] == [(0, 0.1, 2), (0.1, 0.2, 1), (0.2, 0.3, 1),
                                              (0.3, 0.4, 0)]
    assert [round(value, 6) for value in table[0][3:]] == [0.05, 0.5]
    assert math.isnan(table[3].confidence)
    assert math.isnan(table[3].accuracy)
    assert table[-1] == (0.9, 1.0, 1, 1.0, 1.0)


def test_table_of_equal_mass():
    probabilities, labels = np.arange(20) / 20, np.arange(20) >= 10
    table = reliability_table(probabilities, labels, bins=4, equal_mass=True)
    assert [row.count for row in table] == [5, 5, 5, 5]
    assert [row.accuracy for row in table] == [0, 0, 1, 1]
    gaps = [0.1, 0.35, 1 - 0.6, 1 - 0.85]
    assert expected_calibration_error(probabilities, labels, 4, equal_mass=True) == pytest.approx(
        sum(gaps) / 4)
    # Equal probabilities stay together, and no bin is empty.
    tied = reliability_table(np.array([0.5] * 7 + [0.9]), np.ones(8), 4, equal_mass=True)
    assert [(row.low, row.high, row.count) for row in tied] == [(0, 0.5, 7), (0.5, 1, 1)]
    at_the_top = reliability_table(np.array([0.1] + [0.9] * 7), np.ones(8), 4, equal_mass=True)
    assert [(row.low, row.high, row.count) for row in at_the_top] == [(0, 1, 8)]
    # Fewer utterances than bins: one for each.
    few = reliability_table(np.array([0.2, 0.4, 0.9]), np.ones(3), 10, equal_mass=True)
    assert [row.count for row in few] == [1, 1, 1]
    order = np.random.default_rng(0).permutation(200)
    some, known = drawn(1)
    assert expected_calibration_error(some[order], known[order], equal_mass=True) == pytest.approx(
        expected_calibration_error(some, known, equal_mass=True), rel=1e-12)


def test_true_probabilities_have_a_small_error():
    rng = np.random.default_rng(0)
    probabilities = rng.random(50_000)
    labels = rng.random(50_000) < probabilities
    for equal_mass in (False, True):
        assert expected_calibration_error(probabilities, labels, equal_mass=equal_mass) < 0.01
        assert expected_calibration_error(probabilities ** 2, labels,
                                          equal_mass=equal_mass) == pytest.approx(1 / 6, abs=0.01)
    # Of a uniform probability, in nats: H = log 2, C = 1/2.
    assert normalized_cross_entropy(probabilities, labels) == pytest.approx(
        1 - 0.5 / math.log(2), abs=0.01)


def test_cross_entropy_in_bits():
    probabilities, labels = np.array([0.9, 0.6, 0.2, 0.7]), np.array([True, True, False, False])
    most = -2 * math.log2(0.5) - 2 * math.log2(0.5)
    got = math.log2(0.9) + math.log2(0.6) + math.log2(0.8) + math.log2(0.3)
    assert normalized_cross_entropy(probabilities, labels) == pytest.approx((most + got) / most)
    assert normalized_cross_entropy(np.full(4, 0.5), labels) == pytest.approx(0)
    assert normalized_cross_entropy(labels.astype(float), labels) == pytest.approx(1, abs=1e-6)
    assert -100 < normalized_cross_entropy(1.0 - labels, labels) < -10
    assert normalized_cross_entropy(probabilities, np.ones(4)) is None
    assert normalized_cross_entropy(np.zeros(0), np.zeros(0)) is None


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"probabilities \(2,\) and labels \(1,\)"):
        expected_calibration_error(np.zeros(2), np.zeros(1))
    for bad in (1.01, -0.01, np.nan):
        with pytest.raises(ValueError, match="a probability is not in"):
            normalized_cross_entropy(np.array([bad]), np.ones(1))
    with pytest.raises(ValueError, match="0 bins"):
        reliability_table(np.zeros(1), np.zeros(1), bins=0)
    assert math.isnan(expected_calibration_error(np.zeros(0), np.zeros(0)))
