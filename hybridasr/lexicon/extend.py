"""Owns new words for a trained model: command lists in, a `Lang` that can say them out.

Words that the model knows keep their pronunciations; the others are looked up as for a new
lexicon and fitted to the phones that the model has heard. Nothing is written, nothing trained.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from hybridasr.corpus.command_list import Command, fault_lines
from hybridasr.errors import UserError
from hybridasr.lexicon import mandarin
from hybridasr.lexicon.langdir import Lang, add_positions, base_phone, disambiguate
from hybridasr.lexicon.lexicon import (
    Lexicon,
    Pronunciation,
    find_pronunciations,
    fit_pronunciations,
    make_lexicon,
    read_own_lexicon,
    remedy,
)
from hybridasr.lexicon.phones import default_phone_set
from hybridasr.storage import PathLike


def with_commands(lang: Lang, commands: Sequence[Command], path: PathLike | None = None,
                  lexicon: Lexicon | PathLike | None = None, guess: bool = False) -> Lang:
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
        Pronunciations that win over those looked up, but not over the model's.
    guess : bool
        Guess the pronunciation of an unknown English word from its spelling.

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
    pronunciations, faults = _look_up(lang, asked, lexicon, guess)
    if faults:
        # In the order of the list.
        raise fault_lines([(command.line, f"command '{command.text}': {faults[word]}")
                           for word, command in asked.items() if word in faults], path)
    return _extended(lang, pronunciations)


def with_words(lang: Lang, words: Iterable[str], lexicon: Lexicon | PathLike | None = None,
               guess: bool = False) -> Lang:
    """Return `lang` with more words; as `with_commands` but for the errors, which name words."""
    pronunciations, faults = _look_up(lang, sorted(set(words), key=str.encode), lexicon, guess)
    if faults:
        raise fault_lines([(0, reason) for reason in faults.values()])
    return _extended(lang, pronunciations)


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
             guess: bool) -> tuple[dict[str, list[Pronunciation]], dict[str, str]]:
    """Return the pronunciations of new words, and the reason for each word that gets none."""
    # A word may be in words.txt without a pronunciation (#0, <s>): such a word is not known.
    known = {word for word in words if lang.words.get(word) in lang.pronunciations}
    new = [word for word in words if word not in known]
    own = {}
    if lexicon is not None and new:
        entries = (lexicon if isinstance(lexicon, Lexicon) else read_own_lexicon(lexicon)).entries
        own = {word: entries[word] for word in new if word in entries}
    looked_up = own | find_pronunciations([word for word in new if word not in own], guess,
                                          context=known)
    model_phones = _model_phones(lang) if new else set()
    # A tone that the model never heard may be replaced by another tone of the same final.
    variants = {phone: group for group in default_phone_set().sets for phone in group}
    pronunciations: dict[str, list[Pronunciation]] = {}
    faults: dict[str, str] = {}
    for word in new:
        if word not in looked_up:
            faults[word] = (f"no pronunciation for '{_unreadable(word)}'; "
                            f"{remedy(word, own_lexicon=False)}")
            continue
        pronunciations[word], lacking = fit_pronunciations(looked_up[word], model_phones, variants)
        if lacking:
            faults[word] = (f"'{word}' needs the phones {' '.join(lacking)}, which the model has "
                            "never heard; choose other words, or train with words that contain "
                            "them")
    return pronunciations, faults


def _model_phones(lang: Lang) -> set[str]:
    """Return the phones of the model's words, without the marks of their places."""
    prons = chain.from_iterable(lang.pronunciations.values())
    used = set(chain.from_iterable(phones for _, phones in prons))
    return {base_phone(lang.phone_name(phone)) for phone in used}


def _unreadable(word: str) -> str:
    """Return the characters of a word in hanzi that have no reading, or else the whole word."""
    if not any(map(mandarin.is_hanzi, word)):
        return word
    odd = [c for c in word if not c.isascii()
           and not (mandarin.is_hanzi(c) and mandarin.hanzi_readings(c))]
    return " ".join(odd) or word


def _extended(lang: Lang, new: Mapping[str, Iterable[Pronunciation]]) -> Lang:
    if not new:
        return lang
    words, pronunciations = dict(lang.words), dict(lang.pronunciations)
    # New ids come behind the old ones: graphs and lattices made before keep their meaning.
    first = 1 + max(words.values())
    for number, (word, choices) in enumerate(make_lexicon(new).entries.items(), first):
        words[word] = number
        pronunciations[number] = []
        for choice in choices:
            names = add_positions(choice.phones) if lang.position_dependent else choice.phones
            unknown = [name for name in names if name not in lang.phones]
            if unknown:
                # With positions, a phone may be known inside words and still have no form for
                # their end.
                raise UserError(f"phone '{unknown[0]}' of '{word}' is not in phones.txt; train "
                                "the model again", lang.path)
            pronunciations[number].append(
                (choice.probability, tuple(lang.phones[name] for name in names)))
    return replace(lang, words=words, pronunciations=pronunciations)
