"""Owns diagonal-covariance Gaussian mixtures, one mixture a pdf, all in flat arrays.

Takes features (num_frames, dim); gives log likelihoods (num_frames, num_pdfs) and sufficient
statistics for `update`. Log likelihoods are natural logs, float32, sums in float64.
"""

import math
from dataclasses import dataclass

import numba
import numpy as np

LOG_2PI = math.log(2 * math.pi)
# Components this far below the best add less than float32 resolves.
NEGLIGIBLE = -18.0


@dataclass(frozen=True)
class DiagGmm:
    """Mixtures of all pdfs; the Gaussians of pdf p are ``offsets[p]:offsets[p + 1]``.

    Attributes
    ----------
    weights : float64 (num_gaussians,)
        Each pdf's sum to one.
    means, variances : float64 (num_gaussians, dim)
    offsets : int64 (num_pdfs + 1,)
    """

    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    offsets: np.ndarray

    @property
    def num_pdfs(self) -> int:
        """Number of mixtures."""
        return len(self.offsets) - 1

    @property
    def num_gaussians(self) -> int:
        """Number of Gaussians over all pdfs."""
        return len(self.weights)

    def scorer(self) -> "GmmScorer":
        """Return the precomputed form that the kernels use."""
        inverse = 1.0 / self.variances
        dim = self.means.shape[1]
        constants = np.log(self.weights) - 0.5 * (
            dim * LOG_2PI + np.log(self.variances).sum(1) + (self.means**2 * inverse).sum(1))
        rows = np.concatenate([_padded(self.means * inverse), _padded(-0.5 * inverse)], axis=1)
        return GmmScorer(constants.astype(np.float32), rows, self.offsets.astype(np.int64), dim)


@dataclass(frozen=True)
class GmmScorer:
    """log w N(x) of Gaussian g is ``constants[g] + rows[g] @ (x, x^2)`` (all float32).

    Both halves of `rows` are padded with zeros to whole vector registers; `dim` is the features'
    true dimension.
    """

    constants: np.ndarray
    rows: np.ndarray
    offsets: np.ndarray
    dim: int

    def loglikes(self, feats: np.ndarray, pdfs: np.ndarray | None = None) -> np.ndarray:
        """Score every frame under every pdf, or under the chosen ones.

        Parameters
        ----------
        feats : float32 (num_frames, dim)
        pdfs : int array, optional
            The pdfs to score, one column each; default all.

        Returns
        -------
        float32 (num_frames, num_pdfs or len(pdfs))
        """
        if feats.ndim != 2 or feats.shape[1] != self.dim:
            raise ValueError(f"features {feats.shape}, the model has {self.dim} columns")
        constants, rows, offsets = self.constants, self.rows, self.offsets
        if pdfs is not None:
            sizes = offsets[pdfs + 1] - offsets[pdfs]
            offsets = np.concatenate([[0], np.cumsum(sizes)])
            # The Gaussians of one pdf after those of another.
            chosen = np.arange(offsets[-1]) + np.repeat(self.offsets[pdfs] - offsets[:-1], sizes)
            constants, rows = constants[chosen], rows[chosen]
        out = np.empty((len(feats), len(offsets) - 1), np.float32)
        sums = np.empty_like(out[:CHUNK_FRAMES])
        half = rows.shape[1] // 2
        squared = np.zeros((min(len(feats), CHUNK_FRAMES), rows.shape[1]), np.float32)
        for start in range(0, len(feats), CHUNK_FRAMES):
            part = out[start:start + CHUNK_FRAMES]
            x, size = feats[start:start + CHUNK_FRAMES], len(part)
            squared[:size, :self.dim] = x
            np.multiply(x, x, out=squared[:size, half:half + self.dim])
            scores = squared[:size] @ rows.T
            _less_best(scores, constants, offsets, part)
            np.exp(scores, out=scores)  # numpy's is a vector instruction, the kernels' is not
            _sum_segments(scores, offsets, sums[:size])
            part += np.log(sums[:size])
        return out

    def stream(self) -> "GmmScores":
        """Begin an utterance whose features come in pieces."""
        return GmmScores(self)

    def accumulate(self, feats: np.ndarray, frame_pdfs: np.ndarray, stats: "GmmStats",
                   others: np.ndarray | None = None) -> None:
        """Add the statistics of aligned frames to `stats`, in place.

        Parameters
        ----------
        feats : float32 (num_frames, dim)
        frame_pdfs : int32 (num_frames,)
            The pdf of each frame; -1 leaves the frame out.
        others : float32 (num_frames, dim), optional
            Features that the statistics are of, where they are not those of the posteriors.
        """
        feats = np.ascontiguousarray(feats, np.float32)
        others = feats if others is None else np.ascontiguousarray(others, np.float32)
        total, frames = _accumulate(
            feats, others, frame_pdfs.astype(np.int32), self.constants,
            self.rows, self.offsets, stats.occupancy, stats.first, stats.second)
        stats.loglike += total
        stats.frames += frames


