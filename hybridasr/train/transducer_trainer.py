"""Owns the training of transducers, whose encoder was trained by CTC before.

A recipe to teach with: whole utterances in batches of like length, Adam, a step size that falls,
the networks after the last epochs averaged; one that was stopped goes on after its last epoch. CTC
stays a part of the loss (as in Watanabe et al. 2017 for attention), so that the encoder's output
stays one and its directory a CTC model.
"""

import logging
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.checkpoint import CHECKPOINT, part_of
from hybridasr.corpus.datadir import DataDir
from hybridasr.ctc.ctc_loss import ctc_loss, padded_labels
from hybridasr.ctc.label_errors import label_errors
from hybridasr.ctc.transducer import Arrays, Encoder, Transducer, TransducerOptions
from hybridasr.ctc.transducer_directory import save_transducer
from hybridasr.ctc.transducer_search import greedy_labels
from hybridasr.errors import UserError
from hybridasr.features.feature_kind import check_features
from hybridasr.features.normalization import set_normalization
from hybridasr.features.specaugment import SpecAugmentOptions, spec_augment
from hybridasr.model.acoustic import AcousticModel
from hybridasr.model.directory import load_model, save_model
from hybridasr.nnet.acoustics import NnetAcoustics
from hybridasr.nnet.network_text import read_network
from hybridasr.nnet.optim import Adam, AdamOptions, NewBob, average, exponential_rate
from hybridasr.nnet.products import product_threads
from hybridasr.options import nested, option, seed_option, to_dict
from hybridasr.parallel import training_process
from hybridasr.progress import progress
from hybridasr.storage import PathLike, digest, digest_file
from hybridasr.train.blocks import remove_blocks
from hybridasr.train.chunk_plan import mini_batches
from hybridasr.train.ctc_trainer import gather_labels, write_label_names
from hybridasr.train.history import History
from hybridasr.train.label_objective import LabelObjective
from hybridasr.train.minibatch import FrameSet
from hybridasr.train.network_frames import write_held_out
from hybridasr.train.nnet_options import FitOptions
from hybridasr.train.nnet_trainer import TrainerState, load_state, save_state
from hybridasr.train.objective import Counts

logger = logging.getLogger("hybridasr")


@dataclass(frozen=True)
class TransducerTrainOptions:
    """How a transducer is trained."""

    sizes: TransducerOptions = nested(TransducerOptions)
    num_epochs: int = option(20, "passes over all utterances")
    minibatch_size: int = option(4096, "frames a step, of utterances of like length")
    ctc_weight: float = option(0.3, "weight of CTC's loss beside the transducer's")
    l2: float = option(0.0, "a step shrinks the matrices by step size times this")
    max_norm: float = option(5.0, "gradients of a larger norm are scaled down to it; 0: never")
    initial_learning_rate: float = option(1e-3, "step size at the beginning")
    final_learning_rate: float = option(1e-4, "step size at the end")
    average_epochs: int = option(3, "the networks after the last epochs that are averaged")
    held_out: float = option(0.05, "share of the speakers, or of the utterances if there are few "
                                   "speakers, that is only watched")
    seed: int = seed_option("the first weights and of all draws")
    masks: SpecAugmentOptions = nested(SpecAugmentOptions)

    def __post_init__(self):
        """Refuse values outside their range."""
        for name, least in (("num_epochs", 1), ("minibatch_size", 2), ("average_epochs", 1),
                            ("seed", 0), ("ctc_weight", 0), ("l2", 0), ("max_norm", 0)):
            if not getattr(self, name) >= least:
                raise UserError(f"option {name} is {getattr(self, name)}; give {least} or more")
        if not 0 < self.final_learning_rate <= self.initial_learning_rate:
            raise UserError(f"learning rates {self.initial_learning_rate} to "
                            f"{self.final_learning_rate}; give positive ones that do not rise")
        if not 0 <= self.held_out < 1:
            raise UserError(f"option held_out is {self.held_out}; give 0 to below 1")


