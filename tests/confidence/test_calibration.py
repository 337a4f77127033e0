"""The stored calibration: all of it comes back, and damage is named."""

import json
import math

import numpy as np
import pytest

from hybridasr.confidence.calibration import (
    Calibration,
    Regression,
    calibration_from_dict,
    load_calibration,
    save_calibration,
)
from hybridasr.errors import UserError

REGRESSION = Regression(np.array([0.1, -3.0]), np.array([2.0, 1e-3]), np.array([1 / 3, -0.7]), 0.25)
CALIBRATION = Calibration(("margin", "词长"), REGRESSION, 0.6180339887498949, -1.5,
                          {"speakers": 4, "figures": {"eer": None}})


def test_probability_is_the_formula():
    rows = np.array([[0.5, -3.001], [0.1, -3.0], [math.nan, -2.99]])
    odds = [0.4 / 2 / 3 + 0.7 + 0.25, 0.25, 0.25 - 7]
    np.testing.assert_allclose(REGRESSION.log_odds(rows), odds, rtol=0, atol=1e-9)
    np.testing.assert_allclose(CALIBRATION.probability(rows),
                               [1 / (1 + math.exp(-value)) for value in odds], rtol=1e-12)
    assert CALIBRATION.probability(np.zeros((0, 2))).shape == (0,)


def test_everything_comes_back_bit_by_bit(tmp_path):
    assert load_calibration(tmp_path) is None
    path = save_calibration(CALIBRATION, tmp_path)
    assert path == tmp_path / "confidence.json"
    back = load_calibration(tmp_path)
    assert back.to_dict() == CALIBRATION.to_dict()
    rows = np.random.default_rng(0).standard_normal((50, 2))
    np.testing.assert_array_equal(back.probability(rows), CALIBRATION.probability(rows))
    assert (back.names, back.threshold, back.filler_penalty) == (
        ("margin", "词长"), 0.6180339887498949, -1.5)
    old = {name: value for name, value in CALIBRATION.to_dict().items() if name != "info"}
    assert calibration_from_dict(old).info == {}


def test_measures_are_found_by_name():
    assert CALIBRATION.columns(["词长", "rate", "margin"]) == [2, 0]
    with pytest.raises(UserError, match="wants the measure '词长', there are margin; calibrate"):
        CALIBRATION.columns(["margin"])


@pytest.mark.parametrize(("change", "reason"), [
    ({"format": 2}, "calibration format 2, this version reads up to 1; upgrade hybridasr"),
    ({"format": "1"}, "no format number"),
    ({"format": True}, "no format number"),
    ({"names": ["margin", "margin"]}, "'names' is no list of distinct names"),
    ({"names": []}, "'names' is no list of distinct names"),
    ({"names": ["margin", 3]}, "'names' is no list of distinct names"),
    ({"weights": [1.0]}, "'weights' has 1 numbers for 2 names"),
    ({"means": [1.0, math.nan]}, "'means' is no list of finite numbers"),
    ({"means": [1.0, None]}, "'means' is no list of finite numbers"),
    ({"weights": 2.0}, "'weights' is no list of finite numbers"),
    ({"scales": [1.0, 0.0]}, "'scales' has one that is not above 0"),
    ({"bias": math.inf}, "'bias' is no finite number"),
    ({"filler_penalty": "3"}, "'filler_penalty' is no finite number"),
    ({"threshold": 1.5}, r"'threshold' is 1.5, not in \[0, 1\]"),
    ({"threshold": True}, "'threshold' is no finite number"),
    ({"info": []}, "'info' is no object"),
    *(({name: None}, f"entry '{name}' is missing") for name in (
        "names", "means", "scales", "weights", "bias", "threshold", "filler_penalty")),
])
def test_damage_is_named_with_the_file(tmp_path, change, reason):
    values = {**CALIBRATION.to_dict(), **change}
    if "missing" in reason:
        values = {name: value for name, value in values.items() if value is not None}
    path = tmp_path / "confidence.json"
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match=reason) as error:
        load_calibration(tmp_path)
    assert str(error.value).startswith(f"{path}: ")
    assert "upgrade" in str(error.value) or "calibrate the model again" in str(error.value)


@pytest.mark.parametrize(("text", "reason"), [
    ('{"format": 1, "na', "confidence.json:1: not JSON"), ("[]", "is no calibration")])
def test_half_a_file_is_refused(tmp_path, text, reason):
    (tmp_path / "confidence.json").write_text(text)
    with pytest.raises(UserError, match=reason):
        load_calibration(tmp_path)
