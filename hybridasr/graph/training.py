"""Owns training graphs: every way to say one known transcript, as flat arrays, without pynini.

Takes words, the lang directory's pronunciations, a tree and a transition model; gives a
`DecodingGraph` whose input labels are transition-ids and whose weights hold pronunciation and
silence costs only. Transition costs change with every iteration and are added by `arc_costs`.
Self-loops come after the forward transition of their state, as in Kaldi's graphs
(``--reorder=true``), so alignments compare id by id.
"""

import math
from dataclasses import dataclass

import numpy as np

from hybridasr.errors import UserError
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import Lang
from hybridasr.tree.tree import ContextTree


@dataclass(frozen=True)
class PhoneArc:
    """One phone (0 = nothing) between two nodes of a phone lattice, with the word it begins."""

    source: int
    target: int
    phone: int
    word: int
    cost: float


def phone_lattice(words: tuple[int, ...], lang: Lang) -> tuple[list[PhoneArc], int]:
    """Return the phone arcs of a transcript and its last node; node 0 is the first.

    Silence is optional at the start and after every word, with the lang directory's probability;
    each word may take any of its pronunciations.

    Raises
    ------
    UserError
        if a word has no pronunciation.
    """
    arcs: list[PhoneArc] = []
    free = 1

    def add(source: int, target: int, phone: int, word: int, probability: float) -> None:
        if probability > 0:
            arcs.append(PhoneArc(source, target, phone, word, -math.log(probability)))

    def optional_silence(node: int, after: int) -> int:
        add(node, after, 0, 0, 1.0 - lang.sil_prob)
        add(node, after, lang.optional_silence, 0, lang.sil_prob)
        return after

    node = optional_silence(0, free)
    for word in words:
        pronunciations = lang.pronunciations.get(word)
        if not pronunciations:
            raise UserError(f"no pronunciation for '{lang.word_name(word)}'; "
                            "add it to the lexicon and run prepare-lang again", lang.path)
        free += 1
        end = free
        for probability, phones in pronunciations:
            place, share, label = node, probability, word
            for phone in phones[:-1]:
                free += 1
                add(place, free, phone, label, share)
                place, share, label = free, 1.0, 0
            add(place, end, phones[-1], label, share)
        free += 1
        node = optional_silence(end, free)
    return arcs, node


class TrainingGraphs:
    """Builds training graphs for monophone trees; phones are expanded from prepared templates."""

    def __init__(self, lang: Lang, transitions: TransitionModel, tree: ContextTree):
        self.lang = lang
        self._templates = {phone: _template(phone, transitions, tree)
                           for phone in transitions.topology.phones}

    def build(self, words: tuple[int, ...]) -> DecodingGraph:
        """Return the graph of one transcript, transition costs left out."""
        phone_arcs, last = phone_lattice(words, self.lang)
        num_nodes = 1 + max(arc.target for arc in phone_arcs)
        rows: list[tuple[int, int, int, int, float]] = []  # source, target, tid, word, cost
        for arc in phone_arcs:
            if arc.phone == 0:
                rows.append((arc.source, arc.target, 0, arc.word, arc.cost))
                continue
            template = self._templates[arc.phone]
            rows += [(arc.source, num_nodes + node, tid, arc.word, arc.cost)
                     for node, tid in template.entries]
            rows += [(num_nodes + a, num_nodes + b, tid, 0, 0.0) for a, b, tid in template.inner]
            rows += [(num_nodes + node, arc.target, 0, 0, 0.0) for node in template.exits]
            num_nodes += template.num_nodes
        final = np.full(num_nodes, np.inf, np.float32)
        final[last] = 0.0
        source, target, tids, labels, costs = map(np.array, zip(*rows, strict=True))
        return DecodingGraph.from_arcs(0, source, tids, labels, costs, target, final)


def arc_costs(graph: DecodingGraph, transition_costs: np.ndarray) -> np.ndarray:
    """Return the arcs' costs with transitions: float32 (num_arcs,).

    `transition_costs` is `TransitionModel.scaled_costs`, whose entry 0 (epsilon) is zero.
    """
    return (graph.weight + transition_costs[graph.ilabel]).astype(np.float32)


@dataclass(frozen=True)
class _Template:
    """One node for each non-loop transition of a phone; the node has its source's self-loop."""

    num_nodes: int
    entries: list[tuple[int, int]]  # (node, transition-id) from the phone's beginning
    inner: list[tuple[int, int, int]]  # (node, node, transition-id), self-loops too
    exits: list[int]


def _template(phone: int, transitions: TransitionModel, tree: ContextTree) -> _Template:
    states = transitions.topology.for_phone(phone).states
    nodes: dict[tuple[int, int], tuple[int, int]] = {}  # (state, next state) -> (node, tid)
    loops = {}
    for number, state in enumerate(states[:-1]):
        tstate = transitions.transition_state(phone, number, tree.pdf((phone,), state.pdf_class))
        loops[number] = transitions.self_loop(tstate)
        for index, (to, _) in enumerate(state.transitions):
            if to != number:
                nodes[number, to] = (len(nodes), transitions.transition_id(tstate, index))
    inner = []
    for (number, to), (node, _) in nodes.items():
        if loops[number]:
            inner.append((node, node, loops[number]))
        inner += [(node, after, tid) for (begin, _), (after, tid) in nodes.items() if begin == to]
    return _Template(
        len(nodes),
        [found for (number, _), found in nodes.items() if number == 0],
        inner,
        [node for (_, to), (node, _) in nodes.items() if to == len(states) - 1])
