"""Owns grammars as nets of words: states, and arcs that read a word or nothing, with chances.

A net has no more states than the rules have words, each call of a rule with a copy of its own;
sentences are not listed. A rule that calls itself at its end is a way back to its beginning.

In a net of templates every piece of text between brackets, slots and spaces is a word, for hanzi
are not parted by spaces; letters that touch are one word.
"""

import re
from collections import defaultdict
from dataclasses import dataclass

from hybridasr.errors import UserError
from hybridasr.grammar.expressions import (
    GO_ON,
    LAYOUT,
    Choice,
    Node,
    Place,
    Repeat,
    RuleCall,
    RuleGrammar,
    Series,
    SlotFill,
    Words,
)

MAX_ARCS = 500_000

_SPACES = f" {LAYOUT}"
_PIECES = re.compile(rf"[ {LAYOUT}]+|[^ {LAYOUT}]+")
# What begins and ends so may be a part of a longer word; hanzi are words of their own.
_LETTER = re.compile(r"[0-9A-Za-z'.%\-]")


@dataclass(frozen=True)
class NetArc:
    """One step: from a state to a state, with a word (None: nothing is said) and a probability."""

    source: int
    target: int
    word: str | None
    probability: float


@dataclass(frozen=True)
class RuleNet:
    """The sentences of a grammar as a net of words.

    Attributes
    ----------
    arcs : list of NetArc
        The probabilities of the arcs from a state, and of ending in it, add up to 1.
    start, end : int
        States; nothing goes on from the end.
    num_states : int
    places : dict word -> Place
        Where each word is written first.
    """

    arcs: list[NetArc]
    start: int
    end: int
    num_states: int
    places: dict[str, Place]


def rule_net(grammar: RuleGrammar) -> RuleNet:
    """Return the net of a grammar from `check_rules`.

    Raises
    ------
    UserError
        if the net gets too large, as rules that call others twice may.
    """
    builder = _Builder(grammar)
    start, end = builder.add_state(), builder.add_state()
    for intent in grammar.intents:
        first = builder.add_state()
        builder.add(start, first, None, 1 / len(grammar.intents), intent.place)
        builder.build(intent.body, first, end)
    joiner = _Joiner(builder, start, end)
    joiner.join()
    return RuleNet(joiner.arcs, start, end, builder.num_states, joiner.places)


class _Builder:
    """Lays out expressions between two states; its arcs read pieces of text."""

    def __init__(self, grammar: RuleGrammar):
        self._grammar = grammar
        self.arcs: list[NetArc] = []
        self.num_states = 0
        self.places: dict[str, Place] = {}
        # Rules that are being laid out: where they begin and end.
        self._open: dict[str, tuple[int, int]] = {}

    def add_state(self) -> int:
        self.num_states += 1
        return self.num_states - 1

    def add(self, source: int, target: int, text: str | None, probability: float, place: Place
            ) -> None:
        if len(self.arcs) >= MAX_ARCS:
            raise self._grammar.fault(place, f"the graph has more than {MAX_ARCS:,} arcs here; "
                                      "shorten the rules, or call them less often")
        self.arcs.append(NetArc(source, target, text, probability))

    def build(self, node: Node, source: int, target: int) -> None:
        if isinstance(node, Words):
            self._words(node, source, target)
        elif isinstance(node, RuleCall):
            self._call(node, source, target)
        elif isinstance(node, SlotFill):
            self.build(node.item, source, target)
        elif isinstance(node, Repeat):
            self._repeat(node, source, target)
        elif isinstance(node, Choice):
            for item, chance in zip(node.items, node.probabilities, strict=True):
                first = self.add_state()
                self.add(source, first, None, chance, self._place(item))
                self.build(item, first, target)
        else:
            self._series(node, source, target)

    def _words(self, node: Words, source: int, target: int) -> None:
        pieces = _PIECES.findall(node.text)
        for number, piece in enumerate(pieces):
            following = target if number == len(pieces) - 1 else self.add_state()
            self.places.setdefault(piece, node.place)
            self.add(source, following, piece, 1.0, node.place)
            source = following

    def _call(self, node: RuleCall, source: int, target: int) -> None:
        begin, end = self._open.get(node.name, (-1, -1))
        if end == target:
            # The rule calls itself at its end: it begins anew.
            self.add(source, begin, None, 1.0, node.place)
            return
        self._open[node.name] = (source, target)
        self.build(self._grammar.rules[node.name], source, target)
        del self._open[node.name]

    def _repeat(self, node: Repeat, source: int, target: int) -> None:
        inside, behind = self.add_state(), self.add_state()
        if node.least:
            self.add(source, inside, None, 1.0, node.place)
        else:
            self.add(source, inside, None, GO_ON, node.place)
            self.add(source, target, None, 1 - GO_ON, node.place)
        self.build(node.item, inside, behind)
        self.add(behind, inside, None, GO_ON, node.place)
        self.add(behind, target, None, 1 - GO_ON, node.place)

    def _series(self, node: Series, source: int, target: int) -> None:
        if not node.items:
            self.add(source, target, None, 1.0, Place(1, 1))
            return
        for item in node.items[:-1]:
            following = self.add_state()
            self.build(item, source, following)
            source = following
        self.build(node.items[-1], source, target)

    def _place(self, node: Node) -> Place:
        return getattr(node, "place", self._grammar.intents[0].place)


