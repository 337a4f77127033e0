"""Owns word error rates: alignment of words, error counts, confidence interval.

Takes words per utterance, reference and hypothesis. Words are aligned by Levenshtein distance
(rapidfuzz); the interval is a percentile bootstrap after Bisani and Ney (2004), "Bootstrap
estimates for confidence intervals in ASR performance evaluation". Kaldi does this in
``compute-wer --mode=all`` and ``compute-wer-bootci``. Total errors equal Kaldi's; where several
alignments are equally cheap, the split into insertions, deletions and substitutions may differ.
The files are written by `score.score_files`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from hybridasr.errors import UserError
from hybridasr.progress import logger

# Stands in score files where one side of an aligned pair has no word.
GAP = "***"
_HANZI = re.compile("[\u3400-\u9fff]")
# Words that are marks, such as <UNK> and [noise], are one character, as in Kaldi's scoring.
_MARK = re.compile(r"<.*>|\[.*\]|!SIL")
_MAX_DRAWN = 4_000_000  # indices held at once while resampling: 32 MB


class AlignedPair(NamedTuple):
    """One column of an alignment; `operation` is C, S, I or D as in Kaldi's ``per_utt``."""

    reference: str
    hypothesis: str
    operation: str


class Confusion(NamedTuple):
    """A word pair and how often it was aligned; `GAP` is the missing side."""

    reference: str
    hypothesis: str
    operation: str
    count: int


@dataclass(frozen=True)
class WordAlignment:
    """Words of one utterance, reference against hypothesis, in a cheapest alignment."""

    pairs: tuple[AlignedPair, ...]

    def count(self, operation: str) -> int:
        """Return how many pairs have `operation` (C, S, I or D)."""
        return sum(pair.operation == operation for pair in self.pairs)

    @property
    def words(self) -> int:
        """Number of reference words."""
        return len(self.pairs) - self.count("I")

    @property
    def errors(self) -> int:
        """Insertions, deletions and substitutions together."""
        return len(self.pairs) - self.count("C")


@dataclass(frozen=True)
class Scores:
    """Errors of a test set.

    Rates are in percent and None where there is nothing to divide by; `interval` is the 95 %
    confidence interval of the word error rate, or None where it cannot be estimated.
    """

    alignments: dict[str, WordAlignment]
    missing: tuple[str, ...]
    characters: int
    character_errors: int
    interval: tuple[float, float] | None
    speakers: dict[str, str] = field(default_factory=dict)

    def count(self, operation: str) -> int:
        """Return how many pairs of the whole set have `operation` (C, S, I or D)."""
        return sum(alignment.count(operation) for alignment in self.alignments.values())

    @property
    def words(self) -> int:
        """Number of reference words."""
        return sum(alignment.words for alignment in self.alignments.values())

    @property
    def errors(self) -> int:
        """Number of wrong words: insertions, deletions and substitutions together."""
        return sum(alignment.errors for alignment in self.alignments.values())

    @property
    def sentences(self) -> int:
        """Number of utterances, those without a hypothesis included."""
        return len(self.alignments)

    @property
    def sentence_errors(self) -> int:
        """Number of utterances with at least one wrong word."""
        return sum(alignment.errors > 0 for alignment in self.alignments.values())

    @property
    def wer(self) -> float | None:
        """Word error rate in percent."""
        return _percent(self.errors, self.words)

    @property
    def cer(self) -> float | None:
        """Character error rate in percent (see `score_texts`)."""
        return _percent(self.character_errors, self.characters)

    @property
    def ser(self) -> float | None:
        """Sentence error rate in percent."""
        return _percent(self.sentence_errors, self.sentences)

    def figures(self) -> dict[str, float | int | None]:
        """Return the columns of a row of ``results.json`` that scoring knows, rounded to 0.01."""
        low, high = self.interval or (None, None)
        rates = {"wer": self.wer, "wer_low": low, "wer_high": high, "cer": self.cer,
                 "ser": self.ser}
        figures = {name: None if rate is None else round(rate, 2) for name, rate in rates.items()}
        return {**figures, "words": self.words, "utterances": self.sentences}


def align_words(reference: Sequence[str], hypothesis: Sequence[str],
                equivalent: Callable[[str], str] | Mapping[str, str] | None = None
                ) -> WordAlignment:
    """Align two word sequences at least cost, every error costing 1.

    Parameters
    ----------
    reference : sequence of str
        The words said.
    hypothesis : sequence of str
        The words recognised.
    equivalent : function or mapping word -> class, optional
        Words of one class (homophones, spellings) count as right for each other; a word that a
        mapping lacks is its own class.

    Raises
    ------
    UserError
        if rapidfuzz is not installed.
    """
    # Classes in place of words: equal classes are equal words for the distance.
    classify = _classifier(equivalent)
    opcodes = _levenshtein().opcodes([classify(word) for word in reference],
                                     [classify(word) for word in hypothesis])
    pairs = []
    for tag, ref_start, ref_end, hyp_start, hyp_end in opcodes:
        ref_words, hyp_words = reference[ref_start:ref_end], hypothesis[hyp_start:hyp_end]
        if tag == "insert":
            pairs += [AlignedPair(GAP, word, "I") for word in hyp_words]
        elif tag == "delete":
            pairs += [AlignedPair(word, GAP, "D") for word in ref_words]
        else:
            operation = "C" if tag == "equal" else "S"
            pairs += [AlignedPair(ref, hyp, operation)
                      for ref, hyp in zip(ref_words, hyp_words, strict=True)]
    return WordAlignment(tuple(pairs))


