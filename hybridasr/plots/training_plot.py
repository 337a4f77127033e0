"""Owns pictures of trainings: how likelihood, accuracy, step size and gradients went."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridasr.plots.canvas import WIDTH, line_styles, pyplot_for, save

# Column of a history -> what its axis says, whether that axis is logarithmic for a wide range.
_PANELS: dict[tuple[str, ...], tuple[str, bool]] = {
    ("loglike",): ("gain in log likelihood\na frame", False),
    ("gaussians",): ("Gaussians", False),
    ("loss", "held_out_loss"): ("loss a frame", False),
    ("accuracy", "held_out_accuracy"): ("frames right, %", False),
    ("learning_rate",): ("learning rate", True),
    ("gradient_norm",): ("gradient norm", True)}
_HELD_OUT = "held_out_"


def training_lines(histories: Mapping[str, Sequence[Mapping[str, Any]]]
                   ) -> dict[tuple[str, ...], dict[str, tuple[list[int], list[float]]]]:
    """Return for each panel its lines: name -> (steps, values); panels without values left out.

    >>> lines = training_lines({"mono": [{"iteration": 1, "loglike": -3.5}]})
    >>> lines
    {('loglike',): {'mono': ([1], [-3.5])}}
    """
    panels = {}
    for columns in _PANELS:
        lines = {}
        for name, rows in histories.items():
            for column in columns:
                pairs = [(int(row.get("round", row.get("iteration", number))), float(row[column]))
                         for number, row in enumerate(rows, 1) if row.get(column) is not None]
                if pairs:
                    label = f"{name}, held out" if column.startswith(_HELD_OUT) else name
                    lines[label] = ([step for step, _ in pairs], [value for _, value in pairs])
        if lines:
            panels[columns] = lines
    return panels


def draw_training(histories: Mapping[str, Sequence[Mapping[str, Any]]], path: Path) -> None:
    """Draw the figures of trainings over their iterations or rounds.

    Parameters
    ----------
    histories : mapping name of a system -> rows
        As `train.history` keeps them.

    How to read it: the likelihood of mixtures rises and settles; a step up is new Gaussians or an
    alignment anew, a fall a fault. It is drawn above that of the first iteration, which the legend
    tells: systems with other features stand on levels that cannot be compared. Of a network, the
    loss falls and the accuracy rises; the held-out line (dashed) is what counts: where it turns
    while the other goes on, the network learns its training set by heart. A gradient norm that
    grows tells of too large a learning rate.
    """
    plt = pyplot_for(path)
    panels = training_lines(histories)
    figure, rows = plt.subplots(max(1, len(panels)), squeeze=False,
                                figsize=(WIDTH, 0.6 + 1.9 * max(1, len(panels))),
                                layout="constrained")
    rounds = any("round" in row for history in histories.values() for row in history)
    for axes, (columns, lines) in zip(rows[:, 0], panels.items(), strict=False):
        title, logarithmic = _PANELS[columns]
        for (name, (steps, values)), style in zip(lines.items(), line_styles(), strict=False):
            if columns == ("loglike",):
                name, values = f"{name}, from {values[0]:.1f}", [v - values[0] for v in values]
            axes.plot(steps, values, marker="o", markersize=2.5, linewidth=1.2, label=name,
                      **style)
        drawn = [value for _, values in lines.values() for value in values]
        # A narrow range has no power of ten to stand at the ticks.
        wide = logarithmic and min(drawn) > 0 and max(drawn) >= 10 * min(drawn)
        axes.set(ylabel=title, yscale="log" if wide else "linear")
        axes.xaxis.set_major_locator(plt.MaxNLocator(integer=True))
        axes.grid(color="0.92")
        axes.legend(fontsize=8, frameon=False)
    rows[-1, 0].set_xlabel("round" if rounds else "iteration")
    save(figure, path)
