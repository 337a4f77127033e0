"""Owns pictures of what a model learned: the HMM of a phone, the Gaussians of a state."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.hmm.transitions import TransitionModel
from hybridasr.plots.canvas import COLOURS, WIDTH, line_styles, mark_styles, pyplot_for, save

_RADIUS = 0.2  # of a state, where neighbours are 1 apart


@dataclass(frozen=True)
class PhoneTransition:
    """A transition of a phone's HMM: its mean probability over the pdfs, and their range."""

    source: int
    target: int
    probability: float
    least: float
    most: float


def phone_transitions(transitions: TransitionModel, phone: int) -> list[PhoneTransition]:
    """Return the trained transitions of a phone, in the order of its topology.

    Of a phone in context, each state has several pdfs with probabilities of their own.
    """
    arcs = []
    for number, state in enumerate(transitions.topology.for_phone(phone).states):
        rows = np.flatnonzero((transitions.tuples[:, :2] == (phone, number)).all(axis=1))
        for place, (target, initial) in enumerate(state.transitions):
            tids = transitions.first_tid[rows] + place
            values = np.exp(transitions.log_probs[tids].astype(np.float64))
            # A state that no tree allows has the topology's.
            values = values if len(values) else np.array([initial])
            arcs.append(PhoneTransition(number, target, float(values.mean()), float(values.min()),
                                 float(values.max())))
    return arcs


def draw_topology(arcs: Sequence[PhoneTransition], phone: str, path: Path) -> None:
    """Draw the HMM of a phone with its probabilities.

    Parameters
    ----------
    arcs : sequence of PhoneTransition
        As from `phone_transitions`; the last state is final.
    phone : str
        Its name.

    How to read it: each frame is spent in one circle; an arrow is what may follow, with its
    probability (where pdfs differ, the mean, and the range below). A loop of p keeps the phone in
    the state for 1 / (1 - p) frames in the mean. The double ring is the end of the phone.
    """
    plt = pyplot_for(path)
    last = max(max(arc.source, arc.target) for arc in arcs)
    heights = [_height(arc.target - arc.source) for arc in arcs]
    above, below = max(heights), min([-_RADIUS, *heights])
    unit = min(1.5, WIDTH / (last + 1))  # inches from state to state
    figure, axes = plt.subplots(figsize=(unit * (last + 1), unit * (above - below + 0.5)))
    for arc in arcs:
        _draw_transition(axes, arc, 72 * unit * _RADIUS)
    for state in range(last + 1):
        for radius in ((_RADIUS, 0.8 * _RADIUS) if state == last else (_RADIUS,)):
            axes.add_patch(plt.Circle((state, 0), radius, facecolor="white", edgecolor="0.2",
                                      zorder=3))
        axes.text(state, 0, "end" if state == last else str(state), ha="center", va="center",
                  zorder=4)
    axes.set(xlim=(-0.4, last + 0.4), ylim=(below - 0.2, above + 0.2), title=f"HMM of {phone}",
             aspect="equal")
    axes.axis("off")
    save(figure, path)


def _height(step: int) -> float:
    """Return how high the arrow to the state `step` further on goes at its middle."""
    return {0: 0.75, 1: 0.12}.get(step, 0.4 * step if step > 0 else 0.1 + 0.35 * step)


def _draw_transition(axes: Any, arc: PhoneTransition, shrink: float) -> None:
    """Draw an arrow with its probability; `shrink` is the radius of a state in points."""
    label = f"{arc.probability:.2f}"
    if arc.most - arc.least > 0.005:
        label += f"\n{arc.least:.2f} to {arc.most:.2f}"
    step = arc.target - arc.source
    style = {"arrowstyle": "->", "color": COLOURS[1] if step < 0 else COLOURS[0] if step == 0
             else "0.25"}
    if step == 0:
        # A loop from the upper left of the circle to its upper right.
        ends = [(arc.source + side, 0.87 * _RADIUS) for side in (0.5 * _RADIUS, -0.5 * _RADIUS)]
        axes.annotate("", *ends, arrowprops=style | {
            "shrinkA": 0, "shrinkB": 0, "connectionstyle": "arc3,rad=-3.2"})
        place = (arc.source, _height(0) - 0.07)
    else:
        height = _height(step)
        # Twice the height over the length is matplotlib's bend; neighbours are joined straight.
        bend = 0.0 if step == 1 else -2 * height / step
        axes.annotate("", (arc.target, 0), (arc.source, 0), arrowprops=style | {
            "shrinkA": shrink, "shrinkB": shrink, "connectionstyle": f"arc3,rad={bend}"})
        # Not in the middle, where another state and its loop stand.
        share = 0.3 if step > 1 else 0.5
        place = (arc.source + share * step, 4 * share * (1 - share) * height if bend else height)
    axes.text(*place, label, ha="center", va="center", fontsize=8, zorder=5,
              bbox={"color": "white", "pad": 0.4})


