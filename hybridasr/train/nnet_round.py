"""Owns one round of the training of a network: mini-batches, steps, and what was counted.

What a part of a round takes and gives is plain arrays (`State`), so that it runs in any process.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from hybridasr.checkpoint import part_of
from hybridasr.features.frames import FeatureOptions
from hybridasr.features.specaugment import spec_augment
from hybridasr.nnet.network import Network
from hybridasr.nnet.network_text import read_network
from hybridasr.nnet.optim import (
    Adam,
    AdamOptions,
    Sgd,
    SgdOptions,
    average,
    cosine_rate,
    exponential_rate,
)
from hybridasr.nnet.products import product_threads
from hybridasr.train.chunk_plan import input_scaling, mini_batches
from hybridasr.train.minibatch import FrameSet
from hybridasr.train.nnet_options import FitOptions
from hybridasr.train.objective import Counts, Objective

State = dict[str, np.ndarray]
CONSTRAIN_STEPS = 4  # steps from one to the next that brings bound matrices back


@dataclass(frozen=True)
class Task:
    """What every part of a training needs; the frames stay on disk.

    Attributes
    ----------
    text, source : str
        The description of the network and where it is from.
    num_outputs : int
        Of the network.
    objective : Objective
        What the network is fitted to.
    shift, scale : float32 (dim,)
        The network sees ``(features - shift) * scale``.
    bins : int
        Columns that are neighbouring frequencies.
    threads : int
        Of the matrix products, if there is one job; the result does not depend on it.
    """

    frames: FrameSet
    text: str
    source: str
    num_outputs: int
    objective: Objective
    options: FitOptions
    bins: int
    shift: np.ndarray
    scale: np.ndarray
    threads: int = 1

    @classmethod
    def of(cls, frames: FrameSet, text: str, source: str, num_outputs: int, objective: Objective,
           features: FeatureOptions, options: FitOptions, threads: int = 1) -> "Task":
        """Return the task of a network of its own: the frames' scaling is that of its input."""
        # Columns of other kinds than fbank are no neighbouring frequencies.
        bins = features.num_mel_bins if features.kind == "fbank" else 0
        return cls(frames, text, source, num_outputs, objective, options, bins,
                   *input_scaling(frames.feats), 1 if options.num_jobs > 1 else threads)

    def feats(self, network: Network, chunks: np.ndarray) -> np.ndarray:
        """Return what the network sees of some chunks: scaled frames, with its context."""
        feats = self.frames.batch(chunks, network.left_context, network.right_context)
        return (feats - self.shift) * self.scale

    def restore(self, state: State | None) -> tuple[Network, "Adam | Sgd"]:
        """Return network and optimiser in a state, or at the beginning."""
        options = self.options
        # By the text and the seed: what travels between processes is arrays alone.
        network = read_network(self.text, self.frames.feats.shape[1], self.num_outputs,
                               options.seed, self.source)
        if options.optimizer == "adam":
            optimizer = Adam(AdamOptions(decay=options.l2, max_norm=options.max_norm),
                             network.parameters, network.rate_factors)
        else:
            optimizer = Sgd(SgdOptions(momentum=options.momentum, l2=options.l2,
                                       max_norm=options.max_norm), network.parameters,
                            network.rate_factors)
        if state is not None:
            network.load_arrays(part_of(state, "network."))
            optimizer.load_arrays(part_of(state, "optimizer."))
        return network, optimizer


@dataclass(frozen=True)
class Rate:
    """The step size: on a curve of the share of steps done, or the same for an epoch."""

    initial: float
    final: float
    steps: int
    cosine: bool = False

    def at(self, step: int) -> float:
        """Return the step size after so many steps."""
        curve = cosine_rate if self.cosine else exponential_rate
        return curve(self.initial, self.final, step / self.steps)


