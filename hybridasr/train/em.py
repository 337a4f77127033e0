"""Owns the EM loop that every GMM trainer runs: align, adapt, re-estimate, grow, checkpoint.

What differs between the systems is where the loop starts and what happens in some iterations
(`Event`): estimating MLLT or the speakers' transforms. After every iteration the whole state goes
to one checkpoint file, from which an interrupted training goes on to the same end.
"""

import functools
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.checkpoint import read_checkpoint
from hybridasr.decode.align import AlignOptions
from hybridasr.errors import UserError, name_some
from hybridasr.gmm.diag import DiagGmm
from hybridasr.gmm.update import UpdateOptions, estimate, split
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.model.acoustic import AcousticModel
from hybridasr.model.checks import GMM_ARRAYS
from hybridasr.options import nested, option, seed_option, to_dict
from hybridasr.progress import progress
from hybridasr.storage import write_arrays
from hybridasr.train.blocks import BlockRef, read_block, write_view
from hybridasr.train.history import History
from hybridasr.train.passes import (
    PassResult,
    accumulate_block,
    align_block,
    boosted_scorer,
    count_unaligned,
    pdf_occupancy,
    run_pass,
)

logger = logging.getLogger("hybridasr")


@dataclass(frozen=True)
class EmOptions:
    """Schedule and sizes of a training (names and defaults of Kaldi's steps/train_*.sh)."""

    num_iters: int = option(35, "iterations")
    max_iter_inc: int = option(25, "last iteration that adds Gaussians")
    totgauss: int = option(3000, "Gaussians wanted at the end")
    power: float = option(0.25, "Gaussians go to pdfs by their frames to this power")
    realign_iters: str = option("10 20 30", "iterations that align anew")
    align: AlignOptions = nested(AlignOptions)
    seed: int = seed_option()

    def __post_init__(self):
        if self.num_iters < 1 or self.totgauss < 1:
            raise UserError(f"num-iters {self.num_iters} and totgauss {self.totgauss} must be at "
                            "least 1")
        read_iterations(self.realign_iters, "realign-iters")


def read_iterations(text: str, name: str) -> set[int]:
    """Return the iterations of an option; `UserError` if they are not numbers with spaces."""
    if not all(part.isdigit() for part in text.split()):
        raise UserError(f"{name} '{text}' must be numbers with spaces")
    return {int(part) for part in text.split()}


@dataclass(frozen=True)
class TrainState:
    """What one iteration hands to the next.

    `alignments` are by block, int32 (num_frames,); `speakers` holds affine transforms (dim,
    dim + 1) on top of the model's own transform, by speaker; `data_path`, the data directory,
    is for messages.
    """

    model: AcousticModel
    refs: list[BlockRef]
    alignments: list[np.ndarray]
    speakers: dict[str, np.ndarray] = field(default_factory=dict)
    data_path: Path | None = None


def write_features(state: TrainState, pool: Executor) -> TrainState:
    """Write what the state's transforms make of the features; return the state that reads it.

    A step of every training after a change of a transform: the files of the view before are
    replaced, so the state that was given cannot be used any more.
    """
    refs = write_view(state.refs, state.model.pipeline, state.model.transform, state.speakers, pool)
    return replace(state, refs=refs)


@dataclass(frozen=True)
class Event:
    """What else some iterations do, after aligning and before the statistics."""

    iterations: set[int]
    apply: Callable[[int, TrainState], TrainState]


