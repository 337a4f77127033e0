"""Owns what must hold of a grammar as a whole: rules that exist, that end, and that a finite graph
can follow; and what its sentences need besides: an end to their number, slots filled once.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from hybridasr.errors import UserError
from hybridasr.grammar.cursor import did_you_mean
from hybridasr.grammar.expressions import (
    NOTHING,
    Choice,
    Intent,
    Node,
    Repeat,
    RuleCall,
    RuleGrammar,
    Series,
    SlotFill,
    Words,
    plain_text,
)

MAX_SENTENCES = 10_000


def check_rules(grammar: RuleGrammar, recursion: bool = True) -> RuleGrammar:
    """Check a grammar; return it without what can never be said.

    Parameters
    ----------
    recursion : bool
        Whether a rule may call itself at its end, as in JSGF.

    Raises
    ------
    UserError
        naming the place of a rule that is unknown, recursive where it may not be, or without an
        end, and of an intent without words.
    """
    for body in (*grammar.rules.values(), *(intent.body for intent in grammar.intents)):
        for call in _calls(body):
            if call.name not in grammar.rules:
                raise grammar.fault(call.place, f"rule {call.name} is unknown; "
                                    f"{did_you_mean(call.name, grammar.rules)}")
    empty = _fixpoint(grammar.rules, _may_be_empty)
    _check_recursion(grammar, empty, recursion)
    ending = _fixpoint(grammar.rules, _has_end)
    for intent in grammar.intents:
        if not _has_end(intent.body, ending):
            raise grammar.fault(intent.place, f"no sentence of {_name(intent)} ever ends, or "
                                "<VOID> is in all of them; add an alternative without it")
        if _may_be_empty(intent.body, empty):
            raise grammar.fault(intent.place, f"{_name(intent)} may be empty: all its words may be "
                                "left out; make one of them a must")
    return replace(
        grammar,
        rules={name: _without_dead_ends(body, ending) for name, body in grammar.rules.items()
               if name in ending},
        intents=tuple(replace(intent, body=_without_dead_ends(intent.body, ending))
                      for intent in grammar.intents))


def check_slots(grammar: RuleGrammar) -> None:
    """Check that no sentence can fill a slot twice; `grammar` is one from `check_rules`.

    Raises
    ------
    UserError
        naming the place that fills a slot again.
    """
    slots: dict[str, frozenset[str]] = dict.fromkeys(grammar.rules, frozenset())
    # Until no rule gains a slot: recursive rules need more than one turn.
    while True:
        more = {name: frozenset(_slots(body, slots)) for name, body in grammar.rules.items()}
        if more == slots:
            break
        slots = more
    for body in (*grammar.rules.values(), *(intent.body for intent in grammar.intents)):
        _check_filled_once(grammar, body, slots)


@dataclass(frozen=True)
class SentenceCounts:
    """How many ways there are to derive a sentence: in all, and by rule; infinite with a loop."""

    total: float
    intents: tuple[float, ...]
    rules: Mapping[str, float]


def count_sentences(grammar: RuleGrammar) -> SentenceCounts:
    """Count the derivations of a grammar from `check_rules`, without making them."""
    rules: dict[str, float] = {}
    for name in grammar.rules:
        _count_rule(name, grammar.rules, rules, ())
    intents = tuple(_count(intent.body, grammar.rules, rules, ()) for intent in grammar.intents)
    return SentenceCounts(sum(intents), intents, rules)


def check_finite(grammar: RuleGrammar, use: str, mend: str, limit: int = MAX_SENTENCES) -> None:
    """Check that the sentences of a grammar from `check_rules` can be listed.

    Parameters
    ----------
    use, mend : str
        What they are listed for, and what to do otherwise, for the error line.

    Raises
    ------
    UserError
        naming the repetition or recursion without an end; or, where they are more than `limit`,
        their number and the largest rules of the intent that has most.
    """
    for body in (*grammar.rules.values(), *(intent.body for intent in grammar.intents)):
        for node in _nodes(body):
            if isinstance(node, Repeat):
                mark = "+" if node.least else "*"
                raise grammar.fault(node.place, f"'{mark}' repeats without end, and {use} is "
                                    f"finite; write [...] or the numbers of words, or {mend}")
    counts = count_sentences(grammar)
    for name, count in counts.rules.items():
        if count == math.inf:
            raise grammar.fault(grammar.places[name], f"rule {name} calls itself, so that its "
                                f"sentences have no end, and {use} is finite; {mend}")
    if counts.total <= limit:
        return
    most = max(range(len(counts.intents)), key=lambda number: counts.intents[number])
    intent = grammar.intents[most]
    called = dict.fromkeys(call.name for call in _calls_deep(intent.body, grammar.rules))
    largest = sorted(called, key=lambda name: -counts.rules[name])[:3]
    shown = " and ".join(f"{name} ({counts.rules[name]:,})" for name in largest
                         if counts.rules[name] > 1)
    raise grammar.fault(intent.place, f"{counts.total:,} sentences, {counts.intents[most]:,} of "
                        f"them of {_name(intent)}, and {use} has at most {limit:,}; shorten "
                        + (f"what makes most of them, {shown}" if shown else "its alternatives")
                        + f", or {mend}")


def _name(intent: Intent) -> str:
    return f"'{intent.id}'" if intent.id else "the template"


def _children(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Series | Choice):
        return node.items
    return (node.item,) if isinstance(node, Repeat | SlotFill) else ()


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in _children(node):
        yield from _nodes(child)


def _calls(node: Node) -> Iterator[RuleCall]:
    return (one for one in _nodes(node) if isinstance(one, RuleCall))


def _calls_deep(node: Node, rules: Mapping[str, Node]) -> list[RuleCall]:
    """Return the calls of an expression and of all rules that it calls."""
    calls = list(_calls(node))
    seen = {call.name for call in calls}
    for call in calls:
        for inner in _calls(rules[call.name]):
            if inner.name not in seen:
                seen.add(inner.name)
                calls.append(inner)
    return calls


def _fixpoint(rules: Mapping[str, Node], holds) -> set[str]:
    """Return the rules that something holds of, if it is first taken to hold of none."""
    true: set[str] = set()
    while True:
        more = {name for name, body in rules.items() if holds(body, true)}
        if more == true:
            return true
        true = more


def _may_be_empty(node: Node, rules: set[str]) -> bool:
    if isinstance(node, Words):
        return plain_text(node.text) == ""
    if isinstance(node, RuleCall):
        return node.name in rules
    if isinstance(node, Repeat) and node.least == 0:
        return True
    holds = any if isinstance(node, Choice) else all
    return holds(_may_be_empty(child, rules) for child in _children(node))


def _has_end(node: Node, rules: set[str]) -> bool:
    if isinstance(node, RuleCall):
        return node.name in rules
    if isinstance(node, Repeat) and node.least == 0:
        return True
    holds = any if isinstance(node, Choice) else all
    return holds(_has_end(child, rules) for child in _children(node))


def _without_dead_ends(node: Node, ending: set[str]) -> Node:
    """Leave out alternatives that no sentence can have."""
    if isinstance(node, Choice):
        kept = [number for number, item in enumerate(node.items) if _has_end(item, ending)]
        return Choice(tuple(_without_dead_ends(node.items[number], ending) for number in kept),
                      node.weights and tuple(node.weights[number] for number in kept))
    if isinstance(node, Series):
        return Series(tuple(_without_dead_ends(item, ending) for item in node.items))
    if isinstance(node, Repeat):
        if not _has_end(node.item, ending):
            return NOTHING
        return replace(node, item=_without_dead_ends(node.item, ending))
    if isinstance(node, SlotFill):
        return replace(node, item=_without_dead_ends(node.item, ending))
    return node


@dataclass(frozen=True)
class _Edge:
    """A call of a rule from another: may nothing stand before it, must nothing stand behind?"""

    source: str
    call: RuleCall
    left: bool
    tail: bool


def _edges(source: str, node: Node, empty: set[str], left: bool, tail: bool) -> Iterator[_Edge]:
    if isinstance(node, RuleCall):
        yield _Edge(source, node, left, tail)
    elif isinstance(node, Series):
        for number, item in enumerate(node.items):
            yield from _edges(source, item, empty, left, tail and number == len(node.items) - 1)
            left = left and _may_be_empty(item, empty)
    else:
        for child in _children(node):
            yield from _edges(source, child, empty, left,
                              tail and not isinstance(node, Repeat))


def _check_recursion(grammar: RuleGrammar, empty: set[str], allowed: bool) -> None:
    edges = [edge for name, body in grammar.rules.items()
             for edge in _edges(name, body, empty, True, True)]
    for left_only in (True, False):
        targets: dict[str, set[str]] = {}
        for edge in edges:
            if edge.left or not left_only:
                targets.setdefault(edge.source, set()).add(edge.call.name)
        for edge in edges:
            if left_only > edge.left or not _reaches(edge.call.name, edge.source, targets):
                continue
            name = f"<{edge.source.strip('<>')}>"
            through = "" if edge.call.name == edge.source else f" by way of {edge.call.name}"
            if left_only:
                raise grammar.fault(edge.call.place, f"left recursion: {name} begins with itself"
                                    f"{through}; write the repetition with * or +, or move the "
                                    "call to the end of the rule")
            if not allowed:
                raise grammar.fault(edge.call.place, f"rule {name} calls itself{through}; "
                                    "templates are finite: write out how often words may come")
            if not edge.tail:
                raise grammar.fault(edge.call.place, f"{name} calls itself{through} in the middle, "
                                    "which no finite graph can follow; a rule may call itself at "
                                    "its end only")


def _reaches(source: str, target: str, targets: Mapping[str, set[str]]) -> bool:
    seen, queue = {source}, [source]
    for name in queue:
        if name == target:
            return True
        for following in targets.get(name, ()):
            if following not in seen:
                seen.add(following)
                queue.append(following)
    return False


def _slots(node: Node, rules: Mapping[str, frozenset[str]]) -> set[str]:
    slots = {node.slot} if isinstance(node, SlotFill) else set()
    if isinstance(node, RuleCall):
        return set(rules[node.name])
    return slots.union(*(_slots(child, rules) for child in _children(node)))


def _check_filled_once(grammar: RuleGrammar, node: Node, rules: Mapping[str, frozenset[str]]
                       ) -> None:
    if isinstance(node, Series):
        filled: set[str] = set()
        for item in node.items:
            again = filled & _slots(item, rules)
            if again:
                raise _filled_twice(grammar, item, sorted(again)[0])
            filled |= _slots(item, rules)
    elif isinstance(node, Repeat) and _slots(node.item, rules):
        raise _filled_twice(grammar, node, sorted(_slots(node.item, rules))[0])
    elif isinstance(node, SlotFill) and node.slot in _slots(node.item, rules):
        raise _filled_twice(grammar, node, node.slot)
    for child in _children(node):
        _check_filled_once(grammar, child, rules)


def _filled_twice(grammar: RuleGrammar, node: Node, slot: str) -> UserError:
    place = next(one.place for one in _nodes(node)
                 if isinstance(one, Words | RuleCall | SlotFill | Repeat))
    return grammar.fault(place, f"slot '{slot}' may be filled twice in one sentence; give the "
                         "second another name, as {list:name}, or keep it out of a repetition")


def _count_rule(name: str, rules: Mapping[str, Node], known: dict[str, float],
                inside: tuple[str, ...]) -> float:
    if name in inside:
        return math.inf
    if name not in known:
        known[name] = _count(rules[name], rules, known, (*inside, name))
    return known[name]


def _count(node: Node, rules: Mapping[str, Node], known: dict[str, float],
           inside: tuple[str, ...]) -> float:
    if isinstance(node, RuleCall):
        return _count_rule(node.name, rules, known, inside)
    if isinstance(node, Repeat):
        return math.inf
    counts = [_count(child, rules, known, inside) for child in _children(node)]
    return sum(counts) if isinstance(node, Choice) else math.prod(counts)
