"""Owns Kaldi's phonetic decision trees in text form (``copy-tree --binary=false``), in and out.

Kaldi's CE, SE and TE are a `Leaf`, a `Split` and a `Table` of `tree.tree`.
"""

from hybridasr.kaldi.tokens import TokenReader, open_tokens
from hybridasr.storage import PathLike
from hybridasr.tree.tree import (
    MAX_DEPTH,
    MAX_PDFS,
    MAX_VALUE,
    MAX_WIDTH,
    PDF_CLASS,
    DecisionTree,
    Leaf,
    Node,
    Split,
    Table,
)


def read_tree(path: PathLike) -> DecisionTree:
    """Read a tree in text form; gzipped if the name ends in ``.gz``.

    Raises
    ------
    UserError
        if the file is missing, binary or damaged: names line and expected token.
    """
    reader = open_tokens(path)
    reader.expect("ContextDependency")
    width = _limited(reader, "the context width", 1, MAX_WIDTH)
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
    return DecisionTree(width, central, max(pdfs) + 1, root)


def kaldi_tree_text(tree: DecisionTree) -> str:
    """Return a tree in Kaldi's text form; `read_tree` reads it back to an equal one."""
    return (f"ContextDependency {tree.context_width} {tree.central_position} ToPdf "
            f"{_node_text(tree.root)}EndContextDependency \n")


def _node_text(node: Node | None) -> str:
    if node is None:
        return "NULL "
    if isinstance(node, Leaf):
        return f"CE {node.pdf} "
    if isinstance(node, Table):
        return (f"TE {node.key} {len(node.branches)} ( "
                f"{''.join(map(_node_text, node.branches))}) ")
    return (f"SE {node.key} [ {' '.join(map(str, sorted(node.values)))} ]\n"
            f"{{ {_node_text(node.yes)}{_node_text(node.no)}}} ")


def _node(reader: TokenReader, width: int, pdfs: list[int], depth: int) -> Node | None:
    # A damaged file could be nested deeper than Python's recursion allows.
    if depth > MAX_DEPTH:
        raise reader.error(f"the tree is more than {MAX_DEPTH} questions deep")
    kind = reader.expect("CE", "SE", "TE", "NULL")
    if kind == "NULL":
        return None
    if kind == "CE":
        pdfs.append(_limited(reader, "a pdf", 0, MAX_PDFS - 1))
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
        values.add(_limited(reader, "a phone, a pdf-class or ']'", 0, MAX_VALUE))
    reader.expect("]")
    reader.expect("{")
    yes = _node(reader, width, pdfs, depth + 1)
    no = _node(reader, width, pdfs, depth + 1)
    if yes is None or no is None:
        raise reader.error("a question needs two answers, NULL found")
    reader.expect("}")
    return Split(key, frozenset(values), yes, no)


def _limited(reader: TokenReader, name: str, least: int, most: int) -> int:
    place = reader.place
    value = reader.integer(name, least)
    if value > most:
        raise reader.error(f"{name} is {value}, at most {most} is expected", place)
    return value
