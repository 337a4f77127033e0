"""Owns the readable forms of a tree: its questions as indented text, and the ways to a pdf."""

from collections.abc import Iterable, Iterator, Mapping

from hybridasr.errors import UserError
from hybridasr.tree.tree import PDF_CLASS, DecisionTree, Leaf, Node, Split, Table

MAX_NAMED = 12  # phones of a question that are written out


def tree_text(tree: DecisionTree, names: Mapping[int, str]) -> str:
    """Return the tree as indented text, one question or pdf a line.

    Parameters
    ----------
    names : mapping of phone id to symbol
    """
    lines: list[str] = []

    def visit(node: Node, indent: int, front: str) -> None:
        lines.append("  " * indent + front + node_text(node, tree, names))
        for answer, child in children(node, tree, names):
            visit(child, indent + 1, f"{answer}: ")

    visit(tree.root, 0, "")
    return "\n".join(lines)


def node_text(node: Node, tree: DecisionTree, names: Mapping[int, str]) -> str:
    """Return the question of a node, or the pdf of a leaf."""
    if isinstance(node, Leaf):
        return f"pdf {node.pdf}"
    place = place_name(node.key, tree)
    if isinstance(node, Table):
        return f"{place}?"
    return f"{place} is one of {_values(node.key, node.values, names)}?"


def children(node: Node, tree: DecisionTree, names: Mapping[int, str]
             ) -> Iterator[tuple[str, Node]]:
    """Yield (answer, node) below a node; values of a table that share a node come together."""
    if isinstance(node, Split):
        yield "yes", node.yes
        yield "no", node.no
    elif isinstance(node, Table):
        # By identity: phones that share a root share the branch.
        shared: dict[int, tuple[list[int], Node]] = {}
        for value, branch in enumerate(node.branches):
            if branch is not None:
                shared.setdefault(id(branch), ([], branch))[0].append(value)
        for values, branch in shared.values():
            yield _values(node.key, values, names), branch


def place_name(key: int, tree: DecisionTree) -> str:
    """Return what a key asks for: the state, the phone, or one of its neighbours."""
    if key == PDF_CLASS:
        return "state"
    distance = key - tree.central_position
    if distance == 0:
        return "phone"
    side = "left" if distance < 0 else "right"
    return side if abs(distance) == 1 else f"{side} {abs(distance)}"


def explain_pdf(tree: DecisionTree, pdf: int, names: Mapping[int, str]) -> str:
    """Return every way to a pdf: the questions from the root and their answers.

    Raises
    ------
    UserError
        if the tree has no such pdf.
    """
    lines = []

    def visit(node: Node, answers: list[str]) -> None:
        if isinstance(node, Leaf):
            if node.pdf == pdf:
                lines.append(f"way {len(lines) + 1}:\n" + "\n".join(f"  {a}" for a in answers))
            return
        for answer, child in children(node, tree, names):
            question = node_text(node, tree, names)
            told = f"{place_name(node.key, tree)} is {answer}" if isinstance(node, Table) else (
                f"{question} {answer}")
            visit(child, [*answers, told])

    visit(tree.root, [])
    if not lines:
        raise UserError(f"no pdf {pdf} in this tree; it has the pdfs 0 to {tree.num_pdfs - 1}")
    return f"pdf {pdf}\n" + "\n".join(lines)


def pruned(tree: DecisionTree, phone: int) -> DecisionTree:
    """Return the part of the tree that one phone reaches, without questions about itself."""
    def visit(node: Node | None) -> Node | None:
        if node is None or isinstance(node, Leaf):
            return node
        own = node.key == tree.central_position
        if isinstance(node, Split):
            # The answer is known for this phone, so the question itself drops out.
            if own:
                return visit(node.yes if phone in node.values else node.no)
            yes, no = visit(node.yes), visit(node.no)
            assert yes is not None
            assert no is not None
            return Split(node.key, node.values, yes, no)
        if own:
            return visit(node.branches[phone]) if phone < len(node.branches) else None
        return Table(node.key, tuple(visit(branch) for branch in node.branches))

    root = visit(tree.root)
    if root is None:
        raise UserError(f"the tree has no phone {phone}; use the phones of its own model")
    return DecisionTree(tree.context_width, tree.central_position, tree.num_pdfs, root)


def _values(key: int, values: Iterable[int], names: Mapping[int, str]) -> str:
    ordered = sorted(values)
    shown = [str(v) if key == PDF_CLASS else names.get(v, str(v)) for v in ordered[:MAX_NAMED]]
    more = len(ordered) - MAX_NAMED
    return " ".join(shown) + (f" and {more} more" if more > 0 else "")
