"""Owns counts of pronunciations and silences, and the probabilities that follow from them.

Files are those of Kaldi's get_prons.sh, fields with spaces between:
pron_counts_nowb.txt         <count> <word> <phone> ...
sil_counts_nowb.txt          <silence before> <none before> <silence after> <none after> <word>
                             <phone> ...
pron_bigram_counts_nowb.txt  <count>, <word> <phone> ..., <word> <phone> ...; tabs between the three
The model and its smoothing are of Chen et al., "Pronunciation and silence probability modeling for
ASR", Interspeech 2015, with the constants and the rounding of Kaldi's dict_dir_add_pronprobs.sh.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hybridasr.corpus.kaldi_files import lines_of
from hybridasr.errors import UserError
from hybridasr.lexicon.lexicon import Lexicon, Pronunciation, make_lexicon
from hybridasr.lexicon.silence_probs import SilenceProbs, SpokenWord, WordSilence
from hybridasr.storage import PathLike, read_text

SILENCE = "<eps>"
"""The word that stands for silence between words."""

BEGIN: SpokenWord = ("<s>", ())
END: SpokenWord = ("</s>", ())

_SMOOTHING = 2.0  # lambda 2 and lambda 3 of the article: what all words together weigh
_COUNTS = "pron_counts_nowb.txt"


@dataclass
class PronCounts:
    """How often each pronunciation was said, and what stood beside it.

    Attributes
    ----------
    prons : (word, phones) -> times; silence between words is the word <eps>
    bigrams : ((word, phones), (word, phones)) -> times, silence between them or not
    silences : (word, phones) -> [silence before, none before, silence after, none after]
    """

    prons: Counter[SpokenWord] = field(default_factory=Counter)
    bigrams: Counter[tuple[SpokenWord, SpokenWord]] = field(default_factory=Counter)
    silences: dict[SpokenWord, list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0, 0, 0, 0]))

    def add(self, spoken: Sequence[SpokenWord]) -> None:
        """Count an utterance, its silences being words <eps>."""
        self.prons.update(spoken)
        # Several silences in a row are one, as Kaldi counts them.
        before, silent = BEGIN, False
        for one in (*spoken, END):
            if one[0] == SILENCE:
                silent = True
                continue
            self.bigrams[before, one] += 1
            self.silences[before][2 + (not silent)] += 1
            self.silences[one][not silent] += 1
            before, silent = one, False

    def texts(self) -> dict[str, str]:
        """Return file name -> text of the three files."""
        prons = sorted(self.prons.items(), key=lambda item: (-item[1], item[0]))
        return {
            _COUNTS: "".join(f"{count} {spoken_text(one)}\n" for one, count in prons),
            "sil_counts_nowb.txt": "".join(
                " ".join(map(str, self.silences[one])) + f" {spoken_text(one)}\n"
                for one in sorted(self.silences)),
            "pron_bigram_counts_nowb.txt": "".join(
                f"{self.bigrams[pair]}\t" + "\t".join(map(spoken_text, pair)) + "\n"
                for pair in sorted(self.bigrams))}


def spoken_text(spoken: SpokenWord) -> str:
    """Return the word and its phones with spaces between.

    >>> spoken_text(("to", ("T", "UW")))
    'to T UW'
    """
    return " ".join([spoken[0], *spoken[1]])


def read_pron_counts(prons: PathLike, silences: PathLike | None = None,
                     bigrams: PathLike | None = None) -> PronCounts:
    """Read counts of pronunciations; those of silences and of pairs are there together or not.

    Raises
    ------
    UserError
        with file and line: fields that are missing, or no counts.
    """
    counts = PronCounts()
    for spoken, numbers, _ in _rows(prons, 1):
        counts.prons[spoken] += numbers[0]
    if silences is None or bigrams is None:
        return counts
    for spoken, numbers, _ in _rows(silences, 4):
        counts.silences[spoken] = [a + b for a, b in
                                   zip(counts.silences[spoken], numbers, strict=True)]
    for line, text in enumerate(lines_of(read_text(bigrams)), 1):
        fields = text.split("\t")
        if len(fields) != 3 or not fields[0].isdecimal() or not all(map(str.split, fields)):
            raise UserError("is not a count and two words with their phones, tabs between",
                            bigrams, line)
        pair = [(word, tuple(phones)) for word, *phones in map(str.split, fields[1:])]
        counts.bigrams[pair[0], pair[1]] += int(fields[0])
    return counts


def _rows(path: PathLike, columns: int) -> Iterator[tuple[SpokenWord, list[int], int]]:
    """Yield (word and phones, counts, line) of a file with `columns` counts a line."""
    lines = lines_of(read_text(path))
    if not any(lines):
        raise UserError("holds no counts; make it with 'hybridasr get-prons'", path)
    for line, text in enumerate(lines, 1):
        fields = text.split()
        if len(fields) <= columns or not all(field.isdecimal() for field in fields[:columns]):
            raise UserError(f"is not {columns} counts, a word and its phones; make the file with "
                            "'hybridasr get-prons'", path, line)
        yield ((fields[columns], tuple(fields[columns + 1:])),
               [int(field) for field in fields[:columns]], line)


def estimate_prons(lexicon: Lexicon, counts: PronCounts, source: PathLike | None = None,
                   max_normalize: bool = True) -> Lexicon:
    """Return the lexicon with probabilities: each pronunciation counts once more than it was said.

    Parameters
    ----------
    source : path, optional
        The file of the counts, for the error line.
    max_normalize : bool
        Divide by the probability of a word's best one; otherwise those of a word add up to 1.

    Raises
    ------
    UserError
        if something was said that is not in the lexicon.
    """
    known = {(word, pron.phones) for word, prons in lexicon.entries.items() for pron in prons}
    for one in counts.prons:
        if one[0] != SILENCE and one not in known:
            raise UserError(f"'{spoken_text(one)}' is not in the lexicon; take the dictionary that "
                            "the alignments were made with, and counts without marks of places "
                            f"({_COUNTS})", source)
    entries = {}
    for word, prons in lexicon.entries.items():
        times = [1 + counts.prons[word, pron.phones] for pron in prons]
        whole = max(times) if max_normalize else sum(times)
        entries[word] = [Pronunciation(count / whole, pron.phones)
                         for count, pron in zip(times, prons, strict=True)]
    return make_lexicon(entries)


def estimate_silence(lexicon: Lexicon, counts: PronCounts) -> SilenceProbs:
    """Return how likely silence is beside every pronunciation of the lexicon.

    With s for silence, C counts and P the share of silence over all words,
    P(s | after w) = (C(w s) + 2 P) / (C(w s) + C(w, no s) + 2); the factor before w is
    (C(s w) + 2) / (E(s w) + 2), where E(s w) is what the words before w let expect, the sum over v
    of C(v w) P(s | after v). The beginning of the utterance is one of these v, as in the article
    (Kaldi's script takes silence as impossible there). All are rounded to hundredths, and kept
    away from 0 and, if they are probabilities, from 1.
    """
    spoken = [(word, pron.phones) for word, prons in lexicon.entries.items() for pron in prons]
    silent = sum(row[0] for row in counts.silences.values())
    total = silent + sum(row[1] for row in counts.silences.values())
    overall = _rounded(silent / total if total else 0.5)

    def times(one: SpokenWord) -> list[int]:
        return counts.silences.get(one, [0, 0, 0, 0])

    def after(one: SpokenWord) -> float:
        _, _, silence, none = times(one)
        return _rounded((silence + _SMOOTHING * overall) / (silence + none + _SMOOTHING))

    afters = {one: after(one) for one in (BEGIN, *spoken)}
    expected: dict[SpokenWord, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for (left, right), count in counts.bigrams.items():
        share = afters.get(left, overall)
        expected[right][0] += count * share
        expected[right][1] += count * (1.0 - share)

    def factors(one: SpokenWord) -> tuple[float, float]:
        silence, none = (_rounded((said + _SMOOTHING) / (model + _SMOOTHING), None)
                         for said, model in zip(times(one)[:2], expected[one], strict=True))
        return silence, none

    return SilenceProbs(afters[BEGIN], *factors(END), overall, {
        one: WordSilence(afters[one], *factors(one)) for one in spoken})


def _rounded(value: float, most: float | None = 0.99) -> float:
    """Round to hundredths, at least 0.01, and at most `most`."""
    value = max(0.01, round(value, 2))
    return value if most is None else min(most, value)


def least_likely(lexicon: Lexicon, count: int = 8) -> Iterable[tuple[float, str]]:
    """Return the pronunciations of the least probability, for the user to look at."""
    rows: Mapping[str, Sequence[Pronunciation]] = lexicon.entries
    return sorted((pron.probability, spoken_text((word, pron.phones)))
                  for word, prons in rows.items() for pron in prons)[:count]
