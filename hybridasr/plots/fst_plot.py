"""Owns pictures of transducers: L, G, HCLG and others, as long as they are small."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from hybridasr.errors import UserError
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.graph.openfst import FlatFst
from hybridasr.plots.canvas import COLOURS, pyplot_for, save

MAX_ARCS = 150  # a larger picture shows nothing any more
MOST_LABELS = 7  # of arcs between the same two states
STEP_WIDTH, LETTER_WIDTH, LEVEL_HEIGHT = 0.7, 0.065, 0.85  # inches
SWEEPS = 8  # over the columns, in which crossings of arcs get fewer
_EPSILON = "ε"

Names = Mapping[int, str] | Callable[[int], str]


def fst_places(fst: FlatFst | DecodingGraph) -> np.ndarray:
    """Return (column, height) of each state, float64 (num_states, 2).

    A state's column is the fewest arcs from the start. Within a column, states are ordered by the
    mean height of their neighbours (the barycentre heuristic of Sugiyama, Tagawa and Toda,
    "Methods for visual understanding of hierarchical system structures", 1981).
    """
    sources = np.repeat(np.arange(fst.num_states), np.diff(fst.arc_offsets))
    columns = np.full(fst.num_states, -1)
    frontier = [fst.start]
    columns[fst.start] = 0
    while frontier:
        reached = []
        for state in frontier:
            for target in fst.nextstate[fst.arc_offsets[state]:fst.arc_offsets[state + 1]].tolist():
                if columns[target] < 0:
                    columns[target] = columns[state] + 1
                    reached.append(target)
        frontier = reached
    # States that nothing leads to stand in a column of their own, at the end.
    columns[columns < 0] = columns.max() + 1
    heights = np.zeros(fst.num_states)
    neighbours = [np.concatenate([fst.nextstate[sources == state], sources[fst.nextstate == state]])
                  for state in range(fst.num_states)]
    order = range(int(columns.max()) + 1)
    for sweep in range(SWEEPS):
        for column in (order if sweep % 2 == 0 else reversed(order)):
            states = np.flatnonzero(columns == column)
            means = [heights[neighbours[state]].mean() if len(neighbours[state]) else 0.0
                     for state in states]
            states = states[np.argsort(means, kind="stable")]
            heights[states] = np.arange(len(states)) - (len(states) - 1) / 2
    return np.stack([columns, heights], axis=1).astype(np.float64)


def arc_label(inward: int, outward: int, weight: float, inputs: Names, outputs: Names) -> str:
    """Return what an arc says: input:output/cost, the parts that are nothing left out.

    >>> arc_label(1, 0, 0.5, {1: "a1"}, {}), arc_label(3, 3, 0.0, {3: "on"}, {3: "on"})
    ('a1:ε/0.5', 'on')
    """
    first, second = _name(inward, inputs), _name(outward, outputs)
    text = first if first == second else f"{first}:{second}"
    return text + (f"/{weight:.3g}" if abs(weight) > 1e-6 else "")


def draw_fst(fst: FlatFst | DecodingGraph, inputs: Names, outputs: Names, title: str, path: Path
             ) -> None:
    """Draw a transducer from left to right, input:output and cost on each arc.

    Parameters
    ----------
    inputs, outputs : mapping or function
        From labels to their names; a label without name is shown as its number.

    How to read it: every way from the state on the left to a double ring is something that can be
    said: the inputs along it are what is heard (phones, or states of HMMs), the outputs the words.
    A cost is the negative natural logarithm of a probability; the least sum of costs wins. ε reads
    or says nothing; #0, #1 and so on keep words apart that sound alike.

    Raises
    ------
    UserError
        if there are too many arcs for one picture, or no state.
    """
    if fst.num_arcs > MAX_ARCS or fst.num_states == 0:
        raise UserError(f"the transducer has {fst.num_states} states and {fst.num_arcs} arcs, a "
                        f"picture holds 1 to {MAX_ARCS} arcs; draw that of a smaller grammar, such "
                        "as 'hybridasr mkgraph --commands' of one or two commands")
    plt = pyplot_for(path)
    ends: dict[tuple[int, int], list[str]] = {}
    for state in range(fst.num_states):
        for arc in range(fst.arc_offsets[state], fst.arc_offsets[state + 1]):
            ends.setdefault((state, int(fst.nextstate[arc])), []).append(
                arc_label(int(fst.ilabel[arc]), int(fst.olabel[arc]), float(fst.weight[arc]),
                          inputs, outputs))
    places = fst_places(fst)
    places = np.stack([_column_edges(places[:, 0].astype(int), ends)[places[:, 0].astype(int)],
                       LEVEL_HEIGHT * places[:, 1]], axis=1)
    width, height = places.max(axis=0) - places.min(axis=0)
    figure, axes = plt.subplots(figsize=(max(4.0, 1.6 + width), 1.6 + height))
    for (source, target), labels in ends.items():
        _draw_arc(axes, places[source], places[target], source == target,
                  (target, source) in ends, _shortened(labels))
    for state, place in enumerate(places):
        final = np.isfinite(fst.final[state])
        for size in (20, 15) if final else (20,):
            axes.plot(*place, "o", markersize=size, markerfacecolor="white", zorder=3,
                      markeredgecolor=COLOURS[1] if state == fst.start else "0.2",
                      markeredgewidth=2 if state == fst.start else 1, clip_on=False)
        cost = f"\n/{fst.final[state]:.3g}" if final and fst.final[state] > 1e-6 else ""
        axes.text(*place, f"{state}{cost}", fontsize=7, ha="center", va="center", zorder=4)
    axes.set_aspect("equal")
    axes.set(xlim=(-0.5, width + 0.5), ylim=(places[:, 1].min() - 0.5, places[:, 1].max() + 0.8))
    axes.set_title(title)
    axes.axis("off")
    save(figure, path)


def _column_edges(columns: np.ndarray, ends: Mapping[tuple[int, int], list[str]]) -> np.ndarray:
    """Return how far right each column stands, in inches: as far as the labels before it need."""
    letters = np.zeros(columns.max() + 1)  # of the longest label before each column
    for (source, target), labels in ends.items():
        longest = max(map(len, _shortened(labels).split("\n")))
        first, last = sorted((columns[source], columns[target]))
        # A label stands in the middle of its arc; that of a loop half on each side of its state.
        for column in {first, last} if first == last else {(first + last + 1) // 2}:
            letters[column] = max(letters[column], longest)
    letters[1:] = np.maximum(letters[1:], (letters[1:] + letters[:-1]) / 2)
    letters[0] = 0
    widths = STEP_WIDTH + LETTER_WIDTH * letters
    return np.cumsum(widths) - widths[0]


def _draw_arc(axes, begin: np.ndarray, end: np.ndarray, loop: bool, returns: bool, label: str
              ) -> None:
    """Draw one arrow with its label; two states that lead to each other have two bent arrows."""
    style = {"arrowstyle": "->", "color": "0.45"}
    # Below all labels, which stay readable where an arrow crosses them.
    if loop:
        axes.annotate("", begin + (0.09, 0.14), begin + (-0.09, 0.14), zorder=1,
                      arrowprops=style | {"connectionstyle": "arc3,rad=-2"})
        middle = begin + (0, 0.42)
    else:
        # An arc back, or within a column, goes around what stands between.
        bend = 0.25 if end[0] <= begin[0] else 0.15 if returns else 0.0
        axes.annotate("", end, begin, zorder=1, arrowprops=style | {
            "shrinkA": 11, "shrinkB": 11, "connectionstyle": f"arc3,rad={bend}"})
        middle = (begin + end) / 2 + bend / 2 * np.array([1, -1]) * (end - begin)[::-1]
    axes.text(*middle, label, fontsize=7, ha="center", va="center", zorder=2,
              bbox={"color": "white", "pad": 0.4, "alpha": 0.85})


def _shortened(labels: list[str]) -> str:
    """Return the labels of parallel arcs, a line each; of many, the first ones."""
    if len(labels) > MOST_LABELS:
        labels = [*labels[:MOST_LABELS - 1], f"and {len(labels) - MOST_LABELS + 1} more"]
    return "\n".join(labels)


def _name(label: int, names: Names) -> str:
    if label == 0:
        return _EPSILON
    return names(label) if callable(names) else names.get(label, str(label))
