"""Owns new words for a trained model: words in, a `Lang` that can say them out.

Words that the model knows keep their pronunciations, unless the user's lexicon has others; the
rest are looked up as for a new lexicon and fitted to the phones that the model has heard. Nothing
is written, nothing trained.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

from hybridasr.corpus.command_list import Command, fault_lines
from hybridasr.corpus.text import MAX_WORD
from hybridasr.errors import UserError, name_some
from hybridasr.lexicon import mandarin
from hybridasr.lexicon.langdir import IntPronunciation, Lang, disambiguate
from hybridasr.lexicon.lexicon import (
    Lexicon,
    Pronunciation,
    find_pronunciations,
    fit_pronunciations,
    make_lexicon,
    read_own_lexicon,
    remedy,
    warn_of_case,
)
from hybridasr.lexicon.phones import add_positions, base_phone, default_phone_set
from hybridasr.storage import PathLike


class UnsaidWord(NamedTuple):
    """Why a word has no pronunciation that the model can say.

    Attributes
    ----------
    reason : str
        In a few words.
    line : str
        What is wrong, and the mend.
    """

    reason: str
    line: str


def with_commands(lang: Lang, commands: Sequence[Command], path: PathLike | None = None,
                  lexicon: Lexicon | PathLike | None = None, guess: bool = False,
                  phones: Collection[str] | None = None) -> Lang:
    """Return `lang` with every word of a command list.

    Hanzi without a space are one word; pinyin syllables with spaces between are a word each, as
    for a lang directory, so that silence may stand between them.

    Parameters
    ----------
    commands : sequence of Command
        From `corpus.commands`.
    path : path, optional
        The command list, for the error lines.
    lexicon : Lexicon or path, optional
        Pronunciations that win over those looked up, and over the model's.
    guess : bool
        Guess the pronunciation of an unknown English word from its spelling.
    phones : collection of str, optional
        Phones that the model has heard; by default those of the words of `lang`.

    Returns
    -------
    Lang
        New words have ids behind all others; phones are those of `lang`.

    Raises
    ------
    UserError
        naming every command (up to 20, a line each) that has a word without pronunciation, or
        a word with a phone that the model was not trained on.
    """
    asked: dict[str, Command] = {}
    for command in commands:
        for word in command.words:
            # The first command with a word is the one that an error names.
            asked.setdefault(word, command)
    pronunciations, unsaid = _look_up(lang, asked, lexicon, guess, phones)
    if unsaid:
        # In the order of the list.
        raise fault_lines([(command.line, f"command '{command.text}': {unsaid[word].line}")
                           for word, command in asked.items() if word in unsaid], path)
    return _extended(lang, pronunciations)


def with_words(lang: Lang, words: Iterable[str], lexicon: Lexicon | PathLike | None = None,
               guess: bool = False, phones: Collection[str] | None = None) -> Lang:
    """Return `lang` with more words; as `with_commands` but for the errors, which name words."""
    more, unsaid = with_sayable_words(lang, words, lexicon, guess, phones)
    if unsaid:
        raise fault_lines([(0, word.line) for word in unsaid.values()])
    return more


def with_sayable_words(lang: Lang, words: Iterable[str],
                       lexicon: Lexicon | PathLike | None = None, guess: bool = False,
                       phones: Collection[str] | None = None
                       ) -> tuple[Lang, dict[str, UnsaidWord]]:
    """Return `lang` with those words that it can say, and why it cannot say the others."""
    pronunciations, unsaid = _look_up(lang, sorted(set(words), key=str.encode), lexicon, guess,
                                      phones)
    return _extended(lang, pronunciations), unsaid


def with_words_of(lang: Lang, other: Lang) -> Lang:
    """Return `lang` with the words of another lang directory in place of its own.

    Phones are compared by name: ids and marks of places may be others. Word ids, <UNK> and the
    probability of silence are those of `other`.

    Raises
    ------
    UserError
        naming the phones that the model has never heard.
    """
    lacking = sorted(other.lexicon.phones - heard_phones(lang), key=str.encode)
    if lacking:
        words = [word for word, prons in other.lexicon.entries.items()
                 if any(not {*pron.phones}.isdisjoint(lacking) for pron in prons)]
        raise UserError(f"its phones {name_some(lacking)} are not among those that the model has "
                        f"heard (words: {name_some(words)}); write the words with the model's "
                        f"phones, {lang.path / 'phones.txt'}", other.path)
    return replace(lang, words=dict(other.words), oov=other.oov, sil_prob=other.sil_prob,
                   pronunciations={other.words[word]: _to_ids(lang, word, choices)
                                   for word, choices in other.lexicon.entries.items()})


def heard_phones(lang: Lang) -> set[str]:
    """Return the phones of the words of a model's lang, without the marks of their places."""
    prons = chain.from_iterable(lang.pronunciations.values())
    used = set(chain.from_iterable(phones for _, phones in prons))
    return {base_phone(lang.phone_name(phone)) for phone in used}


