"""Owns the steps on feature rows after normalisation: deltas, splicing, linear transforms.

Frames beyond the ends count as copies of the first and the last one, as in Kaldi
(feat/feature-functions.cc, transform/transform-common.cc).
"""

from collections.abc import Callable

import numpy as np

from hybridasr.errors import UserError


def add_deltas(features: np.ndarray, order: int = 2, window: int = 2) -> np.ndarray:
    """Append time derivatives up to `order`.

    Parameters
    ----------
    features : float32 array (frames, dim)
        The static features.
    order : int
        2 for deltas and delta-deltas.
    window : int
        Frames to each side that a derivative looks at.

    Returns
    -------
    float32 array (frames, dim * (order + 1))
    """
    frames, dim = features.shape
    result = np.zeros((frames, dim * (order + 1)), dtype=np.float32)
    if frames == 0:
        return result
    # The second derivative is one wider filter over the features, not a filter over the first:
    # at the ends the two differ, and Kaldi's is the former.
    reach = order * window
    padded = np.pad(features, ((reach, reach), (0, 0)), mode="edge")
    for degree, scales in enumerate(delta_scales(order, window)):
        part = result[:, degree * dim:(degree + 1) * dim]
        half = len(scales) // 2
        for shift, scale in enumerate(scales.astype(np.float32), reach - half):
            if scale != 0.0:
                part += scale * padded[shift:shift + frames]
    return result


def delta_scales(order: int, window: int) -> list[np.ndarray]:
    """Return the filter of each degree 0..order, float64 (2 * degree * window + 1,)."""
    ramp = np.arange(-window, window + 1, dtype=np.float64)
    slope = ramp / np.square(ramp).sum()
    scales = [np.ones(1)]
    for _ in range(order):
        scales.append(np.convolve(scales[-1], slope))
    return scales


def splice(features: np.ndarray, left: int, right: int) -> np.ndarray:
    """Put `left` frames before and `right` frames after each frame beside it.

    Parameters
    ----------
    features : float32 array (frames, dim)
        The rows to splice.
    left : int
        Frames before.
    right : int
        Frames after.

    Returns
    -------
    float32 array (frames, dim * (left + 1 + right)), earliest frame first
    """
    frames, dim = features.shape
    if left == 0 and right == 0 or frames == 0:
        return np.zeros((0, dim * (left + 1 + right)), np.float32) if frames == 0 else features
    shift = np.arange(-left, right + 1)
    index = np.clip(np.arange(frames)[:, None] + shift, 0, frames - 1)
    return features[index].reshape(frames, dim * len(shift))


class ContextStream:
    """Applies a function of neighbouring frames to features that come in pieces.

    Parameters
    ----------
    function : of float32 (frames, dim), gives a row for each frame
        A row depends on the frames from `left` before to `right` after; frames beyond the ends
        count as copies of the first and the last one.
    dim : int
        Columns of the features.
    """

    def __init__(self, function: Callable[[np.ndarray], np.ndarray], left: int, right: int,
                 dim: int):
        self._function, self._left, self._right = function, left, right
        self._held = self._none = np.zeros((0, dim), np.float32)

    def accept(self, features: np.ndarray) -> np.ndarray:
        """Take the next frames; return the rows of those whose neighbours are all there."""
        if self._held is self._none:
            if not len(features):
                return self._function(features)
            self._held = np.repeat(features[:1], self._left, axis=0)
        held = np.concatenate([self._held, features])
        ready = max(0, len(held) - self._left - self._right)
        self._held = held[ready:]
        return self._function(held)[self._left:self._left + ready]

    def finish(self) -> np.ndarray:
        """Return the rows of the frames that waited for later ones; another signal may begin."""
        if self._held is self._none:
            return self._function(self._none)
        rest = self.accept(np.repeat(self._held[-1:], self._right, axis=0))
        self._held = self._none
        return rest


def apply_transform(features: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Multiply each row by `matrix`: linear (new, dim), or affine (new, dim + 1), offset last.

    Raises
    ------
    UserError
        if the matrix has neither number of columns.
    """
    dim = features.shape[1]
    if matrix.shape[1] == dim:
        return features @ matrix.T.astype(np.float32)
    if matrix.shape[1] == dim + 1:
        return features @ matrix[:, :dim].T.astype(np.float32) + matrix[:, dim].astype(np.float32)
    raise UserError(f"a transform of shape {tuple(matrix.shape)} does not fit features of {dim} "
                    "columns; make the features as the model was trained with")
