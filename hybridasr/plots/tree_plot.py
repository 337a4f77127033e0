"""Owns pictures of decision trees."""

from collections.abc import Mapping
from pathlib import Path

from hybridasr.errors import UserError
from hybridasr.plots.canvas import pyplot_for, save
from hybridasr.tree.show import children, node_text
from hybridasr.tree.tree import DecisionTree, Leaf, Node

MAX_LEAVES = 400  # a wider picture shows nothing any more
LEAF_WIDTH, LEVEL_HEIGHT = 1.1, 0.9  # inches


def draw_tree(tree: DecisionTree, names: Mapping[int, str], path: Path) -> None:
    """Draw a tree: questions as boxes, pdfs at the bottom, the answer on each line.

    How to read it: begin at the top with a phone, its neighbours and a state of its HMM, and
    follow the answers: the box without a question is the pdf that scores that state. What is asked
    near the top matters most; contexts that end in one box sound alike to the model.

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
    plt = pyplot_for(path)
    depth = max(place[1] for place in places)
    figure, axes = plt.subplots(figsize=(2 + LEAF_WIDTH * leaves, 1 + LEVEL_HEIGHT * depth))
    for x, level, target, answer in lines:
        axes.plot([x, target], [-level, -level - 1], color="0.6", linewidth=0.8, zorder=1)
        axes.text((x + target) / 2, -level - 0.5, _wrap(answer), fontsize=7, color="0.3",
                  ha="center", va="center", zorder=2, bbox={"color": "white", "pad": 0.5})
    for x, level, text, is_leaf in places:
        axes.text(x, -level, text, fontsize=7, ha="center", va="center", zorder=3,
                  bbox={"boxstyle": "round" if is_leaf else "square", "linewidth": 0.6,
                        "facecolor": "#dff0d8" if is_leaf else "white", "edgecolor": "0.4"})
    axes.set_xlim(-1, leaves)
    axes.set_ylim(-depth - 0.6, 0.6)
    axes.axis("off")
    save(figure, path)


def _wrap(text: str, width: int = 24) -> str:
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return "\n".join(lines)