class _Joiner:
    """Puts letters that touch into one word, and drops the spaces between words.

    Goes from the start through all that can be reached. A place is a state of the builder and the
    letters that have been read before it without a space, which more may follow.
    """

    def __init__(self, builder: _Builder, start: int, end: int):
        self._builder, self._end = builder, end
        self.arcs: list[NetArc] = []
        self.places: dict[str, Place] = {}
        self._states: dict[tuple[int, str], int] = {(start, ""): start}
        self._queue: list[tuple[int, str, Place]] = [(start, "", Place(1, 1))]

    def join(self) -> None:
        """Make the arcs of the net from those of the builder."""
        leaving: dict[int, list[NetArc]] = defaultdict(list)
        for arc in self._builder.arcs:
            leaving[arc.source].append(arc)
        for state, letters, place in self._queue:
            source = self._states[state, letters]
            if letters and state == self._end:
                self._add(source, self._end, letters, 1.0, place)
            for arc in leaving[state]:
                if arc.word is None:
                    self._go_on(source, arc.target, letters, arc.probability, place)
                elif letters and not _LETTER.match(arc.word):
                    # The word ends here, before what follows is read.
                    between = self._builder.add_state()
                    self._add(source, between, letters, arc.probability, place)
                    self._read(between, arc, 1.0)
                else:
                    self._read(source, arc, arc.probability, letters, place)

    def _read(self, source: int, arc: NetArc, probability: float, letters: str = "",
              place: Place | None = None) -> None:
        """Read the text of an arc, behind letters that it lengthens."""
        text = arc.word or ""
        if text.strip(_SPACES) == "":
            self._go_on(source, arc.target, "", probability, Place(1, 1))
            return
        word = letters + text
        place = place if letters and place else self._builder.places[text]
        if _LETTER.match(word[-1]):
            self._go_on(source, arc.target, word, probability, place)
        else:
            self._add(source, self._state(arc.target, "", place), word, probability, place)

    def _state(self, state: int, letters: str, place: Place) -> int:
        """Return the state of the net for a place."""
        if (state, letters) not in self._states:
            if len(self._states) >= MAX_ARCS:
                raise UserError(f"more than {MAX_ARCS:,} words are put together of letters; write "
                                "spaces between words")
            self._states[state, letters] = self._builder.add_state() if letters else state
            self._queue.append((state, letters, place))
        return self._states[state, letters]

    def _go_on(self, source: int, target: int, letters: str, probability: float, place: Place
               ) -> None:
        self.arcs.append(NetArc(source, self._state(target, letters, place), None, probability))

    def _add(self, source: int, target: int, word: str, probability: float, place: Place) -> None:
        self.places.setdefault(word, place)
        self.arcs.append(NetArc(source, target, word, probability))
