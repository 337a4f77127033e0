"""Owns the decision on one utterance: which command, how probable, accepted or why not.

This is utterance verification: a search proposes a command, and measures of it are weighed against
what else may have been said (Sukkar and Lee, "Vocabulary independent discriminative utterance
verification for nonkeyword rejection", IEEE Trans. Speech and Audio Processing 4, 1996).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hybridasr.confidence.calibration import Calibration
from hybridasr.confidence.measures import (
    NAMES,
    CompetingCommands,
    compare_commands,
    level_contrast,
    measures,
    phone_measures,
)
from hybridasr.corpus.command_list import Command
from hybridasr.decode.search import BestPath
from hybridasr.decode.words import Segment, phone_segments, word_segments
from hybridasr.graph.command_graph import Phrase
from hybridasr.graph.filler import FillerUnits
from hybridasr.lattice.lattice import CompactLattice
from hybridasr.lexicon.langdir import Lang

# Why nothing is accepted: something else was said; a command, but it is not clear which; nobody
# speaks; less audio than a word needs.
FILLER, LOW, NO_SPEECH, TOO_SHORT = "filler", "low-confidence", "no-speech", "too-short"


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
        Why nothing is accepted: filler, low-confidence, no-speech, too-short.
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


@dataclass(frozen=True, eq=False)
class Verifier:
    """Decides whether an utterance is the command that the search proposes.

    Attributes
    ----------
    others : sequence of int
        Phones that no measure looks at: silence, and the units of what is said around a command.
    durations : float32 (num_phones, 2), optional
        As from `hmm.durations.estimate_durations`.
    calibration : Calibration, optional
        Without one the costs decide, and there are no probabilities.
    threshold : float, optional
        Goes before that of the calibration, and after a command's own.
    penalty : float
        Added to the cost of everything that is no command (natural log).
    beam : float
        Commands worse than the best by more than this (cost) are not compared with it.
    """

    units: FillerUnits
    others: Sequence[int]
    durations: np.ndarray | None
    calibration: Calibration | None = None
    threshold: float | None = None
    penalty: float = 0.0
    beam: float = 10.0

    @cached_property
    def _columns(self) -> list[int]:
        return [] if self.calibration is None else self.calibration.columns(NAMES)

    def decide(self, phrases: Mapping[Phrase, Command], lang: Lang,
               lattice: CompactLattice | None, filler: BestPath | None, scores: np.ndarray,
               levels: np.ndarray, scale: float) -> Decision:
        """Decide on one utterance.

        Parameters
        ----------
        phrases : mapping word ids -> Command
        lang : Lang
            Has the words of all of them.
        lattice : CompactLattice, optional
            Of commands; None if none of them fits.
        filler : BestPath, optional
            The best path without a command.
        scores : float32 (num_frames, num_pdfs + num_mixtures)
            As from `FillerUnits.scores`.
        levels : float64 (num_frames,)
            How loud the frames are.
        scale : float
            The acoustic scale.

        Raises
        ------
        UserError
            if the calibration is of other measures.
        """
        competing = None if lattice is None else compare_commands(
            lattice, phrases, filler.total_cost if filler else np.inf, scale, self.beam,
            self.penalty)
        if competing is None:
            return self.nothing(_reason_outside(filler))
        # Phone by phone, along the path of the best command.
        path, transitions = competing.best.transition_ids, self.units.transitions
        phones = phone_measures(scores, self.units.num_pdfs, path, transitions, self.others,
                                self.durations)
        # What is said around the command belongs to none of its words, and is no quiet either.
        segments = [segment for segment in phone_segments(path, transitions)
                    if segment.label not in self.units.names]
        words = word_segments(segments, list(competing.best.words), lang)
        around = np.isin(transitions.tid_phone[path], list(self.units.names))
        contrast = level_contrast(levels, phones, ~around)
        # First those of the whole command, then those of each word.
        rows = np.array([measures(competing, phones, contrast),
                         *(measures(competing, phones, contrast, word.begin, word.end)
                           for word in words)])
        command = phrases[competing.best.words]
        if self.calibration is None:
            return Decision(command, None, None if competing.wins else _reason_outside(filler),
                            words, [], [(phrases[other.words], None)
                                        for other in competing.others], rows[0])
        probability, *of_words = self.calibration.probability(rows[:, self._columns]).tolist()
        return Decision(command, probability,
                        self._reason(probability, command, competing, filler), words, of_words,
                        _shares(phrases, competing, probability), rows[0])

    def nothing(self, reason: str) -> Decision:
        """Return the decision on an utterance that no command came near."""
        return Decision(None, None if self.calibration is None else 0.0, reason, [], [], [], None)

    def _reason(self, probability: float, command: Command, competing: CompetingCommands,
                filler: BestPath | None) -> str | None:
        assert self.calibration is not None
        thresholds = (command.threshold, self.threshold, self.calibration.threshold)
        if probability >= next(value for value in thresholds if value is not None):
            return None
        # Which stands more against it, another command or none at all?
        if competing.wins and competing.others and competing.margin < competing.filler_ratio:
            return LOW
        return _reason_outside(filler)


def _reason_outside(filler: BestPath | None) -> str:
    return FILLER if filler is None or len(filler.words) else NO_SPEECH


def _shares(phrases: Mapping[Phrase, Command], competing: CompetingCommands, probability: float
            ) -> list[tuple[Command, float | None]]:
    """Divide what the best command leaves among the others, by their posteriors."""
    rest = max(1.0 - float(competing.posteriors[0]), 1e-12)
    return [(phrases[path.words], (1.0 - probability) * min(1.0, float(share) / rest))
            for path, share in zip(competing.others, competing.posteriors[1:], strict=True)]
