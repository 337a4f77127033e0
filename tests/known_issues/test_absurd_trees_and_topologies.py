"""Chain topologies were read with pdf-class -1; absurd values of a tree took all memory."""

import pytest

from hybridasr.errors import DamagedFile, UserError
from hybridasr.hmm.topology import make_topology, read_topology
from hybridasr.kaldi.tree_text import read_tree
from hybridasr.tree.tree import DecisionTree, Leaf, Split, Table, tree_from_dict

ENTRY = ("<Topology> <TopologyEntry> <ForPhones> {phones} </ForPhones> <State> 0 {first} </State> "
         "<State> 1 {last} </State> </TopologyEntry> </Topology>")
GOOD = {"phones": "1 2", "first": "<PdfClass> 0 <Transition> 0 0.5 <Transition> 1 0.5", "last": ""}


def test_chain_topologies_are_refused_by_name():
    chain = ENTRY.format(**{**GOOD, "first": "<ForwardPdfClass> 0 <SelfLoopPdfClass> 1 "
                                             "<Transition> 0 0.5 <Transition> 1 0.5"})
    with pytest.raises(UserError, match="topo: is the topology of a chain model"):
        read_topology(chain)


@pytest.mark.parametrize(("change", "line"), [
    ({"first": "<Transition> 0 0.5 <Transition> 1 0.5"}, "state 0 has no <PdfClass>"),
    ({"first": "<PdfClass> 0"}, "no <Transition>"),
    ({"first": "<PdfClass> x <Transition> 1 1"}, "a pdf-class is 'x'"),
    ({"first": "<PdfClass> 999999999 <Transition> 1 1"}, "a pdf-class is '999999999'"),
    ({"first": "<PdfClass> 0 <Transition> 7 1"}, "target of a transition is '7'"),
    ({"first": "<PdfClass> 0 <Transition> 1 nan"}, "probability of a transition is 'nan'"),
    ({"first": "<PdfClass> 0 <Transition> 0 1"}, "final state of the phones 1 2 cannot"),
    ({"first": "<PdfClass>"}, "where <PdfClass> N"),
    ({"first": "<Weight> 0 <Transition> 1 1"}, "state 0 has '<Weight>'"),
    ({"last": "<PdfClass> 1"}, "no final state"),
    ({"phones": "1 -2"}, "a phone is '-2'"), ({"phones": ""}, "for no phone"),
    ({"phones": "1 1"}, "two entries"),
])
def test_malformed_topologies(change, line):
    assert read_topology(ENTRY.format(**GOOD)).phones == [1, 2]
    with pytest.raises(DamagedFile, match=line):
        read_topology(ENTRY.format(**{**GOOD, **change}))
    with pytest.raises(DamagedFile, match="not a text"):
        read_topology(None)


TREE = DecisionTree(3, 1, 2, Split(1, frozenset({1, 2}), Leaf(0), Table(-1, (Leaf(1), None))))


@pytest.mark.parametrize("root", [
    ["split", 1, [2**31 - 2], 0, 1], ["split", 1, [-1], 0, 1], ["split", 1, ["a"], 0, 1],
    ["split", 3, [1], 0, 1], ["split", -2, [1], 0, 1], ["split", 1, [1], 0, None],
    ["split", 1, [1], 0], ["split", 1, 5, 0, 1], ["table", 1], ["table", 1, 3], ["other", 1, []],
    [], "leaf", 1.5, True, {}, -1, 2, None])
def test_malformed_trees(root):
    assert tree_from_dict(TREE.to_dict()) == TREE
    with pytest.raises(DamagedFile, match="model.json: tree: .*; train the model again"):
        tree_from_dict({**TREE.to_dict(), "root": root}, "model.json")


@pytest.mark.parametrize("change", [{"context_width": 10**9}, {"context_width": None},
                                    {"central_position": 3}, {"num_pdfs": 2**40},
                                    {"num_pdfs": "2"}])
def test_malformed_sizes_of_trees(change):
    with pytest.raises(DamagedFile, match=f"tree: {next(iter(change))} is"):
        tree_from_dict({**TREE.to_dict(), **change})


def test_deep_trees():
    root = 0
    for _ in range(400):
        root = ["split", 1, [1], root, 1]
    with pytest.raises(DamagedFile, match="questions deep"):
        tree_from_dict({**TREE.to_dict(), "root": root})


@pytest.mark.parametrize(("text", "line"), [
    ("ContextDependency 1 0 ToPdf SE 0 [ 2147483646 ] { CE 0 CE 1 } EndContextDependency",
     "a phone, a pdf-class or ']' is 2147483646, at most 65535"),
    ("ContextDependency 99999 0 ToPdf CE 0 EndContextDependency", "the context width is 99999"),
    ("ContextDependency 1 0 ToPdf CE 2000000000 EndContextDependency", "a pdf is 2000000000"),
])
def test_absurd_values_in_kaldis_text(tmp_path, text, line):
    (tmp_path / "tree").write_text(text)
    with pytest.raises(UserError, match=line):
        read_tree(tmp_path / "tree")


def test_topologies_are_read_as_they_were_written():
    text = make_topology([3, 4], [1, 2]).to_text()
    assert read_topology(text).to_text() == text
