"""Owns sentence templates: a command list whose texts have alternatives, options, slots and rules.

    {device} = 空调|冷气 => ac, 电视 => tv, 灯
    <polite> = [请|麻烦][你]
    on	<polite>(打开|开){device}
    set	把{device}调到{temperature: 16-30}度	0.8

A line is a template, or tab-separated ``id``, template and, optionally, threshold; ``#`` starts a
comment. ``(a|b)`` is one of several, ``[a]`` may be left out, ``<rule>`` stands for its definition.
``{list}`` fills the slot of the list's name, ``{list:slot}`` one of another name, and
``{slot: 16-30}`` or ``{slot: 0-100/10}`` one with a number, said in Mandarin, or in English where
there is neither hanzi nor pinyin; ``{slot=value}`` says nothing. ``(a;b)`` are its parts in any
order. A list has entries with commas between; an entry's value stands behind ``=>``, without it the
value is what is said. A definition may go on in lines that begin with ``|`` or ``,``. After
hassil's (Home Assistant) and Rhino's (Picovoice) templates.
"""

import itertools
import re

from hybridasr.corpus.command_list import checked_threshold, comments_blank, fault_lines, unreadable
from hybridasr.corpus.text import MAX_WORD
from hybridasr.errors import UserError
from hybridasr.grammar.cursor import MAX_DEPTH, Cursor, Source, did_you_mean
from hybridasr.grammar.expressions import (
    LAYOUT,
    NOTHING,
    Choice,
    Intent,
    Node,
    Place,
    RuleCall,
    RuleGrammar,
    Series,
    SlotFill,
    Words,
    slot_value,
)
from hybridasr.grammar.number_range import NumberRange, number_choice, read_range
from hybridasr.lexicon.mandarin import is_hanzi
from hybridasr.storage import PathLike

_OPERATORS = re.compile(r"[()\[\]{}<>|=]")
_DEFINITION = re.compile(r"\s*[{<][^}>=\n]*[}>]\s*=")
_GOES_ON = re.compile(r"\s*[|,]")
_TEXT = re.compile(r"[^()\[\]{}<>|=,;]+")
_PINYIN = re.compile(r"\b[a-zü]+[1-5]\b")
_VALUE = re.compile(r"[^{}\n]*")
MOST_IN_ANY_ORDER = 4  # five have 120 orders
_LIST_ENTRY_END = ("", ",", "=")


def has_templates(text: str) -> bool:
    """Tell whether a command list has more than plain texts: operators outside its comments.

    >>> has_templates("打开空调 # (all)"), has_templates("(打开|关闭)空调")
    (False, True)
    """
    return _OPERATORS.search(Source(comments_blank(text)).text) is not None


def parse_templates(text: str, path: PathLike | None = None) -> RuleGrammar:
    r"""Read templates; what rules refer to is not checked (`rule_checks.check_rules`).

    Raises
    ------
    UserError
        naming every bad line (up to 20), with its column.

    Examples
    --------
    >>> grammar = parse_templates("{room} = 客厅, 卧室\non\t打开{room}灯")
    >>> grammar.intents[0].id, list(grammar.rules)
    ('on', ['{room}'])
    """
    return _Reader(Source(comments_blank(text), path)).grammar()


