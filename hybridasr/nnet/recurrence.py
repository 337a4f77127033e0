"""Owns what all recurrent layers share: products with the frames, streams, clipped gradients.

Inside, arrays are (time, batch, columns), so that a step is contiguous.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from hybridasr.errors import UserError
from hybridasr.nnet.layer import FAST, Layer, column_sums, initial_weights
from hybridasr.nnet.layers import check_dim
from hybridasr.nnet.products import product, product_calls, run_all


def check_recurrent(warmup: int, **clips: float) -> None:
    """Refuse a negative warm-up and clips that are not above 0."""
    check_dim("warmup", warmup, 0)
    for name, value in clips.items():
        if not value > 0:
            raise UserError(f"{name}={value}; give a number above 0")


def go_on(run: Callable[[np.ndarray, Any, bool], tuple[np.ndarray, Any, Any]], warmup: int,
          x: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
    """Run on from (hidden, frames of the warm-up still to come); None at the start.

    `run` takes frames, a hidden state and False, and gives outputs, a cache and the state after.
    """
    hidden, skip = (None, warmup) if state is None else state
    y, _, hidden = run(x, hidden, False)
    return y[:, skip:], (hidden, max(0, skip - x.shape[1]))


def gate_weights(rng: np.random.Generator, gates: int, cells: int, columns: int) -> np.ndarray:
    """Draw the weights of gates, one by one: float32 (gates * cells, columns)."""
    return np.concatenate([initial_weights(rng, cells, columns, "glorot") for _ in range(gates)])


def input_products(layer: Layer, x: np.ndarray, train: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames (time * batch, dim) and W x + b of all (time, batch, gates)."""
    batch, time, dim = x.shape
    weights, bias = layer.parameters["weights"], layer.parameters["bias"]
    x = np.ascontiguousarray(x.transpose(1, 0, 2)).reshape(time * batch, dim)
    shape = (time * batch, len(bias))
    gates = layer.space("gates", shape, x.dtype, train)
    (product if train else np.matmul)(x, weights.T, out=gates)
    gates += bias
    return x, gates.reshape(time, batch, -1)


def input_gradients(layer: Layer, x: np.ndarray, dgates: np.ndarray, shape: tuple[int, int],
                    input_gradient: bool) -> tuple[np.ndarray | None, dict[str, np.ndarray]]:
    """Return the gradients by the frames (batch, time, dim) and by weights and bias.

    `x` and `dgates` are (time * batch, columns), `shape` is (batch, time).
    """
    weights = layer.parameters["weights"]
    gradient = layer.buffer("gradient", weights.shape, dgates.dtype)
    calls, dx = product_calls(dgates.T, x, gradient), None
    if input_gradient:
        dx = layer.buffer("dx", x.shape, dgates.dtype)
        calls += product_calls(dgates, weights, dx)
    run_all(calls)
    grads = {"weights": gradient, "bias": column_sums(dgates)}
    if dx is None:
        return None, grads
    batch, time = shape
    return np.ascontiguousarray(dx.reshape(time, batch, -1).transpose(1, 0, 2)), grads


def time_major(dy: np.ndarray, skipped: int, time: int) -> np.ndarray:
    """Return (batch, time, columns) as (time, batch, columns) behind zeros for what is skipped."""
    slopes = np.zeros((time, dy.shape[0], dy.shape[2]), dy.dtype)
    slopes[skipped:] = dy.transpose(1, 0, 2)
    return slopes


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def clip_rows(x, bound):
    """Scale the rows of (rows, columns) with a larger norm than `bound` down to it, in place."""
    for row in range(len(x)):
        total = 0.0
        for i in range(x.shape[1]):
            total += x[row, i] * x[row, i]
        if total > bound * bound:
            scale = x.dtype.type(bound / np.sqrt(total))
            for i in range(x.shape[1]):
                x[row, i] *= scale
