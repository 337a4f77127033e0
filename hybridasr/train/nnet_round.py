"""Owns one round of the training of a network: mini-batches, steps, and what was counted.

What a part of a round takes and gives is plain arrays (`State`), so that it runs in any process.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hybridasr.features.specaugment import spec_augment
from hybridasr.nnet.loss import cross_entropy
from hybridasr.nnet.network import Network
from hybridasr.nnet.network_text import read_network
from hybridasr.nnet.optim import Adam, AdamOptions, Sgd, SgdOptions, exponential_rate
from hybridasr.nnet.products import product_threads
from hybridasr.train.minibatch import FrameSet
from hybridasr.train.nnet_options import DnnOptions

State = dict[str, np.ndarray]


@dataclass(frozen=True)
class Task:
    """What every part of a training needs; the frames stay on disk.

    Attributes
    ----------
    text, source : str
        The description of the network and where it is from.
    shift, scale : float32 (dim,)
        The network sees ``(features - shift) * scale``.
    bins : int
        Columns that are neighbouring frequencies.
    threads : int
        Of the matrix products; the result does not depend on it.
    """

    frames: FrameSet
    text: str
    source: str
    num_pdfs: int
    options: DnnOptions
    bins: int
    shift: np.ndarray
    scale: np.ndarray
    threads: int = 1

    def restore(self, state: State | None) -> tuple[Network, "Adam | Sgd"]:
        """Return network and optimiser in a state, or at the beginning."""
        options = self.options
        # By the text and the seed: what travels between processes is arrays alone.
        network = read_network(self.text, self.frames.feats.shape[1], self.num_pdfs, options.seed,
                               self.source)
        if options.optimizer == "adam":
            optimizer = Adam(AdamOptions(decay=options.l2, max_norm=options.max_norm),
                             network.parameters)
        else:
            optimizer = Sgd(SgdOptions(momentum=options.momentum, l2=options.l2,
                                       max_norm=options.max_norm), network.parameters)
        if state is not None:
            network.load_arrays(part_of(state, "network."))
            optimizer.load_arrays(part_of(state, "optimizer."))
        return network, optimizer


@dataclass(frozen=True)
class Rate:
    """The step size: exponential in the share of steps done, or the same for an epoch."""

    initial: float
    final: float
    steps: int

    def at(self, step: int) -> float:
        """Return the step size after so many steps."""
        return exponential_rate(self.initial, self.final, step / self.steps)


@dataclass(frozen=True)
class Counts:
    """What was seen: loss in natural logs, frames, and those classified as aligned.

    `norm` is the sum of the gradients' norms before clipping, `steps` how many there were.
    """

    loss: float = 0.0
    frames: int = 0
    correct: int = 0
    norm: float = 0.0
    steps: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.loss + other.loss, self.frames + other.frames,
                      self.correct + other.correct, self.norm + other.norm,
                      self.steps + other.steps)

    @property
    def mean_norm(self) -> float | None:
        """Mean norm of the gradients; None if it was not computed."""
        return self.norm / self.steps if self.norm else None

    @property
    def mean_loss(self) -> float:
        """Loss a frame; not a number without frames."""
        return self.loss / self.frames if self.frames else float("nan")

    @property
    def accuracy(self) -> float | None:
        """Per cent of the frames that are right."""
        return round(100 * self.correct / self.frames, 2) if self.frames else None


def train_part(task: Task, state: State, chunks: np.ndarray, rate: Rate, seed: list[int]
               ) -> tuple[State, Counts]:
    """Go on from a state with these chunks; return the new state and what was seen."""
    network, optimizer = task.restore(state)
    rng, counts = np.random.default_rng(seed), Counts()
    with product_threads(task.threads):
        for feats, targets in _batches(task, network, chunks, task.options.batch_chunks):
            masks = task.options.masks
            if masks.freq_masks or masks.time_masks:
                spec_augment(feats, masks, task.bins, rng)
            logits, caches = network.forward(feats, True, rng)
            num_frames = int((targets >= 0).sum())
            # The mean over the frames: the step size does not hang on the size of the batch.
            loss, dlogits, correct = cross_entropy(logits.reshape(-1, logits.shape[-1]), targets,
                                                   1.0 / max(num_frames, 1))
            counts += Counts(loss, num_frames, correct)
            # The steps that follow would only spread it; whoever called tells the user.
            if not np.isfinite(loss):
                break
            norm = optimizer.step(network.parameters,
                                  network.backward(dlogits.reshape(logits.shape), caches),
                                  rate.at(optimizer.steps))
            # One that is not finite changed nothing.
            counts += Counts(norm=norm, steps=1) if np.isfinite(norm) else Counts()
    return state_of(network, optimizer), counts


def watch(task: Task, state: State, chunks: np.ndarray) -> Counts:
    """Classify frames that the network does not learn from."""
    network, _ = task.restore(state)
    counts = Counts()
    for feats, targets in _batches(task, network, chunks, task.options.minibatch_size):
        logits = network.forward(feats)[0]
        loss, _, correct = cross_entropy(logits.reshape(-1, logits.shape[-1]), targets)
        counts += Counts(loss, int((targets >= 0).sum()), correct)
    return counts


def _batches(task: Task, network: Network, chunks: np.ndarray, size: int
             ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield scaled frames with context, and the classes of all frames in a row."""
    for feats, pdfs in task.frames.batches(chunks, task.options.chunk_width, network.left_context,
                                           network.right_context, size):
        yield (feats - task.shift) * task.scale, pdfs.reshape(-1)


def state_of(network: Network, optimizer: "Adam | Sgd") -> State:
    """Return all arrays that a training goes on from."""
    return {**{f"network.{name}": array for name, array in network.to_arrays().items()},
            **{f"optimizer.{name}": array for name, array in optimizer.to_arrays().items()}}


def part_of(state: State, front: str) -> State:
    """Return the arrays whose names begin with `front`, without it.

    >>> part_of({"network.bias": np.ones(2), "optimizer.steps": np.ones(1)}, "network.").keys()
    dict_keys(['bias'])
    """
    return {name.removeprefix(front): array for name, array in state.items()
            if name.startswith(front)}
