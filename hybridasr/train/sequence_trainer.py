"""Owns sequence training: a trained network goes on with a criterion of lattices.

Kaldi's steps/nnet/train_mmi.sh and train_mpe.sh. The network is trained as it runs: without
dropout, batch normalisation with the statistics that it has. Its priors and the scaling of its
input stay, and with them its graph and what the lattices were made with.
"""

import logging
import time
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.batch.denominator_set import load_frame_network
from hybridasr.checkpoint import CHECKPOINT
from hybridasr.corpus.datadir import DataDir
from hybridasr.errors import UserError, shell_command
from hybridasr.features.feature_cache import matching_features
from hybridasr.features.normalization import set_normalization
from hybridasr.lexicon.langdir import Lang
from hybridasr.lexicon.transcripts import check_phones
from hybridasr.model.acoustic import AcousticModel
from hybridasr.model.directory import save_model
from hybridasr.nnet.network_text import float_network_from_arrays, frozen_text
from hybridasr.options import to_dict
from hybridasr.sequence.criteria import Units
from hybridasr.sequence.lattice_set import LatticeSet, read_lattice_set
from hybridasr.train.blocks import BlockRef, remove_blocks, write_blocks
from hybridasr.train.chunk_plan import ChunkPlan
from hybridasr.train.lattice_objective import CriterionOptions, LatticeObjective
from hybridasr.train.minibatch import AlignmentFinder, FrameSet, gather_frames
from hybridasr.train.network_frames import originals, write_held_out
from hybridasr.train.nnet_options import DnnOptions
from hybridasr.train.nnet_round import Task
from hybridasr.train.nnet_trainer import fit, training_pool
from hybridasr.train.sequence_options import MmiOptions, SmbrOptions
from hybridasr.train.start import SourceSystem, read_source

logger = logging.getLogger("hybridasr")


@dataclass(frozen=True)
class SequencePlaces:
    """Where sequence training finds what it goes on from.

    Attributes
    ----------
    network : Path
        The network's directory.
    alignments : Path
        An alignment directory, or an earlier system with the network's tree.
    lattices : Path
        Of make-denlats.
    """

    network: Path
    alignments: Path
    lattices: Path


def train_sequence(data: DataDir, lang: Lang, places: SequencePlaces, destination: Path,
                   pool: Executor, options: MmiOptions | SmbrOptions, threads: int = 1
                   ) -> AcousticModel:
    """Train a network on lattices and write it to `destination`.

    Parameters
    ----------
    data : DataDir
        The utterances that the lattices are of; others are left out. Altered copies
        (``utt2uniq``) take the alignments of their originals, and have lattices of their own.
    threads : int
        Of the matrix products, if there is one job; the result does not depend on it.

    Raises
    ------
    UserError
        if network, alignments and lattices are not of one model, or the training diverges.
    """
    begun = time.perf_counter()
    model, lattices = _read_network(places, lang)
    data = matching_features(_with_lattices(data, lattices, places), model.features, pool)
    earlier = read_source(places.alignments, originals(data), lang, same_features=False)
    if not np.array_equal(earlier.model.transitions.tuples, model.transitions.tuples):
        command = shell_command("hybridasr", "align", "DATA", "LANG", places.network, "ALI")
        raise UserError(f"its alignments are of another tree than {places.network}; run "
                        f"'{command}', and give ALI", places.alignments)
    frames, refs = _gather(data, lang, model, earlier, destination, pool, options.fit.seed)
    fitting = options.fit.fit_options(float(model.info.get("options", {}).get(
        "held_out", DnnOptions().held_out)))
    objective = _objective(frames, data, model, earlier, lattices,
                           options.asked(lattices.acoustic_scale,
                                         model.transitions.topology.is_chain))
    plan = ChunkPlan.of(frames, np.flatnonzero(~frames.held_out(fitting.held_out)),
                        np.array(model.silence_pdfs), fitting)
    acoustics, network = model.nnet, model.nnet.network
    task = Task(frames, frozen_text(network.text), str(places.network), network.output_dim,
                objective, fitting, 0, acoustics.shift, acoustics.scale,
                1 if fitting.num_jobs > 1 else threads)
    missed = _report(objective, frames)
    depends = [asdict(objective.options), places.lattices.name, lattices.num_arcs]
    with training_pool(pool, fitting) as trainer:
        trained, figures = fit(task, plan, trainer, destination / CHECKPOINT, network,
                               depends)
    write_held_out(destination / "held_out", frames, fitting.held_out)
    info = {**model.info, **figures, "criterion": objective.options.kind,
            "aligned_not_in_lattice": missed, "utterances": len(frames.utterances),
            "options": {**model.info.get("options", {}), "held_out": fitting.held_out},
            "sequence_options": to_dict(options),
            "hours": round(frames.num_frames * model.features.frame_shift_ms / 3.6e6, 4),
            "train_seconds": round(time.perf_counter() - begun, 2)}
    # The text with dropout again: whoever trains it on frames wants it.
    model = replace(model, info=info, nnet=replace(
        acoustics, network=float_network_from_arrays(network.text, trained.to_arrays())))
    save_model(model, destination)
    (destination / CHECKPOINT).unlink(missing_ok=True)
    remove_blocks(refs)
    return model


