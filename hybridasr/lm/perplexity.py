"""Owns the perplexity of a text under a model, with words that the model lacks counted apart.

Perplexity is 10 to the power of minus the mean log10 probability a word; ends of sentences are
words too, begins are not. A word that the model lacks is scored as <UNK>; in a model without <UNK>
it is impossible, and a word after it has a history that begins behind it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from hybridasr.lm.ngram import BEGIN, END
from hybridasr.lm.token_store import BREAK, WordIds, split_sentences


class TextModel(Protocol):
    """A language model of any kind that gives words of a text their probabilities."""

    @property
    def ids(self) -> Mapping[str, int]:
        """Id of each word, </s> among them."""
        ...

    @property
    def unknown(self) -> int:
        """Id of <UNK>, which stands for words that the model lacks; -1 if it has none."""
        ...

    def token_log10_probs(self, tokens: np.ndarray, begins: np.ndarray) -> np.ndarray:
        """See `NgramModel.token_log10_probs`."""
        ...


@dataclass(frozen=True)
class TextScore:
    """Sums over a text.

    Attributes
    ----------
    sentences, words, oovs : int
        Words include those that the model lacks (`oovs`), not the ends of sentences.
    log10_prob : float
        Of all words and ends; -inf if a word is impossible.
    known_log10_prob : float
        Of the words that the model has, and ends.
    """

    sentences: int = 0
    words: int = 0
    oovs: int = 0
    log10_prob: float = 0.0
    known_log10_prob: float = 0.0

    def __add__(self, other: "TextScore") -> "TextScore":
        return TextScore(self.sentences + other.sentences, self.words + other.words,
                         self.oovs + other.oovs, self.log10_prob + other.log10_prob,
                         self.known_log10_prob + other.known_log10_prob)

    @property
    def perplexity(self) -> float:
        """Perplexity with unknown words, infinite if one is impossible."""
        return _power(self.log10_prob, self.words + self.sentences)

    @property
    def known_perplexity(self) -> float:
        """Perplexity without unknown words."""
        return _power(self.known_log10_prob, self.words + self.sentences - self.oovs)

    def row(self) -> dict[str, Any]:
        """Return the score as plain values for JSON; null for what is infinite."""
        def finite(value: float, digits: int) -> float | None:
            return round(value, digits) if np.isfinite(value) else None

        return {"sentences": self.sentences, "words": self.words, "oovs": self.oovs,
                "log10_prob": finite(self.log10_prob, 6), "perplexity": finite(self.perplexity, 4),
                "log10_prob_without_oovs": finite(self.known_log10_prob, 6),
                "perplexity_without_oovs": finite(self.known_perplexity, 4)}


def score_tokens(model: TextModel, blocks: Iterable[np.ndarray],
                 ids: WordIds) -> Iterator[TextScore]:
    """Score a text sentence by sentence.

    Parameters
    ----------
    blocks : iterable of int32 arrays
        Tokens, as from `file_tokens`, each block of whole sentences.
    ids : WordIds
        Of the tokens; it may grow while blocks are read.
    """
    for block in blocks:
        if not len(block):
            continue
        text = TextTokens.of_block(block, ids, model)
        scores = model.token_log10_probs(text.tokens, text.begins)
        starts = np.flatnonzero(text.begins)
        known = np.where(text.oovs, 0.0, scores)
        sizes = np.diff(np.append(starts, len(scores))) - 2
        columns = (sizes, np.add.reduceat(text.oovs.astype(int), starts),
                   np.add.reduceat(scores, starts), np.add.reduceat(known, starts))
        for words, oovs, total, known_total in zip(*(c.tolist() for c in columns), strict=True):
            yield TextScore(1, words, oovs, total, known_total)


@dataclass(frozen=True)
class TextTokens:
    """Sentences as a model sees them.

    Attributes
    ----------
    tokens : int64 array (num_tokens,)
        Ids of the model, with <s> and </s>; -1 for a word that it lacks.
    begins, oovs : bool arrays (num_tokens,)
        Where <s> stands; where words stand that the model lacks.
    """

    tokens: np.ndarray
    begins: np.ndarray
    oovs: np.ndarray

    @classmethod
    def of_block(cls, block: np.ndarray, ids: WordIds, model: TextModel) -> "TextTokens":
        """Pad the sentences of a block of tokens, and find their words in a model."""
        words = list(ids)
        new_ids = np.array([model.ids.get(word, -1) for word in words])
        new_ids[BREAK] = model.ids[END]
        padded, begins = split_sentences(block)
        tokens = new_ids[padded]
        tokens[begins] = model.ids.get(BEGIN, -1)
        oovs = (tokens < 0) & ~begins
        # <UNK> in the text is an unknown word as well.
        oovs |= ~begins & (tokens >= 0) & (tokens == model.unknown)
        return cls(np.where(oovs, model.unknown, tokens), begins, oovs)


def _power(log10_prob: float, count: int) -> float:
    return float("inf") if np.isinf(log10_prob) else 10 ** (-log10_prob / max(1, count))
