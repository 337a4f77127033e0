"""Owns the counting of n-grams: a text of word ids in, sorted arrays of n-grams with counts out.

An n-gram is known by its row among the sorted n-grams of its length, as in `NgramModel`, so that
one whole number is enough for an n-gram of any length. A text larger than the memory allowed is
counted part by part: each part gives a sorted run, the runs are merged, and all of them lie on
disk.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hybridasr.errors import NotEnoughData, UserError
from hybridasr.lexicon.lexicon import UNKNOWN_WORD
from hybridasr.lm.ngram import BEGIN, END, RESERVED, find_keys
from hybridasr.lm.token_store import BREAK, Scratch, WordIds, split_sentences

_BYTES = 64  # memory that sorting takes for each token
_MERGE = 1 << 20  # n-grams of each run that are merged at once


@dataclass(frozen=True)
class NgramCounts:
    """How often each n-gram of a text occurs, sentences padded with one <s> and one </s>.

    Attributes
    ----------
    words : tuple of str
        By id, sorted.
    keys : tuple of int64 arrays (num_ngrams,)
        As in `NgramModel`.
    counts : tuple of int64 arrays (num_ngrams,)
        One array an order; a unigram's may be 0.
    """

    words: tuple[str, ...]
    keys: tuple[np.ndarray, ...]
    counts: tuple[np.ndarray, ...]

    @property
    def order(self) -> int:
        """Length of the longest n-grams."""
        return len(self.keys)

    def histories(self, order: int) -> np.ndarray:
        """Return for each n-gram of one length the row of its history."""
        return self.keys[order - 1] // len(self.words)

    def suffixes(self) -> list[np.ndarray]:
        """Return for each n-gram, order by order, the row of the n-gram without its first word.

        -1 where a cutoff has removed it; unigrams have the empty one, 0.
        """
        rows = [np.zeros(len(self.words), np.int64)]
        for order in range(2, self.order + 1):
            before = rows[-1][self.histories(order)]
            word = self.keys[order - 1] % len(self.words)
            rows.append(find_keys(self.keys[order - 2],
                                  np.where(before >= 0, before * len(self.words) + word, -1)))
        return rows


@dataclass(frozen=True)
class WordChoice:
    """Which words of a text become words of the model.

    Attributes
    ----------
    listed : sequence of str, optional
        Only these, also those that the text lacks.
    min_count : int
        Only words that occur so often.
    unknown : bool
        Whether the others are counted as <UNK>; if not, n-grams with them are left out.
    """

    listed: Sequence[str] | None = None
    min_count: int = 1
    unknown: bool = False


def count_ngrams(blocks: Iterable[np.ndarray], ids: WordIds, order: int, choice: WordChoice,
                 scratch: Scratch, memory: int) -> NgramCounts:
    """Count the n-grams of a text.

    Parameters
    ----------
    blocks : iterable of int32 arrays
        Tokens, each block of whole sentences.
    ids : WordIds
        Of the tokens; complete when the blocks have been read.
    order : int
        Longest n-gram.
    choice : WordChoice
    scratch : Scratch
        Where large arrays go.
    memory : int
        Bytes that sorting may take.

    Raises
    ------
    NotEnoughData
        if there is no sentence, or no word is left.
    """
    parts = [scratch.keep(block) for block in blocks if len(block)]
    if not parts:
        raise NotEnoughData("no sentences to estimate a language model from; check the text")
    totals = np.zeros(len(ids), np.int64)
    for part in parts:
        totals += np.bincount(part, minlength=len(ids))
    words, new_ids = _choose_words(ids, totals, choice)
    size = max(1, memory // _BYTES)
    tokens = scratch.empty(sum(map(len, parts)) + int(totals[BREAK]), np.int32)
    begin = words.index(BEGIN)
    place = 0
    for part in parts:
        padded, begins = split_sentences(part)
        padded = new_ids[padded]  # an end is </s>
        padded[begins] = begin
        tokens[place:place + len(padded)] = padded
        place += len(padded)
    del parts
    chunks = [slice(start, min(start + size, len(tokens)))
              for start in range(0, len(tokens), size)]
    counts = [sum(np.bincount(chosen[chosen >= 0], minlength=len(words))
                  for chosen in (tokens[chunk] for chunk in chunks))]
    keys = [np.arange(len(words))]
    rows = scratch.empty(len(tokens), np.int64)
    for chunk in chunks:
        rows[chunk] = tokens[chunk]
    for _ in range(2, order + 1):
        longer, number = _count_longer(tokens, rows, begin, len(words), chunks, scratch)
        keys.append(longer)
        counts.append(number)
    return NgramCounts(tuple(words), tuple(keys), tuple(counts))


def cut_counts(counts: NgramCounts, cutoffs: Sequence[int]) -> NgramCounts:
    """Drop the n-grams of each length that occur no more often than its cutoff.

    Parameters
    ----------
    cutoffs : sequence of int
        One an order; 0 keeps all. They may not fall, so that histories are kept; 0 for unigrams.
    """
    keys, kept_counts = [counts.keys[0]], [counts.counts[0]]
    rows = np.arange(len(counts.words))  # new row of each shorter n-gram
    for order in range(2, counts.order + 1):
        keep = np.flatnonzero(counts.counts[order - 1] > cutoffs[order - 1])
        old = counts.keys[order - 1][keep]
        keys.append(rows[old // len(counts.words)] * len(counts.words) + old % len(counts.words))
        kept_counts.append(counts.counts[order - 1][keep])
        rows = np.full(len(counts.keys[order - 1]), -1)
        rows[keep] = np.arange(len(keep))
    return NgramCounts(counts.words, tuple(keys), tuple(kept_counts))


def _choose_words(ids: WordIds, totals: np.ndarray,
                  choice: WordChoice) -> tuple[list[str], np.ndarray]:
    """Return the sorted words of the model, and the new id of each old one: -1 for left out."""
    text_words = list(ids)
    if choice.listed is None:
        chosen = {word for word, total in zip(text_words, totals.tolist(), strict=True)
                  if total >= choice.min_count}
        chosen.discard(text_words[BREAK])
    else:
        chosen = set(choice.listed)
        if chosen.isdisjoint(text_words):
            raise NotEnoughData("no word of the text is in the --vocabulary; write both alike, or "
                                "cut the text into its words ('hybridasr segment-text')")
    if not chosen and (choice.listed is not None or choice.min_count > 1):
        raise NotEnoughData("no word of the text is left; give a lower --min-count, or another "
                            "--vocabulary")
    chosen |= {BEGIN, END} | ({UNKNOWN_WORD} if choice.unknown else set())
    words = sorted(chosen)
    reserved = [word for word in words if RESERVED.fullmatch(word)]
    if reserved:
        raise UserError(f"the text has the word '{reserved[0]}', a reserved symbol of graphs; "
                        "rename it, or leave it out (--vocabulary)")
    numbers = {word: number for number, word in enumerate(words)}
    # <UNK> in the text is the same mark as for words that are left out.
    missing = numbers[UNKNOWN_WORD] if choice.unknown else -1
    new_ids = np.fromiter((numbers.get(word, missing) for word in text_words), np.int32,
                          len(text_words))
    new_ids[BREAK] = numbers[END]
    return words, new_ids


def _count_longer(tokens: np.ndarray, rows: np.ndarray, begin: int, num_words: int,
                  chunks: list[slice], scratch: Scratch) -> tuple[np.ndarray, np.ndarray]:
    """Count the n-grams one word longer than those that `rows` tells for each token.

    `rows` is overwritten with the rows of the longer ones; -1 where there is none.
    """
    runs = []
    # Of the last token of the chunk before, as it was.
    before = -1
    for chunk in chunks:
        words = tokens[chunk]
        old = np.asarray(rows[chunk])
        histories = np.concatenate([[before], old[:-1]])
        before = old[-1]
        known = (histories >= 0) & (words >= 0) & (words != begin)
        unique, places, number = np.unique(histories[known] * num_words + words[known],
                                           return_inverse=True, return_counts=True)
        local = np.full(len(words), -1)
        local[known] = places
        rows[chunk] = local
        runs.append((scratch.keep(unique), scratch.keep(number)))
    if len(runs) == 1:
        return runs[0]
    keys, counts = _merge(runs, scratch)
    for chunk, (unique, _) in zip(chunks, runs, strict=True):
        local = np.asarray(rows[chunk])
        places = np.append(np.searchsorted(keys, unique), -1)  # a local row of -1 stays -1
        rows[chunk] = places[local]
    return keys, counts


def _merge(runs: list[tuple[np.ndarray, np.ndarray]],
           scratch: Scratch) -> tuple[np.ndarray, np.ndarray]:
    """Merge sorted runs of keys with counts; equal keys become one."""
    merged = [(scratch.keep(keys), scratch.keep(counts)) for keys, counts in _merge_blocks(runs)]
    size = sum(len(keys) for keys, _ in merged)
    all_keys, all_counts = scratch.empty(size, np.int64), scratch.empty(size, np.int64)
    place = 0
    for keys, counts in merged:
        all_keys[place:place + len(keys)] = keys
        all_counts[place:place + len(keys)] = counts
        place += len(keys)
    return all_keys, all_counts


def _merge_blocks(runs: list[tuple[np.ndarray, np.ndarray]]
                  ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    places = [0] * len(runs)
    share = max(1, _MERGE // len(runs))
    while True:
        open_ = [number for number, (keys, _) in enumerate(runs) if places[number] < len(keys)]
        if not open_:
            return
        # Up to this key all runs have been seen when each has given its next block.
        limit = min(runs[number][0][min(places[number] + share, len(runs[number][0])) - 1]
                    for number in open_)
        parts = []
        for number in open_:
            keys, counts = runs[number]
            start, stop = places[number], min(places[number] + share, len(keys))
            stop = start + int(np.searchsorted(keys[start:stop], limit, side="right"))
            parts.append((keys[start:stop], counts[start:stop]))
            places[number] = stop
        keys = np.concatenate([part for part, _ in parts])
        order = np.argsort(keys, kind="stable")
        keys, counts = keys[order], np.concatenate([part for _, part in parts])[order]
        first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
        yield keys[first], np.add.reduceat(counts, first)
