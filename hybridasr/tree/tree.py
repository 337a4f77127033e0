"""Owns the phonetic decision tree: from a phone in its context to a pdf.

A tree asks about the phones of a window and about the pdf-class (which HMM state of the phone)
until it reaches a leaf. Context width 1 is the monophone tree; `tree.build` grows larger ones,
`kaldi.trees` reads Kaldi's.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from hybridasr.errors import DamagedFile, UserError
from hybridasr.hmm.topology import Topology

PDF_CLASS = -1  # the key under which a tree asks for the pdf-class; numba compiles it in
# Beyond these a file is damaged: tables as long as the largest value are made of a tree.
MAX_DEPTH = 300
MAX_WIDTH = 16
MAX_VALUE = (1 << 16) - 1  # of a phone or a pdf-class
MAX_PDFS = 1 << 20


class ContextTree(Protocol):
    """What graph building and training need of a tree."""

    context_width: int
    central_position: int
    num_pdfs: int

    def pdf(self, window: tuple[int, ...], pdf_class: int) -> int:
        """Return the pdf of the phone in the middle of `window`."""
        ...


@dataclass(frozen=True, slots=True)
class Leaf:
    """A pdf."""

    pdf: int


@dataclass(frozen=True, slots=True)
class Split:
    """Whether the value of `key` is one of `values`: then `yes`, else `no`."""

    key: int
    values: frozenset[int]
    yes: "Node"
    no: "Node"


@dataclass(frozen=True, slots=True)
class Table:
    """One branch for each value of `key`; None for a value without a branch."""

    key: int
    branches: tuple["Node | None", ...]


Node = Leaf | Split | Table


@dataclass(frozen=True)
class DecisionTree:
    """A tree over windows of phones.

    Attributes
    ----------
    context_width, central_position : int
        Phones in a window, and where the phone itself stands among them, from 0.
    num_pdfs : int
        One more than the largest pdf of a leaf.
    root : Node
        Keys are places in the window, or `PDF_CLASS`.
    """

    context_width: int
    central_position: int
    num_pdfs: int
    root: Node

    def pdf(self, window: tuple[int, ...], pdf_class: int) -> int:
        """Return the pdf of the phone in the middle of `window` (0 = beyond the utterance).

        Raises
        ------
        UserError
            if the window has another width, or the tree no answer for it.
        """
        for node, _ in self.path(window, pdf_class):
            if isinstance(node, Leaf):
                return node.pdf
        raise UserError(f"the tree has no pdf for pdf-class {pdf_class} of phone "
                        f"{window[self.central_position]} in {window}; use the tree and phones of "
                        "the same system")

    def path(self, window: tuple[int, ...], pdf_class: int) -> Iterator[tuple[Node, int]]:
        """Yield every node from the root to the leaf, with the value that it asks for."""
        if len(window) != self.context_width:
            raise UserError(f"window {window} has {len(window)} phones, the tree's have "
                            f"{self.context_width}; use the tree of the same system")
        node: Node | None = self.root
        while node is not None:
            value = 0
            if not isinstance(node, Leaf):
                value = pdf_class if node.key == PDF_CLASS else window[node.key]
            yield node, value
            if isinstance(node, Leaf):
                return
            if isinstance(node, Split):
                node = node.yes if value in node.values else node.no
            else:
                node = node.branches[value] if 0 <= value < len(node.branches) else None

    @cached_property
    def jump_tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
        """The tree as arrays for kernels: key, first, size, other, branch, top.

        Node i asks for ``key[i]``; ``branch[first[i] + value]`` is the next node, ``other[i]`` if
        the value is not below ``size[i]``. A leaf has size -1 and its pdf in `other`; node -1 is
        no answer. `top` is the root.
        """
        return _jump_tables(self.root)

    def to_dict(self) -> dict[str, Any]:
        """Return a form for JSON."""
        return {"kind": "decision", "context_width": self.context_width,
                "central_position": self.central_position, "num_pdfs": self.num_pdfs,
                "root": _to_json(self.root)}


def tree_from_dict(values: dict[str, Any], source: str = "tree.json") -> DecisionTree:
    """Rebuild a tree from `DecisionTree.to_dict`.

    Raises
    ------
    DamagedFile
        if a part has another form or an absurd size; `source` is named.

    Examples
    --------
    >>> tree = DecisionTree(1, 0, 1, Leaf(0))
    >>> tree_from_dict(tree.to_dict()) == tree
    True
    """
    if not isinstance(values, dict) or values.get("kind") != "decision":
        kind = values.get("kind") if isinstance(values, dict) else values
        raise UserError(f"tree kind {kind!r} is unknown to this version; train the "
                        "model again, or upgrade hybridasr", source)
    try:
        width = _whole(values.get("context_width"), "context_width", 1, MAX_WIDTH)
        central = _whole(values.get("central_position"), "central_position", 0, width - 1)
        num_pdfs = _whole(values.get("num_pdfs"), "num_pdfs", 1, MAX_PDFS)
        root = _from_json(values.get("root"), width, num_pdfs, 0, {})
        if root is None:
            raise ValueError("the tree is empty")
    except ValueError as error:
        raise DamagedFile(f"tree: {error}; train the model again", source) from None
    return DecisionTree(width, central, num_pdfs, root)


def monophone_tree(sets: list[list[int]], topology: Topology) -> DecisionTree:
    """Build the monophone tree: one run of pdfs for each set of phones.

    Raises
    ------
    UserError
        if the phones of a set have different numbers of pdf-classes.
    """
    branches: list[Node | None] = [None] * (1 + max(map(max, sets)))
    total = 0
    for phones in sets:
        sizes = {topology.for_phone(phone).num_pdf_classes for phone in phones}
        if len(sizes) != 1:
            raise UserError(f"phones {phones} share pdfs but not a topology; "
                            "put silence and speech phones into different sets")
        size = sizes.pop()
        table = Table(PDF_CLASS, tuple(Leaf(total + pdf_class) for pdf_class in range(size)))
        for phone in phones:
            branches[phone] = table
        total += size
    return DecisionTree(1, 0, total, Table(0, tuple(branches)))


def allowed_tuples(tree: DecisionTree, topology: Topology) -> list[tuple[int, int, int]]:
    """Return every (phone, HMM state, pdf) that some context of the phone allows."""
    tuples = []
    for phone in topology.phones:
        states = topology.for_phone(phone).states
        by_class = {pdf_class: sorted(_reachable(tree.root, tree.central_position, phone,
                                                 pdf_class))
                    for pdf_class in {state.pdf_class for state in states} if pdf_class >= 0}
        tuples += [(phone, number, pdf) for number, state in enumerate(states)
                   if state.pdf_class >= 0 for pdf in by_class[state.pdf_class]]
    return tuples


def leaves(node: Node | None) -> Iterator[Leaf]:
    """Yield the leaves below a node, from left (yes) to right."""
    if isinstance(node, Leaf):
        yield node
    elif isinstance(node, Split):
        yield from itertools.chain(leaves(node.yes), leaves(node.no))
    elif isinstance(node, Table):
        yield from itertools.chain.from_iterable(map(leaves, node.branches))


def _reachable(node: Node | None, central: int, phone: int, pdf_class: int) -> Iterable[int]:
    """Return the pdfs of all contexts of a phone."""
    if node is None:
        return set()
    if isinstance(node, Leaf):
        return {node.pdf}
    # The phone and its state are given; neighbours may be anything.
    known = {PDF_CLASS: pdf_class, central: phone}.get(node.key)
    if isinstance(node, Split):
        below = [node.yes, node.no] if known is None else [
            node.yes if known in node.values else node.no]
    elif known is None:
        below = [branch for branch in node.branches if branch is not None]
    else:
        below = [node.branches[known]] if known < len(node.branches) else []
    return set().union(*(_reachable(child, central, phone, pdf_class) for child in below))


def _to_json(node: Node | None) -> Any:
    if node is None:
        return None
    if isinstance(node, Leaf):
        return node.pdf
    if isinstance(node, Split):
        return ["split", node.key, sorted(node.values), _to_json(node.yes), _to_json(node.no)]
    return ["table", node.key, [_to_json(branch) for branch in node.branches]]


def _from_json(value: Any, width: int, num_pdfs: int, depth: int,
               questions: dict[frozenset[int], frozenset[int]]) -> Node | None:
    """Read a node; `questions` are those so far: splits share them, of which there are few."""
    if value is None:
        return None
    if depth > MAX_DEPTH:
        raise ValueError(f"it is more than {MAX_DEPTH} questions deep")
    if not isinstance(value, list):
        return Leaf(_whole(value, "a pdf", 0, num_pdfs - 1))
    # The types first: a damaged file may hold anything at any place.
    form = [type(part) for part in value]
    below = depth + 1
    if value[:1] == ["table"] and form == [str, int, list]:
        key = _whole(value[1], "the key of a table", PDF_CLASS, width - 1)
        return Table(key, tuple(_from_json(branch, width, num_pdfs, below, questions)
                                for branch in value[2]))
    if value[:1] != ["split"] or form[:3] != [str, int, list] or len(value) != 5:
        raise ValueError("a node is neither a pdf nor a table nor a split")
    key = _whole(value[1], "the key of a split", PDF_CLASS, width - 1)
    answers = frozenset(_whole(one, "a value of a split", 0, MAX_VALUE) for one in value[2])
    answers = questions.setdefault(answers, answers)
    yes, no = (_from_json(branch, width, num_pdfs, below, questions) for branch in value[3:])
    if yes is None or no is None:
        raise ValueError("a split lacks an answer")
    return Split(key, answers, yes, no)


def _whole(value: Any, what: str, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{what} is {value!r}, a whole number from {least} to {most} is expected")
    return value


def _jump_tables(root: Node) -> tuple:
    """Flatten a tree of leaves, splits and tables; see `DecisionTree.jump_tables`."""
    nodes: list[tuple[int, int, int, int]] = []
    branch: list[int] = []
    done: dict[int, int] = {}

    def number(node: Node | None) -> int:
        if node is None:
            return -1
        # Phones that share a root share its nodes, which are written once.
        if id(node) not in done:
            if isinstance(node, Leaf):
                row, below = (0, 0, -1, node.pdf), []
            elif isinstance(node, Table):
                below = [number(child) for child in node.branches]
                row = (node.key, len(branch), len(below), -1)
            else:
                yes, no = number(node.yes), number(node.no)
                # One entry for each value up to the largest `yes`; all beyond say no.
                below = [no] * (1 + max(node.values, default=-1))
                for value in node.values:
                    below[value] = yes
                row = (node.key, len(branch), len(below), no)
            branch.extend(below)
            done[id(node)] = len(nodes)
            nodes.append(row)
        return done[id(node)]

    top = number(root)
    key, first, size, other = np.array(nodes, np.int64).T.copy()
    return key, first, size, other, np.array(branch, np.int64), top
