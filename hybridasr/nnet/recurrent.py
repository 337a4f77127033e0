"""Owns the recurrent layers: LSTM with an optional projection, and GRU.

Both run a chunk from a state of zeros, or on from the state of the chunk before (`advance`); the
gradient goes back to the start of the chunk (truncated back-propagation through time). Inside,
arrays are (time, batch, columns), so that a step is contiguous.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from hybridasr.errors import UserError
from hybridasr.nnet.layer import FAST, Layer, column_sums, initial_weights
from hybridasr.nnet.layers import check_dim
from hybridasr.options import option


@dataclass(frozen=True)
class LstmOptions:
    """Options of an LSTM layer."""

    cell: int = option(0, "memory cells")
    projection: int = option(0, "columns of the projected output; 0: no projection")
    warmup: int = option(0, "frames of left context that only fill the memory")
    cell_clip: float = option(50.0, "largest magnitude of a cell")
    gradient_clip: float = option(30.0, "largest norm of a frame's gradient by the fed back state")

    def __post_init__(self):
        check_dim("cell", self.cell)
        check_dim("projection", self.projection, 0)
        _check_recurrent(self.warmup, cell_clip=self.cell_clip, gradient_clip=self.gradient_clip)


def _check_recurrent(warmup: int, **clips: float) -> None:
    check_dim("warmup", warmup, 0)
    for name, value in clips.items():
        if not value > 0:
            raise UserError(f"{name}={value}; give a number above 0")


class Lstm(Layer):
    """LSTM without peepholes; gates in the order input, forget, candidate, output.

    c = forget * c' + input * candidate, clipped; y = P (output * tanh(c)), y fed back. Parameters
    weights (4 cell, input_dim), recurrent (4 cell, output_dim), bias (4 cell,), projection
    (projection, cell). Sak et al. 2014, Long short-term memory recurrent neural network
    architectures for large scale acoustic modeling.
    """

    kind = "lstm"
    options_class = LstmOptions
    local = False

    def __init__(self, options, dim, channels, rng):
        super().__init__(options, dim, 1, rng)
        cell = options.cell
        self.left = options.warmup
        self.output_dim = out = options.projection or cell
        self.multiplications = 4 * cell * (dim + out) + cell * options.projection
        bias = np.zeros(4 * cell, np.float32)
        bias[cell:2 * cell] = 1.0  # remember at first (Jozefowicz et al. 2015)
        self.parameters = {"weights": _glorot(rng, 4, cell, dim),
                           "recurrent": _glorot(rng, 4, cell, out), "bias": bias}
        if options.projection:
            self.parameters["projection"] = initial_weights(rng, out, cell, "glorot")

    def forward(self, x, train=False, rng=None):  # noqa: D102
        y, cache, _ = self._run(x, None, train)
        return y[:, self.left:], cache

    def advance(self, x, state):  # noqa: D102
        return _go_on(self, x, state)

    def _run(self, x: np.ndarray, state: Any, train: bool) -> tuple[np.ndarray, Any, Any]:
        batch, time, _ = x.shape
        cell, size, dtype = self.options.cell, self.output_dim, x.dtype
        recurrent = self.parameters["recurrent"]
        projection = self.parameters.get("projection")
        x, gates = _input_products(self, x, train)
        memory = np.zeros((time + 1, batch, cell), dtype)
        hidden = np.zeros((time + 1, batch, size), dtype)
        squashed = np.empty((time, batch, cell), dtype)
        outputs = hidden[1:] if projection is None else np.empty((time, batch, cell), dtype)
        if state is not None:
            hidden[0], memory[0] = state
        feedback = np.empty((batch, 4 * cell), dtype)
        for t in range(time):
            np.matmul(hidden[t], recurrent.T, out=feedback)
            _add_feedback(gates[t], feedback, cell)
            np.tanh(gates[t], out=gates[t])  # numpy's is a vector instruction
            _new_memory(gates[t], memory[t], memory[t + 1], self.options.cell_clip)
            np.tanh(memory[t + 1], out=squashed[t])
            np.multiply(gates[t][:, 3 * cell:], squashed[t], out=outputs[t])
            if projection is not None:
                np.matmul(outputs[t], projection.T, out=hidden[t + 1])
        y = np.ascontiguousarray(hidden[1:].transpose(1, 0, 2))
        cache = (x, gates, memory, hidden, squashed, outputs) if train else None
        return y, cache, (hidden[time].copy(), memory[time].copy())

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        x, gates, memory, hidden, squashed, outputs = cache
        time, batch, cell = squashed.shape
        recurrent = self.parameters["recurrent"]
        projection = self.parameters.get("projection")
        slopes = _time_major(dy, self.left, time)  # becomes the gradient by every output
        dgates = self.buffer("dgates", gates.shape, dy.dtype)
        dmemory = np.zeros((batch, cell), dy.dtype)
        feedback = np.zeros((batch, self.output_dim), dy.dtype)
        for t in range(time - 1, -1, -1):
            slopes[t] += feedback
            doutput = slopes[t] if projection is None else slopes[t] @ projection
            _lstm_slopes(gates[t], memory[t], memory[t + 1], squashed[t], doutput,
                         self.options.cell_clip, dmemory, dgates[t])
            np.matmul(dgates[t], recurrent, out=feedback)
            _clip_rows(feedback, self.options.gradient_clip)
            _clip_rows(dmemory, self.options.gradient_clip)
        flat = dgates.reshape(time * batch, -1)
        dx, grads = _input_gradients(self, x, flat, (batch, time), input_gradient)
        grads["recurrent"] = flat.T @ hidden[:-1].reshape(time * batch, -1)
        if projection is not None:
            grads["projection"] = (slopes.reshape(time * batch, -1).T
                                   @ outputs.reshape(time * batch, -1))
        return dx, grads


def _go_on(layer: Layer, x: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
    """Run on from (hidden, frames of the warm-up still to come); None at the start."""
    hidden, skip = (None, layer.left) if state is None else state
    y, _, hidden = layer._run(x, hidden, False)
    return y[:, skip:], (hidden, max(0, skip - x.shape[1]))


def _glorot(rng: np.random.Generator, gates: int, cells: int, columns: int) -> np.ndarray:
    return np.concatenate([initial_weights(rng, cells, columns, "glorot") for _ in range(gates)])


def _input_products(layer: Layer, x: np.ndarray, train: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames (time * batch, dim) and W x + b of all (time, batch, gates)."""
    batch, time, dim = x.shape
    weights, bias = layer.parameters["weights"], layer.parameters["bias"]
    x = np.ascontiguousarray(x.transpose(1, 0, 2)).reshape(time * batch, dim)
    shape = (time * batch, len(bias))
    gates = layer.space("gates", shape, x.dtype, train)
    np.matmul(x, weights.T, out=gates)
    gates += bias
    return x, gates.reshape(time, batch, -1)