class _Reader:
    """Reads line by line, so that every bad line is named."""

    def __init__(self, source: Source):
        self._source = source
        # Without hanzi, and without pinyin with its tones, what is written is English.
        self._english = not (any(map(is_hanzi, source.text)) or _PINYIN.search(source.text))
        self._faults: list[UserError] = []
        self._lists: dict[str, Node] = {}
        self._rules: dict[str, Node] = {}
        self._places: dict[str, Place] = {}
        self._calls: dict[str, Node] = {}  # lists by the slot that they fill

    def grammar(self) -> RuleGrammar:
        lines = self._lines()
        definitions = [line for line in lines if _DEFINITION.match(self._source.text, *line)]
        for line in definitions:
            self._try(self._definition, line)
        written = [self._try(self._sentence, line) for line in lines if line not in definitions]
        if not self._faults and not written:
            self._faults.append(UserError("no sentence in the file; write one a line, e.g. "
                                          "(打开|关闭)空调", self._source.path))
        # Lists and numbers are put in where they are used: what surrounds a number says how it
        # is read.
        sentences = [intent for intent in written if intent is not None]
        bodies = [self._try(self._resolved, intent.body) for intent in sentences]
        rules = {name: self._try(self._resolved, body) for name, body in self._rules.items()}
        if self._faults:
            raise _joined(self._faults, self._source.path)
        intents = tuple(Intent(intent.id, body, intent.place, intent.threshold)
                        for intent, body in zip(sentences, bodies, strict=True))
        return RuleGrammar(rules | self._calls, self._places, intents, self._source.path)

    def _try(self, step, *values):
        """Run a step; a fault is kept, and the other lines are read."""
        try:
            return step(*values)
        except UserError as fault:
            self._faults.append(fault)
            return None

    def _lines(self) -> list[tuple[int, int]]:
        """Return begin and end of each line that is not empty, with those that go on from it."""
        spans: list[tuple[int, int]] = []
        for match in re.finditer(r"[^\n]+", self._source.text):
            if not match[0].strip():
                continue
            if spans and _GOES_ON.match(match[0]):
                spans[-1] = (spans[-1][0], match.end())
            else:
                spans.append(match.span())
        return spans

    def _definition(self, line: tuple[int, int]) -> None:
        cursor = Cursor(self._source, *line)
        what = "list" if cursor.next_mark() == "{" else "rule"
        place, start = cursor.place, cursor.position
        cursor.accept("{" if what == "list" else "<")
        cursor.skip_space()
        name = cursor.name(what)
        cursor.skip_space()
        cursor.expect("}" if what == "list" else ">", f"end the name of the {what}")
        key = f"{{{name}}}" if what == "list" else f"<{name}>"
        if key in self._places:
            raise cursor.fault(f"{what} {key} is there already, in line {self._places[key].line}; "
                               "join the two", start)
        cursor.skip_space()
        cursor.accept("=")
        cursor.skip_space()
        self._places[key] = place
        if what == "rule":
            self._rules[key] = NOTHING  # known, even if it has a fault
            self._rules[key] = _Template(cursor).whole()
        else:
            self._lists[key] = NOTHING
            self._lists[key] = _list_entries(cursor)

    def _sentence(self, line: tuple[int, int]) -> Intent:
        columns, start = [], line[0]
        for column in self._source.text[slice(*line)].split("\t"):
            columns.append((start, start + len(column)))
            start += len(column) + 1
        texts = [self._source.text[slice(*column)].strip() for column in columns]
        if len(columns) > 3 or not all(texts[:2]):
            raise self._source.fault(line[0], f"{len(columns)} columns; write the template alone, "
                                     "or id, template and threshold with tabs between")
        threshold = None
        if len(columns) == 3:
            try:
                threshold = checked_threshold(texts[2])
            except ValueError as error:
                raise self._source.fault(columns[2][0], str(error)) from None
        column = columns[0 if len(columns) == 1 else 1]
        begin = column[0] + len(self._source.text[slice(*column)]) - len(
            self._source.text[slice(*column)].lstrip())
        return Intent(texts[0] if len(columns) > 1 else None,
                      _Template(Cursor(self._source, *column)).whole(),
                      self._source.place(begin), threshold)

    def _resolved(self, node: Node, before: str = "", after: tuple[str, ...] = ("",)) -> Node:
        """Put lists and numbers in the place of their slots.

        `before` and `after` are what may be said around the node, for reading numbers.
        """
        if isinstance(node, Series):
            items = []
            for number, item in enumerate(node.items):
                rest = self._beginnings(Series(node.items[number + 1:]), after)
                left = node.items[number - 1] if number else None
                said = left.text if isinstance(left, Words) else before if number == 0 else ""
                items.append(self._resolved(item, said, rest))
            return Series(tuple(items))
        if isinstance(node, Choice):
            return Choice(tuple(self._resolved(item, before, after) for item in node.items))
        if isinstance(node, SlotFill):
            if isinstance(node.item, RuleCall):
                return self._list_call(node, node.item.name, before, after)
            # A list's own number, or one in place.
            return number_choice(node.item, node.slot, before, after, self._english) if isinstance(
                node.item, NumberRange) else node
        return node

    def _list_call(self, node: SlotFill, name: str, before: str, after: tuple[str, ...]) -> Node:
        if name not in self._lists:
            raise self._source_fault(node.place, f"list {name} is unknown; "
                                     f"{did_you_mean(name, self._lists)}")
        entries = self._lists[name]
        choices = entries.items if isinstance(entries, Choice) else (entries,)
        numbers = any(isinstance(choice.item, NumberRange) for choice in choices
                      if isinstance(choice, SlotFill))
        slot = node.slot
        filled = Choice(tuple(
            number_choice(entry.item, slot, before, after, self._english)
            if isinstance(entry.item, NumberRange)
            else SlotFill(slot, entry.item, entry.value, entry.place)
            for entry in choices if isinstance(entry, SlotFill)))
        if numbers:
            return filled
        # One rule for all places that fill this slot from this list.
        key = name if name == f"{{{slot}}}" else f"{name[:-1]}:{slot}}}"
        self._calls[key] = filled
        self._places.setdefault(key, self._places[name])
        return RuleCall(key, node.place)

    def _beginnings(self, node: Node, after: tuple[str, ...], depth: int = 0) -> tuple[str, ...]:
        """Return texts that may follow: those of the next words, or `after` where none need."""
        if depth > MAX_DEPTH:
            return ("",)
        if isinstance(node, Words):
            return (node.text,)
        if isinstance(node, Series):
            if not node.items:
                return after
            rest = self._beginnings(Series(node.items[1:]), after, depth + 1)
            return self._beginnings(node.items[0], rest, depth + 1)
        if isinstance(node, Choice):
            return tuple(dict.fromkeys(text for item in node.items
                                       for text in self._beginnings(item, after, depth + 1)))
        if isinstance(node, RuleCall):
            known = {**self._rules, **self._lists}
            return self._beginnings(known.get(node.name, NOTHING), after, depth + 1)
        return ("",) if isinstance(node.item, NumberRange) else self._beginnings(
            node.item, after, depth + 1)

    def _source_fault(self, place: Place, message: str) -> UserError:
        return UserError(f"column {place.column}: {message}", self._source.path, place.line)


