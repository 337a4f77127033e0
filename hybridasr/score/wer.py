"""Owns word error rates: alignment of words, error counts, confidence interval, Kaldi's files.

Takes words per utterance, reference and hypothesis. Words are aligned by Levenshtein distance
(rapidfuzz); the interval is a percentile bootstrap after Bisani and Ney (2004), "Bootstrap
estimates for confidence intervals in ASR performance evaluation". Kaldi does this in
``compute-wer --mode=all``, ``compute-wer-bootci`` and ``utils/scoring/wer_*_details.pl``. Total
errors equal Kaldi's; where several alignments are equally cheap, the split into insertions,
deletions and substitutions may differ.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hybridasr.errors import UserError
from hybridasr.progress import logger
from hybridasr.score.result_table import display_width, pad
from hybridasr.storage import write_text

# Stands in score files where one side of an aligned pair has no word.
GAP = "***"
_OPERATIONS = {"C": "correct", "S": "substitution", "I": "insertion", "D": "deletion"}
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
        The character error rate compares the words of an utterance joined without blanks, so it
        counts hanzi in Chinese and letters in languages written with letters; words that count
        as right for each other have no character errors.

    Raises
    ------
    UserError
        if there is nothing to score, the two sides share no utterance, a speaker is missing, or
        rapidfuzz is not installed.
    """
    _check_texts(reference, hypothesis, utt2spk, resample)
    # Byte order, as in all of Kaldi's score files.
    utterances = sorted(reference, key=str.encode)
    alignments = {utterance: align_words(reference[utterance], hypothesis.get(utterance, ()),
                                         equivalent) for utterance in utterances}
    errors = np.array([alignment.errors for alignment in alignments.values()])
    words = np.array([alignment.words for alignment in alignments.values()])
    speakers = {} if utt2spk is None else {name: utt2spk[name] for name in utterances}
    # Words of one speaker are not independent: speakers are drawn as a whole.
    if resample == "speaker":
        names, owner = np.unique([speakers[name] for name in utterances], return_inverse=True)
        errors = np.bincount(owner, errors, len(names))
        words = np.bincount(owner, words, len(names))
    return Scores(
        alignments=alignments,
        missing=tuple(name for name in utterances if name not in hypothesis),
        characters=sum(len("".join(reference[name])) for name in utterances),
        character_errors=sum(_character_errors(alignment) for alignment in alignments.values()),
        interval=bootstrap_interval(errors, words, seed=seed),
        speakers=speakers,
    )


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


def write_scores(directory: str | Path, scores: Scores) -> None:
    """Write Kaldi's score files into `directory`, and ``confusions.tsv``.

    ``wer`` (three lines), ``scoring_kaldi/best_wer``, and in ``scoring_kaldi/wer_details``
    ``per_utt``, ``ops``, ``per_spk`` (if speakers are known) and ``wer_bootci`` (if there is an
    interval). Columns are padded by places on a terminal, which for ASCII is what Kaldi does.
    """
    directory = Path(directory)
    details = directory / "scoring_kaldi" / "wer_details"
    write_text(directory / "wer", format_scores(scores))
    write_text(directory / "scoring_kaldi" / "best_wer",
               f"{format_wer(scores)} {directory / 'wer'}\n")
    write_text(details / "per_utt", "".join(_format_utterance(*item)
                                            for item in scores.alignments.items()))
    write_text(details / "ops", _format_operations(scores))
    optional = {"per_spk": _format_speakers(scores), "wer_bootci": _format_interval(scores)}
    for name, text in optional.items():
        # A file left by an earlier scoring would contradict the new ones.
        (details / name).unlink(missing_ok=True)
        if text:
            write_text(details / name, text)
    rows = ["count\treference\thypothesis\toperation\n"]
    rows += [f"{row.count}\t{row.reference}\t{row.hypothesis}\t{_OPERATIONS[row.operation]}\n"
             for row in confusions(scores)]
    write_text(directory / "confusions.tsv", "".join(rows))


def format_wer(scores: Scores) -> str:
    """Return Kaldi's ``%WER`` line, without newline."""
    rate = float("nan") if scores.wer is None else scores.wer
    partial = " [PARTIAL]" if scores.missing else ""
    return (f"%WER {rate:.2f} [ {scores.errors} / {scores.words}, {scores.count('I')} ins, "
            f"{scores.count('D')} del, {scores.count('S')} sub ]{partial}")


