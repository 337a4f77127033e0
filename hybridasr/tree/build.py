"""Owns the growing of decision trees: greedy splits by likelihood gain, then merging of leaves.

Takes tree statistics, questions and the roots that phones share; gives a `DecisionTree` and the
statistics of each pdf. As Kaldi's build-tree (build-tree-utils.cc; Young, Odell & Woodland 1994):
the leaf whose best question gains most is split next; afterwards leaves of one root that lose
less than the smallest such gain are merged.
"""

import heapq
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybridasr.errors import UserError
from hybridasr.hmm.topology import Topology
from hybridasr.lexicon.lang_files import Root
from hybridasr.options import option
from hybridasr.tree.questions import agglomerate
from hybridasr.tree.stats import TreeStats, loglike
from hybridasr.tree.tree import PDF_CLASS, DecisionTree, Leaf, Node, Split, Table

logger = logging.getLogger("hybridasr")


@dataclass(frozen=True)
class TreeOptions:
    """Size and shape of the tree (names and defaults of Kaldi's steps and of build-tree)."""

    numleaves: int = option(500, "leaves at most, before similar ones are merged; every "
                                 "root keeps one at least")
    thresh: float = option(300.0, "least gain in log likelihood that a split must bring")
    cluster_thresh: float = option(-1.0, "leaves that lose less are merged; -1: the smallest gain "
                                         "of a split, 0: none are merged")
    min_count: float = option(0.0, "frames that each side of a split must have at least")
    context_width: int = option(3, "phones that the tree sees: 1, 2 (left neighbour) or 3")

    def __post_init__(self):
        if self.context_width not in (1, 2, 3):
            raise UserError(f"context-width is {self.context_width}; give 1, 2 or 3")
        if self.numleaves < 1:
            raise UserError(f"numleaves is {self.numleaves}; give at least 1")

    @property
    def central_position(self) -> int:
        """Place of the phone itself in the window."""
        return self.context_width // 2


@dataclass(frozen=True)
class GrownTree:
    """A tree with the figures of its growth.

    Attributes
    ----------
    tree : DecisionTree
    sums : float64 (num_pdfs, 1 + 2 * dim)
        Frames, sums and sums of squares of each pdf; zeros where nothing was seen.
    num_split : int
        Leaves before merging.
    gain : float
        Log likelihood a frame that the tree gains over its roots.
    """

    tree: DecisionTree
    sums: np.ndarray
    num_split: int
    gain: float


class _Growing:
    """A leaf, which a split turns into a node."""

    def __init__(self, rows: np.ndarray, sums: np.ndarray, root: int):
        self.rows, self.sums, self.root = rows, sums, root
        self.question: tuple[int, frozenset[int]] | None = None
        self.children: tuple[_Growing, _Growing] | None = None


def grow_tree(stats: TreeStats, roots: Sequence[Root], questions: Sequence[frozenset[int]],
              topology: Topology, options: TreeOptions) -> GrownTree:
    """Grow a tree.

    Parameters
    ----------
    stats : TreeStats
        Windows of `options.context_width` phones.
    roots : sequence of Root
        Together they hold every phone of the topology.
    questions : sequence of frozenset of phones
        May be asked of every place of the window.

    Raises
    ------
    UserError
        if a phone has no root or two, or a root's pdf-classes cannot be apart.
    """
    _check_roots(roots, topology)
    stubs, tops = _plant(stats, roots, topology, options)
    if len(stubs) > options.numleaves:
        logger.warning("numleaves is %d, but the roots of the tree alone are %d leaves: no phone "
                       "is split by its neighbours", options.numleaves, len(stubs))
    splitter = _Splitter(stats, questions, topology, options)
    growing = [leaf for leaf in stubs if roots[leaf.root].split]
    heap = []
    for number, leaf in enumerate(growing):
        # A heap on the negative gain gives the best split; the number breaks ties, so that the
        # same data give the same tree.
        heapq.heappush(heap, (-splitter.best(leaf)[0], number, leaf))
    leaves, smallest, total, number = list(stubs), np.inf, 0.0, len(growing)
    while heap and len(leaves) < options.numleaves:
        loss, _, leaf = heapq.heappop(heap)
        # The best split gains too little, so all others do as well.
        if -loss <= max(options.thresh, 0.0):
            break
        smallest, total = min(smallest, -loss), total - loss
        leaves.remove(leaf)
        for child in splitter.split(leaf):
            leaves.append(child)
            heapq.heappush(heap, (-splitter.best(child)[0], number, child))
            number += 1
    # Kaldi's default: a merge may lose no more than the worst split has gained.
    threshold = options.cluster_thresh if options.cluster_thresh >= 0 else smallest
    total -= _merge_leaves(stubs, threshold if np.isfinite(threshold) else 0.0)
    root, sums = _freeze(tops, options.central_position)
    tree = DecisionTree(options.context_width, options.central_position, len(sums), root)
    frames = max(1.0, float(stats.sums[:, 0].sum()))
    return GrownTree(tree, sums, len(leaves), total / frames)


def _check_roots(roots: Sequence[Root], topology: Topology) -> None:
    placed = [phone for root in roots for phone in root.phones]
    twice = sorted({phone for phone in placed if placed.count(phone) > 1})
    missing = sorted(set(topology.phones) - set(placed))
    if twice or missing:
        what = f"phone {twice[0]} is there twice" if twice else f"phone {missing[0]} is missing"
        raise UserError(f"roots of the tree: {what}; mend phones/roots.int of the lang directory")
    for root in roots:
        sizes = {topology.for_phone(phone).num_pdf_classes for phone in root.phones}
        # Without splits by pdf-class, states of different topologies would share a leaf.
        if len(sizes) > 1 and not (root.shared and root.split):
            raise UserError(f"phones {list(root.phones)} share a root but not a topology; "
                            "put silence and speech phones into different roots")