@dataclass(frozen=True, eq=False)
class MixtureView:
    """A mixture and frames, in two columns of the features.

    Attributes
    ----------
    frames : float (n, 2)
    owners : int (n,)
        The Gaussian that most likely made each frame.
    means, variances : float (k, 2)
    weights : float (k,)
    names : (str, str)
        Of the two columns.
    """

    frames: np.ndarray
    owners: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    weights: np.ndarray
    names: tuple[str, str]


def mixture_view(feats: np.ndarray, weights: np.ndarray, means: np.ndarray, variances: np.ndarray,
                 columns: tuple[int, int]) -> MixtureView:
    """Return a mixture seen in two columns, frames given to Gaussians by all columns.

    Parameters
    ----------
    feats : float (n, dim)
    weights : float (k,)
    means, variances : float (k, dim)
    """
    offsets = feats[:, None, :] - means
    scores = np.log(weights) - 0.5 * (np.log(variances).sum(axis=1)
                                      + (offsets ** 2 / variances).sum(axis=2))
    pair = list(columns)
    return MixtureView(feats[:, pair], scores.argmax(axis=1), means[:, pair], variances[:, pair],
                       weights, (f"feature column {pair[0]}", f"feature column {pair[1]}"))


def draw_gaussians(view: MixtureView, title: str, path: Path) -> None:
    """Draw the Gaussians of a state in two columns of the features, with the frames it owns.

    How to read it: a small mark is a frame that the alignment gives to the state, in the colour
    and the shape of the Gaussian that most likely made it, which all columns together tell; a
    cross is a Gaussian's mean, its ellipse two standard deviations wide, within which 86 % of its
    frames should lie. Frames far from all ellipses are
    aligned wrongly, or the mixture has too few Gaussians; an ellipse without frames is one too
    many.
    """
    plt = pyplot_for(path)
    from matplotlib.patches import Ellipse

    figure, axes = plt.subplots(figsize=(WIDTH, 0.7 * WIDTH))
    counts = np.bincount(view.owners, minlength=len(view.weights))
    for number, style, mark in zip(range(len(view.weights)), line_styles(), mark_styles(),
                                   strict=False):
        colour = style["color"]
        own = view.frames[view.owners == number]
        axes.plot(own[:, 0], own[:, 1], linestyle="none", markersize=4, alpha=0.6,
                  markeredgewidth=0, **mark)
        width, height = 4 * np.sqrt(view.variances[number])
        axes.add_patch(Ellipse(view.means[number], width, height, fill=False, linewidth=1.6,
                               edgecolor=colour, linestyle=style["linestyle"], zorder=3))
        axes.plot(*view.means[number], "x", color=colour, markersize=9, markeredgewidth=2,
                  zorder=4)
        axes.plot([], [], linestyle=style["linestyle"], markersize=5, **mark,
                  label=f"weight {view.weights[number]:.2f}, {counts[number]} frames")
    axes.set(xlabel=view.names[0], ylabel=view.names[1],
             title=f"{title}: {len(view.weights)} Gaussians, {len(view.frames)} frames")
    # More would cover the picture.
    if len(view.weights) <= 12:
        axes.legend(fontsize=8, framealpha=0.9)
    axes.autoscale_view()
    axes.grid(color="0.93")
    save(figure, path)
