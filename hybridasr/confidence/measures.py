"""Owns what speaks for and against a command: the measures that a probability is made of.

All are larger for a command that was said. Costs are in natural logs, acoustics scaled as in the
search; frames are compared by likelihood ratios, since the likelihoods themselves say more of the
recording than of the word (Rose and Paul 1990; Jiang, "Confidence measures for speech recognition:
a survey", Speech Communication 45, 2005; per phone: Witt and Young, "Phone-level pronunciation
scoring", Speech Communication 30, 2000).
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hybridasr.corpus.command_list import Command
from hybridasr.graph.command_graph import Phrase
from hybridasr.hmm.durations import standard_deviations
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lattice.lattice import CompactLattice, WordPath
from hybridasr.lattice.paths import n_best
from hybridasr.lattice.posteriors import forward_backward

NAMES = ("filler_ratio", "filler_ratio_a_frame", "margin", "posterior", "phone_ratio",
         "worst_phone", "duration", "worst_duration", "contrast")
NUM_ALTERNATIVES = 10
MOST_PATHS = 100  # of a lattice; several may be commands of one meaning
# Beyond this an average over phones would say nothing but that one was odd.
LARGEST_DEVIATION = 4.0
LARGEST_LOG_ODDS = 10.0
LARGEST_RATIO = 20.0
LEAST_FRAMES = 5
# How much louder speech is than the rest (natural log of power): beyond this it says no more.
LARGEST_CONTRAST = 6.0


@dataclass(frozen=True)
class CompetingCommands:
    """The best command of an utterance, the other commands and the filler against it.

    Attributes
    ----------
    best : WordPath
    others : list of WordPath
        Commands of other ids or slots, best first.
    wins : bool
        Whether the command is better than the filler, the filler's penalty counted.
    filler_ratio : float
        Cost of the filler, its penalty left out, less the command's; at most `LARGEST_RATIO`.
    margin : float
        Cost of the next command less the best one's; at most the beam of the lattice.
    posteriors : float64 (1 + len(others),)
        Of the command and the others among all commands and the filler.
    """

    best: WordPath
    others: list[WordPath]
    wins: bool
    filler_ratio: float
    margin: float
    posteriors: np.ndarray


def compare_commands(lattice: CompactLattice, phrases: Mapping[Phrase, Command],
                     filler_cost: float, scale: float, beam: float, penalty: float
                     ) -> CompetingCommands | None:
    """Compare the commands of a lattice with each other and with the filler.

    Parameters
    ----------
    lattice : CompactLattice
        Of commands only.
    phrases : mapping word ids -> Command
        Commands of one id and the same slots do not compete with each other.
    filler_cost : float
        Of the best path without a command; infinite if there is none.
    scale : float
        Acoustic scale.
    beam : float
        Of the lattice.
    penalty : float
        Added to the cost of the filler to tell which wins.

    Returns
    -------
    CompetingCommands, or None if the lattice holds no words
    """
    shares: dict[Hashable, float] = {}
    firsts: dict[Hashable, WordPath] = {}
    # All that may have been said: every path of the lattice, and the filler.
    total = np.logaddexp(forward_backward(lattice, scale)[2], -filler_cost)
    for path in n_best(lattice, MOST_PATHS, scale):
        if path.words:
            name = phrases[path.words].meaning
            firsts.setdefault(name, path)
            shares[name] = shares.get(name, 0.0) + float(np.exp(-path.total_cost(scale) - total))
    if not firsts:
        return None
    # Paths come best first, and so do the commands.
    best, *others = list(firsts.values())[:NUM_ALTERNATIVES]
    cost = best.total_cost(scale)
    ratio = filler_cost - cost
    return CompetingCommands(
        best, others, bool(ratio + penalty > 0),
        float(np.clip(ratio, -LARGEST_RATIO, LARGEST_RATIO)),
        others[0].total_cost(scale) - cost if others else beam,
        np.array(list(shares.values())[:NUM_ALTERNATIVES]))


def phone_measures(scores: np.ndarray, num_pdfs: int, transition_ids: np.ndarray,
                   transitions: TransitionModel, others: Sequence[int],
                   durations: np.ndarray | None) -> np.ndarray:
    """Compare a path, phone by phone, with the best senone of each frame.

    Parameters
    ----------
    scores : float32 (num_frames, num_pdfs + num_mixtures)
        As from `FillerUnits.scores`.
    transition_ids : int32 (num_frames,)
    others : sequence of int
        Phones that are left out: silence, and units of what is said around a command.
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
    spoken = ~np.isin(phones, others)
    starts, ends, phones = starts[spoken], ends[spoken], phones[spoken]
    frames = np.arange(len(transition_ids))
    ratios = (scores[frames, transitions.tid_pdf[transition_ids]]
              - scores[:, :num_pdfs].max(axis=1)).astype(np.float64)
    # Sums over any stretch are differences of these.
    sums = np.concatenate([[0.0], np.cumsum(ratios)])
    means = (sums[ends] - sums[starts]) / (ends - starts)
    deviations = np.full(len(phones), np.nan)
    if durations is not None:
        deviations = np.minimum(
            np.abs(standard_deviations(phones, ends - starts, durations)), LARGEST_DEVIATION)
    return np.stack([starts, ends, means, deviations], axis=1)


