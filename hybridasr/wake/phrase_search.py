"""Owns the search of the first stage: phrases in scores of phones, frame by frame, without end.

Each way to say a phrase is a chain of states, which a path may enter at any frame. A path that has
come through is worth the mean of its scores (per frame), so that long phrases count as short ones.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np


class Hit(NamedTuple):
    """A phrase that may have been said in the frames [begin, end)."""

    phrase: int
    begin: int
    end: int
    score: float  # mean of the frames' scores, 0 at most


class PhraseSearch:
    """Looks for phrases in scores that come piece by piece; memory does not grow.

    However the frames are cut, the hits are the same.

    Parameters
    ----------
    chains : sequence of (phrase, columns)
        Each way to say a phrase, as the columns of the scores of its states.
    least : float
        Score of a hit, at least.
    settle : int
        A hit is given when so many frames have brought no better one of the phrase.

    Examples
    --------
    >>> search = PhraseSearch([(0, [1, 2])], least=-0.5, settle=2)
    >>> scores = np.full((8, 3), -3.0, np.float32)
    >>> scores[2:4, 1] = scores[4:6, 2] = 0.0
    >>> search.accept(scores)
    [Hit(phrase=0, begin=2, end=5, score=0.0)]
    """

    def __init__(self, chains: Sequence[tuple[int, Sequence[int]]], least: float, settle: int):
        if not chains or any(len(columns) == 0 for _, columns in chains):
            raise ValueError("a phrase without states")
        self._least, self._settle = least, settle
        self._columns = np.concatenate([np.asarray(columns, np.int64) for _, columns in chains])
        self._ends = np.cumsum([len(columns) for _, columns in chains])
        self._phrases = np.array([phrase for phrase, _ in chains])
        self._scores = np.full(len(self._columns), -np.inf)
        self._begins = np.zeros(len(self._columns), np.int64)
        self._frames = 0
        num_phrases = int(self._phrases.max()) + 1
        # The best hit of each phrase that is not given yet: begin, end (0: none), score.
        self._waiting = np.zeros((num_phrases, 2), np.int64)
        self._best = np.full(num_phrases, -np.inf)

    @property
    def num_frames(self) -> int:
        """Frames searched so far."""
        return self._frames

    def accept(self, scores: np.ndarray) -> list[Hit]:
        """Search the next frames, float32 (num_frames, num_columns); return the hits in order."""
        if scores.ndim != 2 or self._columns.max() >= scores.shape[1] or self._columns.min() < 0:
            raise ValueError(f"scores {scores.shape} for column {self._columns.max()}")
        count, hits = 0, np.zeros((len(scores) + 1, 4))
        if len(scores):
            # A phrase gives at most one hit in `settle` frames.
            hits = np.zeros((len(self._best) * (len(scores) // max(self._settle, 1) + 2), 4))
            count = _advance(np.ascontiguousarray(scores, np.float32), self._columns, self._ends,
                             self._phrases, self._scores, self._begins, self._frames,
                             self._waiting, self._best, self._least, self._settle, hits)
        self._frames += len(scores)
        return [Hit(int(phrase), int(begin), int(end), float(score))
                for phrase, begin, end, score in hits[:count].tolist()]

    def finish(self) -> list[Hit]:
        """Return the hits that waited for more frames."""
        return [Hit(phrase, *self._waiting[phrase].tolist(), float(self._best[phrase]))
                for phrase in np.flatnonzero(np.isfinite(self._best)).tolist()]


@numba.njit(cache=True, nogil=True)
def _advance(scores, columns, ends, phrases, path, begins, first, waiting, best, least, settle,
             hits):
    """Advance all chains; fill `hits` and return their number.

    `path` and `begins` (num_states,), `waiting` and `best` (num_phrases, ...) are changed.
    """
    count = 0
    for frame in range(len(scores)):
        now = first + frame
        start = 0
        for chain in range(len(ends)):
            # From the last state, so that a state still finds its neighbour as it was.
            for state in range(ends[chain] - 1, start - 1, -1):
                if state > start and path[state - 1] > path[state]:
                    path[state], begins[state] = path[state - 1], begins[state - 1]
                elif state == start and path[state] < 0.0:
                    path[state], begins[state] = 0.0, now
                path[state] += scores[frame, columns[state]]
            last, phrase = ends[chain] - 1, phrases[chain]
            score = path[last] / (now + 1 - begins[last])
            if score >= least and score > best[phrase]:
                best[phrase] = score
                waiting[phrase, 0], waiting[phrase, 1] = begins[last], now + 1
            start = ends[chain]
        for phrase in range(len(best)):
            if best[phrase] > -np.inf and now + 1 - waiting[phrase, 1] >= settle:
                hits[count, 0], hits[count, 1] = phrase, waiting[phrase, 0]
                hits[count, 2], hits[count, 3] = waiting[phrase, 1], best[phrase]
                best[phrase] = -np.inf
                count += 1
    return count
