"""Owns the comparison of what was heard with what is written, word by word with times.

A line of the file, as in Kaldi's cleanup (get_ctm_edits.py): ``<utterance> 1 <begin> <seconds>
<word heard> 1.0 <word written> <edit>``, times in the utterance; the edit is cor, sub, ins, del, or
sil where nothing was said. The missing word is ``<eps>``.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from hybridasr.score.wer import align_words

NOTHING = "<eps>"
_EDITS = {"C": "cor", "S": "sub", "I": "ins", "D": "del"}
_LEAST = 0.005  # seconds of silence that get a line: less is rounding


@dataclass(frozen=True)
class Edit:
    """One word, or a silence, of an utterance; seconds."""

    begin: float
    end: float
    hypothesis: str
    reference: str
    kind: str

    @property
    def fits(self) -> bool:
        """Whether it is as written."""
        return self.kind in ("cor", "sil")

    def line(self, utterance: str) -> str:
        """Return its line of a ctm-edits file."""
        return (f"{utterance} 1 {self.begin:.2f} {self.end - self.begin:.2f} {self.hypothesis} 1.0 "
                f"{self.reference} {self.kind}\n")


def find_edits(reference: Sequence[str], hypothesis: Sequence[tuple[str, float, float]],
               seconds: float, known: Collection[str], oov: str) -> list[Edit]:
    """Compare a transcript with the words that were heard.

    Parameters
    ----------
    hypothesis : sequence of (word, begin, end)
        In order.
    seconds : float
        Length of the utterance.
    known : collection of str
        Words of the lexicon: any other one is right if `oov` was heard.

    Raises
    ------
    UserError
        if rapidfuzz is not installed.
    """
    pairs = align_words([word if word in known else oov for word in reference],
                        [word for word, _, _ in hypothesis]).pairs
    edits: list[Edit] = []
    place, spoken, texts = 0.0, iter(hypothesis), iter(reference)

    def silence(until: float) -> None:
        if until - place > _LEAST:
            edits.append(Edit(place, until, NOTHING, NOTHING, "sil"))

    for pair in pairs:
        text = next(texts) if pair.operation != "I" else NOTHING
        if pair.operation == "D":
            edits.append(Edit(place, place, NOTHING, text, "del"))
            continue
        word, begin, end = next(spoken)
        silence(begin)
        edits.append(Edit(begin, end, word, text, _EDITS[pair.operation]))
        place = end
    silence(seconds)
    return edits


def count_errors(edits: Iterable[Edit]) -> int:
    """Return how many words are not as written."""
    return sum(not edit.fits for edit in edits)
