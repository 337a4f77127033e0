"""Owns what a written grammar means: expressions of words, alternatives, repetitions, rules, slots.

JSGF and sentence templates are both read into these. The text of a sentence is the texts of its
words, one after another; spaces in them part words.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hybridasr.corpus.command_list import SlotPairs
from hybridasr.errors import UserError
from hybridasr.storage import PathLike

LAYOUT = "\x1f"
"""A space beside a bracket: it parts words that are spelled with letters, and no hanzi."""

_LETTERS_APART = re.compile(rf"(?<=[0-9A-Za-z'])[{LAYOUT} ]+(?=[0-9A-Za-z'])")


@dataclass(frozen=True)
class Place:
    """Where something stands in a file; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Words:
    """A piece of text that is said as it stands."""

    text: str
    place: Place


@dataclass(frozen=True)
class Series:
    """All items, one after another; none of them: nothing is said."""

    items: tuple["Node", ...]


@dataclass(frozen=True)
class Choice:
    """One of the items; none of them: it cannot be said at all.

    Attributes
    ----------
    weights : tuple of float, or None
        How likely the items are, up to a factor; None: equally.
    """

    items: tuple["Node", ...]
    weights: tuple[float, ...] | None = None

    @property
    def probabilities(self) -> tuple[float, ...]:
        """The probability of each item."""
        weights = self.weights or (1.0,) * len(self.items)
        return tuple(weight / sum(weights) for weight in weights)


@dataclass(frozen=True)
class Repeat:
    """An item any number of times, but at least so often (0 or 1).

    One more follows with probability 0.5, as in the grammar `loop`.
    """

    item: "Node"
    least: int
    place: Place


@dataclass(frozen=True)
class RuleCall:
    """What the rule of this name says; the name has its brackets, ``<room>``."""

    name: str
    place: Place


@dataclass(frozen=True)
class SlotFill:
    """An item that fills a slot: with `value`, or with its own words."""

    slot: str
    item: "Node"
    value: str | int | None
    place: Place


Node = Words | Series | Choice | Repeat | RuleCall | SlotFill

NOTHING = Series(())
GO_ON = 0.5  # probability that a repetition goes on


@dataclass(frozen=True)
class Intent:
    """Sentences that mean the same but for their slots.

    Attributes
    ----------
    id : str or None
        None: every sentence is its own id, as in a command list.
    threshold : float or None
        As of a command.
    """

    id: str | None
    body: Node
    place: Place
    threshold: float | None = None


@dataclass(frozen=True)
class RuleGrammar:
    """A grammar as it was read.

    Attributes
    ----------
    rules : mapping name -> expression
    places : mapping name -> Place
        Where each rule is defined.
    intents : tuple of Intent
        Equally likely.
    weighted : bool
        Whether alternatives have weights.
    """

    rules: Mapping[str, Node]
    places: Mapping[str, Place]
    intents: tuple[Intent, ...]
    path: PathLike | None = None
    weighted: bool = False

    def fault(self, place: Place, message: str) -> UserError:
        """Return the error for something at a place of the file."""
        return UserError(f"column {place.column}: {message}", self.path, place.line)


@dataclass(frozen=True)
class Sentence:
    """A sentence of a grammar: what is said, and what it means.

    Attributes
    ----------
    text : str
        Words with one space between.
    id : str
    slots : tuple of (slot, value)
    probability : float
        Of all ways to derive the text together, if the sentence is one of a whole expansion;
        of this way, if it was drawn.
    """

    text: str
    id: str
    slots: SlotPairs
    probability: float
    line: int
    threshold: float | None = None


def plain_text(pieces: str) -> str:
    r"""Return the text of pieces that were put together, with one space between words.

    >>> plain_text("打开\x1f空调  26 度 ")
    '打开空调 26 度'
    >>> plain_text("the \x1flight")
    'the light'
    """
    apart = _LETTERS_APART.sub(" ", pieces)
    return " ".join(apart.replace(LAYOUT, "").split())


def slot_value(text: str) -> str | int:
    """Return the value of a slot as it is written: a whole number, or text.

    >>> slot_value("26"), slot_value("007"), slot_value(" ac ")
    (26, '007', 'ac')
    """
    text = text.strip()
    return int(text) if re.fullmatch(r"0|-?[1-9][0-9]{0,17}", text) else text
