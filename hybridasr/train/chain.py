"""Owns the training of networks by lattice-free MMI, on the alignments of an earlier system.

Tree, topology and transition model are new: phones at a third of the frame rate have one or more
outputs, in the context of their left neighbour. What the network gives are pseudo log likelihoods,
to be searched with as they are: no priors, an acoustic scale of one. Reference: Povey et al.,
"Purely sequence-trained neural networks for ASR based on lattice-free MMI", Interspeech 2016.
"""

import logging
import time
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.chain.denominator import DenominatorGraph, PhoneGraph
from hybridasr.chain.numerator import Numerators, PhoneTimes, make_numerators
from hybridasr.chain.phone_lm import estimate_phone_lm
from hybridasr.checkpoint import CHECKPOINT
from hybridasr.corpus.datadir import DataDir
from hybridasr.errors import NotEnoughData, UserError
from hybridasr.features.feature_kind import read_feature_options
from hybridasr.graph.self_loops import natural_scales
from hybridasr.hmm.durations import estimate_durations
from hybridasr.hmm.topology import chain_topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import Lang
from hybridasr.model.acoustic import AcousticModel
from hybridasr.model.directory import save_model
from hybridasr.nnet.acoustics import NnetAcoustics
from hybridasr.nnet.network import Network
from hybridasr.nnet.network_text import read_network
from hybridasr.options import to_dict
from hybridasr.storage import PathLike
from hybridasr.train.blocks import remove_blocks
from hybridasr.train.chain_objective import LatticeFreeMmi
from hybridasr.train.chain_options import ChainOptions
from hybridasr.train.chain_tree import chain_tree, output_alignment, set_phone_times
from hybridasr.train.chunk_plan import ChunkPlan
from hybridasr.train.minibatch import FrameSet
from hybridasr.train.network_frames import (
    Description,
    network_frames,
    originals,
    read_description,
    write_held_out,
)
from hybridasr.train.nnet_round import Task
from hybridasr.train.nnet_trainer import fit, training_pool
from hybridasr.train.start import read_source
from hybridasr.tree.build import TreeOptions
from hybridasr.tree.tree import allowed_tuples

logger = logging.getLogger("hybridasr")
NATURAL_SCALE = 1.0  # acoustic, of a model whose sequences are what was trained
# 25 frames to each side; the first layer sees every frame, all later ones every third.
DEFAULT_NETWORK = """\
splice offsets=-4:4 stride=3
affine dim=320
batchnorm
relu
""" + "".join(f"""\
splice offsets=-{far},0,{far}
affine dim=320
batchnorm
relu
""" for far in (1, 2, 4)) + """\
affine dim=160
batchnorm
relu
output
"""


@dataclass(frozen=True)
class Supervision:
    """What the objective needs of a training set, and what the graphs are made of."""

    graph: DenominatorGraph
    numerators: Numerators
    num_phone_states: int
    silence: np.ndarray  # classes of the frames, which are the earlier system's, of silence


def train_chain(data: DataDir, lang: Lang, source: PathLike, destination: PathLike, pool: Executor,
                options: ChainOptions, threads: int = 1) -> AcousticModel:
    """Train a network by lattice-free MMI on the alignments in `source`; write it to `destination`.

    Parameters
    ----------
    data : DataDir
        With features; altered copies (``utt2uniq``) take the alignments of their originals. Other
        speech without alignment is left out.
    threads : int
        Of the matrix products, if there is one job; the result does not depend on it.

    Returns
    -------
    AcousticModel
        Beside it in `destination`: ``held_out``, the utterances that were only watched.

    Raises
    ------
    UserError
        if the alignments do not fit data or lexicon, the description of the network is wrong, or
        the training diverges.
    """
    begun, destination = time.perf_counter(), Path(destination)
    earlier = read_source(Path(source), originals(data), lang, same_features=False)
    # A network that cannot be is told before the frames are gathered.
    described = read_description(options, DEFAULT_NETWORK, read_feature_options(data.path))
    frames, model, refs = network_frames(data, lang, earlier, destination, pool, options)
    shift_ms = model.features.frame_shift_ms
    times = set_phone_times(frames, earlier.alignments, earlier.model, data)
    model, supervision = _start(frames, times, model, described.subsampling, options)
    network, task, figures = _fit(frames, described, model, supervision, options, pool, threads,
                                  destination / CHECKPOINT)
    write_held_out(destination / "held_out", frames, options.held_out)
    num_pdfs = model.tree.num_pdfs
    nnet = NnetAcoustics(without_head(network, num_pdfs), np.zeros(num_pdfs, np.float32),
                         task.shift, task.scale)
    info = dict(figures, train_seconds=round(time.perf_counter() - begun, 2), pdfs=num_pdfs,
                parameters=nnet.network.num_parameters, utterances=len(frames.utterances),
                denominator_states=supervision.graph.num_states,
                denominator_arcs=supervision.graph.num_arcs,
                phone_lm_states=supervision.num_phone_states,
                hours=round(frames.num_frames * shift_ms / 3.6e6, 4), options=to_dict(options))
    model = replace(model, nnet=nnet, info=info, acoustic_scale=NATURAL_SCALE,
                    graph_options=natural_scales(model.transitions.topology))
    save_model(model, destination)
    (destination / CHECKPOINT).unlink(missing_ok=True)
    remove_blocks(refs)
    return model


