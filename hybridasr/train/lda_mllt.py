"""Owns the system on LDA and MLLT features (Kaldi's train_lda_mllt.sh).

Frames are spliced and projected by LDA, whose classes are the pdfs of the alignments; in some
iterations a maximum-likelihood linear transform is estimated on top, the means following.
"""

import logging
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hybridasr.checkpoint import CHECKPOINT
from hybridasr.corpus.datadir import DataDir
from hybridasr.errors import UserError
from hybridasr.features.pipeline import PipelineOptions, base_pipeline
from hybridasr.gmm.diag import DiagGmm
from hybridasr.gmm.lda import LdaStats, estimate_lda
from hybridasr.gmm.mllt import MlltStats, accumulate_mllt, estimate_mllt, transform_means
from hybridasr.lexicon.langdir import Lang
from hybridasr.model.acoustic import AcousticModel
from hybridasr.options import nested, option
from hybridasr.train.blocks import BlockRef, expanded, read_view
from hybridasr.train.em import (
    Clock,
    EmOptions,
    Event,
    TrainState,
    read_iterations,
    run_em,
    write_features,
)
from hybridasr.train.finish import finish, run_digest
from hybridasr.train.passes import run_pass
from hybridasr.train.start import grow_system, prepare_state, read_source
from hybridasr.tree.build import TreeOptions

logger = logging.getLogger("hybridasr")


@dataclass(frozen=True)
class LdaMlltOptions:
    """Schedule, sizes, tree and transform (names and defaults of train_lda_mllt.sh)."""

    em: EmOptions = nested(EmOptions)
    tree: TreeOptions = nested(TreeOptions)
    dim: int = option(40, "dimension after LDA")
    context: int = option(3, "frames to each side of a frame that LDA sees")
    mllt_iters: str = option("2 4 6 12", "iterations that estimate MLLT")

    def __post_init__(self):
        if self.dim < 1 or self.context < 0:
            raise UserError(f"dim is {self.dim} and context {self.context}; give at least 1 and 0")
        read_iterations(self.mllt_iters, "mllt-iters")


def train_lda_mllt(data: DataDir, lang: Lang, source: Path, destination: Path, pool: Executor,
                   options: LdaMlltOptions) -> AcousticModel:
    """Train a system on LDA+MLLT features and write it to `destination`.

    Raises
    ------
    UserError
        if the alignments do not fit data or lexicon, or there are too few columns for `dim`.
    """
    clock = Clock()
    earlier = read_source(source, data, lang)
    pipeline = replace(base_pipeline(earlier.model.pipeline), splice_left=options.context,
                       splice_right=options.context)
    state = prepare_state(data, lang, earlier, pipeline, destination, pool)
    # Classes are the earlier tree's pdfs; the new tree grows on the projected features.
    matrix = _estimate_lda(state, options.dim, pool)
    state = write_features(replace(state, model=replace(state.model, transform=matrix)), pool)
    clock.add("prepare", clock.elapsed)
    state, _ = grow_system(state, options.tree, pool, clock)
    event = Event(read_iterations(options.mllt_iters, "mllt-iters"),
                  lambda iteration, now: _mllt(iteration, now, pool))
    state, result = run_em(state, options.em, pool, destination / CHECKPOINT,
                           run_digest(state, options), clock, event)
    return finish(data, state, result, options, clock, destination, pool)


def _estimate_lda(state: TrainState, dim: int, pool: Executor) -> np.ndarray:
    """Return the projection (dim, expanded dim); silence does not count."""
    model, classes = state.model, _speech_pdfs(state.model)
    calls = [(ref, classes[alignment], model.transitions.num_pdfs, model.pipeline)
             for ref, alignment in zip(state.refs, state.alignments, strict=True)]
    return estimate_lda(run_pass(pool, _lda_stats, calls, "LDA"), dim).matrix


def _lda_stats(ref: BlockRef, classes: np.ndarray, num_classes: int,
               pipeline: PipelineOptions) -> LdaStats:
    feats = expanded(ref, pipeline)
    stats = LdaStats.zeros(num_classes, feats.shape[1])
    stats.accumulate(feats, classes)
    return stats


def _mllt(iteration: int, state: TrainState, pool: Executor) -> TrainState:
    """Estimate MLLT on the current features; change features and means."""
    model, classes = state.model, _speech_pdfs(state.model)
    calls = [(ref, model.gmm, classes[alignment])
             for ref, alignment in zip(state.refs, state.alignments, strict=True)]
    matrix, gain = estimate_mllt(run_pass(pool, _mllt_stats, calls, f"MLLT {iteration}"))
    logger.debug("iteration %d: MLLT gains %.4f log likelihood a frame", iteration, gain)
    assert model.transform is not None
    # One matrix in the end: the new transform comes on top of the old one.
    model = replace(model, transform=matrix @ model.transform,
                    gmm=transform_means(model.gmm, matrix))
    return write_features(replace(state, model=model), pool)


def _speech_pdfs(model: AcousticModel) -> np.ndarray:
    """Return the pdf of each transition-id, -1 for silence."""
    # Silence is much of the data and little of what must be told apart.
    pdfs = model.transitions.tid_pdf.copy()
    pdfs[np.isin(pdfs, model.silence_pdfs)] = -1
    return pdfs


def _mllt_stats(ref: BlockRef, gmm: DiagGmm, pdfs: np.ndarray) -> MlltStats:
    stats = MlltStats.zeros(gmm.means.shape[1])
    accumulate_mllt(gmm, read_view(ref), pdfs, stats)
    return stats
