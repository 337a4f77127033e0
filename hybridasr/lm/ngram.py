"""Owns n-gram models: probabilities of words after histories, in the backoff form of ARPA files.

    P(w | h) = p(h w)              if the model lists the n-gram h w,
             = b(h) P(w | h')      else, h' = h without its first word; b(h) is 1 for unlisted h.

The n-grams of each length are sorted arrays. An n-gram is known by its row, and its key is

    key(h w) = row(h) * number of words + id(w),    with row() = 0 for the empty history,

so a binary search in the sorted keys finds it, and the key tells its history and its last word.
A unigram's row is the id of the word. Every listed n-gram's history is listed too.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hybridasr.errors import UserError
from hybridasr.lexicon.lexicon import UNKNOWN_WORD

BEGIN, END = "<s>", "</s>"
MAX_ORDER = 6
RESERVED = re.compile(r"<eps>|#[0-9]+")
"""Words that no model may have: in a graph <eps> is no word, and #0 a backoff arc."""
# What ARPA files give <s>, which is never predicted, and whatever else is impossible.
NEVER = -99.0


@dataclass(frozen=True, eq=False)
class NgramModel:
    """A backoff n-gram model.

    Attributes
    ----------
    words : tuple of str
        By id. Holds </s>, and <s> unless the order is 1; <UNK> stands for all words unlisted.
    keys : tuple of int64 arrays (num_ngrams,)
        Sorted, one array an order.
    log10_probs : tuple of float32 arrays (num_ngrams,)
        One array an order; -99 where a word cannot follow.
    log10_backoffs : tuple of float32 arrays (num_ngrams,)
        One array an order but the last.
    """

    words: tuple[str, ...]
    keys: tuple[np.ndarray, ...]
    log10_probs: tuple[np.ndarray, ...]
    log10_backoffs: tuple[np.ndarray, ...]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NgramModel):
            return NotImplemented
        mine = (*self.keys, *self.log10_probs, *self.log10_backoffs)
        theirs = (*other.keys, *other.log10_probs, *other.log10_backoffs)
        return self.words == other.words and len(mine) == len(theirs) and all(
            map(np.array_equal, mine, theirs))

    @property
    def order(self) -> int:
        """Length of the longest n-grams."""
        return len(self.keys)

    @property
    def num_ngrams(self) -> tuple[int, ...]:
        """Number of n-grams of each length."""
        return tuple(map(len, self.keys))

    @property
    def vocabulary(self) -> list[str]:
        """Every word that can be predicted, </s> among them, sorted."""
        return sorted(word for word in self.words if word != BEGIN)

    @cached_property
    def ids(self) -> dict[str, int]:
        """Id of each word."""
        return {word: number for number, word in enumerate(self.words)}

    @property
    def unknown(self) -> int:
        """Id of <UNK>, which stands for words that the model lacks; -1 if it has none."""
        return self.ids.get(UNKNOWN_WORD, -1)

    def word_ids(self, words: Iterable[str]) -> np.ndarray:
        """Return int32 ids of words; those unlisted get `unknown`."""
        unknown = self.unknown
        return np.array([self.ids.get(word, unknown) for word in words], np.int32)

    def child(self, order: int, histories: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Return the rows of the n-grams of one length that go on from histories with words.

        Parameters
        ----------
        histories : integer array
            Rows of n-grams one word shorter; all 0 for unigrams. -1 where there is none.
        words : integer array
            Ids; -1 for a word that the model lacks.

        Returns
        -------
        int64 array, -1 where the model lists no such n-gram.
        """
        histories, words = np.asarray(histories, np.int64), np.asarray(words, np.int64)
        known = (histories >= 0) & (words >= 0)
        if order == 1:
            return np.where(known, words, -1)
        return find_keys(self.keys[order - 1],
                         np.where(known, histories * len(self.words) + words, -1))

    def find(self, ngrams: np.ndarray) -> np.ndarray:
        """Return the rows of n-grams given by their ids (count, n); -1 for those unlisted."""
        rows = np.zeros(len(ngrams), np.int64)
        for place in range(ngrams.shape[1]):
            rows = self.child(place + 1, rows, ngrams[:, place])
        return rows

    def histories(self, order: int) -> np.ndarray:
        """Return for each n-gram of one length the row of its history."""
        return self.keys[order - 1] // len(self.words)

    def last_words(self, order: int) -> np.ndarray:
        """Return for each n-gram of one length the id of its last word."""
        return self.keys[order - 1] % len(self.words)

    def ngram_ids(self, order: int, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the ids (count, order) of all n-grams of one length, or of some rows."""
        rows = np.arange(len(self.keys[order - 1])) if rows is None else rows
        ids = np.empty((len(rows), order), np.int32)
        for length in range(order, 0, -1):
            rows, ids[:, length - 1] = np.divmod(self.keys[length - 1][rows], len(self.words))
        return ids

    def entries(self, order: int) -> Iterator[tuple[tuple[str, ...], float, float]]:
        """Yield the n-grams of one length: words, log10 probability, log10 backoff (0: none)."""
        probs = self.log10_probs[order - 1].tolist()
        backoffs = (self.log10_backoffs[order - 1].tolist() if order < self.order
                    else [0.0] * len(probs))
        for ids, prob, backoff in zip(self.ngram_ids(order).tolist(), probs, backoffs, strict=True):
            yield tuple(self.words[number] for number in ids), prob, backoff

    def ngram_log10_probs(self, ngrams: np.ndarray) -> np.ndarray:
        """Return log10 P(last word | words before) of n-grams given by their ids.

        Parameters
        ----------
        ngrams : integer array (count, n)
            n of 1 to `order`; -1 for a word that the model lacks.

        Returns
        -------
        float64 array (count,), -inf where the last word is not in the model.
        """
        total = np.zeros(len(ngrams))
        pending = np.arange(len(ngrams))
        for start in range(ngrams.shape[1]):
            order = ngrams.shape[1] - start
            tails = ngrams[pending, start:]
            histories = self.find(tails[:, :-1])
            rows = self.child(order, histories, tails[:, -1])
            listed = rows >= 0
            total[pending[listed]] += self.log10_probs[order - 1][rows[listed]]
            pending, histories = pending[~listed], histories[~listed]
            if order == 1:
                total[pending] = -np.inf
            else:
                known = histories >= 0
                total[pending[known]] += self.log10_backoffs[order - 2][histories[known]]
        return total

    def token_log10_probs(self, tokens: np.ndarray, begins: np.ndarray) -> np.ndarray:
        """Return the log10 probability of each word of a text after the words before it.

        Parameters
        ----------
        tokens : integer array (num_tokens,)
            Ids of sentences in a row, each with <s> and </s>; -1 for a word that the model lacks.
        begins : bool array (num_tokens,)
            True at each <s>, which is given: its score is 0.

        Returns
        -------
        float64 array (num_tokens,), -inf for a word that is not in the model.
        """
        rows = [np.asarray(tokens, np.int64)]
        for order in range(2, self.order + 1):
            # The n-gram that ends here goes on from the shorter one that ends a word before.
            before = np.concatenate([[-1], rows[-1][:-1]])
            rows.append(self.child(order, np.where(begins, -1, before), tokens))
        total = np.zeros(len(tokens))
        open_ = ~begins
        for order in range(self.order, 0, -1):
            listed = open_ & (rows[order - 1] >= 0)
            total[listed] += self.log10_probs[order - 1][rows[order - 1][listed]]
            open_ &= ~listed
            if order > 1:
                places = np.flatnonzero(open_)
                history = rows[order - 2][places - 1]
                places, history = places[history >= 0], history[history >= 0]
                total[places] += self.log10_backoffs[order - 2][history]
        total[open_] = -np.inf
        return total

    def log10_prob(self, word: str, history: Sequence[str] = ()) -> float:
        """Return log10 P(word | history); -inf for a word outside of a model without <UNK>.

        >>> from hybridasr.lm.estimate import estimate_ngram
        >>> model = estimate_ngram([("a", "b"), ("a",)], order=2, smoothing="witten-bell")
        >>> round(10 ** model.log10_prob("b", ("a",)), 4)
        0.375
        """
        last = (*history[max(0, len(history) - self.order + 1):], word)
        return float(self.ngram_log10_probs(self.word_ids(last)[None])[0])

    def sentence_log10_prob(self, words: Sequence[str]) -> float:
        """Return log10 of the probability of a sentence, its end included."""
        tokens = self.word_ids((BEGIN, *words, END))
        return float(self.token_log10_probs(tokens, np.arange(len(tokens)) == 0).sum())

    def perplexity(self, sentences: Iterable[Sequence[str]]) -> float:
        """Return the perplexity a word, ends of sentences counted as words."""
        sentences = list(sentences)
        total = sum(map(self.sentence_log10_prob, sentences))
        # The end of the sentence is predicted too, and counts as a word, as SRILM does it.
        return 10 ** (-total / sum(len(words) + 1 for words in sentences))


def find_keys(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the places of values in a sorted array without repetition; -1 for those missing.

    >>> find_keys(np.array([2, 5, 9]), np.array([5, 6, 10])).tolist()
    [1, -1, -1]
    """
    if not len(keys):
        return np.full(len(wanted), -1, np.int64)
    places = np.searchsorted(keys, wanted)
    places[places == len(keys)] = 0
    return np.where(keys[places] == wanted, places, -1)


def model_of_ngrams(words: Sequence[str], ngrams: Sequence[np.ndarray],
                    log10_probs: Sequence[np.ndarray],
                    log10_backoffs: Sequence[np.ndarray]) -> NgramModel:
    """Make a model of n-grams in any order.

    A history that is not listed is added with the probability that it has by backing off, so
    that the model stays the same.

    Parameters
    ----------
    words : sequence of str
        By id; each must be among the unigrams.
    ngrams : list of integer arrays (count, n)
        Ids, one array a length n = 1, 2, ...
    log10_probs, log10_backoffs : lists of float arrays (count,)

    Raises
    ------
    ValueError
        if an n-gram is there twice.
    """
    ngrams = [np.asarray(ids, np.int64) for ids in ngrams]
    probs, backoffs = list(map(np.asarray, log10_probs)), list(map(np.asarray, log10_backoffs))
    holes: list[int] = []
    try:
        keys, orders = _sorted_keys(ngrams, len(words))
    except KeyError:
        for length in range(len(ngrams), 2, -1):
            missing = _unlisted(ngrams[length - 1][:, :-1], ngrams[length - 2], len(words))
            holes.insert(0, len(missing))
            ngrams[length - 2] = np.concatenate([ngrams[length - 2], missing])
            probs[length - 2] = np.append(probs[length - 2], np.full(len(missing), np.nan))
            backoffs[length - 2] = np.append(backoffs[length - 2], np.zeros(len(missing)))
        keys, orders = _sorted_keys(ngrams, len(words))
    model = NgramModel(tuple(words), tuple(keys), *(
        tuple(np.asarray(values[order], np.float32)
              for values, order in zip(columns, orders[:count], strict=False))
        for columns, count in ((probs, len(ngrams)), (backoffs, len(ngrams) - 1))))
    for length, count in enumerate(holes, 2):
        if count:
            values = model.log10_probs[length - 1]
            rows = np.flatnonzero(np.isnan(values))
            values[rows] = (model.ngram_log10_probs(model.ngram_ids(length, rows)[:, 1:])
                            + model.log10_backoffs[length - 2][model.histories(length)[rows]])
    return model


def _sorted_keys(ngrams: Sequence[np.ndarray],
                 num_words: int) -> tuple[list[np.ndarray], list[np.ndarray | slice]]:
    """Return the sorted keys of n-grams, and what puts other columns of them into that order.

    Raises
    ------
    KeyError
        if a history is not listed.
    ValueError
        if an n-gram is there twice.
    """
    keys: list[np.ndarray] = []
    orders: list[np.ndarray | slice] = []
    for length, ids in enumerate(ngrams, 1):
        values = ids[:, 0]
        for place in range(1, length):
            values = values * num_words + ids[:, place]
            if place < length - 1:
                values = find_keys(keys[place], values)
                if len(values) and values.min() < 0:
                    raise KeyError(length)
        order = slice(None)
        if not (values[1:] > values[:-1]).all():
            order = np.argsort(values, kind="stable")
            values = values[order]
        if (values[1:] == values[:-1]).any():
            raise ValueError(f"a {length}-gram is there twice")
        keys.append(np.ascontiguousarray(values))
        orders.append(order)
    return keys, orders


def _unlisted(histories: np.ndarray, listed: np.ndarray, num_words: int) -> np.ndarray:
    """Return the different rows of `histories` that are not rows of `listed`."""
    both = np.concatenate([listed, histories])
    ranks = np.zeros(len(both), np.int64)
    for place in range(both.shape[1]):
        ranks = np.unique(ranks * num_words + both[:, place], return_inverse=True)[1]
    known = np.zeros(len(both), bool)
    known[ranks[:len(listed)]] = True
    missing = np.flatnonzero(~known[ranks])
    return both[missing[np.unique(ranks[missing], return_index=True)[1]]]


def check_order(order: int) -> None:
    """Refuse an order out of range, with a `UserError`."""
    if not 1 <= order <= MAX_ORDER:
        raise UserError(f"n-gram order {order}; give 1 to {MAX_ORDER}")
