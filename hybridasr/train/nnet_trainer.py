"""Owns the fitting of a network: epochs of rounds, schedules, averaging, resuming.

A round is a fixed amount of frames (`hybridasr.train.chunk_plan`). In each, one job, or several
side by side, go on from the same network with frames of their own (`hybridasr.train.nnet_round`);
the networks of several are averaged (Povey, Zhang and Khudanpur, "Parallel training of DNNs with
natural gradient and parameter averaging", 2015). What a round leaves behind is plain arrays, so
that a training that was stopped goes on to the same result, and what comes out does not depend on
how many jobs ran at the same time.
"""

import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.checkpoint import part_of, read_checkpoint
from hybridasr.errors import UserError
from hybridasr.nnet.network import Network
from hybridasr.nnet.optim import NewBob, average
from hybridasr.options import to_dict
from hybridasr.parallel import training_process
from hybridasr.progress import progress
from hybridasr.storage import digest, digest_file, write_arrays
from hybridasr.train.chunk_plan import ChunkPlan
from hybridasr.train.history import History
from hybridasr.train.nnet_options import FitOptions
from hybridasr.train.nnet_round import (
    Rate,
    State,
    Task,
    state_of,
    train_part,
    watch,
)
from hybridasr.train.objective import Counts

logger = logging.getLogger("hybridasr")


@dataclass(frozen=True)
class TrainerState:
    """A training between two epochs.

    Attributes
    ----------
    epoch : int
        Epochs that are done.
    state : dict of arrays
        Network and optimiser.
    recent : list of dict of arrays
        The networks after the last rounds, which are averaged at the end.
    bob : NewBob
    figures : dict
        Of the last epoch.
    without_gain : int
        Epochs in a row that gained nothing on held-out utterances.
    """

    epoch: int
    state: State
    recent: list[State]
    bob: NewBob
    figures: dict[str, Any]
    without_gain: int

    def ended(self, options: FitOptions) -> bool:
        """Whether the last epoch is done, or the schedule has stopped."""
        patient = not options.patience or self.without_gain < options.patience
        return self.epoch >= options.num_epochs or self.bob.stopped or not patient


def fit(task: Task, plan: ChunkPlan, pool: Executor, checkpoint: Path,
        start: Network | None = None, depends: Any = None) -> tuple[Network, dict[str, Any]]:
    """Fit a network to what the task says; return it with figures of the last epoch.

    Parameters
    ----------
    plan : ChunkPlan
        The chunks, or whole utterances, that are trained on.
    pool : Executor
        Where the rounds are computed.
    checkpoint : Path
        Written after every epoch; a training of the same frames and options goes on from it.
    start : Network, optional
        Of the task's description; the training begins with it. Without, weights are drawn.
    depends : plain values, optional
        What the objective hangs on beside frames and options: with others, a checkpoint is of
        another training.

    Raises
    ------
    UserError
        if there are too few frames, the description is wrong, or the training diverges.
    """
    options, frames = task.options, task.frames
    watched = frames.held_out(options.held_out)
    held = frames.chunks(options.chunk_width, np.flatnonzero(watched))
    network, optimizer = task.restore(None)
    if start is not None:
        network.load_arrays(start.to_arrays(), task.source)
    plan.check_size(frames, network, task.source)
    if not len(held) and (options.patience or options.schedule == "new-bob"):
        raise UserError("new-bob and patience watch held-out utterances, and none was drawn; give "
                        f"a larger --held-out than {options.held_out:g}")
    first = state_of(network, optimizer)
    # The features themselves count: the same set may have been computed anew.
    run = digest(task.text, to_dict(options), frames.utterances, frames.pdfs.tobytes(),
                 digest_file(frames.path), "" if start is None else _bytes(first), depends)
    now = load_state(checkpoint, run) or TrainerState(
        0, first, [], NewBob(options.initial_learning_rate), {}, 0)
    history = History(checkpoint.parent, "epoch", now.epoch + 1)
    bar = progress(range(options.num_epochs * plan.rounds), desc=checkpoint.parent.name,
                   unit="round")
    # A training that goes on shows where it was.
    bar.update(now.epoch * plan.rounds)
    while not now.ended(options):
        now = _epoch(task, plan, now, held, pool, bar, history)
        save_state(checkpoint, run, now)
    bar.close()
    # Averaging the last rounds takes the noise of the last steps out.
    network.load_arrays(average(now.recent))
    return network, now.figures


@contextmanager
def training_pool(pool: Executor, options: FitOptions) -> Iterator[Executor]:
    """Yield where rounds are computed: `pool`, or a process of its own if there is one job."""
    if options.num_jobs > 1:
        yield pool
    else:
        # One job gains from the wide kernels, which only a fresh process can have.
        with training_process() as trainer:
            yield trainer


def _bytes(state: State) -> bytes:
    return b"".join(array.tobytes() for array in state.values())


