"""Owns the sentences of a grammar: all of them, or some drawn as likely as the weights say."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from hybridasr.grammar.expressions import (
    GO_ON,
    Choice,
    Intent,
    Node,
    RuleCall,
    RuleGrammar,
    Sentence,
    Series,
    SlotFill,
    Words,
    plain_text,
)
from hybridasr.progress import logger

MAX_PIECES = 10_000
"""Pieces of a drawn sentence: more of them never end."""

_MAX_NAMED = 5

# What a part of a sentence says, the slots that it fills, and how likely it is.
_Part = tuple[str, tuple[tuple[str, str | int], ...], float]


def expand_sentences(grammar: RuleGrammar) -> list[Sentence]:
    """Return every sentence of a finite grammar, each text once.

    A text that several derivations give has the sum of their probabilities. If they differ in id
    or slots, the first one counts, with a warning.

    Parameters
    ----------
    grammar : RuleGrammar
        Checked by `check_rules`, `check_slots` and `check_finite`.
    """
    sentences: dict[str, Sentence] = {}
    clashes: list[tuple[Sentence, Sentence]] = []
    for intent in grammar.intents:
        for text, slots, probability in _parts(intent.body, grammar.rules):
            sentence = _sentence(intent, text, slots, probability / len(grammar.intents))
            first = sentences.setdefault(sentence.text, sentence)
            if first is not sentence:
                sentences[sentence.text] = replace(
                    first, probability=first.probability + sentence.probability)
                if (first.id, sorted(first.slots)) != (sentence.id, sorted(sentence.slots)):
                    clashes.append((first, sentence))
    for first, other in clashes[:_MAX_NAMED]:
        logger.warning("%s:%d: '%s' means %s, and in line %d %s; the first counts", grammar.path,
                       first.line, first.text, _meaning(first), other.line, _meaning(other))
    if len(clashes) > _MAX_NAMED:
        logger.warning("%s: %d more sentences have two meanings", grammar.path,
                       len(clashes) - _MAX_NAMED)
    return list(sentences.values())


def draw_sentences(grammar: RuleGrammar, count: int, seed: int = 0) -> Iterator[Sentence]:
    """Draw sentences independently, as they are asked for; a sentence may come again.

    Parameters
    ----------
    grammar : RuleGrammar
        Checked by `check_rules` and `check_slots`; it may have repetitions.

    Raises
    ------
    UserError
        if a sentence gets too long.
    """
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield _drawn(grammar, grammar.intents[int(rng.integers(len(grammar.intents)))], rng)


def _parts(node: Node, rules: Mapping[str, Node]) -> Iterator[_Part]:
    """Yield what an expression may say, in the order of its alternatives."""
    if isinstance(node, Words):
        yield node.text, (), 1.0
    elif isinstance(node, RuleCall):
        yield from _parts(rules[node.name], rules)
    elif isinstance(node, Choice):
        for item, chance in zip(node.items, node.probabilities, strict=True):
            for text, slots, probability in _parts(item, rules):
                yield text, slots, chance * probability
    elif isinstance(node, SlotFill):
        for text, slots, probability in _parts(node.item, rules):
            yield text, (*slots, (node.slot, _value(node, text))), probability
    elif isinstance(node, Series):
        yield from _series_parts(node.items, rules)
    else:
        raise AssertionError("a repetition has no end; check_finite refuses it")


def _series_parts(items: tuple[Node, ...], rules: Mapping[str, Node]) -> Iterator[_Part]:
    if not items:
        yield "", (), 1.0
        return
    for text, slots, probability in _parts(items[0], rules):
        for other, more, chance in _series_parts(items[1:], rules):
            yield text + other, slots + more, probability * chance


def _value(fill: SlotFill, text: str) -> str | int:
    return plain_text(text) if fill.value is None else fill.value


def _drawn(grammar: RuleGrammar, intent: Intent, rng: np.random.Generator) -> Sentence:
    # A stack in place of recursion: a repetition may be long.
    stack: list[Node | tuple[SlotFill, int]] = [intent.body]
    pieces: list[str] = []
    slots: list[tuple[str, str | int]] = []
    probability = 1 / len(grammar.intents)
    while stack:
        node = stack.pop()
        if len(pieces) > MAX_PIECES or len(stack) > MAX_PIECES:
            raise grammar.fault(intent.place, f"a sentence of more than {MAX_PIECES:,} pieces; its "
                                "rules hardly ever end: raise the weights of those that do")
        if isinstance(node, tuple):  # the words of a slot are complete
            slots.append((node[0].slot, _value(node[0], "".join(pieces[node[1]:]))))
        elif isinstance(node, Words):
            pieces.append(node.text)
        elif isinstance(node, RuleCall):
            stack.append(grammar.rules[node.name])
        elif isinstance(node, Choice):
            number = int(rng.choice(len(node.items), p=node.probabilities))
            probability *= node.probabilities[number]
            stack.append(node.items[number])
        elif isinstance(node, SlotFill):
            stack += [(node, len(pieces)), node.item]
        elif isinstance(node, Series):
            stack += reversed(node.items)
        elif node.least:
            stack += [replace(node, least=0), node.item]
        elif rng.random() < GO_ON:
            probability *= GO_ON
            stack += [node, node.item]
        else:
            probability *= 1 - GO_ON
    return _sentence(intent, "".join(pieces), tuple(slots), probability)


def _sentence(intent: Intent, pieces: str, slots: tuple[tuple[str, str | int], ...],
              probability: float) -> Sentence:
    text = plain_text(pieces)
    return Sentence(text, intent.id or text, slots, probability, intent.place.line,
                    intent.threshold)


def _meaning(sentence: Sentence) -> str:
    slots = " ".join(f"{name}={value}" for name, value in sentence.slots)
    return f"'{sentence.id}'" + (f" with {slots}" if slots else "")


