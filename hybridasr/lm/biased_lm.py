"""Owns language models biased towards one transcript, by which recordings are held against it.

As Kaldi's cleanup (make_biased_lms.py): an n-gram model of the transcript alone, mixed with the
frequent words of the whole set. What is said as it is written costs little; anything else must be
worth it to the sound.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hybridasr.errors import UserError
from hybridasr.lm.estimate import estimate_ngram
from hybridasr.lm.interpolate import interpolate_ngrams
from hybridasr.lm.ngram import NgramModel
from hybridasr.options import option

MAX_REPEATS = 1000  # of a frequent word, in the sentences that its share is counted from


@dataclass(frozen=True)
class BiasOptions:
    """How a biased model is made."""

    ngram_order: int = option(4, "order of the model of each transcript")
    top_n_words: int = option(100, "frequent words of the set that may be heard in any utterance")
    top_words_weight: float = option(0.1, "weight of the frequent words", needs="top_n_words")

    def __post_init__(self):
        if not 1 <= self.ngram_order <= 6 or self.top_n_words < 0:
            raise UserError(f"ngram-order is {self.ngram_order}, top-n-words {self.top_n_words}; "
                            "give 1 to 6, and 0 or more")
        if not 0 < self.top_words_weight < 1:
            raise UserError(f"top-words-weight is {self.top_words_weight}; give a number between "
                            "0 and 1")


def frequent_words(counts: Mapping[str, int], options: BiasOptions) -> NgramModel | None:
    """Return the unigram model of the most frequent words; None if none are wanted."""
    most = sorted(counts, key=lambda word: (-counts[word], word))[:options.top_n_words]
    if not most:
        return None
    largest = counts[most[0]]
    return estimate_ngram([[word] * max(1, round(counts[word] / largest * MAX_REPEATS))
                           for word in most], 1, "witten-bell")


def biased_ngram(words: Sequence[str], frequent: NgramModel | None,
                 options: BiasOptions) -> NgramModel:
    """Return the model of one transcript; an empty one leaves the frequent words alone.

    Raises
    ------
    UserError
        if there are neither words nor frequent words.
    """
    if not words:
        if frequent is None:
            raise UserError("an utterance without words needs frequent words; give --top-n-words")
        return frequent
    own = estimate_ngram([words], options.ngram_order, "witten-bell")
    if frequent is None:
        return own
    return interpolate_ngrams([own, frequent],
                              [1.0 - options.top_words_weight, options.top_words_weight])