def _list_entries(cursor: Cursor) -> Node:
    """Read the entries of a list: templates or numbers, each with a value if one is given."""
    entries: list[Node] = []
    while True:
        cursor.skip_space()
        place = cursor.place
        item: Node | NumberRange | None = read_range(cursor, _LIST_ENTRY_END)
        if item is None:
            item = _Template(cursor, in_list=True).whole(_LIST_ENTRY_END)
        value = None
        if cursor.accept("=>"):
            start = cursor.position
            value = slot_value(cursor.match(re.compile(r"[^,|\n]*")))
            if value == "":
                raise cursor.fault("no value behind =>; write what the slot gets", start)
            if isinstance(item, NumberRange):
                raise cursor.fault("a range of numbers with a value; leave the value out",
                                   start)
        entries.append(SlotFill("", item, value, place))
        if not cursor.next_mark():
            return Choice(tuple(entries))
        cursor.expect(",", "write , between the entries of a list")


class _Template:
    """Recursive descent through one template; the cursor ends where it does."""

    def __init__(self, cursor: Cursor, in_list: bool = False):
        self._cursor, self._in_list = cursor, in_list

    def whole(self, ends: tuple[str, ...] = ("",)) -> Node:
        """Read the template up to one of the characters `ends`."""
        node = self._alternatives("the template")
        if self._cursor.peek() not in ends:
            mark = self._cursor.peek()
            mend = {")": "delete it, or open the group with (", "]": "delete it, or open with [",
                    "=": "only a line that begins with {list} or <rule> defines something",
                    ",": "only lists have commas; write words only, without punctuation",
                    ">": "the name of a rule begins with <", "}": "a slot begins with {",
                    ";": "parts in any order stand in a group, (a;b)"}
            raise self._cursor.fault(f"'{mark}' has no place here; {mend.get(mark, 'delete it')}")
        return node

    def _alternatives(self, what: str) -> Node:
        items = [self._series(what)]
        while self._cursor.accept("|"):
            items.append(self._series(what))
        return items[0] if len(items) == 1 else Choice(tuple(items))

    def _series(self, what: str) -> Node:
        cursor = self._cursor
        start = cursor.position
        items: list[Node] = []
        while cursor.peek() not in ("", "|", ")", "]", ",", "=", "}", ">", ";"):
            items.append(self._item())
        spoken = [item for item in items if not isinstance(item, Words) or item.text.strip()]
        if not spoken:
            raise cursor.fault(f"an empty alternative in {what}; write [...] around words that may "
                               "be left out, or delete a |", start)
        # A space at the edge of an alternative is there for the eye, or parts English words.
        for edge in (0, -1):
            if isinstance(item := items[edge], Words):
                text = item.text.lstrip() if edge == 0 else item.text.rstrip()
                if text != item.text:
                    items[edge] = Words(LAYOUT + text if edge == 0 else text + LAYOUT, item.place)
        return items[0] if len(items) == 1 else Series(tuple(items))

    def _item(self) -> Node:
        cursor = self._cursor
        place, start, first = cursor.place, cursor.position, cursor.peek()
        if first in ("(", "["):
            inside = cursor.group(self._group)
            return inside if first == "(" else Choice((NOTHING, inside))
        if cursor.accept("<"):
            cursor.skip_space()
            name = cursor.name("rule")
            cursor.skip_space()
            cursor.expect(">", "end the name of the rule with >")
            return RuleCall(f"<{name}>", place)
        if cursor.accept("{"):
            if self._in_list:
                raise cursor.fault("a slot within a list; a list fills one slot only", start)
            return self._slot(place)
        return self._words(cursor.match(_TEXT), place, start)

    def _group(self) -> Node:
        """Read what stands in brackets: alternatives, or parts in any order."""
        parts, start = [self._alternatives("the group")], self._cursor.position
        while self._cursor.accept(";"):
            parts.append(self._alternatives("the group"))
        if len(parts) > MOST_IN_ANY_ORDER:
            raise self._cursor.fault(f"{len(parts)} parts in any order; give at most "
                                     f"{MOST_IN_ANY_ORDER}", start)
        if len(parts) == 1:
            return parts[0]
        gap = Words(LAYOUT, self._cursor.place)
        orders = itertools.permutations(parts)
        return Choice(tuple(Series(tuple(
            node for part in order for node in (gap, part))[1:]) for order in orders))

    def _slot(self, place: Place) -> SlotFill:
        cursor = self._cursor
        cursor.skip_space()
        name = cursor.name("list")
        slot, item = name, RuleCall(f"{{{name}}}", place)
        cursor.skip_space()
        if cursor.accept("="):
            value, start = slot_value(cursor.match(_VALUE)), cursor.position
            if value == "":
                raise cursor.fault("no value behind =; write what the slot gets", start)
            cursor.expect("}", "end the slot with }, as {slot=value}")
            return SlotFill(name, NOTHING, value, place)
        if cursor.accept(":"):
            cursor.skip_space()
            numbers = read_range(cursor, ("}",))
            if numbers is None:
                slot = cursor.name("slot")
            else:
                item = numbers
        cursor.skip_space()
        cursor.expect("}", "end the slot with }, as {list}, {list:slot} or {slot: 1-10}")
        return SlotFill(slot, item, None, place)

    def _words(self, text: str, place: Place, start: int) -> Words:
        odd = unreadable(re.sub(r"\s", "", text))
        if odd:
            at = next(number for number, mark in enumerate(text) if mark in odd)
            raise self._cursor.fault(f"'{text.strip()}' has {' '.join(sorted(odd))}; write words "
                                     "only, without punctuation", start + at)
        if len(text) > MAX_WORD:
            raise self._cursor.fault(f"'{text[:20]}...' has {len(text)} characters; give at most "
                                     f"{MAX_WORD}", start)
        return Words(re.sub(r"\s", " ", text), place)


def _joined(faults: list[UserError], path: PathLike | None) -> UserError:
    """Return one error for all faults, in the order of the lines."""
    def bare(fault: UserError) -> str:
        return str(fault).removeprefix(f"{path}:{fault.line}: " if path is not None and fault.line
                                       else f"{path}: " if path is not None else "")

    ordered = sorted(dict.fromkeys((fault.line or 0, bare(fault)) for fault in faults),
                     key=lambda one: one[0])
    return fault_lines(ordered, path)
