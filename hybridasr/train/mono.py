"""Owns monophone training: flat start, Viterbi re-estimation, growth of the mixtures.

Reads a data directory with features and a lang directory; writes a model directory. The schedule
is that of Kaldi's steps/train_mono.sh: a first alignment without a model (`flat_start`),
new alignments in the listed iterations, mixtures grown until `max_iter_inc`.
"""

from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hybridasr.checkpoint import CHECKPOINT
from hybridasr.corpus.datadir import DataDir
from hybridasr.features.mfcc import FeatureOptions
from hybridasr.features.normalization import set_normalization
from hybridasr.features.pipeline import PipelineOptions
from hybridasr.gmm.update import UpdateOptions, initial_gmm
from hybridasr.hmm.topology import read_topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import Lang
from hybridasr.model.acoustic import AcousticModel
from hybridasr.options import nested, option
from hybridasr.parallel import run_blocks
from hybridasr.storage import read_text
from hybridasr.train.blocks import BlockRef, read_view, write_blocks, write_graphs
from hybridasr.train.em import (
    Clock,
    EmOptions,
    TrainState,
    log_iteration,
    run_em,
    update,
    write_features,
)
from hybridasr.train.finish import finish, run_digest
from hybridasr.train.flat_start import equal_block
from hybridasr.train.passes import run_pass
from hybridasr.tree.tree import allowed_tuples, monophone_tree

FIRST_MIN_OCCUPANCY = 3.0  # the first estimate keeps rare phones, as train_mono.sh does


@dataclass(frozen=True)
class MonoOptions:
    """Schedule and sizes of monophone training (names and defaults of steps/train_mono.sh)."""

    em: EmOptions = nested(
        EmOptions, num_iters=40, max_iter_inc=30, totgauss=1000,
        realign_iters="1 2 3 4 5 6 7 8 9 10 12 14 16 18 20 23 26 29 32 35 38")
    initial_beam: float = option(6.0, "beam of the first alignment")


def train_mono(data: DataDir, lang: Lang, features: FeatureOptions, pipeline: PipelineOptions,
               destination: Path, pool: Executor, options: MonoOptions) -> AcousticModel:
    """Train a monophone GMM-HMM and write it to `destination`.

    Raises
    ------
    UserError
        if no utterance at all can be aligned.
    """
    clock = Clock()
    normalization = set_normalization(data, features, pipeline)
    refs = write_blocks(data, lang, normalization, destination / "blocks", pool)
    model = replace(_empty_model(lang, features, pipeline), cmvn=normalization.prior)
    state = write_features(TrainState(model, refs, [], data_path=data.path), pool)
    write_graphs(state.refs, model, pool)
    # Every pdf begins with the mean and variance of all frames.
    state = replace(state, model=_flat_model(model, state.refs, pool))
    clock.add("prepare", clock.elapsed)
    start = run_pass(pool, equal_block, [(ref, state.model, options.em.seed) for ref in state.refs],
                     "flat start")
    model = update(state.model, start, options.em, 0, UpdateOptions(FIRST_MIN_OCCUPANCY))
    state = replace(state, model=model, alignments=start.alignments)
    log_iteration(0, start, state, start.failed, True)
    state, result = run_em(state, options.em, pool, destination / CHECKPOINT,
                           run_digest(state, options), clock, first_beam=options.initial_beam)
    return finish(data, state, result, options, clock, destination, pool)


def _empty_model(lang: Lang, features: FeatureOptions, pipeline: PipelineOptions) -> AcousticModel:
    topology = read_topology(read_text(lang.path / "topo"), str(lang.path / "topo"))
    tree = monophone_tree(lang.sets, topology)
    transitions = TransitionModel(topology, allowed_tuples(tree, topology))
    # A place holder until the features are known.
    gmm = initial_gmm(np.zeros(1), np.ones(1), tree.num_pdfs)
    return AcousticModel(gmm, transitions, tree, lang, features, pipeline)


def _flat_model(model: AcousticModel, refs: list[BlockRef], pool: Executor) -> AcousticModel:
    count, first, second = 0, 0.0, 0.0
    for frames, sums, squares in run_blocks(pool, _moments, [(ref,) for ref in refs],
                                             "mean and variance"):
        count, first, second = count + frames, first + sums, second + squares
    mean = first / count
    variance = np.maximum(second / count - mean**2, UpdateOptions().min_variance)
    return replace(model, gmm=initial_gmm(mean, variance, model.tree.num_pdfs))


def _moments(ref: BlockRef) -> tuple[int, np.ndarray, np.ndarray]:
    feats = np.asarray(read_view(ref), np.float64)
    return len(feats), feats.sum(0), (feats**2).sum(0)
