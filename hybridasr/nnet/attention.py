"""Owns self-attention over a window of frames around each.

Povey et al. 2018, A time-restricted self-attention layer for ASR: as the window is fixed, the layer
streams with a bounded delay; the place in the window takes part in the score.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from hybridasr.errors import UserError
from hybridasr.nnet.layer import FAST, Layer
from hybridasr.nnet.layers import Affine, AffineOptions, check_dim
from hybridasr.options import option


@dataclass(frozen=True)
class AttentionOptions:
    """Options of attention over a window."""

    heads: int = option(1, "attentions side by side")
    key: int = option(0, "columns that are compared, of each head")
    value: int = option(0, "columns that are averaged, of each head")
    before: int = option(5, "frames of the window before its own")
    after: int = option(5, "frames of the window after its own")
    spacing: int = option(1, "frames from one of the window to the next")

    def __post_init__(self):
        for name, least in (("heads", 1), ("key", 1), ("value", 1), ("before", 0), ("after", 0),
                            ("spacing", 1)):
            check_dim(name, getattr(self, name), least)
        if (self.before + self.after) * self.spacing > 999:
            raise UserError(f"before={self.before} and after={self.after} frames, "
                            f"{self.spacing} apart, are too wide; give 999 at most in all")

    @property
    def window(self) -> int:
        """Frames of a window."""
        return self.before + 1 + self.after

    @property
    def dim(self) -> int:
        """Columns of keys, values and queries of all heads."""
        return self.heads * (2 * self.key + self.value + self.window)


class Attention(Layer):
    """The mean of the values in a window, weighted by how a frame's query fits their keys.

    Of each head y[t] = (sum over j of w[t, j] v[t + j], w[t]), w[t] the softmax over places j of
    q[t] k[t + j] / sqrt(key) + p[t, j]. An affine part gives all heads' keys k, then values v, then
    queries (q, p), p with a column a place. The output has the weights beside the values, as in the
    paper: heads * (value + window) columns.
    """

    kind = "attention"
    options_class = AttentionOptions

    def __init__(self, options, dim, channels, rng):
        super().__init__(options, dim, 1, rng)
        affine = Affine(AffineOptions(options.dim, "glorot"), dim, 1, rng)
        self.take_parts(affine=affine)
        self.left = options.before * options.spacing
        self.right = options.after * options.spacing
        self.output_dim = options.heads * (options.value + options.window)
        self.multiplications = (affine.multiplications
                                + options.heads * options.window * (options.key + options.value))

    def forward(self, x, train=False, rng=None):  # noqa: D102
        projected, rows = self.parts["affine"].forward(x, train)
        y = self._attend(projected, train)
        return y, (rows, projected, y) if train else None

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        rows, projected, y = cache
        slopes = self.buffer("slopes", projected.shape, dy.dtype)
        slopes[:] = 0
        _attend_slopes(projected, y, np.ascontiguousarray(dy), slopes, *self._sizes())
        dx, grads = self.parts["affine"].backward(slopes, rows, input_gradient)
        return dx, {f"affine.{name}": array for name, array in grads.items()}

    def advance(self, x, state):  # noqa: D102
        # What is kept is projected already: a frame goes through the matrix once.
        projected = self.parts["affine"].forward(x)[0]
        if state is not None:
            projected = np.concatenate([state, projected], axis=1)
        context = self.left + self.right
        if projected.shape[1] <= context:
            return np.empty((len(x), 0, self.output_dim), x.dtype), projected
        return self._attend(projected), projected[:, projected.shape[1] - context:].copy()

    def _attend(self, projected: np.ndarray, train: bool = False) -> np.ndarray:
        batch, time, _ = projected.shape
        y = self.space("y", (batch, time - self.left - self.right, self.output_dim),
                       projected.dtype, train)
        _attend(projected, y, *self._sizes())
        return y

    def _sizes(self) -> tuple[Any, ...]:
        o = self.options
        return o.heads, o.key, o.value, o.window, o.spacing, self.left


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _attend(projected, y, heads, key, value, window, spacing, left):
    """Fill y (batch, steps, heads * (value + window)) from the projected frames."""
    scale = projected.dtype.type(1.0 / np.sqrt(key))
    first_value, first_query = heads * key, heads * (key + value)
    for b in range(len(y)):
        for t in range(y.shape[1]):
            for head in range(heads):
                out = y[b, t, head * (value + window):(head + 1) * (value + window)]
                at = first_query + head * (key + window)
                query = projected[b, t + left, at:at + key]
                places = projected[b, t + left, at + key:at + key + window]
                weights = out[value:]
                for j in range(window):
                    keys = projected[b, t + j * spacing, head * key:(head + 1) * key]
                    total = projected.dtype.type(0)
                    for i in range(key):
                        total += query[i] * keys[i]
                    weights[j] = total * scale + places[j]
                best = weights[0]
                for j in range(1, window):
                    best = max(best, weights[j])
                total = 0.0
                for j in range(window):
                    weights[j] = np.exp(weights[j] - best)
                    total += weights[j]
                inverse = projected.dtype.type(1.0 / total)
                out[:value] = 0
                for j in range(window):
                    weights[j] *= inverse
                    at = first_value + head * value
                    values = projected[b, t + j * spacing, at:at + value]
                    for i in range(value):
                        out[i] += weights[j] * values[i]


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _attend_slopes(projected, y, dy, slopes, heads, key, value, window, spacing, left):
    """Add the gradient by the projected frames to `slopes`, which are zeros."""
    scale = projected.dtype.type(1.0 / np.sqrt(key))
    first_value, first_query = heads * key, heads * (key + value)
    dweights = np.empty(window, projected.dtype)
    for b in range(len(y)):
        for t in range(y.shape[1]):
            for head in range(heads):
                begin = head * (value + window)
                weights = y[b, t, begin + value:begin + value + window]
                dout = dy[b, t, begin:begin + value + window]
                at = first_query + head * (key + window)
                query = projected[b, t + left, at:at + key]
                dquery = slopes[b, t + left, at:at + key + window]
                mean = projected.dtype.type(0)
                for j in range(window):
                    at = first_value + head * value
                    values = projected[b, t + j * spacing, at:at + value]
                    dvalues = slopes[b, t + j * spacing, at:at + value]
                    total = dout[value + j]
                    for i in range(value):
                        total += dout[i] * values[i]
                        dvalues[i] += weights[j] * dout[i]
                    dweights[j] = total
                    mean += total * weights[j]
                for j in range(window):
                    dscore = weights[j] * (dweights[j] - mean)
                    dquery[key + j] += dscore
                    dscore *= scale
                    keys = projected[b, t + j * spacing, head * key:(head + 1) * key]
                    dkeys = slopes[b, t + j * spacing, head * key:(head + 1) * key]
                    for i in range(key):
                        dquery[i] += dscore * keys[i]
                        dkeys[i] += dscore * query[i]
