"""Owns the training of networks without alignments, by CTC: transcripts in, a model out.

The labels are the phones of the lang directory, or its words in syllables or characters. Of a word
with several pronunciations the likeliest counts. The model is one like any other
(`hybridasr.ctc.token_topology`), so that graphs, recognition and alignment know nothing of CTC.
"""

import logging
import time
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.checkpoint import CHECKPOINT
from hybridasr.corpus.datadir import DataDir
from hybridasr.ctc.ctc_loss import BLANK, needed_frames
from hybridasr.ctc.label_units import UNITS, unit_lang
from hybridasr.ctc.token_topology import (
    label_names,
    phone_labels,
    token_transitions,
    token_tree,
    transcript_labels,
)
from hybridasr.errors import NotEnoughData, UserError, name_some
from hybridasr.features.feature_kind import read_feature_options
from hybridasr.features.normalization import Normalization
from hybridasr.features.pipeline import PipelineOptions
from hybridasr.lexicon.langdir import Lang
from hybridasr.model.acoustic import AcousticModel
from hybridasr.model.directory import save_model
from hybridasr.nnet.acoustics import NnetAcoustics
from hybridasr.nnet.network import Network
from hybridasr.options import check_least, option, to_dict
from hybridasr.storage import PathLike, write_text
from hybridasr.train.blocks import BlockRef, read_block, remove_blocks, write_blocks
from hybridasr.train.chunk_plan import ChunkPlan
from hybridasr.train.label_objective import LabelObjective
from hybridasr.train.minibatch import FrameSet, join_frames
from hybridasr.train.network_frames import (
    check_masks,
    network_normalization,
    read_description,
    write_held_out,
)
from hybridasr.train.nnet_options import FitOptions, InputOptions
from hybridasr.train.nnet_round import Task
from hybridasr.train.nnet_trainer import fit, training_pool

logger = logging.getLogger("hybridasr")
LABEL_FILE = "labels.txt"
PRIOR_BATCH = 64  # utterances whose posteriors are averaged for the blank's prior
ACOUSTIC_SCALE = 1.0  # a label is said in a frame or two, not in ten that say the same
# A memory that sees the frames around it; two layers more than it learn more by heart.
DEFAULT_NETWORK = """\
splice offsets=-4,-3,-2,-1,0,1,2,3,4
affine dim=192
batchnorm
relu
lstm cell=192
dropout rate=0.2
lstm cell=192
dropout rate=0.2
output
"""


@dataclass(frozen=True)
class CtcOptions(InputOptions, FitOptions):
    """How a network is trained by CTC; some defaults differ from those of `train-dnn`."""

    network: str = option("", "file that describes the network; none: two LSTM of 192")
    units: str = option("phones", "what it writes; syllables and characters make a lang directory "
                        "of their own from the words", UNITS)
    blank_prior: float = option(0.6, "for graphs, posteriors of the blank are divided by its share "
                                "beside that of a label, to this power; the more, the more labels")
    num_epochs: int = option(30, "passes over all utterances, at most")
    minibatch_size: int = option(4096, "frames a step, of utterances of like length")
    chunk_width: int = option(0, "0: whole utterances, the only choice here")
    silence_share: float = option(1.0, "1: all frames, the only choice here")
    initial_learning_rate: float = option(2e-3, "step size at the beginning")
    final_learning_rate: float = option(1e-4, "step size at the end (exponential)",
                                        needs="schedule=exponential")

    def __post_init__(self):
        """Refuse values outside their range."""
        super().__post_init__()
        check_least(self, {"delta_order": 0})
        if self.chunk_width or self.silence_share != 1:
            raise UserError("labels belong to whole utterances: chunk_width and silence_share have "
                            "no effect here; leave them out")
        if not 0 <= self.blank_prior <= 1:
            raise UserError(f"option blank_prior is {self.blank_prior}; give 0 to 1")


@dataclass(frozen=True)
class LabelSet:
    """Utterances with their features and labels, ready for a training.

    Attributes
    ----------
    frames : FrameSet
        Their classes of frames are all the blank: nobody knows them.
    objective : LabelObjective
    model : AcousticModel
        Without a network.
    refs : list of BlockRef
        To be removed when the training is done.
    """

    frames: FrameSet
    objective: LabelObjective
    model: AcousticModel
    refs: list[BlockRef]

    @property
    def hours(self) -> float:
        """Hours of speech."""
        return round(self.frames.num_frames * self.model.features.frame_shift_ms / 3.6e6, 4)


