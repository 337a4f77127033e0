"""Owns the fitting of a network to frames: rounds of mini-batches, schedules, averaging, resuming.

A round is a fixed amount of frames. In each, one job, or several side by side, go on from the same
network with frames of their own; the networks of several are averaged (Povey, Zhang and Khudanpur,
"Parallel training of DNNs with natural gradient and parameter averaging", 2015). What a round
leaves behind is plain arrays, so that a training that was stopped goes on to the same result, and
what comes out does not depend on how many jobs ran at the same time.
"""

import json
import logging
import time
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.errors import UserError
from hybridasr.features.specaugment import SpecAugmentOptions, spec_augment
from hybridasr.nnet.acoustics import NnetAcoustics
from hybridasr.nnet.config import read_network
from hybridasr.nnet.loss import cross_entropy
from hybridasr.nnet.network import Network
from hybridasr.nnet.optim import (
    Adam,
    AdamOptions,
    NewBob,
    Sgd,
    SgdOptions,
    average,
    exponential_rate,
)
from hybridasr.options import nested, option, seed_option, to_dict
from hybridasr.progress import progress
from hybridasr.storage import digest, digest_file, write_arrays
from hybridasr.train.checkpoint import read_checkpoint
from hybridasr.train.minibatch import FrameSet

logger = logging.getLogger("hybridasr")
ROUND_FRAMES = 1 << 16
FEW_FRAMES = 0.1  # frames a parameter below which the user is warned
State = dict[str, np.ndarray]