def _input_gradients(layer: Layer, x: np.ndarray, dgates: np.ndarray, shape: tuple[int, int],
                     input_gradient: bool) -> tuple[np.ndarray | None, dict[str, np.ndarray]]:
    grads = {"weights": dgates.T @ x, "bias": column_sums(dgates)}
    if not input_gradient:
        return None, grads
    batch, time = shape
    dx = (dgates @ layer.parameters["weights"]).reshape(time, batch, -1)
    return np.ascontiguousarray(dx.transpose(1, 0, 2)), grads


def _time_major(dy: np.ndarray, skipped: int, time: int) -> np.ndarray:
    slopes = np.zeros((time, dy.shape[0], dy.shape[2]), dy.dtype)
    slopes[skipped:] = dy.transpose(1, 0, 2)
    return slopes


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _add_feedback(gates, feedback, cell):
    """Add, and halve what goes through a sigmoid: sigmoid(x) = (1 + tanh(x / 2)) / 2."""
    half = gates.dtype.type(0.5)
    for row in range(len(gates)):
        for i in range(4 * cell):
            gates[row, i] += feedback[row, i]
        for i in range(2 * cell):
            gates[row, i] *= half
        for i in range(3 * cell, 4 * cell):
            gates[row, i] *= half


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _new_memory(gates, before, after, clip):
    half, bound = gates.dtype.type(0.5), gates.dtype.type(clip)
    cell = before.shape[1]
    for row in range(len(gates)):
        gate = gates[row]
        for i in range(cell):
            gate[i] = half + half * gate[i]
            gate[cell + i] = half + half * gate[cell + i]
            gate[3 * cell + i] = half + half * gate[3 * cell + i]
            value = gate[cell + i] * before[row, i] + gate[i] * gate[2 * cell + i]
            after[row, i] = min(max(value, -bound), bound)


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _lstm_slopes(gates, before, after, squashed, doutput, clip, dmemory, dgates):
    """Fill `dgates`; turn `dmemory` from the gradient by c into that by the c before."""
    cell = before.shape[1]
    one, bound = gates.dtype.type(1.0), gates.dtype.type(clip)
    for row in range(len(gates)):
        gate, slope = gates[row], dgates[row]
        for i in range(cell):
            enter, keep = gate[i], gate[cell + i]
            candidate, leave = gate[2 * cell + i], gate[3 * cell + i]
            tanh, value = squashed[row, i], after[row, i]
            change = dmemory[row, i] + doutput[row, i] * leave * (one - tanh * tanh)
            inside = one if -bound < value < bound else one - one
            change *= inside
            slope[i] = change * candidate * enter * (one - enter)
            slope[cell + i] = change * before[row, i] * keep * (one - keep)
            slope[2 * cell + i] = change * enter * (one - candidate * candidate)
            slope[3 * cell + i] = doutput[row, i] * tanh * leave * (one - leave)
            dmemory[row, i] = change * keep


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _clip_rows(x, bound):
    for row in range(len(x)):
        total = 0.0
        for i in range(x.shape[1]):
            total += x[row, i] * x[row, i]
        if total > bound * bound:
            scale = x.dtype.type(bound / np.sqrt(total))
            for i in range(x.shape[1]):
                x[row, i] *= scale


