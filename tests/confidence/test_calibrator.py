"""The fit of a calibration: recovered on made-up utterances, on speakers that it has not seen."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest

from hybridasr.confidence.calibration import load_calibration, save_calibration
from hybridasr.confidence.calibrator import CalibrationOptions, fit_calibration
from hybridasr.errors import UserError
from hybridasr.score.detection import TrialKind, Trials

NAMES = ("margin", "posterior", "noise")
RIGHT, WRONG, OUTSIDE = TrialKind
OPTIONS = CalibrationOptions(false_accept_rate=0.1, least_threshold=0.0)


def world(size: int, num_speakers: int = 8, seed: int = 0):
    """Return features, kinds and speakers; right ones by a logistic model of two features.

    Log odds are 1.5 margin + 4 posterior - 2; a tenth of the rest are wrong commands.
    """
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((size, 3)) * [1.0, 0.5, 2.0]
    right = rng.random(size) < 1 / (1 + np.exp(2 - features @ [1.5, 4.0, 0.0]))
    kinds = np.where(right, RIGHT, np.where(rng.random(size) < 0.1, WRONG, OUTSIDE))
    return features, kinds, [f"s{number}" for number in rng.integers(0, num_speakers, size)]


def test_truth_is_recovered():
    features, kinds, groups = world(8000)
    calibration, report = fit_calibration(features, NAMES, kinds, groups, OPTIONS)
    raw = calibration.regression.weights / calibration.regression.scales
    assert np.all(np.abs(raw - [1.5, 4.0, 0.0]) < [0.15, 0.3, 0.05])
    figures = report.figures
    assert figures["ece"] < 0.02
    assert (figures["commands"] + figures["outside"], figures["speakers"], figures["folds"]) == (
        8000, 8, 8)
    # The stated rate is used up, and holds, about, for speakers that did not choose it.
    assert 9.9 < figures["false_accept"] <= 10.0
    assert figures["held_out_false_accept"] == pytest.approx(10, abs=1)
    for name in ("accepted_right", "accepted_wrong"):
        assert figures[f"held_out_{name}"] == pytest.approx(figures[name], abs=1)
    assert report.warnings == ()
    # A new set of the same world keeps the rate by the calibration itself.
    others, known, _ = world(8000, seed=1)
    fresh = Trials(calibration.probability(others), known).figures(calibration.threshold)
    assert fresh["false_accept"] == pytest.approx(10, abs=1.2)
    assert fresh["eer"] == pytest.approx(figures["eer"], abs=1.2)
    assert fresh["ece"] < 0.02


def test_background_limits_the_threshold_and_does_not_outweigh_words():
    features, kinds, groups = world(2000)
    rng = np.random.default_rng(7)
    behind = rng.standard_normal((6000, 3)) * [1.0, 0.5, 2.0]
    rows, all_kinds = np.concatenate([features, behind]), np.append(kinds, [OUTSIDE] * 6000)
    speakers = [*groups, *(f"b{number % 9}" for number in range(6000))]
    mask = np.arange(8000) >= 2000
    fits = {}
    for rate in (0.0, 3.0, 30.0):
        options = replace(OPTIONS, false_accepts_per_hour=rate)
        calibration, report = fit_calibration(rows, NAMES, all_kinds, speakers, options,
                                              background=mask, hours=10.0)
        fits[rate] = calibration.threshold
        figures = report.figures
        accepted = (report.trials.probabilities[mask] >= calibration.threshold).sum()
        assert figures["background_accepts_per_hour"] == pytest.approx(accepted / 10)
        assert figures["background_accepts_per_hour"] <= rate
        assert figures["outside"] == (kinds == OUTSIDE).sum()
    assert fits[0.0] > fits[3.0] > fits[30.0]
    # It weighs as much as the other outside ones, however much of it there is.
    twice, _ = fit_calibration(np.concatenate([rows, behind]), NAMES,
                               np.append(all_kinds, [OUTSIDE] * 6000),
                               [*speakers, *speakers[2000:]], OPTIONS,
                               background=np.arange(14000) >= 2000, hours=20.0)
    np.testing.assert_allclose(twice.probability(features), calibration.probability(features),
                               atol=0.01)
    short, report = fit_calibration(rows, NAMES, all_kinds, speakers,
                                    replace(OPTIONS, false_accepts_per_hour=3.0),
                                    background=mask, hours=0.2)
    assert "cannot show 3 false accepts an hour" in " ".join(report.warnings)
    assert report.figures["background_accepts_per_hour"] == 0


def test_figures_are_those_of_speakers_held_out():
    # The first feature tells right from outside by the speaker's own rule: worthless for others.
    rng = np.random.default_rng(0)
    speaker = np.repeat(np.arange(6), 60)
    kinds = np.tile([RIGHT, OUTSIDE], 180)
    features = np.zeros((360, 6))
    features[np.arange(360), speaker] = np.where(kinds == RIGHT, 1, -1) * rng.uniform(1, 2, 360)
    groups = [f"s{number}" for number in speaker]
    calibration, report = fit_calibration(features, list("abcdef"), kinds, groups)
    assert Trials(calibration.probability(features), kinds).figures(0.5)["auc"] == 1.0
    assert report.figures["auc"] == pytest.approx(0.5, abs=0.05)
    for name in set(groups):
        own = np.array(groups) == name
        assert len(set(report.folds[own])) == 1
        assert not set(report.folds[own]) & set(report.folds[~own])
    assert report.figures["accepted_right"] == Trials(
        report.trials.probabilities, kinds).figures(calibration.threshold)["accepted_right"]


def test_order_of_the_rows_changes_nothing():
    features, kinds, groups = world(300)
    features[::7, 1] = np.nan
    one, report = fit_calibration(features, NAMES, kinds, groups, OPTIONS)
    order = np.random.default_rng(5).permutation(300)
    other, permuted = fit_calibration(features[order], NAMES, kinds[order],
                                      [groups[row] for row in order], OPTIONS)
    assert one.to_dict() == other.to_dict()
    np.testing.assert_array_equal(report.trials.probabilities[order],
                                  permuted.trials.probabilities)
    np.testing.assert_array_equal(report.trials.kinds, kinds)
    np.testing.assert_array_equal(report.folds[order], permuted.folds)


def test_result_is_stored_with_its_figures(tmp_path):
    features, kinds, groups = world(300)
    calibration, report = fit_calibration(features, NAMES, kinds, groups, OPTIONS,
                                          filler_penalty=2.5, info={"data": "dev"})
    save_calibration(calibration, tmp_path)
    back = load_calibration(tmp_path)
    assert (back.filler_penalty, back.info["data"], back.info["figures"]) == (
        2.5, "dev", json.loads(json.dumps(report.figures)))
    assert back.info["options"]["false_accept_rate"] == 0.1
    assert back.threshold == report.figures["threshold"]


def test_utterances_that_no_command_came_near():
    features, kinds, groups = world(300)
    one, report = fit_calibration(features, NAMES, kinds, groups, OPTIONS)
    # As many again, from a speaker without commands: the same regression, a laxer threshold.
    more = np.r_[features, np.full((200, 3), np.nan)]
    other, wider = fit_calibration(more, NAMES, np.r_[kinds, np.full(200, OUTSIDE)],
                                   groups + ["s9"] * 200, OPTIONS)
    np.testing.assert_array_equal(one.regression.weights, other.regression.weights)
    assert np.all(wider.trials.probabilities[300:] == 0)
    assert np.all(wider.trials.probabilities[:300] > 0)
    assert 0 < other.threshold < one.threshold
    assert wider.figures["accepted_right"] > report.figures["accepted_right"]
    assert wider.figures["outside"] == report.figures["outside"] + 200
    assert wider.figures["false_accept"] <= 10


def test_signs_and_weight_of_wrong_ones():
    features, kinds, groups = world(400)
    calibration, _ = fit_calibration(features, NAMES, kinds, groups, OPTIONS,
                                     signs={"margin": -1, "noise": 1})
    assert calibration.regression.weights[0] == 0
    assert calibration.regression.weights[1] > 0
    assert calibration.regression.weights[2] >= 0
    mild, _ = fit_calibration(features, NAMES, kinds, groups, OPTIONS)
    stern, _ = fit_calibration(features, NAMES, kinds, groups,
                               replace(OPTIONS, wrong_weight=5.0))
    assert np.all(stern.probability(features) < mild.probability(features))


def test_separable_utterances_are_no_trouble():
    kinds = np.tile([RIGHT, OUTSIDE], 50)
    features = np.where(kinds == RIGHT, 1.0, -1.0)[:, None] * np.linspace(1, 2, 100)[:, None]
    calibration, report = fit_calibration(features, ["margin"], kinds, ["a", "b", "c", "d"] * 25)
    assert np.isfinite(calibration.regression.weights).all()
    assert (report.figures["eer"], report.figures["accepted_right"]) == (0.0, 100.0)


@pytest.mark.parametrize(("groups", "reason"), [
    (["s"] * 200, "all 200 utterances are of one speaker: the figures are for speakers that the "
                  "calibration knows; add recordings of others"),
    (["a" if kind == OUTSIDE else "b" for kind in world(200)[1]],
     "too few speakers of commands recognised right to hold some out"),
])
def test_too_few_speakers_fall_back_on_utterances(groups, reason, caplog):
    features, kinds, _ = world(200)
    with caplog.at_level(logging.WARNING, logger="hybridasr"):
        _, report = fit_calibration(features, NAMES, kinds, groups, OPTIONS)
    assert report.warnings[0].startswith(reason)
    assert caplog.messages == list(report.warnings)
    assert report.figures["folds"] == 10
    assert report.figures["auc"] > 0.8
    for kind in (RIGHT, OUTSIDE):
        assert len(set(report.folds[kinds == kind])) == 10


def test_what_is_more_likely_wrong_is_not_accepted():
    features, kinds, groups = world(300)
    lax, _ = fit_calibration(features, NAMES, kinds, groups, OPTIONS)
    strict, report = fit_calibration(features, NAMES, kinds, groups,
                                     CalibrationOptions(false_accept_rate=0.1))
    assert lax.threshold < 0.5 == strict.threshold
    accepted = report.trials.probabilities >= 0.5
    for name, kind in (("accepted_right", RIGHT), ("false_accept", OUTSIDE)):
        whole = kinds != OUTSIDE if kind == RIGHT else kinds == OUTSIDE
        share = 100 * (accepted & (kinds == kind)).sum() / whole.sum()
        assert report.figures[name] == pytest.approx(share, abs=0.006)
        assert report.figures[f"held_out_{name}"] <= report.figures[name] + 1e-9


def test_held_out_rates_are_of_thresholds_chosen_on_the_other_folds():
    features, kinds, groups = world(150)
    _, report = fit_calibration(features, NAMES, kinds, groups, OPTIONS)
    probabilities, accepted = report.trials.probabilities, np.zeros(150, bool)
    for fold in range(8):
        out = report.folds == fold
        others = np.sort(probabilities[~out & (kinds == OUTSIDE)])[::-1]
        accepted[out] = probabilities[out] > others[len(others) // 10]
    assert report.figures["held_out_false_accept"] == pytest.approx(
        100 * accepted[kinds == OUTSIDE].mean(), abs=0.006)
    assert report.figures["held_out_accepted_right"] == pytest.approx(
        100 * (accepted & (kinds == RIGHT)).sum() / (kinds != OUTSIDE).sum(), abs=0.006)
    assert report.figures["held_out_false_accept"] != report.figures["false_accept"]


def test_a_rate_that_cannot_be_shown_is_warned_of():
    features, kinds, groups = world(100)
    outside = int((kinds == OUTSIDE).sum())
    for accepts, warnings in ((0.7, 1), (1.0, 0)):
        options = CalibrationOptions(false_accept_rate=accepts / outside)
        assert len(fit_calibration(features, NAMES, kinds, groups, options)[1].warnings
                   ) == warnings
    _, report = fit_calibration(features, NAMES, kinds, groups,
                                CalibrationOptions(false_accept_rate=0.001))
    assert report.figures["false_accept"] == 0
    assert report.warnings == (f"{outside} outside utterances cannot show a false-accept rate of "
                               "0.1 %, so that the threshold accepts none of them; add recordings "
                               "up to 1000 at least",)


def test_what_is_missing_is_named():
    features, kinds, groups = world(200)

    def fit(kept, **changes):
        return fit_calibration(features[kept], NAMES, kinds[kept],
                               [group for group, keep in zip(groups, kept, strict=True) if keep],
                               **changes)

    for kept, reason in (
            (kinds != OUTSIDE, "no outside utterances to calibrate with, at least 10 are needed; "
                               "add recordings of words that are not in the command list"),
            (kinds != RIGHT, "no commands recognised right to calibrate with, at least 10 are"),
            (np.cumsum(kinds == RIGHT) < 10, "9 commands recognised right to calibrate with, at "
                                             "least 10 are needed; add recordings of commands")):
        with pytest.raises(UserError, match=reason):
            fit(kept)
    everything = np.ones(200, bool)
    whole = features.copy()
    features[kinds != RIGHT] = np.nan
    with pytest.raises(UserError, match="no utterances taken for a wrong command to calibrate "
                                        "with, at least 10 are needed; add recordings of words "
                                        "that sound like commands"):
        fit(everything)
    features[kinds == RIGHT] = np.nan
    features[0] = whole[0]
    with pytest.raises(ValueError, match="a command recognised right has no measures"):
        fit(everything)
    features[:] = whole
    with pytest.raises(ValueError, match="signs for"):
        fit(everything, signs={"loudness": 1})
    features[:, 1] = np.nan
    with pytest.raises(UserError, match="measure 'posterior' has no value in any utterance"):
        fit(everything)
    features[0, 1] = np.inf
    with pytest.raises(ValueError, match="a feature is infinite"):
        fit(everything)
    with pytest.raises(ValueError, match="do not fit"):
        fit_calibration(features[:, :2], NAMES, kinds, groups)


@pytest.mark.parametrize(("change", "reason"), [
    ({"false_accept_rate": 5}, "false-accept-rate is 5; give a fraction"),
    ({"l2": 0.0}, "l2 is 0.0; give a number above 0"),
    ({"wrong_weight": np.inf}, "wrong-weight is inf; give a number above 0"),
    ({"folds": 1}, "folds is 1; give at least 2"),
])
def test_options_are_checked(change, reason):
    with pytest.raises(UserError, match=reason):
        CalibrationOptions(**change)
