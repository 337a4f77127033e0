"""Owns JSGF, the Java Speech Grammar Format (Sun, 1998), as PocketSphinx takes it.

    #JSGF V1.0;
    grammar home;
    public <switch> = <polite> (打开 {action=on} | 关闭 {action=off}) <device> {device};
    <polite> = [请 | 麻烦];
    <device> = /3/ 空调 | /1/ 电视;

A public rule is an intent, and its name the id. The format leaves open what tags mean: here
``{name}`` fills a slot with the words of the item before it, ``{name=value}`` with the value.
Imports are refused; so is recursion but at the end of a rule, as only that is a finite graph.
"""

import math
import re

from hybridasr.corpus.command_list import unreadable
from hybridasr.corpus.text import MAX_WORD
from hybridasr.grammar.cursor import NAME, Cursor, Source
from hybridasr.grammar.expressions import (
    NOTHING,
    Choice,
    Intent,
    Node,
    Place,
    Repeat,
    RuleCall,
    RuleGrammar,
    Series,
    SlotFill,
    Words,
    slot_value,
)
from hybridasr.storage import PathLike

HEADER = "#JSGF"
_SELF_IDENTIFYING = re.compile(r"\s*#JSGF\s+V(\S+?)(?:[ \t]+([\w\-]+))?(?:[ \t]+([\w\-]+))?\s*;")
# A quoted token or a tag is kept whole: it may hold what looks like a comment.
_COMMENTS = re.compile(r'("(?:\\.|[^"\\\n])*"|\{(?:\\.|[^}\\])*\})|//[^\n]*|/\*.*?\*/', re.S)
_TOKEN = re.compile(r'[^\s;=|*+<>()\[\]{}/"]+')
_QUOTED = re.compile(r'"((?:\\.|[^"\\\n])*)"')
_WEIGHT = re.compile(r"/\s*([^/\s]*)\s*/")
_TAG = re.compile(r"\{((?:\\.|[^}\\])*)\}", re.S)
_TAG_FORM = re.compile(rf"({NAME.pattern})\s*(?:=\s*(.+?))?\s*;?", re.S)
_RULE_MEND = "a rule is [public] <name> = ... ;"


def is_jsgf(text: str) -> bool:
    """Tell whether text begins as a JSGF grammar does."""
    return text.lstrip().startswith(HEADER)


def parse_jsgf(text: str, path: PathLike | None = None) -> RuleGrammar:
    """Read a JSGF grammar; what it refers to is not checked (`rule_checks.check_rules`).

    Raises
    ------
    UserError
        for the first fault, with line and column.

    Examples
    --------
    >>> grammar = parse_jsgf("#JSGF V1.0; grammar x; public <on> = 打开 | 开;")
    >>> grammar.intents[0].id, list(grammar.rules)
    ('on', ['<on>'])
    """
    return _Parser(Source(text, path)).grammar()


