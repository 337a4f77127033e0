"""Owns the criteria of lattices: MMI, boosted MMI, MPFE and sMBR, each with its gradient.

With p(path) in proportion to exp(-graph cost) times the product of its scaled likelihoods,

    MMI    log p(the aligned path), its graph cost left out
    MPFE   expected number of frames whose phone is the aligned one
    sMBR   expected number of frames whose pdf is the aligned one

(Povey, "Discriminative training for large vocabulary speech recognition", 2003; Povey et al.,
"Boosted MMI for model and feature-space discriminative training", 2008; Gibson and Hain,
"Hypothesis spaces for minimum Bayes risk training", 2006; Veselý et al., "Sequence-discriminative
training of deep neural networks", 2013.) All are to be raised. Sums are in float64, over all paths
of the lattice. Kaldi: nnet-train-mmi-sequential, nnet-train-mpe-sequential, lattice-boost-ali.
"""

from dataclasses import dataclass

import numba
import numpy as np

from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lattice.posteriors import path_sums
from hybridasr.sequence.state_lattice import StateLattice

ACCURACIES = ("mpfe", "smbr")


@dataclass(frozen=True)
class Units:
    """What the transition-ids of lattices and alignments stand for.

    Attributes
    ----------
    pdf, phone : int32 (num_tids + 1,)
    silent : bool (num_tids + 1,)
        Whether the phone is one of silence.
    """

    pdf: np.ndarray
    phone: np.ndarray
    silent: np.ndarray

    @classmethod
    def of(cls, transitions: TransitionModel, silence_phones: list[int]) -> "Units":
        """Return the units of a model."""
        return cls(transitions.tid_pdf, transitions.tid_phone,
                   np.isin(transitions.tid_phone, silence_phones))


@dataclass(frozen=True)
class Reading:
    """A lattice with what its arcs read, checked: what the kernels take.

    Attributes
    ----------
    frame : int32 (num_arcs,)
    pdf : int32 (num_arcs,)
        -1 on epsilon arcs.
    num_frames : int
    """

    lattice: StateLattice
    frame: np.ndarray
    pdf: np.ndarray
    num_frames: int

    @classmethod
    def of(cls, lattice: StateLattice, units: Units) -> "Reading":
        """Check a lattice.

        Raises
        ------
        ValueError
            if its arrays are no lattice, or it has transition-ids that the model has not.
        """
        frame, num_frames = lattice.frames()
        tids = lattice.tid
        if num_frames < 1 or tids.min() < 0 or tids.max() >= len(units.pdf):
            raise ValueError("arrays that are no lattice of the model")
        return cls(lattice, frame, np.where(tids > 0, units.pdf[tids], -1).astype(np.int32),
                   num_frames)


@dataclass(frozen=True)
class Criterion:
    """A criterion of one utterance.

    Attributes
    ----------
    value : float
    gradient : float32 (num_frames, num_pdfs)
        By the log likelihoods.
    rejected : int
        Frames that were given no gradient.
    """

    value: float
    gradient: np.ndarray
    rejected: int = 0


def mmi(reading: Reading, loglikes: np.ndarray, alignment: np.ndarray, units: Units, scale: float,
        boost: float = 0.0, reject: bool = True) -> Criterion:
    """Return MMI, or boosted MMI, of an utterance.

    Parameters
    ----------
    loglikes : float32 (num_frames, num_pdfs)
    alignment : int32 (num_frames,)
        Transition-ids.
    scale : float
        Factor on the log likelihoods.
    boost : float
        Arcs of another phone than the aligned one, silence left out, are taken for likelier by
        the factor exp(boost).
    reject : bool
        Give no gradient to frames whose aligned pdf no arc of the lattice reads: lattice and
        alignment do not go together there (Veselý et al.).

    Raises
    ------
    ValueError
        if the arrays do not fit.
    """
    _check(reading, loglikes, alignment, units)
    lattice, pdfs = reading.lattice, units.pdf[alignment]
    costs = _arc_costs(reading, loglikes, scale)
    if boost:
        costs -= boost * ((lattice.tid > 0) & ~units.silent[lattice.tid]
                          & ~_same(reading, alignment, units.phone))
    occupied, total = _occupancy(reading, costs, loglikes.shape[1])
    frames = np.arange(reading.num_frames)
    value = scale * loglikes[frames, pdfs].sum(dtype=np.float64) - total
    rejected = occupied[frames, pdfs] == 0 if reject else np.zeros(len(frames), bool)
    gradient = np.multiply(occupied, -scale, out=occupied)
    gradient[frames, pdfs] += scale
    gradient[rejected] = 0.0
    return Criterion(float(value), gradient.astype(np.float32), int(rejected.sum()))


