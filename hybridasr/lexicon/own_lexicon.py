"""Owns the reading of a lexicon that a user wrote, in any of the usual forms.

A line is a word and its phones (Kaldi's lexicon.txt), or a word, a probability and its phones
(lexiconp.txt under any name); further pronunciations are lines of their own, or ``word(2)`` as in
the CMU dictionary. A field that is no phone, but would become one unnoticed, is refused
with its line.
"""

import re
from collections.abc import Collection, Iterable, Mapping

from hybridasr.corpus.text import MAX_WORD, normalize_text
from hybridasr.errors import UserError, name_some
from hybridasr.lexicon import mandarin
from hybridasr.lexicon.phones import default_phone_set
from hybridasr.lexicon.table_files import read_fields
from hybridasr.storage import PathLike

Row = tuple[int, list[str]]

_VARIANT = re.compile(r"(.+)\(\d{1,2}\)")
_NUMBER = re.compile(r"[0-9]*\.[0-9]+|[0-9]+\.?[0-9]*(?:e-?[0-9]+)?")


def read_own_rows(path: PathLike) -> tuple[list[Row], bool]:
    """Read the lines of a user's lexicon.

    Returns
    -------
    (rows, whether the second field is a probability)
        A row is the line number and word, perhaps probability, and phones, in normal form;
        ``zero(2)`` is ``zero``.

    Raises
    ------
    UserError
        with file and line: a probability on some lines only, or syllables in place of phones.
    """
    rows = [(line, [normalize_text(field) for field in fields])
            for line, fields in read_fields(path)]
    second = [len(fields) > 2 and _NUMBER.fullmatch(fields[1]) is not None for _, fields in rows]
    with_probabilities = bool(rows) and all(second)
    for (line, fields), number in zip(rows, second, strict=True):
        longest = max(fields, key=len)
        if len(longest) > MAX_WORD:
            raise UserError(f"'{longest[:20]}...' has {len(longest)} characters; give at most "
                            f"{MAX_WORD}", path, line)
        variant = _VARIANT.fullmatch(fields[0])
        # Kaldi has no names for variants: the entry becomes one more line of the same word.
        if variant:
            fields[0] = variant[1]
        # A whole number may name a tone, as in "d a 3".
        if number and not with_probabilities and "." in fields[1]:
            raise UserError(f"word '{fields[0]}' has the number '{fields[1]}' for its first phone; "
                            "give every line a probability, or none", path, line)
        _refuse_syllables(fields[0], fields[1 + with_probabilities:], path, line)
    return rows, with_probabilities


def foreign_phones(phones: Iterable[str]) -> list[str]:
    """Return the phones that the built-in tables do not use.

    >>> foreign_phones(["AH0", "AH", "a3"])
    ['AH0']
    """
    known = default_phone_set()
    return sorted({*phones}.difference(known.nonsilence_phones, known.silence_phones))


def near_by_case(words: Iterable[str], entries: Collection[str]) -> list[tuple[str, str]]:
    """Pair the words with the entries that differ from them by case alone.

    >>> near_by_case(["zero", "one"], ["ZERO", "two"])
    [('zero', 'ZERO')]
    """
    folded: Mapping[str, str] = {entry.casefold(): entry for entry in entries}
    return [(word, folded[word.casefold()]) for word in words
            if word not in entries and word.casefold() in folded]


def _refuse_syllables(word: str, phones: list[str], path: PathLike, line: int) -> None:
    """Refuse an entry of whole pinyin syllables, unless all of them are built-in phones."""
    syllables = [mandarin.split_pinyin(phone) for phone in phones]
    toned = [s is not None and len(s) == 1 and s[0][-1].isdigit() for s in syllables]
    # A final alone, such as "a3", is a syllable too: an entry of built-in phones is in order.
    if not phones or not all(toned) or not foreign_phones(phones):
        return
    split = " ".join(mandarin.to_phones(tuple(s[0] for s in syllables)))
    raise UserError(f"word '{word}' has the syllables {name_some(phones)} for phones; write "
                    f"'{split}', or leave the word out: pinyin and hanzi are known", path, line)
