"""Owns n-gram models: estimation with Witten-Bell smoothing, probabilities of sentences.

Takes sentences as word sequences; gives an `NgramModel` in the backoff form of ARPA files.
Witten and Bell, "The zero-frequency problem", IEEE Trans. Information Theory 37(4), 1991, in the
interpolated form: with T(h) different words after history h,

    P(w | h) = (c(h w) + T(h) P(w | h')) / (c(h) + T(h)),   h' = h without its first word,

and the unigrams interpolated with the uniform distribution over the vocabulary and </s>. For a
word unseen after h this is T(h) / (c(h) + T(h)) P(w | h'): the backoff weight.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hybridasr.errors import UserError

BEGIN, END = "<s>", "</s>"
MAX_ORDER = 3
# What ARPA files give <s>, which is never predicted.
NEVER = -99.0


@dataclass(frozen=True)
class NgramModel:
    """Backoff n-grams: ``ngrams[n - 1]`` maps n words to (log10 probability, log10 backoff)."""

    ngrams: list[dict[tuple[str, ...], tuple[float, float]]]

    @property
    def order(self) -> int:
        """Length of the longest n-grams."""
        return len(self.ngrams)

    @property
    def vocabulary(self) -> list[str]:
        """Every word that can be predicted, </s> among them."""
        return sorted(word for (word,) in self.ngrams[0] if word != BEGIN)

    def log10_prob(self, word: str, history: Sequence[str] = ()) -> float:
        """Return log10 P(word | history); -inf for a word outside the vocabulary.

        >>> model = estimate_ngram([("a", "b"), ("a",)], order=2)
        >>> round(10 ** model.log10_prob("b", ("a",)), 4)
        0.375
        """
        context = tuple(history)[len(history) - min(len(history), self.order - 1):]
        backoff = 0.0
        while True:
            entry = self.ngrams[len(context)].get((*context, word))
            if entry is not None:
                return backoff + entry[0]
            if not context:
                return -math.inf
            backoff += self.ngrams[len(context) - 1].get(context, (0.0, 0.0))[1]
            context = context[1:]

    def sentence_log10_prob(self, words: Sequence[str]) -> float:
        """Return log10 of the probability of a sentence, its end included."""
        history = [BEGIN, *words]
        return sum(self.log10_prob(word, history[:place])
                   for place, word in enumerate((*words, END), 1))

    def perplexity(self, sentences: Iterable[Sequence[str]]) -> float:
        """Return the perplexity a word, ends of sentences counted as words."""
        total, count = 0.0, 0
        for words in sentences:
            total += self.sentence_log10_prob(words)
            # The end of the sentence is predicted too, and counts as a word, as SRILM does it.
            count += len(words) + 1
        return 10 ** (-total / count)


def estimate_ngram(sentences: Iterable[Sequence[str]], order: int = 3) -> NgramModel:
    """Estimate an n-gram model with Witten-Bell smoothing.

    Parameters
    ----------
    sentences : iterable of word sequences
        Without <s> and </s>, which are added.
    order : int
        1 to 3.

    Raises
    ------
    UserError
        if there is no sentence, the order is out of range, or a sentence holds <s> or </s>.
    """
    if not 1 <= order <= MAX_ORDER:
        raise UserError(f"n-gram order {order}; give 1 to {MAX_ORDER}")
    counts: list[Counter] = [Counter() for _ in range(order)]
    for number, words in enumerate(sentences, 1):
        if BEGIN in words or END in words:
            raise UserError(f"sentence {number} holds {BEGIN} or {END}; leave them out, they are "
                            "added")
        padded = (BEGIN, *words, END)
        for length in range(1, order + 1):
            counts[length - 1].update(
                padded[i:i + length] for i in range(len(padded) - length + 1))
    if not counts[0]:
        raise UserError("no sentences to estimate a language model from; check the text")
    # <s> is given, never predicted: it must take no share of the unigrams.
    del counts[0][(BEGIN,)]
    probabilities: list[dict[tuple[str, ...], float]] = []
    backoffs: list[dict[tuple[str, ...], float]] = [{} for _ in range(order)]
    for length in range(1, order + 1):
        totals: Counter = Counter()
        followers: Counter = Counter()
        for ngram, count in counts[length - 1].items():
            totals[ngram[:-1]] += count
            followers[ngram[:-1]] += 1
        level = {}
        for ngram, count in counts[length - 1].items():
            history = ngram[:-1]
            # Order 1 is smoothed with the uniform distribution, higher orders with the order
            # below.
            lower = 1 / len(counts[0]) if length == 1 else probabilities[-1][ngram[1:]]
            kinds = followers[history]
            level[ngram] = (count + kinds * lower) / (totals[history] + kinds)
        probabilities.append(level)
        if length > 1:
            backoffs[length - 2] = {history: followers[history] / (total + followers[history])
                                    for history, total in totals.items()}
    tables = [{ngram: (math.log10(p), math.log10(backoffs[n].get(ngram, 1.0)))
               for ngram, p in level.items()} for n, level in enumerate(probabilities)]
    tables[0][(BEGIN,)] = (NEVER, math.log10(backoffs[0].get((BEGIN,), 1.0)))
    return NgramModel([dict(sorted(table.items())) for table in tables])
