"""Owns commands as they are spoken: syllables and foreign words, and every pronunciation."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec

from hybridasr.corpus.command_list import Command, SlotPairs
from hybridasr.errors import UserError
from hybridasr.lexicon import mandarin
from hybridasr.lexicon.langdir import Lang
from hybridasr.lexicon.lexicon import Lexicon
from hybridasr.lexicon.numbers import number_spellings
from hybridasr.lexicon.phones import TONES

Phones = tuple[str, ...]

MAX_PRONUNCIATIONS = 64
"""Most pronunciations of a command that are looked at."""


@dataclass(frozen=True)
class Unit:
    """A part of a command that is replaced as a whole: a Mandarin syllable, or a foreign word.

    Attributes
    ----------
    text : str
        A hanzi, a syllable of pinyin, or a word in letters.
    phones : tuple of str
        Of a syllable two: initial and toned final.
    begins_word : bool
    """

    text: str
    phones: Phones
    begins_word: bool = True

    @property
    def is_syllable(self) -> bool:
        """Whether it is a Mandarin syllable."""
        return syllable_of(self.phones) is not None

    @property
    def is_hanzi(self) -> bool:
        """Whether it is written as one Chinese character."""
        return len(self.text) == 1 and mandarin.is_hanzi(self.text)


@dataclass(frozen=True)
class SpokenCommand:
    """A command with its pronunciations.

    Attributes
    ----------
    text, id : str
        Commands of the same id and slots mean the same.
    units : tuple of Unit
        In the first pronunciation.
    pronunciations : tuple of tuples of phones
        The usual one first; at most `MAX_PRONUNCIATIONS`.
    line : int
        Where the list has it; 0 = nowhere.
    """

    text: str
    id: str
    units: tuple[Unit, ...]
    pronunciations: tuple[Phones, ...]
    line: int = 0
    slots: SlotPairs = ()

    @property
    def meaning(self) -> tuple[str, SlotPairs]:
        """The id and the slots."""
        return self.id, self.slots


def spoken_commands(commands: Sequence[Command], lexicon: Lexicon) -> list[SpokenCommand]:
    """Look up how commands are said.

    Raises
    ------
    UserError
        if the lexicon lacks a word.
    """
    spoken = []
    for command in commands:
        lacking = [word for word in command.words if word not in lexicon.entries]
        if lacking:
            raise UserError(f"no pronunciation for '{lacking[0]}' of the command "
                            f"'{command.text}'; add it to the lexicon")
        # Every way to say each word with every way to say the others, the usual ones first.
        choices = [[pron.phones for pron in lexicon.entries[word]] for word in command.words]
        combined = itertools.islice(itertools.product(*choices), MAX_PRONUNCIATIONS)
        prons = dict.fromkeys(tuple(itertools.chain.from_iterable(parts)) for parts in combined)
        units = tuple(unit for word, prons_of in zip(command.words, choices, strict=True)
                      for unit in split_word(word, prons_of[0]))
        spoken.append(SpokenCommand(command.text, command.id, units, tuple(prons), command.line,
                                    command.slots))
    return spoken


def lexicon_of(lang: Lang) -> Lexicon:
    """Return the words of a lang directory without silence and noise; phones without places."""
    # <UNK> and noises are said with silence phones.
    silences = {*lang.silence_phones}
    return replace(lang, pronunciations={
        word: choices for word, choices in lang.pronunciations.items()
        if not any(silences.intersection(phones) for _, phones in choices)}).lexicon


def split_word(word: str, phones: Phones) -> tuple[Unit, ...]:
    """Split a word into units; a word whose writing does not fit its phones is one unit."""
    chunks = split_phones(phones)
    syllables = mandarin.split_pinyin(word)
    if syllables is not None:
        texts = list(syllables)
    else:
        texts = _cut_as_read(word, chunks)
    are_syllables = [syllable_of(chunk) is not None for chunk in chunks]
    should_be = [syllables is not None or mandarin.is_hanzi(text[0]) for text in texts]
    # Erhua, say: two hanzi with the phones of one syllable.
    if are_syllables != should_be:
        return (Unit(word, tuple(phones)),)
    return tuple(Unit(text, chunk, number == 0)
                 for number, (text, chunk) in enumerate(zip(texts, chunks, strict=True)))


def _cut_as_read(word: str, chunks: Sequence[Phones]) -> list[str]:
    """Cut a word into hanzi and runs of letters; its numbers are written as they are spoken."""
    def num_right(texts: list[str]) -> int:
        return sum((syllable_of(chunk),) in (mandarin.hanzi_readings(text) or [])
                   for text, chunk in zip(texts, chunks, strict=False)
                   if mandarin.is_hanzi(text[0]))

    ways = [re.findall(r"[A-Za-z'\-]+|[^A-Za-z'\-]", text) for text in number_spellings(word)]
    if len(ways) == 1:
        return ways[0]
    try:
        return max(ways, key=num_right)
    # A device has pronunciations of its commands, and no dictionary of readings.
    except UserError:
        return next((way for way in ways if len(way) == len(chunks)), ways[0])


def split_phones(phones: Phones) -> list[Phones]:
    """Cut phones into Mandarin syllables, and runs of what is none.

    >>> split_phones(("d", "a3", "W", "AY", "F", "AY", "k", "ai1"))
    [('d', 'a3'), ('W', 'AY', 'F', 'AY'), ('k', 'ai1')]
    """
    chunks: list[Phones] = []
    foreign: list[str] = []
    start = 0
    while start < len(phones):
        pair = tuple(phones[start : start + 2])
        if syllable_of(pair) is None:
            foreign.append(phones[start])
            start += 1
            continue
        if foreign:
            chunks.append(tuple(foreign))
            foreign = []
        chunks.append(pair)
        start += 2
    return [*chunks, tuple(foreign)] if foreign else chunks


def syllable_of(phones: Phones) -> str | None:
    """Return the pinyin of initial and toned final; None if they are no syllable.

    >>> syllable_of(("k", "ai1")), syllable_of(("W", "AY"))
    ('kai1', None)
    """
    if len(phones) != 2 or phones[1][-1:] not in tuple(TONES):
        return None
    pinyin = _spellings().get((phones[0], phones[1][:-1]))
    return None if pinyin is None else pinyin + phones[1][-1]


def spelling(units: Sequence[Unit]) -> str:
    """Write units as text that is read with just their phones.

    Words stay in hanzi if that is how they are read; else their syllables are written in pinyin.
    A foreign word beside syllables stands by itself.
    """
    words: list[list[Unit]] = []
    # A word may have hanzi and letters in it; each run is written in its own way.
    for unit in units:
        if unit.begins_word or not words:
            words.append([])
        words[-1].append(unit)
    return " ".join(_spell_run(list(run)) for word in words
                    for _, run in itertools.groupby(word, key=lambda unit: unit.is_syllable))


def _spell_run(units: Sequence[Unit]) -> str:
    text = "".join(unit.text for unit in units)
    if not units[0].is_syllable or all(unit.is_hanzi for unit in units) and _read_as(text, units):
        return text
    return to_pinyin(units)


def to_pinyin(units: Sequence[Unit]) -> str:
    """Write syllables in pinyin with tone digits, and other units as they are."""
    return "".join(syllable_of(unit.phones) or unit.text for unit in units)


def toneless(phones: Phones) -> Phones:
    """Return phones with the tones of Mandarin finals taken away.

    >>> toneless(("d", "a3", "k", "ai1"))
    ('d', 'a', 'k', 'ai')
    """
    return tuple(phone.rstrip(TONES) for phone in phones)


def _read_as(text: str, units: Sequence[Unit]) -> bool:
    if find_spec("pypinyin") is None:
        return False
    phones = tuple(phone for unit in units for phone in unit.phones)
    readings = mandarin.hanzi_pronunciations(text, sandhi=False)
    return bool(readings) and readings[0] == phones


@cache
def _spellings() -> dict[tuple[str, str], str]:
    """Return (initial, final) -> pinyin without tone; of several spellings the first."""
    # u and v after j, for one, are the same final.
    table = mandarin.syllable_table()
    spellings: dict[tuple[str, str], str] = {}
    for pinyin in sorted(table):
        spellings.setdefault(table[pinyin][:2], pinyin)
    return spellings
