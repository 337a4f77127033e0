"""Owns Mandarin pronunciations: hanzi or pinyin to initials and toned finals.

Hanzi are read with pypinyin (extra `mandarin`), word by word, so that its phrase dictionary
settles characters with several readings; traditional hanzi are looked up in simplified ones.
`lexicon/mandarin_overrides.txt` mends what pypinyin gets wrong, and `lexicon/mandarin_neutral.txt`
lists words with a neutral last syllable.
Pinyin may be written `kong1`, `kōng`, `kong` (every tone in use) or joined, `kong1tiao2`.
"""

import itertools
import re
import unicodedata
from collections.abc import Iterable
from functools import cache

from hybridasr.errors import UserError
from hybridasr.lexicon.simplified import needs_converter, to_simplified
from hybridasr.lexicon.table_files import builtin_table, tables_dir

Phones = tuple[str, ...]
Syllables = tuple[str, ...]

MAX_READINGS = 8
"""Most alternative readings of one word; further ones are dropped."""

_HANZI = re.compile(r"[\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
_TONE_MARKS = {"\u0304": "1", "\u0301": "2", "\u030c": "3", "\u0300": "4"}


def is_hanzi(character: str) -> bool:
    """Tell whether `character` is a Chinese character."""
    return _HANZI.match(character) is not None


@cache
def syllable_table() -> dict[str, tuple[str, str, str]]:
    """Return pinyin without tone -> (initial, final, tones in use such as "134")."""
    return {pinyin: (initial, final, tones)
            for _, (pinyin, initial, final, tones) in builtin_table("mandarin_syllables.txt")}


def syllable_phones(pinyin: str) -> Phones:
    """Return initial and toned final of one toned syllable.

    >>> syllable_phones("ma3")
    ('m', 'a3')

    Raises
    ------
    UserError
        if it is no syllable of the table or has no tone digit 1 to 5.
    """
    entry = syllable_table().get(pinyin[:-1])
    if entry is None or pinyin[-1] not in "12345":
        raise UserError(f"'{pinyin}' is no pinyin syllable with tone; write it as 'ma3' "
                        "(tones 1 to 5, 5 = neutral, v for ü)")
    return entry[0], entry[1] + pinyin[-1]


def normalize_pinyin(text: str) -> str:
    """Write tone marks as digits, ü and u: as v, in lower case.

    >>> normalize_pinyin("Lǜ")
    'lv4'
    """
    plain, tone = "", ""
    # The bare vowel ê is a letter of its own: keep its accent through the decomposition.
    for character in unicodedata.normalize("NFD", text.lower()):
        if character in _TONE_MARKS:
            tone = _TONE_MARKS[character]
        elif character == "\u0308":
            plain = plain[:-1] + "v"
        else:
            plain += character
    return unicodedata.normalize("NFC", plain.replace("u:", "v")) + tone


def split_pinyin(word: str) -> Syllables | None:
    """Split a word written in pinyin into syllables; None if it is not pinyin.

    One syllable may lack its tone; several joined ones need a digit each.

    >>> split_pinyin("da3kai1"), split_pinyin("kōng"), split_pinyin("open")
    (('da3', 'kai1'), ('kong1',), None)
    """
    text = normalize_pinyin(word)
    table = syllable_table()
    if text in table:
        return (text,)
    # A digit ends each syllable. Without digits a split is ambiguous: "xian" is xian or xi'an.
    parts = re.findall(r"[^\d'\-]+[1-5]", text)
    complete = re.sub(r"['\-]", "", text) == "".join(parts)
    if parts and complete and all(part[:-1] in table for part in parts):
        return tuple(parts)
    return None


def bad_tone(word: str) -> str | None:
    """Return the first syllable of a word in pinyin whose digit is no tone; None if all are.

    >>> bad_tone("tiao9"), bad_tone("tiao4")
    ('tiao9', None)
    """
    text = normalize_pinyin(word)
    parts = re.findall(r"[^\d'\-]+\d", text)
    # All parts must be syllables: "mp3" and "room2" are not pinyin with a wrong tone.
    if not parts or re.sub(r"['\-]", "", text) != "".join(parts) \
            or any(part[:-1] not in syllable_table() for part in parts):
        return None
    return next((part for part in parts if part[-1] not in "12345"), None)


def pinyin_pronunciations(word: str) -> list[Phones] | None:
    """Return the pronunciations of a word written in pinyin; None if it is not pinyin.

    With tones there is one. A syllable without tone has one for every tone in use, since the
    writer did not say which.
    """
    syllables = split_pinyin(word)
    if syllables is None:
        return None
    if syllables[0] in syllable_table():
        tones = syllable_table()[syllables[0]][2]
        return [syllable_phones(syllables[0] + tone) for tone in tones]
    return [to_phones(syllables)]


def to_phones(syllables: Syllables) -> Phones:
    """Join the phones of toned syllables."""
    return tuple(phone for syllable in syllables for phone in syllable_phones(syllable))


def hanzi_pronunciations(text: str, sandhi: bool = True) -> list[Phones] | None:
    """Return the pronunciations of a run of hanzi, the dictionary reading first.

    Parameters
    ----------
    text : str
        Hanzi only.
    sandhi : bool
        Add the reading after tone sandhi, see `apply_sandhi`.

    Returns
    -------
    list of tuples of phones, at most `MAX_READINGS`; None if a character has no reading.
    """
    readings = hanzi_readings(text)
    if readings is None:
        return None
    if sandhi:
        spoken = [variant for reading in readings for variant in apply_sandhi(text, reading)]
        # The reading of the dictionary stays first; both stay, because speakers vary.
        readings = list(dict.fromkeys([*readings, *spoken]))
    return list(dict.fromkeys(to_phones(reading) for reading in readings))[:MAX_READINGS]


def hanzi_readings(text: str) -> list[Syllables] | None:
    """Return the readings of a run of hanzi as toned syllables; None if a character has none.

    The text is cut into the longest known words from the left (overrides and pypinyin's phrases),
    and each is read as a whole.
    """
    choices: list[list[Syllables]] = []
    for word in cut_words(text):
        # Without OpenCC pypinyin would give a traditional character a wrong or rare reading.
        if len(word) == 1 and needs_converter(word):
            return None
        options = _overrides().get(word)
        if options is None:
            reading = _read_word(word)
            if reading is None:
                return None
            options = [reading]
            # Speakers differ: the last syllable of such words is said with and without its tone.
            if word in _neutral_words() and reading[-1][-1] != "5":
                options.append((*reading[:-1], reading[-1][:-1] + "5"))
        choices.append(options)
    # Lazily: ten characters with three readings each have 59049 combinations.
    combined = itertools.islice(itertools.product(*choices), MAX_READINGS)
    return [tuple(itertools.chain.from_iterable(parts)) for parts in combined]


def syllables_of(words: Iterable[str]) -> list[str]:
    """Return the toned syllables of a sentence, each run of hanzi read by its dictionary reading.

    A word that is not hanzi stays one unit, and so do hanzi without a reading.

    >>> syllables_of(["打", "开", "tv"])
    ['da3', 'kai1', 'tv']
    """
    units: list[str] = []
    # As one run: where the words are cut says nothing of how they are read.
    for hanzi, run in itertools.groupby(words, lambda word: all(map(is_hanzi, word))):
        if not hanzi:
            units += run
            continue
        text = "".join(run)
        readings = hanzi_readings(text)
        units += readings[0] if readings else text
    return units


def apply_sandhi(text: str, syllables: Syllables) -> list[Syllables]:
    """Return how a word is really said, where tone sandhi changes it.

    Third tones before a third tone become second (you3 hao3 -> you2 hao3; of three, both 2-2-3
    and 3-2-3 are heard); 不 is bu2 before a fourth tone; 一 is yi2 before a fourth tone and yi4
    before first, second and third.

    >>> apply_sandhi("你好", ("ni3", "hao3"))
    [('ni2', 'hao3')]

    Parameters
    ----------
    text : str
        The hanzi, one a syllable (else only the third-tone rule is applied).
    syllables : tuple of toned syllables
    """
    said = list(syllables)
    # If a digit or a merged syllable shifts the characters, 不 and 一 cannot be found by place.
    if len(text) == len(said):
        for i in range(len(said) - 1):
            following = said[i + 1][-1]
            if text[i] == "不" and said[i] == "bu4" and following == "4":
                said[i] = "bu2"
            elif text[i] == "一" and said[i] == "yi1" and following != "5":
                said[i] = "yi2" if following == "4" else "yi4"
    third = [s[-1] == "3" for s in said] + [False, False]
    every = [s[:-1] + "2" if third[i] and third[i + 1] else s for i, s in enumerate(said)]
    # Of a run of third tones only the last but one, as in 3-2-3.
    pairs = [s[:-1] + "2" if third[i] and third[i + 1] and not third[i + 2] else s
             for i, s in enumerate(said)]
    variants = dict.fromkeys([tuple(every), tuple(pairs)])
    return [variant for variant in variants if variant != syllables]


def _read_word(word: str) -> Syllables | None:
    """Read one word with pypinyin; None if a character is unknown to it."""
    pypinyin = _pypinyin()
    # An unknown character becomes "?", which fails the check of the tone below.
    syllables = pypinyin.lazy_pinyin(word, style=pypinyin.Style.TONE3, v_to_u=False,
                                     neutral_tone_with_five=True, errors=lambda text: ["?"])
    table = syllable_table()
    if any(s[-1] not in "12345" or s[:-1] not in table for s in syllables):
        return None
    return tuple(syllables)


def cut_words(text: str) -> list[str]:
    """Cut a run of hanzi into known words, longest first from the left, in simplified hanzi.

    A phrase that is known as it is written stays: 乾坤 is not 干坤.
    """
    phrases, longest = _phrases()
    simplified = to_simplified(text)
    words, start = [], 0
    while start < len(text):
        piece = simplified[start]
        # Down to two characters: a single one needs no phrase and is taken as it is.
        for length in range(min(longest, len(text) - start), 1, -1):
            end = start + length
            known = [t[start:end] for t in (text, simplified) if t[start:end] in phrases]
            if known:
                piece = known[0]
                break
        words.append(piece)
        start += len(piece)
    return words


@cache
def _phrases() -> tuple[frozenset[str], int]:
    """Return every phrase with a known reading, and the length of the longest."""
    known = _pypinyin().constants.PHRASES_DICT
    phrases = frozenset({*known, *_overrides(), *_neutral_words()})
    return phrases, max(map(len, phrases))


@cache
def _overrides() -> dict[str, list[Syllables]]:
    """Return the readings of `lexicon/mandarin_overrides.txt`; a line is one reading."""
    readings: dict[str, list[Syllables]] = {}
    for number, (word, *syllables) in builtin_table("mandarin_overrides.txt"):
        try:
            to_phones(tuple(syllables))
        except UserError as error:
            raise UserError(str(error), tables_dir() / "mandarin_overrides.txt", number) from None
        readings.setdefault(word, []).append(tuple(syllables))
    return readings


@cache
def _neutral_words() -> frozenset[str]:
    """Return the words whose last syllable is often neutral."""
    return frozenset(word for _, words in builtin_table("mandarin_neutral.txt") for word in words)


@cache
def _pypinyin():
    try:
        import pypinyin
    except ImportError:
        raise UserError("reading hanzi needs the package pypinyin; run "
                        "'pip install hybridasr[mandarin]', or write pinyin") from None
    return pypinyin
