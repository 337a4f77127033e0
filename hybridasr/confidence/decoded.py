"""Owns what decoding gives for one utterance, whatever grammar it is decoded with."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hybridasr.confidence.verify import Decision
from hybridasr.decode.search import BestPath, Ending


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
    word_shares, shares : tuple of float
        Of a graph, where alternatives were asked for: what part of the lattice's probability has
        each word of `words` in its place; and has the whole of `words` and of each alternative.
    """

    words: list[str]
    times: list[tuple[str, float, float]]
    complete: bool
    path: BestPath | None
    decision: Decision | None = None
    reason: str | None = None
    alternatives: tuple[tuple[str, ...], ...] = ()
    word_shares: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()


class GrammarSearch(Protocol):
    """One utterance being decoded with a grammar, as its scores come."""

    def accept(self, loglikes: np.ndarray) -> None:
        """Search the next scores, float32 (num_scores, num_pdfs)."""
        ...

    def partial(self) -> list[str]:
        """Return the words so far, which may change."""
        ...

    def partial_times(self) -> list[tuple[str, float, float]]:
        """Return the words so far as (word, begin, end), in seconds."""
        ...

    def ending(self) -> Ending:
        """Return how the best path so far ends."""
        ...

    def finish(self, levels: np.ndarray) -> Decoded:
        """End the utterance and return what was decoded.

        Parameters
        ----------
        levels : float64 (num_scores,)
            How loud the frames of the scores are (`AcousticModel.score_levels`).
        """
        ...
