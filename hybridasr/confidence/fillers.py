"""Owns fillers that sound near to commands: anti-words, which attract what only sounds like one.

Candidates come from `filler_candidates`; those are taken that are near to their command, but not
so near to any command that nobody could tell them apart. Distances are in nats.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np

from hybridasr.confidence.confusion import PhoneDistances, edit_distances
from hybridasr.confidence.filler_candidates import (
    MADE_UP,
    Candidate,
    FillerOptions,
    FillerSource,
    made_up_candidates,
    real_candidates,
)
from hybridasr.confidence.near import TOLERANCE, flatten
from hybridasr.confidence.spoken import SpokenCommand, Unit, spelling, to_pinyin, toneless

Phones = tuple[str, ...]


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
    real = selection.suggestions(real_candidates(command, source, options))
    fillers = list(islice(real, max(0, options.per_command - options.made_up)))
    made_up = selection.suggestions(made_up_candidates(command, source, options))
    fillers += islice(made_up, options.per_command - len(fillers))
    # Real words once more, where made-up strings are lacking.
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
    # Fillers of other options would be others.
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
    # What stood in the way and is gone may let nearer fillers through.
    if not entry.obstacles.isdisjoint(previous.pronunciations - prons):
        return False
    # What is new must not be too near to any of them.
    flat, offsets = flatten(sorted(prons - previous.pronunciations), distances)
    least = previous.options.min_distance - TOLERANCE
    return all((edit_distances(distances.ids(filler.phones), flat, offsets, distances)
                >= least).all() for filler in entry.fillers)


class _Selection:
    """Selects the fillers of one command from candidates."""

    def __init__(self, command: SpokenCommand, commands: Sequence[SpokenCommand],
                 distances: PhoneDistances, options: FillerOptions):
        own = command.pronunciations
        others = dict.fromkeys(pron for other in commands for pron in other.pronunciations)
        self._num_own = len(own)
        # The command's own come first, so that one search tells both distances.
        self._prons = [*own, *(pron for pron in others if pron not in own)]
        self._flat, self._offsets = flatten(self._prons, distances)
        self.obstacles: set[Phones] = set()
        self._distances, self._options = distances, options
        self._in_hanzi = all(unit.is_hanzi or not unit.is_syllable for unit in command.units)
        self._used: set[Phones] = set()

    def suggestions(self, candidates: Iterable[Candidate]) -> Iterator[Suggestion]:
        """Yield the candidates that may be fillers."""
        for units, kind, own in candidates:
            phones = tuple(chain.from_iterable(unit.phones for unit in units))
            # The nearest tones of a made-up string stand for all.
            key = toneless(phones) if kind == MADE_UP else phones
            if key in self._used or (cost := self._distance(phones)) is None:
                continue
            self._used |= {phones, toneless(phones)}
            text = spelling(units) if self._in_hanzi else _pinyin(units)
            yield Suggestion(text, phones, cost, kind, _pinyin(units), own)

    def _distance(self, phones: Phones) -> float | None:
        """Return the distance to the command; None if it, or that to another one, is unfit."""
        costs = edit_distances(self._distances.ids(phones), self._flat, self._offsets,
                               self._distances)
        own = float(costs[: self._num_own].min())
        least = self._options.min_distance - TOLERANCE
        if own < least or own > self._options.max_distance + TOLERANCE:
            return None
        near = np.flatnonzero(costs < least)
        self.obstacles.update(self._prons[place] for place in near)
        return None if len(near) else own


def _pinyin(units: Sequence[Unit]) -> str:
    words: list[list[Unit]] = []
    for unit in units:
        if unit.begins_word or not unit.is_syllable or not words or not words[-1][-1].is_syllable:
            words.append([])
        words[-1].append(unit)
    return " ".join(map(to_pinyin, words))
