"""Owns convolution over time and frequency, and max pooling over frequency.

The columns of a frame are (frequency, channel), channel fastest. A convolution is a copy of the
patches under the kernel (im2col) and one matrix product.
"""

from dataclasses import dataclass

import numba
import numpy as np

from hybridasr.errors import UserError
from hybridasr.nnet.layer import FAST, Layer, column_sums, initial_weights
from hybridasr.nnet.layers import SCHEMES, check_dim
from hybridasr.options import option


@dataclass(frozen=True)
class MaxPoolOptions:
    """Options of max pooling."""

    size: int = option(2, "neighbouring frequencies of which the largest stays")

    def __post_init__(self):
        check_dim("size", self.size)


class MaxPool(Layer):
    """The largest of `size` neighbouring frequencies, a channel; what is left over goes."""

    kind = "maxpool"
    options_class = MaxPoolOptions

    def __init__(self, options, dim, channels, rng):
        super().__init__(options, dim, channels, rng)
        pooled = dim // channels // options.size
        if not pooled:
            raise UserError(f"size={options.size} exceeds the layer's {dim // channels} "
                            "frequencies; give fewer")
        self.output_dim = pooled * channels

    def forward(self, x, train=False, rng=None):  # noqa: D102
        x = np.ascontiguousarray(x)
        shape = (*x.shape[:2], self.output_dim)
        y = self.buffer("y", shape, x.dtype) if train else np.empty(shape, x.dtype)
        best = self.buffer("best", shape, np.int32) if train else np.empty(shape, np.int32)
        columns = self.output_dim
        _pool(x.reshape(-1, self.input_dim), self.options.size, self.channels,
              y.reshape(-1, columns), best.reshape(-1, columns))
        return y, best

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        dx = self.buffer("dx", (*dy.shape[:2], self.input_dim), dy.dtype)
        dx[:] = 0
        columns = self.output_dim
        _unpool(np.ascontiguousarray(dy).reshape(-1, columns), cache.reshape(-1, columns),
                dx.reshape(-1, self.input_dim))
        return dx, {}


@numba.njit(cache=True)
def _pool(x, size, channels, y, best):
    for row in range(len(x)):
        for band in range(y.shape[1] // channels):
            for channel in range(channels):
                place = band * channels + channel
                first = band * size * channels + channel
                winner = first
                for i in range(1, size):
                    if x[row, first + i * channels] > x[row, winner]:
                        winner = first + i * channels
                best[row, place] = winner
                y[row, place] = x[row, winner]


@numba.njit(cache=True)
def _unpool(dy, best, dx):
    for row in range(len(dy)):
        for i in range(dy.shape[1]):
            dx[row, best[row, i]] += dy[row, i]


def parse_kernel(text: str) -> tuple[int, int]:
    """Read 'TIME,FREQUENCY', two positive whole numbers."""
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdecimal() and int(part) for part in parts):
        raise UserError(f"kernel={text}; give frames and frequencies, for example kernel=3,5")
    return int(parts[0]), int(parts[1])


@dataclass(frozen=True)
class ConvOptions:
    """Options of a convolution."""

    channels: int = option(0, "output channels")
    kernel: str = option("3,3", "frames and frequencies that one output sees, as 3,5")
    stride: int = option(1, "frequencies from one output to the next")
    padding: int = option(-1, "zeros at each end of the frequencies; -1: half the kernel")
    pool: int = option(1, "max pooling over this many output frequencies")
    blocks: int = option(1, "input blocks side by side that are channels (with deltas: 3)")
    init: str = option("he", "scheme of the initial weights", SCHEMES)

    def __post_init__(self):
        for name, least in (("channels", 1), ("stride", 1), ("padding", -1), ("pool", 1),
                            ("blocks", 1)):
            check_dim(name, getattr(self, name), least)
        parse_kernel(self.kernel)