def score_texts(reference: Mapping[str, Sequence[str]], hypothesis: Mapping[str, Sequence[str]],
                utt2spk: Mapping[str, str] | None = None,
                equivalent: Callable[[str], str] | Mapping[str, str] | None = None,
                resample: str = "utterance", seed: int = 0) -> Scores:
    """Score hypotheses against references.

    Parameters
    ----------
    reference : mapping utterance -> words
        A reference without a hypothesis counts as deleted words.
    hypothesis : mapping utterance -> words
        A hypothesis without a reference is left out, with a warning.
    utt2spk : mapping utterance -> speaker, optional
        Gives figures per speaker.
    equivalent : function or mapping word -> class, optional
        See `align_words`.
    resample : "utterance" or "speaker"
        What the confidence interval takes as independent. By speaker (needs `utt2spk`) is the
        honest choice where few speakers say much each.
    seed : int
        Seed of the resampling.

    Returns
    -------
    Scores
        The character error rate compares the characters of an utterance (`characters_of`), so it
        counts hanzi in Chinese and letters in languages written with letters; words that count
        as right for each other have no character errors.

    Raises
    ------
    UserError
        if there is nothing to score, the two sides share no utterance, a speaker is missing, or
        rapidfuzz is not installed.
    """
    return References(reference, utt2spk, equivalent, resample, seed).score(hypothesis)


class References:
    """What was said in a set, to be scored against any number of hypotheses.

    Parameters are as for `score_texts`. An utterance in which the same words were recognised once
    more, as under other scales, is not aligned again.
    """

    def __init__(self, texts: Mapping[str, Sequence[str]], utt2spk: Mapping[str, str] | None = None,
                 equivalent: Callable[[str], str] | Mapping[str, str] | None = None,
                 resample: str = "utterance", seed: int = 0):
        _check_references(texts, utt2spk, resample)
        # Byte order, as in all of Kaldi's score files.
        self.utterances = sorted(texts, key=str.encode)
        self._texts, self._equivalent = texts, equivalent
        self._speakers = {} if utt2spk is None else {name: utt2spk[name]
                                                     for name in self.utterances}
        self._resample, self._seed = resample, seed
        self._aligned: dict[tuple, tuple[WordAlignment, int]] = {}

    def score(self, hypothesis: Mapping[str, Sequence[str]], interval: bool = True) -> Scores:
        """Score one set of hypotheses; the confidence interval only if `interval`.

        Raises
        ------
        UserError
            if no hypothesis has a reference, or rapidfuzz is not installed.
        """
        _check_hypotheses(self._texts, hypothesis)
        pairs = {name: self._align(name, hypothesis.get(name, ())) for name in self.utterances}
        alignments = {name: alignment for name, (alignment, _) in pairs.items()}
        return Scores(
            alignments=alignments,
            missing=tuple(name for name in self.utterances if name not in hypothesis),
            characters=sum(len(characters_of(self._texts[name])) for name in self.utterances),
            character_errors=sum(errors for _, errors in pairs.values()),
            interval=self._interval(alignments) if interval else None,
            speakers=self._speakers,
        )

    def score_characters(self, hypothesis: Mapping[str, Sequence[str]]) -> Scores | None:
        """Score with characters for words, without interval; None where no reference has hanzi."""
        if self._spelled is None:
            return None
        return self._spelled.score({name: characters_of(words)
                                    for name, words in hypothesis.items()}, interval=False)

    @cached_property
    def _spelled(self) -> "References | None":
        texts = {name: characters_of(words) for name, words in self._texts.items()}
        if not any(_HANZI.fullmatch(unit) for units in texts.values() for unit in units):
            return None
        return References(texts, self._speakers or None)

    def _align(self, name: str, words: Sequence[str]) -> tuple[WordAlignment, int]:
        key = name, tuple(words)
        if key not in self._aligned:
            alignment = align_words(self._texts[name], words, self._equivalent)
            self._aligned[key] = alignment, _character_errors(alignment)
        return self._aligned[key]

    def _interval(self, alignments: Mapping[str, WordAlignment]) -> tuple[float, float] | None:
        errors = np.array([alignment.errors for alignment in alignments.values()])
        words = np.array([alignment.words for alignment in alignments.values()])
        # Words of one speaker are not independent: speakers are drawn as a whole.
        if self._resample == "speaker":
            names, owner = np.unique([self._speakers[name] for name in alignments],
                                     return_inverse=True)
            errors = np.bincount(owner, errors, len(names))
            words = np.bincount(owner, words, len(names))
        return bootstrap_interval(errors, words, seed=self._seed)