class GmmScores:
    """What `GmmScorer.loglikes` gives of features that come in pieces; no frame waits."""

    def __init__(self, scorer: GmmScorer):
        self._scorer = scorer

    def accept(self, feats: np.ndarray) -> np.ndarray:
        """Take the next frames (num_frames, dim); return their scores."""
        return self._scorer.loglikes(feats)

    def finish(self) -> np.ndarray:
        """End the utterance: return the scores that waited, float32 (0, num_pdfs)."""
        return self._scorer.loglikes(np.zeros((0, self._scorer.dim), np.float32))


@dataclass
class GmmStats:
    """Occupancy (G,), sums of x and of x^2 (G, D), total log likelihood, frames; float64."""

    occupancy: np.ndarray
    first: np.ndarray
    second: np.ndarray
    loglike: float = 0.0
    frames: int = 0

    @classmethod
    def zeros(cls, num_gaussians: int, dim: int) -> "GmmStats":
        """Return empty statistics."""
        return cls(np.zeros(num_gaussians), np.zeros((num_gaussians, dim)),
                   np.zeros((num_gaussians, dim)))

    def add(self, other: "GmmStats") -> None:
        """Add the statistics of another block, in place."""
        self.occupancy += other.occupancy
        self.first += other.first
        self.second += other.second
        self.loglike += other.loglike
        self.frames += other.frames


CHUNK_FRAMES = 64  # scored at a time, so that the scores stay in the processor's cache
VECTOR = 8  # float32 numbers in a common vector register


def _padded(rows: np.ndarray) -> np.ndarray:
    missing = -rows.shape[1] % VECTOR
    return np.ascontiguousarray(np.pad(rows, ((0, 0), (0, missing))), np.float32)


# Reordering sums is what lets the compiler use vector instructions for them.
_FAST = {"contract", "reassoc", "nsz"}


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _less_best(scores, constants, offsets, best):
    """Add the constants to `scores` (T, G) and subtract each pdf's best, which fills `best`."""
    for frame in range(len(scores)):
        row = scores[frame]
        for pdf in range(best.shape[1]):
            highest = np.float32(-np.inf)
            for i in range(offsets[pdf], offsets[pdf + 1]):
                row[i] += constants[i]
                highest = max(highest, row[i])
            for i in range(offsets[pdf], offsets[pdf + 1]):
                row[i] -= highest
            best[frame, pdf] = highest


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _sum_segments(values, offsets, sums):
    """Fill `sums` (T, P) with the sums of `values` (T, G) over each pdf."""
    for frame in range(len(values)):
        for pdf in range(sums.shape[1]):
            total = np.float32(0.0)
            for i in range(offsets[pdf], offsets[pdf + 1]):
                total += values[frame, i]
            sums[frame, pdf] = total


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def component_posteriors(x, constants, rows, start, size, posteriors):
    """Fill `posteriors` with those of one pdf's Gaussians; return the pdf's log likelihood."""
    best = np.float32(-np.inf)
    half = len(x)
    for i in range(size):
        a = rows[start + i, :half]
        b = rows[start + i, half:]
        score = np.float32(0.0)
        for d in range(half):
            score += x[d] * (a[d] + b[d] * x[d])
        posteriors[i] = score + constants[start + i]
        best = max(best, posteriors[i])
    total = 0.0
    for i in range(size):
        difference = posteriors[i] - best
        # exp is what takes the time here, and far below the best it adds nothing.
        posteriors[i] = math.exp(difference) if difference > NEGLIGIBLE else 0.0
        total += posteriors[i]
    for i in range(size):
        posteriors[i] /= total
    return best + math.log(total)


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _accumulate(feats, others, frame_pdfs, constants, rows, offsets, occupancy, first, second):
    dim = feats.shape[1]
    posteriors = np.empty(max(1, np.max(offsets[1:] - offsets[:-1])), np.float32)
    x = np.zeros(rows.shape[1] // 2, np.float32)
    loglike = 0.0
    frames = 0
    for frame in range(len(feats)):
        pdf = frame_pdfs[frame]
        if pdf < 0:
            continue
        for d in range(dim):
            x[d] = feats[frame, d]
        start = offsets[pdf]
        size = offsets[pdf + 1] - start
        loglike += component_posteriors(x, constants, rows, start, size, posteriors)
        frames += 1
        for i in range(size):
            posterior = posteriors[i]
            # Most of a large mixture has no share in a frame.
            if posterior == 0.0:
                continue
            occupancy[start + i] += posterior
            sums = first[start + i]
            squares = second[start + i]
            for d in range(dim):
                value = others[frame, d]
                weighted = posterior * value
                sums[d] += weighted
                squares[d] += weighted * value
    return loglike, frames
