"""Owns the units that a network without alignment writes: phones, syllables or characters.

A lang directory whose words are spelled in the units has them in the place of phones, so that
graphs and searches need to know nothing of them.
"""

from hybridasr.errors import UserError
from hybridasr.lexicon.langdir import Lang, LangOptions, prepare_lang
from hybridasr.lexicon.lexicon import Lexicon, Pronunciation, make_lexicon
from hybridasr.lexicon.mandarin import syllable_table
from hybridasr.lexicon.phones import TONES, PhoneSet, base_phone
from hybridasr.storage import PathLike

UNITS = ("phones", "syllables", "characters")


def in_syllables(phones: tuple[str, ...]) -> tuple[str, ...]:
    """Join the initials and toned finals of Mandarin syllables; other phones stay.

    >>> in_syllables(("k", "ong1", "t", "iao2")), in_syllables(("HH", "AY"))
    (('kong1', 'tiao2'), ('HH', 'AY'))
    """
    names = {(initial, final): pinyin for pinyin, (initial, final, _) in syllable_table().items()}
    units: list[str] = []
    for phone in phones:
        pair = (units[-1], phone[:-1]) if units and phone[-1:] in TONES else None
        if pair in names:
            units[-1] = names[pair] + phone[-1]
        else:
            units.append(phone)
    return tuple(units)


def in_characters(word: str) -> tuple[str, ...]:
    """Return the letters, digits and hanzi of a word, capital letters as small ones.

    >>> in_characters("打开"), in_characters("It's")
    (('打', '开'), ('i', 't', "'", 's'))
    """
    return tuple(one for one in word.lower() if one.isalnum() or one == "'")


def spelled_in(units: str, word: str, phones: tuple[str, ...]) -> tuple[str, ...]:
    """Return the units of a word that is said with these phones.

    >>> spelled_in("syllables", "打开", ("d", "a3", "k", "ai1"))
    ('da3', 'kai1')
    """
    if units == "characters":
        return in_characters(word)
    return in_syllables(phones) if units == "syllables" else phones


def unit_lexicon(lexicon: Lexicon, units: str, silences: set[str]) -> Lexicon:
    """Return a lexicon with its words spelled in syllables or characters.

    Words that are said with silences and noises alone, or have no character, stay as they are.
    """
    entries = {}
    for word, choices in lexicon.entries.items():
        if all(silences.issuperset(choice.phones) for choice in choices):
            entries[word] = list(choices)
        else:
            entries[word] = [Pronunciation(choice.probability,
                                           spelled_in(units, word, choice.phones) or choice.phones)
                             for choice in choices]
    return make_lexicon(entries)


def unit_lang(lang: Lang, units: str, path: PathLike) -> Lang:
    """Return a lang directory in which `units` stand for phones; it is made in `path` if needed.

    Raises
    ------
    UserError
        if there are no such units.
    """
    if units not in UNITS:
        raise UserError(f"no units '{units}'; choose from {', '.join(UNITS)}")
    if units == "phones":
        return lang
    pause = base_phone(lang.phone_name(lang.optional_silence))
    silences = tuple(dict.fromkeys(base_phone(lang.phone_name(phone))
                                   for phone in lang.silence_phones))
    lexicon = unit_lexicon(lang.lexicon, units, {*silences})
    phone_set = PhoneSet(silences, (), pause, tuple((phone,) for phone in silences), ())
    # Of single words' silence nothing is kept: blanks are no pauses that somebody counted.
    return prepare_lang(lexicon, phone_set.covering(lexicon.phones), path,
                        LangOptions(sil_prob=lang.sil_prob),
                        oov_word=lang.word_name(lang.oov))
