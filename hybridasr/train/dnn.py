"""Owns the training of networks on the alignments of an earlier system.

Every frame's class is its pdf in the alignment, whether the network scores every frame or every
second or third one; tree and lexicon are the earlier system's, and so are the transitions and the
graph unless the network scores fewer frames. The features may be of another kind, as long as the
frames are the same; altered copies of recordings (see `hybridasr.corpus.augment`) need no
alignments of their own, nor does other speech, which is nothing but the unknown word.
"""

import logging
import time
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.batch.align_set import align_set
from hybridasr.checkpoint import CHECKPOINT
from hybridasr.corpus.datadir import DataDir
from hybridasr.features.feature_kind import read_feature_options
from hybridasr.lexicon.langdir import Lang
from hybridasr.model.acoustic import AcousticModel
from hybridasr.model.directory import load_model, save_model
from hybridasr.nnet.acoustics import NnetAcoustics
from hybridasr.nnet.network import Network
from hybridasr.options import to_dict
from hybridasr.storage import PathLike
from hybridasr.train.blocks import remove_blocks
from hybridasr.train.chunk_plan import ChunkPlan, limit_silence
from hybridasr.train.distillation import Distillation, check_teacher, teacher_key
from hybridasr.train.minibatch import FrameSet
from hybridasr.train.network_frames import (
    Description,
    check_rate,
    network_frames,
    originals,
    read_description,
    with_network,
    write_held_out,
)
from hybridasr.train.nnet_options import DnnOptions
from hybridasr.train.nnet_round import Task
from hybridasr.train.nnet_trainer import fit, training_pool
from hybridasr.train.objective import CrossEntropy, Objective
from hybridasr.train.start import read_source

logger = logging.getLogger("hybridasr")
# Frames up to 16 to each side, the far ones every second: a syllable and more.
DEFAULT_NETWORK = """\
splice offsets=-16,-14,-12,-10,-8,-6,-4,-3,-2,-1,0,1,2,3,4,6,8,10,12,14,16
""" + 3 * """\
affine dim=512
batchnorm
relu
dropout rate=0.1
""" + "output\n"


def train_dnn(data: DataDir, lang: Lang, source: PathLike, destination: PathLike, pool: Executor,
              options: DnnOptions, threads: int = 1) -> AcousticModel:
    """Train a network on the alignments in `source` and write it to `destination`.

    Parameters
    ----------
    data : DataDir
        With features; altered copies (``utt2uniq``) take the alignments of their originals.
        Utterances without alignment that are nothing but the unknown word are other speech: the
        network learns them as spoken noise, which a filler of commands makes use of.
    threads : int
        Of the matrix products, if there is one job; the result does not depend on it.

    Returns
    -------
    AcousticModel
        Beside it in `destination`: ``held_out``, the utterances that were only watched, and, with
        `realign`, ``ali``, the network's own alignments.

    Raises
    ------
    UserError
        if the alignments do not fit data or lexicon, the description of the network is wrong, or
        the training diverges.
    """
    begun, destination = time.perf_counter(), Path(destination)
    model = _train(data, lang, Path(source), destination, pool, options, threads)
    # Each time the network before it gives the classes, often better than the mixtures.
    for _ in range(options.realign):
        ali = destination / "ali"
        logger.info("%s", align_set(originals(data), lang, destination, ali, pool))
        model = _train(data, lang, ali, destination, pool, options, threads)
    # Of all rounds of alignment and training together.
    info = {**model.info, "train_seconds": round(time.perf_counter() - begun, 2)}
    model = replace(model, info=info)
    save_model(model, destination)
    return model


def _train(data: DataDir, lang: Lang, source: Path, destination: Path, pool: Executor,
           options: DnnOptions, threads: int) -> AcousticModel:
    begun = time.perf_counter()
    earlier = read_source(source, originals(data), lang, same_features=False)
    # What cannot be is told before the frames are gathered.
    teacher = load_model(options.teacher) if options.teacher else None
    described = read_description(options, DEFAULT_NETWORK, read_feature_options(data.path))
    check_rate(earlier, described.subsampling)
    frames, model, refs = network_frames(data, lang, earlier, destination, pool, options)
    acoustics, figures = _fit(frames, described, model, options, pool, threads,
                              destination / CHECKPOINT, teacher)
    write_held_out(destination / "held_out", frames, options.held_out)
    shift_ms, info = model.features.frame_shift_ms, dict(model.info)
    if frames.noise:
        noise = [name in frames.noise for name in frames.utterances]
        info["noise_hours"] = round(np.diff(frames.starts)[noise].sum() * shift_ms / 3.6e6, 4)
    info |= dict(figures, train_seconds=round(time.perf_counter() - begun, 2),
                 pdfs=model.tree.num_pdfs, parameters=acoustics.network.num_parameters,
                 utterances=len(frames.utterances), options=to_dict(options),
                 hours=round(frames.num_frames * shift_ms / 3.6e6, 4))
    model = with_network(model, acoustics, info)
    save_model(model, destination)
    (destination / CHECKPOINT).unlink(missing_ok=True)
    remove_blocks(refs)
    return model


def _fit(frames: FrameSet, described: Description, model: AcousticModel, options: DnnOptions,
         pool: Executor, threads: int, checkpoint: Path, teacher: AcousticModel | None
         ) -> tuple[NnetAcoustics, dict[str, Any]]:
    subsampling = described.subsampling
    silence, num_pdfs = np.array(model.silence_pdfs), model.tree.num_pdfs
    plan = ChunkPlan.of(frames, np.flatnonzero(~frames.held_out(options.held_out)), silence,
                        options, subsampling)
    objective: Objective = CrossEntropy(frames, subsampling)
    depends = None
    if teacher is not None:
        nnet = check_teacher(teacher, options.teacher, model, subsampling)
        priors, drawn = plan.log_priors(frames, num_pdfs)
        objective = Distillation(frames, nnet, options.teacher_weight, options.temperature,
                                 (drawn - priors).astype(np.float32))
        depends = teacher_key(nnet)
    task = Task.of(frames, described.text, described.source, num_pdfs, objective, model.features,
                   options, threads)
    with training_pool(pool, options) as trainer:
        network, figures = fit(task, plan, trainer, checkpoint, depends=depends)
    return network_acoustics(network, task, plan, silence), figures


def network_acoustics(network: Network, task: Task, plan: ChunkPlan, silence: np.ndarray
                      ) -> NnetAcoustics:
    """Return a network that learned classes of frames, with the priors of all frames, in place.

    Parameters
    ----------
    silence : int array
        The classes of silence, of which the plan draws a share.
    """
    priors, drawn = plan.log_priors(task.frames, task.num_outputs)
    # The network learned the shares that were drawn; its posteriors shall be those of all frames.
    network.layers[-1].parameters["bias"] += (priors - drawn).astype(np.float32)
    priors = limit_silence(priors, silence)
    return NnetAcoustics(network, priors.astype(np.float32), task.shift, task.scale)


def network_line(directory: Path, info: dict[str, Any]) -> str:
    """Return the health line of a trained network."""
    held = info["held_out_accuracy"]
    other = f" ({info['noise_hours']:.2f} h of other speech)" if "noise_hours" in info else ""
    return (f"{directory}: {info['hours']:.2f} h{other}, {info['pdfs']} pdfs, {info['parameters']} "
            f"parameters, frames right {info['accuracy']:.1f} %"
            + (f", of those held out {held:.1f} %" if held is not None else "")
            + f", {info['frames_a_second']} frames a second, {info['train_seconds']:.1f} s")
