"""Owns the transducer: an encoder of frames, a network over the labels so far, and their joint.

    h_t = encoder(frames)_t        the hidden layer of a CTC network, below its output
    g_u = LSTM(embedding(blank, y_1 .. y_u))
    logits(t, u) = W tanh(A h_t + B g_u + b) + c

Graves 2012; the joint layer is that of Graves, Mohamed and Hinton, "Speech recognition with deep
recurrent neural networks", 2013. Every `every`-th frame of the encoder counts: a frame of 10 ms
hardly ever writes a label.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybridasr.ctc.transducer_loss import transducer_loss
from hybridasr.errors import UserError
from hybridasr.nnet.layer import column_sums, initial_weights
from hybridasr.nnet.network import Network
from hybridasr.nnet.recurrent import Lstm, LstmOptions
from hybridasr.nnlm.word_layers import Embedding, EmbeddingOptions
from hybridasr.options import option

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class TransducerOptions:
    """Sizes of a transducer beside its encoder."""

    embedding: int = option(32, "columns that a label is given as")
    cell: int = option(96, "memory cells over the labels so far")
    joint: int = option(128, "columns of the joint layer")
    every: int = option(3, "of so many outputs of the encoder one counts, the first")

    def __post_init__(self):
        for name in ("embedding", "cell", "joint", "every"):
            if getattr(self, name) < 1:
                raise UserError(f"option {name} is {getattr(self, name)}; give 1 or more")


class Encoder:
    """A CTC network below its output, and that output.

    Attributes
    ----------
    network : Network
        Trained in place.
    """

    def __init__(self, network: Network):
        self.network = network
        self.layers = network.layers[:-1]
        if not self.layers:
            raise UserError("the network is nothing but its output; train-ctc one with layers")

    @property
    def dim(self) -> int:
        """Columns of what it gives."""
        return self.network.layers[-1].input_dim

    def forward(self, x: np.ndarray, train: bool = False, rng: np.random.Generator | None = None
                ) -> tuple[np.ndarray, np.ndarray, list[Any]]:
        """Return hidden (batch, time, dim), logits of CTC (batch, time, classes), caches."""
        caches = []
        for layer in self.layers:
            x, cache = layer.forward(x, train, rng)
            caches.append(cache)
        logits, cache = self.network.layers[-1].forward(x, train, rng)
        return x, logits, [*caches, cache]

    def backward(self, dhidden: np.ndarray, dlogits: np.ndarray, caches: list[Any]) -> Arrays:
        """Return the gradients by the network's parameters, named as its `parameters`.

        Parameters
        ----------
        dhidden, dlogits : arrays as `forward` gives
            The gradients by both outputs.
        """
        last = len(self.layers)
        dx, own = self.network.layers[-1].backward(dlogits, caches[-1], True)
        grads = {f"{last}.{name}": array for name, array in own.items()}
        dx = dx + dhidden
        first = next(number for number, layer in enumerate(self.network.layers) if layer.parameters)
        for number in range(last - 1, first - 1, -1):
            dx, own = self.layers[number].backward(dx, caches[number], number > first)
            grads.update({f"{number}.{name}": array for name, array in own.items()})
        return grads


class Transducer:
    """The network over labels and the joint layer; labels are numbered from 1, 0 is the blank.

    Attributes
    ----------
    parameters : dict of arrays
        The arrays themselves: an update in place trains it.
    """

    def __init__(self, num_labels: int, encoder_dim: int, options: TransducerOptions,
                 seed: int = 0):
        self.options, self.num_labels, self.encoder_dim = options, num_labels, encoder_dim
        rng = np.random.default_rng([seed, 14])
        self._embedding = Embedding(EmbeddingOptions(num_labels + 1, options.embedding), 1, 1, rng)
        self._memory = Lstm(LstmOptions(cell=options.cell), options.embedding, 1, rng)
        joint, classes = options.joint, num_labels + 1
        self.parameters: Arrays = {
            **{f"embedding.{name}": array for name, array in self._embedding.parameters.items()},
            **{f"memory.{name}": array for name, array in self._memory.parameters.items()},
            "joint.frames": initial_weights(rng, joint, encoder_dim, "glorot"),
            "joint.labels": initial_weights(rng, joint, options.cell, "glorot"),
            "joint.bias": np.zeros(joint, np.float32),
            "output.weights": initial_weights(rng, classes, joint, "glorot"),
            "output.bias": np.zeros(classes, np.float32)}

    def load_arrays(self, arrays: Mapping[str, np.ndarray], source: str = "transducer") -> None:
        """Take over parameters.

        Raises
        ------
        UserError
            if an array is missing, of another shape, or not of finite numbers.
        """
        for name, array in self.parameters.items():
            other = arrays.get(name)
            if other is None or other.shape != array.shape or other.dtype.kind != "f" \
                    or not np.isfinite(other).all():
                raise UserError(f"array '{name}' is missing or does not fit; train the transducer "
                                "again, or copy it again", source)
            array[...] = other

    def astype(self, dtype: Any) -> "Transducer":
        """Turn all parameters into `dtype`, in place; float64 is for checks."""
        for part, layer in (("embedding", self._embedding), ("memory", self._memory)):
            layer.parameters = {name: array.astype(dtype)
                                for name, array in layer.parameters.items()}
            self.parameters |= {f"{part}.{name}": array
                                for name, array in layer.parameters.items()}
        self.parameters |= {name: array.astype(dtype) for name, array in self.parameters.items()
                            if name.startswith(("joint", "output"))}
        return self

    def frames(self, hidden: np.ndarray) -> np.ndarray:
        """Return A h_t + b of the frames that count, (frames, joint), of (time, dim)."""
        return (hidden[::self.options.every] @ self.parameters["joint.frames"].T
                + self.parameters["joint.bias"])

    def advance(self, label: int, state: Any) -> tuple[np.ndarray, Any]:
        """Write a label (0: begin); return B g (joint,) of the labels so far, and the state."""
        x, _ = self._embedding.forward(np.array([[[label]]]))
        y, state = self._memory.advance(x, state)
        return y[0, 0] @ self.parameters["joint.labels"].T, state

    def joint(self, frame: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the logits of a node, (..., classes), of A h + b and B g (..., joint)."""
        return (np.tanh(frame + labels) @ self.parameters["output.weights"].T
                + self.parameters["output.bias"])

    def loss(self, hidden: np.ndarray, frames: np.ndarray, labels: np.ndarray, sizes: np.ndarray,
             scale: float = 1.0) -> tuple[np.ndarray, np.ndarray, Arrays]:
        """Return the losses of a batch and the gradients of their sum.

        Parameters
        ----------
        hidden : float32 (batch, time, encoder_dim)
        frames : int64 (batch,)
            Outputs of the encoder of each utterance, one or more.
        labels : int32 (batch, longest), sizes : int64 (batch,)
        scale : float
            Multiplies the gradients only.

        Returns
        -------
        losses : float64 (batch,)
        dhidden : array as `hidden`
        grads : dict as `parameters`
        """
        parameters, every = self.parameters, self.options.every
        before = np.concatenate([np.zeros((len(labels), 1), np.int64), labels], axis=1)
        embedded, rows = self._embedding.forward(before[:, :, None], True)
        memory, cache = self._memory.forward(embedded, True)
        grads = {name: np.zeros_like(array) for name, array in parameters.items()
                 if name.startswith(("joint", "output"))}
        losses = np.zeros(len(labels))
        dhidden, dmemory = np.zeros_like(hidden), np.zeros_like(memory)
        # One utterance at a time: each has a grid of its own, and none is padded.
        for row, (time, size) in enumerate(zip(frames, sizes, strict=True)):
            inputs, written = hidden[row, :time:every], memory[row, :size + 1]
            squashed = np.tanh((inputs @ parameters["joint.frames"].T
                                + parameters["joint.bias"])[:, None]
                               + written @ parameters["joint.labels"].T)
            logits = squashed @ parameters["output.weights"].T + parameters["output.bias"]
            losses[row], dlogits = transducer_loss(logits, labels[row, :size], scale)
            flat = dlogits.reshape(-1, dlogits.shape[2])
            grads["output.weights"] += flat.T @ squashed.reshape(len(flat), -1)
            grads["output.bias"] += column_sums(flat)
            dsum = (dlogits @ parameters["output.weights"]) * (1 - squashed * squashed)
            dframes, dlabels = dsum.sum(1), dsum.sum(0)
            grads["joint.frames"] += dframes.T @ inputs
            grads["joint.labels"] += dlabels.T @ written
            grads["joint.bias"] += dframes.sum(0)
            dhidden[row, :time:every] = dframes @ parameters["joint.frames"]
            dmemory[row, :size + 1] = dlabels @ parameters["joint.labels"]
        dembedded, own = self._memory.backward(dmemory, cache)
        grads |= {f"memory.{name}": array for name, array in own.items()}
        _, own = self._embedding.backward(dembedded, rows)
        return losses, dhidden, grads | {f"embedding.{name}": array for name, array in own.items()}
