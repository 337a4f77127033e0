"""Owns the recurrence in both directions: of a whole utterance, or of chunks with a warm-up.

Graves and Schmidhuber 2005, Framewise phoneme classification with bidirectional LSTM. What is said
of a frame hangs on all that follows it, so there is no streaming: a network with this layer works
on utterances that have ended.
"""

from dataclasses import dataclass

import numpy as np

from hybridasr.errors import UserError
from hybridasr.nnet.layer import Layer
from hybridasr.nnet.layers import check_dim
from hybridasr.nnet.recurrence import check_recurrent
from hybridasr.nnet.recurrent import CellOptions, Gru, Lstm, LstmOptions, Rnn
from hybridasr.options import option

UNITS = ("lstm", "gru", "rnn")


@dataclass(frozen=True)
class BidirectionalOptions:
    """Options of a layer that runs forwards and backwards."""

    unit: str = option("lstm", "the layer of each direction", UNITS)
    cell: int = option(0, "memory cells of each direction")
    projection: int = option(0, "columns of each projected output (lstm); 0: no projection")
    warmup: int = option(0, "frames on either side of a chunk that only fill the memory")
    gradient_clip: float = option(30.0, "largest norm of a frame's gradient through the recurrence")

    def __post_init__(self):
        check_dim("cell", self.cell)
        check_dim("projection", self.projection, 0)
        check_recurrent(self.warmup, gradient_clip=self.gradient_clip)
        if self.projection and self.unit != "lstm":
            raise UserError(f"projection={self.projection} is for unit=lstm; leave it out")


class Bidirectional(Layer):
    """A recurrent layer over the frames and another over the frames reversed, side by side.

    The columns are those of the direction forwards, then those backwards; the arrays are theirs,
    as ``forward.weights`` and ``backward.weights``.
    """

    kind = "bidirectional"
    options_class = BidirectionalOptions
    local = False
    streams = False

    def __init__(self, options, dim, channels, rng):
        super().__init__(options, dim, 1, rng)
        self.left = self.right = options.warmup
        self.take_parts(forward=_unit(options, dim, rng), backward=_unit(options, dim, rng))
        parts = self.parts.values()
        self.output_dim = sum(part.output_dim for part in parts)
        self.multiplications = sum(part.multiplications for part in parts)

    def forward(self, x, train=False, rng=None):  # noqa: D102
        onwards, back = self.parts["forward"], self.parts["backward"]
        ahead, first = onwards.forward(x[:, :x.shape[1] - self.right], train)
        behind, second = back.forward(x[:, self.left:][:, ::-1], train)
        return np.concatenate([ahead, behind[:, ::-1]], axis=2), (first, second)

    def backward(self, dy, cache, input_gradient=True):  # noqa: D102
        onwards, back = self.parts["forward"], self.parts["backward"]
        columns, steps = onwards.output_dim, dy.shape[1]
        ahead, grads = onwards.backward(dy[:, :, :columns], cache[0], input_gradient)
        behind, more = back.backward(dy[:, ::-1, columns:], cache[1], input_gradient)
        named = {**{f"forward.{name}": array for name, array in grads.items()},
                 **{f"backward.{name}": array for name, array in more.items()}}
        if not input_gradient:
            return None, named
        shape = (len(dy), self.left + steps + self.right, self.input_dim)
        dx = self.buffer("dx", shape, dy.dtype)
        dx[:, :shape[1] - self.right] = ahead
        dx[:, shape[1] - self.right:] = 0
        dx[:, self.left:] += behind[:, ::-1]
        return dx, named

    def advance(self, x, state):  # noqa: D102
        raise ValueError("a bidirectional layer needs the whole utterance: give it to forward()")


def _unit(options: BidirectionalOptions, dim: int, rng: np.random.Generator) -> Layer:
    cell, warmup, clip = options.cell, options.warmup, options.gradient_clip
    if options.unit == "gru":
        return Gru(CellOptions(cell, warmup, clip), dim, 1, rng)
    if options.unit == "rnn":
        return Rnn(CellOptions(cell, warmup, clip), dim, 1, rng)
    return Lstm(LstmOptions(cell, options.projection, warmup, gradient_clip=clip), dim, 1, rng)
