"""Error rates of accepting and rejecting, against brute force over thresholds and closed forms."""

from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from hybridasr.errors import UserError
from hybridasr.score.detection import TrialKind, Trials, choose_threshold, det_curve

NORMAL = NormalDist()


def drawn(seed: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and labels, targets higher by about one; whole numbers give ties."""
    rng = np.random.default_rng(seed)
    labels = rng.random(60) < rng.uniform(0.2, 0.8)
    labels[:2] = True, False
    scores = 3 * (labels + rng.standard_normal(60))
    return (np.round(scores) if ties else scores), labels


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_curve_and_its_figures_against_brute_force(seed, ties):
    scores, labels = drawn(seed, ties)
    curve = det_curve(scores, labels)
    assert curve.thresholds.tolist() == [np.inf, *sorted(set(scores.tolist()), reverse=True)]
    worst, best = [], []
    for threshold, false_accept, miss in zip(curve.thresholds, curve.false_accept, curve.miss,
                                             strict=True):
        rates = (scores[~labels] >= threshold).mean(), (scores[labels] < threshold).mean()
        np.testing.assert_allclose((false_accept, miss), rates, rtol=0, atol=1e-15)
        worst.append(max(rates))
        best.append(min(rates))
    # On a step curve the equal error rate is the least that the larger error can be.
    if ties:
        assert max(best) - 1e-12 <= curve.equal_error_rate <= min(worst) + 1e-12
    else:
        assert curve.equal_error_rate == pytest.approx(min(worst), rel=0, abs=1e-12)
    statistic = mannwhitneyu(scores[labels], scores[~labels]).statistic
    area = statistic / (labels.sum() * (~labels).sum())
    assert curve.area == pytest.approx(area, rel=0, abs=1e-12)


def test_ties_of_targets_and_impostors_are_a_slope():
    # From (0, 1) straight to (1/2, 0): equal where x = 1 - 2 x.
    curve = det_curve(np.array([1, 1, 1, 0]), np.array([True, True, False, False]))
    assert curve.equal_error_rate == pytest.approx(1 / 3)
    assert curve.area == pytest.approx(0.75)
    one_score = det_curve(np.zeros(4), np.array([True, False, False, False]))
    assert (one_score.equal_error_rate, one_score.area) == (0.5, 0.5)
    apart = det_curve(np.arange(4), np.arange(4) >= 2)
    assert (apart.equal_error_rate, apart.area) == (0, 1)
    upside_down = det_curve(np.arange(4), np.arange(4) < 2)
    assert (upside_down.equal_error_rate, upside_down.area) == (1, 0)


def test_two_normal_distributions_have_their_closed_forms():
    rng, distance = np.random.default_rng(0), 2.0
    labels = np.arange(40_000) % 2 == 0
    curve = det_curve(rng.standard_normal(40_000) + distance * labels, labels)
    assert curve.equal_error_rate == pytest.approx(NORMAL.cdf(-distance / 2), rel=0, abs=0.005)
    assert curve.area == pytest.approx(NORMAL.cdf(distance / 2 ** 0.5), rel=0, abs=0.005)


@pytest.mark.parametrize("seed", range(3))
def test_figures_do_not_depend_on_order_scale_or_side(seed):
    scores, labels = drawn(seed, ties=True)
    curve = det_curve(scores, labels)
    order = np.random.default_rng(seed).permutation(len(scores))
    for other in (det_curve(scores[order], labels[order]), det_curve(np.exp(scores), labels),
                  det_curve(-scores, ~labels)):
        assert other.equal_error_rate == pytest.approx(curve.equal_error_rate, rel=0, abs=1e-12)
        assert other.area == pytest.approx(curve.area, rel=0, abs=1e-12)


@pytest.mark.parametrize("rate", [0, 0.01, 0.05, 0.29, 0.3, 0.57, 0.999])
@pytest.mark.parametrize("values", [4, 20, 10**6])
def test_threshold_is_the_smallest_that_keeps_the_rate(rate, values):
    rng = np.random.default_rng(values)
    kinds = np.repeat([TrialKind.RIGHT, TrialKind.WRONG, TrialKind.OUTSIDE], (30, 30, 100))
    scores = rng.integers(0, values, len(kinds)) / values
    outside = scores[kinds == TrialKind.OUTSIDE]
    threshold = choose_threshold(scores, kinds, rate)
    assert (outside >= threshold).mean() <= rate
    assert (outside >= np.nextafter(threshold, -np.inf)).mean() > rate


def test_every_rate_that_the_utterances_can_show_is_used_up():
    # 29 / 100 and the like are not exact in binary; none of the allowed accepts may be lost.
    scores, kinds = np.arange(100.0), np.full(100, TrialKind.OUTSIDE)
    for allowed in range(100):
        assert (scores >= choose_threshold(scores, kinds, allowed / 100)).sum() == allowed


def test_figures_of_the_three_kinds():
    kinds = np.repeat([TrialKind.RIGHT, TrialKind.WRONG, TrialKind.OUTSIDE], (4, 1, 5))
    trials = Trials(np.array([0.9, 0.9, 0.8, 0.3, 0.85, 0.7, 0.2, 0.2, 0.1, 0.0]), kinds)
    figures = trials.figures(0.7)
    assert {name: figures[name] for name in list(figures)[:6]} == {
        "commands": 5, "outside": 5, "recognised": 80.0, "accepted_right": 60.0,
        "accepted_wrong": 20.0, "false_accept": 20.0}
    # Without the wrong command: from (0, 1/4) to (1/5, 1/4), then down: equal at 1/5.
    assert (figures["eer"], figures["auc"]) == (20.0, 0.95)
    # With it, two of six impostors are above the fourth target: from (1/6, 1/4) to (1/3, 1/4).
    assert figures["eer_wrong"] == 25.0
    # Confidence less accuracy in the bins that are in use, times utterances.
    gaps = [0.0 + 0.1, 0.2 + 0.2, 1 - 0.3, 0.7, 1 - 0.8, 0.9 + 0.9 + 0.85 - 2]
    assert figures["ece"] == pytest.approx(sum(gaps) / 10, rel=0, abs=1e-4)
    assert 0 < figures["nce"] < 1


def test_figures_that_cannot_be_measured_are_none():
    only_right = Trials(np.array([0.5, 0.6]), np.array([TrialKind.RIGHT] * 2)).figures(0.5)
    assert (only_right["accepted_right"], only_right["accepted_wrong"]) == (100.0, 0.0)
    assert [only_right[name] for name in ("false_accept", "eer", "eer_wrong", "auc", "nce")] == [
        None] * 5
    nothing = Trials(np.zeros(0), np.zeros(0)).figures(0.5)
    assert {value for value in nothing.values()} == {0, None}
    kinds = np.array([TrialKind.WRONG, TrialKind.RIGHT])
    no_outside = Trials(np.array([0.5, 0.6]), kinds).figures(0.5)
    assert (no_outside["eer"], no_outside["eer_wrong"]) == (None, 0.0)


def test_what_is_missing_is_named():
    scores = np.array([0.1, 0.2])
    with pytest.raises(UserError, match="of 2 utterances 2 should be accepted; error rates need"):
        det_curve(scores, np.array([True, True]))
    with pytest.raises(UserError, match="no outside utterances.*add recordings of words that are"):
        choose_threshold(scores, np.array([TrialKind.RIGHT, TrialKind.WRONG]), 0.05)
    with pytest.raises(UserError, match=r"false-accept rate is 5; give a fraction .*0.05 for 5 %"):
        choose_threshold(scores, np.array([TrialKind.RIGHT, TrialKind.OUTSIDE]), 5)
    for function in (det_curve, lambda s, k: choose_threshold(s, k, 0.1)):
        with pytest.raises(ValueError, match="one dimension and equally many"):
            function(scores, np.array([1]))
        with pytest.raises(ValueError, match="finite"):
            function(np.array([0.1, np.nan]), np.array([0, 2]))
    with pytest.raises(ValueError, match="none of RIGHT, WRONG, OUTSIDE"):
        Trials(scores, np.array([0, 3]))
    with pytest.raises(ValueError, match="a probability is not in"):
        Trials(np.array([0.1, 1.2]), np.array([0, 1]))