class Conv(Layer):
    """y[t, f, o] = b[o] + sum over i, j, c of w[o, i, j, c] x[t + i - left, f stride + j - pad, c].

    Parameters weights (channels, frames * frequencies * input channels) and bias (channels,).
    No padding in time: the output is shorter. Abdel-Hamid et al. 2014, Convolutional neural
    networks for speech recognition.
    """

    kind = "conv"
    options_class = ConvOptions

    def __init__(self, options, dim, channels, rng):
        super().__init__(options, dim, options.channels, rng)
        if options.blocks > 1 and (channels > 1 or dim % options.blocks):
            raise UserError(f"blocks={options.blocks} does not fit {dim} columns of {channels} "
                            "channels; leave it out, or give a divisor on the first layer")
        self.inputs = max(channels, options.blocks)
        self.frames, self.width = parse_kernel(options.kernel)
        self.left, self.right = (self.frames - 1) // 2, self.frames // 2
        self.padding = (self.width - 1) // 2 if options.padding < 0 else options.padding
        self.bands = dim // self.inputs
        positions = (self.bands + 2 * self.padding - self.width) // options.stride + 1
        if positions < 1:
            raise UserError(f"kernel={options.kernel} is wider than the layer's {self.bands} "
                            f"frequencies padded by {self.padding}; make it narrower")
        self.positions = positions
        patch = self.frames * self.width * self.inputs
        self.multiplications = positions * patch * options.channels
        self.pool = MaxPool(MaxPoolOptions(options.pool), positions * options.channels,
                            options.channels, rng)
        self.output_dim = self.pool.output_dim
        self.parameters = {
            "weights": initial_weights(rng, options.channels, patch, options.init),
            "bias": np.zeros(options.channels, np.float32)}

    def patches(self, x: np.ndarray, train: bool = False) -> np.ndarray:
        """Copy what the kernel sees: (batch * time * positions, frames * width * inputs)."""
        batch, time, _ = x.shape
        steps = time - self.left - self.right
        shape = (batch * steps * self.positions, self.frames * self.width * self.inputs)
        columns = self.buffer("columns", shape, x.dtype) if train else np.empty(shape, x.dtype)
        _gather(self._by_channel(x), self.options.stride, self.padding,
                columns.reshape(batch, steps, self.positions, self.frames, self.width, -1))
        return columns

    def pooled(self, y: np.ndarray, batch: int, train: bool = False) -> tuple[np.ndarray, object]:
        """Shape products (batch * time * positions, channels) into frames, and pool them."""
        y = y.reshape(batch, -1, self.positions * self.options.channels)
        return (y, None) if self.options.pool == 1 else self.pool.forward(y, train)

    def forward(self, x, train=False, rng=None):  # noqa: D102
        columns = self.patches(x, train)
        shape = (len(columns), self.options.channels)
        y = self.buffer("y", shape, x.dtype) if train else np.empty(shape, x.dtype)
        np.matmul(columns, self.parameters["weights"].T, out=y)
        y += self.parameters["bias"]
        y, pooling = self.pooled(y, len(x), train)
        return y, (columns, pooling, x.shape) if train else None

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        columns, pooling, shape = cache
        if pooling is not None:
            dy = self.pool.backward(dy, pooling)[0]
        steps = dy.shape[1]
        dy = dy.reshape(-1, self.options.channels)
        weights = self.parameters["weights"]
        gradient = self.buffer("gradient", weights.shape, dy.dtype)
        grads = {"weights": np.matmul(dy.T, columns, out=gradient), "bias": column_sums(dy)}
        if not input_gradient:
            return None, grads
        slopes = np.matmul(dy, weights, out=self.buffer("slopes", columns.shape, dy.dtype))
        dx = self.buffer("dx", (*shape[:2], self.bands, self.inputs), dy.dtype)
        dx[:] = 0
        _scatter(slopes.reshape(shape[0], steps, self.positions, self.frames, self.width, -1),
                 self.options.stride, self.padding, dx)
        if self.options.blocks > 1:
            dx = np.ascontiguousarray(dx.transpose(0, 1, 3, 2))
        return dx.reshape(shape), grads

    def _by_channel(self, x: np.ndarray) -> np.ndarray:
        if self.options.blocks > 1:
            x = x.reshape(*x.shape[:2], self.inputs, self.bands).transpose(0, 1, 3, 2)
        return np.ascontiguousarray(x).reshape(*x.shape[:2], self.bands, self.inputs)


@numba.njit(cache=True)
def _gather(x, stride, padding, columns):
    batch, steps, positions, frames, width, inputs = columns.shape
    for b in range(batch):
        for t in range(steps):
            for position in range(positions):
                start = position * stride - padding
                for i in range(frames):
                    for j in range(width):
                        band = start + j
                        if 0 <= band < x.shape[2]:
                            for channel in range(inputs):
                                columns[b, t, position, i, j, channel] = x[b, t + i, band, channel]
                        else:
                            for channel in range(inputs):
                                columns[b, t, position, i, j, channel] = 0


@numba.njit(cache=True, fastmath=FAST, error_model="numpy")
def _scatter(slopes, stride, padding, dx):
    batch, steps, positions, frames, width, inputs = slopes.shape
    for b in range(batch):
        for t in range(steps):
            for position in range(positions):
                start = position * stride - padding
                for i in range(frames):
                    for j in range(width):
                        band = start + j
                        if 0 <= band < dx.shape[2]:
                            for channel in range(inputs):
                                dx[b, t + i, band, channel] += slopes[b, t, position, i, j, channel]