def level_contrast(levels: np.ndarray, phones: np.ndarray, counted: np.ndarray | None = None
                   ) -> float:
    """Return how much louder the frames of speech are than the others, on average.

    At most `LARGEST_CONTRAST`: deep silence around a recording makes nothing in it more probable.
    NaN if there are hardly any others. Noise that goes on is no louder where a word is heard.

    Parameters
    ----------
    levels : float64 (num_frames,)
    phones : float64 (num_phones, 4)
        From `phone_measures`.
    counted : bool (num_frames,), optional
        The frames that are looked at; default: all.

    Examples
    --------
    >>> levels = np.array([0.0] * 5 + [3.0] * 6 + [1.0] * 5)
    >>> level_contrast(levels, np.array([[5.0, 11.0, -1.0, 0.0]]))
    2.5
    """
    spoken = np.zeros(len(levels), bool)
    for begin, end in phones[:, :2].astype(np.int64):
        spoken[begin:end] = True
    rest = ~spoken if counted is None else ~spoken & counted
    if spoken.sum() < LEAST_FRAMES or rest.sum() < LEAST_FRAMES:
        return np.nan
    return min(float(levels[spoken].mean() - levels[rest].mean()), LARGEST_CONTRAST)


def measures(commands: CompetingCommands, phones: np.ndarray, contrast: float, begin: int = 0,
             end: int | None = None) -> np.ndarray:
    """Return the measures `NAMES`, float64 (len(NAMES),), of a command or one of its words.

    Parameters
    ----------
    phones : float64 (num_phones, 4)
        Of the command, from `phone_measures`.
    contrast : float
        From `level_contrast`.
    begin, end : int
        Frames of the word; those measures that belong to the command are the same for all words.
    """
    frames = max(float((phones[:, 1] - phones[:, 0]).sum()), 1.0)
    inside = phones[(phones[:, 0] >= begin) & (phones[:, 1] <= (np.inf if end is None else end))]
    # A share of exactly 0 or 1 is rounding; its log odds would be infinite.
    share = float(np.clip(commands.posteriors[0], 1e-12, 1 - 1e-12))
    odds = np.clip(np.log(share) - np.log1p(-share), -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)
    own = [np.nan] * 4
    if len(inside):
        own = [float(np.average(inside[:, 2], weights=inside[:, 1] - inside[:, 0])),
               float(inside[:, 2].min()), -float(inside[:, 3].mean()),
               -float(inside[:, 3].max())]
    return np.array([commands.filler_ratio, commands.filler_ratio / frames, commands.margin, odds,
                     *own, contrast])


def nothing() -> np.ndarray:
    """Return the measures of an utterance in which no command came within the beam: all NaN."""
    return np.full(len(NAMES), np.nan)
