"""Owns the normalising layers: rms of a frame, layer and batch normalisation."""

from dataclasses import dataclass

import numba
import numpy as np

from hybridasr.errors import UserError
from hybridasr.nnet.layer import FAST, Layer
from hybridasr.options import option

FLOOR = 2.0**-66  # of a mean square; Kaldi's, so that a frame of zeros stays finite


class Renorm(Layer):
    """Scale each frame to root mean square 1 (Kaldi nnet2's NormalizeComponent)."""

    kind = "renorm"

    def forward(self, x, train=False, rng=None):  # noqa: D102
        x = np.ascontiguousarray(x)
        y = self.buffer("y", x.shape, x.dtype) if train else np.empty_like(x)
        scales = np.empty(x.shape[0] * x.shape[1], x.dtype)
        _rms(x.reshape(-1, self.input_dim), y.reshape(-1, self.input_dim), scales, FLOOR)
        return y, (y, scales)

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        y, scales = cache
        dy = np.ascontiguousarray(dy)
        shape = (-1, self.input_dim)
        _rms_slope(dy.reshape(shape), y.reshape(shape), scales, FLOOR)
        return dy, {}


@numba.njit(cache=True, fastmath=FAST, error_model="numpy")
def _rms(x, y, scales, floor):
    for row in range(len(x)):
        total = 0.0
        for i in range(x.shape[1]):
            total += x[row, i] * x[row, i]
        scales[row] = 1.0 / np.sqrt(max(total / x.shape[1], floor))
        for i in range(x.shape[1]):
            y[row, i] = x[row, i] * scales[row]


@numba.njit(cache=True, fastmath=FAST, error_model="numpy")
def _rms_slope(dy, y, scales, floor):
    highest = 0.999 / np.sqrt(floor)
    for row in range(len(y)):
        total = 0.0
        if scales[row] < highest:  # otherwise the floor held, and the scale is a constant
            for i in range(y.shape[1]):
                total += y[row, i] * dy[row, i]
        mean = scales.dtype.type(total / y.shape[1])
        for i in range(y.shape[1]):
            dy[row, i] = scales[row] * (dy[row, i] - y[row, i] * mean)


@dataclass(frozen=True)
class NormOptions:
    """Options of layer normalisation."""

    epsilon: float = option(1e-5, "added to the variance")

    def __post_init__(self):
        if not self.epsilon > 0:
            raise UserError(f"epsilon={self.epsilon}; give a number above 0")


class LayerNorm(Layer):
    """Each frame to mean 0 and variance 1, then a scale and a shift a column (Ba et al. 2016)."""

    kind = "layernorm"
    options_class = NormOptions

    def __init__(self, options, dim, channels, rng):
        super().__init__(options, dim, channels, rng)
        self.parameters = {"scale": np.ones(dim, np.float32), "shift": np.zeros(dim, np.float32)}

    def forward(self, x, train=False, rng=None):  # noqa: D102
        x = np.ascontiguousarray(x)
        shape = (x.shape[0] * x.shape[1], self.input_dim)
        normal = self.buffer("normal", shape, x.dtype) if train else np.empty(shape, x.dtype)
        scales = np.empty(shape[0], x.dtype)
        _normalize_rows(x.reshape(shape), normal, scales, self.options.epsilon)
        y = np.multiply(normal, self.parameters["scale"],
                        out=self.buffer("y", shape, x.dtype) if train else normal)
        y += self.parameters["shift"]
        return y.reshape(x.shape), (normal, scales)

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        normal, scales = cache
        dy = np.ascontiguousarray(dy)
        sums = np.zeros((2, self.input_dim))
        _normalize_rows_slope(dy.reshape(normal.shape), normal, scales,
                              self.parameters["scale"], sums)
        sums = sums.astype(dy.dtype)
        return dy, {"scale": sums[0], "shift": sums[1]}


@numba.njit(cache=True, fastmath=FAST, error_model="numpy")
def _normalize_rows(x, normal, scales, epsilon):
    dim = x.shape[1]
    for row in range(len(x)):
        total = 0.0
        for i in range(dim):
            total += x[row, i]
        mean = total / dim
        total = 0.0
        for i in range(dim):
            normal[row, i] = x[row, i] - mean
            total += normal[row, i] * normal[row, i]
        scales[row] = 1.0 / np.sqrt(total / dim + epsilon)
        for i in range(dim):
            normal[row, i] *= scales[row]


