"""Trees for people: text, explanations, pictures."""

import re

import pytest

from hybridasr.errors import UserError
from hybridasr.plots import draw_tree
from hybridasr.tree.show import explain_pdf, pruned, tree_text
from hybridasr.tree.tree import PDF_CLASS, DecisionTree, Leaf, Split, Table

NAMES = {0: "<eps>", 1: "SIL", 2: "d", 3: "t", 4: "a1"}
SHARED = Split(PDF_CLASS, frozenset({0}), Split(0, frozenset({1, 4}), Leaf(1), Leaf(2)), Leaf(3))
TREE = DecisionTree(3, 1, 5, Table(1, (None, Leaf(0), SHARED, SHARED,
                                       Split(2, frozenset(range(2, 5)), Leaf(4), Leaf(3)))))


def test_text_shows_every_question_and_pdf():
    assert tree_text(TREE, NAMES).splitlines() == [
        "phone?",
        "  SIL: pdf 0",
        "  d t: state is one of 0?",
        "    yes: left is one of SIL a1?",
        "      yes: pdf 1",
        "      no: pdf 2",
        "    no: pdf 3",
        "  a1: right is one of d t a1?",
        "    yes: pdf 4",
        "    no: pdf 3"]


def test_a_pdf_is_explained_by_all_its_ways():
    assert explain_pdf(TREE, 2, NAMES).splitlines() == [
        "pdf 2", "way 1:", "  phone is d t", "  state is one of 0? yes",
        "  left is one of SIL a1? no"]
    assert explain_pdf(TREE, 3, NAMES).count("way") == 2
    with pytest.raises(UserError, match="no pdf 9 in this tree; it has the pdfs 0 to 4"):
        explain_pdf(TREE, 9, NAMES)


@pytest.mark.parametrize("phone", [1, 2, 4])
def test_the_part_of_a_phone_answers_as_the_whole(phone):
    part = pruned(TREE, phone)
    assert "phone" not in tree_text(part, NAMES)
    for left in (0, 1, 4):
        for right in (0, 2):
            for state in range(3):
                assert part.pdf((left, phone, right), state) == TREE.pdf((left, phone, right),
                                                                         state)
    with pytest.raises(UserError, match="no phone 7"):
        pruned(TREE, 7)


def test_long_questions_are_cut():
    tree = DecisionTree(1, 0, 2, Split(0, frozenset(range(30)), Leaf(0), Leaf(1)))
    assert "and 18 more?" in tree_text(tree, {})


def test_picture(tmp_path):
    pytest.importorskip("matplotlib")
    draw_tree(TREE, NAMES, tmp_path / "tree.svg")
    text = (tmp_path / "tree.svg").read_text()
    assert text.lstrip().startswith("<?xml")
    draw_tree(TREE, NAMES, tmp_path / "tree.png")
    assert (tmp_path / "tree.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(UserError, match=r"ends in .svg, .png or .pdf"):
        draw_tree(TREE, NAMES, tmp_path / "tree.txt")
    wide = DecisionTree(1, 0, 500, Table(0, tuple(map(Leaf, range(500)))))
    with pytest.raises(UserError, match="500 leaves, a picture holds 400; give --phone"):
        draw_tree(wide, NAMES, tmp_path / "wide.svg")
    assert re.search(r"wide", "".join(p.name for p in tmp_path.iterdir())) is None