def train_ctc(data: DataDir, lang: Lang, destination: PathLike, pool: Executor,
              options: CtcOptions, threads: int = 1) -> AcousticModel:
    """Train a network by CTC and write it to `destination`.

    Parameters
    ----------
    data : DataDir
        With features and transcripts; no alignments are needed.
    threads : int
        Of the matrix products, if there is one job; the result does not depend on it.

    Returns
    -------
    AcousticModel
        Beside it in `destination`: ``held_out``, the utterances that were only watched, and
        ``labels.txt``, the classes of the network.

    Raises
    ------
    UserError
        if no utterance is long enough for its labels, the description of the network is wrong, or
        the training diverges.
    """
    begun, destination = time.perf_counter(), Path(destination)
    lang = unit_lang(lang, options.units, destination / "units")
    features = read_feature_options(data.path)
    check_masks(options.masks, options.delta_order, features)
    normalization = network_normalization(data, lang, features, options, options.seed)
    described = read_description(options, DEFAULT_NETWORK, features)
    labels = gather_labels(data, lang, normalization, destination, pool, described.subsampling)
    frames, model = labels.frames, labels.model
    plan = ChunkPlan.of(frames, np.flatnonzero(~frames.held_out(options.held_out)),
                        np.zeros(0, np.int64), options)
    task = Task.of(frames, described.text, described.source, model.tree.num_pdfs,
                   labels.objective, model.features, options, threads)
    with training_pool(pool, options) as trainer:
        network, figures = fit(task, plan, trainer, destination / CHECKPOINT)
    write_held_out(destination / "held_out", frames, options.held_out)
    write_label_names(destination, lang)
    share = blank_share(network, task, plan.chunks)
    info = dict(figures, train_seconds=round(time.perf_counter() - begun, 2), criterion="ctc",
                units=options.units, labels=model.tree.num_pdfs - 1, blank_share=share,
                parameters=network.num_parameters, utterances=len(frames.utterances),
                options=to_dict(options), hours=labels.hours)
    priors = blank_priors(share, model.tree.num_pdfs, options.blank_prior)
    model = replace(model, nnet=NnetAcoustics(network, priors, task.shift, task.scale),
                    info=info, acoustic_scale=ACOUSTIC_SCALE)
    save_model(model, destination)
    (destination / CHECKPOINT).unlink(missing_ok=True)
    remove_blocks(labels.refs)
    return model


def gather_labels(data: DataDir, lang: Lang, normalization: Normalization, destination: Path,
                  pool: Executor, subsampling: int) -> LabelSet:
    """Compute what a network sees of a set, and what it shall write.

    Utterances that are too short for their labels are left out, with a warning that names some.

    Parameters
    ----------
    subsampling : int
        Frames from one output of the network to the next.

    Raises
    ------
    UserError
        if none is left, or the lang directory does not fit.
    """
    tree = token_tree(lang)
    model = AcousticModel(None, token_transitions(lang, tree), tree, lang,
                          read_feature_options(data.path), normalization.pipeline,
                          cmvn=normalization.prior)
    refs = write_blocks(data, lang, normalization, destination / "blocks", pool)
    frames, sequences = _join(refs, lang, normalization.pipeline, data, subsampling)
    logger.debug("%d of %d utterances, %d frames", len(frames.utterances), len(data),
                 frames.num_frames)
    return LabelSet(frames, LabelObjective.of(sequences, subsampling), model, refs)


def _join(refs: list[BlockRef], lang: Lang, pipeline: PipelineOptions, data: DataDir,
          subsampling: int) -> tuple[FrameSet, list[np.ndarray]]:
    labels, places, names, sequences, short = phone_labels(lang), [], [], [], []
    for ref in refs:
        block = read_block(ref)
        for number, name in enumerate(block.utterances):
            rows = block.rows(number)
            sequence = transcript_labels(block.words[number], lang, labels)
            if -(-(rows.stop - rows.start) // subsampling) < max(1, needed_frames(sequence)):
                short.append(name)
                continue
            places.append((ref, rows))
            names.append(name)
            sequences.append(sequence)
    if short:
        logger.warning("%d utterances of %s have fewer outputs than labels and are left out: %s; "
                       "check their transcripts", len(short), data.path, name_some(short))
    if not names:
        raise NotEnoughData("no utterance is long enough for its labels; check the transcripts",
                            data.path)
    num_frames = sum(rows.stop - rows.start for _, rows in places)
    frames = join_frames(places, names, np.full(num_frames, BLANK, np.int32), pipeline, data,
                         refs[0].directory / "frames.npy")
    return frames, sequences


def blank_share(network: Network, task: Task, chunks: np.ndarray) -> float:
    """Return the mean posterior of the blank over some utterances."""
    total, count = 0.0, 0
    for chunk in chunks[::max(1, len(chunks) // PRIOR_BATCH)]:
        feats = (task.frames.feats[chunk[1]:chunk[1] + chunk[2]] - task.shift) * task.scale
        posteriors = np.exp(network.log_posteriors(feats)[:, BLANK])
        total, count = total + float(posteriors.sum()), count + len(posteriors)
    return total / max(1, count)


def blank_priors(share: float, num_classes: int, power: float) -> np.ndarray:
    """Return what the search takes off log posteriors, float32 (num_classes,).

    The blank's share over that of a label, if all labels had the same, to some power; of labels
    nothing. A network that has learned little gives its frames to the blank, and words would get
    lost in it.

    >>> np.exp(blank_priors(0.8, 5, 1.0)).round(3).tolist()
    [16.0, 1.0, 1.0, 1.0, 1.0]
    """
    priors = np.zeros(num_classes, np.float32)
    # A blank in every frame, or in none, says nothing.
    share = min(max(share, 1e-3), 1 - 1e-3)
    priors[BLANK] = power * np.log(share / (1 - share) * max(1, num_classes - 1))
    return priors


def write_label_names(directory: Path, lang: Lang) -> None:
    """Write the classes of a network as a symbol table, for people and other programs."""
    write_text(directory / LABEL_FILE, "".join(f"{name} {number}\n" for number, name
                                               in enumerate(label_names(lang))))


def label_line(directory: Path, info: dict[str, Any]) -> str:
    """Return the health line of a network that writes labels."""
    held = info["held_out_accuracy"]
    return (f"{directory}: {info['hours']:.2f} h, {info['labels']} labels, {info['parameters']} "
            f"parameters, label errors {100 - info['accuracy']:.1f} %"
            + (f", of those held out {100 - held:.1f} %" if held is not None else "")
            + f", {info['frames_a_second']} frames a second, {info['train_seconds']:.1f} s")
