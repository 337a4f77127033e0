"""Owns training graphs: every way to say one known transcript, as flat arrays, without pynini.

Takes words, the lang directory's pronunciations, a tree of any context width and a transition
model; phones become windows of phones, windows become HMM states. Gives a
`DecodingGraph` whose input labels are transition-ids and whose weights hold pronunciation and
silence costs only. Transition costs change with every iteration and are added by `arc_costs`.
Self-loops come after the forward transition of their state, as in Kaldi's graphs
(``--reorder=true``), so alignments compare id by id.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hybridasr.errors import UserError
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import Lang
from hybridasr.lexicon.silence_probs import SilenceProbs
from hybridasr.tree.tree import ContextTree


class PhoneArc(NamedTuple):
    """One phone (0 = nothing) between two nodes of a phone lattice, with the word it begins."""

    source: int
    target: int
    phone: int
    word: int
    cost: float


def phone_lattice(words: tuple[int, ...], lang: Lang) -> tuple[list[PhoneArc], int]:
    """Return the phone arcs of a transcript and its last node; node 0 is the first.

    Silence is optional at the start and after every word, with the lang directory's probability,
    or with that of each word if it has them; each word may take any of its pronunciations.

    Raises
    ------
    UserError
        if a word has no pronunciation.
    """
    for word in words:
        if not lang.pronunciations.get(word):
            raise UserError(f"no pronunciation for '{lang.word_name(word)}'; "
                            "add it to the lexicon and run prepare-lang again", lang.path)
    return (_Lattice(lang).alike(words) if lang.silence_probs is None
            else _Lattice(lang).by_word(words, lang.silence_probs))


class _Lattice:
    """Phone arcs that grow word by word."""

    def __init__(self, lang: Lang):
        self.lang = lang
        self.arcs: list[PhoneArc] = []
        self.nodes = 1

    def alike(self, words: tuple[int, ...]) -> tuple[list[PhoneArc], int]:
        """Say the words; silence is as likely everywhere."""
        node = self._pause(0)
        for word in words:
            end = self._node()
            for probability, phones in self.lang.pronunciations[word]:
                self._say([(node, probability)], end, word, phones)
            node = self._pause(end)
        return self.arcs, node

    def by_word(self, words: tuple[int, ...], probs: SilenceProbs) -> tuple[list[PhoneArc], int]:
        """Say the words; silence is as likely as the words beside it make it.

        Between words there are two nodes, behind speech and behind silence (Chen et al., 2015).
        """
        speech, silence = self._fork(0, probs.begin, self._node(), self._node())
        for word in words:
            nexts = self._node(), self._node()
            for probability, phones in self.lang.pronunciations[word]:
                beside = self.lang.silence_beside[word, phones]
                end = self._node()
                self._say([(speech, probability * beside.speech_before),
                           (silence, probability * beside.silence_before)], end, word, phones)
                self._fork(end, beside.after, *nexts)
            speech, silence = nexts
        last = self._node()
        self._add(speech, last, 0, 0, probs.end_speech)
        self._add(silence, last, 0, 0, probs.end_silence)
        return self.arcs, last

    def _node(self) -> int:
        self.nodes += 1
        return self.nodes - 1

    def _add(self, source: int, target: int, phone: int, word: int, probability: float) -> None:
        if probability > 0:
            self.arcs.append(PhoneArc(source, target, phone, word, -math.log(probability)))

    def _pause(self, node: int) -> int:
        after = self._node()
        return self._fork(node, self.lang.sil_prob, after, after)[0]

    def _fork(self, node: int, probability: float, speech: int, silence: int) -> tuple[int, int]:
        self._add(node, speech, 0, 0, 1.0 - probability)
        self._add(node, silence, self.lang.optional_silence, 0, probability)
        return speech, silence

    def _say(self, sources: list[tuple[int, float]], end: int, word: int,
             phones: tuple[int, ...]) -> None:
        # Word and probability are on the first arc only, or they would count for each phone.
        inner = [self._node() for _ in phones[1:]]
        for source, probability in sources:
            self._add(source, [*inner, end][0], phones[0], word, probability)
        for place, phone in enumerate(phones[1:]):
            self._add(inner[place], [*inner, end][place + 1], phone, 0, 1.0)


class WindowArc(NamedTuple):
    """A phone in context (empty window = nothing) between two nodes, with the word it begins."""

    source: int
    target: int
    window: tuple[int, ...]
    word: int
    cost: float


def window_lattice(phone_arcs: list[PhoneArc], last: int, width: int,
                   central: int) -> tuple[list[WindowArc], list[int], int]:
    """Expand a phone lattice so that every arc knows its phone's neighbours.

    A node of the result is a node of the lattice with the phones behind it and those promised
    next; where several phones may follow, there is a node for each. Beyond both ends of the
    utterance the neighbours are 0, as in Kaldi. Silence is a neighbour like any other phone.

    Parameters
    ----------
    phone_arcs, last
        From `phone_lattice`; every node leads to `last`.
    width, central : int
        Phones in a window, and the place of the phone itself among them.

    Returns
    -------
    (arcs, final nodes, number of nodes); node 0 is the first
    """
    if width == 1:
        return ([WindowArc(arc.source, arc.target, (arc.phone,) * (arc.phone > 0), arc.word,
                           arc.cost) for arc in phone_arcs],
                [last], 1 + max(arc.target for arc in phone_arcs))
    outgoing: dict[int, list[PhoneArc]] = {}
    for arc in phone_arcs:
        outgoing.setdefault(arc.source, []).append(arc)
    ahead = width - 1 - central
    ways_of: dict[tuple[int, int], dict[tuple[int, ...], None]] = {}

    def following(node: int, count: int) -> dict[tuple[int, ...], None]:
        """Return the sequences of `count` phones that may come next, in a fixed order."""
        if count == 0:
            return {(): None}
        if (node, count) not in ways_of:
            # The end of the utterance is one more place: beyond it all neighbours are 0.
            ways = dict.fromkeys([(0,) * count] if node == last else [])
            for arc in outgoing.get(node, ()):
                if arc.phone == 0:
                    ways |= following(arc.target, count)
                else:
                    ways |= {(arc.phone, *rest): None
                             for rest in following(arc.target, count - 1)}
            ways_of[node, count] = ways
        return ways_of[node, count]

    # The first node promises nothing yet: its promise is None.
    numbers: dict[tuple, int] = {(0, (0,) * central, None): 0}
    queue = list(numbers)
    arcs: list[WindowArc] = []
    for place, (node, left, promise) in enumerate(queue):
        for arc in outgoing.get(node, ()):
            nexts = following(arc.target, ahead)
            if arc.phone == 0:
                steps = [((), left, promise)] if promise is None or promise in nexts else []
            elif promise and promise[0] != arc.phone:
                # The phone before has promised another right neighbour.
                steps = []
            else:
                steps = [((*left, arc.phone, *right), (*left, arc.phone)[1:], right)
                         # The new promise must go on with what was promised and not yet read.
                         for right in nexts if not promise or right[:-1] == promise[1:]]
            for window, behind, right in steps:
                key = (arc.target, behind, right)
                if key not in numbers:
                    numbers[key] = len(numbers)
                    queue.append(key)
                arcs.append(WindowArc(place, numbers[key], window, arc.word, arc.cost))
    finals = [number for (node, _, _), number in numbers.items() if node == last]
    return arcs, finals, len(numbers)


class TrainingGraphs:
    """Builds training graphs; phones in context are expanded from prepared templates.

    A template belongs to a phone and its pdfs: contexts that the tree does not tell apart share
    one.
    """

    def __init__(self, lang: Lang, transitions: TransitionModel, tree: ContextTree):
        self.lang = lang
        self.transitions = transitions
        self.tree = tree
        self._by_window: dict[tuple[int, ...], Template] = {}
        self._by_pdfs: dict[tuple[int, tuple[int, ...]], Template] = {}

    def build(self, words: tuple[int, ...]) -> DecodingGraph:
        """Return the graph of one transcript, transition costs left out.

        Raises
        ------
        UserError
            if a word has no pronunciation, or tree and transition model do not belong together.
        """
        arcs, finals, num_nodes = window_lattice(
            *phone_lattice(words, self.lang), self.tree.context_width, self.tree.central_position)
        rows: list[tuple[int, int, int, int, float]] = []  # source, target, tid, word, cost
        for arc in arcs:
            if not arc.window:
                rows.append((arc.source, arc.target, 0, arc.word, arc.cost))
                continue
            template = self._by_window.get(arc.window) or self._template(arc.window)
            rows += [(arc.source, num_nodes + node, tid, arc.word, arc.cost)
                     for node, tid in template.entries]
            rows += [(num_nodes + a, num_nodes + b, tid, 0, 0.0) for a, b, tid in template.inner]
            rows += [(num_nodes + node, arc.target, 0, 0, 0.0) for node in template.exits]
            num_nodes += template.num_nodes
        final = np.full(num_nodes, np.inf, np.float32)
        final[finals] = 0.0
        source, target, tids, labels, costs = map(np.array, zip(*rows, strict=True))
        return DecodingGraph.from_arcs(0, source, tids, labels, costs, target, final)

    def _template(self, window: tuple[int, ...]) -> "Template":
        phone = window[self.tree.central_position]
        states = self.transitions.topology.for_phone(phone).states[:-1]
        pdfs = tuple(self.tree.pdf(window, state.pdf_class) for state in states)
        # Many windows give the same pdfs: they share one template.
        if (phone, pdfs) not in self._by_pdfs:
            self._by_pdfs[phone, pdfs] = phone_template(phone, pdfs, self.transitions)
        self._by_window[window] = self._by_pdfs[phone, pdfs]
        return self._by_window[window]


def arc_costs(graph: DecodingGraph, transition_costs: np.ndarray) -> np.ndarray:
    """Return the arcs' costs with transitions: float32 (num_arcs,).

    `transition_costs` is `TransitionModel.scaled_costs`, whose entry 0 (epsilon) is zero.
    """
    return (graph.weight + transition_costs[graph.ilabel]).astype(np.float32)


@dataclass(frozen=True)
class Template:
    """One node for each non-loop transition of a phone; the node has its source's self-loop."""

    num_nodes: int
    entries: list[tuple[int, int]]  # (node, transition-id) from the phone's beginning
    inner: list[tuple[int, int, int]]  # (node, node, transition-id), self-loops too
    exits: list[int]