def _epoch(task: Task, plan: ChunkPlan, start: TrainerState, held: np.ndarray, pool: Executor, bar,
           history: History) -> TrainerState:
    """Train the rounds of one epoch, watch the held-out chunks, and choose how to go on."""
    options, epoch, rate = task.options, start.epoch, _rate(task.options, plan, start.bob)
    begun, counts, state, recent = time.perf_counter(), Counts(), start.state, list(start.recent)
    row: dict[str, Any] = {}
    for number, parts in enumerate(plan.parts(epoch)):
        state, more = _round(task, state, parts, rate, [options.seed, epoch, number], pool)
        counts += more
        if row:
            history.add(**row)
        row = _history_row(epoch, epoch * plan.rounds + number + 1, more,
                           rate.at(int(state["optimizer.steps"])))
        # Only the networks: optimisers are not averaged at the end.
        recent = [*recent, part_of(state, "network.")][-options.average_rounds:]
        bar.set_postfix(loss=f"{counts.mean_loss:.3f}", right=f"{counts.accuracy}%")
        bar.update()
    seconds = time.perf_counter() - begun
    watched = pool.submit(watch, task, state, held).result()
    # The last round of the epoch is the one that the held-out chunks are watched after.
    history.add(**row, **({"held_out_loss": round(watched.mean_loss, 4),
                           "held_out_accuracy": watched.accuracy} if watched.frames else {}))
    bob, gain = start.bob.after(watched.mean_loss), watched.mean_loss < start.bob.best
    # The epoch made it worse: go on from before it, with a smaller step.
    if options.schedule == "new-bob" and not bob.accepted:
        state, recent = start.state, list(start.recent) or recent
    figures = {"epochs": epoch + 1, "loss": round(counts.mean_loss, 4),
               "accuracy": counts.accuracy,
               "held_out_loss": round(watched.mean_loss, 4) if watched.frames else None,
               "held_out_accuracy": watched.accuracy,
               "frames_a_second": round(counts.frames / seconds)}
    logger.debug("epoch %d: %s", epoch, figures)
    if options.schedule != "new-bob":
        # It still tells whether there was a gain, for the patience.
        bob = replace(bob, rate=start.bob.rate, halving=False, stopped=False)
    return TrainerState(epoch + 1, state, recent, bob, figures,
                    0 if gain or not watched.frames else start.without_gain + 1)


def _history_row(epoch: int, number: int, counts: Counts, rate: float) -> dict[str, Any]:
    norm = counts.mean_norm
    return {"round": number, "epoch": epoch + 1, "loss": round(counts.mean_loss, 4),
            "accuracy": counts.accuracy, "learning_rate": float(f"{rate:.6g}"),
            "gradient_norm": None if norm is None else float(f"{norm:.6g}")}


def _round(task: Task, state: State, parts: list[np.ndarray], rate: Rate, seed: list[int],
           pool: Executor) -> tuple[State, Counts]:
    """Train every job's part from the same state; return the average and what was seen."""
    pending = [pool.submit(train_part, task, state, part, rate, [*seed, job])
               for job, part in enumerate(parts)]
    results = [future.result() for future in pending]
    counts = sum((seen for _, seen in results), Counts())
    if not np.isfinite(counts.loss):
        raise UserError(f"the training diverged in epoch {seed[1]}: the loss is {counts.loss}; "
                        "give a smaller --initial-learning-rate than "
                        f"{task.options.initial_learning_rate:g}")
    states = [after for after, _ in results]
    return states[0] if len(states) == 1 else average(states), counts


def _rate(options: FitOptions, plan: ChunkPlan, bob: NewBob) -> Rate:
    if options.schedule != "new-bob":
        return Rate(options.initial_learning_rate, options.final_learning_rate,
                    plan.steps * options.num_epochs, options.schedule == "cosine")
    return Rate(bob.rate, bob.rate, 1)


def save_state(path: Path, run: str, now: TrainerState) -> None:
    """Write a checkpoint; `run` is a digest of everything that the training depends on."""
    arrays = {f"state.{name}": array for name, array in now.state.items()}
    arrays |= {f"recent.{n}.{name}": array for n, one in enumerate(now.recent)
               for name, array in one.items()}
    note = {"epoch": now.epoch, "bob": asdict(now.bob), "figures": now.figures,
            "without_gain": now.without_gain}
    write_arrays(path, digest=np.array(run), note=np.array(json.dumps(note)), **arrays)


def load_state(path: Path, run: str) -> TrainerState | None:
    """Return the training that was interrupted, if it is of the same frames and options."""
    now = read_checkpoint(path, run, _state_of)
    if now is not None:
        logger.info("resuming after epoch %d", now.epoch - 1)
    return now


def _state_of(saved: State) -> TrainerState:
    note = json.loads(str(saved["note"]))
    numbers = sorted({int(name.split(".")[1]) for name in saved if name.startswith("recent.")})
    return TrainerState(note["epoch"], part_of(saved, "state."),
                    [part_of(saved, f"recent.{n}.") for n in numbers], NewBob(**note["bob"]),
                    note["figures"], note["without_gain"])