def expected_accuracy(reading: Reading, loglikes: np.ndarray, alignment: np.ndarray, units: Units,
                      scale: float, kind: str = "smbr", one_silence_class: bool = True
                      ) -> Criterion:
    """Return the expected number of right frames of an utterance.

    Parameters
    ----------
    loglikes, alignment, scale
        As of `mmi`.
    kind : "mpfe" or "smbr"
        Whether the phone has to be right or the pdf.
    one_silence_class : bool
        Any silence is right where silence is aligned (Kaldi's --one-silence-class); otherwise
        frames that an arc reads as silence are never right.

    Raises
    ------
    ValueError
        if the arrays do not fit.
    """
    _check(reading, loglikes, alignment, units)
    if kind not in ACCURACIES:
        raise ValueError(f"criterion '{kind}'")
    lattice, tids = reading.lattice, reading.lattice.tid
    right = _same(reading, alignment, units.pdf if kind == "smbr" else units.phone)
    silent = units.silent[tids]
    if one_silence_class:
        right |= silent & units.silent[alignment[_frames_read(reading)]]
    else:
        right &= ~silent
    right &= tids > 0
    costs = _arc_costs(reading, loglikes, scale)
    forward, backward = path_sums(lattice.source, lattice.target, costs, _ends(lattice))
    gradient = np.zeros((reading.num_frames, loglikes.shape[1]))
    value = _accuracy_slopes(lattice.source, lattice.target, reading.frame, reading.pdf, costs,
                             right, forward, backward, scale, gradient)
    return Criterion(float(value), gradient.astype(np.float32))


def _check(reading: Reading, loglikes: np.ndarray, alignment: np.ndarray, units: Units) -> None:
    shape = (reading.num_frames,)
    if loglikes.shape[:1] != shape or loglikes.ndim != 2 or loglikes.dtype != np.float32:
        raise ValueError(f"log likelihoods {loglikes.dtype} {loglikes.shape}, the lattice has "
                         f"{reading.num_frames} frames")
    if alignment.shape != shape or alignment.min() < 1 or alignment.max() >= len(units.pdf):
        raise ValueError(f"an alignment {alignment.shape} from {alignment.min()} to "
                         f"{alignment.max()}, the lattice has {reading.num_frames} frames")
    if loglikes.shape[1] <= max(reading.pdf.max(), units.pdf[alignment].max()):
        raise ValueError(f"log likelihoods of {loglikes.shape[1]} pdfs are too few")


def _frames_read(reading: Reading) -> np.ndarray:
    # An epsilon arc behind the last frame reads none; any other serves as its place.
    return np.minimum(reading.frame, reading.num_frames - 1)


def _same(reading: Reading, alignment: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return which arcs have the unit that is aligned to their frame, bool (num_arcs,)."""
    return unit[reading.lattice.tid] == unit[alignment][_frames_read(reading)]


def _ends(lattice: StateLattice) -> np.ndarray:
    ends = np.full(lattice.num_states, np.inf)
    ends[-1] = 0.0
    return ends


def _arc_costs(reading: Reading, loglikes: np.ndarray, scale: float) -> np.ndarray:
    costs = reading.lattice.cost.astype(np.float64)
    _add_scores(reading.frame, reading.pdf, np.ascontiguousarray(loglikes), scale, costs)
    return costs


def _occupancy(reading: Reading, costs: np.ndarray, num_pdfs: int) -> tuple[np.ndarray, float]:
    """Return how likely each pdf is in each frame, float64 (num_frames, num_pdfs), and log sum."""
    lattice = reading.lattice
    forward, backward = path_sums(lattice.source, lattice.target, costs, _ends(lattice))
    occupied = np.zeros((reading.num_frames, num_pdfs))
    _add_occupancy(lattice.source, lattice.target, reading.frame, reading.pdf, costs, forward,
                   backward, occupied)
    return occupied, float(backward[0])


@numba.njit(cache=True, nogil=True)
def _add_scores(frame, pdf, loglikes, scale, costs):
    for arc in range(len(costs)):
        if pdf[arc] >= 0:
            costs[arc] -= scale * loglikes[frame[arc], pdf[arc]]


@numba.njit(cache=True, nogil=True)
def _add_occupancy(source, target, frame, pdf, costs, forward, backward, occupied):
    for arc in range(len(costs)):
        if pdf[arc] >= 0:
            occupied[frame[arc], pdf[arc]] += np.exp(
                forward[source[arc]] - costs[arc] + backward[target[arc]] - backward[0])


@numba.njit(cache=True, nogil=True)
def _accuracy_slopes(source, target, frame, pdf, costs, right, forward, backward, scale, slopes):
    """Add the slopes of the expected accuracy to `slopes`; return it.

    A path over an arc has, on average, so many right frames: those up to the arc's source, the
    arc's own, and those from its target on.
    """
    before, after = np.zeros(len(forward)), np.zeros(len(forward))
    for arc in range(len(costs)):
        begin, end = source[arc], target[arc]
        before[end] += (before[begin] + right[arc]) * np.exp(
            forward[begin] - costs[arc] - forward[end])
    for arc in range(len(costs) - 1, -1, -1):
        begin, end = source[arc], target[arc]
        # A state from which no path leads to the end has no share.
        if backward[begin] > -np.inf:
            after[begin] += (after[end] + right[arc]) * np.exp(
                backward[end] - costs[arc] - backward[begin])
    mean = before[-1]
    for arc in range(len(costs)):
        if pdf[arc] >= 0:
            begin, end = source[arc], target[arc]
            share = np.exp(forward[begin] - costs[arc] + backward[end] - backward[0])
            slopes[frame[arc], pdf[arc]] += scale * share * (
                before[begin] + right[arc] + after[end] - mean)
    return mean