class _Parser:
    """Recursive descent: a method for each thing of the format."""

    def __init__(self, source: Source):
        self._whole = source
        self._cursor = Cursor(source)
        self._rules: dict[str, Node] = {}
        self._places: dict[str, Place] = {}
        self._public: list[str] = []
        self._name = ""
        self._weighted = False

    def grammar(self) -> RuleGrammar:
        cursor = self._cursor
        header = _SELF_IDENTIFYING.match(self._whole.text)
        if header is None:
            raise cursor.fault("the file does not begin with '#JSGF V1.0;'; write it as the first "
                               "line")
        if (header[2] or "utf-8").lower() not in ("utf-8", "utf8"):
            raise cursor.fault(f"the encoding {header[2]}; save the file as UTF-8, and write "
                               "'#JSGF V1.0 UTF-8;'")
        # Comments become spaces, so that places stay.
        cursor.position = header.end()
        self._whole.text = self._whole.text[:header.end()] + _COMMENTS.sub(
            _blank, self._whole.text[header.end():])
        self._grammar_name()
        while cursor.next_mark():
            self._rule()
        if not self._public:
            raise cursor.fault("no public rule; write 'public' before the rule of the sentences")
        intents = tuple(Intent(name, RuleCall(f"<{name}>", self._places[f"<{name}>"]),
                               self._places[f"<{name}>"]) for name in self._public)
        return RuleGrammar(self._rules, self._places, intents, self._whole.path, self._weighted)

    def _grammar_name(self) -> None:
        cursor = self._cursor
        cursor.skip_space()
        cursor.expect("grammar", "the second line is 'grammar name;'")
        cursor.skip_space()
        self._name = cursor.name("grammar")
        self._end("grammar name")

    def _end(self, what: str) -> None:
        self._cursor.skip_space()
        self._cursor.expect(";", f"end the {what} with ;")

    def _rule(self) -> None:
        cursor = self._cursor
        start = cursor.position
        word = cursor.match(NAME)
        if word == "import":
            raise cursor.fault("imports are not read; copy the rules into this file", start)
        if word not in ("", "public"):
            raise cursor.fault(f"'{word}' where a rule begins; {_RULE_MEND}", start)
        cursor.skip_space()
        place = cursor.place
        cursor.expect("<", _RULE_MEND)
        name = self._rule_name()
        if name in ("NULL", "VOID"):
            raise cursor.fault(f"<{name}> has a meaning already; choose another name", start)
        if f"<{name}>" in self._rules:
            first = self._places[f"<{name}>"].line
            raise cursor.fault(f"rule <{name}> is there already, in line {first}; join the two "
                               "with |", start)
        cursor.skip_space()
        cursor.expect("=", _RULE_MEND)
        self._places[f"<{name}>"] = place
        self._rules[f"<{name}>"] = self._alternatives("the rule")
        self._end(f"rule <{name}>")
        if word:
            self._public.append(name)

    def _rule_name(self) -> str:
        """Read a name up to its >; the grammar's own name before it is left out."""
        name = self._cursor.name("rule")
        self._cursor.skip_space()
        self._cursor.expect(">", "end the name of the rule with >")
        return name.removeprefix(f"{self._name}.")

    def _alternatives(self, what: str) -> Node:
        cursor = self._cursor
        items: list[Node] = []
        weights: list[float | None] = []
        while True:
            cursor.skip_space()
            place = cursor.position
            weights.append(self._weight())
            items.append(self._series(what))
            if (weights[-1] is None) != (weights[0] is None):
                raise cursor.fault("a weight is missing: some alternatives have one; give one to "
                                   "all or to none", place)
            if not cursor.accept("|"):
                break
        if weights[0] is None:
            return items[0] if len(items) == 1 else Choice(tuple(items))
        self._weighted = True
        numbers = tuple(weight or 0.0 for weight in weights)
        # What weighs nothing is never said.
        kept = [place for place, weight in enumerate(numbers) if weight > 0]
        return Choice(tuple(items[place] for place in kept),
                      tuple(numbers[place] for place in kept))

    def _weight(self) -> float | None:
        cursor, start = self._cursor, self._cursor.position
        if cursor.peek() != "/":
            return None
        written = _WEIGHT.match(cursor.match(_WEIGHT))
        if written is None:
            raise cursor.fault("a weight that does not end; write it as /3/")
        try:
            weight = float(written[1])
        except ValueError:
            weight = math.nan
        if not 0 <= weight < math.inf:
            fault = "is below 0" if weight < 0 else "is no number"
            raise cursor.fault(f"weight '{written[1]}' {fault}; give 0 or more, as /3/", start)
        return weight

    def _series(self, what: str) -> Node:
        cursor, start = self._cursor, self._cursor.position
        items = []
        while cursor.next_mark() not in ("", "|", ";", ")", "]"):
            items.append(self._item())
        if not items:
            raise cursor.fault(f"an empty alternative in {what}; write what is said, <NULL> for "
                               "nothing, or delete a |", start)
        return items[0] if len(items) == 1 else Series(tuple(items))

    def _item(self) -> Node:
        cursor = self._cursor
        item = self._atom()
        while True:
            mark, place = cursor.next_mark(), cursor.place
            if mark and mark in "*+":
                item = Repeat(item, 0 if cursor.accept("*") else int(cursor.accept("+")), place)
            elif mark == "{":
                item = self._tag(item, place)
            else:
                return item

    def _atom(self) -> Node:
        cursor = self._cursor
        place, start, first = cursor.place, cursor.position, cursor.peek()
        if first in ("(", "["):
            inside = cursor.group(lambda: self._alternatives("the group"))
            return inside if first == "(" else Choice((NOTHING, inside))
        if cursor.accept("<"):
            name = self._rule_name()
            if name == "NULL":
                return NOTHING
            return Choice(()) if name == "VOID" else RuleCall(f"<{name}>", place)
        if first == '"':
            quoted = cursor.match(_QUOTED)
            if not quoted:
                raise cursor.fault("a quoted token that does not end in its line; add \"")
            return self._words(re.sub(r"\\(.)", r"\1", quoted[1:-1]), place, start)
        token = cursor.match(_TOKEN)
        if not token:
            raise cursor.fault(_misplaced(first))
        return self._words(token, place, start)

    def _words(self, text: str, place: Place, start: int) -> Words:
        odd = unreadable(text)
        if odd or not text.strip() or len(text) > MAX_WORD:
            shown = text[:20] + "..." if len(text) > 20 else text
            fault = f"has {' '.join(sorted(odd))}" if odd else "is no word"
            raise self._cursor.fault(f"'{shown}' {fault}; write words only, without punctuation",
                                     start)
        # A space ends each token, so that sentences are tokens put together.
        return Words(f"{text} ", place)

    def _tag(self, item: Node, place: Place) -> Node:
        cursor, start = self._cursor, self._cursor.position
        tag = cursor.match(_TAG)
        if not tag:
            raise cursor.fault("a tag that does not end; add }")
        form = _TAG_FORM.fullmatch(re.sub(r"\\(.)", r"\1", tag[1:-1]).strip())
        if form is None:
            raise cursor.fault(f"the tag {tag[:40]} is no slot; write {{name}} for the words "
                               "before it, or {name=value}", start)
        value = None if form[2] is None else slot_value(form[2].strip("\"'"))
        return SlotFill(form[1], item, value, place)


def _misplaced(character: str) -> str:
    mends = {"*": "it stands behind what is repeated", "+": "it stands behind what is repeated",
             "{": "a tag stands behind what it belongs to",
             "/": "a weight stands at the beginning of an alternative",
             "=": "end the rule before it with ;", ">": "the name of a rule begins with <",
             "}": "a tag begins with {"}
    return f"'{character}' has no place here; {mends.get(character, 'delete it')}"


def _blank(match: re.Match[str]) -> str:
    return match[0] if match[1] else re.sub(r"[^\n]", " ", match[0])


