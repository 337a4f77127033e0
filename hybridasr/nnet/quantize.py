"""Owns inference with int8 weights: layers with matrices of a trained network.

A weight matrix becomes int8 with one float32 scale a row. In affine, linear, tdnn and convolution
layers (also as parts of others) the input of a product is quantised as it comes, one scale a row
(frame, or patch of a convolution); products are summed in int32 exactly. Recurrent layers, whose
products are of one frame each, are kept as int8 and multiply in float32. Other layers stay as they
are.
"""

from functools import cached_property

import numba
import numpy as np

from hybridasr.errors import UserError
from hybridasr.nnet import network_text
from hybridasr.nnet.convolution import Conv
from hybridasr.nnet.factored import Linear
from hybridasr.nnet.integer_dot import LANES, ROWS, add_products
from hybridasr.nnet.layer import Layer
from hybridasr.nnet.layers import Affine, Tdnn
from hybridasr.nnet.network import Network
from hybridasr.nnet.recurrent import Gru, Lstm, Rnn

LARGEST = 127  # -128 is not used, so that the range is symmetric
TINY = 1e-30  # rows of smaller values are zeros: their inverses could overflow
INFINITE_BITS = 0x7F800000  # of float32, sign left out: infinity; what is no number lies above
_NOT_FINITE = ("a value is not finite, int8 cannot hold it; look at the input and at the training "
               "of the network")
MAX_COLUMNS = (2**31 - 1) // LARGEST**2  # more could overflow an int32 sum