def run_em(state: TrainState, options: EmOptions, pool: Executor, checkpoint: Path, run: str,
           clock: "Clock", event: Event | None = None, first: int = 1,
           first_beam: float | None = None) -> tuple[TrainState, PassResult]:
    """Run iterations `first` to ``options.num_iters - 1``; return the end and the last pass.

    Parameters
    ----------
    run : str
        Digest of everything the training depends on; a checkpoint of another run is left aside.
    first_beam : float, optional
        Beam of iteration `first`, which follows a rough model.

    Raises
    ------
    UserError
        if no utterance at all can be aligned.
    """
    # Kaldi's schedule: the same number of Gaussians more in each iteration.
    start_gauss = state.model.gmm.num_gaussians
    step = max(0, options.totgauss - start_gauss) // max(1, options.max_iter_inc)
    realign = read_iterations(options.realign_iters, "realign-iters")
    begin = first
    # A checkpoint has the transforms but not the features, which are written anew.
    resumed = load_checkpoint(checkpoint, run, state)
    if resumed:
        begin, state, start_gauss, step, before = resumed
        state = write_features(state, pool)
        clock.begun -= before
        logger.info("resuming after iteration %d", begin - 1)
    result, history = None, History(checkpoint.parent, "iteration", begin)
    desc = checkpoint.parent.name
    for iteration in progress(range(begin, options.num_iters), desc=desc, unit="iteration"):
        # The first model is rough: a narrow beam keeps bad paths out.
        beam = first_beam if iteration == first and first_beam else options.align.beam
        happens = event is not None and iteration in event.iterations
        aligned = iteration in realign
        if aligned:
            # Where a transform follows, statistics on the features before it would be for nothing.
            result = align_all(state, replace(options.align, beam=beam), pool,
                               f"iteration {iteration}", collect=not happens)
            state = replace(state, alignments=result.alignments)
            clock.add("align", result.align_seconds)
        if happens:
            started = time.perf_counter()
            state = event.apply(iteration, state)
            clock.add("transforms", time.perf_counter() - started)
        failed = result.failed if aligned else []
        # The statistics must be on the features as they are now.
        if happens or not aligned:
            result = accumulate_all(state, pool, f"iteration {iteration}")
        clock.add("accumulate", result.stats_seconds)
        if result.stats.frames == 0:
            raise UserError("no utterance could be aligned: every one is shorter than its HMM or "
                            f"fits no path (first: {name_some(failed)}); check text and audio",
                            state.data_path)
        started = time.perf_counter()
        # Growth starts after the first iteration and ends before the last ones, which settle.
        target = start_gauss + step * min(max(0, iteration - 1), options.max_iter_inc)
        state = replace(state, model=update(state.model, result, options, target))
        clock.add("update", time.perf_counter() - started)
        log_iteration(iteration, result, state, failed, aligned)
        history.add(iteration=iteration, loglike=round(result.loglike, 4),
                    gaussians=state.model.gmm.num_gaussians)
        if iteration + 1 < options.num_iters:
            save_checkpoint(checkpoint, run, iteration + 1, state, start_gauss, step,
                            clock.elapsed)
    if result is None:  # fewer iterations than the first
        result = accumulate_all(state, pool, "statistics")
    return state, result


def align_all(state: TrainState, options: AlignOptions, pool: Executor, desc: str,
              collect: bool = True) -> PassResult:
    """Align all blocks with the model of `state`."""
    scorer = state.model.gmm.scorer()
    boosted = boosted_scorer(scorer, state.model.silence_pdfs, options.boost_silence)
    return run_pass(pool, align_block, [(ref, scorer, boosted, state.model.transitions, options,
                                         collect) for ref in state.refs], desc)


def accumulate_all(state: TrainState, pool: Executor, desc: str) -> PassResult:
    """Collect the statistics of all blocks on the alignments of `state`."""
    scorer = state.model.gmm.scorer()
    return run_pass(pool, accumulate_block, [
        (ref, scorer, state.model.transitions, alignment)
        for ref, alignment in zip(state.refs, state.alignments, strict=True)], desc)


def update(model: AcousticModel, result: PassResult, options: EmOptions, target: int,
           guards: UpdateOptions | None = None) -> AcousticModel:
    """Re-estimate the mixtures and transitions, and grow to `target` Gaussians."""
    gmm = estimate(model.gmm, result.stats, guards)
    # Mixtures never shrink here; `estimate` may have removed some.
    if target > gmm.num_gaussians:
        gmm = split(gmm, pdf_occupancy(model.gmm, result.stats), target, options.power,
                    options.seed)
    return replace(model, gmm=gmm, transitions=model.transitions.updated(result.tid_counts))


def log_iteration(iteration: int, result: PassResult, state: TrainState, failed: list[str],
                  aligned: bool) -> None:
    """Write the line of one iteration to the log."""
    note = ""
    if aligned:
        total = sum(len(read_block(ref).utterances) for ref in state.refs)
        note = f", retried {len(result.retried)}, failed {len(failed)} of {total}"
    logger.debug("iteration %d: log likelihood a frame %.4f over %d frames%s; now %d gaussians",
                 iteration, result.loglike, result.stats.frames, note,
                 state.model.gmm.num_gaussians)
    if failed:
        logger.debug("iteration %d: not aligned: %s", iteration, " ".join(failed))


