"""Owns the times of words on the arcs of a lattice.

An arc of a determinised lattice has the frames from where its word is told apart from others, not
those in which it is said. Here a word gets the frames that it has on the best path over its arc.
Kaldi changes the lattice instead, so that arcs and words have the same frames
(lattice-align-words-lexicon).
"""

import numpy as np

from hybridasr.decode.words import phone_segments, word_segments
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lattice.lattice import CompactLattice, WordPath
from hybridasr.lattice.shortest import costs_from_start, costs_to_end, path_of
from hybridasr.lexicon.langdir import Lang

# Arcs that are worse than the best path by more than this (cost) keep the frames of their states:
# they are less likely than one in 20000, and each costs a path.
NEGLIGIBLE = 10.0


def arc_times(lattice: CompactLattice, transitions: TransitionModel, lang: Lang,
              acoustic_scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames [begin, end) of each arc's word on the best path over the arc.

    Returns
    -------
    (begins, ends), float64 (num_arcs,)
        Frames of the arc's states where it has no word, or one that does not match its phones.
    """
    frames = lattice.state_frames.astype(np.float64)
    begins, ends = frames[lattice.source], frames[lattice.target]
    if lattice.num_states == 0:
        return begins, ends
    costs, finals = lattice.costs(acoustic_scale)
    before, arrival = costs_from_start(lattice, costs)
    after, choice = costs_to_end(lattice, costs, finals)
    with np.errstate(invalid="ignore"):
        totals = before[lattice.source] + costs + after[lattice.target]
        near = (lattice.word > 0) & (totals <= after[0] + NEGLIGIBLE)
    waiting = near.copy()
    # Best first: what a path has that is not done yet, has its best path in it.
    for arc in np.flatnonzero(near)[np.argsort(totals[near], kind="stable")]:
        if not waiting[arc]:
            continue
        arcs, end = _path_over(lattice, int(arc), arrival, choice)
        segments = path_times(path_of(lattice, arcs, end), transitions, lang)
        worded = [one for one in arcs if lattice.word[one]]
        for one, segment in zip(worded, segments, strict=False):
            if waiting[one]:
                begins[one], ends[one] = segment
        waiting[worded] = False
    return begins, ends


def path_times(path: WordPath, transitions: TransitionModel, lang: Lang
               ) -> list[tuple[int, int]]:
    """Return the frames [begin, end) of the words of a path, as far as they match its phones."""
    segments = word_segments(phone_segments(path.transition_ids, transitions), list(path.words),
                             lang)
    return [(segment.begin, segment.end) for segment in segments]


def _path_over(lattice: CompactLattice, arc: int, arrival: np.ndarray, choice: np.ndarray
               ) -> tuple[list[int], int]:
    """Return the arcs of the best path over an arc, and the state where it ends."""
    arcs = [arc]
    while arrival[lattice.source[arcs[-1]]] >= 0:
        arcs.append(int(arrival[lattice.source[arcs[-1]]]))
    arcs.reverse()
    while choice[lattice.target[arcs[-1]]] >= 0:
        arcs.append(int(choice[lattice.target[arcs[-1]]]))
    return arcs, int(lattice.target[arcs[-1]])
