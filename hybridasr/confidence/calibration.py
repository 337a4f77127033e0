"""Owns the calibration of a model: measures of an utterance to a probability, and the threshold.

It is ``confidence.json`` in the model directory, beside ``model.json``; needs numpy only.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.errors import UserError
from hybridasr.storage import PathLike, is_file, read_json, write_json

FORMAT = 1
FILE = "confidence.json"
_AGAIN = "calibrate the model again, or remove the file"
_ARRAYS = ("means", "scales", "weights")


@dataclass(frozen=True, eq=False)
class Regression:
    """A logistic regression on standardised features.

    log odds = sum over k of weights[k] * (feature[k] - means[k]) / scales[k] + bias

    Attributes
    ----------
    means, scales, weights : float64 (num_features,)
        Scales are positive.
    bias : float
    """

    means: np.ndarray
    scales: np.ndarray
    weights: np.ndarray
    bias: float

    def log_odds(self, features: np.ndarray) -> np.ndarray:
        """Return natural log odds, float64 (n,).

        Parameters
        ----------
        features : float (n, num_features)
            NaN where a value is missing: the mean of the training stands in for it.

        Raises
        ------
        ValueError
            if the columns are not as many as the weights, or a value is infinite.
        """
        features = np.asarray(features, np.float64)
        if features.ndim != 2 or features.shape[1] != len(self.weights):
            raise ValueError(f"features {features.shape} do not have the {len(self.weights)} "
                             "columns of the regression")
        if np.isinf(features).any():
            raise ValueError("a feature is infinite; NaN stands for a missing value")
        return standardised(features, self.means, self.scales) @ self.weights + self.bias

    def probability(self, features: np.ndarray) -> np.ndarray:
        """Return probabilities, float64 (n,) in (0, 1); parameters as of `log_odds`."""
        values = np.exp(-np.logaddexp(0.0, -self.log_odds(features)))
        # Below 1, so that a threshold above any probability is still at most 1.
        return np.minimum(values, np.nextafter(1.0, 0.0))


def standardised(features: np.ndarray, means: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Return (features - means) / scales with 0, the mean, for NaN."""
    return np.where(np.isnan(features), 0.0, (features - means) / scales)


@dataclass(frozen=True, eq=False)
class Calibration:
    """What turns the measures of an utterance into a probability and a decision.

    Attributes
    ----------
    names : tuple of str
        The measures, in the order of the columns.
    regression : Regression
    threshold : float in [0, 1]
        A top command of at least this probability is accepted.
    filler_penalty : float
        Added to the cost of everything that is no command (natural log).
    info : dict
        Figures of the fit and where the utterances came from; ready for JSON.
    """

    names: tuple[str, ...]
    regression: Regression
    threshold: float
    filler_penalty: float = 0.0
    info: dict[str, Any] = field(default_factory=dict)

    def columns(self, names: Sequence[str], path: PathLike | None = None) -> list[int]:
        """Return where each measure of the calibration is among `names`.

        Raises
        ------
        UserError
            naming `path`, if one of them is not there.
        """
        # A calibration may use fewer measures than there are, but no others.
        missing = [name for name in self.names if name not in names]
        if missing:
            raise UserError(f"the calibration wants the measure '{missing[0]}', there are "
                            f"{', '.join(names) or 'none'}; calibrate the model again", path)
        return [list(names).index(name) for name in self.names]

    def probability(self, features: np.ndarray) -> np.ndarray:
        """Return how probable it is that the top command is right, float64 (n,) in (0, 1).

        Parameters
        ----------
        features : float (n, num_measures)
            Columns as `names`; NaN where a measure is missing.

        Raises
        ------
        ValueError
            if the columns are not as many as the names, or a value is infinite.
        """
        return self.regression.probability(features)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, ready for JSON; numbers come back from JSON bit by bit."""
        return {"format": FORMAT, "names": list(self.names),
                **{name: getattr(self.regression, name).tolist() for name in _ARRAYS},
                "bias": self.regression.bias, "threshold": self.threshold,
                "filler_penalty": self.filler_penalty, "info": self.info}


def calibration_from_dict(values: Any, path: PathLike | None = None) -> Calibration:
    """Build a calibration from what `Calibration.to_dict` gave.

    Raises
    ------
    UserError
        naming `path`, if the format is newer, or an entry is missing or makes no sense.
    """
    def need(fits: bool, fault: str) -> None:
        if not fits:
            raise UserError(f"{fault}; {_AGAIN}", path)

    # In this order: a newer format may have other entries.
    need(isinstance(values, dict) and _is_number(values.get("format"), int),
         "is no calibration (no format number)")
    if values["format"] > FORMAT:
        raise UserError(f"calibration format {values['format']}, this version reads up to "
                        f"{FORMAT}; upgrade hybridasr", path)
    for name in ("names", *_ARRAYS, "bias", "threshold", "filler_penalty"):
        need(name in values, f"entry '{name}' is missing")
    names = values["names"]
    need(isinstance(names, list) and all(isinstance(name, str) for name in names)
         and len(names) == len(set(names)) > 0, "entry 'names' is no list of distinct names")
    for name in _ARRAYS:
        row = values[name]
        need(isinstance(row, list) and all(map(_is_number, row)),
             f"entry '{name}' is no list of finite numbers")
        need(len(row) == len(names), f"entry '{name}' has {len(row)} numbers for {len(names)} "
             "names")
    for name in ("bias", "threshold", "filler_penalty"):
        need(_is_number(values[name]), f"entry '{name}' is no finite number")
    need(all(scale > 0 for scale in values["scales"]), "entry 'scales' has one that is not above 0")
    need(0 <= values["threshold"] <= 1, f"entry 'threshold' is {values['threshold']}, not in "
         "[0, 1]")
    need(isinstance(values.get("info", {}), dict), "entry 'info' is no object")
    arrays = (np.array(values[name], np.float64) for name in _ARRAYS)
    return Calibration(tuple(names), Regression(*arrays, float(values["bias"])),
                       float(values["threshold"]), float(values["filler_penalty"]),
                       values.get("info", {}))


def save_calibration(calibration: Calibration, directory: PathLike) -> Path:
    """Write ``confidence.json`` into a model directory, and return its path."""
    path = Path(directory) / FILE
    write_json(path, calibration.to_dict())
    return path


def load_calibration(directory: PathLike) -> Calibration | None:
    """Read ``confidence.json`` of a model directory; None if the model has none.

    Raises
    ------
    UserError
        if it is damaged or of a newer format.
    """
    path = Path(directory) / FILE
    return calibration_from_dict(read_json(path), path) if is_file(path) else None


def _is_number(value: Any, kind: type | tuple[type, ...] = (int, float)) -> bool:
    # In Python, True is a whole number, and JSON is read with NaN and Infinity.
    return isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value)
