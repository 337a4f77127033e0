"""Training graphs of any context width against an enumeration of all ways to say a transcript."""

import itertools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hybridasr.errors import UserError
from hybridasr.graph.training import TrainingGraphs, arc_costs, phone_lattice, window_lattice
from hybridasr.hmm.topology import HmmState, Topology, TopologyEntry, make_topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.lang_files import Root
from hybridasr.lexicon.langdir import Lang

SIL, A, B, C = 1, 2, 3, 4
PHONES = {"<eps>": 0, "SIL": SIL, "A": A, "B": B, "C": C, "#0": 5}
WORDS = {"<eps>": 0, "a": 1, "ab": 2, "both": 3, "long": 4, "none": 5}
PRONUNCIATIONS = {1: [(1.0, (A,))], 2: [(1.0, (A, B))],
                  3: [(1.0, (B,)), (0.25, (B, C)), (0.5, (C, A, B))], 4: [(1.0, (A, B, A, C))]}
TRANSCRIPTS = [(), (1,), (2,), (3,), (1, 1), (3, 1), (1, 3, 2), (4, 3), (1, 1, 1)]
SHAPES = [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2), (5, 2)]  # width, central position

# Silence of two states, the second of which may be left out; B may be passed in one frame and
# has no self-loop in its second state.
TOPOLOGY = Topology((
    TopologyEntry((SIL,), (HmmState(0, ((0, 0.4), (1, 0.4), (2, 0.2))),
                           HmmState(1, ((1, 0.5), (2, 0.5))), HmmState(-1, ()))),
    TopologyEntry((B,), (HmmState(0, ((0, 0.5), (1, 0.3), (2, 0.2))), HmmState(1, ((2, 1.0),)),
                         HmmState(-1, ()))),
    TopologyEntry((A, C), (HmmState(0, ((0, 0.7), (1, 0.3))), HmmState(-1, ()))),
))
NUM_PDFS = 7


@dataclass(frozen=True)
class ScatteringTree:
    """Gives nearly every window a pdf of its own; no order in it."""

    context_width: int
    central_position: int
    num_pdfs: int = NUM_PDFS

    def pdf(self, window, pdf_class):
        assert len(window) == self.context_width
        code = pdf_class
        for phone in window:
            code = (31 * code + phone + 1) * 48271 % 2147483647
        return code % self.num_pdfs


def make_lang(sil_prob):
    return Lang(Path("lang"), PHONES, WORDS, [SIL], [A, B, C], [5], SIL, sil_prob, 0,
                [[p] for p in (SIL, A, B, C)], [Root((p,)) for p in (SIL, A, B, C)], [],
                PRONUNCIATIONS)


def make_transitions(topology):
    """Every phone's states with every pdf."""
    tuples = [(phone, number, pdf) for phone in topology.phones
              for number, _ in enumerate(topology.for_phone(phone).states[:-1])
              for pdf in range(NUM_PDFS)]
    return TransitionModel(topology, tuples)


def sayings(words, lang):
    """Yield (phones, cost) of every way to say the words, written out."""
    silence = [((), 1 - lang.sil_prob), ((lang.optional_silence,), lang.sil_prob)]
    parts = [silence]
    for word in words:
        parts += [[(phones, p) for p, phones in lang.pronunciations[word]], silence]
    for choice in itertools.product(*parts):
        probability = np.prod([p for _, p in choice])
        if probability > 0:
            yield tuple(itertools.chain.from_iterable(phones for phones, _ in choice)), \
                -np.log(probability)


def windows_of(phones, width, central):
    padded = (0,) * central + phones + (0,) * (width - 1 - central)
    return tuple(padded[place:place + width] for place in range(len(phones)))


def state_paths(topology, phone, longest):
    """Return the (state, arc) sequences without self-loops through a phone, up to a length."""
    states = topology.for_phone(phone).states
    found, queue = [], [((), 0)]
    for path, state in queue:
        if state == len(states) - 1:
            found.append(path)
        elif len(path) < longest:
            queue += [((*path, (state, index)), to)
                      for index, (to, _) in enumerate(states[state].transitions) if to != state]
    return found


def expected_paths(words, lang, transitions, tree, longest):
    """Return {transition-ids: sorted costs} of every way without self-loops."""
    topology, found = transitions.topology, {}
    for phones, cost in sayings(words, lang):
        windows = windows_of(phones, tree.context_width, tree.central_position)
        ways = [()]
        for phone, window in zip(phones, windows, strict=True):
            states = topology.for_phone(phone).states
            passages = [tuple(transitions.transition_id(transitions.transition_state(
                phone, state, tree.pdf(window, states[state].pdf_class)), index)
                for state, index in path) for path in state_paths(topology, phone, longest)]
            ways = [way + passage for way in ways for passage in passages
                    if len(way + passage) <= longest]
        for way in ways:
            found.setdefault(way, []).append(cost)
    return {way: sorted(costs) for way, costs in found.items()}


