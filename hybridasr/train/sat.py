"""Owns speaker-adaptive training with fMLLR (Kaldi's train_sat.sh).

In some iterations each training speaker gets an affine transform of the features; the mixtures
learn what is left. For decoding, mixtures for features without a transform are estimated beside
them (Kaldi's final.alimdl), and the statistics that steady the transform of a new speaker.
"""

import logging
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hybridasr.checkpoint import CHECKPOINT
from hybridasr.corpus.datadir import DataDir
from hybridasr.gmm.diag import DiagGmm
from hybridasr.gmm.fmllr import (
    UPDATES,
    FmllrStats,
    accumulate_fmllr,
    compose_affine,
    estimate_fmllr,
)
from hybridasr.gmm.update import UpdateOptions, estimate
from hybridasr.lexicon.langdir import Lang
from hybridasr.model.acoustic import AcousticModel, Adaptation
from hybridasr.options import nested, option
from hybridasr.parallel import run_blocks
from hybridasr.train.blocks import BlockRef, read_block, read_view, write_view
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
from hybridasr.train.passes import accumulate_block, run_pass
from hybridasr.train.start import grow_system, read_source, same_features
from hybridasr.tree.build import TreeOptions

logger = logging.getLogger("hybridasr")


@dataclass(frozen=True)
class SatOptions:
    """Schedule, sizes and tree of a speaker-adaptive system (names as in train_sat.sh)."""

    em: EmOptions = nested(EmOptions)
    tree: TreeOptions = nested(TreeOptions)
    fmllr_iters: str = option("2 4 6 12", "iterations that estimate the speakers' transforms")
    fmllr_min_count: float = option(500.0, "frames of speech that a training speaker's transform "
                                           "needs; with fewer it is the identity")
    fmllr_update: str = option("full", "what of the transforms is estimated", UPDATES)
    silence_weight: float = option(0.0, "weight of silence frames in the transforms")

    def __post_init__(self):
        read_iterations(self.fmllr_iters, "fmllr-iters")


def train_sat(data: DataDir, lang: Lang, source: Path, destination: Path, pool: Executor,
              options: SatOptions) -> AcousticModel:
    """Train a speaker-adaptive system on the features of the one in `source`.

    Raises
    ------
    UserError
        if the alignments do not fit data or lexicon.
    """
    clock = Clock()
    state = same_features(data, lang, read_source(source, data, lang), destination, pool)
    # The system before may have been adapted already: then its transforms are the start.
    if not state.speakers:
        state = adapt_speakers(state, options, pool, "fMLLR")
    clock.add("prepare", clock.elapsed)
    state, _ = grow_system(state, options.tree, pool, clock)
    event = Event(read_iterations(options.fmllr_iters, "fmllr-iters"),
                  lambda iteration, now: adapt_speakers(now, options, pool, f"fMLLR {iteration}"))
    state, result = run_em(state, options.em, pool, destination / CHECKPOINT,
                           run_digest(state, options), clock, event)
    adaptation = estimate_adaptation(state, pool)
    return finish(data, state, result, options, clock, destination, pool, adaptation)


def adapt_speakers(state: TrainState, options: SatOptions, pool: Executor,
                   desc: str) -> TrainState:
    """Estimate every speaker's transform anew on top of the old one; write the features."""
    speakers, gained, frames, poor = dict(state.speakers), 0.0, 0.0, []
    for speaker, stats in speaker_stats(state, options.silence_weight, pool, desc):
        change, gain = estimate_fmllr(stats, options.fmllr_min_count,
                                      update=options.fmllr_update)
        # A transform has many numbers; from little speech it would fit the noise.
        if stats.beta <= options.fmllr_min_count:
            poor.append(speaker)
            continue
        gained, frames = gained + gain * stats.beta, frames + stats.beta
        speakers[speaker] = compose_affine(change, speakers.get(speaker))
    logger.debug("%s: %d speakers gain %.4f log likelihood a frame%s", desc, len(speakers),
                 gained / max(frames, 1.0),
                 f"; too little speech of {' '.join(poor)}" if poor else "")
    if not speakers:
        logger.warning("no speaker has the %g frames of speech that a transform needs; the system "
                       "is trained without adaptation (a smaller --fmllr-min-count helps)",
                       options.fmllr_min_count)
    return write_features(replace(state, speakers=speakers), pool)


def speaker_stats(state: TrainState, silence_weight: float, pool: Executor,
                  desc: str) -> Iterator[tuple[str, FmllrStats]]:
    """Yield each speaker's statistics on the current features, as soon as they are complete."""
    model = state.model
    # Silence says nothing of a speaker's voice.
    weights = np.ones(model.transitions.num_tids + 1, np.float32)
    weights[np.isin(model.transitions.tid_pdf, model.silence_pdfs)] = silence_weight
    calls = [(ref, model.gmm, model.transitions.tid_pdf[alignment], weights[alignment])
             for ref, alignment in zip(state.refs, state.alignments, strict=True)]
    # Statistics are given away with a speaker's last block, so memory holds few of them.
    last = {speaker: ref.number for ref in state.refs for speaker in read_block(ref).speakers}
    waiting: dict[str, FmllrStats] = {}
    for ref, parts in zip(state.refs, run_blocks(pool, _speaker_stats, calls, desc=desc),
                          strict=True):
        for speaker, part in parts.items():
            if speaker in waiting:
                waiting[speaker].add(part)
            else:
                waiting[speaker] = part
            if last[speaker] == ref.number:
                yield speaker, waiting.pop(speaker)


def _speaker_stats(ref: BlockRef, gmm: DiagGmm, pdfs: np.ndarray,
                   weights: np.ndarray) -> dict[str, FmllrStats]:
    feats = read_view(ref)
    by_speaker: dict[str, FmllrStats] = {}
    for speaker, rows in read_block(ref).speaker_rows():
        stats = by_speaker.setdefault(speaker, FmllrStats.zeros(gmm.means.shape[1]))
        accumulate_fmllr(gmm, feats[rows], np.where(weights[rows] > 0, pdfs[rows], -1), stats,
                         weights[rows])
    return by_speaker


def estimate_adaptation(state: TrainState, pool: Executor) -> Adaptation:
    """Return what decoding needs to adapt: mixtures for plain features, prior statistics."""
    model = state.model
    prior = FmllrStats.zeros(model.gmm.means.shape[1])
    for _, stats in speaker_stats(state, 0.0, pool, "prior"):
        prior.add(stats)
    plain = write_view([ref._replace(view=ref.view + 1) for ref in state.refs], model.pipeline,
                       model.transform, {}, pool)
    scorer = model.gmm.scorer()
    result = run_pass(pool, accumulate_block, [
        (ref, scorer, model.transitions, alignment, other)
        for ref, other, alignment in zip(state.refs, plain, state.alignments, strict=True)],
        "unadapted model")
    # Gaussian by Gaussian the same layout: none is removed.
    gmm = estimate(model.gmm, result.stats, UpdateOptions(remove=False))
    return Adaptation(gmm, FmllrStats(1.0, prior.k / max(prior.beta, 1.0),
                                      prior.g / max(prior.beta, 1.0)))
