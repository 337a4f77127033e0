"""Owns the estimation of n-gram models: a text in, an `NgramModel` out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybridasr.corpus.text import normalize_text
from hybridasr.errors import UserError
from hybridasr.lexicon.lexicon import SPECIAL_WORDS, UNKNOWN_WORD
from hybridasr.lm.counts import NgramCounts, WordChoice, count_ngrams
from hybridasr.lm.ngram import BEGIN, END, RESERVED, NgramModel, check_order
from hybridasr.lm.prune_ngram import prune_ngram
from hybridasr.lm.smoothing import SMOOTHINGS, smooth_counts
from hybridasr.lm.token_store import BREAK, Scratch, WordIds, file_tokens, sentence_tokens
from hybridasr.options import option
from hybridasr.storage import PathLike, read_text

_TOKEN_BYTES = 16  # memory that counting takes for each byte of a text
_PACKED = 5  # a packed text is about so many times larger


@dataclass(frozen=True)
class LmOptions:
    """How a language model is estimated."""

    order: int = option(3, "longest n-gram, 1 to 6")
    smoothing: str = option("auto", "auto: kneser-ney (modified, interpolated), or witten-bell "
                            "where the text is too small for its discounts", SMOOTHINGS)
    min_count: int = option(1, "words that occur less often are no words of the model")
    unknown: bool = option(False, "count words outside of the vocabulary as <UNK>, which gets a "
                           "probability; else n-grams with them are left out")
    cutoffs: str = option("", "one whole number an order, e.g. 0,0,1: n-grams that occur no more "
                          "often are left out; the last is for all longer ones")
    prune: float = option(0.0, "n-grams that change the perplexity by less than this share are "
                               "left out at the end, as prune-lm does; 0: none")
    memory: int = option(2000, "megabytes that counting may take; a larger text goes through "
                         "temporary files")

    def __post_init__(self) -> None:
        check_order(self.order)
        if self.min_count < 1:
            raise UserError(f"--min-count {self.min_count}; give 1 or more")
        if not 0 <= self.prune < np.inf:
            raise UserError(f"--prune {self.prune:g}; give 0 or more, e.g. 1e-8")
        if self.memory < 1:
            raise UserError(f"--memory {self.memory}; give 1 or more")
        self.cutoff_list()

    def cutoff_list(self) -> list[int]:
        """Return one cutoff an order; empty if nothing is cut off.

        >>> LmOptions(order=4, cutoffs="0,0,1").cutoff_list()
        [0, 0, 1, 1]
        """
        if not self.cutoffs:
            return []
        try:
            values = [int(text) for text in self.cutoffs.split(",")]
        except ValueError:
            raise UserError(f"--cutoffs {self.cutoffs}; give whole numbers with commas between, "
                            "e.g. 0,0,1") from None
        if len(values) > self.order:
            raise UserError(f"--cutoffs {self.cutoffs} has {len(values)} numbers, the order is "
                            f"{self.order}; give one an order")
        if values[0] != 0 or sorted(values) != values:
            raise UserError(f"--cutoffs {self.cutoffs}; begin with 0 (for unigrams give "
                            "--min-count), and let no number be smaller than the one before")
        return values + values[-1:] * (self.order - len(values))


def estimate_ngram(sentences: Iterable[Sequence[str]], order: int = 3, smoothing: str = "auto",
                   options: LmOptions | None = None,
                   vocabulary: Sequence[str] | None = None) -> NgramModel:
    """Estimate an n-gram model of sentences in memory.

    Parameters
    ----------
    sentences : iterable of word sequences
        Without <s> and </s>, which are added.
    order : int
        1 to 6.
    smoothing : one of `SMOOTHINGS`
    options : LmOptions, optional
        In place of `order` and `smoothing`.
    vocabulary : sequence of str, optional
        The words of the model.

    Raises
    ------
    UserError
        if there is no sentence, the order is out of range, or a sentence holds <s> or </s>.
    """
    options = options or LmOptions(order=order, smoothing=smoothing)
    ids = WordIds()
    with Scratch(on_disk=False) as scratch:
        counts = count_ngrams(sentence_tokens(sentences, ids), ids, options.order,
                              WordChoice(vocabulary, options.min_count, options.unknown),
                              scratch, options.memory << 20)
        model = smooth_counts(counts, options.smoothing, options.cutoff_list())[0]
        return prune_ngram(model, options.prune) if options.prune else model


def estimate_from_file(path: PathLike, options: LmOptions, vocabulary: Sequence[str] | None = None,
                       skip_first: bool = False) -> tuple[NgramModel, str]:
    """Estimate an n-gram model of a text file of any size.

    Parameters
    ----------
    path : path
        One sentence a line, plain or gzipped; blank lines are skipped.
    vocabulary : sequence of str, optional
        The words of the model.
    skip_first : bool
        Whether lines begin with the id of an utterance.

    Returns
    -------
    model : NgramModel
    description : str
        What was read and done, for the closing line.

    Raises
    ------
    UserError
        as from `file_tokens`, or if the text holds no word.
    """
    ids = WordIds()
    memory = options.memory << 20
    size = Path(path).stat().st_size if Path(path).is_file() else 0
    size *= _PACKED if Path(path).suffix == ".gz" else 1
    with Scratch(on_disk=size * _TOKEN_BYTES > memory) as scratch:
        first: list[np.ndarray] = []
        blocks = _nonempty(file_tokens(path, ids, skip_first), first, path, skip_first)
        counts = count_ngrams(blocks, ids, options.order,
                              WordChoice(vocabulary, options.min_count, options.unknown),
                              scratch, memory)
        model, smoothing = smooth_counts(counts, options.smoothing, options.cutoff_list())
        if options.prune:
            model = prune_ngram(model, options.prune)
        return model, _describe(counts, model, smoothing, _first_words(first[0], ids))


def read_vocabulary(path: PathLike) -> list[str]:
    """Read the words of a model: the first word of each line, so that words.txt will do.

    Of a lang directory its words.txt is read. Marks such as <s>, <UNK>, <SIL> and <eps>, and
    disambiguation symbols such as #0 are left out.
    """
    path = Path(path) / "words.txt" if Path(path).is_dir() else path
    rows = [normalize_text(line).split() for line in read_text(path).splitlines()]
    marks = {BEGIN, END, UNKNOWN_WORD.lower(), "<eps>", *SPECIAL_WORDS}
    words = dict.fromkeys(row[0] for row in rows if row)
    words = [word for word in words if word not in marks and not RESERVED.fullmatch(word)]
    if not words:
        raise UserError("holds no word; write one word a line", path)
    return words


def _nonempty(blocks: Iterable[np.ndarray], first: list[np.ndarray], path: PathLike,
              skip_first: bool) -> Iterable[np.ndarray]:
    """Yield the blocks that hold words, and put the begin of the text into `first`."""
    for block in blocks:
        if len(block):
            first += [] if first else [block[:1000]]
            yield block
    if not first:
        raise UserError("holds no word" + (" behind the ids" if skip_first else "") + "; write a "
                        "sentence a line", path)


def _first_words(tokens: np.ndarray, ids: WordIds) -> list[str]:
    """Return some words that sentences begin with, so that the user sees an id read as a word."""
    words = list(ids)
    starts = np.flatnonzero(np.append(True, tokens[:-1] == BREAK))
    return list(dict.fromkeys(words[token] for token in tokens[starts].tolist()))


def _describe(counts: NgramCounts, model: NgramModel, smoothing: str, firsts: list[str]) -> str:
    sentences = int(counts.counts[0][counts.words.index(BEGIN)])
    words = int(counts.counts[0].sum()) - 2 * sentences
    different = len(counts.words) - 2 - (UNKNOWN_WORD in counts.words)
    shown = " ".join(firsts[:5]) + (" ..." if len(firsts) > 5 else "")
    ngrams = ", ".join(f"{count} {order}-grams" for order, count in enumerate(model.num_ngrams, 1))
    return (f"{smoothing} {model.order}-gram of {sentences} sentences, {words} words ({different} "
            f"different); the first words are {shown}; {ngrams}")