def graph_paths(graph, transitions, longest):
    """Return {(transition-ids, words): sorted costs} of the graph, self-loops left out."""
    found = {}
    stack = [(graph.start, (), (), 0.0)]
    while stack:
        state, tids, words, cost = stack.pop()
        if np.isfinite(graph.final[state]):
            found.setdefault((tids, words), []).append(cost + graph.final[state])
        for arc in range(graph.arc_offsets[state], graph.arc_offsets[state + 1]):
            tid, word = int(graph.ilabel[arc]), int(graph.olabel[arc])
            if transitions.tid_is_self_loop[tid]:
                assert graph.nextstate[arc] == state
                # It repeats the state of the transition just taken, and says no word.
                assert transitions.tid_state[tid] == transitions.tid_state[tids[-1]]
                assert (word, graph.weight[arc]) == (0, 0)
            elif len(tids) + (tid > 0) <= longest:
                stack.append((graph.nextstate[arc], tids + (tid,) * (tid > 0),
                              words + (word,) * (word > 0), cost + graph.weight[arc]))
    return {key: sorted(costs) for key, costs in found.items()}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sil_prob", [0.5, 0.2, 0.0])
def test_graphs_hold_every_path_once(shape, sil_prob):
    lang, transitions = make_lang(sil_prob), make_transitions(TOPOLOGY)
    tree = ScatteringTree(*shape)
    graphs = TrainingGraphs(lang, transitions, tree)
    for words in TRANSCRIPTS:
        expected = expected_paths(words, lang, transitions, tree, 1000)
        found = graph_paths(graphs.build(words), transitions, 1000)
        assert found == {(tids, words): pytest.approx(costs, abs=1e-5)
                         for tids, costs in expected.items()}


@pytest.mark.parametrize("shape", [(1, 0), (3, 1)])
def test_the_usual_topology_with_its_wandering_silence(shape):
    """Silence may wander among its middle states for ever: all paths up to a length."""
    topology = make_topology([A, B, C], [SIL])
    lang, transitions, tree = make_lang(0.5), make_transitions(topology), ScatteringTree(*shape)
    graphs = TrainingGraphs(lang, transitions, tree)
    for words, longest in (((1,), 9), ((3,), 9), ((1, 1), 10)):
        expected = expected_paths(words, lang, transitions, tree, longest)
        found = graph_paths(graphs.build(words), transitions, longest)
        assert found == {(tids, words): pytest.approx(costs, abs=1e-5)
                         for tids, costs in expected.items()}
        assert len(found) > 5


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("words", TRANSCRIPTS)
def test_windows_are_those_of_every_saying(shape, words):
    lang = make_lang(0.3)
    arcs, finals, num_nodes = window_lattice(*phone_lattice(words, lang), *shape)
    assert all(0 <= arc.source < num_nodes and 0 <= arc.target < num_nodes for arc in arcs)
    outgoing = {node: [arc for arc in arcs if arc.source == node] for node in range(num_nodes)}
    # No node is a dead end: the search would follow it for nothing.
    assert all(outgoing[node] or node in finals for node in range(num_nodes))
    found, stack = Counter(), [(0, (), (), 0.0)]
    while stack:
        node, windows, said, cost = stack.pop()
        if node in finals:
            assert said == words
            found[windows, round(cost, 9)] += 1
        stack += [(arc.target, windows + (arc.window,) * bool(arc.window),
                   said + (arc.word,) * (arc.word > 0), cost + arc.cost) for arc in outgoing[node]]
    assert found == Counter((windows_of(phones, *shape), round(cost, 9))
                            for phones, cost in sayings(words, lang))


def test_every_state_with_a_self_loop_has_it():
    """Each node that emits is entered by transition-ids of one state, whose self-loop it has."""
    transitions = make_transitions(TOPOLOGY)
    graph = TrainingGraphs(make_lang(0.5), transitions, ScatteringTree(3, 1)).build((1, 3, 2))
    source = np.repeat(np.arange(graph.num_states), np.diff(graph.arc_offsets))
    loop = transitions.tid_is_self_loop[graph.ilabel]
    for state in range(graph.num_states):
        entering = set(transitions.tid_state[graph.ilabel[
            (graph.nextstate == state) & (graph.ilabel > 0) & ~loop]].tolist())
        assert len(entering) <= 1
        wanted = [transitions.self_loop(tstate) for tstate in entering]
        assert graph.ilabel[(source == state) & loop].tolist() == [tid for tid in wanted if tid]


def test_costs_of_transitions_are_added_to_each_arc():
    transitions = make_transitions(TOPOLOGY)
    graph = TrainingGraphs(make_lang(0.5), transitions, ScatteringTree(1, 0)).build((3,))
    costs = arc_costs(graph, transitions.scaled_costs(1.0, 0.1))
    assert costs.dtype == np.float32
    expected = [float(weight) + float(transitions.scaled_costs(1.0, 0.1)[tid])
                for weight, tid in zip(graph.weight, graph.ilabel, strict=True)]
    np.testing.assert_allclose(costs, expected, rtol=1e-6)
    assert (costs != graph.weight).any()


def test_faults():
    lang, transitions = make_lang(0.5), make_transitions(TOPOLOGY)
    with pytest.raises(UserError, match="no pronunciation for 'none'"):
        TrainingGraphs(lang, transitions, ScatteringTree(3, 1)).build((1, 5))
    missing = (A, 0, ScatteringTree(1, 0).pdf((A,), 0))
    fewer = TransitionModel(TOPOLOGY, {tuple(row) for row in transitions.tuples.tolist()}
                            - {missing})
    with pytest.raises(UserError, match=r"to state 0 of phone 2, the transition model does not "
                                        r"allow it; use the tree that the model was trained with"):
        TrainingGraphs(lang, fewer, ScatteringTree(1, 0)).build((1,))
