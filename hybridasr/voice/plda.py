"""Owns the model of voices: how vectors differ between speakers, and within one.

Two covariances (Brümmer and de Villiers, "The speaker partitioning problem", Odyssey 2010), which
is PLDA with all dimensions: a speaker is a point drawn around the mean of all speakers, a recording
a point drawn around the speaker's. A score is the log likelihood ratio of one speaker to two.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Added to the variances within a speaker, as a share of them.
RIDGE = 0.01
SMALLEST_BETWEEN = 1e-6


@dataclass(frozen=True, eq=False)
class Plda:
    """Speakers and recordings in coordinates where the covariance within a speaker is one.

    Attributes
    ----------
    mean : float64 (dim,)
    transform : float64 (dim, dim)
        ``transform @ (vector - mean)`` are the coordinates.
    between : float64 (dim,)
        Variance of the speakers along each coordinate, above 0.
    """

    mean: np.ndarray
    transform: np.ndarray
    between: np.ndarray

    def scores(self, enrolled: np.ndarray, count: int, trials: np.ndarray) -> np.ndarray:
        """Return natural log likelihood ratios, float64 (num_trials,).

        Parameters
        ----------
        enrolled : float64 (dim,)
            Mean of the vectors of a speaker.
        count : int
            Of how many vectors.
        trials : float64 (num_trials, dim)
        """
        speaker = self.transform @ (enrolled - self.mean)
        points = (trials - self.mean) @ self.transform.T
        # Of the speaker, given what is enrolled: mean and variance, coordinate by coordinate.
        share = self.between / (self.between + 1.0 / count)
        same = self.between * (1.0 - share) + 1.0
        other = self.between + 1.0
        return 0.5 * (points**2 / other + np.log(other)
                      - (points - share * speaker)**2 / same - np.log(same)).sum(axis=1)


def estimate_plda(vectors: np.ndarray, speakers: Sequence[str], shrinkage: float) -> Plda:
    """Estimate the model from recordings of several speakers.

    Parameters
    ----------
    vectors : float64 (num_recordings, dim)
    speakers : sequence of str
        Of each recording; two at least.
    shrinkage : float
        A few speakers show few of the ways in which voices differ. This share of the covariance
        between speakers is taken from a fixed one, the covariance within a speaker at the
        same scale; from 0 to 1.
    """
    _, places, counts = np.unique(speakers, return_inverse=True, return_counts=True)
    means = np.zeros((len(counts), vectors.shape[1]))
    np.add.at(means, places, vectors)
    means /= counts[:, None]
    rest = vectors - means[places]
    within = rest.T @ rest / len(vectors)
    within += RIDGE * np.diag(np.maximum(np.diagonal(within), np.finfo(float).tiny))
    between = np.cov(means.T, bias=True)
    scale = np.trace(np.linalg.solve(within, between)) / len(within)
    from scipy.linalg import eigh  # training alone needs it

    values, columns = eigh((1 - shrinkage) * between + shrinkage * scale * within, within)
    return Plda(vectors.mean(axis=0), columns.T.copy(), np.maximum(values, SMALLEST_BETWEEN))
