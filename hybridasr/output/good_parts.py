"""Owns the choice of what is good in a recording whose transcript does not fit everywhere.

From the edits of an utterance (`output.ctm_edits`): stretches in which every word is as written,
with a little silence at their edges, as Kaldi's segment_ctm_edits.py cuts them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hybridasr.errors import UserError
from hybridasr.options import option
from hybridasr.output.ctm_edits import Edit

TAINTED = 0.05  # seconds of a silence beside an error that are kept: the rest may be speech


@dataclass(frozen=True)
class PartOptions:
    """What a good part is; seconds."""

    max_edge_silence: float = option(0.5, "seconds of silence kept at the ends of a part")
    max_internal_silence: float = option(2.0, "a longer silence ends a part, seconds")
    min_segment_length: float = option(0.5, "shorter parts are dropped, seconds")
    max_segment_length: float = option(0.0, "longer parts are cut at their silences, seconds; 0: "
                                            "never")
    min_words: int = option(1, "parts of fewer words are dropped")

    def __post_init__(self):
        for name in ("max_edge_silence", "max_internal_silence", "min_segment_length",
                     "max_segment_length", "min_words"):
            if not getattr(self, name) >= 0:
                raise UserError(f"option {name} is {getattr(self, name)}; give 0 or more")
        if 0 < self.max_segment_length < 2 * self.min_segment_length:
            raise UserError(f"max-segment-length is {self.max_segment_length}; give at least twice "
                            f"min-segment-length, {self.min_segment_length}")


@dataclass(frozen=True)
class GoodPart:
    """Seconds in the utterance and words; `whole`: it is all of the utterance, as it was."""

    begin: float
    end: float
    words: tuple[str, ...]
    whole: bool = False


def good_parts(edits: Sequence[Edit], options: PartOptions) -> list[GoodPart]:
    """Return the good parts of an utterance, in order.

    Parameters
    ----------
    edits : sequence of Edit
        Of the whole utterance, with its silences.
    """
    runs: list[list[int]] = [[]]
    for number, edit in enumerate(edits):
        if not edit.fits:
            runs.append([])
        # A long silence belongs to both sides, as far as edges go.
        elif edit.kind == "sil" and edit.end - edit.begin > options.max_internal_silence:
            runs[-1].append(number)
            runs.append([number])
        else:
            runs[-1].append(number)
    parts: list[GoodPart] = []
    for run in runs:
        for piece in _cut(edits, run, options):
            part = _part(edits, piece, options)
            if (part is not None and part.end - part.begin >= options.min_segment_length
                    and len(part.words) >= options.min_words):
                parts.append(part)
    return parts


def _cut(edits: Sequence[Edit], run: list[int], options: PartOptions) -> list[list[int]]:
    """Cut a run that is too long at its longest silence, and so on; the silence is in both."""
    part = _part(edits, run, options)
    if part is None or not 0 < options.max_segment_length < part.end - part.begin:
        return [run]
    spoken = [number for number in run if edits[number].kind == "cor"]
    inner = [number for number in run
             if edits[number].kind == "sil" and spoken[0] < number < spoken[-1]
             # Neither side may become too short to be kept.
             and min(edits[number].begin - edits[spoken[0]].begin,
                     edits[spoken[-1]].end - edits[number].end) >= options.min_segment_length]
    if not inner:
        return [run]
    place = max(inner, key=lambda number: edits[number].end - edits[number].begin)
    return (_cut(edits, run[:run.index(place) + 1], options)
            + _cut(edits, run[run.index(place):], options))


def _part(edits: Sequence[Edit], run: list[int], options: PartOptions) -> GoodPart | None:
    """Return the part of a run of edits; None if nobody speaks in it."""
    spoken = [number for number in run if edits[number].kind == "cor"]
    if not spoken:
        return None
    first, last = edits[spoken[0]], edits[spoken[-1]]
    words = tuple(edits[number].reference for number in spoken)
    before, after = (_edge(edits, run, spoken[0], -1, options),
                     _edge(edits, run, spoken[-1], 1, options))
    silences = [edits[run[0]], edits[run[-1]]]
    whole = len(run) == len(edits) and all(
        one.kind != "sil" or one.end - one.begin <= options.max_internal_silence
        for one in silences)
    return GoodPart(first.begin - before, last.end + after, words, whole)


def _edge(edits: Sequence[Edit], run: list[int], word: int, step: int,
          options: PartOptions) -> float:
    """Return the seconds of silence to keep beside the first or last word of a run."""
    beside, beyond = word + step, word + 2 * step
    if beside not in run:
        return 0.0
    length = edits[beside].end - edits[beside].begin
    tainted = 0 <= beyond < len(edits) and not edits[beyond].fits
    # Two parts may share a silence: each takes half of it.
    shared = 0 <= beyond < len(edits) and not tainted
    return min(length / 2 if shared else length, TAINTED if tainted else options.max_edge_silence)
