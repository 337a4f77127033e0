"""Owns the training of networks on the alignments of an earlier system.

Every frame's class is its pdf in the alignment; tree, transitions and lexicon are the earlier
system's, and so is the graph. Mini-batches are drawn at random from all utterances; some
utterances are held out to watch the training. The network of each of the last epochs is kept, and
their average is the result.
"""

import logging
import time
import zlib
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.corpus.datadir import DataDir
from hybridasr.errors import UserError
from hybridasr.features.frames import FeatureOptions
from hybridasr.features.pipeline import base_pipeline, read_feature_options, training_cmvn
from hybridasr.lexicon.langdir import Lang
from hybridasr.model import AcousticModel
from hybridasr.nnet.acoustics import NnetAcoustics
from hybridasr.nnet.config import read_network
from hybridasr.nnet.loss import cross_entropy
from hybridasr.nnet.network import Network
from hybridasr.nnet.optim import Adam, AdamOptions
from hybridasr.options import option, to_dict
from hybridasr.parallel import threaded_process
from hybridasr.progress import progress
from hybridasr.storage import digest, read_arrays, read_text, write_arrays
from hybridasr.train.blocks import remove_blocks
from hybridasr.train.context import prepare_state, read_source
from hybridasr.train.frames import FrameSet, gather_frames

logger = logging.getLogger("hybridasr")
DEFAULT_NETWORK = """\
splice offsets=-7:7
affine dim=512
batchnorm
relu
dropout rate=0.2
affine dim=512
batchnorm
relu
dropout rate=0.2
affine dim=512
batchnorm
relu
dropout rate=0.2
output
"""


@dataclass(frozen=True)
class DnnOptions:
    """How a network is trained."""

    network: str = option("", "file that describes the network; none: three layers of 512")
    num_epochs: int = option(4, "passes over all frames")
    minibatch_size: int = option(256, "frames a step")
    chunk_width: int = option(1, "frames in a row that are drawn together")
    initial_learning_rate: float = option(1e-3, "step size at the beginning")
    final_learning_rate: float = option(3e-5, "step size at the end; in between it falls "
                                              "exponentially")
    decay: float = option(0.0, "a step shrinks the matrices by step size times this (AdamW)")
    max_norm: float = option(5.0, "gradients of a larger norm are scaled down to it; 0: never")
    average_epochs: int = option(1, "networks at the ends of the last epochs that are averaged")
    held_out: float = option(0.05, "share of the utterances that is only watched")
    delta_order: int = option(0, "derivatives that the network sees")
    seed: int = option(0, "seed of the first weights and of all draws")

    def __post_init__(self):
        least = {"num_epochs": 1, "minibatch_size": 1, "chunk_width": 1, "average_epochs": 1,
                 "delta_order": 0, "seed": 0}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise UserError(f"option {name} is {getattr(self, name)}; give {bound} or more")
        if not 0 < self.final_learning_rate <= self.initial_learning_rate:
            raise UserError(f"learning rates {self.initial_learning_rate} to "
                            f"{self.final_learning_rate}; give positive ones that do not rise")
        if not 0 <= self.held_out < 1:
            raise UserError(f"option held_out is {self.held_out}; give 0 to below 1")


def train_dnn(data: DataDir, lang: Lang, source: Path, destination: Path, pool: Executor,
              options: DnnOptions, threads: int = 1) -> AcousticModel:
    """Train a network on the alignments in `source` and write it to `destination`.

    Parameters
    ----------
    threads : int
        Of the matrix products.

    Raises
    ------
    UserError
        if the alignments do not fit data or lexicon, the description of the network is wrong, or
        the training diverges.
    """
    begun = time.perf_counter()
    # Only the frames must be the same: a network may see other features than the aligner did.
    found = read_source(source, data, lang, same_features=False)
    features = read_feature_options(data.path)
    _check_frames(features, found.model.features, data.path)
    text = read_text(options.network) if options.network else DEFAULT_NETWORK
    pipeline = replace(base_pipeline(found.model.pipeline), delta_order=options.delta_order)
    state = prepare_state(data, lang, found, pipeline, destination, pool).with_view(pool)
    model = replace(state.model, features=features)
    frames = gather_frames(state.refs, state.alignments, model.transitions.tid_pdf,
                           state.refs[0].directory / "frames.npy")
    with threaded_process(threads) as trainer:
        work = trainer.submit(fit, frames, text, model.tree.num_pdfs, options,
                              destination / "checkpoint.npz")
        acoustics, figures = work.result()
    info = dict(figures, train_seconds=round(time.perf_counter() - begun, 2),
                pdfs=model.tree.num_pdfs, parameters=acoustics.network.num_parameters,
                utterances=len(data), options=to_dict(options),
                hours=round(frames.num_frames * model.features.frame_shift_ms / 3.6e6, 4))
    model = replace(model, gmm=None, nnet=acoustics, info=info, cmvn=training_cmvn(data, pipeline))
    model.save(destination)
    (destination / "checkpoint.npz").unlink(missing_ok=True)
    remove_blocks(state.refs)
    return model


