"""Owns scoring of single mixtures over a few frames, for a search that asks for few of them.

Takes a `GmmScorer`; gives arrays and a kernel. A mixture that is asked for in one frame is nearly
always asked for in the next ones: it is scored for `AHEAD` frames at once, which takes a third of
the time. Where most of the pdfs are asked for, `GmmScorer.loglikes`, one matrix product, is faster.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numba
import numpy as np

from hybridasr.gmm.diag import GmmScorer

AHEAD = 16  # frames scored at a time, a multiple of 4
# Floats that the compiler's loop over a row takes at a time: rows padded to it leave no rest.
UNROLLED = 32
LEAST_POWER = -30.0  # of 2: components so far below the best add less than float32 resolves


@dataclass(frozen=True)
class LazyScorer:
    """A scorer's rows, padded once for all utterances."""

    scorer: GmmScorer

    @cached_property
    def rows(self) -> np.ndarray:
        """Coefficients of [x, x^2]: float32 (num_gaussians, width)."""
        return _padded(self.scorer.rows)

    def of(self, feats: np.ndarray) -> "LazyLoglikes":
        """Return the log likelihoods of one utterance: float32 (num_frames, dim), yet unknown.

        Raises
        ------
        ValueError
            if `dim` is not the model's.
        """
        if feats.ndim != 2 or feats.shape[1] != self.scorer.dim:
            raise ValueError(f"features {feats.shape}, the model has {self.scorer.dim} columns")
        half = self.scorer.rows.shape[1] // 2
        inputs = np.zeros((len(feats) + AHEAD, self.rows.shape[1]), np.float32)
        inputs[:len(feats), :feats.shape[1]] = feats
        np.multiply(feats, feats, out=inputs[:len(feats), half:half + feats.shape[1]])
        return LazyLoglikes(inputs, self.rows, self.scorer.constants, self.scorer.offsets)


@dataclass(frozen=True)
class LazyLoglikes:
    """An utterance's frames [x, x^2] and the mixtures that score them.

    `inputs` is float32 (num_frames + AHEAD, width), zero at the end; the others as in `LazyScorer`
    and `GmmScorer`.
    """

    inputs: np.ndarray
    rows: np.ndarray
    constants: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs) - AHEAD

    def table(self) -> "ScoreTable":
        """Return the log likelihoods, all of them yet unknown."""
        largest = int(np.diff(self.offsets).max(initial=1))
        unknown = np.full((len(self), len(self.offsets) - 1), np.nan, np.float32)
        return ScoreTable(unknown, self.inputs, self.rows, self.constants, self.offsets,
                          np.empty((largest + 2, AHEAD), np.float32), np.empty(AHEAD, np.int32))


class ScoreTable(NamedTuple):
    """Log likelihoods (num_frames, num_pdfs), NaN where not yet known, and what gives them.

    `scratch` and `powers` are room for `score_ahead`.
    """

    loglikes: np.ndarray
    inputs: np.ndarray
    rows: np.ndarray
    constants: np.ndarray
    offsets: np.ndarray
    scratch: np.ndarray
    powers: np.ndarray


def known_scores(loglikes: np.ndarray) -> ScoreTable:
    """Return a table in which nothing is unknown: float32 (num_frames, num_columns)."""
    none = np.empty((0, 0), np.float32)
    return ScoreTable(np.ascontiguousarray(loglikes, np.float32), none, none, none.reshape(-1),
                      np.empty(0, np.int64), none, np.empty(0, np.int32))


# Reordering sums is what lets the compiler use vector instructions for them.
_FAST = {"contract", "reassoc", "nsz"}


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def score_ahead(table, frame, pdf):
    """Fill in one pdf's log likelihoods of a frame and the next AHEAD - 1."""
    start, end = table.offsets[pdf], table.offsets[pdf + 1]
    _dot_products(table.inputs[frame:frame + AHEAD], table.rows, table.constants, start, end,
                  table.scratch)
    best, total = table.scratch[end - start], table.scratch[end - start + 1]
    _log_sums(table.scratch[:end - start], best, total, table.powers,
              table.powers.view(np.float32))
    for ahead in range(min(AHEAD, len(table.loglikes) - frame)):
        table.loglikes[frame + ahead, pdf] = best[ahead] + math.log(total[ahead])


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _dot_products(inputs, rows, constants, start, end, scores):
    """Fill `scores` (end - start, AHEAD): four frames at a time share what is read of a row."""
    for gaussian in range(start, end):
        row, constant = rows[gaussian], constants[gaussian]
        for frame in range(0, AHEAD, 4):
            x0, x1, x2, x3 = inputs[frame], inputs[frame + 1], inputs[frame + 2], inputs[frame + 3]
            s0 = s1 = s2 = s3 = np.float32(0.0)
            for d in range(len(row)):
                s0 += row[d] * x0[d]
                s1 += row[d] * x1[d]
                s2 += row[d] * x2[d]
                s3 += row[d] * x3[d]
            slot = gaussian - start
            scores[slot, frame], scores[slot, frame + 1] = s0 + constant, s1 + constant
            scores[slot, frame + 2], scores[slot, frame + 3] = s2 + constant, s3 + constant


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _log_sums(scores, best, total, powers, powers_as_float):
    """Fill `best` with the largest of each column, `total` with the sum of exp(score - best).

    exp(x) is 2^n 2^f with a whole number n, which becomes the exponent of a float, and |f| <= 1/2,
    of which Taylor's series is good to 1e-7. The loops are vector instructions; math.exp is not.
    """
    one, half = np.float32(1.0), np.float32(0.5)
    for frame in range(AHEAD):
        best[frame] = scores[0, frame]
        total[frame] = np.float32(0.0)
    for slot in range(1, len(scores)):
        for frame in range(AHEAD):
            best[frame] = max(best[frame], scores[slot, frame])
    for slot in range(len(scores)):
        for frame in range(AHEAD):
            power = max((scores[slot, frame] - best[frame]) * np.float32(1 / math.log(2)),
                        np.float32(LEAST_POWER))
            whole = np.floor(power + half)
            x = (power - whole) * np.float32(math.log(2))
            powers[frame] = (np.int32(whole) + np.int32(127)) << np.int32(23)
            scores[slot, frame] = one + x * (one + x * (half + x * (
                np.float32(1 / 6) + x * (np.float32(1 / 24) + x * (
                    np.float32(1 / 120) + x * np.float32(1 / 720))))))
        for frame in range(AHEAD):
            total[frame] += scores[slot, frame] * powers_as_float[frame]


def _padded(rows: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.pad(rows, ((0, 0), (0, -rows.shape[1] % UNROLLED))))
