"""Owns pictures of how an utterance is decided: posteriors over time, the search and its tokens."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hybridasr.errors import UserError
from hybridasr.plots.canvas import COLOURS, VALUES, WIDTH, pyplot_for, save

MOST_CLASSES = 24  # rows of a posteriogram
LEAST_POSTERIOR = 0.15  # of a class that has a row
MOST_STATES = 20000  # of a trellis


def posteriogram_rows(posteriors: np.ndarray, most: int = MOST_CLASSES) -> np.ndarray:
    """Return the classes worth a row, int64 (n,), in the order in which they peak.

    Those with the most frames' worth of probability, each at least `LEAST_POSTERIOR` somewhere.

    >>> posteriogram_rows(np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.1, 0.8, 0.1]])).tolist()
    [0, 1]
    """
    shown = np.flatnonzero(posteriors.max(axis=0, initial=0) >= LEAST_POSTERIOR)
    shown = shown[np.argsort(-posteriors[:, shown].sum(axis=0), kind="stable")][:most]
    return shown[np.argsort(posteriors[:, shown].argmax(axis=0), kind="stable")]


def draw_posteriogram(posteriors: np.ndarray, names: Sequence[str], frame_shift: float,
                      path: Path) -> None:
    """Draw how probable each phone is in each frame.

    Parameters
    ----------
    posteriors : float (num_frames, num_classes)
        Rows that sum to 1.
    names : sequence of str
        Of the classes.

    How to read it: light is sure. A clear utterance is a staircase from the upper left to the
    lower right, one bright step a phone; phones that the model takes for one share a row. Two
    half-bright bars in one place are two phones that the model cannot tell apart; a grey column is
    a sound that it does not know.
    """
    plt = pyplot_for(path)
    rows = posteriogram_rows(posteriors)
    figure, axes = plt.subplots(figsize=(WIDTH, 1.3 + 0.2 * max(8, len(rows))),
                                layout="constrained")
    image = axes.imshow(posteriors[:, rows].T, aspect="auto", cmap=VALUES, vmin=0, vmax=1,
                        interpolation="nearest",
                        extent=(0, len(posteriors) * frame_shift, len(rows) - 0.5, -0.5))
    axes.set_yticks(range(len(rows)), [names[row] for row in rows], fontsize=8)
    axes.set(xlabel="time, s", ylabel="phone", title="posteriors of phones")
    figure.colorbar(image, label="probability", pad=0.01)
    save(figure, path)


def draw_trellis(costs: np.ndarray, best: np.ndarray, beam: float, frame_shift: float, path: Path
                 ) -> None:
    """Draw the Viterbi trellis: the living tokens of every frame, and the path that won.

    Parameters
    ----------
    costs : float (num_frames, num_states)
        How much worse each state's token is than the best of its frame; infinite where none
        lives.
    best : int (num_frames,)
        The state of the best path after each frame.
    beam : float
        Tokens that are worse than this are dropped.

    How to read it: each dot of the upper part is a state of the graph that a token has reached,
    in the order in which they are reached; light ones are near to the best, dark ones about to be
    dropped. The line is the path that wins in the end. Where it runs through the dark, a smaller
    beam would have lost it. The lower part counts the living: much where the sound fits many
    words, little where it is clear.

    Raises
    ------
    UserError
        if the graph has too many living states for one picture, or none lives.
    """
    plt = pyplot_for(path)
    from matplotlib.patheffects import withStroke

    alive = costs <= beam
    ever = np.flatnonzero(alive.any(axis=0))
    if not 0 < len(ever) <= MOST_STATES:
        raise UserError(f"{len(ever)} states are alive at some time, a picture holds 1 to "
                        f"{MOST_STATES}; give a smaller --beam, or a smaller grammar")
    # By the first frame, and within it by the cost: paths become staircases.
    first = alive[:, ever].argmax(axis=0)
    order = ever[np.lexsort((costs[first, ever], first))]
    place = np.full(costs.shape[1], -1)
    place[order] = np.arange(len(order))
    shown = np.where(alive, costs, np.nan)[:, order]
    figure, (upper, lower) = plt.subplots(2, sharex=True, figsize=(WIDTH, 5.6),
                                          height_ratios=(4, 1), layout="constrained")
    seconds = len(costs) * frame_shift
    image = upper.imshow(shown.T, origin="lower", aspect="auto", cmap=f"{VALUES}_r", vmin=0,
                         vmax=beam, interpolation="nearest",
                         extent=(0, seconds, -0.5, len(order) - 0.5))
    times = (np.arange(len(best)) + 0.5) * frame_shift
    on_path = best >= 0
    # With a white rim, which parts it from the dark in grey print.
    upper.plot(times[on_path], place[best[on_path]], color=COLOURS[1], linewidth=1.5,
               label="best path", path_effects=[withStroke(linewidth=3.5, foreground="white")])
    upper.legend(loc="upper left", fontsize=8)
    upper.set(ylabel="state of the graph, by first frame",
              title=f"living tokens within the beam of {beam:g}")
    figure.colorbar(image, ax=upper, label="cost above the best", pad=0.01)
    lower.step(times, alive.sum(axis=1), where="mid", color=COLOURS[0], linewidth=1)
    lower.set(xlim=(0, seconds), ylim=(0, None), xlabel="time, s", ylabel="living")
    lower.grid(color="0.92")
    save(figure, path)