def phone_template(phone: int, pdfs: tuple[int, ...], transitions: TransitionModel) -> Template:
    """Build the template of a phone whose emitting states have these pdfs."""
    states = transitions.topology.for_phone(phone).states
    nodes: dict[tuple[int, int], tuple[int, int]] = {}  # (state, next state) -> (node, tid)
    loops = {}
    for number, (state, pdf) in enumerate(zip(states[:-1], pdfs, strict=True)):
        try:
            tstate = transitions.transition_state(phone, number, pdf)
        except KeyError:
            raise UserError(f"the tree gives pdf {pdf} to state {number} of phone {phone}, the "
                            "transition model does not allow it; use the tree that the model was "
                            "trained with") from None
        loops[number] = transitions.self_loop(tstate)
        for index, (to, _) in enumerate(state.transitions):
            tid = transitions.transition_id(tstate, index)
            if to != number and transitions.is_possible(tid):
                nodes[number, to] = (len(nodes), tid)
    inner = []
    for (number, to), (node, _) in nodes.items():
        # Kaldi's order (--reorder=true): the self-loop belongs to the state that was just left.
        if loops[number]:
            inner.append((node, node, loops[number]))
        inner += [(node, after, tid) for (begin, _), (after, tid) in nodes.items() if begin == to]
    return Template(
        len(nodes),
        [state for (number, _), state in nodes.items() if number == 0],
        inner,
        [node for (_, to), (node, _) in nodes.items() if to == len(states) - 1])
