"""Owns what decoding gives for one utterance, whatever grammar it was decoded with."""

from dataclasses import dataclass

from hybridasr.confidence.verify import Decision
from hybridasr.decode.search import BestPath


@dataclass(frozen=True)
class Decoded:
    """One decoded utterance.

    Attributes
    ----------
    words : list of str
        With a command list those of the accepted command.
    times : list of (word, begin, end)
        In seconds.
    complete : bool
        Whether the grammar reached an end.
    path : BestPath, optional
    decision : Decision, optional
        With a command list, says more.
    reason : str, optional
        Why nothing is accepted; None if the words are.
    alternatives : tuple of tuple of str
        Other sequences of words, best first, where they were asked for; with a command list they
        are in `decision`.
    """

    words: list[str]
    times: list[tuple[str, float, float]]
    complete: bool
    path: BestPath | None
    decision: Decision | None = None
    reason: str | None = None
    alternatives: tuple[tuple[str, ...], ...] = ()
