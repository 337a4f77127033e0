"""Owns the decision on one utterance: which command, how probable, accepted or why not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybridasr.confidence.calibration import Calibration
from hybridasr.confidence.command_grammar import CommandGrammar
from hybridasr.confidence.measures import (
    NAMES,
    Rivals,
    find_rivals,
    level_contrast,
    measures,
    phone_measures,
)
from hybridasr.corpus.command_list import Command
from hybridasr.decode.search import BestPath
from hybridasr.decode.words import Segment, phone_segments, word_segments
from hybridasr.graph.filler import FillerUnits
from hybridasr.lattice.lattice import CompactLattice

FILLER, LOW, NO_SPEECH = "filler", "low-confidence", "no-speech"


@dataclass(frozen=True)
class Decision:
    """What an utterance is taken for.

    Attributes
    ----------
    command : Command or None
        The best one, accepted or not; None if none came near.
    probability : float or None
        That it is right; None if the model is not calibrated.
    reason : str or None
        Why nothing is accepted: filler (something else was said), low-confidence (a command, but
        which is not clear), no-speech.
    words : list of Segment
        Of the command, in frames.
    word_probabilities : list of float, empty if not calibrated
    alternatives : list of (Command, probability or None)
        Other commands, best first.
    measures : float64 (len(NAMES),) or None
    """

    command: Command | None
    probability: float | None
    reason: str | None
    words: list[Segment]
    word_probabilities: list[float]
    alternatives: list[tuple[Command, float | None]]
    measures: np.ndarray | None

    @property
    def accepted(self) -> bool:
        """Whether the command is to be carried out."""
        return self.reason is None


class Judge:
    """Decides on utterances by what the search left of them."""

    def __init__(self, units: FillerUnits, silence: Sequence[int], durations: np.ndarray | None,
                 calibration: Calibration | None, threshold: float | None = None):
        self._units = units
        self._silence = silence
        self._durations = durations
        self._calibration = calibration
        self._threshold = threshold
        if calibration is not None:
            self._columns = calibration.columns(NAMES)

    def decide(self, grammar: CommandGrammar, lattice: CompactLattice | None,
               filler: BestPath | None, scores: np.ndarray, levels: np.ndarray, scale: float,
               beam: float) -> Decision:
        """Decide on one utterance.

        Parameters
        ----------
        lattice : CompactLattice, optional
            Of commands; None if none of them fits.
        filler : BestPath, optional
            The best path without a command.
        scores : float32 (num_frames, num_pdfs + num_mixtures)
            As from `FillerUnits.scores`.
        levels : float64 (num_frames,)
            How loud the frames are.
        scale, beam : float
            The acoustic scale, and the beam of the lattice.
        """
        rivals = None if lattice is None else find_rivals(
            lattice, grammar.ids, filler.total_cost if filler else np.inf, scale, beam,
            grammar.penalty)
        if rivals is None:
            return Decision(None, None if self._calibration is None else 0.0, _outside(filler),
                            [], [], [], None)
        ids = rivals.best.transition_ids
        transitions = self._units.transitions
        phones = phone_measures(scores, len(self._units.mixing), ids, transitions, self._silence,
                                self._durations)
        words = word_segments(phone_segments(ids, transitions), list(rivals.best.words),
                              grammar.lang)
        contrast = level_contrast(levels, phones)
        found = [measures(rivals, phones, contrast),
                 *(measures(rivals, phones, contrast, word.begin, word.end) for word in words)]
        command = grammar.commands[rivals.best.words]
        if self._calibration is None:
            return Decision(command, None, None if rivals.wins else _outside(filler), words, [],
                            [(grammar.commands[path.words], None) for path in rivals.others],
                            found[0])
        probabilities = self._calibration.probability(np.array(found)[:, self._columns]).tolist()
        return Decision(command, probabilities[0],
                        self._reason(probabilities[0], command, rivals, filler), words,
                        probabilities[1:], _shares(grammar, rivals, probabilities[0]), found[0])

    def _reason(self, probability: float, command: Command, rivals: Rivals,
                filler: BestPath | None) -> str | None:
        assert self._calibration is not None
        thresholds = (command.threshold, self._threshold, self._calibration.threshold)
        if probability >= next(value for value in thresholds if value is not None):
            return None
        # Which stands more against it, another command or none at all?
        if rivals.wins and rivals.others and rivals.margin < rivals.filler_ratio:
            return LOW
        return _outside(filler)


def _outside(filler: BestPath | None) -> str:
    return FILLER if filler is None or len(filler.words) else NO_SPEECH


def _shares(grammar: CommandGrammar, rivals: Rivals, probability: float
            ) -> list[tuple[Command, float]]:
    """Divide what the best command leaves among the others, by their posteriors."""
    rest = max(1.0 - float(rivals.posteriors[0]), 1e-12)
    return [(grammar.commands[path.words], (1.0 - probability) * min(1.0, float(share) / rest))
            for path, share in zip(rivals.others, rivals.posteriors[1:], strict=True)]
