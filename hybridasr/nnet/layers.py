"""Owns the layers without memory or normalisation: affine, splice, tdnn, activations, dropout."""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from hybridasr.errors import UserError
from hybridasr.nnet.layer import FAST, Layer, add_bias, column_sums, initial_weights
from hybridasr.nnet.products import product, product_calls, run_all
from hybridasr.options import option

SCHEMES = ("he", "glorot")


def check_dim(name: str, value: int, least: int = 1) -> None:
    """Refuse sizes below `least`."""
    if value < least:
        raise UserError(f"{name}={value}; give {name}=N with N at least {least}")


@dataclass(frozen=True)
class AffineOptions:
    """Options of an affine layer."""

    dim: int = option(0, "columns of the output")
    init: str = option("he", "scheme of the initial weights", SCHEMES)

    def __post_init__(self):
        check_dim("dim", self.dim)


class Affine(Layer):
    """y = W x + b; parameters weights (output_dim, input_dim) and bias (output_dim,)."""

    kind = "affine"
    options_class = AffineOptions

    def __init__(self, options, dim, channels, rng):
        super().__init__(options, dim, 1, rng)
        self.output_dim = options.dim
        self.multiplications = dim * options.dim
        self.parameters = {"weights": initial_weights(rng, options.dim, dim, options.init),
                           "bias": np.zeros(options.dim, np.float32)}

    def forward(self, x, train=False, rng=None):  # noqa: D102
        out, rows = multiply(self, x, train)
        add_bias(out, self.parameters["bias"])
        return out.reshape(*x.shape[:2], -1), rows if train else None

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        dx, gradient = multiply_slopes(self, dy, cache, input_gradient)
        bias = column_sums(dy.reshape(-1, self.output_dim))
        return dx, {"weights": gradient, "bias": bias}


def multiply(layer: Layer, x: np.ndarray, train: bool) -> tuple[np.ndarray, np.ndarray]:
    """Multiply frames (batch, time, dim) with a layer's weights: products and frames, as rows."""
    rows = x.reshape(-1, layer.input_dim)
    out = layer.space("y", (len(rows), layer.output_dim), x.dtype, train)
    (product if train else np.matmul)(rows, layer.parameters["weights"].T, out=out)
    return out, rows