@dataclass(frozen=True)
class GruOptions:
    """Options of a GRU layer."""

    cell: int = option(0, "memory cells, the columns of the output")
    warmup: int = option(0, "frames of left context that only fill the memory")
    gradient_clip: float = option(30.0, "largest norm of a frame's gradient through the recurrence")

    def __post_init__(self):
        check_dim("cell", self.cell)
        _check_recurrent(self.warmup, gradient_clip=self.gradient_clip)


class Gru(Layer):
    """h = (1 - z) n + z h', n = tanh(W x + b + r (U h' + u)); gates in the order r, z, n.

    The reset gate acts after the product, so that a step needs one. Parameters weights
    (3 cell, input_dim), recurrent (3 cell, cell), bias (3 cell,), recurrent_bias (cell,), the u.
    Cho et al. 2014, Learning phrase representations using RNN encoder-decoder.
    """

    kind = "gru"
    options_class = GruOptions
    local = False

    def __init__(self, options, dim, channels, rng):
        super().__init__(options, dim, 1, rng)
        cell = self.output_dim = options.cell
        self.left = options.warmup
        self.multiplications = 3 * cell * (dim + cell)
        self.parameters = {"weights": _glorot(rng, 3, cell, dim),
                           "recurrent": _glorot(rng, 3, cell, cell),
                           "bias": np.zeros(3 * cell, np.float32),
                           "recurrent_bias": np.zeros(cell, np.float32)}

    def forward(self, x, train=False, rng=None):  # noqa: D102
        y, cache, _ = self._run(x, None, train)
        return y[:, self.left:], cache

    def advance(self, x, state):  # noqa: D102
        return _go_on(self, x, state)

    def _run(self, x: np.ndarray, state: Any, train: bool) -> tuple[np.ndarray, Any, Any]:
        batch, time, _ = x.shape
        cell, dtype = self.options.cell, x.dtype
        recurrent, shift = self.parameters["recurrent"], self.parameters["recurrent_bias"]
        x, gates = _input_products(self, x, train)
        hidden = np.zeros((time + 1, batch, cell), dtype)
        if state is not None:
            hidden[0] = state
        feedback = np.empty((time, batch, 3 * cell), dtype)
        for t in range(time):
            gate, back = gates[t], feedback[t]
            np.matmul(hidden[t], recurrent.T, out=back)
            back[:, 2 * cell:] += shift
            gate[:, :2 * cell] += back[:, :2 * cell]
            gate[:, :2 * cell] *= dtype.type(0.5)
            np.tanh(gate[:, :2 * cell], out=gate[:, :2 * cell])
            _reset(gate, back)
            np.tanh(gate[:, 2 * cell:], out=gate[:, 2 * cell:])
            _blend(gate, hidden[t], hidden[t + 1])
        y = np.ascontiguousarray(hidden[1:].transpose(1, 0, 2))
        cache = (x, gates, hidden, feedback) if train else None
        return y, cache, hidden[time].copy()

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        x, gates, hidden, feedback = cache
        time, batch, columns = gates.shape
        cell = columns // 3
        slopes = _time_major(dy, self.left, time)
        dgates = self.buffer("dgates", gates.shape, dy.dtype)
        dfeedback = self.buffer("dfeedback", gates.shape, dy.dtype)
        back = np.zeros((batch, cell), dy.dtype)
        for t in range(time - 1, -1, -1):
            slopes[t] += back
            _gru_slopes(gates[t], hidden[t], feedback[t], slopes[t], dgates[t], dfeedback[t])
            np.matmul(dfeedback[t], self.parameters["recurrent"], out=back)
            back += slopes[t]  # now the part that passed straight through z
            _clip_rows(back, self.options.gradient_clip)
        dx, grads = _input_gradients(self, x, dgates.reshape(time * batch, -1), (batch, time),
                                     input_gradient)
        flat = dfeedback.reshape(time * batch, -1)
        grads["recurrent"] = flat.T @ hidden[:-1].reshape(time * batch, -1)
        grads["recurrent_bias"] = column_sums(flat)[2 * cell:]
        return dx, grads


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _reset(gate, back):
    half = gate.dtype.type(0.5)
    cell = gate.shape[1] // 3
    for row in range(len(gate)):
        for i in range(2 * cell):
            gate[row, i] = half + half * gate[row, i]
        for i in range(cell):
            gate[row, 2 * cell + i] += gate[row, i] * back[row, 2 * cell + i]


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _blend(gate, before, after):
    cell = before.shape[1]
    for row in range(len(gate)):
        for i in range(cell):
            new = gate[row, 2 * cell + i]
            after[row, i] = new + gate[row, cell + i] * (before[row, i] - new)


@numba.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _gru_slopes(gate, before, back, slope, dgate, dback):
    """Fill the gradients by both products; turn `slope` into its part straight through z."""
    cell = before.shape[1]
    one = gate.dtype.type(1.0)
    for row in range(len(gate)):
        for i in range(cell):
            reset, update, new = gate[row, i], gate[row, cell + i], gate[row, 2 * cell + i]
            change = slope[row, i] * (one - update) * (one - new * new)
            dgate[row, 2 * cell + i] = change
            dback[row, 2 * cell + i] = change * reset
            value = change * back[row, 2 * cell + i] * reset * (one - reset)
            dgate[row, i] = value
            dback[row, i] = value
            value = slope[row, i] * (before[row, i] - new) * update * (one - update)
            dgate[row, cell + i] = value
            dback[row, cell + i] = value
            slope[row, i] *= update