def _check_frames(ours: FeatureOptions, theirs: FeatureOptions, path: Path) -> None:
    """Refuse features whose frames are not those of the alignments."""
    for name in ("frame_length_ms", "frame_shift_ms", "snip_edges"):
        if getattr(ours, name) != getattr(theirs, name):
            raise UserError(f"{name} expected {getattr(theirs, name)} as in the alignments, found "
                            f"{getattr(ours, name)}; run make-feats with the same frames", path)


def network_line(directory: Path, info: dict[str, Any]) -> str:
    """Return the health line of a trained network."""
    held = info["held_out_accuracy"]
    return (f"{directory}: {info['hours']:.2f} h, {info['pdfs']} pdfs, {info['parameters']} "
            f"parameters, frames right {info['accuracy']:.1f} %"
            + (f", of those held out {held:.1f} %" if held is not None else "")
            + f", {info['frames_a_second']} frames a second, {info['train_seconds']:.1f} s")


def fit(frames: FrameSet, text: str, num_pdfs: int, options: DnnOptions,
        checkpoint: Path) -> tuple[NnetAcoustics, dict[str, Any]]:
    """Train the network that `text` describes; return it with the figures of the last epoch."""
    shift, scale = _scaling(frames.feats)
    network = read_network(text, frames.feats.shape[1], num_pdfs, options.seed,
                           options.network or "the default network")
    optimizer = Adam(AdamOptions(decay=options.decay, max_norm=options.max_norm),
                     network.parameters)
    training, watched = _split(frames, options)
    chunks = frames.chunks(options.chunk_width, training)
    held = frames.chunks(options.chunk_width, watched)
    size = max(1, options.minibatch_size // options.chunk_width)
    steps = options.num_epochs * -(-len(chunks) // size)
    run = digest(text, to_dict(options), frames.utterances, frames.pdfs.tobytes(),
                 np.asarray(frames.feats[:10000]).tobytes())
    first, kept, figures = _resume(checkpoint, run, network, optimizer)
    for epoch in range(first, options.num_epochs):
        rng = np.random.default_rng([options.seed, epoch])
        begun, total, correct, seen = time.perf_counter(), 0.0, 0, 0
        batches = frames.batches(chunks, options.chunk_width, network.left_context,
                                 network.right_context, size, rng)
        bar = progress(batches, desc=f"epoch {epoch}", total=-(-len(chunks) // size), unit="batch")
        for feats, pdfs in bar:
            share = optimizer.steps / steps
            rate = options.initial_learning_rate * (
                options.final_learning_rate / options.initial_learning_rate) ** share
            loss, right, count = _step(network, optimizer, (feats - shift) * scale, pdfs, rate, rng)
            total, correct, seen = total + loss, correct + right, seen + count
            if not np.isfinite(total):
                raise UserError(f"the training diverged in epoch {epoch}: the loss is {loss}; give "
                                f"a smaller --initial-learning-rate than "
                                f"{options.initial_learning_rate:g}")
        figures = {"loss": round(total / seen, 4), "accuracy": round(100 * correct / seen, 2),
                   "held_out_accuracy": _accuracy(network, frames, held, options, shift, scale),
                   "frames_a_second": round(seen / (time.perf_counter() - begun))}
        logger.debug("epoch %d: %s", epoch, figures)
        kept = [*kept, network.to_arrays()][-options.average_epochs:]
        if epoch + 1 < options.num_epochs:
            _save(checkpoint, run, epoch + 1, network, optimizer, kept, figures)
    average = {name: np.mean([arrays[name] for arrays in kept], axis=0) for name in kept[0]}
    network.load_arrays({name: array.astype(kept[0][name].dtype)
                         for name, array in average.items()})
    counts = np.bincount(frames.pdfs[frames.pdfs >= 0], minlength=num_pdfs) + 1.0
    priors = np.log(counts / counts.sum()).astype(np.float32)
    return NnetAcoustics(network, priors, shift, scale), figures


def _step(network: Network, optimizer: Adam, feats: np.ndarray, pdfs: np.ndarray, rate: float,
          rng: np.random.Generator) -> tuple[float, int, int]:
    """Take one step; return the loss, the frames that were right, and all of them."""
    logits, caches = network.forward(feats, True, rng)
    targets = pdfs.reshape(-1)
    count = int((targets >= 0).sum())
    loss, dlogits, correct = cross_entropy(logits.reshape(-1, logits.shape[-1]), targets,
                                           1.0 / max(count, 1))
    optimizer.step(network.parameters, network.backward(dlogits.reshape(logits.shape), caches),
                   rate)
    return loss, correct, count


def _accuracy(network: Network, frames: FrameSet, chunks: np.ndarray, options: DnnOptions,
              shift: np.ndarray, scale: np.ndarray) -> float | None:
    """Return the percentage of held-out frames whose likeliest pdf is the aligned one."""
    correct = seen = 0
    for feats, pdfs in frames.batches(chunks, options.chunk_width, network.left_context,
                                      network.right_context, options.minibatch_size):
        best = network.forward((feats - shift) * scale)[0].argmax(-1)
        correct += int((best == pdfs).sum())
        seen += int((pdfs >= 0).sum())
    return round(100 * correct / seen, 2) if seen else None


def _split(frames: FrameSet, options: DnnOptions) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the utterances to train on and of those held out."""
    draws = np.array([zlib.crc32(name.encode()) / 2**32 for name in frames.utterances])
    watched = np.flatnonzero(draws < options.held_out)
    training = np.flatnonzero(draws >= options.held_out)
    if len(training) == 0:
        raise UserError("no utterance is left to train on; give a smaller --held-out")
    return training, watched


def _scaling(feats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, square, count = 0.0, 0.0, 0
    for start in range(0, len(feats), 1 << 16):
        part = feats[start:start + (1 << 16)].astype(np.float64)
        mean, square, count = mean + part.sum(0), square + (part**2).sum(0), count + len(part)
    mean = mean / count
    deviation = np.sqrt(np.maximum(square / count - mean**2, 1e-10))
    return mean.astype(np.float32), (1.0 / deviation).astype(np.float32)


def _save(path: Path, run: str, epoch: int, network: Network, optimizer: Adam,
          kept: list[dict[str, np.ndarray]], figures: dict[str, Any]) -> None:
    arrays = {f"network.{name}": array for name, array in network.to_arrays().items()}
    arrays |= {f"optimizer.{name}": array for name, array in optimizer.to_arrays().items()}
    arrays |= {f"kept.{n}.{name}": array for n, one in enumerate(kept)
               for name, array in one.items()}
    write_arrays(path, digest=np.array(run), epoch=np.array(epoch), **arrays)


def _resume(path: Path, run: str, network: Network, optimizer: Adam
            ) -> tuple[int, list[dict[str, np.ndarray]], dict[str, Any]]:
    """Load the state that an interrupted training of the same run left; return (epoch, kept)."""
    if not path.is_file():
        return 0, [], {}
    try:
        saved = read_arrays(path)
    except UserError:
        return 0, [], {}
    if str(saved["digest"]) != run:
        logger.info("%s belongs to other data or options; starting anew", path)
        return 0, [], {}

    def part(front: str) -> dict[str, np.ndarray]:
        return {name.removeprefix(front): array for name, array in saved.items()
                if name.startswith(front)}

    network.load_arrays(part("network."), str(path))
    optimizer.load_arrays(part("optimizer."), str(path))
    numbers = sorted({int(name.split(".")[1]) for name in saved if name.startswith("kept.")})
    logger.info("resuming after epoch %d", int(saved["epoch"]) - 1)
    return int(saved["epoch"]), [part(f"kept.{n}.") for n in numbers], {}
