"""The denominator graph: its paths are those of the phone language model through the HMM."""

import math

import numpy as np
import pytest
from chain_world import SEQUENCES, flat_tree, left_tree, phone_graph, steps_from

from hybridasr.chain.denominator import PhoneGraph
from hybridasr.chain.phone_lm import PhoneLmOptions, estimate_phone_lm
from hybridasr.errors import UserError
from hybridasr.tree.tree import DecisionTree


def test_initial_probabilities_are_the_average_of_a_random_walk():
    graph = phone_graph().denominator()
    matrix = np.zeros((graph.num_states, graph.num_states))
    for state in range(graph.num_states):
        stay = 0.5 * graph.loop[state]
        matrix[state, state] += stay
        for end, _, weight in steps_from(graph, state):
            if end != state or weight < 1.0:
                matrix[state, end] += (1 - stay) * weight
    # A loop of the language model to the same state is no stay; here there is none of weight one.
    now, total = np.eye(1, graph.num_states)[0], np.zeros(graph.num_states)
    for _ in range(100):
        total += now
        now = now @ matrix
        now /= now.sum()
    np.testing.assert_allclose(graph.initial, total / total.sum(), rtol=0, atol=1e-6)
    assert graph.initial.sum() == pytest.approx(1.0)
    assert graph.initial.min() > 0


def test_arcs_are_the_same_both_ways():
    graph = phone_graph().denominator()
    source = np.repeat(np.arange(graph.num_states), np.diff(graph.out_offsets))
    target = np.repeat(np.arange(graph.num_states), np.diff(graph.in_offsets))
    out = set(zip(source.tolist(), graph.out_target.tolist(), graph.out_weight.tolist(),
                  strict=True))
    into = set(zip(graph.in_source.tolist(), target.tolist(), graph.in_weight.tolist(),
                   strict=True))
    assert out == into
    assert len(out) == graph.num_arcs


@pytest.mark.parametrize("tree", [left_tree(), flat_tree()], ids=["left", "flat"])
def test_a_sequence_goes_through_the_pdfs_that_the_tree_gives(tree):
    phones = phone_graph(tree)
    graph = phones.denominator()
    lm = estimate_phone_lm(SEQUENCES, PhoneLmOptions(num_extra_lm_states=2))
    for sequence in SEQUENCES:
        path = phones.path(sequence)
        assert path is not None
        assert path.states[0] == 0
        left, state = 0, lm.start
        for phone, number, weight in zip(sequence, path.states[1:], path.log_weights, strict=True):
            window = (left, phone)[-tree.context_width:]
            assert graph.enter_pdf[number] == tree.pdf(window, 0)
            assert graph.loop_pdf[number] == tree.pdf(window, 1)
            arc = next(arc for arc in lm.arcs[state] if arc.phone == phone)
            assert weight == pytest.approx(math.log(arc.probability))
            left, state = phone, arc.target
    assert phones.path((3, 1, 3)) is None


def test_a_tree_that_sees_the_right_neighbour_is_refused():
    tree = left_tree()
    with pytest.raises(UserError, match="context width 1 or 2"):
        PhoneGraph(estimate_phone_lm(SEQUENCES, PhoneLmOptions()),
                   DecisionTree(3, 1, tree.num_pdfs, tree.root))
