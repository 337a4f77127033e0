"""Owns silence beside words: how likely it is after and before each pronunciation, and its files.

The files are Kaldi's. A line of `lexiconp_silprob.txt` is `<word> <probability> <P(silence after)>
<F(silence before)> <F(no silence before)> <phone> ...`; `silprob.txt` has the two ends of an
utterance and the share of silence over all words. Model: Chen et al., "Pronunciation and silence
probability modeling for ASR", Interspeech 2015.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hybridasr.corpus.text import normalize_text
from hybridasr.errors import UserError
from hybridasr.lexicon.lexicon import RESERVED_WORDS, Lexicon, Pronunciation, make_lexicon
from hybridasr.lexicon.table_files import read_fields
from hybridasr.storage import PathLike, write_text

LEXICON_FILE = "lexiconp_silprob.txt"
PROBS_FILE = "silprob.txt"

SpokenWord = tuple[str, tuple[str, ...]]
"""A word and the phones of one of its pronunciations, without marks of places."""


class WordSilence(NamedTuple):
    """What stands beside one pronunciation.

    `after` is the probability of silence behind it; the two others are factors of the word's
    probability behind silence and behind speech (1 = as often as the words before let expect).
    """

    after: float
    silence_before: float = 1.0
    speech_before: float = 1.0


@dataclass(frozen=True)
class SilenceProbs:
    """Silence at both ends of an utterance and beside each word.

    Attributes
    ----------
    begin : float
        Probability of silence before the first word.
    end_silence, end_speech : float
        Factors of the end of the utterance behind silence, and behind speech.
    overall : float
        Share of silence between words, for words that are not in `words`.
    words : mapping (word, phones) -> WordSilence
    """

    begin: float
    end_silence: float
    end_speech: float
    overall: float
    words: Mapping[SpokenWord, WordSilence]

    def beside(self, word: str, phones: tuple[str, ...]) -> WordSilence:
        """Return what stands beside a pronunciation; an unknown one is like all together."""
        return self.words.get((word, phones), WordSilence(self.overall))


_ENTRIES = {"<s>": "begin", "</s>_s": "end_silence", "</s>_n": "end_speech", "overall": "overall"}
_SHARES = ("begin", "overall")


def read_silence_probs(directory: PathLike) -> tuple[Lexicon, SilenceProbs]:
    """Read `lexiconp_silprob.txt` and `silprob.txt` of a directory.

    Raises
    ------
    UserError
        with file and line: a missing entry, a probability outside its range, a line twice.
    """
    directory = Path(directory)
    if not (directory / PROBS_FILE).is_file():
        raise UserError(f"{PROBS_FILE} is missing, which belongs to {LEXICON_FILE}; add it, or "
                        f"remove {LEXICON_FILE}", directory)
    entries: dict[str, list[Pronunciation]] = {}
    words: dict[SpokenWord, WordSilence] = {}
    path = directory / LEXICON_FILE
    for line, fields in read_fields(path):
        if len(fields) < 6:
            raise UserError("is not '<word> <probability> <P(silence after)> <F(silence before)> "
                            "<F(no silence before)> <phone> ...'; mend the line", path, line)
        word, phones = normalize_text(fields[0]), tuple(fields[5:])
        if word in RESERVED_WORDS:
            raise UserError(f"'{word}' is a reserved symbol; remove the line", path, line)
        if (word, phones) in words:
            raise UserError(f"'{word}' has these phones twice; remove one line", path, line)
        probability = _number(fields[1], f"the probability of '{word}'", 1.0, path, line)
        entries.setdefault(word, []).append(Pronunciation(probability, phones))
        words[word, phones] = WordSilence(
            _number(fields[2], f"the probability of silence after '{word}'", 1.0, path, line),
            *(_number(field, f"a factor before '{word}'", None, path, line)
              for field in fields[3:5]))
    if not entries:
        raise UserError("holds no word", path)
    return make_lexicon(entries), SilenceProbs(**_read_ends(directory / PROBS_FILE), words=words)


def find_silence_probs(directory: PathLike) -> SilenceProbs | None:
    """Return the silence probabilities of a directory, None if it has none."""
    directory = Path(directory)
    return read_silence_probs(directory)[1] if (directory / LEXICON_FILE).is_file() else None


def _read_ends(path: Path) -> dict[str, float]:
    values: dict[str, float] = {}
    for line, fields in read_fields(path):
        if len(fields) != 2 or fields[0] not in _ENTRIES:
            raise UserError(f"is not one of {', '.join(_ENTRIES)} and a number; mend the line",
                            path, line)
        name = _ENTRIES[fields[0]]
        values[name] = _number(fields[1], fields[0], 1.0 if name in _SHARES else None, path, line)
    for entry, name in _ENTRIES.items():
        if name not in values:
            raise UserError(f"has no line '{entry} <number>'; add it", path)
    # Without any way past the silence, new words would have a cost that is infinite.
    if values["overall"] == 1.0:
        raise UserError("gives silence the overall share 1; give a number below 1", path)
    return values


def write_silence_probs(directory: PathLike, lexicon: Lexicon,
                        silence_probs: SilenceProbs | None) -> None:
    """Write both files; None removes those of an earlier run."""
    directory = Path(directory)
    if silence_probs is None:
        for name in (LEXICON_FILE, PROBS_FILE):
            (directory / name).unlink(missing_ok=True)
        return
    write_text(directory / LEXICON_FILE, "".join(
        " ".join([word, f"{pron.probability:.6g}",
                  *(f"{value:.6g}" for value in silence_probs.beside(word, pron.phones)),
                  *pron.phones]) + "\n"
        for word, prons in lexicon.entries.items() for pron in prons))
    write_text(directory / PROBS_FILE, "".join(
        f"{entry} {getattr(silence_probs, name):.6g}\n" for entry, name in _ENTRIES.items()))


def _number(text: str, what: str, most: float | None, path: Path, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 < value < float("inf") or most is not None and value > most:
        limit = "" if most is None else f" and up to {most:g}"
        raise UserError(f"{what} is '{text}'; give a number above 0{limit}", path, line)
    return value
