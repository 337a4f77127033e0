"""Owns pictures of scores: confusions, systems with their intervals, errors against time."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.plots.canvas import COLOURS, VALUES, WIDTH, mark_styles, pyplot_for, save
from hybridasr.score.result_table import KNOWN
from hybridasr.score.wer import GAP

MOST_UNITS = 20  # rows of a confusion matrix
NOTHING = "(nothing)"  # in place of an inserted or deleted unit
# Errors of which none was seen may be so many among n words, with 95 % probability, as 3 of n
# (Hanley and Lippman-Hand, "If nothing goes wrong, is everything all right?", 1983).
_UNSEEN = 3.0
_SHOWN_COUNTS = 16  # rows up to which the counts have room


def confusion_matrix(pairs: Iterable[tuple[str, str, int]], most: int = MOST_UNITS
                     ) -> tuple[list[str], np.ndarray]:
    """Return (names, counts): how often each unit was taken for each other one.

    Parameters
    ----------
    pairs : iterable of (said, recognised, count)
        `score.wer.GAP` in place of a unit that was inserted or deleted.
    most : int
        Keep the units with the most errors, as said or as recognised.

    Returns
    -------
    (list of str, int64 (n, n))
        Rows are what was said. What was inserted and deleted comes last, as `NOTHING`.

    >>> names, counts = confusion_matrix([("a", "a", 5), ("a", "b", 2), ("b", GAP, 1)])
    >>> names, counts.tolist()
    (['a', 'b', '(nothing)'], [[5, 2, 0], [0, 0, 1], [0, 0, 0]])
    """
    pairs = list(pairs)
    errors: dict[str, int] = {}
    for said, recognised, count in pairs:
        for unit in {said, recognised} - {GAP}:
            errors[unit] = errors.get(unit, 0) + (count if said != recognised else 0)
    kept = sorted(sorted(errors, key=lambda unit: (-errors[unit], unit))[:most])
    names = [*kept, NOTHING]
    place = {name: number for number, name in enumerate([*kept, GAP])}
    counts = np.zeros((len(names), len(names)), np.int64)
    for said, recognised, count in pairs:
        row, column = place.get(said), place.get(recognised)
        if row is not None and column is not None:
            counts[row, column] += count
    return names, counts


def draw_confusion(names: Sequence[str], counts: np.ndarray, unit: str, path: Path) -> None:
    """Draw which units were taken for which.

    Parameters
    ----------
    names, counts
        As from `confusion_matrix`.
    unit : str
        What they are, such as word or phone.

    How to read it: a row is what was said, a column what was recognised, the shade the share of
    the row. All that is right lies on the diagonal. A bright cell beside it is a pair that the
    system mixes up; the last column is left out, the last row put in. Only the units with the
    most errors are shown.
    """
    plt = pyplot_for(path)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(WIDTH, 2.5 + 0.3 * len(names))
    figure, axes = plt.subplots(figsize=(side, side - 0.6), layout="constrained")
    image = axes.imshow(shares, cmap=VALUES, vmin=0, vmax=1)
    if len(names) <= _SHOWN_COUNTS:
        for row, column in zip(*np.nonzero(counts), strict=True):
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=7,
                      color="black" if shares[row, column] > 0.55 else "white")
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel=f"{unit} recognised", ylabel=f"{unit} said", title=f"confusions of {unit}s")
    figure.colorbar(image, label="share of what was said", pad=0.02, shrink=0.8)
    save(figure, path)


def measured_rows(rows: Sequence[Mapping[str, Any]], *columns: str) -> list[Mapping[str, Any]]:
    """Return the rows of a table of results in which all these figures are there."""
    return [row for row in rows if all(row.get(name) is not None for name in columns)]


def row_name(row: Mapping[str, Any]) -> str:
    """Return a short name of a row of results: system, test set, and what else it is of.

    >>> row_name({"system": "mono", "test_set": "test", "grammar": "commands", "known": "all"})
    'mono, test, commands, whole speakers'
    """
    known = KNOWN.get(str(row.get("known")))
    return ", ".join(part for part in (row["system"], row["test_set"], row.get("grammar"), known)
                     if part)


def draw_systems(rows: Sequence[Mapping[str, Any]], path: Path,
                 against: Sequence[Mapping[str, Any]] = ()) -> None:
    """Draw the word error rates of systems as bars, with their intervals.

    Parameters
    ----------
    rows : sequence of mappings
        Of results.json.
    against : sequence of mappings
        Of another run; the rows of the same name have a diamond.

    How to read it: a shorter bar is better. The thin line is where the true rate lies with 95 %
    probability, were other sentences of such speakers tested; where two lines overlap widely, the
    systems cannot be told apart by this test set. A dotted line is of a system without any error:
    3 in so many words as were tested, up to which its true rate may be. A diamond, where there is
    one, is the run of --against.
    """
    plt = pyplot_for(path)
    shown = measured_rows(rows, "wer")
    others = {row_name(row): row["wer"] for row in measured_rows(against, "wer")}
    figure, axes = plt.subplots(figsize=(WIDTH, 1.2 + 0.32 * max(2, len(shown))),
                                layout="constrained")
    for place, row in enumerate(shown):
        axes.barh(place, row["wer"], color=COLOURS[5], height=0.7)
        _interval(axes, row, place, vertical=False)
        if row_name(row) in others:
            axes.plot(others[row_name(row)], place, "D", color=COLOURS[1], markersize=5)
        axes.annotate(f"{row['wer']:.2f}", (_highest(row), place), (5, 0), va="center",
                      textcoords="offset points", fontsize=8)
    axes.set_yticks(range(len(shown)), [row_name(row) for row in shown], fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="word error rate, %")
    # All may be 0.
    axes.set_xlim(0, 1.15 * max([1.0, *map(_highest, shown), *others.values()]))
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)
    if others:
        axes.plot([], [], "D", color=COLOURS[1], label="the other run")
        axes.legend(fontsize=8)
    save(figure, path)


def draw_error_rates(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw word error rate against real-time factor, one mark a system and test set.

    How to read it: the lower left is best: few errors, little time. A real-time factor of 0.01 is
    a second of work for 100 seconds of sound. A system that has another one below and to its left
    is of no use. The lines are 95 % intervals of the error rate, dotted where there was no error.
    """
    plt = pyplot_for(path)
    figure, axes = plt.subplots(figsize=(WIDTH, 5), layout="constrained")
    for row, style in zip(measured_rows(rows, "wer", "rtf"), mark_styles(), strict=False):
        _interval(axes, row, row["rtf"], vertical=True)
        axes.plot(row["rtf"], row["wer"], linestyle="none", markersize=7, label=row_name(row),
                  **style)
    # A little below 0, where marks of no errors have room.
    top = max(axes.get_ylim()[1], 1.0)
    axes.set(xscale="log", ylim=(-0.04 * top, top), xlabel="real-time factor",
             ylabel="word error rate, %", title="errors against time")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(color="0.92", which="both")
    axes.set_axisbelow(True)
    figure.legend(fontsize=8, loc="outside lower center", ncols=2)
    save(figure, path)


def rate_ends(row: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the ends of the interval of a row's word error rate, in per cent; None without one.

    >>> rate_ends({"wer": 0.0, "wer_low": 0.0, "wer_high": 0.0, "words": 60})
    (0.0, 5.0)
    """
    if row.get("wer_low") is None or row.get("wer_high") is None:
        return None
    if row["wer"] == 0 and row.get("words"):
        return 0.0, min(100.0, 100 * _UNSEEN / row["words"])
    return row["wer_low"], row["wer_high"]


def _highest(row: Mapping[str, Any]) -> float:
    return max(row["wer"], *(rate_ends(row) or (0.0,)))


def _interval(axes: Any, row: Mapping[str, Any], place: float, vertical: bool) -> None:
    ends = rate_ends(row)
    if ends is None:
        return
    pair = ([place] * 2, ends) if vertical else (ends, [place] * 2)
    axes.plot(*pair, color="0.2", linewidth=1.2, marker="_" if vertical else "|", markersize=7,
              linestyle=":" if row["wer"] == 0 else "-")
