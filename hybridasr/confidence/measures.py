"""Owns what speaks for and against a command: the measures that a probability is made of.

All are larger for a command that was said. Costs are in natural logs, acoustics scaled as in the
search; frames are compared by likelihood ratios, since the likelihoods themselves say more of the
recording than of the word (Rose and Paul 1990; Jiang, "Confidence measures for speech recognition:
a survey", Speech Communication 45, 2005; per phone: Witt and Young, "Phone-level pronunciation
scoring", Speech Communication 30, 2000).
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np

from hybridasr.hmm.durations import standard_deviations
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lattice.lattice import CompactLattice, WordPath
from hybridasr.lattice.paths import n_best
from hybridasr.lattice.posteriors import forward_backward

NAMES = ("filler_ratio", "filler_ratio_a_frame", "margin", "posterior", "phone_ratio",
         "worst_phone", "duration", "worst_duration")
NUM_ALTERNATIVES = 10
# Beyond this an average over phones would say nothing but that one was odd.
LARGEST_DEVIATION = 4.0
LARGEST_LOG_ODDS = 10.0


@dataclass(frozen=True)
class Rivals:
    """The best command of an utterance and what stands against it.

    Attributes
    ----------
    best : WordPath
    others : list of WordPath
        Other commands, best first.
    filler : WordPath or None
        The best that is no command: filler, or silence alone. None: none within the beam.
    wins : bool
        Whether the command is the best of all, the filler's penalty counted.
    filler_ratio, margin : float
        Costs of the filler, penalty left out, and of the next command, less the command's cost;
        at most the beam of the lattice.
    posteriors : float64 (1 + len(others),)
        Of the command and the others among all that the lattice holds.
    """

    best: WordPath
    others: list[WordPath]
    filler: WordPath | None
    wins: bool
    filler_ratio: float
    margin: float
    posteriors: np.ndarray


def find_rivals(lattice: CompactLattice, fillers: Container[int], scale: float, beam: float,
                penalty: float) -> tuple[Rivals | None, WordPath | None]:
    """Find the best command and the best filler of a lattice.

    Parameters
    ----------
    fillers : word ids that are no commands
    scale : float
        Acoustic scale.
    beam : float
        Of the lattice.
    penalty : float
        What the graph adds to the cost of fillers.

    Returns
    -------
    (rivals, or None if no command is within the beam; the best filler or silence, or None)
    """
    paths = n_best(lattice, 2 * NUM_ALTERNATIVES, scale)
    costs = {path.words: path.total_cost(scale) for path in paths}
    commands = [path for path in paths if path.words and path.words[0] not in fillers]
    rest = [path for path in paths if not path.words or path.words[0] in fillers]
    filler = rest[0] if rest else None
    if not commands:
        return None, filler
    best, others = commands[0], commands[1:NUM_ALTERNATIVES]
    cost = costs[best.words]
    against = min((costs[path.words] - (penalty if path.words else 0.0) for path in rest),
                  default=cost + beam)
    total = forward_backward(lattice, scale)[2]
    posteriors = np.exp([-costs[path.words] - total for path in (best, *others)])
    margin = costs[others[0].words] - cost if others else beam
    return Rivals(best, others, filler, best is paths[0], min(against - cost, beam), margin,
                  posteriors), filler


def phone_measures(scores: np.ndarray, num_pdfs: int, transition_ids: np.ndarray,
                   transitions: TransitionModel, silence: Sequence[int],
                   durations: np.ndarray | None) -> np.ndarray:
    """Compare a path, phone by phone, with the best senone of each frame.

    Parameters
    ----------
    scores : float32 (num_frames, num_pdfs + num_mixtures)
        As from `FillerUnits.scores`.
    transition_ids : int32 (num_frames,)
    silence : phones left out
    durations : float32 (num_phones, 2), optional
        As from `hmm.durations.estimate_durations`.

    Returns
    -------
    float64 (num_phones, 4): begin, end, average log likelihood ratio of the frames, deviations of
    the duration (NaN if `durations` is None) of each speech phone
    """
    starts = transitions.phone_starts(transition_ids)
    ends = np.append(starts[1:], len(transition_ids))
    phones = transitions.tid_phone[transition_ids[starts]]
    frames = np.arange(len(transition_ids))
    ratios = (scores[frames, transitions.tid_pdf[transition_ids]]
              - scores[:, :num_pdfs].max(axis=1)).astype(np.float64)
    sums = np.concatenate([[0.0], np.cumsum(ratios)])
    means = (sums[ends] - sums[starts]) / (ends - starts)
    odd = np.full(len(phones), np.nan)
    if durations is not None:
        odd = np.minimum(np.abs(standard_deviations(phones, ends - starts, durations)),
                         LARGEST_DEVIATION)
    spoken = ~np.isin(phones, silence)
    return np.stack([starts, ends, means, odd], axis=1)[spoken]


def measures(rivals: Rivals, phones: np.ndarray, begin: int = 0,
             end: int | None = None) -> np.ndarray:
    """Return the measures `NAMES`, float64 (len(NAMES),), of a command or one of its words.

    Parameters
    ----------
    phones : float64 (num_phones, 4)
        Of the command, from `phone_measures`.
    begin, end : int
        Frames of the word; those measures that belong to the command are the same for all words.
    """
    frames = max(float((phones[:, 1] - phones[:, 0]).sum()), 1.0)
    inside = phones[(phones[:, 0] >= begin) & (phones[:, 1] <= (np.inf if end is None else end))]
    share = float(np.clip(rivals.posteriors[0], 1e-12, 1 - 1e-12))
    odds = np.clip(np.log(share) - np.log1p(-share), -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)
    own = [np.nan] * 4
    if len(inside):
        own = [float(np.average(inside[:, 2], weights=inside[:, 1] - inside[:, 0])),
               float(inside[:, 2].min()), -float(inside[:, 3].mean()),
               -float(inside[:, 3].max())]
    return np.array([rivals.filler_ratio, rivals.filler_ratio / frames, rivals.margin, odds, *own])


def nothing() -> np.ndarray:
    """Return the measures of an utterance in which no command came within the beam: all NaN."""
    return np.full(len(NAMES), np.nan)