def train_part(task: Task, state: State, chunks: np.ndarray, rate: Rate, seed: list[int]
               ) -> tuple[State, Counts]:
    """Go on from a state with these chunks; return the new state and what was seen."""
    network, optimizer = task.restore(state)
    rng, counts = np.random.default_rng(seed), Counts()
    with Replicas(task, network, rng) as replicas, product_threads(task.threads):
        for batch in mini_batches(chunks, task.options, rng):
            seen, grads = replicas.gradient(batch)
            counts += seen
            # The steps that follow would only spread it; whoever called tells the user.
            if not np.isfinite(seen.loss):
                break
            norm = optimizer.step(network.parameters, grads, rate.at(optimizer.steps))
            if optimizer.steps % CONSTRAIN_STEPS == 0:
                network.constrain()
            # One that is not finite changed nothing.
            counts += Counts(norm=norm, steps=1) if np.isfinite(norm) else Counts()
        replicas.join_statistics()
    return state_of(network, optimizer), counts


class Replicas:
    """A network and twins of it, each of which works on its part of every mini-batch.

    Draws and statistics are a replica's own, and the gradients are added in one order: the result
    hangs on how many there are, not on the threads that they run on.

    Parameters
    ----------
    task : Task
        `FitOptions.replicas` says how many there are; of its threads each has a share.
    network : Network
        Its parameters are those of all.
    rng : numpy.random.Generator
        Of one alone, whose draws are those of the trainer; several have children of it.
    """

    def __init__(self, task: Task, network: Network, rng: np.random.Generator):
        number = task.options.replicas
        self.task, self.networks = task, [network, *(network.twin() for _ in range(1, number))]
        self.rngs = [rng] if number == 1 else rng.spawn(number)
        self.pool = ThreadPoolExecutor(min(task.threads, number))
        self.threads = max(1, task.threads // number)

    def __enter__(self) -> "Replicas":
        return self

    def __exit__(self, *fault: object) -> None:
        self.pool.shutdown()

    def gradient(self, batch: np.ndarray) -> tuple[Counts, dict[str, np.ndarray]]:
        """Return what was seen in a mini-batch, and the gradient of the loss's mean.

        The gradient may live in buffers that the next call overwrites; it is empty where the loss
        is not finite.
        """
        if len(self.networks) == 1:
            return self._of_part(self.networks[0], self.rngs[0], batch)
        parts = [part for part in np.array_split(batch, len(self.networks)) if len(part)]
        results = list(self.pool.map(self._of_part, self.networks, self.rngs, parts))
        total = sum((seen for seen, _ in results), Counts())
        if not np.isfinite(total.loss):
            return total, {}
        sums: dict[str, np.ndarray] = {}
        for seen, grads in results:
            # Of a mean over the part's frames one over all frames.
            share = seen.frames / max(total.frames, 1)
            for name, array in grads.items():
                array *= array.dtype.type(share)
                sums[name] = array if name not in sums else np.add(sums[name], array,
                                                                   out=sums[name])
        return total, sums

    def _of_part(self, network: Network, rng: np.random.Generator, chunks: np.ndarray
                 ) -> tuple[Counts, dict[str, np.ndarray]]:
        task, masks = self.task, self.task.options.masks
        with product_threads(self.threads):
            feats = task.feats(network, chunks)
            if masks.freq_masks or masks.time_masks:
                spec_augment(feats, masks, task.bins, rng)
            logits, caches = network.forward(feats, True, rng)
            seen, dlogits = task.objective.loss(logits, chunks)
            return seen, network.backward(dlogits, caches) if np.isfinite(seen.loss) else {}

    def join_statistics(self) -> None:
        """Give the network the mean of all statistics."""
        if len(self.networks) > 1:
            means = average([network.statistics for network in self.networks])
            for name, array in self.networks[0].statistics.items():
                array[...] = means[name]


def watch(task: Task, state: State, chunks: np.ndarray) -> Counts:
    """Return what the objective says of chunks that the network does not learn from."""
    network, _ = task.restore(state)
    return sum((task.objective.loss(network.forward(task.feats(network, batch))[0], batch)[0]
                for batch in mini_batches(chunks, task.options)), Counts())


def state_of(network: Network, optimizer: "Adam | Sgd") -> State:
    """Return all arrays that a training goes on from."""
    return {**{f"network.{name}": array for name, array in network.to_arrays().items()},
            **{f"optimizer.{name}": array for name, array in optimizer.to_arrays().items()}}
