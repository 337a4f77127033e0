"""Owns pictures of confidence: reliability diagram, DET and ROC curves."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtri

from hybridasr.plots.canvas import line_styles, pyplot_for, save
from hybridasr.score.detection import DetCurve, rate_interval
from hybridasr.score.reliability import BINS, expected_calibration_error, reliability_table

SIZE = 5.5  # inches
# Per cent; a DET curve has no place for 0 and 100, which are at infinity.
DET_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 40, 60, 80, 90, 95, 98, 99)
DET_RANGE = (0.05, 99.5)
CHANCE = {"color": "0.7", "linestyle": "--", "linewidth": 0.8, "zorder": 1}


def draw_reliability(probabilities: np.ndarray, labels: np.ndarray, path: Path, bins: int = BINS
                     ) -> None:
    """Draw how often probabilities came true, bin by bin, over how many there are of each.

    How to read it: on the diagonal, a probability of 0.8 is right in eight of ten cases. Points
    below it are too sure, above it too modest; the bars below tell how much each bin counts.

    Parameters
    ----------
    probabilities : float (n,), in [0, 1]
    labels : bool (n,)
    path : Path
        Ending in .svg, .png or .pdf.
    bins : int
        Of equal width.

    Raises
    ------
    UserError
        if matplotlib is not installed, or the ending is of no known kind.
    ValueError
        as from `score.reliability.reliability_table`.
    """
    table = reliability_table(probabilities, labels, bins)
    error = expected_calibration_error(probabilities, labels, bins)
    plt = pyplot_for(path)
    figure, (upper, lower) = plt.subplots(2, sharex=True, figsize=(SIZE, 1.35 * SIZE),
                                          height_ratios=(3, 1), layout="constrained")
    low, width = np.array([row.low for row in table]), 1 / bins
    # Empty bins have no accuracy, and no bar.
    upper.bar(low, [row.accuracy if row.count else 0 for row in table], width, align="edge",
              color="#9ecae1", edgecolor="white", label="right, of those in the bin")
    used = [row for row in table if row.count]
    upper.plot([row.confidence for row in used], [row.accuracy for row in used], "o-",
               color="#08519c", markersize=4, label="at the mean probability")
    ends = np.array([rate_interval(row.accuracy, row.count) for row in used]).reshape(-1, 2)
    upper.vlines([row.confidence for row in used], ends[:, 0], ends[:, 1], color="0.3",
                 linewidth=1, label="95 % interval")
    upper.plot([0, 1], [0, 1], **CHANCE)
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is right",
              title=f"expected calibration error {error:.3f}")
    # Outside, because points and intervals may be anywhere.
    figure.legend(loc="outside lower center", fontsize=8, frameon=False, ncols=3)
    lower.bar(low, [row.count for row in table], width, align="edge", color="0.6",
              edgecolor="white")
    lower.set(xlabel="probability", ylabel="utterances")
    save(figure, path)


def draw_det(curves: Mapping[str, DetCurve], path: Path,
             counts: Mapping[str, tuple[int, int]] | None = None) -> None:
    """Draw misses against false accepts on normal deviate axes (Martin et al. 1997).

    Scores of two normal distributions give a straight line. A ring marks the equal error rate, its
    cross where both rates lie with 95 % probability.

    Parameters
    ----------
    curves : mapping name -> DetCurve
    path : Path
        Ending in .svg, .png or .pdf.
    counts : mapping name -> (targets, impostors), optional
        Utterances of each kind; without them no interval is drawn.

    How to read it: each point is a threshold; to the left and down is better. Strict thresholds
    are at the upper left (much is missed), lax ones at the lower right.

    Raises
    ------
    UserError
        if matplotlib is not installed, or the ending is of no known kind.
    """
    plt = pyplot_for(path)
    figure, axes = plt.subplots(figsize=(SIZE, SIZE))
    for (name, curve), style in zip(curves.items(), line_styles(), strict=False):
        rate = curve.equal_error_rate
        line, = axes.plot(deviate(curve.false_accept), deviate(curve.miss), linewidth=1.2,
                          label=f"{name}: EER {100 * rate:.1f} %", **style)
        axes.plot(*deviate(np.array([[rate], [rate]])), "o", color=line.get_color(),
                  markerfacecolor="none")
        for vertical, count in enumerate((counts or {}).get(name, ())[::-1]):
            ends = deviate(np.array(rate_interval(rate, count)))
            middle = deviate(np.array([rate, rate]))
            axes.plot(*((middle, ends) if vertical else (ends, middle)), color=line.get_color(),
                      linewidth=0.9)
    limits = deviate(np.array(DET_RANGE) / 100)
    axes.plot(limits, limits, **CHANCE)
    ticks = deviate(np.array(DET_TICKS) / 100)
    names = [f"{tick:g}" for tick in DET_TICKS]
    axes.set_xticks(ticks, names, fontsize=8, rotation=60)
    axes.set_yticks(ticks, names, fontsize=8)
    axes.set(xlim=limits, ylim=limits, xlabel="false accepts, %", ylabel="misses, %")
    _finish(figure, axes, path, "upper right")


def draw_roc(curves: Mapping[str, DetCurve], path: Path,
             counts: Mapping[str, tuple[int, int]] | None = None) -> None:
    """Draw hits against false accepts, with the area under each curve.

    Parameters and errors as of `draw_det`.

    How to read it: a curve near to the upper left corner is good, the dashed diagonal is chance.
    The area is how often a command scores above an outside utterance. The band is where the hits
    lie with 95 % probability at each threshold.
    """
    plt = pyplot_for(path)
    figure, axes = plt.subplots(figsize=(SIZE, SIZE))
    for (name, curve), style in zip(curves.items(), line_styles(), strict=False):
        line, = axes.plot(100 * curve.false_accept, 100 * (1 - curve.miss), linewidth=1.2,
                          label=f"{name}: area {curve.area:.3f}", **style)
        if counts and name in counts:
            low, high = np.array([rate_interval(1 - miss, counts[name][0])
                                  for miss in curve.miss.tolist()]).T
            axes.fill_between(100 * curve.false_accept, 100 * low, 100 * high, alpha=0.15,
                              color=line.get_color(), linewidth=0)
    axes.plot([0, 100], [0, 100], **CHANCE)
    # A little wider: a curve without faults runs along the edge.
    axes.set(xlim=(-1.5, 100), ylim=(0, 101.5), xlabel="false accepts, %", ylabel="hits, %")
    _finish(figure, axes, path, "lower right")


def deviate(rates: np.ndarray) -> np.ndarray:
    """Return the normal deviates of rates (fractions); those off the axes are put on their rim."""
    return ndtri(np.clip(rates, DET_RANGE[0] / 100, DET_RANGE[1] / 100))


def _finish(figure: Any, axes: Any, path: Path, legend: str) -> None:
    axes.grid(color="0.93", zorder=0)
    axes.set_aspect("equal")
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc=legend, fontsize=8)
    save(figure, path)