class Clock:
    """Seconds since the beginning and, summed over jobs, of each kind of work."""

    def __init__(self):
        self.begun = time.perf_counter()
        self.parts: dict[str, float] = {}

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning, those before an interruption included."""
        return time.perf_counter() - self.begun

    def add(self, part: str, seconds: float) -> None:
        """Count seconds for a kind of work."""
        self.parts[part] = self.parts.get(part, 0.0) + seconds


def training_info(state: TrainState, result: PassResult, options: Any, clock: Clock
                  ) -> dict[str, Any]:
    """Return the figures of a training that model.json keeps."""
    model = state.model
    utterances = sum(len(read_block(ref).utterances) for ref in state.refs)
    return dict(model.info, train_seconds=round(clock.elapsed, 2),
                seconds={name: round(value, 2) for name, value in clock.parts.items()},
                gaussians=model.gmm.num_gaussians, pdfs=model.gmm.num_pdfs,
                utterances=utterances, unaligned=count_unaligned(state.refs, state.alignments),
                loglike=round(result.loglike, 4),
                hours=round(result.stats.frames * model.features.frame_shift_ms / 3.6e6, 4),
                options=to_dict(options))


def training_line(directory: Path, info: dict[str, Any], nj: int) -> str:
    """Return the health line of a trained model, as Kaldi's gmm_dir_info."""
    parts = ", ".join(f"{name} {value:.1f}" for name, value in info["seconds"].items())
    return (f"{directory}: {nj} jobs, {info['hours']:.2f} h, align logprob/frame "
            f"{info['loglike']:.2f}, failed {info['unaligned']} of {info['utterances']}, "
            f"{info['pdfs']} pdfs, {info['gaussians']} gaussians, {info['train_seconds']:.1f} s "
            f"(job seconds: {parts})")


def save_checkpoint(path: Path, run: str, iteration: int, state: TrainState, start_gauss: int,
                    step: int, seconds: float) -> None:
    """Write the state that `iteration` starts from, and the time spent so far."""
    # The tree and the graphs follow from the alignments that the training began with.
    gmm, transform = state.model.gmm, state.model.transform
    names = sorted(state.speakers)
    write_arrays(path, digest=np.array(run), iteration=np.array(iteration),
                 schedule=np.array([start_gauss, step]), seconds=np.array(seconds),
                 **{name: getattr(gmm, name) for name in GMM_ARRAYS},
                 log_probs=state.model.transitions.log_probs,
                 alignment=np.concatenate(state.alignments),
                 lengths=np.array([len(a) for a in state.alignments]),
                 transform=np.zeros(0) if transform is None else transform,
                 speakers=np.array(names, dtype=str),
                 speaker_transforms=np.array([state.speakers[name] for name in names]))


def load_checkpoint(path: Path, run: str, state: TrainState
                    ) -> tuple[int, TrainState, int, int, float] | None:
    """Return (iteration, state, first Gaussians, step, seconds) of a training of this run."""
    return read_checkpoint(path, run, functools.partial(_resumed, state))


def _resumed(state: TrainState, saved: dict[str, np.ndarray]
             ) -> tuple[int, TrainState, int, int, float]:
    gmm = DiagGmm(*(saved[name] for name in GMM_ARRAYS))
    # Only the probabilities change in training, not the states.
    old = state.model.transitions
    transitions = TransitionModel(old.topology, map(tuple, old.tuples.tolist()),
                                  saved["log_probs"])
    model = replace(state.model, gmm=gmm, transitions=transitions,
                    transform=saved["transform"] if saved["transform"].size else None)
    speakers = dict(zip(saved["speakers"].tolist(), saved["speaker_transforms"], strict=True))
    alignments = np.split(saved["alignment"], np.cumsum(saved["lengths"])[:-1])
    start_gauss, step = saved["schedule"].tolist()
    return (int(saved["iteration"]), replace(state, model=model, alignments=alignments,
                                             speakers=speakers),
            start_gauss, step, float(saved["seconds"]))
