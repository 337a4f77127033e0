"""Monophone trees: sharing, round trip."""

import pytest

from hybridasr.errors import UserError
from hybridasr.hmm.topology import make_topology
from hybridasr.tree.tree import allowed_tuples, monophone_tree, tree_from_dict


def test_phones_of_a_set_share_pdfs():
    topology = make_topology([2, 3, 4], [1])
    tree = monophone_tree([[1], [2, 4], [3]], topology)
    assert tree.num_pdfs == 5 + 3 + 3
    assert [tree.pdf((2,), c) for c in range(3)] == [tree.pdf((4,), c) for c in range(3)]
    used = {tree.pdf((p,), c) for p, n in ((1, 5), (2, 3), (3, 3)) for c in range(n)}
    assert used == set(range(11))
    assert len(allowed_tuples(tree, topology)) == 5 + 3 * 3
    again = tree_from_dict(tree.to_dict())
    assert again == tree


def test_silence_and_speech_cannot_share():
    with pytest.raises(UserError, match="share pdfs but not a topology"):
        monophone_tree([[1, 2]], make_topology([2], [1]))


def test_tree_of_a_later_version():
    with pytest.raises(UserError, match="upgrade hybridasr"):
        tree_from_dict({"kind": "triphone"})