def with_disambig_symbols(lang: Lang) -> Lang:
    """Return `lang` with disambiguation symbols enough for all its homophones.

    A lang directory has as many as its own words need; words that were added may need more. The
    new ones have ids behind all phones, and are for one graph: no model knows them.
    """
    marks = disambiguate(phones for choices in lang.pronunciations.values()
                         for _, phones in choices)
    # Two of the symbols are taken: #0 is for the grammar's backoff arcs, the last one for silence.
    lacking = max(marks, default=0) - (len(lang.disambig_phones) - 2)
    if lacking <= 0:
        return lang
    first_id = 1 + max(lang.phones.values())
    # Numbers may have gaps in a directory of Kaldi's, so the next name is found from the names.
    first = 1 + max(int(lang.phone_name(phone).lstrip("#")) for phone in lang.disambig_phones)
    new = {f"#{first + number}": first_id + number for number in range(lacking)}
    # The last one is that of silence, and stays it.
    *symbols, silence = lang.disambig_phones
    return replace(lang, phones={**lang.phones, **new},
                   disambig_phones=[*symbols, *new.values(), silence])


def _look_up(lang: Lang, words: Collection[str], lexicon: Lexicon | PathLike | None,
             guess: bool, phones: Collection[str] | None
             ) -> tuple[dict[str, list[Pronunciation]], dict[str, UnsaidWord]]:
    """Return the pronunciations of new words, and the reason for each word that gets none."""
    source = "the lexicon" if isinstance(lexicon, Lexicon) else lexicon
    entries = {} if lexicon is None else (
        lexicon if isinstance(lexicon, Lexicon) else read_own_lexicon(lexicon)).entries
    own = {word: entries[word] for word in words if word in entries}
    # A word may be in words.txt without a pronunciation (#0, <s>): such a word is not known.
    known = {word for word in words if lang.words.get(word) in lang.pronunciations} - own.keys()
    new = [word for word in words if word not in known]
    unsaid = {word: UnsaidWord("too long", f"'{word[:20]}...' has {len(word)} characters; give at "
                               f"most {MAX_WORD}") for word in new if len(word) > MAX_WORD}
    rest = [word for word in new if word not in own and word not in unsaid]
    warn_of_case(rest, entries, source)
    looked_up = own | find_pronunciations(rest, guess, context=known)
    if phones is None:
        phones = heard_phones(lang) if new else ()
    # A tone that the model never heard may be replaced by another tone of the same final.
    variants = {phone: group for group in default_phone_set().sets for phone in group}
    pronunciations: dict[str, list[Pronunciation]] = {}
    for word in new:
        if word in unsaid:
            continue
        if word not in looked_up:
            unsaid[word] = UnsaidWord("no pronunciation", "no pronunciation for "
                                      f"'{_unreadable(word)}'; {remedy(word, ('--lexicon',))}")
            continue
        pronunciations[word], lacking = fit_pronunciations(looked_up[word], phones, variants)
        if lacking:
            mend = (f"write it with the phones of {lang.path / 'phones.txt'}" if word in own
                    else "choose other words")
            unsaid[word] = UnsaidWord(
                f"phones {' '.join(lacking)} were never heard",
                f"'{word}' needs the phones {' '.join(lacking)}, which the model has never "
                f"heard; {mend}, or train with words that contain them")
    return {word: prons for word, prons in pronunciations.items() if word not in unsaid}, unsaid


def _unreadable(word: str) -> str:
    """Return the characters of a word in hanzi that have no reading, or else the whole word."""
    if not any(map(mandarin.is_hanzi, word)):
        return word
    odd = [c for c in word if not c.isascii()
           and not (mandarin.is_hanzi(c) and mandarin.hanzi_readings(c))]
    return " ".join(odd) or word


def _extended(lang: Lang, new: Mapping[str, Iterable[Pronunciation]]) -> Lang:
    """Return `lang` with pronunciations of new words, and others of words that it has."""
    if not new:
        return lang
    words, pronunciations = dict(lang.words), dict(lang.pronunciations)
    # New ids come behind the old ones: graphs and lattices made before keep their meaning.
    first = 1 + max(words.values())
    for word, choices in make_lexicon(new).entries.items():
        if word not in words:
            words[word] = first
            first += 1
        pronunciations[words[word]] = _to_ids(lang, word, choices)
    return replace(lang, words=words, pronunciations=pronunciations)


def _to_ids(lang: Lang, word: str, choices: Iterable[Pronunciation]) -> list[IntPronunciation]:
    """Return pronunciations as phone ids of `lang`, with places where it has them."""
    pronunciations = []
    for choice in choices:
        names = add_positions(choice.phones) if lang.position_dependent else choice.phones
        unknown = [name for name in names if name not in lang.phones]
        if unknown:
            # With positions, a phone may be known inside words and still have no form for
            # their end.
            raise UserError(f"phone '{unknown[0]}' of '{word}' is not in phones.txt; train "
                            "the model again", lang.path)
        pronunciations.append((choice.probability, tuple(lang.phones[name] for name in names)))
    return pronunciations