def quantize_rows(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return int8 (rows, columns) and float32 scales (rows,): x is about values * scales[:, None].

    The largest magnitude of a row becomes 127; halves are rounded away from zero.
    """
    x = np.ascontiguousarray(x, np.float32)
    values, scales = np.empty(x.shape, np.int8), np.empty(len(x), np.float32)
    if not _quantize(x, x.view(np.int32), values, scales):
        raise UserError(_NOT_FINITE)
    return values, scales


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _quantize(x, bits, values, scales):
    """Fill `values` (>= rows, columns) and `scales` (rows,); False if a value is not finite.

    `bits` are those of `x` as int32: in magnitudes they have the order of the numbers, and a
    largest whole number is found by vector instructions, unlike that of floats.
    """
    half, magnitude = np.float32(0.5), np.int32(0x7FFFFFFF)
    top = np.zeros(1, np.int32)
    for row in range(len(x)):
        largest = np.int32(0)
        for i in range(x.shape[1]):
            largest = max(largest, np.int32(bits[row, i] & magnitude))
        if largest >= INFINITE_BITS:
            return False
        top[0] = largest
        size = top.view(np.float32)[0]
        scales[row] = size / np.float32(LARGEST)
        inverse = np.float32(LARGEST) / size if size > np.float32(TINY) else np.float32(0.0)
        for i in range(x.shape[1]):
            value = x[row, i] * inverse
            values[row, i] = np.int8(value + half if value >= 0 else value - half)
    return True


def quantized_product(x: np.ndarray, weights: np.ndarray, scales: np.ndarray,
                      bias: np.ndarray) -> np.ndarray:
    """Multiply rows with int8 weights.

    Parameters
    ----------
    x : float32 (rows, columns)
    weights : int8 (outputs, columns), C-contiguous
    scales, bias : float32 (outputs,)

    Returns
    -------
    float32 (rows, outputs)
        About x @ (weights * scales[:, None]).T + bias.
    """
    x = np.ascontiguousarray(x, np.float32)
    out = np.empty((len(x), len(weights)), np.float32)
    if not _multiply(x, x.view(np.int32), weights, scales, bias, out):
        raise UserError(_NOT_FINITE)
    return out


@numba.njit(cache=True, nogil=True)
def _multiply(x, bits, weights, scales, bias, out):
    """Fill `out` with the products; False if a value of `x` is not finite."""
    rows, columns = x.shape
    # 16 bits are what `add_products` takes; rows of zeros fill up the last group.
    values = np.zeros((-(-rows // ROWS) * ROWS, columns), np.int16)
    row_scales = np.empty(rows, np.float32)
    if not _quantize(x, bits, values, row_scales):
        return False
    sums = np.zeros(ROWS, np.int32)
    whole = columns // LANES * LANES
    for start in range(0, len(weights), 64):  # rows of weights that stay in the nearest cache
        for row in range(0, rows, ROWS):
            for o in range(start, min(start + 64, len(weights))):
                if whole > 0:
                    add_products(values, row, weights, o, sums)
                for k in range(row, min(row + ROWS, rows)):
                    total = sums[k - row]
                    for i in range(whole, columns):
                        total = np.int32(total + np.int32(values[k, i]) * np.int32(weights[o, i]))
                    out[k, o] = np.float32(total) * (row_scales[k] * scales[o]) + bias[o]
    return True


def _take_shape(own: Layer, layer: Layer) -> None:
    for name in ("kind", "left", "right", "stride", "local", "output_dim", "multiplications",
                 "rate_factor"):
        setattr(own, name, getattr(layer, name))


def _refuse_training(train: bool) -> None:
    if train:
        raise ValueError("an int8 layer cannot be trained; quantise after the training")


class QuantizedLayer(Layer):
    """An affine, linear, tdnn or conv layer with int8 weights; inference only.

    statistics: weights int8 (outputs, columns), scales and bias float32 (outputs,).
    """

    def __init__(self, layer: Layer):
        super().__init__(layer.options, layer.input_dim, layer.channels, np.random.default_rng(0))
        _take_shape(self, layer)
        self.inner = layer  # splices, cuts patches and pools; its weights are dropped
        weights, scales = quantize_rows(layer.parameters["weights"])
        if weights.shape[1] > MAX_COLUMNS:
            raise UserError(f"{layer.kind}: {weights.shape[1]} columns, int32 sums hold "
                            f"{MAX_COLUMNS}; leave the network in float32")
        self.statistics = {"weights": weights, "scales": scales,
                           "bias": layer.parameters.get("bias", np.zeros(len(scales))
                                                        ).astype(np.float32)}
        layer.parameters.clear()

    def forward(self, x, train=False, rng=None):  # noqa: D102
        _refuse_training(train)
        if isinstance(self.inner, Conv):
            # The bias goes in before the pooling, to the same effect.
            return self.inner.convolve(x, self._multiply)[0], None
        x = self.inner.splice.forward(x)[0] if isinstance(self.inner, Tdnn) else x
        y = quantized_product(x.reshape(-1, x.shape[2]), **self.statistics)
        return y.reshape(*x.shape[:2], self.output_dim), None

    def _multiply(self, rows: np.ndarray, out: np.ndarray) -> None:
        out[:] = quantized_product(rows, **self.statistics)


class StoredLayer(Layer):
    """A recurrent layer whose matrices are kept as int8; inference only.

    statistics: of a matrix int8 values and float32 scales of the rows (``<name>.scales``); vectors
    as they are.
    """

    def __init__(self, layer: Layer):
        super().__init__(layer.options, layer.input_dim, layer.channels, np.random.default_rng(0))
        _take_shape(self, layer)
        for name, array in layer.parameters.items():
            self.statistics[name] = array
            if array.ndim == 2:
                self.statistics[name], self.statistics[f"{name}.scales"] = quantize_rows(array)
        layer.parameters.clear()
        self._layer = layer

    @cached_property
    def inner(self) -> Layer:
        """The layer with the matrices that the statistics held when it was first asked for."""
        for name, array in self.statistics.items():
            if not name.endswith(".scales"):
                scales = self.statistics.get(f"{name}.scales")
                self._layer.parameters[name] = array if scales is None else (
                    array * scales[:, None])
        return self._layer

    def forward(self, x, train=False, rng=None):  # noqa: D102
        _refuse_training(train)
        return self.inner.forward(x)

    def advance(self, x, state):  # noqa: D102
        return self.inner.advance(x, state)


INT8 = (QuantizedLayer, StoredLayer)


def quantize(network: Network) -> Network:
    """Return the network with int8 weights in all layers that have matrices."""
    dims = (network.input_dim, network.output_dim)
    copy = network_text.read_network(network.text, *dims)
    copy.load_arrays(network.to_arrays())
    return _in_int8(copy)


def _in_int8(network: Network) -> Network:
    """Return the network with int8 weights; it gives its own arrays up."""
    return Network([_quantized(layer) for layer in network.layers])


def _quantized(layer: Layer) -> Layer:
    if isinstance(layer, Affine | Linear | Tdnn | Conv):
        return QuantizedLayer(layer)
    if isinstance(layer, Lstm | Gru | Rnn):
        return StoredLayer(layer)
    if layer.parts:
        layer.parameters.clear()
        layer.take_parts(**{name: _quantized(part) for name, part in layer.parts.items()})
    return layer


def network_from_arrays(text: str, arrays: dict[str, np.ndarray],
                        source: str = "network") -> Network:
    """Remake a network, with int8 weights or without, from its `text` and `to_arrays`."""
    if not any(name.endswith(".scales") for name in arrays):
        return network_text.float_network_from_arrays(text, arrays, source)
    if "dims" not in arrays:
        raise UserError("array 'dims' is missing; this is not a network of ours", source)
    dims = (int(dim) for dim in arrays["dims"])
    network = _in_int8(network_text.read_network(text, *dims, source=source))
    network.load_arrays(arrays, source)
    return network
