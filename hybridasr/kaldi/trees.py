"""Owns reading of Kaldi's phonetic decision trees in text form (``copy-tree --binary=false``).

A tree asks about the phones of a window and the pdf-class until it reaches a leaf, a pdf.
"""

from dataclasses import dataclass

from hybridasr.errors import UserError
from hybridasr.kaldi.tokens import TokenReader, open_tokens
from hybridasr.storage import PathLike

PDF_CLASS = -1  # the key under which Kaldi's trees ask for the pdf-class
MAX_DEPTH = 300  # a tree deeper than this is a damaged file, not a tree


@dataclass(frozen=True)
class Leaf:
    """A pdf (Kaldi's CE)."""

    pdf: int


@dataclass(frozen=True)
class Split:
    """Whether the value of `key` is in `values`: then `yes`, else `no` (Kaldi's SE)."""

    key: int
    values: frozenset[int]
    yes: "Node"
    no: "Node"


@dataclass(frozen=True)
class Table:
    """One branch for each value of `key`; None where there is none (Kaldi's TE)."""

    key: int
    branches: tuple["Node | None", ...]


Node = Leaf | Split | Table


@dataclass(frozen=True)
class KaldiTree:
    """A `tree.tree.ContextTree` out of a file.

    Attributes
    ----------
    context_width, central_position : int
        Phones in a window, and where the phone itself stands among them, from 0.
    num_pdfs : int
        One more than the largest pdf of a leaf.
    root : Node
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
        if len(window) != self.context_width:
            raise UserError(f"window {window} has {len(window)} phones, the tree's have "
                            f"{self.context_width}; use the tree of the same system")
        node: Node | None = self.root
        while not isinstance(node, Leaf):
            if node is None:
                raise UserError(f"the tree has no pdf for pdf-class {pdf_class} of phone "
                                f"{window[self.central_position]} in {window}; use the tree and "
                                "phones of the same system")
            value = pdf_class if node.key == PDF_CLASS else window[node.key]
            if isinstance(node, Split):
                node = node.yes if value in node.values else node.no
            else:
                node = node.branches[value] if 0 <= value < len(node.branches) else None
        return node.pdf


def read_tree(path: PathLike) -> KaldiTree:
    """Read a tree in text form; gzipped if the name ends in ``.gz``.

    Raises
    ------
    UserError
        if the file is missing, binary or damaged: names line and expected token.
    """
    reader = open_tokens(path)
    reader.expect("ContextDependency")
    width = reader.integer("the context width", 1)
    central = reader.integer("the central position", 0)
    if central >= width:
        raise reader.error(f"the central position is {central}, less than the context width "
                           f"{width} is expected")
    reader.expect("ToPdf")
    pdfs: list[int] = []
    root = _node(reader, width, pdfs, 0)
    reader.expect("EndContextDependency")
    reader.finish()
    if root is None or not pdfs:
        raise reader.error("a tree with leaves is expected, NULL found")
    return KaldiTree(width, central, max(pdfs) + 1, root)


def _node(reader: TokenReader, width: int, pdfs: list[int], depth: int) -> Node | None:
    if depth > MAX_DEPTH:
        raise reader.error(f"the tree is more than {MAX_DEPTH} questions deep")
    kind = reader.expect("CE", "SE", "TE", "NULL")
    if kind == "NULL":
        return None
    if kind == "CE":
        pdfs.append(reader.integer("a pdf", 0))
        return Leaf(pdfs[-1])
    key = reader.integer("the key of a question", PDF_CLASS)
    if key >= width:
        raise reader.error(f"the tree asks for place {key} of a window of {width} phones")
    if kind == "TE":
        size = reader.integer("the size of a table", 0)
        reader.expect("(")
        branches = tuple(_node(reader, width, pdfs, depth + 1) for _ in range(size))
        reader.expect(")")
        return Table(key, branches)
    reader.expect("[")
    values = set()
    while reader.peek() != "]":
        values.add(reader.integer("a phone, a pdf-class or ']'"))
    reader.expect("]")
    reader.expect("{")
    yes = _node(reader, width, pdfs, depth + 1)
    no = _node(reader, width, pdfs, depth + 1)
    if yes is None or no is None:
        raise reader.error("a question needs two answers, NULL found")
    reader.expect("}")
    return Split(key, frozenset(values), yes, no)