@dataclass(frozen=True)
class DnnOptions:
    """How a network is trained."""

    network: str = option("", "file that describes the network; none: three layers of 512")
    delta_order: int = option(0, "derivatives that the network sees")
    num_epochs: int = option(4, "passes over all frames, at most")
    minibatch_size: int = option(256, "frames a step")
    chunk_width: int = option(1, "frames in a row that are drawn together, for layers that share "
                                 "work between neighbours (tdnn 8, lstm 40)")
    silence_share: float = option(0.3, "share of the chunks of silence alone that an epoch draws")
    optimizer: str = option("adam", "what takes the steps", ("adam", "sgd"))
    momentum: float = option(0.9, "share of the last step that the next one goes on with (sgd)",
                             needs="optimizer=sgd")
    l2: float = option(0.0, "weight of half the squared norm of the matrices (sgd); a step shrinks "
                            "them by step size times this (adam)")
    max_norm: float = option(5.0, "gradients of a larger norm are scaled down to it; 0: never")
    schedule: str = option("exponential", "how the step size falls: exponential; new-bob: halved "
                           "from the epoch on that gains little on held-out utterances",
                           ("exponential", "new-bob"))
    initial_learning_rate: float = option(1e-3, "step size at the beginning")
    final_learning_rate: float = option(3e-5, "step size at the end (exponential)",
                                        needs="schedule=exponential")
    patience: int = option(0, "stop after so many epochs in a row without gain on held-out "
                              "utterances; 0: never")
    average_rounds: int = option(5, f"the networks after the last rounds ({ROUND_FRAMES} frames "
                                    "each) that are averaged")
    num_jobs: int = option(1, "networks that are trained side by side and averaged every round")
    held_out: float = option(0.05, "share of the speakers, or of the utterances if there are few "
                                   "speakers, that is only watched")
    realign: int = option(0, "how often the set is aligned with the network, which is then trained "
                             "anew")
    seed: int = seed_option("the first weights and of all draws")
    masks: SpecAugmentOptions = nested(SpecAugmentOptions)

    def __post_init__(self):
        """Refuse values outside their range."""
        least = {"num_epochs": 1, "minibatch_size": 2, "chunk_width": 1, "average_rounds": 1,
                 "num_jobs": 1, "seed": 0, "patience": 0, "realign": 0, "delta_order": 0}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise UserError(f"option {name} is {getattr(self, name)}; give {bound} or more")
        if not 0 < self.final_learning_rate <= self.initial_learning_rate:
            raise UserError(f"learning rates {self.initial_learning_rate} to "
                            f"{self.final_learning_rate}; give positive ones that do not rise")
        for name in ("held_out", "silence_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"option {name} is {getattr(self, name)}; give 0 to 1")
        if self.held_out == 1:
            raise UserError("option held_out is 1; nothing would be left to train on")
        if self.held_out == 0 and (self.patience or self.schedule == "new-bob"):
            raise UserError("new-bob and patience watch held-out utterances; give --held-out more "
                            "than 0")


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
    """

    frames: FrameSet
    text: str
    source: str
    num_pdfs: int
    options: DnnOptions
    bins: int
    shift: np.ndarray
    scale: np.ndarray

    def restore(self, state: State | None) -> tuple[Network, "Adam | Sgd"]:
        """Return network and optimiser in a state, or at the beginning."""
        options = self.options
        network = read_network(self.text, self.frames.feats.shape[1], self.num_pdfs, options.seed,
                               self.source)
        if options.optimizer == "adam":
            optimizer = Adam(AdamOptions(decay=options.l2, max_norm=options.max_norm),
                             network.parameters)
        else:
            optimizer = Sgd(SgdOptions(momentum=options.momentum, l2=options.l2,
                                       max_norm=options.max_norm), network.parameters)
        if state is not None:
            network.load_arrays(_part(state, "network."))
            optimizer.load_arrays(_part(state, "optimizer."))
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
    """What was seen: loss in natural logs, frames, and those classified as aligned."""

    loss: float = 0.0
    frames: int = 0
    correct: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.loss + other.loss, self.frames + other.frames,
                      self.correct + other.correct)

    @property
    def mean_loss(self) -> float:
        """Loss a frame; not a number without frames."""
        return self.loss / self.frames if self.frames else float("nan")

    @property
    def accuracy(self) -> float | None:
        """Per cent of the frames that are right."""
        return round(100 * self.correct / self.frames, 2) if self.frames else None


def fit(frames: FrameSet, text: str, source: str, num_pdfs: int, silent: np.ndarray, bins: int,
        options: DnnOptions, pool: Executor, checkpoint: Path
        ) -> tuple[NnetAcoustics, dict[str, Any]]:
    """Fit the network that `text` describes to frames; return it with figures of the last epoch.

    Parameters
    ----------
    source : str
        Where `text` is from, for messages.
    silent : int array
        The classes of silence.
    bins : int
        First columns of the features that are neighbouring frequencies (for `freq_masks`).
    pool : Executor
        Where the rounds are computed.
    checkpoint : Path
        Written after every epoch; a training of the same frames and options goes on from it.

    Raises
    ------
    UserError
        if there are too few frames, the description is wrong, or the training diverges.
    """
    task = Task(frames, text, source, num_pdfs, options, bins, *_scaling(frames.feats))
    width, watched = options.chunk_width, frames.held_out(options.held_out)
    chunks = frames.chunks(width, np.flatnonzero(~watched))
    held = frames.chunks(width, np.flatnonzero(watched))
    quiet = frames.chunks_within(chunks, width, silent)
    plan = _Plan(chunks, quiet, options)
    network, optimizer = task.restore(None)
    _check_size(frames, chunks, network, source, options)
    if not len(held) and (options.patience or options.schedule == "new-bob"):
        raise UserError("new-bob and patience watch held-out utterances, and none was drawn; give "
                        f"a larger --held-out than {options.held_out:g}")
    run = digest(text, to_dict(options), frames.utterances, frames.pdfs.tobytes(),
                 digest_file(frames.path))
    made = _resume(checkpoint, run) or _Progress(
        0, _state(network, optimizer), [], NewBob(options.initial_learning_rate), {}, 0)
    bar = progress(range(options.num_epochs * plan.rounds), desc=checkpoint.parent.name,
                   unit="round")
    bar.update(made.epoch * plan.rounds)
    while made.epoch < options.num_epochs and not made.bob.stopped and not (
            options.patience and made.without_gain >= options.patience):
        made = _epoch(task, plan, made, held, pool, bar)
        _save(checkpoint, run, made)
    bar.close()
    network.load_arrays(average(made.kept))
    loud = frames.class_counts(chunks[~quiet], width, num_pdfs) + 1.0
    silence = frames.class_counts(chunks[quiet], width, num_pdfs)
    priors, drawn = (np.log(counts / counts.sum()) for counts in (
        loud + silence, loud + options.silence_share * silence))
    # The network learned the shares that were drawn; its posteriors shall be those of all frames.
    network.layers[-1].parameters["bias"] += (priors - drawn).astype(np.float32)
    return (NnetAcoustics(network, priors.astype(np.float32), task.shift, task.scale),
            made.figures)


class _Plan:
    """Which chunks are drawn in which epoch, round and job."""

    def __init__(self, chunks: np.ndarray, quiet: np.ndarray, options: DnnOptions):
        self.chunks, self.quiet, self.options = chunks, quiet, options
        self.size = max(1, options.minibatch_size // options.chunk_width)
        drawn = int((~quiet).sum() + options.silence_share * quiet.sum())
        jobs = options.num_jobs
        self.rounds = max(1, round(drawn * options.chunk_width / ROUND_FRAMES))
        self.rounds = min(self.rounds, max(1, drawn // (jobs * self.size)))
        self.steps = -(-drawn // (self.rounds * jobs * self.size)) * self.rounds  # of one job

    def parts(self, epoch: int) -> list[list[np.ndarray]]:
        """Return the chunks of each job of each round."""
        rng = np.random.default_rng([self.options.seed, epoch])
        drawn = ~self.quiet | (rng.random(len(self.quiet)) < self.options.silence_share)
        order = rng.permutation(np.flatnonzero(drawn))
        return [[self.chunks[part] for part in np.array_split(piece, self.options.num_jobs)]
                for piece in np.array_split(order, self.rounds)]


@dataclass(frozen=True)
class _Progress:
    """A training between two epochs."""

    epoch: int
    state: State
    kept: list[State]  # networks after the last rounds
    bob: NewBob
    figures: dict[str, Any]
    without_gain: int


def _epoch(task: Task, plan: _Plan, made: _Progress, held: np.ndarray, pool: Executor, bar
           ) -> _Progress:
    options, epoch = task.options, made.epoch
    rate = Rate(made.bob.rate, made.bob.rate, 1)
    if options.schedule == "exponential":
        rate = Rate(options.initial_learning_rate, options.final_learning_rate,
                    plan.steps * options.num_epochs)
    begun, seen, state, kept = time.perf_counter(), Counts(), made.state, list(made.kept)
    for number, parts in enumerate(plan.parts(epoch)):
        pending = [pool.submit(train_part, task, state, part, rate,
                               [options.seed, epoch, number, job])
                   for job, part in enumerate(parts)]
        results = [future.result() for future in pending]
        seen = sum((counts for _, counts in results), seen)
        if not np.isfinite(seen.loss):
            raise UserError(f"the training diverged in epoch {epoch}: the loss is {seen.loss}; "
                            "give a smaller --initial-learning-rate than "
                            f"{options.initial_learning_rate:g}")
        state = results[0][0] if len(results) == 1 else average([part for part, _ in results])
        kept = [*kept, _part(state, "network.")][-options.average_rounds:]
        bar.set_postfix(loss=f"{seen.mean_loss:.3f}", right=f"{seen.accuracy}%")
        bar.update()
    seconds = time.perf_counter() - begun
    found = pool.submit(watch, task, state, held).result()
    bob, gain = made.bob.after(found.mean_loss), found.mean_loss < made.bob.best
    if options.schedule == "new-bob" and not bob.accepted:
        state, kept = made.state, list(made.kept) or kept
    figures = {"epochs": epoch + 1, "loss": round(seen.mean_loss, 4), "accuracy": seen.accuracy,
               "held_out_loss": round(found.mean_loss, 4) if found.frames else None,
               "held_out_accuracy": found.accuracy,
               "frames_a_second": round(seen.frames / seconds)}
    logger.debug("epoch %d: %s", epoch, figures)
    if options.schedule == "exponential":
        bob = replace(bob, rate=made.bob.rate, halving=False, stopped=False)
    return _Progress(epoch + 1, state, kept, bob, figures,
                     0 if gain or not found.frames else made.without_gain + 1)


def train_part(task: Task, state: State, chunks: np.ndarray, rate: Rate, seed: list[int]
               ) -> tuple[State, Counts]:
    """Go on from a state with these chunks; return the new state and what was seen."""
    network, optimizer = task.restore(state)
    options, rng, seen = task.options, np.random.default_rng(seed), Counts()
    for feats, pdfs in task.frames.batches(
            chunks, options.chunk_width, network.left_context, network.right_context,
            max(1, options.minibatch_size // options.chunk_width)):
        feats = (feats - task.shift) * task.scale
        if options.masks.freq_masks or options.masks.time_masks:
            spec_augment(feats, options.masks, task.bins, rng)
        logits, caches = network.forward(feats, True, rng)
        targets = pdfs.reshape(-1)
        count = int((targets >= 0).sum())
        loss, dlogits, correct = cross_entropy(logits.reshape(-1, logits.shape[-1]), targets,
                                               1.0 / max(count, 1))
        seen += Counts(loss, count, correct)
        if not np.isfinite(loss):
            break
        optimizer.step(network.parameters,
                       network.backward(dlogits.reshape(logits.shape), caches),
                       rate.at(optimizer.steps))
    return _state(network, optimizer), seen


def watch(task: Task, state: State, chunks: np.ndarray) -> Counts:
    """Classify frames that the network does not learn from."""
    network, _ = task.restore(state)
    seen, options = Counts(), task.options
    for feats, pdfs in task.frames.batches(chunks, options.chunk_width, network.left_context,
                                           network.right_context, options.minibatch_size):
        logits = network.forward((feats - task.shift) * task.scale)[0]
        targets = pdfs.reshape(-1)
        loss, _, correct = cross_entropy(logits.reshape(-1, logits.shape[-1]), targets)
        seen += Counts(loss, int((targets >= 0).sum()), correct)
    return seen


def _state(network: Network, optimizer: "Adam | Sgd") -> State:
    return {**{f"network.{name}": array for name, array in network.to_arrays().items()},
            **{f"optimizer.{name}": array for name, array in optimizer.to_arrays().items()}}


def _part(state: State, front: str) -> State:
    return {name.removeprefix(front): array for name, array in state.items()
            if name.startswith(front)}


def _check_size(frames: FrameSet, chunks: np.ndarray, network: Network, source: str,
                options: DnnOptions) -> None:
    """Refuse a corpus without one mini-batch; warn if the network will learn it by heart."""
    if len(chunks) * options.chunk_width < options.minibatch_size:
        raise UserError(f"{len(chunks) * options.chunk_width} frames to train on, fewer than one "
                        f"mini-batch; give more recordings, or a smaller --held-out or "
                        f"--minibatch-size than {options.held_out:g} and {options.minibatch_size}")
    if frames.num_frames < FEW_FRAMES * network.num_parameters:
        logger.warning("%d frames are few for a network of %d parameters (%s): it may learn the "
                       "recordings by heart; give a smaller --network, or more speech (see "
                       "'hybridasr augment-data')", frames.num_frames, network.num_parameters,
                       source)


def _scaling(feats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return minus the mean and the inverse deviation of every column, float32 (dim,)."""
    mean, square, count = 0.0, 0.0, 0
    for start in range(0, len(feats), 1 << 16):
        part = feats[start:start + (1 << 16)].astype(np.float64)
        mean, square, count = mean + part.sum(0), square + (part**2).sum(0), count + len(part)
    mean = mean / count
    deviation = np.sqrt(np.maximum(square / count - mean**2, 1e-10))
    return mean.astype(np.float32), (1.0 / deviation).astype(np.float32)


def _save(path: Path, run: str, made: _Progress) -> None:
    arrays = {f"state.{name}": array for name, array in made.state.items()}
    arrays |= {f"kept.{n}.{name}": array for n, one in enumerate(made.kept)
               for name, array in one.items()}
    note = {"epoch": made.epoch, "bob": asdict(made.bob), "figures": made.figures,
            "without_gain": made.without_gain}
    write_arrays(path, digest=np.array(run), note=np.array(json.dumps(note)), **arrays)


def _resume(path: Path, run: str) -> _Progress | None:
    """Return the training that was interrupted, if it is of the same frames and options."""
    saved = read_checkpoint(path, run)
    if saved is None:
        return None
    note = json.loads(str(saved["note"]))
    numbers = sorted({int(name.split(".")[1]) for name in saved if name.startswith("kept.")})
    logger.info("resuming after epoch %d", note["epoch"] - 1)
    return _Progress(note["epoch"], _part(saved, "state."),
                     [_part(saved, f"kept.{n}.") for n in numbers], NewBob(**note["bob"]),
                     note["figures"], note["without_gain"])