def _start(frames: FrameSet, times: list[PhoneTimes | None], model: AcousticModel,
           subsampling: int, options: ChainOptions) -> tuple[AcousticModel, Supervision]:
    """Return the model with tree and transitions, without network, and what it is trained to."""
    silence = np.array(model.silence_pdfs)
    lang, topology = model.lang, chain_topology(model.transitions.topology.phones)
    tree = chain_tree(frames, times, model.tree.num_pdfs, lang, topology, subsampling,
                      TreeOptions(numleaves=options.numleaves,
                                  context_width=options.context_width))
    transitions = TransitionModel(topology, allowed_tuples(tree, topology))
    # A sentence counts once, however many copies of it there are.
    spoken = [one for one, name, original in zip(times, frames.utterances, frames.originals,
                                                 strict=True) if one and name == original]
    spoken = spoken or [one for one in times if one]
    lm = estimate_phone_lm([one.phones for one in spoken], options.lm)
    phones = PhoneGraph(lm, tree)
    graph = phones.denominator()
    numerators = make_numerators(times, phones, graph, subsampling, options.tolerance)
    lost = int((~numerators.usable).sum()) - len(frames.noise)
    logger.info("tree of %d leaves; denominator of %d states and %d arcs, from %d histories of "
                "phones; %d of %d utterances are too short for their phones", tree.num_pdfs,
                graph.num_states, graph.num_arcs, len(lm.arcs), lost, len(times))
    if not numerators.usable.any():
        raise NotEnoughData("no utterance is long enough for its phones at the network's rate; "
                            "give a network with a smaller stride, or longer recordings")
    paths = [output_alignment(one, subsampling, transitions, tree) for one in spoken]
    durations = estimate_durations([path for path in paths if path is not None], transitions,
                                   lang.nonsilence_phones)
    model = replace(model, tree=tree, transitions=transitions, durations=durations, info={})
    return model, Supervision(graph, numerators, len(lm.arcs), silence)


def _fit(frames: FrameSet, described: Description, model: AcousticModel, supervision: Supervision,
         options: ChainOptions, pool: Executor, threads: int, checkpoint: Path
         ) -> tuple[Network, Task, dict[str, Any]]:
    trained = ~frames.held_out(options.held_out) & supervision.numerators.usable
    if not trained.any():
        raise UserError("every utterance that could be trained on is held out; give a smaller "
                        "--held-out")
    plan = ChunkPlan.of(frames, np.flatnonzero(trained), supervision.silence, options,
                        supervision.numerators.shifts)
    objective = LatticeFreeMmi(frames.starts, supervision.graph, supervision.numerators,
                               options.leaky_hmm_coefficient, options.xent_regularize,
                               options.l2_regularize)
    task = Task.of(frames, described.text, described.source, 2 * model.tree.num_pdfs, objective,
                   model.features, options, threads)
    with training_pool(pool, options) as trainer:
        network, figures = fit(task, plan, trainer, checkpoint)
    return network, task, figures


def without_head(network: Network, num_pdfs: int) -> Network:
    """Return a network with the first `num_pdfs` outputs alone: without the cross-entropy head."""
    arrays = network.to_arrays()
    last = len(network.layers) - 1
    for name in ("weights", "bias"):
        arrays[f"{last}.{name}"] = arrays[f"{last}.{name}"][:num_pdfs]
    cut = read_network(network.text, network.input_dim, num_pdfs)
    cut.load_arrays(arrays)
    return cut


def chain_line(directory: Path, info: dict[str, Any]) -> str:
    """Return the health line of a network trained by lattice-free MMI."""
    held = info["held_out_loss"]
    return (f"{directory}: {info['hours']:.2f} h, {info['pdfs']} pdfs, {info['parameters']} "
            f"parameters, denominator of {info['denominator_arcs']} arcs, MMI an output "
            f"{-info['loss']:.4f}"
            + (f", of those held out {-held:.4f}" if held is not None else "")
            + f", {info['frames_a_second']} outputs a second, {info['train_seconds']:.1f} s")