@numba.njit(cache=True, fastmath=FAST, error_model="numpy")
def _normalize_rows_slope(dy, normal, scales, gamma, sums):
    dim = dy.shape[1]
    for row in range(len(dy)):
        first = second = 0.0
        for i in range(dim):
            sums[0, i] += dy[row, i] * normal[row, i]
            sums[1, i] += dy[row, i]
            dy[row, i] *= gamma[i]
            first += dy[row, i]
            second += dy[row, i] * normal[row, i]
        mean = scales.dtype.type(first / dim)
        product = scales.dtype.type(second / dim)
        for i in range(dim):
            dy[row, i] = scales[row] * (dy[row, i] - mean - normal[row, i] * product)


@dataclass(frozen=True)
class BatchNormOptions:
    """Options of batch normalisation."""

    epsilon: float = option(1e-3, "added to the variance")
    decay: float = option(0.9, "share of the running statistics that a batch leaves in place")

    def __post_init__(self):
        if not self.epsilon > 0:
            raise UserError(f"epsilon={self.epsilon}; give a number above 0")
        if not 0 <= self.decay < 1:
            raise UserError(f"decay={self.decay}; give a number from 0 to below 1")


class BatchNorm(Layer):
    """Each column to mean 0 and variance 1 over batch and time, then scale and shift.

    Ioffe and Szegedy 2015. A training pass uses the batch's statistics and moves the running ones
    (biased variance) towards them; inference uses the running ones.
    """

    kind = "batchnorm"
    options_class = BatchNormOptions

    def __init__(self, options, dim, channels, rng):
        super().__init__(options, dim, channels, rng)
        self.parameters = {"scale": np.ones(dim, np.float32), "shift": np.zeros(dim, np.float32)}
        self.statistics = {"mean": np.zeros(dim, np.float32),
                           "variance": np.ones(dim, np.float32)}

    def forward(self, x, train=False, rng=None):  # noqa: D102
        scale, shift = self.parameters["scale"], self.parameters["shift"]
        running = self.statistics
        if not train:
            factor = scale / np.sqrt(running["variance"] + x.dtype.type(self.options.epsilon))
            y = x * factor
            y += shift - running["mean"] * factor
            return y, None
        x = np.ascontiguousarray(x)
        rows = x.reshape(-1, self.input_dim)
        mean, variance = _moments(rows)
        decay = self.options.decay
        for name, value in (("mean", mean), ("variance", variance)):
            running[name][:] = decay * running[name] + (1 - decay) * value
        scales = (1.0 / np.sqrt(variance + self.options.epsilon)).astype(x.dtype)
        normal = self.buffer("normal", rows.shape, x.dtype)
        y = self.buffer("y", rows.shape, x.dtype)
        _normalize_columns(rows, mean.astype(x.dtype), scales, scale, shift, normal, y)
        return y.reshape(x.shape), (normal, scales)

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        normal, scales = cache
        dy = np.ascontiguousarray(dy)
        rows = dy.reshape(normal.shape)
        sums = np.zeros((2, self.input_dim))
        _column_products(rows, normal, sums)
        means = (sums / len(rows)).astype(dy.dtype)
        _normalize_columns_slope(rows, normal, scales * self.parameters["scale"], means)
        sums = sums.astype(dy.dtype)
        return dy, {"scale": sums[0], "shift": sums[1]}


@numba.njit(cache=True)
def _moments(x):
    mean = np.zeros(x.shape[1])
    for row in range(len(x)):
        for i in range(x.shape[1]):
            mean[i] += x[row, i]
    mean /= len(x)
    variance = np.zeros(x.shape[1])
    for row in range(len(x)):
        for i in range(x.shape[1]):
            difference = x[row, i] - mean[i]
            variance[i] += difference * difference
    return mean, variance / len(x)


@numba.njit(cache=True)
def _normalize_columns(x, mean, scales, gamma, beta, normal, y):
    for row in range(len(x)):
        for i in range(x.shape[1]):
            normal[row, i] = (x[row, i] - mean[i]) * scales[i]
            y[row, i] = normal[row, i] * gamma[i] + beta[i]


@numba.njit(cache=True)
def _column_products(dy, normal, sums):
    for row in range(len(dy)):
        for i in range(dy.shape[1]):
            sums[0, i] += dy[row, i] * normal[row, i]
            sums[1, i] += dy[row, i]


@numba.njit(cache=True)
def _normalize_columns_slope(dy, normal, scales, means):
    for row in range(len(dy)):
        for i in range(dy.shape[1]):
            dy[row, i] = scales[i] * (dy[row, i] - means[1, i] - normal[row, i] * means[0, i])
