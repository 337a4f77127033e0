"""Owns pictures: what is easier to look at than to read. Needs matplotlib (extra ``plots``)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.errors import UserError
from hybridasr.lattice.lattice import CompactLattice
from hybridasr.lattice.posteriors import forward_backward
from hybridasr.storage import atomic_path
from hybridasr.tree.show import children, node_text
from hybridasr.tree.tree import DecisionTree, Leaf, Node

MAX_LEAVES = 400  # a wider picture shows nothing any more
MAX_ARCS = 200
LEAF_WIDTH, LEVEL_HEIGHT, STEP_WIDTH = 1.1, 0.9, 1.6  # inches


def pyplot() -> Any:
    """Return matplotlib's pyplot, drawing to files only.

    Raises
    ------
    UserError
        if matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise UserError("pictures need matplotlib; run pip install 'hybridasr[plots]'") from None
    matplotlib.use("Agg")
    # Chinese where a font for it is there.
    matplotlib.rcParams["font.sans-serif"] = ["Noto Sans CJK SC", "WenQuanYi Zen Hei", "SimHei",
                                              "DejaVu Sans"]
    from matplotlib import pyplot as plt

    return plt


def draw_tree(tree: DecisionTree, names: Mapping[int, str], path: Path) -> None:
    """Draw a tree: questions as boxes, pdfs at the bottom, the answer on each line.

    Raises
    ------
    UserError
        if the tree has too many leaves for one picture, or the ending is of no known kind.
    """
    places: list[tuple[float, int, str, bool]] = []
    lines: list[tuple[float, int, float, str]] = []
    leaves = 0

    def visit(node: Node, depth: int) -> float:
        nonlocal leaves
        below = [(answer, visit(child, depth + 1))
                 for answer, child in children(node, tree, names)]
        if below:
            x = sum(place for _, place in below) / len(below)
        else:
            x, leaves = float(leaves), leaves + 1
        places.append((x, depth, _wrap(node_text(node, tree, names)), isinstance(node, Leaf)))
        lines.extend((x, depth, place, answer) for answer, place in below)
        return x

    visit(tree.root, 0)
    if leaves > MAX_LEAVES:
        raise UserError(f"the tree has {leaves} leaves, a picture holds {MAX_LEAVES}; give --phone "
                        "for the part of one phone, or read the text")
    plt = _pyplot_for(path)
    depth = max(place[1] for place in places)
    figure, axes = plt.subplots(figsize=(2 + LEAF_WIDTH * leaves, 1 + LEVEL_HEIGHT * depth))
    for x, level, target, answer in lines:
        axes.plot([x, target], [-level, -level - 1], color="0.6", linewidth=0.8, zorder=1)
        axes.text((x + target) / 2, -level - 0.5, _wrap(answer), fontsize=6, color="0.3",
                  ha="center", va="center", zorder=2)
    for x, level, text, is_leaf in places:
        axes.text(x, -level, text, fontsize=7, ha="center", va="center", zorder=3,
                  bbox={"boxstyle": "round" if is_leaf else "square", "linewidth": 0.6,
                        "facecolor": "#dff0d8" if is_leaf else "white", "edgecolor": "0.4"})
    axes.set_xlim(-1, leaves)
    axes.set_ylim(-depth - 0.6, 0.6)
    axes.axis("off")
    _save(figure, path)


def draw_lattice(lattice: CompactLattice, names: Mapping[int, str], path: Path,
                 acoustic_scale: float = 1.0) -> None:
    """Draw a lattice from left to right: words on the arcs, with their posteriors in percent.

    The likelier an arc, the darker; ends have a double ring.

    Raises
    ------
    UserError
        if the lattice has too many arcs for one picture, or the ending is of no known kind.
    """
    if lattice.num_arcs > MAX_ARCS:
        raise UserError(f"the lattice has {lattice.num_arcs} arcs, a picture holds {MAX_ARCS}; "
                        "look at lattice-to-nbest, or make it with a smaller lattice-beam")
    plt = _pyplot_for(path)
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
        axes.annotate("", end, begin, arrowprops={
            "arrowstyle": "->", "color": colour, "shrinkA": 9, "shrinkB": 9,
            "connectionstyle": f"arc3,rad={bend}"})
        middle = (begin + end) / 2 + bend / 2 * np.array([1, -1]) * (end - begin)[::-1]
        word = names.get(int(lattice.word[arc]), str(lattice.word[arc])) if lattice.word[arc] \
            else "-"
        axes.text(*middle, f"{word}\n{100 * posteriors[arc]:.0f} %", fontsize=7, ha="center",
                  va="center", color=colour, bbox={"color": "white", "pad": 0.5})
    for state, place in enumerate(places):
        for size in (16, 12) if np.isfinite(lattice.final_graph[state]) else (16,):
            axes.plot(*place, "o", markersize=size, markerfacecolor="white",
                      markeredgecolor="0.3", zorder=3)
        axes.text(*place, str(state), fontsize=7, ha="center", va="center", zorder=4)
    axes.margins(0.1)
    axes.axis("off")
    _save(figure, path)


def _lattice_places(lattice: CompactLattice) -> np.ndarray:
    """Return (x, y) of each state: x is the longest way from the start, in arcs."""
    places = np.zeros((lattice.num_states, 2))
    for source, target in zip(lattice.source, lattice.target, strict=True):
        places[target, 0] = max(places[target, 0], places[source, 0] + 1)
    for x in np.unique(places[:, 0]):
        column = np.flatnonzero(places[:, 0] == x)
        places[column, 1] = (len(column) - 1) / 2 - np.arange(len(column))
    return places


def _pyplot_for(path: Path) -> Any:
    if path.suffix not in (".svg", ".png", ".pdf"):
        raise UserError("give a picture's name that ends in .svg, .png or .pdf", path)
    return pyplot()


def _save(figure: Any, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], bbox_inches="tight", dpi=110)
    pyplot().close(figure)


def _wrap(text: str, width: int = 24) -> str:
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return "\n".join(lines)
