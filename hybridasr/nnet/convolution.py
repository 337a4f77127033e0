"""Owns convolution over time and frequency, and max pooling over frequency.

The columns of a frame are (frequency, channel), channel fastest. A convolution copies the patches
under the kernel (im2col) and multiplies, some frames at a time: patches of all frames would not
fit into the processor's cache, and moving them would cost more than multiplying them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from hybridasr.errors import UserError
from hybridasr.nnet.layer import Layer, add_bias, column_sums, initial_weights
from hybridasr.nnet.layers import SCHEMES, STRIDE_HELP, check_dim
from hybridasr.options import option

BLOCK = 1 << 17  # numbers in the patches of a part: 512 KB in float32, half of a usual L2 cache


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
        shape = (*x.shape[:2], self.output_dim)
        y = self.space("y", shape, x.dtype, train)
        best = self.space("best", shape, np.uint16, train)
        _pool(np.ascontiguousarray(self._by_place(x)).reshape(self.options.size, -1),
              y.reshape(-1), best.reshape(-1))
        return y, best

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        dx = self.buffer("dx", (*dy.shape[:2], self.input_dim), dy.dtype)
        dx[:, :, self.output_dim * self.options.size:] = 0
        places = self._by_place(dx)
        slopes = self.buffer("slopes", places.shape, dy.dtype)
        _unpool(np.ascontiguousarray(dy).reshape(-1), cache.reshape(-1),
                slopes.reshape(self.options.size, -1))
        places[:] = slopes
        return dx, {}

    def _by_place(self, x: np.ndarray) -> np.ndarray:
        """View (batch, time, columns) as (size, batch, time, pooled frequencies, channels)."""
        used = x[:, :, :self.output_dim * self.options.size]
        shape = (*x.shape[:2], -1, self.options.size, self.channels)
        return used.reshape(shape).transpose(3, 0, 1, 2, 4)


@numba.njit(cache=True, nogil=True)
def _pool(x, y, best):
    """Take the largest of every column of (size, columns), and its place (the first of equals).

    Two plain loops over long rows become vector instructions; one with branches would not.
    """
    y[:] = x[0]
    best[:] = 0
    for place in range(1, len(x)):
        values = x[place]
        for i in range(len(y)):
            best[i] = max(best[i], place * np.uint16(values[i] > y[i]))
        for i in range(len(y)):
            y[i] = values[i] if values[i] > y[i] else y[i]


@numba.njit(cache=True, nogil=True)
def _unpool(dy, best, dx):
    zero = dy.dtype.type(0)
    for place in range(len(dx)):
        slopes, number = dx[place], np.uint16(place)
        for i in range(len(dy)):
            slopes[i] = dy[i] if best[i] == number else zero


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
    time_stride: int = option(1, STRIDE_HELP)
    padding: int = option(-1, "zeros at each end of the frequencies; -1: half the kernel")
    pool: int = option(1, "max pooling over this many output frequencies")
    blocks: int = option(1, "input blocks side by side that are channels (with deltas: 3)")
    init: str = option("he", "scheme of the initial weights", SCHEMES)

    def __post_init__(self):
        for name, least in (("channels", 1), ("stride", 1), ("time_stride", 1), ("padding", -1),
                            ("pool", 1), ("blocks", 1)):
            check_dim(name, getattr(self, name), least)
        parse_kernel(self.kernel)


class Conv(Layer):
    """y[t, f, o] = b[o] + sum over i, j, c of w[o, i, j, c] x[t + i - left, f stride + j - pad, c].

    With a `time_stride` t stands for t time_stride on the right. Parameters weights (channels,
    frames * frequencies * input channels) and bias (channels,). No padding in time: the output is
    shorter. Abdel-Hamid et al. 2014, Convolutional neural networks for speech recognition.
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
        self.stride = options.time_stride
        self.padding = (self.width - 1) // 2 if options.padding < 0 else options.padding
        self.bands = dim // self.inputs
        positions = (self.bands + 2 * self.padding - self.width) // options.stride + 1
        if positions < 1:
            raise UserError(f"kernel={options.kernel} is wider than the layer's {self.bands} "
                            f"frequencies padded by {self.padding}; make it narrower")
        self.output_dim = MaxPool(MaxPoolOptions(options.pool), positions * options.channels,
                                  options.channels, rng).output_dim
        self.positions = self.output_dim // options.channels * options.pool  # that are pooled
        patch = self.frames * self.width * self.inputs
        self.multiplications = self.positions * patch * options.channels
        self.parameters = {
            "weights": initial_weights(rng, options.channels, patch, options.init),
            "bias": np.zeros(options.channels, np.float32)}

    def convolve(self, x: np.ndarray, product: Callable[[np.ndarray, np.ndarray], None],
                 train: bool = False) -> tuple[np.ndarray, Any]:
        """Multiply all patches and pool the products; no bias.

        Parameters
        ----------
        x : (batch, time, input_dim)
        product : function of patches (rows, frames * width * inputs) and an array for the products
            with the weights (rows, channels)

        Returns
        -------
        (batch, steps, output_dim), and what `backward` needs
        """
        strips = self._strips(x, train)
        shape = (len(x), self.steps(x.shape[1]), self.output_dim)
        y = self.space("y", shape, x.dtype, train)
        rows = y.reshape(-1, self.output_dim)
        best = (None if self.options.pool == 1 else
                self.space("best", rows.shape, np.uint16, train))
        block = self.space("products", (self._frames_a_part() * self.positions,
                                        self.options.channels), x.dtype, train)
        for part, patches in self._parts(strips, len(rows), train):
            if best is None:
                product(patches, rows[part].reshape(len(patches), -1))
            else:
                products = block[:len(patches)]
                product(patches, products)
                _pool(products.reshape(self.options.pool, -1), rows[part].reshape(-1),
                      best[part].reshape(-1))
        return y, (strips, best, x.shape)

    def forward(self, x, train=False, rng=None):  # noqa: D102
        weights = self.parameters["weights"]
        y, cache = self.convolve(x, lambda a, out: np.matmul(a, weights.T, out=out), train)
        # A maximum moves with its bias: after the pooling there are fewer numbers to add to.
        add_bias(y.reshape(-1, self.options.channels), self.parameters["bias"])
        return y, cache if train else None

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        strips, best, shape = cache
        weights = self.parameters["weights"]
        rows = np.ascontiguousarray(dy).reshape(-1, self.output_dim)
        gradient = self.buffer("gradient", weights.shape, dy.dtype)
        gradient[:] = 0
        summand = self.buffer("summand", weights.shape, dy.dtype)
        slopes = self.buffer("slopes", strips.shape, dy.dtype) if input_gradient else None
        if slopes is not None:
            slopes[:] = 0
        block = self.space("products", (self._frames_a_part() * self.positions,
                                        self.options.channels), dy.dtype, True)
        for part, patches in self._parts(strips, len(rows), True):
            dproducts = rows[part].reshape(-1, self.options.channels)
            if best is not None:
                dproducts = block[:len(patches)]
                _unpool(rows[part].reshape(-1), best[part].reshape(-1),
                        dproducts.reshape(self.options.pool, -1))
            gradient += np.matmul(dproducts.T, patches, out=summand)
            if slopes is not None:
                np.matmul(dproducts, weights, out=patches)
                _join(patches.reshape(self.options.pool, part.stop - part.start, -1,
                                      patches.shape[1]), part.start, self.stride, slopes, False)
        grads = {"weights": gradient,
                 "bias": column_sums(rows.reshape(-1, self.options.channels))}
        return None if slopes is None else self._add_strips(slopes, shape), grads

    def _strips(self, x: np.ndarray, train: bool) -> np.ndarray:
        """Cut frames into what each position sees: (batch, positions, time, width * inputs).

        The patches of a position are then runs of memory, of which neighbours share most.
        """
        batch, time, _ = x.shape
        if self.options.blocks > 1:
            x = x.reshape(batch, time, self.inputs, self.bands).transpose(0, 1, 3, 2)
        padded = np.zeros((batch, time, self.bands + 2 * self.padding, self.inputs), x.dtype)
        padded[:, :, self.padding:self.padding + self.bands] = x.reshape(batch, time, self.bands,
                                                                         self.inputs)
        width, stride = self.width * self.inputs, self.options.stride * self.inputs
        shape = (batch, self.positions, time, width)
        strips = self.space("strips", shape, x.dtype, train)
        windows = sliding_window_view(padded.reshape(batch, time, -1), width, axis=2)
        strips[:] = windows[:, :, ::stride][:, :, :self.positions].transpose(0, 2, 1, 3)
        return strips

    def _add_strips(self, slopes: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
        """Turn the gradient by the strips into that by frames of this shape."""
        batch, time, _ = shape
        padded = np.zeros((batch, time, self.bands + 2 * self.padding, self.inputs), slopes.dtype)
        slopes = slopes.reshape(batch, self.positions, time, self.width, self.inputs)
        last = (self.positions - 1) * self.options.stride + 1
        for place in range(self.width):
            padded[:, :, place:place + last:self.options.stride] += (
                slopes[:, :, :, place].transpose(0, 2, 1, 3))
        dx = padded[:, :, self.padding:self.padding + self.bands]
        if self.options.blocks > 1:
            dx = dx.transpose(0, 1, 3, 2)
        return dx.reshape(shape)

    def _frames_a_part(self) -> int:
        return max(1, BLOCK // (self.positions * self.frames * self.width * self.inputs))

    def _parts(self, strips: np.ndarray, frames: int, train: bool
               ) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield parts of the output frames with their patches, those to be pooled far apart.

        Patches (pool * frames * pooled frequencies, frames * width * inputs) have the place
        within the pool as the slowest dimension.
        """
        columns, size = self.frames * self.width * self.inputs, self._frames_a_part()
        block = self.space("patches", (size * self.positions, columns), strips.dtype, train)
        for start in range(0, frames, size):
            part = slice(start, min(start + size, frames))
            patches = block[:(part.stop - start) * self.positions]
            _join(patches.reshape(self.options.pool, part.stop - start, -1, columns), start,
                  self.stride, strips, True)
            yield part, patches


@numba.njit(cache=True, nogil=True)
def _join(patches, start, stride, strips, forward):
    """Copy strips to patches (pool, frames, pooled, columns) from output frame `start` on; or add.

    Without `forward` the patches are added to the strips. `stride` is in frames.
    """
    pool, frames, pooled, columns = patches.shape
    time, width = strips.shape[2:]
    steps = (time - columns // width) // stride + 1
    for place in range(pool):
        for row in range(frames):
            b, t = divmod(start + row, steps)
            for i in range(pooled):
                begin = t * stride * width
                run = strips[b, i * pool + place].reshape(-1)[begin:begin + columns]
                patch = patches[place, row, i]
                if forward:
                    for column in range(columns):
                        patch[column] = run[column]
                else:
                    for column in range(columns):
                        run[column] += patch[column]
