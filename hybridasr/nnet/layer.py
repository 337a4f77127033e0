"""Owns what all layers of a network share: shapes, named arrays, buffers, streaming.

A layer maps float32 (batch, time, dim) to (batch, time - left - right, output_dim). One with a
stride computes every stride-th of these frames only, the first among them, so that all layers after
it run at a lower rate. Everything works on float64 as well, which the gradient checks of the tests
need.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np

# Reordering sums is what lets the compiler use vector instructions for them.
FAST = {"contract", "reassoc", "nsz"}
# Rows that sums take in their own precision before they go on in float64, which is half as fast.
STRIP = 32
RATE_FACTOR = "learning_rate_factor"  # key of any line whose layer has parameters


@dataclasses.dataclass(frozen=True)
class NoOptions:
    """Options of a layer that has none."""


class Layer:
    """One layer; a new kind is a subclass with an entry in `hybridasr.nnet.network_text.LAYERS`.

    Parameters
    ----------
    options : instance of the class's `options_class`
    dim : int
        Columns of the input.
    channels : int
        The input's columns are (frequency, channel), channel fastest; 1 where that means nothing.
    rng : numpy.random.Generator
        Draws the initial parameters.

    Attributes
    ----------
    parameters : dict of arrays
        Trained by gradients; updated in place.
    statistics : dict of arrays
        Stored with the model but not trained by gradients (running means).
    left, right : int
        Frames of context that the output loses at each side.
    stride : int
        Input frames from one output frame to the next.
    multiplications : int
        Of one output frame, in matrix products.
    parts : dict of Layer
        Layers that this one is made of; their arrays are its own, as ``part.name``.
    rate_factor : float
        What multiplies the step size of the parameters; 0: they stay as they are.
    """

    kind = ""
    options_class: type = NoOptions
    local = True  # an output frame depends on the input frames from -left to right alone
    streams = True  # `advance` works; otherwise a layer must see the whole utterance

    def __init__(self, options: Any, dim: int, channels: int, rng: np.random.Generator):
        self.options = options
        self.input_dim = self.output_dim = dim
        self.channels = channels
        self.left = self.right = self.multiplications = 0
        self.stride = 1
        self.parameters: dict[str, np.ndarray] = {}
        self.statistics: dict[str, np.ndarray] = {}
        self.parts: dict[str, Layer] = {}
        self.rate_factor = 1.0
        self._buffers: dict[str, np.ndarray] = {}

    def steps(self, time: int) -> int:
        """Return how many output frames a chunk of `time` input frames has; at least 0."""
        return max(0, -(-(time - self.left - self.right) // self.stride))

    def take_parts(self, **parts: "Layer") -> None:
        """Be made of these layers, beside the parameters that are there already."""
        self.parts = parts
        self._join_arrays()

    def _join_arrays(self) -> None:
        for name, part in self.parts.items():
            for ours, theirs in ((self.parameters, part.parameters),
                                 (self.statistics, part.statistics)):
                ours.update({f"{name}.{key}": array for key, array in theirs.items()})

    def replace_arrays(self, change: Callable[[np.ndarray], np.ndarray],
                       statistics: bool = True) -> None:
        """Put what `change` makes of each array in its place, in the parts as well."""
        for arrays in (self.parameters, self.statistics)[:1 + statistics]:
            arrays.update({name: change(array) for name, array in arrays.items()
                           if name.split(".")[0] not in self.parts})
        for part in self.parts.values():
            part.replace_arrays(change, statistics)
        self._join_arrays()

    def members(self, front: str = "") -> Iterator[tuple[str, "Layer"]]:
        """Yield the layer and all that it is made of, with what their arrays' names begin with."""
        yield front, self
        for name, part in self.parts.items():
            yield from part.members(f"{front}{name}.")

    def constrain(self) -> None:
        """Bring the parameters nearer to what they are bound to be, if they are; in place.

        Trainings call this every few steps.
        """
        for part in self.parts.values():
            part.constrain()

    def forward(self, x: np.ndarray, train: bool = False,
                rng: np.random.Generator | None = None) -> tuple[np.ndarray, Any]:
        """Return the output and, if `train`, what `backward` needs.

        The output of a training pass may live in a buffer that the layer's next training pass
        overwrites. `rng` is needed by layers that draw (dropout) in training.
        """
        raise NotImplementedError

    def backward(self, dy: np.ndarray, cache: Any, input_gradient: bool = True
                 ) -> tuple[np.ndarray | None, dict[str, np.ndarray]]:
        """Return the loss's gradients by the input (None if not wanted) and by the parameters.

        `dy` (batch, time, output_dim) may be overwritten; the gradients may live in buffers that
        the layer's next `backward` overwrites.
        """
        raise NotImplementedError

    def advance(self, x: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        """Continue a stream: return the output frames that `x` completes, and the new state.

        `state` is None at the start of the stream. The outputs of all calls together are those of
        one `forward` over all frames.
        """
        context = self.left + self.right
        if not context and self.stride == 1:
            return self.forward(x)[0], None
        skip = 0
        if state is not None:
            kept, skip = state
            x, skip = np.concatenate([kept, x[:, skip:]], axis=1), max(0, skip - x.shape[1])
        if x.shape[1] <= context:
            return np.empty((len(x), 0, self.output_dim), x.dtype), (x, skip)
        y = self.forward(x)[0]
        # Where the context of the next output frame begins; frames before it that are still to
        # come are skipped.
        begin = y.shape[1] * self.stride
        return y, (x[:, begin:].copy(), max(0, begin - x.shape[1]))

    @property
    def text(self) -> str:
        """The layer as its configuration line."""
        words = [self.kind]
        # The output's dimension is the number of classes.
        for field in dataclasses.fields(self.options) if self.kind != "output" else ():
            value = getattr(self.options, field.name)
            if value != field.default:
                words.append(f"{field.name}={value}")
        if self.rate_factor != 1:
            words.append(f"{RATE_FACTOR}={self.rate_factor}")
        return " ".join(words)

    def buffer(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return an array with any content; the same one as long as the shape stays.

        Fresh memory costs a page fault every 4 KiB, as much as the arithmetic of a small layer.
        """
        buffer = self._buffers.get(name)
        if buffer is None or buffer.shape != shape or buffer.dtype != dtype:
            buffer = self._buffers[name] = np.empty(shape, dtype)
        return buffer

    def space(self, name: str, shape: tuple[int, ...], dtype: Any, train: bool) -> np.ndarray:
        """Return an array with any content: a `buffer` in training, a new one otherwise.

        In inference threads may share a network, and keep what it returns.
        """
        return self.buffer(name, shape, dtype) if train else np.empty(shape, dtype)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_buffers": {}}


def initial_weights(rng: np.random.Generator, rows: int, columns: int, scheme: str) -> np.ndarray:
    """Draw float32 (rows, columns): normal, of variance 2/columns (he) or 2/(rows + columns).

    He et al. 2015, Delving deep into rectifiers; Glorot and Bengio 2010.
    """
    fan = columns if scheme == "he" else rows + columns
    return (rng.standard_normal((rows, columns)) * np.sqrt(2.0 / fan)).astype(np.float32)


def column_sums(x: np.ndarray) -> np.ndarray:
    """Sum the rows of (rows, columns); the result has the dtype of `x`."""
    sums = np.zeros(x.shape[1])
    add_rows(x, sums)
    return sums.astype(x.dtype)


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def add_rows(x, sums):
    """Add the rows of (rows, columns) to float64 (columns,)."""
    part = np.zeros(x.shape[1], x.dtype)
    for start in range(0, len(x), STRIP):
        part[:] = 0
        for row in range(start, min(start + STRIP, len(x))):
            for i in range(x.shape[1]):
                part[i] += x[row, i]
        for i in range(x.shape[1]):
            sums[i] += part[i]


@numba.njit(cache=True, nogil=True)
def add_bias(y, bias):
    """Add `bias` (columns,) to every row of (rows, columns), in place."""
    for row in range(len(y)):
        for i in range(len(bias)):
            y[row, i] += bias[i]
