"""Owns the words of transcripts that a lexicon lacks: which, how often, and what they may mean."""

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from hybridasr.corpus.datadir import DataDir, Utterance
from hybridasr.errors import MAX_NAMED
from hybridasr.progress import logger


def unknown_words(utterances: Iterable[Utterance], known: Collection[str]) -> Counter[str]:
    """Count the words of transcripts that are not known.

    >>> unknown_words([Utterance("u1", "s", ("one", "Two", "Two"), "u1", "u1.wav")], {"one", "two"})
    Counter({'Two': 2})
    """
    return Counter(word for utterance in utterances for word in utterance.words
                   if word not in known)


def warn_of_unknown_words(data: DataDir, known: Collection[str], where: Path) -> None:
    """Warn of the words of a set that a lexicon lacks, the most frequent first.

    Parameters
    ----------
    known : collection of str
        The words that a model, or a lang directory, has.
    where : path
        Its directory, for the message.
    """
    counts = unknown_words(data.utterances.values(), known)
    if not counts:
        return
    spellings = {bare_spelling(other): other for other in known}
    named = []
    for word, count in counts.most_common(MAX_NAMED):
        near = spellings.get(bare_spelling(word)) if bare_spelling(word) else None
        named.append(f"'{word}' ({count}" + (f", it has '{near}')" if near else ")"))
    more = len(counts) - len(named)
    logger.warning("%s: %d of %d words of the transcripts are not in the lexicon of %s: %s%s; "
                   "write them as it does, or add them to it", data.path / "text",
                   counts.total(), sum(len(u.words) for u in data.utterances.values()), where,
                   ", ".join(named), f" and {more} more" if more > 0 else "")


def bare_spelling(word: str) -> str:
    """Return what is left of a word without case, width and punctuation.

    >>> bare_spelling("ZERO.")
    'zero'
    """
    folded = unicodedata.normalize("NFKC", word).casefold()
    return "".join(letter for letter in folded if unicodedata.category(letter)[0] in "LNM")
