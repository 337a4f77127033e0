"""Owns pictures of lattices."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hybridasr.errors import UserError
from hybridasr.lattice.lattice import CompactLattice
from hybridasr.lattice.posteriors import forward_backward
from hybridasr.plots.canvas import pyplot_for, save

MAX_ARCS = 200  # a larger picture shows nothing any more
STEP_WIDTH, LEVEL_HEIGHT = 1.6, 0.9  # inches


def draw_lattice(lattice: CompactLattice, names: Mapping[int, str], path: Path,
                 acoustic_scale: float = 1.0) -> None:
    """Draw a lattice from left to right: words on the arcs, with their posteriors in percent.

    How to read it: every way from the left to a double ring is something that may have been said.
    The darker an arc, the likelier: one dark chain is a clear utterance, two grey arcs side by side
    are words that the recogniser cannot decide between.

    Raises
    ------
    UserError
        if the lattice has too many arcs for one picture, or the ending is of no known kind.
    """
    if lattice.num_arcs > MAX_ARCS:
        raise UserError(f"the lattice has {lattice.num_arcs} arcs, a picture holds {MAX_ARCS}; "
                        "look at lattice-to-nbest, or make it with a smaller lattice-beam")
    plt = pyplot_for(path)
    posteriors = forward_backward(lattice, acoustic_scale)[0]
    places = _lattice_places(lattice)
    width, height = places.max(axis=0, initial=0) - places.min(axis=0, initial=0)
    figure, axes = plt.subplots(figsize=(2 + STEP_WIDTH * width, 1.5 + LEVEL_HEIGHT * height))
    parallel: dict[tuple[int, int], int] = {}
    for arc in range(lattice.num_arcs):
        ends = int(lattice.source[arc]), int(lattice.target[arc])
        number = parallel[ends] = parallel.get(ends, -1) + 1
        # The first arc between two states is straight, the others to either side of it.
        bend = 0.35 * ((number + 1) // 2) * (-1) ** number
        begin, end = places[list(ends)]
        colour = str(0.75 * (1 - posteriors[arc]))
        axes.annotate("", end, begin, zorder=1, arrowprops={
            "arrowstyle": "->", "color": colour, "shrinkA": 9, "shrinkB": 9,
            "connectionstyle": f"arc3,rad={bend}"})
        middle = (begin + end) / 2 + bend / 2 * np.array([1, -1]) * (end - begin)[::-1]
        word = names.get(int(lattice.word[arc]), str(lattice.word[arc])) if lattice.word[arc] \
            else "-"
        axes.text(*middle, f"{word}\n{100 * posteriors[arc]:.0f} %", fontsize=7, ha="center",
                  va="center", color=colour, zorder=2, bbox={"color": "white", "pad": 0.5})
    for state, place in enumerate(places):
        for size in (16, 12) if np.isfinite(lattice.final_graph[state]) else (16,):
            axes.plot(*place, "o", markersize=size, markerfacecolor="white",
                      markeredgecolor="0.3", zorder=3)
        axes.text(*place, str(state), fontsize=7, ha="center", va="center", zorder=4)
    axes.margins(0.1)
    axes.axis("off")
    save(figure, path)


def _lattice_places(lattice: CompactLattice) -> np.ndarray:
    """Return (x, y) of each state: x is the longest way from the start, in arcs."""
    places = np.zeros((lattice.num_states, 2))
    for source, target in zip(lattice.source, lattice.target, strict=True):
        places[target, 0] = max(places[target, 0], places[source, 0] + 1)
    for x in np.unique(places[:, 0]):
        column = np.flatnonzero(places[:, 0] == x)
        places[column, 1] = (len(column) - 1) / 2 - np.arange(len(column))
    return places
