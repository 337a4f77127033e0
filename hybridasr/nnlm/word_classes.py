"""Owns the words of a neural language model, and the classes that its network tells apart.

Words are numbered </s>, <UNK>, then by falling count. Each word of the first `num_classes` is a
class of its own; class 1 stands for all others, each of which has a share of it by its count plus
one. So a rare word is as likely as the text says, and no word is impossible.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from hybridasr.errors import DamagedFile, NotEnoughData
from hybridasr.lexicon.lexicon import UNKNOWN_WORD
from hybridasr.lm.ngram import BEGIN, END
from hybridasr.storage import read_text, write_text

END_ID, UNKNOWN_ID = 0, 1


@dataclass(frozen=True)
class WordClasses:
    """Words and classes.

    Attributes
    ----------
    words : tuple of str
        By id.
    counts : int64 (num_words,)
        In the text of the training; of <UNK>, the words there that are not listed.
    num_classes : int
    """

    words: tuple[str, ...]
    counts: np.ndarray
    num_classes: int

    @cached_property
    def ids(self) -> dict[str, int]:
        """Id of each word."""
        return {word: number for number, word in enumerate(self.words)}

    def classes(self, words: np.ndarray) -> np.ndarray:
        """Return the classes of word ids; -1 is no listed word."""
        return np.where((words >= 0) & (words < self.num_classes), words, UNKNOWN_ID)

    @cached_property
    def log_shares(self) -> np.ndarray:
        """Natural log of the share that each word has of its class: float64 (num_words,)."""
        parts = self.counts + 1.0
        several = self.classes(np.arange(len(parts))) == UNKNOWN_ID
        return np.where(several, np.log(parts / parts[several].sum()), 0.0)

    def class_counts(self) -> np.ndarray:
        """Return how often each class is in the text: int64 (num_classes,)."""
        return np.bincount(self.classes(np.arange(len(self.words))), self.counts,
                           self.num_classes).astype(np.int64)

    def write(self, path: Path) -> None:
        """Write a word and its count a line."""
        write_text(path, "".join(f"{word} {count}\n" for word, count
                                 in zip(self.words, self.counts.tolist(), strict=True)))


def choose_words(counts: Counter[str], num_sentences: int, min_count: int,
                 vocabulary: Iterable[str] | None = None) -> WordClasses:
    """Return the words of a model.

    Parameters
    ----------
    counts : Counter
        The words of the text.
    num_sentences : int
    min_count : int
        Words that occur as often are classes of their own.
    vocabulary : iterable of str, optional
        The words of the model; by default those of the text.

    Raises
    ------
    NotEnoughData
        if no word is a class of its own.
    """
    marks = {BEGIN, END, UNKNOWN_WORD}
    wanted = set(counts if vocabulary is None else vocabulary) - marks
    words = sorted(wanted, key=lambda word: (-counts[word], word))
    known = [counts[word] for word in words]
    frequent = sum(count >= min_count for count in known)
    if not frequent:
        raise NotEnoughData(f"no word of the model occurs {min_count} times in the text; give more "
                            "text, or a smaller --min-count")
    others = sum(counts.values()) - sum(known)
    return WordClasses((END, UNKNOWN_WORD, *words), np.array([num_sentences, others, *known]),
                       2 + frequent)


def read_word_classes(path: Path, num_classes: int) -> WordClasses:
    """Read what `WordClasses.write` wrote.

    Raises
    ------
    DamagedFile
        naming the line that is no word with its count.
    """
    words, counts = [], []
    for line, row in enumerate(read_text(path).splitlines(), 1):
        word, _, count = row.partition(" ")
        if not word or not count.isascii() or not count.isdigit() or len(count) > 18:
            raise DamagedFile(f"'{row[:40]}' is not a word and its count; train the model again",
                              path, line)
        words.append(word)
        counts.append(int(count))
    if words[:2] != [END, UNKNOWN_WORD] or len(set(words)) < len(words) or BEGIN in words:
        raise DamagedFile(f"does not begin with {END} and {UNKNOWN_WORD}, or has a word twice; "
                          "train the model again", path)
    if not 2 < num_classes <= len(words):
        raise DamagedFile(f"has {len(words)} words, the network {num_classes} classes; train the "
                          "model again", path)
    return WordClasses(tuple(words), np.array(counts, np.int64), num_classes)