def characters_of(words: Iterable[str]) -> list[str]:
    """Return the characters of words, blanks left out; a mark such as <UNK> is one character.

    >>> characters_of(["打开", "<UNK>", "tv"])
    ['打', '开', '<UNK>', 't', 'v']
    """
    return [unit for word in words for unit in ([word] if _MARK.fullmatch(word) else word)]


def bootstrap_interval(errors: np.ndarray, words: np.ndarray, draws: int = 1000,
                       seed: int = 0) -> tuple[float, float] | None:
    """Estimate the 95 % confidence interval of an error rate by resampling.

    Parameters
    ----------
    errors, words : arrays (num_units,)
        Wrong words and reference words of every unit (utterance or speaker) that is resampled.
    draws : int
        How many sets of num_units units are drawn with replacement.
    seed : int
        Seed of the draws.

    Returns
    -------
    (low, high) or None
        The 2.5th and 97.5th percentile of the rates drawn, in percent; None for fewer than two
        units or no words. With no errors at all it is (0, 0), however small the set: read it
        together with the number of words.
    """
    num_units = len(errors)
    if num_units < 2 or not np.any(words):
        return None
    rng = np.random.default_rng(seed)
    rates = []
    # By pieces: 1000 draws of a large set would take gigabytes at once.
    step = max(1, _MAX_DRAWN // num_units)
    for start in range(0, draws, step):
        drawn = rng.integers(num_units, size=(min(step, draws - start), num_units))
        drawn_words = words[drawn].sum(axis=1)
        # A draw of nothing but empty references has no rate.
        usable = drawn_words > 0
        rates.append(100.0 * errors[drawn].sum(axis=1)[usable] / drawn_words[usable])
    low, high = np.percentile(np.concatenate(rates), [2.5, 97.5])
    return float(low), float(high)


def confusions(scores: Scores, correct: bool = False) -> list[Confusion]:
    """List the confusions of words, most frequent first; right words only if `correct`."""
    counts = Counter(pair for alignment in scores.alignments.values() for pair in alignment.pairs
                     if correct or pair.operation != "C")
    rows = [Confusion(*pair, count) for pair, count in counts.items()]
    return sorted(rows, key=lambda row: (-row.count, row.reference, row.hypothesis))


def _check_references(reference: Mapping, utt2spk: Mapping | None, resample: str) -> None:
    if not reference:
        raise UserError("no references to score; give the text of the test set")
    for name in reference if utt2spk is not None else ():
        if name not in utt2spk:
            raise UserError(f"utterance '{name}' has no speaker; add it to utt2spk")
    if resample not in ("utterance", "speaker"):
        raise UserError(f"resample is '{resample}'; give utterance or speaker")
    if resample == "speaker" and utt2spk is None:
        raise UserError("resampling by speaker without speakers; give utt2spk")


def _check_hypotheses(reference: Mapping, hypothesis: Mapping) -> None:
    extra = [name for name in hypothesis if name not in reference]
    # Not one in common: surely the text of another set, so that a figure would mislead.
    if extra and len(extra) == len(hypothesis):
        raise UserError(f"none of {len(extra)} hypotheses (first '{extra[0]}') has a reference "
                        f"(first '{next(iter(reference))}'); give the text of the set that was "
                        "decoded")
    if extra:
        logger.warning("%d hypotheses have no reference (first '%s'); left out", len(extra),
                       extra[0])


def _character_errors(alignment: WordAlignment) -> int:
    reference = characters_of(pair.reference for pair in alignment.pairs
                              if pair.operation != "I")
    # Equivalent words are right: their characters count as the reference's.
    hypothesis = characters_of(pair.reference if pair.operation == "C" else pair.hypothesis
                               for pair in alignment.pairs if pair.operation != "D")
    return _levenshtein().distance(reference, hypothesis)


def _classifier(equivalent: Callable[[str], str] | Mapping[str, str] | None
                ) -> Callable[[str], str]:
    if equivalent is None:
        return str
    if isinstance(equivalent, Mapping):
        return lambda word: equivalent.get(word, word)
    return equivalent


def _levenshtein():
    try:
        from rapidfuzz.distance import Levenshtein
    except ImportError:
        raise UserError("scoring needs rapidfuzz; pip install 'hybridasr[score]'") from None
    return Levenshtein


def _percent(part: int, whole: int) -> float | None:
    return 100.0 * part / whole if whole else None
