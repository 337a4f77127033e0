"""Owns slots of numbers: a range is a choice of the ways to say its numbers."""

import re
from dataclasses import dataclass

from hybridasr.grammar.cursor import Cursor
from hybridasr.grammar.expressions import Choice, Node, Place, SlotFill, Words
from hybridasr.lexicon.numbers import NUMBER, english_numbers, number_spellings

MOST_NUMBERS = 10_000

_RANGE = re.compile(r"(-?[0-9]+)\s*-\s*(-?[0-9]+)\s*(?:/\s*([0-9]+))?\s*")


@dataclass(frozen=True)
class NumberRange:
    """Whole numbers from `first` to `last`, both said, by `step`."""

    first: int
    last: int
    step: int
    place: Place


def read_range(cursor: Cursor, ends: tuple[str, ...]) -> NumberRange | None:
    """Read a range such as ``16-30`` or ``0-100/10`` that one of `ends` follows; else None.

    Raises
    ------
    UserError
        if it has no number, a negative one, or too many.
    """
    place, start = cursor.place, cursor.position
    match = _RANGE.match(cursor.match(_RANGE))
    if match is None or cursor.peek() not in ends:
        cursor.position = start
        return None
    first, last, step = int(match[1]), int(match[2]), int(match[3] or 1)
    shown = match[0].strip()
    if first < 0 or last < 0:
        raise cursor.fault(f"the range {shown} has numbers below 0; write 0 or more, and 零下 "
                           "before the slot", start)
    if last < first or step == 0:
        raise cursor.fault(f"the range {shown} holds no number; write the smaller one first"
                           + (", and a step above 0" if step == 0 else ""), start)
    if (last - first) // step >= MOST_NUMBERS:
        raise cursor.fault(f"the range {shown} has more than {MOST_NUMBERS:,} numbers; give fewer, "
                           "or a step, as 0-100/10", start)
    return NumberRange(first, last, step, place)


def number_choice(numbers: NumberRange, slot: str, before: str = "",
                  after: tuple[str, ...] = ("",), english: bool = False) -> Node:
    """Return the ways to say a number between texts, each filling `slot` with the number.

    Parameters
    ----------
    after : tuple of str
        Texts that may follow: 2 is 两 before 点, and 二 before others.
    english : bool
        Say it in English.

    Examples
    --------
    >>> numbers = NumberRange(2, 2, 1, Place(1, 1))
    >>> [fill.item.text for fill in number_choice(numbers, "hour", "", ("点",)).items]
    ['两']
    """
    # Only the hanzi beside it say how a number is read.
    left = NUMBER.split(before.strip())[-1]
    rights = dict.fromkeys(NUMBER.split(text.strip())[0] for text in after)
    fills: list[Node] = []
    for number in range(numbers.first, numbers.last + 1, numbers.step):
        ways = english_numbers(number) if english else dict.fromkeys(
            spelled[len(left):len(spelled) - len(right)]
            for right in rights for spelled in number_spellings(f"{left}{number}{right}"))
        fills += [SlotFill(slot, Words(way, numbers.place), number, numbers.place)
                  for way in ways]
    return Choice(tuple(fills))