@dataclass(frozen=True)
class _Job:
    """What every epoch needs; the frames stay on disk."""

    frames: FrameSet
    objective: LabelObjective
    text: str
    shift: np.ndarray
    scale: np.ndarray
    num_labels: int
    bins: int
    options: TransducerTrainOptions
    threads: int

    @property
    def batching(self) -> FitOptions:
        return FitOptions(chunk_width=0, minibatch_size=self.options.minibatch_size)

    def restore(self, state: Arrays) -> tuple[Encoder, Transducer, Adam, Arrays]:
        """Return both networks and the optimiser in a state, and all parameters by name."""
        network = read_network(self.text, len(self.shift), self.num_labels + 1, self.options.seed)
        network.load_arrays(part_of(state, "encoder."))
        encoder = Encoder(network)
        model = Transducer(self.num_labels, encoder.dim, self.options.sizes, self.options.seed)
        if "transducer.joint.bias" in state:
            model.load_arrays(part_of(state, "transducer."))
        parameters = {**_named("encoder.", network.parameters),
                      **_named("transducer.", model.parameters)}
        optimizer = Adam(AdamOptions(decay=self.options.l2, max_norm=self.options.max_norm),
                         parameters)
        if "optimizer.steps" in state:
            optimizer.load_arrays(part_of(state, "optimizer."))
        return encoder, model, optimizer, parameters

    def feats(self, encoder: Encoder, chunks: np.ndarray) -> np.ndarray:
        feats = self.frames.batch(chunks, encoder.network.left_context,
                                  encoder.network.right_context)
        return (feats - self.shift) * self.scale

    def labels(self, chunks: np.ndarray) -> list[np.ndarray]:
        return [self.objective.of_utterance(one) for one in chunks[:, 0]]


def train_transducer(data: DataDir, source: PathLike, destination: PathLike, pool: Executor,
                     options: TransducerTrainOptions, threads: int = 1) -> AcousticModel:
    """Train a transducer on the encoder of a CTC model and write it to `destination`.

    Parameters
    ----------
    data : DataDir
        With transcripts, and features of the CTC model's kind.
    source : path
        Model directory of `train_ctc`.

    Returns
    -------
    AcousticModel
        The CTC model of the encoder as it is now.

    Raises
    ------
    UserError
        if `source` is no CTC model, the features are of another kind, or the training diverges.
    """
    begun, destination = time.perf_counter(), Path(destination)
    earlier = load_model(source)
    if earlier.nnet is None or earlier.info.get("criterion") != "ctc":
        raise UserError("is no model of train-ctc, whose network would be the encoder", source)
    check_features(data.path, earlier.features)
    known = "drawn" if earlier.pipeline.cmvn == "online" else "all"
    labels = gather_labels(data, earlier.lang, set_normalization(
        data, earlier.features, earlier.pipeline, earlier.cmvn, known, options.seed),
        destination, pool, earlier.nnet.subsampling)
    features = earlier.features
    job = _Job(labels.frames, labels.objective, earlier.nnet.network.text, earlier.nnet.shift,
               earlier.nnet.scale, labels.model.tree.num_pdfs - 1,
               features.num_mel_bins if features.kind == "fbank" else 0, options, threads)
    with training_process() as trainer:
        state, figures = _fit(job, _named("encoder.", earlier.nnet.network.to_arrays()), trainer,
                              destination)
    encoder, transducer, _, parameters = job.restore(state)
    write_held_out(destination / "held_out", labels.frames, options.held_out)
    info = dict(figures, train_seconds=round(time.perf_counter() - begun, 2), criterion="ctc",
                units=earlier.info.get("units"), labels=job.num_labels,
                blank_share=earlier.info.get("blank_share"),
                parameters=sum(array.size for array in parameters.values()),
                utterances=len(labels.frames.utterances), options=to_dict(options),
                hours=labels.hours)
    nnet = NnetAcoustics(encoder.network, earlier.nnet.log_priors, job.shift, job.scale)
    model = replace(earlier, nnet=nnet, info=info)
    save_transducer(destination, transducer)
    write_label_names(destination, earlier.lang)
    save_model(model, destination)
    (destination / CHECKPOINT).unlink(missing_ok=True)
    remove_blocks(labels.refs)
    return model


