"""Owns the recurrent layers: LSTM with an optional projection, GRU, and the plain recurrence.

All run a chunk from a state of zeros, or on from the state of the chunk before (`advance`); the
gradient goes back to the start of the chunk (truncated back-propagation through time). Inside,
arrays are (time, batch, columns), so that a step is contiguous.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from hybridasr.nnet.layer import FAST, Layer, column_sums, initial_weights
from hybridasr.nnet.layers import check_dim
from hybridasr.nnet.recurrence import (
    check_recurrent,
    clip_rows,
    gate_weights,
    go_on,
    input_gradients,
    input_products,
    time_major,
)
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
        check_recurrent(self.warmup, cell_clip=self.cell_clip, gradient_clip=self.gradient_clip)


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
        self.parameters = {"weights": gate_weights(rng, 4, cell, dim),
                           "recurrent": gate_weights(rng, 4, cell, out), "bias": bias}
        if options.projection:
            self.parameters["projection"] = initial_weights(rng, out, cell, "glorot")

    def forward(self, x, train=False, rng=None):  # noqa: D102
        y, cache, _ = self._run(x, None, train)
        return y[:, self.left:], cache

    def advance(self, x, state):  # noqa: D102
        return go_on(self._run, self.left, x, state)

    def _run(self, x: np.ndarray, state: Any, train: bool) -> tuple[np.ndarray, Any, Any]:
        batch, time, _ = x.shape
        cell, size, dtype = self.options.cell, self.output_dim, x.dtype
        recurrent = self.parameters["recurrent"]
        projection = self.parameters.get("projection")
        x, gates = input_products(self, x, train)
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
        slopes = time_major(dy, self.left, time)  # becomes the gradient by every output
        dgates = self.buffer("dgates", gates.shape, dy.dtype)
        dmemory = np.zeros((batch, cell), dy.dtype)
        feedback = np.zeros((batch, self.output_dim), dy.dtype)
        for t in range(time - 1, -1, -1):
            slopes[t] += feedback
            doutput = slopes[t] if projection is None else slopes[t] @ projection
            _lstm_slopes(gates[t], memory[t], memory[t + 1], squashed[t], doutput,
                         self.options.cell_clip, dmemory, dgates[t])
            np.matmul(dgates[t], recurrent, out=feedback)
            clip_rows(feedback, self.options.gradient_clip)
            clip_rows(dmemory, self.options.gradient_clip)
        flat = dgates.reshape(time * batch, -1)
        dx, grads = input_gradients(self, x, flat, (batch, time), input_gradient)
        grads["recurrent"] = flat.T @ hidden[:-1].reshape(time * batch, -1)
        if projection is not None:
            grads["projection"] = (slopes.reshape(time * batch, -1).T
                                   @ outputs.reshape(time * batch, -1))
        return dx, grads


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


@dataclass(frozen=True)
class CellOptions:
    """Options of a layer of cells that are fed back whole."""

    cell: int = option(0, "memory cells, the columns of the output")
    warmup: int = option(0, "frames of left context that only fill the memory")
    gradient_clip: float = option(30.0, "largest norm of a frame's gradient through the recurrence")

    def __post_init__(self):
        check_dim("cell", self.cell)
        check_recurrent(self.warmup, gradient_clip=self.gradient_clip)


class Gru(Layer):
    """h = (1 - z) n + z h', n = tanh(W x + b + r (U h' + u)); gates in the order r, z, n.

    The reset gate acts after the product, so that a step needs one. Parameters weights
    (3 cell, input_dim), recurrent (3 cell, cell), bias (3 cell,), recurrent_bias (cell,), the u.
    Cho et al. 2014, Learning phrase representations using RNN encoder-decoder.
    """

    kind = "gru"
    options_class = CellOptions
    local = False

    def __init__(self, options, dim, channels, rng):
        super().__init__(options, dim, 1, rng)
        cell = self.output_dim = options.cell
        self.left = options.warmup
        self.multiplications = 3 * cell * (dim + cell)
        self.parameters = {"weights": gate_weights(rng, 3, cell, dim),
                           "recurrent": gate_weights(rng, 3, cell, cell),
                           "bias": np.zeros(3 * cell, np.float32),
                           "recurrent_bias": np.zeros(cell, np.float32)}

    def forward(self, x, train=False, rng=None):  # noqa: D102
        y, cache, _ = self._run(x, None, train)
        return y[:, self.left:], cache

    def advance(self, x, state):  # noqa: D102
        return go_on(self._run, self.left, x, state)

    def _run(self, x: np.ndarray, state: Any, train: bool) -> tuple[np.ndarray, Any, Any]:
        batch, time, _ = x.shape
        cell, dtype = self.options.cell, x.dtype
        recurrent, shift = self.parameters["recurrent"], self.parameters["recurrent_bias"]
        x, gates = input_products(self, x, train)
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
        slopes = time_major(dy, self.left, time)
        dgates = self.buffer("dgates", gates.shape, dy.dtype)
        dfeedback = self.buffer("dfeedback", gates.shape, dy.dtype)
        back = np.zeros((batch, cell), dy.dtype)
        for t in range(time - 1, -1, -1):
            slopes[t] += back
            _gru_slopes(gates[t], hidden[t], feedback[t], slopes[t], dgates[t], dfeedback[t])
            np.matmul(dfeedback[t], self.parameters["recurrent"], out=back)
            back += slopes[t]  # now the part that passed straight through z
            clip_rows(back, self.options.gradient_clip)
        dx, grads = input_gradients(self, x, dgates.reshape(time * batch, -1), (batch, time),
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


class Rnn(Layer):
    """h = tanh(W x + U h' + b), the plainest memory (Elman 1990, Finding structure in time).

    Parameters weights (cell, input_dim), recurrent (cell, cell), at first orthogonal (Saxe et al.
    2014) so that the memory neither fades nor grows, and bias (cell,).
    """

    kind = "rnn"
    options_class = CellOptions
    local = False

    def __init__(self, options, dim, channels, rng):
        super().__init__(options, dim, 1, rng)
        cell = self.output_dim = options.cell
        self.left = options.warmup
        self.multiplications = cell * (dim + cell)
        weights = gate_weights(rng, 1, cell, dim)
        recurrent = np.linalg.qr(rng.standard_normal((cell, cell)))[0].astype(np.float32)
        self.parameters = {"weights": weights, "recurrent": recurrent,
                           "bias": np.zeros(cell, np.float32)}

    def forward(self, x, train=False, rng=None):  # noqa: D102
        y, cache, _ = self._run(x, None, train)
        return y[:, self.left:], cache

    def advance(self, x, state):  # noqa: D102
        return go_on(self._run, self.left, x, state)

    def _run(self, x: np.ndarray, state: Any, train: bool) -> tuple[np.ndarray, Any, Any]:
        batch, time, _ = x.shape
        recurrent = self.parameters["recurrent"]
        x, sums = input_products(self, x, train)
        hidden = np.zeros((time + 1, batch, self.output_dim), x.dtype)
        if state is not None:
            hidden[0] = state
        feedback = np.empty((batch, self.output_dim), x.dtype)
        for t in range(time):
            np.matmul(hidden[t], recurrent.T, out=feedback)
            feedback += sums[t]
            np.tanh(feedback, out=hidden[t + 1])
        y = np.ascontiguousarray(hidden[1:].transpose(1, 0, 2))
        return y, (x, hidden) if train else None, hidden[time].copy()

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        x, hidden = cache
        time, batch, cell = len(hidden) - 1, *hidden.shape[1:]
        dsums = time_major(dy, self.left, time)  # of the outputs, then of what the tanh takes
        back = np.zeros((batch, cell), dy.dtype)
        for t in range(time - 1, -1, -1):
            dsums[t] += back
            dsums[t] *= 1 - hidden[t + 1] * hidden[t + 1]
            np.matmul(dsums[t], self.parameters["recurrent"], out=back)
            clip_rows(back, self.options.gradient_clip)
        flat = dsums.reshape(time * batch, cell)
        dx, grads = input_gradients(self, x, flat, (batch, time), input_gradient)
        grads["recurrent"] = flat.T @ hidden[:-1].reshape(time * batch, cell)
        return dx, grads
