"""Owns a network as a list of layers: both passes, whole utterances, streams, arrays."""

import copy
import itertools
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hybridasr.errors import UserError
from hybridasr.nnet.layer import Layer
from hybridasr.nnet.layers import Splice
from hybridasr.nnet.loss import log_softmax

CHUNK_FRAMES = 1024


class Network:
    """Layers applied one after the other; the last one gives a logit a class.

    Attributes
    ----------
    parameters, statistics : dict
        All arrays of the layers under 'number.name', number counting layers from 0; the arrays
        themselves, so that an update in place trains the network.
    left_context, right_context : int
        Input frames needed before and after an output frame.
    subsampling : int
        Input frames from one output frame to the next: the product of the layers' strides. Output
        frame t stands for the input frame t * subsampling.
    """

    def __init__(self, layers: Sequence[Layer]):
        if not layers:
            raise ValueError("a network needs a layer")
        self.layers = list(layers)
        self._name_arrays()
        # Of each layer's own frames, and of the output's: input frames from one to the next.
        *self._rates, self.subsampling = itertools.accumulate(
            (layer.stride for layer in self.layers), operator.mul, initial=1)
        self.left_context, self.right_context = self._context(self.layers)
        self._join = self._find_join()
        self._first_trained = next((number for number, layer in enumerate(self.layers)
                                    if layer.parameters), len(self.layers))

    def _context(self, layers: Sequence[Layer]) -> tuple[int, int]:
        """Return the input frames that the first layers, up to `layers`, need at each side."""
        pairs = list(zip(layers, self._rates, strict=False))
        return (sum(layer.left * rate for layer, rate in pairs),
                sum(layer.right * rate for layer, rate in pairs))

    def num_outputs(self, num_frames: int) -> int:
        """Return how many output frames an utterance of so many input frames has."""
        return -(-num_frames // self.subsampling)

    def _name_arrays(self) -> None:
        self.parameters = _named(layer.parameters for layer in self.layers)
        self.statistics = _named(layer.statistics for layer in self.layers)

    def twin(self) -> "Network":
        """Return a network of the same parameters, with buffers and statistics of its own.

        Both may train at the same time; a step of an optimiser in place moves both.
        """
        other = copy.deepcopy(self)
        for ours, theirs in zip(self.layers, other.layers, strict=True):
            for (_, layer), (_, same) in zip(ours.members(), theirs.members(), strict=True):
                same.parameters.update(layer.parameters)
        other._name_arrays()
        return other

    @property
    def input_dim(self) -> int:
        """Columns of the features."""
        return self.layers[0].input_dim

    @property
    def output_dim(self) -> int:
        """Classes."""
        return self.layers[-1].output_dim

    @property
    def streams(self) -> bool:
        """Whether frames can be told of before the utterance has ended."""
        return all(layer.streams for layer in self.layers)

    @property
    def rate_factors(self) -> dict[str, float]:
        """What multiplies the step size of each parameter, where it is not 1."""
        return {f"{number}.{name}": layer.rate_factor for number, layer in enumerate(self.layers)
                if layer.rate_factor != 1 for name in layer.parameters}

    @property
    def num_parameters(self) -> int:
        """Trained numbers."""
        return sum(array.size for array in self.parameters.values())

    @property
    def multiplications(self) -> int:
        """Multiplications of one output frame in the matrix products."""
        # Layers before a stride work on several frames for each frame of the output.
        return sum(layer.multiplications * self.subsampling // (rate * layer.stride)
                   for layer, rate in zip(self.layers, self._rates, strict=True))

    @property
    def text(self) -> str:
        """The configuration, which `hybridasr.nnet.network_text.read_network` reads."""
        return "".join(layer.text + "\n" for layer in self.layers)

    def forward(self, x: np.ndarray, train: bool = False, rng: np.random.Generator | None = None
                ) -> tuple[np.ndarray, list[Any]]:
        """Compute logits of chunks.

        Parameters
        ----------
        x : float32 (batch, time, input_dim)
            With the context frames: time is more than left_context + right_context. For N
            output frames it is left_context + (N - 1) * subsampling + 1 + right_context, or up to
            subsampling - 1 more.
        train : bool
            Drop out, use the batch's statistics, and keep what `backward` needs. The logits then
            live in a buffer that the next training pass overwrites.
        rng : numpy.random.Generator, optional
            For dropout.

        Returns
        -------
        logits : (batch, num_outputs(time - left_context - right_context), output_dim)
        caches : list
            One cache a layer if `train`, otherwise empty.
        """
        if x.ndim != 3 or x.shape[2] != self.input_dim:
            raise ValueError(f"input {x.shape}, the network has {self.input_dim} columns")
        if x.shape[1] <= self.left_context + self.right_context:
            raise ValueError(f"{x.shape[1]} frames, the network's context is "
                             f"{self.left_context} + {self.right_context}")
        caches: list[Any] = []
        join = self._join if train and x.shape[1] == self.left_context + self.right_context + 1 \
            else -1
        if join >= 0:
            x = self._windows(x)
        for number, layer in enumerate(self.layers):
            if number == join:
                x, cache = x.reshape(-1, 1, layer.output_dim), None
            else:
                x, cache = layer.forward(x, train, rng)
            if train:
                caches.append(cache)
        return x, caches

    def _find_join(self) -> int:
        """Return the splicing before which training on single frames works window by window.

        A network on single frames would otherwise compute its lower layers for all frames of the
        context, of which a splicing takes some. -1 if there is no such place.
        """
        for number in range(len(self.layers) - 1, 0, -1):
            layer = self.layers[number]
            if layer.left + layer.right == 0 and layer.local:
                continue
            below = self.layers[:number]
            skips = isinstance(layer, Splice) and len(layer.starts) <= layer.left + layer.right
            good = skips and all(one.local for one in below) and any(o.parameters for o in below)
            return number if good else -1
        return -1

    def _windows(self, x: np.ndarray) -> np.ndarray:
        """Return what each frame that is spliced depends on: (batch * frames, window, dim)."""
        width = 1 + sum(self._context(self.layers[:self._join]))
        starts = np.array(self.layers[self._join].starts) * self._rates[self._join]
        return x[:, starts[:, None] + np.arange(width)].reshape(-1, width, x.shape[2])

    def backward(self, dlogits: np.ndarray, caches: list[Any]) -> dict[str, np.ndarray]:
        """Compute the loss's gradient by every parameter, named as in `parameters`.

        `dlogits` (batch, time, output_dim) is overwritten. The gradients live in buffers that
        the next call overwrites.
        """
        grads, dy = {}, dlogits
        for number in range(len(self.layers) - 1, self._first_trained - 1, -1):
            if number == self._join and caches[number] is None:
                dy = dy.reshape(-1, 1, self.layers[number].input_dim)
                continue
            dy, own = self.layers[number].backward(dy, caches[number],
                                                     number > self._first_trained)
            grads.update({f"{number}.{name}": array for name, array in own.items()})
        return grads

    def log_posteriors(self, feats: np.ndarray, chunk: int = CHUNK_FRAMES) -> np.ndarray:
        """Compute natural log posteriors of a whole utterance.

        Parameters
        ----------
        feats : float32 (num_frames, input_dim)
            The first and the last frame are repeated for the context.
        chunk : int
            Longer utterances are worked through by so many frames, so that the memory for the
            hidden layers does not grow; the result is the same to rounding.

        Returns
        -------
        float32 (num_outputs(num_frames), output_dim)
        """
        if feats.ndim != 2 or feats.shape[1] != self.input_dim:
            raise ValueError(f"features {feats.shape}, the network has {self.input_dim} columns")
        if not len(feats):
            return np.empty((0, self.output_dim), feats.dtype)
        # A layer that looks at all frames takes them in one go, whatever memory that needs.
        if len(feats) <= chunk or not self.streams:
            return log_softmax(self.forward(self.with_context(feats)[None])[0][0])
        # In place, part by part: of an hour the posteriors alone are hundreds of megabytes.
        shape = (self.num_outputs(len(feats)), self.output_dim)
        out, done = np.empty(shape, feats.dtype), 0
        for logits in self.chunked(feats, chunk):
            out[done:done + len(logits)] = log_softmax(logits)
            done += len(logits)
        return out

    def with_context(self, feats: np.ndarray) -> np.ndarray:
        """Repeat the first and the last frame of (num_frames, dim) for the context."""
        # np.pad takes ten times as long
        return np.concatenate([np.repeat(feats[:1], self.left_context, axis=0), feats,
                               np.repeat(feats[-1:], self.right_context, axis=0)])

    def chunked(self, feats: np.ndarray, chunk: int) -> Iterator[np.ndarray]:
        """Yield the logits of an utterance (num_frames, input_dim) by `chunk` input frames."""
        if chunk < 1:
            raise ValueError(f"chunks of {chunk} frames; give at least 1")
        stream = self.stream()
        for start in range(0, len(feats), chunk):
            yield stream.push(feats[start:start + chunk])
        yield stream.finish()

    def stream(self) -> "Stream":
        """Return an evaluation that takes the frames of one utterance bit by bit."""
        return Stream(self)

    def astype(self, dtype: Any) -> "Network":
        """Turn all arrays into `dtype`, in place; float64 is for checks."""
        for layer in self.layers:
            layer.replace_arrays(lambda array: array.astype(dtype))
        self._name_arrays()
        return self

    def for_inference(self) -> "Network":
        """Lay the matrices out by columns, in place: products with their transposes are faster.

        All shapes and results stay; an optimiser refuses such parameters.
        """
        for layer in self.layers:
            layer.replace_arrays(np.asfortranarray, statistics=False)
        self._name_arrays()
        return self

    def constrain(self) -> None:
        """Bring all layers nearer to what they are bound to be (semi-orthogonal matrices)."""
        for layer in self.layers:
            layer.constrain()

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return parameters, statistics and 'dims' (input, output) for a file; copies.

        With `text` they are the whole network: `network_text.float_network_from_arrays` remakes it.
        """
        arrays = {name: array.copy() for name, array in
                  {**self.parameters, **self.statistics}.items()}
        return {**arrays, "dims": np.array([self.input_dim, self.output_dim], np.int64)}

    def load_arrays(self, arrays: dict[str, np.ndarray], source: str = "network") -> None:
        """Take over parameters and statistics from `to_arrays` of a network of the same text.

        Raises
        ------
        UserError
            if an array is missing or has another shape; `source` is named.
        """
        for name, array in {**self.parameters, **self.statistics}.items():
            if name not in arrays:
                raise UserError(f"array '{name}' is missing; the file belongs to another network "
                                "or is damaged, train again", source)
            if arrays[name].shape != array.shape:
                raise UserError(f"array '{name}' is {arrays[name].shape}, the configuration wants "
                                f"{array.shape}; use the configuration it was trained with", source)
            array[...] = arrays[name]


class Stream:
    """State of a network between parts of one utterance; the results are those of the whole.

    A network that does not stream keeps the frames, and gives all logits when the utterance ends.
    """

    def __init__(self, network: Network):
        self.network = network
        self._kept: list[np.ndarray] = []
        self._states: list[Any] = [None] * len(network.layers)
        self._last: np.ndarray | None = None

    def push(self, feats: np.ndarray) -> np.ndarray:
        """Take frames (num, input_dim); return the logits that are complete, (num', output_dim)."""
        network = self.network
        if not network.streams:
            self._kept.append(feats)
            return np.empty((0, network.output_dim), feats.dtype)
        if not len(feats):
            return np.empty((0, network.output_dim), feats.dtype)
        if self._last is None:
            feats = np.concatenate([np.repeat(feats[:1], network.left_context, axis=0), feats])
        self._last = feats[-1:].copy()
        x = feats[None]
        for number, layer in enumerate(network.layers):
            x, self._states[number] = layer.advance(x, self._states[number])
            if not x.shape[1]:
                return np.empty((0, network.output_dim), feats.dtype)
        return x[0]

    def finish(self) -> np.ndarray:
        """End the utterance: return the logits that waited for right context."""
        if any(map(len, self._kept)):
            whole = np.concatenate(self._kept)
            return self.network.forward(self.network.with_context(whole)[None])[0][0]
        if self._last is None:
            return np.empty((0, self.network.output_dim), np.float32)
        return self.push(np.repeat(self._last, self.network.right_context, axis=0))


def _named(groups: Iterator[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {f"{number}.{name}": array for number, group in enumerate(groups)
            for name, array in group.items()}