def _fit(job: _Job, start: Arrays, trainer: Executor, destination: Path
         ) -> tuple[Arrays, dict[str, Any]]:
    """Train all epochs; return the average of the last networks, and figures of the last."""
    options, frames = job.options, job.frames
    watched = frames.held_out(options.held_out)
    held = frames.chunks(0, np.flatnonzero(watched))
    chunks = frames.chunks(0, np.flatnonzero(~watched))
    run = digest(job.text, to_dict(options), frames.utterances, digest_file(frames.path),
                 job.objective.labels.tobytes(), job.objective.starts.tobytes(),
                 *(array.tobytes() for array in start.values()))
    now = load_state(destination / CHECKPOINT, run) or TrainerState(
        0, start, [], NewBob(options.initial_learning_rate), {}, 0)
    history = History(destination, "epoch", now.epoch + 1)
    state, recent, figures = now.state, now.recent, now.figures
    bar = progress(range(options.num_epochs), desc=destination.name, unit="epoch")
    bar.update(now.epoch)
    for epoch in range(now.epoch, options.num_epochs):
        begun = time.perf_counter()
        state, seen = trainer.submit(_train_epoch, job, state, chunks, epoch).result()
        seconds = time.perf_counter() - begun
        if not np.isfinite(seen.loss):
            raise UserError(f"the training diverged in epoch {epoch}: the loss is {seen.loss}; "
                            "give a smaller --initial-learning-rate than "
                            f"{options.initial_learning_rate:g}")
        watch = trainer.submit(_watch, job, state, held).result()
        figures = {"epochs": epoch + 1, "loss": round(seen.mean_loss, 4), "accuracy": None,
                   "held_out_loss": round(watch.mean_loss, 4) if watch.frames else None,
                   "held_out_accuracy": watch.accuracy,
                   "frames_a_second": round(seen.frames / seconds)}
        history.add(**{"round": epoch + 1, "epoch": epoch + 1, "loss": figures["loss"],
                       "accuracy": None, "learning_rate": float(f"{_rate(job, epoch + 1):.6g}"),
                       "gradient_norm": seen.mean_norm,
                       "held_out_loss": figures["held_out_loss"],
                       "held_out_accuracy": watch.accuracy})
        logger.debug("epoch %d: %s", epoch, figures)
        networks = {name: array for name, array in state.items()
                    if not name.startswith("optimizer.")}
        recent = [*recent, networks][-options.average_epochs:]
        save_state(destination / CHECKPOINT, run,
                   replace(now, epoch=epoch + 1, state=state, recent=recent, figures=figures))
        bar.update()
    bar.close()
    return average(recent), figures


def _rate(job: _Job, epochs: float) -> float:
    options = job.options
    return exponential_rate(options.initial_learning_rate, options.final_learning_rate,
                            epochs / options.num_epochs)


def _train_epoch(job: _Job, state: Arrays, chunks: np.ndarray, epoch: int
                 ) -> tuple[Arrays, Counts]:
    encoder, model, optimizer, parameters = job.restore(state)
    options, counts = job.options, Counts()
    rng = np.random.default_rng([options.seed, epoch])
    batches = mini_batches(rng.permutation(chunks), job.batching, rng)
    with product_threads(job.threads):
        for number, batch in enumerate(batches):
            feats, frames = job.feats(encoder, batch), job.objective.num_outputs(batch)
            if options.masks.freq_masks or options.masks.time_masks:
                spec_augment(feats, options.masks, job.bins, rng)
            hidden, logits, caches = encoder.forward(feats, True, rng)
            padded, sizes = padded_labels(job.labels(batch))
            share = 1.0 / len(batch)  # the mean over the utterances
            losses, dhidden, grads = model.loss(hidden, frames, padded, sizes, share)
            ctc_losses, dlogits = ctc_loss(logits, frames, padded, sizes,
                                           share * options.ctc_weight)
            counts += Counts(float(losses.sum()), int(frames.sum()))
            if not np.isfinite(losses.sum() + ctc_losses.sum()):
                return state, counts + Counts(np.inf)
            own = _named("encoder.", encoder.backward(dhidden, dlogits, caches))
            norm = optimizer.step(parameters, {**own, **_named("transducer.", grads)},
                                  _rate(job, epoch + number / len(batches)))
            counts += Counts(norm=norm, steps=1) if np.isfinite(norm) else Counts()
    return {**_named("encoder.", encoder.network.to_arrays()),
            **_named("transducer.", model.parameters),
            **_named("optimizer.", optimizer.to_arrays())}, counts


def _watch(job: _Job, state: Arrays, chunks: np.ndarray) -> Counts:
    """Return loss and label accuracy (as frames) of utterances that are not learned from."""
    encoder, model, _, _ = job.restore(state)
    counts = Counts()
    for batch in mini_batches(chunks, job.batching):
        sequences, frames = job.labels(batch), job.objective.num_outputs(batch)
        hidden, _, _ = encoder.forward(job.feats(encoder, batch))
        losses, _, _ = model.loss(hidden, frames, *padded_labels(sequences))
        errors = sum(label_errors(labels, np.array(greedy_labels(model, row[:length]), np.int64))
                     for labels, row, length in zip(sequences, hidden, frames, strict=True))
        share = max(0.0, 1.0 - errors / max(1, sum(map(len, sequences))))
        counts += Counts(float(losses.sum()), int(frames.sum()), float(share * frames.sum()))
    return counts


def _named(front: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    return {front + name: array for name, array in arrays.items()}


def transducer_line(directory: Path, info: dict[str, Any]) -> str:
    """Return the health line of a transducer."""
    held = info["held_out_accuracy"]
    return (f"{directory}: {info['hours']:.2f} h, {info['labels']} labels, {info['parameters']} "
            f"parameters, {info['loss']:.3f} nats a frame"
            + (f", label errors of those held out {100 - held:.1f} %" if held is not None else "")
            + f", {info['frames_a_second']} frames a second, {info['train_seconds']:.1f} s")
