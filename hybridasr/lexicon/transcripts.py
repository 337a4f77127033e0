"""Owns the check that transcripts, lang directories and the models made with them fit together."""

import logging
import math
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from hybridasr.corpus.datadir import DataDir, Utterance
from hybridasr.errors import UserError, name_some
from hybridasr.lexicon.langdir import Lang

logger = logging.getLogger("hybridasr")

MAX_OOV_SHARE = 0.1
"""Share of a set's words that a lang directory may lack; with more it is hardly the right one."""


def word_ids(utterance: Utterance, words: dict[str, int], oov: int) -> tuple[int, ...]:
    """Return the transcript as ids of words.txt, unknown words as the OOV word."""
    return tuple(words.get(word, oov) for word in utterance.words)


def unknown_words(utterances: Iterable[Utterance], known: Collection[str]) -> dict[str, int]:
    """Count the words of transcripts that a lexicon lacks, the most frequent first.

    >>> one = Utterance("u1", "s", ("One", "two", "One"), "u1", "u1.wav")
    >>> unknown_words([one], {"one", "two"})
    {'One': 2}
    """
    counts = Counter(word for one in utterances for word in one.words if word not in known)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def warn_of_unknown_words(data: DataDir, known: Collection[str], where: Path) -> None:
    """Warn of the words of a set that a lexicon lacks, each with its nearest spelling there.

    Parameters
    ----------
    known : collection of str
        The words that a model, or a lang directory, has.
    where : path
        Its directory, for the message.
    """
    unknown = unknown_words(data.utterances.values(), known)
    if unknown:
        logger.warning("%s: %d of %d words of the transcripts are not in the lexicon of %s: %s; "
                       "write them as it does, or add them to it", data.path / "text",
                       sum(unknown.values()), _num_words(data), where, _named(unknown, known))


def without_other_speech(data: DataDir, lang: Lang) -> DataDir:
    """Return the set without other speech, whose transcript is nothing but the unknown word."""
    unknown = lang.word_name(lang.oov)
    return replace(data, utterances={name: one for name, one in data.utterances.items()
                                     if set(one.words) != {unknown}})


def check_transcripts(data: DataDir, lang: Lang) -> None:
    """Warn of the words that the lang directory lacks: they become its OOV word.

    Raises
    ------
    UserError
        if it lacks them all: the lang directory is of another language or spelling.
    """
    unknown = unknown_words(data.utterances.values(), lang.words)
    if unknown and sum(unknown.values()) == _num_words(data):
        raise UserError(f"none of its words is in {lang.path}: {_named(unknown, lang.words)}; use "
                        "the lang directory of this language and spelling (hybridasr "
                        "prepare-lang)", data.path / "text")
    warn_of_unknown_words(data, lang.words, lang.path)


def limit_unknown_words(data: DataDir, lang: Lang, max_share: float = MAX_OOV_SHARE) -> None:
    """Refuse a set of whose words the lang directory lacks more than a share.

    Parameters
    ----------
    max_share : float
        From 0 (none may be unknown) to 1 (any may).

    Raises
    ------
    UserError
        with the share, the words, how often each is said and what the lexicon has in its place.
    """
    if not 0 <= max_share <= 1:
        raise UserError(f"max-oov-share is {max_share}; give a number from 0 to 1")
    unknown, total = unknown_words(data.utterances.values(), lang.words), _num_words(data)
    missing = sum(unknown.values())
    if missing > max_share * total:
        raise UserError(f"{missing} of its {total} words ({100 * missing / total:.1f} %) are not "
                        f"in {lang.path} and would become {lang.word_name(lang.oov)}: "
                        f"{_named(unknown, lang.words)}; add them to the lexicon, write them as it "
                        f"does, or pass --max-oov-share {_above(missing / total)}",
                        data.path / "text")


def _above(share: float) -> float:
    """Return the next hundredth above a share."""
    return math.ceil(100 * share) / 100


def _num_words(data: DataDir) -> int:
    return sum(len(one.words) for one in data.utterances.values())


def _named(unknown: Mapping[str, int], known: Collection[str]) -> str:
    """Return the words with their counts, and what the lexicon has in their place."""
    spellings = {_bare(word): word for word in known if not word.startswith(("<", "#"))}
    near = {word: spellings.get(_bare(word)) for word in unknown}
    return name_some([f"'{word}' ({count}" + (f", it has '{near[word]}')" if near[word] else ")")
                      for word, count in unknown.items()])


def _bare(word: str) -> str:
    """Return a word without case, width and punctuation."""
    folded = unicodedata.normalize("NFKC", word).casefold()
    return "".join(letter for letter in folded if unicodedata.category(letter)[0] in "LNM")


def check_phones(theirs: Lang, ours: Lang, directory: Path) -> None:
    """Refuse a lang directory if `directory` was made with other phones."""
    names = sorted((theirs.phones.keys() | ours.phones.keys()), key=str)
    for name in names:
        if not name.startswith("#") and theirs.phones.get(name) != ours.phones.get(name):
            raise UserError(f"its alignments are of another lexicon than {ours.path}: phone "
                            f"'{name}' is {theirs.phones.get(name, 'missing')} there and "
                            f"{ours.phones.get(name, 'missing')} here; align again with this "
                            "lang directory", directory)