def format_scores(scores: Scores) -> str:
    """Return the three lines of Kaldi's ``wer`` files."""
    return (f"{format_wer(scores)}\n"
            f"%SER {scores.ser:.2f} [ {scores.sentence_errors} / {scores.sentences} ]\n"
            f"Scored {scores.sentences} sentences, {len(scores.missing)} not present in hyp.\n")


def _format_utterance(utterance: str, alignment: WordAlignment) -> str:
    widths = [max(display_width(text) for text in pair) for pair in alignment.pairs]
    lines = []
    for name, place in (("ref ", 0), ("hyp ", 1), ("op  ", 2)):
        cells = [pad(pair[place], width, "centre")
                 for pair, width in zip(alignment.pairs, widths, strict=True)]
        lines.append(f"{utterance} {name} " + "  ".join(cells))
    counts = " ".join(str(alignment.count(operation)) for operation in "CSID")
    return "\n".join([*lines, f"{utterance} #csid {counts}"]) + "\n"


def _format_operations(scores: Scores) -> str:
    rows = sorted(confusions(scores, correct=True))
    # Kaldi's limit: one very long word does not widen every line.
    width = min(16, max((display_width(word) for row in rows for word in row[:2]), default=0))
    digits = max((len(str(row.count)) for row in rows), default=0)
    return "".join(f"{_OPERATIONS[row.operation]:<14}{pad(row.reference, width, 'right')}    "
                   f"{pad(row.hypothesis, width, 'right')}    {row.count:>{digits}}\n"
                   for row in rows)


def _format_speakers(scores: Scores) -> str:
    if not scores.speakers:
        return ""
    totals: dict[str, np.ndarray] = {}
    for utterance, alignment in scores.alignments.items():
        # Columns as in Kaldi's per_spk: sentences, words, C S I D, errors, sentence errors.
        counts = [1, alignment.words, *(alignment.count(operation) for operation in "CSID"),
                  alignment.errors, alignment.errors > 0]
        speaker = scores.speakers[utterance]
        totals[speaker] = totals.get(speaker, 0) + np.array(counts)
    rows = [(speaker, totals[speaker]) for speaker in sorted(totals, key=str.encode)]
    rows.append(("SUM", sum(totals.values())))
    width = max(15, *(display_width(speaker) for speaker in totals))
    titles = ("#SENT", "#WORD", "Corr", "Sub", "Ins", "Del", "Err", "S.Err")
    lines = [f"{'SPEAKER':<{width}} id " + "".join(f" {title:>10}" for title in titles)]
    for speaker, counts in rows:
        name, sentences, words = pad(speaker, width, "left"), counts[0], counts[1]
        lines.append(f"{name} raw" + "".join(f" {count:>10}" for count in counts))
        if words:
            rates = [*(100 * counts[2:7] / words), 100 * counts[7] / sentences]
            lines.append(f"{name} sys {sentences:>10} {words:>10}"
                         + "".join(f" {rate:>10.2f}" for rate in rates))
    return "\n".join(lines) + "\n"


def _format_interval(scores: Scores) -> str:
    if scores.interval is None:
        return ""
    low, high = scores.interval
    return f"Set1: %WER {scores.wer:.2f} 95% Conf Interval [ {low:.2f}, {high:.2f} ]\n"


def _check_texts(reference: Mapping, hypothesis: Mapping, utt2spk: Mapping | None,
                 resample: str) -> None:
    if not reference:
        raise UserError("no references to score; give the text of the test set")
    extra = [name for name in hypothesis if name not in reference]
    # Not one in common: surely the text of another set, so that a figure would mislead.
    if extra and len(extra) == len(hypothesis):
        raise UserError(f"none of {len(extra)} hypotheses (first '{extra[0]}') has a reference "
                        f"(first '{next(iter(reference))}'); give the text of the set that was "
                        "decoded")
    if extra:
        logger.warning("%d hypotheses have no reference (first '%s'); left out", len(extra),
                       extra[0])
    for name in reference if utt2spk is not None else ():
        if name not in utt2spk:
            raise UserError(f"utterance '{name}' has no speaker; add it to utt2spk")
    if resample not in ("utterance", "speaker"):
        raise UserError(f"resample is '{resample}'; give utterance or speaker")
    if resample == "speaker" and utt2spk is None:
        raise UserError("resampling by speaker without speakers; give utt2spk")


def _character_errors(alignment: WordAlignment) -> int:
    reference = "".join(pair.reference for pair in alignment.pairs if pair.operation != "I")
    # Equivalent words are right: their characters count as the reference's.
    hypothesis = "".join(pair.reference if pair.operation == "C" else pair.hypothesis
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
