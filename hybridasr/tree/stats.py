"""Owns the statistics that trees are grown from: one Gaussian for every phone in context.

Takes features and alignments; gives counts, sums and sums of squares by (window of phones,
pdf-class), as Kaldi's acc-tree-stats. Context-independent phones (silence) forget their
neighbours, so that no question about them can split.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hybridasr.hmm.transitions import TransitionModel

VARIANCE_FLOOR = 0.01  # Kaldi's, of a Gaussian while clustering
LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class TreeStats:
    """One row for each (window, pdf-class) that was seen.

    Attributes
    ----------
    keys : int32 (num_rows, context_width + 1)
        The phones of the window (0 = beyond the utterance) and, last, the pdf-class; rows are
        sorted and different.
    sums : float64 (num_rows, 1 + 2 * dim)
        Frames, sums, sums of squares.
    """

    keys: np.ndarray
    sums: np.ndarray

    @property
    def dim(self) -> int:
        """Dimension of the features."""
        return (self.sums.shape[1] - 1) // 2


def collect(keys: np.ndarray, feats: np.ndarray) -> TreeStats:
    """Return the statistics of frames.

    Parameters
    ----------
    keys : int32 (num_frames, context_width + 1)
        From `frame_keys`.
    feats : float32 (num_frames, dim)
    """
    unique, rows = distinct_rows(keys)
    order = np.argsort(rows, kind="stable")
    starts = np.searchsorted(rows[order], np.arange(len(unique)))
    wide = feats[order].astype(np.float64)
    counts = np.bincount(rows, minlength=len(unique)).astype(np.float64)
    parts = [np.add.reduceat(values, starts) for values in (wide, wide * wide)] if len(wide) else [
        np.zeros((0, feats.shape[1]))] * 2
    return TreeStats(unique.astype(np.int32), np.concatenate([counts[:, None], *parts], axis=1))


def distinct_rows(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different rows, sorted, and the number of each row among them.

    >>> rows, numbers = distinct_rows(np.array([[2, 0], [2, 0], [1, 3], [2, 0]]))
    >>> rows.tolist(), numbers.tolist()
    ([[1, 3], [2, 0]], [1, 1, 0, 1])
    """
    # Neighbouring frames mostly have the same row: one of them is enough to sort.
    new = np.ones(len(keys), bool)
    new[1:] = (keys[1:] != keys[:-1]).any(1)
    unique, numbers = np.unique(keys[new], axis=0, return_inverse=True)
    return unique, numbers.reshape(-1)[np.cumsum(new) - 1]


def merge(parts: Sequence[TreeStats]) -> TreeStats:
    """Add up statistics, in the order given."""
    keys = np.concatenate([part.keys for part in parts])
    unique, rows = np.unique(keys, axis=0, return_inverse=True)
    sums = np.zeros((len(unique), parts[0].sums.shape[1]))
    np.add.at(sums, rows.reshape(-1), np.concatenate([part.sums for part in parts]))
    return TreeStats(unique, sums)


def frame_windows(alignment: np.ndarray, transitions: TransitionModel, width: int,
                  central: int) -> np.ndarray:
    """Return the window of phones around each frame's phone: int32 (num_frames, width).

    Parameters
    ----------
    alignment : int32 (num_frames,)
        Transition-ids of one utterance.
    """
    # A phone ends with the last frame of the state that it is left from; self-loops follow it.
    final = transitions.tid_is_final[alignment] & ~transitions.tid_is_self_loop[alignment]
    forward = np.flatnonzero(~transitions.tid_is_self_loop[alignment])
    begins = np.zeros(len(alignment), bool)
    if len(forward):
        begins[forward[1:][final[forward][:-1]]] = True
    instance = np.cumsum(begins)
    first = np.concatenate([[0], np.flatnonzero(begins)])
    phones = transitions.tid_phone[alignment[first]] if len(alignment) else np.zeros(0, np.int32)
    # Beyond the utterance the phone is 0, as in Kaldi.
    padded = np.concatenate([np.zeros(central, np.int32), phones,
                             np.zeros(width - 1 - central, np.int32)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, width)
    return windows[instance].astype(np.int32)


def frame_keys(alignment: np.ndarray, transitions: TransitionModel, width: int, central: int,
               context_independent: Sequence[int]) -> np.ndarray:
    """Return each frame's window and pdf-class: int32 (num_frames, width + 1).

    Parameters
    ----------
    context_independent : sequence of phone ids
        Their neighbours are replaced by 0.
    """
    windows = frame_windows(alignment, transitions, width, central)
    alone = np.isin(windows[:, central], list(context_independent))
    others = [place for place in range(width) if place != central]
    windows[np.ix_(alone, others)] = 0
    return np.column_stack([windows, transitions.tid_pdf_class[alignment]])


def loglike(sums: np.ndarray) -> np.ndarray:
    """Return the log likelihood of each row's frames under its own Gaussian: float64 (...,).

    Parameters
    ----------
    sums : float64 (..., 1 + 2 * dim)
    """
    dim = (sums.shape[-1] - 1) // 2
    # Guards the division for rows without frames; they count as 0 below.
    count = np.maximum(sums[..., 0], 1e-10)
    mean = sums[..., 1:1 + dim] / count[..., None]
    variance = sums[..., 1 + dim:] / count[..., None] - mean**2
    # A variance near 0, of a few equal frames, would give an infinite gain.
    floored = np.maximum(variance, VARIANCE_FLOOR)
    a_frame = -0.5 * (LOG_2PI + np.log(floored) + variance / floored).sum(-1)
    return np.where(sums[..., 0] > 0, sums[..., 0] * a_frame, 0.0)
