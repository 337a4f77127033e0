"""Owns maximum-likelihood updates of diagonal mixtures and the growth of their number.

As Kaldi's MleDiagGmmUpdate, GetSplitTargets and DiagGmm::Split (mle-diag-gmm.cc,
model-common.cc, diag-gmm.cc).
"""

import heapq
from dataclasses import dataclass

import numpy as np

from hybridasr.gmm.diag import DiagGmm, GmmStats
from hybridasr.options import option


@dataclass(frozen=True)
class UpdateOptions:
    """Guards of the re-estimation."""

    min_occupancy: float = option(10.0, "Gaussians with fewer frames are removed")
    min_weight: float = option(1e-5, "Gaussians with a smaller weight are removed")
    min_variance: float = option(0.001, "floor of every variance")
    remove: bool = option(True, "remove such Gaussians; false: they stay as they were")


def initial_gmm(mean: np.ndarray, variance: np.ndarray, num_pdfs: int) -> DiagGmm:
    """Return one Gaussian a pdf, all with the same mean and variance (flat start)."""
    return DiagGmm(np.ones(num_pdfs), np.tile(mean, (num_pdfs, 1)).astype(np.float64),
                   np.tile(variance, (num_pdfs, 1)).astype(np.float64),
                   np.arange(num_pdfs + 1, dtype=np.int64))


def estimate(gmm: DiagGmm, stats: GmmStats, options: UpdateOptions | None = None) -> DiagGmm:
    """Return the re-estimated mixtures.

    A Gaussian below the occupancy or weight floor is removed (or, without `remove`, keeps mean and
    variance) and its pdf's weights are renormalised; a pdf that would lose its last Gaussian
    keeps its best one; a pdf without any frame stays as it was.
    """
    options = options or UpdateOptions()
    pdf_of = np.repeat(np.arange(gmm.num_pdfs), np.diff(gmm.offsets))
    pdf_occupancy = np.bincount(pdf_of, stats.occupancy, gmm.num_pdfs)
    weights = stats.occupancy / np.maximum(pdf_occupancy[pdf_of], 1e-20)
    keep = (stats.occupancy > options.min_occupancy) & (weights > options.min_weight)
    poor = np.bincount(pdf_of, keep, gmm.num_pdfs) == 0
    for pdf in np.flatnonzero(poor):
        start, end = gmm.offsets[pdf:pdf + 2]
        keep[start + int(np.argmax(stats.occupancy[start:end]))] = pdf_occupancy[pdf] > 0
        if pdf_occupancy[pdf] <= 0:
            keep[start:end] = True
    means, variances = gmm.means.copy(), gmm.variances.copy()
    weights = np.where(pdf_occupancy[pdf_of] > 0, weights, gmm.weights)
    # A single frame has no variance: move the mean, keep the spread.
    full = keep & (stats.occupancy > 0)
    if not options.remove:
        keep[:] = True
        weights = np.maximum(weights, options.min_weight)
    counts = stats.occupancy[full, None]
    means[full] = stats.first[full] / counts
    spread = stats.second[full] / counts - means[full] ** 2
    several = counts > 1.5
    variances[full] = np.where(several, np.maximum(spread, options.min_variance), variances[full])
    weights = np.where(keep, weights, 0.0)
    weights /= np.bincount(pdf_of, weights, gmm.num_pdfs)[pdf_of]
    sizes = np.bincount(pdf_of[keep], minlength=gmm.num_pdfs)
    return DiagGmm(weights[keep], means[keep], variances[keep],
                   np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


def split_targets(occupancy: np.ndarray, current: np.ndarray, total: int, power: float,
                  min_count: float = 20.0) -> np.ndarray:
    """Share `total` Gaussians among the pdfs in proportion to occupancy to the power `power`.

    One Gaussian at a time goes to the pdf with most of (occupancy ** power) a Gaussian; a pdf
    takes no more than one for every `min_count` frames. Never fewer than `current`.

    Returns
    -------
    int64 (num_pdfs,)
    """
    targets = np.ones(len(occupancy), np.int64)
    shares = np.maximum(occupancy, 1e-10) ** power
    heap = [(-share, pdf) for pdf, share in enumerate(shares.tolist())]
    heapq.heapify(heap)
    granted = len(targets)
    while granted < total and heap:
        _, pdf = heapq.heappop(heap)
        if occupancy[pdf] / (targets[pdf] + 1) < min_count:
            continue  # never asked again
        targets[pdf] += 1
        granted += 1
        heapq.heappush(heap, (-shares[pdf] / targets[pdf], pdf))
    return np.maximum(targets, current)


def split(gmm: DiagGmm, occupancy: np.ndarray, total: int, power: float, seed: int,
          perturbation: float = 0.01, min_count: float = 20.0) -> DiagGmm:
    """Grow the mixtures to about `total` Gaussians by splitting the heaviest ones.

    Parameters
    ----------
    occupancy : float64 (num_pdfs,)
        Frames of each pdf.
    perturbation : float
        The two halves' means lie this many standard deviations, times a Gaussian draw, apart.
    """
    targets = split_targets(occupancy, np.diff(gmm.offsets), total, power, min_count)
    weights, means, variances = [], [], []
    for pdf, target in enumerate(targets.tolist()):
        rows = slice(gmm.offsets[pdf], gmm.offsets[pdf + 1])
        w, m, v = list(gmm.weights[rows]), list(gmm.means[rows]), list(gmm.variances[rows])
        rng = np.random.default_rng([seed, pdf, target])
        while len(w) < target:
            heaviest = int(np.argmax(w))
            w[heaviest] *= 0.5
            shift = perturbation * rng.standard_normal(gmm.means.shape[1]) * np.sqrt(v[heaviest])
            w.append(w[heaviest])
            m.append(m[heaviest] + shift)
            v.append(v[heaviest])
            m[heaviest] = m[heaviest] - shift
        weights += w
        means += m
        variances += v
    return DiagGmm(np.array(weights), np.array(means), np.array(variances),
                   np.concatenate([[0], np.cumsum(targets)]).astype(np.int64))


def merged(gmm: DiagGmm, pdf: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weights, means and variances of a pdf with at most `size` Gaussians.

    The two whose union, of the same mean and variance, loses least log likelihood become one,
    again and again (Kaldi's DiagGmm::Merge).
    """
    rows = slice(gmm.offsets[pdf], gmm.offsets[pdf + 1])
    weights, means = gmm.weights[rows].copy(), gmm.means[rows].copy()
    variances = gmm.variances[rows].copy()
    while len(weights) > size:
        total = weights[:, None] + weights[None, :]
        share = (weights[:, None] / total)[..., None]
        mean = share * means[:, None] + (1 - share) * means[None, :]
        spread = (share * (variances + means**2)[:, None]
                  + (1 - share) * (variances + means**2)[None, :] - mean**2)
        own = weights * np.log(variances).sum(1)
        loss = total * np.log(spread).sum(-1) - own[:, None] - own[None, :]
        np.fill_diagonal(loss, np.inf)
        first, second = sorted(np.unravel_index(int(np.argmin(loss)), loss.shape))
        weights[first] = total[first, second]
        means[first], variances[first] = mean[first, second], spread[first, second]
        weights, means, variances = (np.delete(a, second, 0) for a in (weights, means, variances))
    return weights, means, variances