def _plant(stats: TreeStats, roots: Sequence[Root], topology: Topology, options: TreeOptions
           ) -> tuple[list[_Growing], dict[int, list[_Growing]]]:
    """Return one leaf for each root, and phone -> its leaves (one, or one a pdf-class)."""
    stubs, tops = [], {}
    centres, classes = stats.keys[:, options.central_position], stats.keys[:, -1]
    for number, root in enumerate(roots):
        # A root's phones are split together until a question parts them.
        inside = np.isin(centres, root.phones)
        num_classes = max(topology.for_phone(phone).num_pdf_classes for phone in root.phones)
        # Not shared: each HMM state has a tree of its own from the root on.
        parts = [inside] if root.shared else [inside & (classes == c) for c in range(num_classes)]
        planted = []
        for part in parts:
            rows = np.flatnonzero(part)
            planted.append(_Growing(rows, stats.sums[rows].sum(0), number))
        stubs += planted
        tops.update(dict.fromkeys(root.phones, planted))
    return stubs, tops


class _Splitter:
    """Finds the best question of a leaf; every question of a key is scored in one product."""

    def __init__(self, stats: TreeStats, questions: Sequence[frozenset[int]], topology: Topology,
                 options: TreeOptions):
        self.stats, self.options = stats, options
        num_classes = max(topology.for_phone(p).num_pdf_classes for p in topology.phones)
        phones = list(questions)
        # "Is the pdf-class below k?": states are ordered, so other sets are not asked for.
        classes = [frozenset(range(k)) for k in range(1, num_classes)]
        self.questions = {PDF_CLASS: classes, **dict.fromkeys(range(options.context_width), phones)}
        top = 1 + max([num_classes, int(stats.keys.max(initial=0)), *map(max, phones)])
        self.members = {}  # of each distinct list of questions: (num_questions, num_values)
        for key, answers in self.questions.items():
            table = np.zeros((len(answers), top), bool)
            for row, values in enumerate(answers):
                table[row, list(values)] = True
            self.members[key] = table

    def best(self, leaf: _Growing) -> tuple[float, tuple[int, frozenset[int]] | None]:
        """Return the gain of the best question, and the question; remembered for `split`."""
        best, question = 0.0, None
        whole = loglike(leaf.sums)
        for key, questions in self.questions.items():
            values, rows = np.unique(self.stats.keys[leaf.rows, key], return_inverse=True)
            # All rows have the same value here: no question can part them.
            if len(values) < 2 or not questions:
                continue
            sums = np.zeros((len(values), len(leaf.sums)))
            # Sums by value first: a question then is a sum of a few rows.
            np.add.at(sums, rows.reshape(-1), self.stats.sums[leaf.rows])
            yes = self.members[key][:, values].astype(np.float64) @ sums
            no = leaf.sums - yes
            gains = loglike(yes) + loglike(no) - whole
            least = np.minimum(yes[:, 0], no[:, 0])
            # A side without frames is no split.
            gains[(least <= 0.5) | (least < self.options.min_count)] = 0.0
            place = int(np.argmax(gains))
            if gains[place] > best:
                best, question = float(gains[place]), (key, questions[place])
        leaf.question = question
        return best, question

    def split(self, leaf: _Growing) -> tuple[_Growing, _Growing]:
        """Split a leaf by its best question."""
        assert leaf.question is not None
        key, values = leaf.question
        yes = np.isin(self.stats.keys[leaf.rows, key], list(values))
        parts = [_Growing(rows, self.stats.sums[rows].sum(0), leaf.root)
                 for rows in (leaf.rows[yes], leaf.rows[~yes])]
        leaf.children = (parts[0], parts[1])
        return leaf.children


def _leaves(node: _Growing) -> list[_Growing]:
    return [node] if node.children is None else [
        leaf for child in node.children for leaf in _leaves(child)]


def _merge_leaves(stubs: Sequence[_Growing], threshold: float) -> float:
    """Merge leaves below one stub if that loses less than `threshold`; return the loss.

    Merged leaves share one `sums` array, by which `_freeze` knows them.
    """
    lost = 0.0
    for stub in stubs:
        groups = [[leaf] for leaf in _leaves(stub)]
        for left, right, loss in agglomerate(np.stack([g[0].sums for g in groups]), threshold):
            groups[left] += groups[right]
            groups[right] = []
            lost += loss
        for group in groups:
            total = sum(leaf.sums for leaf in group)
            for leaf in group:
                leaf.sums = total
    return lost


def _freeze(tops: dict[int, list[_Growing]], central: int) -> tuple[Node, np.ndarray]:
    """Number the leaves from left to right; return the tree and the sums of each pdf."""
    sums: list[np.ndarray] = []
    pdfs: dict[int, int] = {}
    done: dict[int, Node] = {}

    # By identity: phones of one root share the node, and so its pdfs.
    def freeze(node: _Growing) -> Node:
        if id(node) not in done:
            if node.children is None:
                if id(node.sums) not in pdfs:
                    pdfs[id(node.sums)] = len(sums)
                    sums.append(node.sums)
                done[id(node)] = Leaf(pdfs[id(node.sums)])
            else:
                assert node.question is not None
                done[id(node)] = Split(*node.question, *map(freeze, node.children))
        return done[id(node)]

    branches: list[Node | None] = [None] * (1 + max(tops))
    for phone in sorted(tops):
        planted = [freeze(stub) for stub in tops[phone]]
        branches[phone] = planted[0] if len(planted) == 1 else Table(PDF_CLASS, tuple(planted))
    return Table(central, tuple(branches)), np.stack(sums)
