"""Owns the objective of sequence training: criteria of denominator lattices, smoothed by frames.

The loss is divided by the acoustic scale (as Kaldi's gradients are): steps, and the weight of the
cross-entropy beside it, then mean the same as in a training on frames.
"""

from dataclasses import dataclass

import numpy as np

from hybridasr.nnet.loss import cross_entropy, log_softmax
from hybridasr.sequence.criteria import Criterion, Reading, Units, expected_accuracy, mmi
from hybridasr.sequence.lattice_set import LatticeSet
from hybridasr.train.objective import Counts

MMI = "mmi"


@dataclass(frozen=True)
class CriterionOptions:
    """What is asked of the lattices, as plain values.

    Attributes
    ----------
    kind : "mmi", "mpfe" or "smbr"
    acoustic_scale : float
    smoothing : float
        Weight of the cross-entropy, 0 to 1; the criterion has the rest (F-smoothing: Su et al.,
        "Error back propagation for sequence training of context-dependent deep networks for
        conversational speech transcription", 2013).
    boost : float
    drop_frames : bool
        As `reject` of `criteria.mmi`.
    one_silence_class : bool
        As of `criteria.expected_accuracy`.
    """

    kind: str
    acoustic_scale: float
    smoothing: float = 0.0
    boost: float = 0.0
    drop_frames: bool = True
    one_silence_class: bool = True
    silence_apart: bool = True


@dataclass(frozen=True)
class LatticeObjective:
    """A criterion of whole utterances, each with its lattice.

    Attributes
    ----------
    names : tuple of str
        The utterances, by number.
    starts : int64 (num_utterances + 1,)
        First frame of each.
    alignment : int32 (num_frames,)
        Transition-ids.
    subsampling : int
        Frames from one that the network scores to the next. What follows, and the lattices, know
        the scored frames alone.
    log_priors : float32 (num_pdfs,)
        Of the network: posteriors over them are its likelihoods.
    """

    lattices: LatticeSet
    names: tuple[str, ...]
    starts: np.ndarray
    alignment: np.ndarray
    subsampling: int
    units: Units
    log_priors: np.ndarray
    options: CriterionOptions

    def loss(self, logits: np.ndarray, chunks: np.ndarray) -> tuple[Counts, np.ndarray]:
        """See `Objective.loss`; the chunks are whole utterances.

        The loss is minus the log posterior of the alignment (MMI), or the expected number of wrong
        frames, over the acoustic scale. `Counts.correct` are frames whose likeliest pdf is the
        aligned one.
        """
        counts, slopes = Counts(), np.zeros_like(logits)
        for row, (utterance, first, length) in enumerate(chunks.tolist()):
            if (first, first + length) != tuple(self.starts[utterance:utterance + 2].tolist()):
                raise ValueError(f"frames {first} to {first + length} are not an utterance")
            scored = -(-length // self.subsampling)
            seen = self._add(logits[row, :scored], utterance, slopes[row, :scored])
            counts += seen
        slopes /= max(counts.frames, 1)
        return counts, slopes

    def reading(self, utterance: int) -> Reading:
        """Return the lattice of an utterance."""
        return Reading.of(self.lattices.lattice(self.names[utterance]), self.units)

    def aligned(self, utterance: int) -> np.ndarray:
        """Return the transition-ids of an utterance's scored frames, int32 (num_scored,)."""
        return self.alignment[slice(*self.starts[utterance:utterance + 2], self.subsampling)]

    def uncovered(self, utterance: int) -> int:
        """Return in how many frames no arc of the lattice reads the aligned pdf.

        Raises
        ------
        ValueError
            if lattice and alignment are of different lengths.
        """
        reading, aligned = self.reading(utterance), self.units.pdf[self.aligned(utterance)]
        if reading.num_frames != len(aligned):
            raise ValueError(f"{reading.num_frames} frames, aligned are {len(aligned)}")
        reads = reading.pdf >= 0
        frames = reading.frame[reads]
        covered = np.zeros(len(aligned), bool)
        covered[frames[reading.pdf[reads] == aligned[frames]]] = True
        return int((~covered).sum())

    def _add(self, logits: np.ndarray, utterance: int, slopes: np.ndarray) -> Counts:
        """Write the slopes of an utterance's loss into `slopes`; return what was seen."""
        options, aligned = self.options, self.aligned(utterance)
        loglikes = log_softmax(logits) - self.log_priors
        criterion, loss = self._criterion(self.reading(utterance), loglikes, aligned)
        share = 1 - options.smoothing
        # The slopes of a frame sum to 0, so that by the logits they are those by their softmax.
        np.multiply(criterion.gradient, -share / options.acoustic_scale, out=slopes)
        frame_loss, frame_slopes, correct = cross_entropy(
            np.ascontiguousarray(logits), self.units.pdf[aligned], options.smoothing)
        if options.smoothing:
            slopes += frame_slopes
        return Counts(share * loss / options.acoustic_scale + options.smoothing * frame_loss,
                      len(aligned), correct)

    def _criterion(self, reading: Reading, loglikes: np.ndarray, aligned: np.ndarray
                   ) -> tuple[Criterion, float]:
        options = self.options
        if options.kind == MMI:
            one = mmi(reading, loglikes, aligned, self.units, options.acoustic_scale,
                      options.boost, options.drop_frames)
            return one, -one.value
        one = expected_accuracy(reading, loglikes, aligned, self.units, options.acoustic_scale,
                                options.kind, options.one_silence_class)
        return one, len(aligned) - one.value