def _read_network(places: SequencePlaces, lang: Lang) -> tuple[AcousticModel, LatticeSet]:
    model, lattices = load_frame_network(places.network), read_lattice_set(places.lattices)
    check_phones(model.lang, lang, places.network)
    if lattices.num_tids != model.transitions.num_tids:
        raise UserError(f"its lattices have {lattices.num_tids} transition-ids, {places.network} "
                        f"has {model.transitions.num_tids}; run 'hybridasr make-denlats' with it",
                        places.lattices)
    return model, lattices


def _with_lattices(data: DataDir, lattices: LatticeSet, places: SequencePlaces) -> DataDir:
    """Return the utterances that have a lattice."""
    there = {name: one for name, one in data.utterances.items() if name in lattices.places}
    if not there:
        raise UserError(f"has a lattice of none of the utterances in {data.path}; run 'hybridasr "
                        "make-denlats' with this set", places.lattices)
    if len(there) < len(data):
        logger.info("%d of %d utterances have no lattice and are left out", len(data) - len(there),
                    len(data))
    return replace(data, utterances=there)


def _gather(data: DataDir, lang: Lang, model: AcousticModel, earlier: SourceSystem,
            destination: Path, pool: Executor, seed: int) -> tuple[FrameSet, list[BlockRef]]:
    """Return what the network sees of a set, normalised as in its own training."""
    known = "drawn" if model.pipeline.cmvn == "online" else "all"
    normalization = set_normalization(data, model.features, model.pipeline, model.cmvn, known,
                                      seed)
    refs = write_blocks(data, lang, normalization, destination / "blocks", pool)
    frames = gather_frames(refs, model.pipeline, earlier.alignments, model, data,
                           model.features.frame_shift_ms / 1000,
                           refs[0].directory / "frames.npy")
    return frames, refs


def _objective(frames: FrameSet, data: DataDir, model: AcousticModel, earlier: SourceSystem,
               lattices: LatticeSet, options: CriterionOptions) -> LatticeObjective:
    """Return the objective of the frames; lattices must have as many frames as the features."""
    assert model.nnet is not None
    finder = AlignmentFinder.of(earlier.alignments, model, data,
                                model.features.frame_shift_ms / 1000)
    lengths = np.diff(frames.starts).tolist()
    alignment = [finder.find(name, length)
                 for name, length in zip(frames.utterances, lengths, strict=True)]
    silence = model.lang.silence_phones if options.silence_apart else []
    return LatticeObjective(lattices, tuple(frames.utterances), frames.starts,
                            np.concatenate(alignment).astype(np.int32), model.subsampling,
                            Units.of(model.transitions, silence), model.nnet.log_priors, options)


def _report(objective: LatticeObjective, frames: FrameSet) -> float:
    """Check every lattice; return the share of the frames whose aligned pdf is in none, per cent.

    Raises
    ------
    UserError
        naming the first utterance whose lattice does not fit.
    """
    missing = 0
    for number, name in enumerate(objective.names):
        try:
            missing += objective.uncovered(number)
        except ValueError as error:
            raise UserError(f"the lattice of '{name}' does not fit its features ({error}); run "
                            "make-denlats again", objective.lattices.directory) from None
    scored = sum(len(objective.aligned(number)) for number in range(len(objective.names)))
    share = round(100 * missing / scored, 2)
    logger.info("%d utterances, %d scored frames; the aligned state is not in the lattice in %.2f "
                "%% of them", len(objective.names), scored, share)
    return share


def sequence_line(directory: Path, info: dict[str, Any]) -> str:
    """Return the health line of a network that was trained on lattices."""
    held = info["held_out_loss"]
    return (f"{directory}: {info['criterion']}, {info['hours']:.2f} h, {info['epochs']} epochs, "
            f"loss a frame {info['loss']:.4f}"
            + (f", of those held out {held:.4f}" if held is not None else "")
            + f", {info['frames_a_second']} frames a second, {info['train_seconds']:.1f} s")
