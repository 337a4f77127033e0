"""Owns the normalising layers: rms of a frame, layer and batch normalisation."""

from dataclasses import dataclass

import numba
import numpy as np

from hybridasr.errors import UserError
from hybridasr.nnet.layer import FAST, STRIP, Layer, add_rows
from hybridasr.options import option

FLOOR = 2.0**-66  # of a mean square; Kaldi's, so that a frame of zeros stays finite


class Renorm(Layer):
    """Scale each frame to root mean square 1 (Kaldi nnet2's NormalizeComponent)."""

    kind = "renorm"

    def forward(self, x, train=False, rng=None):  # noqa: D102
        x = np.ascontiguousarray(x)
        y = self.space("y", x.shape, x.dtype, train)
        scales = np.empty(x.shape[0] * x.shape[1], x.dtype)
        _rms(x.reshape(-1, self.input_dim), y.reshape(-1, self.input_dim), scales, FLOOR)
        return y, (y, scales)

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        y, scales = cache
        dy = np.ascontiguousarray(dy)
        shape = (-1, self.input_dim)
        _rms_slope(dy.reshape(shape), y.reshape(shape), scales, FLOOR)
        return dy, {}


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _rms(x, y, scales, floor):
    for row in range(len(x)):
        total = 0.0
        for i in range(x.shape[1]):
            total += x[row, i] * x[row, i]
        scales[row] = 1.0 / np.sqrt(max(total / x.shape[1], floor))
        for i in range(x.shape[1]):
            y[row, i] = x[row, i] * scales[row]


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
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
        normal = self.space("normal", shape, x.dtype, train)
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


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
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


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
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
    frozen: bool = option(False, "normalise by the running statistics in training too, and leave "
                                 "them as they are")

    def __post_init__(self):
        if not self.epsilon > 0:
            raise UserError(f"epsilon={self.epsilon}; give a number above 0")
        if not 0 <= self.decay < 1:
            raise UserError(f"decay={self.decay}; give a number from 0 to below 1")


class BatchNorm(Layer):
    """Each column to mean 0 and variance 1 over batch and time, then scale and shift.

    Ioffe and Szegedy 2015. A training pass uses the batch's statistics and moves the running ones
    (biased variance) towards them; inference uses the running ones, and so does a frozen layer in
    training: for it, a frame's output does not hang on the others of its batch.
    """

    kind = "batchnorm"
    options_class = BatchNormOptions

    def __init__(self, options, dim, channels, rng):
        super().__init__(options, dim, channels, rng)
        self.parameters = {"scale": np.ones(dim, np.float32), "shift": np.zeros(dim, np.float32)}
        self.statistics = {"mean": np.zeros(dim, np.float32),
                           "variance": np.ones(dim, np.float32)}

    def forward(self, x, train=False, rng=None):  # noqa: D102
        x = np.ascontiguousarray(x)
        rows = x.reshape(-1, self.input_dim)
        mean, variance = (self.statistics[name] for name in ("mean", "variance"))
        if not train:
            y = np.empty(rows.shape, x.dtype)
            _normalize_columns(rows, mean, variance, x.dtype.type(self.options.epsilon),
                               self.parameters["scale"], self.parameters["shift"], y)
            return y.reshape(x.shape), None
        if not self.options.frozen:
            decay, batch = self.options.decay, _moments(rows)
            mean[:] = decay * mean + (1 - decay) * batch[0]
            variance[:] = decay * variance + (1 - decay) * batch[1]
            mean, variance = batch
        scales = (1.0 / np.sqrt(variance + self.options.epsilon)).astype(x.dtype)
        mean = mean.astype(x.dtype)
        y = self.space("y", rows.shape, x.dtype, train)
        _shift_and_scale(rows, mean, scales * self.parameters["scale"], self.parameters["shift"], y)
        return y.reshape(x.shape), (rows, mean, scales)

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        x, mean, scales = cache
        dy = np.ascontiguousarray(dy)
        rows = dy.reshape(x.shape)
        sums = np.zeros((2, self.input_dim))
        _add_products(rows, x, mean, sums)
        sums[0] *= scales  # the sum over dy times the normalised x
        factors = scales * self.parameters["scale"]
        if self.options.frozen:
            rows *= factors
            sums = sums.astype(dy.dtype)
            return dy, {"scale": sums[0], "shift": sums[1]}
        products, offsets = (sums * factors / len(rows)).astype(dy.dtype)
        _add_shifted(rows, factors, x, mean, products * scales, offsets)
        sums = sums.astype(dy.dtype)
        return dy, {"scale": sums[0], "shift": sums[1]}


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and biased variance of the columns, float64."""
    mean, squares = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    add_rows(x, mean)
    mean /= len(x)
    near = mean.astype(x.dtype)
    _add_squares(x, near, squares)
    return mean, squares / len(x) - (mean - near) ** 2


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def _add_squares(x, mean, sums):
    part = np.zeros(x.shape[1], x.dtype)
    for start in range(0, len(x), STRIP):
        part[:] = 0
        for row in range(start, min(start + STRIP, len(x))):
            for i in range(x.shape[1]):
                difference = x[row, i] - mean[i]
                part[i] += difference * difference
        for i in range(x.shape[1]):
            sums[i] += part[i]


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def _shift_and_scale(x, mean, factors, shift, y):
    for row in range(len(x)):
        for i in range(x.shape[1]):
            y[row, i] = (x[row, i] - mean[i]) * factors[i] + shift[i]


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _normalize_columns(x, mean, variance, epsilon, scale, shift, y):
    """Fill `y`: by statistics and parameters (columns,) of the type of `x` (rows, columns)."""
    factors = np.empty(x.shape[1], x.dtype)
    for i in range(x.shape[1]):
        factors[i] = x.dtype.type(1.0) / np.sqrt(variance[i] + epsilon) * scale[i]
    _shift_and_scale(x, mean, factors, shift, y)


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def _add_products(dy, x, mean, sums):
    """Add the rows of dy (x - mean) and of dy to the float64 rows of `sums`."""
    parts = np.zeros((2, x.shape[1]), x.dtype)
    for start in range(0, len(x), STRIP):
        parts[:] = 0
        for row in range(start, min(start + STRIP, len(x))):
            for i in range(x.shape[1]):
                parts[0, i] += dy[row, i] * (x[row, i] - mean[i])
                parts[1, i] += dy[row, i]
        for i in range(x.shape[1]):
            sums[0, i] += parts[0, i]
            sums[1, i] += parts[1, i]


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def _add_shifted(dy, factors, x, mean, products, offsets):
    for row in range(len(dy)):
        for i in range(dy.shape[1]):
            dy[row, i] = (dy[row, i] * factors[i] - (x[row, i] - mean[i]) * products[i]
                          - offsets[i])