def multiply_slopes(layer: Layer, dy: np.ndarray, rows: np.ndarray, input_gradient: bool
                    ) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the gradients by the frames of `multiply` (None if not wanted) and by the weights."""
    shape, weights = dy.shape, layer.parameters["weights"]
    dy = dy.reshape(-1, layer.output_dim)
    gradient = layer.buffer("gradient", weights.shape, dy.dtype)
    calls, dx = product_calls(dy.T, rows, gradient), None
    if input_gradient:
        dx = layer.buffer("dx", rows.shape, dy.dtype)
        calls += product_calls(dy, weights, dx)
    run_all(calls)
    return None if dx is None else dx.reshape(*shape[:2], -1), gradient


def parse_offsets(text: str) -> tuple[int, ...]:
    """Read '-5:5' (all from -5 to 5) or '-3,0,3'; whole numbers, rising."""
    try:
        if ":" in text:
            first, last = (int(part) for part in text.split(":"))
            offsets = tuple(range(first, last + 1))
        else:
            offsets = tuple(int(part) for part in text.split(","))
    except ValueError:
        offsets = ()
    if not offsets or list(offsets) != sorted(set(offsets)):
        raise UserError(f"offsets={text}; give rising whole numbers such as -1,0,1 or a range -5:5")
    return offsets


STRIDE_HELP = "frames from one output to the next: all that follows runs at a lower rate"


@dataclass(frozen=True)
class SpliceOptions:
    """Options of splicing."""

    offsets: str = option("-5:5", "frames to put side by side, as -5:5 or -3,0,3")
    stride: int = option(1, STRIDE_HELP)

    def __post_init__(self):
        parse_offsets(self.offsets)
        check_dim("stride", self.stride)


class Splice(Layer):
    """Frames t stride + offset side by side, in the order of the offsets."""

    kind = "splice"
    options_class = SpliceOptions

    def __init__(self, options, dim, channels, rng):
        super().__init__(options, dim, 1, rng)
        offsets = parse_offsets(options.offsets)
        self.left, self.right = max(0, -offsets[0]), max(0, offsets[-1])
        self.starts = [self.left + offset for offset in offsets]
        self.stride = options.stride
        self.output_dim = dim * len(offsets)

    def forward(self, x, train=False, rng=None):  # noqa: D102
        batch, time, dim = x.shape
        steps = self.steps(time)
        if steps == 1 and self.starts == list(range(time)):  # the columns are in order already
            return x.reshape(batch, 1, -1), x.shape
        shape = (batch, steps, self.output_dim)
        y = self.space("y", shape, x.dtype, train)
        for place, start in enumerate(self.starts):
            y[:, :, place * dim:(place + 1) * dim] = x[:, self._taken(start, steps)]
        return y, x.shape

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        if not input_gradient:
            return None, {}
        batch, time, dim = cache
        steps = dy.shape[1]
        if steps == 1 and self.starts == list(range(time)):
            return dy.reshape(cache), {}
        dx = self.buffer("dx", cache, dy.dtype)
        dx[:] = 0
        for place, start in enumerate(self.starts):
            dx[:, self._taken(start, steps)] += dy[:, :, place * dim:(place + 1) * dim]
        return dx, {}

    def _taken(self, start: int, steps: int) -> slice:
        return slice(start, start + (steps - 1) * self.stride + 1, self.stride)


@dataclass(frozen=True)
class TdnnOptions:
    """Options of a time-delay layer."""

    offsets: str = option("-1,0,1", "frames that one output sees, as -1:1 or -3,0,3")
    dim: int = option(0, "columns of the output")
    init: str = option("he", "scheme of the initial weights", SCHEMES)
    stride: int = option(1, STRIDE_HELP)

    def __post_init__(self):
        parse_offsets(self.offsets)
        check_dim("dim", self.dim)
        check_dim("stride", self.stride)


class Tdnn(Layer):
    """An affine layer on spliced frames (Peddinti et al. 2015, A time delay neural network)."""

    kind = "tdnn"
    options_class = TdnnOptions

    def __init__(self, options, dim, channels, rng):
        super().__init__(options, dim, 1, rng)
        self.splice = Splice(SpliceOptions(options.offsets, options.stride), dim, 1, rng)
        self.affine = Affine(AffineOptions(options.dim, options.init), self.splice.output_dim, 1,
                             rng)
        self.left, self.right = self.splice.left, self.splice.right
        self.stride = options.stride
        self.output_dim = options.dim
        self.multiplications = self.affine.multiplications
        self.parameters = self.affine.parameters

    def forward(self, x, train=False, rng=None):  # noqa: D102
        spliced, shape = self.splice.forward(x, train)
        y, rows = self.affine.forward(spliced, train)
        return y, (shape, rows)

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        dx, grads = self.affine.backward(dy, cache[1], input_gradient)
        if input_gradient:
            dx = self.splice.backward(dx, cache[0])[0]
        return dx, grads


class Relu(Layer):
    """max(x, 0)."""

    kind = "relu"

    def forward(self, x, train=False, rng=None):  # noqa: D102
        x = np.ascontiguousarray(x)
        y = self.space("y", x.shape, x.dtype, train)
        _rectify(x.reshape(-1), y.reshape(-1))
        return y, y

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        dy = np.ascontiguousarray(dy)
        _mask(dy.reshape(-1), cache.reshape(-1))
        return dy, {}


@numba.njit(cache=True, nogil=True)
def _rectify(x, y):
    zero = x.dtype.type(0)
    for i in range(len(x)):
        y[i] = zero if x[i] < zero else x[i]  # what is not a number stays so, and is seen


@numba.njit(cache=True, nogil=True)
def _mask(dy, y):
    zero = dy.dtype.type(0)
    for i in range(len(dy)):
        dy[i] = dy[i] if y[i] > zero else zero


class Sigmoid(Layer):
    """1 / (1 + exp(-x))."""

    kind = "sigmoid"

    def forward(self, x, train=False, rng=None):  # noqa: D102
        # By tanh, which neither overflows nor branches.
        y = np.multiply(x, x.dtype.type(0.5),
                        out=self.buffer("y", x.shape, x.dtype) if train else None)
        np.tanh(y, out=y)
        y += 1
        y *= x.dtype.type(0.5)
        return y, y

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        dy = np.ascontiguousarray(dy)
        _sigmoid_slope(dy.reshape(-1), cache.reshape(-1))
        return dy, {}


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _sigmoid_slope(dy, y):
    for i in range(len(dy)):
        dy[i] *= y[i] - y[i] * y[i]


class Tanh(Layer):
    """The hyperbolic tangent."""

    kind = "tanh"

    def forward(self, x, train=False, rng=None):  # noqa: D102
        y = np.tanh(x, out=self.buffer("y", x.shape, x.dtype) if train else None)
        return y, y

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        dy = np.ascontiguousarray(dy)
        _tanh_slope(dy.reshape(-1), cache.reshape(-1))
        return dy, {}


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _tanh_slope(dy, y):
    for i in range(len(dy)):
        dy[i] -= dy[i] * y[i] * y[i]


@dataclass(frozen=True)
class PnormOptions:
    """Options of the p-norm."""

    dim: int = option(0, "columns of the output: groups of the input's columns")

    def __post_init__(self):
        check_dim("dim", self.dim)


class Pnorm(Layer):
    """2-norms of groups of neighbouring columns.

    Zhang et al. 2014, Improving deep neural network acoustic models using generalized maxout
    networks; Kaldi nnet2's PnormComponent with p = 2.
    """

    kind = "pnorm"
    options_class = PnormOptions

    def __init__(self, options, dim, channels, rng):
        super().__init__(options, dim, 1, rng)
        if dim % options.dim:
            raise UserError(f"dim={options.dim} does not divide the layer's {dim} input columns; "
                            "give a divisor")
        self.output_dim = options.dim

    def forward(self, x, train=False, rng=None):  # noqa: D102
        x = np.ascontiguousarray(x)
        shape = (*x.shape[:2], self.output_dim)
        y = self.space("y", shape, x.dtype, train)
        _norms(x.reshape(y.size, -1), y.reshape(-1))
        return y, (x, y)

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        x, y = cache
        dx = self.buffer("dx", x.shape, x.dtype)
        groups = (y.size, -1)
        _norm_slopes(x.reshape(groups), y.reshape(-1), np.ascontiguousarray(dy).reshape(-1),
                     dx.reshape(groups))
        return dx, {}


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _norms(x, y):
    for group in range(len(x)):
        total = 0.0
        for i in range(x.shape[1]):
            total += x[group, i] * x[group, i]
        y[group] = np.sqrt(total)


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _norm_slopes(x, y, dy, dx):
    for group in range(len(x)):
        # The norm has no slope at nought; its subgradient 0 leaves the group alone.
        slope = dy[group] / y[group] if y[group] > 0 else dy[group] * 0
        for i in range(x.shape[1]):
            dx[group, i] = x[group, i] * slope


@dataclass(frozen=True)
class DropoutOptions:
    """Options of dropout."""

    rate: float = option(0.1, "share of the values set to zero in training, below 1")

    def __post_init__(self):
        if not 0 <= self.rate < 1:
            raise UserError(f"rate={self.rate}; give a number from 0 to below 1")


class Dropout(Layer):
    """Zero values at random in training and scale the others up (Srivastava et al. 2014)."""

    kind = "dropout"
    options_class = DropoutOptions

    def forward(self, x, train=False, rng=None):  # noqa: D102
        if not train or self.options.rate == 0:
            return x, None
        if rng is None:
            raise ValueError("dropout draws in training: give forward() an rng")
        x = np.ascontiguousarray(x)
        # 16 random bits a value are cheap, and round the rate by less than 1e-5.
        threshold = min(round(self.options.rate * 65536), 65535)
        draws = rng.integers(0, 2**64 - 1, -(-x.size // 4), np.uint64, endpoint=True)
        cache = draws.view(np.uint16), threshold, x.dtype.type(65536 / (65536 - threshold))
        y = self.buffer("y", x.shape, x.dtype)
        _drop(x.reshape(-1), *cache, y.reshape(-1))
        return y, cache

    def backward(self, dy, cache: Any, input_gradient=True):  # noqa: D102
        if cache is None:
            return dy, {}
        dx = self.buffer("dx", dy.shape, dy.dtype)  # in place the kernel would go without vectors
        _drop(np.ascontiguousarray(dy).reshape(-1), *cache, dx.reshape(-1))
        return dx, {}


@numba.njit(cache=True, nogil=True)
def _drop(x, draws, threshold, scale, y):
    zero, threshold = x.dtype.type(0), np.uint16(threshold)
    for i in range(len(x)):
        y[i] = x[i] * scale if draws[i] >= threshold else zero
