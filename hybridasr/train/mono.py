"""Owns monophone training: flat start, Viterbi re-estimation, growth of the mixtures.

Reads a data directory with features and a lang directory; writes a model directory. The schedule
is that of Kaldi's steps/train_mono.sh: the first model from evenly spread frames, new alignments
in the listed iterations, mixtures grown until `max_iter_inc`.
"""

import logging
import shutil
import time
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.corpus.datadir import DataDir
from hybridasr.decode.align import AlignOptions
from hybridasr.errors import UserError
from hybridasr.features.mfcc import FeatureOptions
from hybridasr.features.pipeline import PipelineOptions, training_cmvn
from hybridasr.gmm.update import UpdateOptions, estimate, initial_gmm, split
from hybridasr.hmm.topology import read_topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import Lang
from hybridasr.model import AcousticModel
from hybridasr.options import option, to_dict
from hybridasr.parallel import run_blocks
from hybridasr.progress import progress
from hybridasr.storage import digest, read_text
from hybridasr.train.common import (
    Iteration,
    accumulate_block,
    align_block,
    count_unaligned,
    equal_block,
    load_checkpoint,
    name_some,
    pdf_occupancy,
    read_block,
    run_pass,
    save_checkpoint,
    silence_boosted,
    write_blocks,
)
from hybridasr.tree.tree import allowed_tuples, monophone_tree

logger = logging.getLogger("hybridasr")
FIRST_MIN_OCCUPANCY = 3.0  # the first estimate keeps rare phones, as train_mono.sh does


@dataclass(frozen=True)
class MonoOptions:
    """Schedule and sizes of monophone training (names and defaults of steps/train_mono.sh)."""

    num_iters: int = option(40, "iterations")
    max_iter_inc: int = option(30, "last iteration that adds Gaussians")
    totgauss: int = option(1000, "Gaussians wanted at the end")
    power: float = option(0.25, "Gaussians go to pdfs by their frames to this power")
    realign_iters: str = option("1 2 3 4 5 6 7 8 9 10 12 14 16 18 20 23 26 29 32 35 38",
                                "iterations that align anew")
    initial_beam: float = option(6.0, "beam of the first alignment")
    beam: float = option(10.0, "beam of the later alignments")
    retry_beam: float = option(40.0, "beam of the second try of an alignment")
    acoustic_scale: float = option(0.1, "acoustic scale of alignment")
    transition_scale: float = option(1.0, "scale of transition log probabilities in alignment")
    self_loop_scale: float = option(0.1, "scale of self-loop log probabilities in alignment")
    boost_silence: float = option(1.0, "factor on silence likelihoods while aligning")
    seed: int = option(0, "seed of the flat start and of the splits")

    def __post_init__(self):
        if self.num_iters < 1 or self.totgauss < 1:
            raise UserError(f"num-iters {self.num_iters} and totgauss {self.totgauss} must be at "
                            "least 1")
        if not all(part.isdigit() for part in self.realign_iters.split()):
            raise UserError(f"realign-iters '{self.realign_iters}' must be numbers with spaces")

    def alignment(self, iteration: int) -> AlignOptions:
        """Return how iteration `iteration` aligns."""
        beam = self.initial_beam if iteration == 1 else self.beam
        return AlignOptions(beam=beam, retry_beam=self.retry_beam,
                            acoustic_scale=self.acoustic_scale,
                            transition_scale=self.transition_scale,
                            self_loop_scale=self.self_loop_scale,
                            boost_silence=self.boost_silence)


def train_mono(data: DataDir, lang: Lang, features: FeatureOptions, pipeline: PipelineOptions,
               destination: Path, pool: Executor, options: MonoOptions) -> AcousticModel:
    """Train a monophone GMM-HMM and write it to `destination`.

    Raises
    ------
    UserError
        if no utterance at all can be aligned.
    """
    begun = time.perf_counter()
    clock = {"prepare": 0.0, "align": 0.0, "accumulate": 0.0, "update": 0.0}
    model = _empty_model(lang, features, pipeline)
    blocks = write_blocks(data, model, destination / "blocks", pool)
    model = _flat_model(model, blocks, pool)
    clock["prepare"] = time.perf_counter() - begun
    run = digest(to_dict(options), to_dict(features), to_dict(pipeline),
                 read_text(lang.path / "topo"),
                 read_text(lang.path / "lexiconp.txt"), *(_block_digest(path) for path in blocks))
    checkpoint = destination / "checkpoint.npz"
    resumed = load_checkpoint(checkpoint, run, model)
    first, alignments = 0, []
    if resumed:
        first, model, alignments, before = resumed
        begun -= before
        logger.info("resuming after iteration %d", first - 1)
    realign = {int(part) for part in options.realign_iters.split()}
    start_gauss = model.gmm.num_pdfs
    step = max(0, options.totgauss - start_gauss) // max(1, options.max_iter_inc)
    for iteration in progress(range(first, options.num_iters), desc="mono", unit="iteration"):
        result = _one_pass(pool, blocks, model, options, iteration, iteration in realign,
                           alignments)
        if result.stats.frames == 0:
            raise UserError("no utterance could be aligned: every one is shorter than its HMM or "
                            f"fits no path (first: {name_some(result.failed)}); check text and "
                            "audio", data.path)
        alignments = result.alignments
        started = time.perf_counter()
        target = start_gauss + step * min(max(0, iteration - 1), options.max_iter_inc)
        model = _update(model, result, options, iteration, target)
        clock["update"] += time.perf_counter() - started
        clock["align"] += result.align_seconds
        clock["accumulate"] += result.stats_seconds
        _log_iteration(iteration, result, model, len(data.utterances), iteration in realign)
        if iteration + 1 < options.num_iters:
            save_checkpoint(checkpoint, run, iteration + 1, model, alignments,
                            time.perf_counter() - begun)
    seconds = time.perf_counter() - begun
    info = dict(model.info, train_seconds=round(seconds, 2),
                seconds={name: round(value, 2) for name, value in clock.items()},
                gaussians=model.gmm.num_gaussians, pdfs=model.gmm.num_pdfs,
                utterances=len(data.utterances), unaligned=count_unaligned(blocks, alignments),
                loglike=round(result.loglike, 4),
                hours=round(result.stats.frames * features.frame_shift_ms / 3.6e6, 4),
                options=to_dict(options))
    model = replace(model, info=info, cmvn=training_cmvn(data, pipeline))
    model.save(destination)
    checkpoint.unlink(missing_ok=True)
    read_block.cache_clear()
    shutil.rmtree(blocks[0].parent, ignore_errors=True)
    return model


def training_line(directory: Path, info: dict[str, Any], nj: int) -> str:
    """Return the health line of a trained model, as Kaldi's gmm_dir_info."""
    seconds = info["seconds"]
    parts = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
    return (f"{directory}: {nj} jobs, {info['hours']:.2f} h, align logprob/frame "
            f"{info['loglike']:.2f}, failed {info['unaligned']} of {info['utterances']}, "
            f"{info['pdfs']} pdfs, {info['gaussians']} gaussians, {info['train_seconds']:.1f} s "
            f"(job seconds: {parts})")


def _one_pass(pool: Executor, blocks: list[Path], model: AcousticModel, options: MonoOptions,
              iteration: int, realigns: bool, alignments: list[np.ndarray]) -> Iteration:
    desc = f"iteration {iteration}"
    if iteration == 0:
        return run_pass(pool, equal_block, [(path, model, options.seed) for path in blocks], desc)
    scorer = model.gmm.scorer()
    if realigns:
        plan = options.alignment(iteration)
        boosted = silence_boosted(scorer, model, plan.boost_silence)
        calls = [(path, scorer, boosted, model.transitions, plan) for path in blocks]
        return run_pass(pool, align_block, calls, desc)
    calls = [(path, scorer, model.transitions, alignment)
             for path, alignment in zip(blocks, alignments, strict=True)]
    return run_pass(pool, accumulate_block, calls, desc)


def _update(model: AcousticModel, result: Iteration, options: MonoOptions, iteration: int,
            target: int) -> AcousticModel:
    guards = UpdateOptions(min_occupancy=FIRST_MIN_OCCUPANCY) if iteration == 0 else UpdateOptions()
    gmm = estimate(model.gmm, result.stats, guards)
    if target > gmm.num_gaussians:
        occupancy = pdf_occupancy(model.gmm, result.stats)
        gmm = split(gmm, occupancy, target, options.power, options.seed)
    return replace(model, gmm=gmm, transitions=model.transitions.updated(result.tid_counts))


def _log_iteration(iteration: int, result: Iteration, model: AcousticModel, total: int,
                   realigned: bool) -> None:
    aligned = ""
    if realigned or iteration == 0:
        aligned = f", retried {result.retried}, failed {len(result.failed)} of {total}"
    logger.debug("iteration %d: log likelihood a frame %.4f over %d frames%s; now %d gaussians",
                 iteration, result.loglike, result.stats.frames, aligned, model.gmm.num_gaussians)
    if result.failed:
        logger.debug("iteration %d: not aligned: %s", iteration, " ".join(result.failed))


def _empty_model(lang: Lang, features: FeatureOptions, pipeline: PipelineOptions) -> AcousticModel:
    topology = read_topology(read_text(lang.path / "topo"), str(lang.path / "topo"))
    tree = monophone_tree(lang.sets, topology)
    transitions = TransitionModel(topology, allowed_tuples(tree, topology))
    gmm = initial_gmm(np.zeros(1), np.ones(1), tree.num_pdfs)
    return AcousticModel(gmm, transitions, tree, lang, features, pipeline)


def _flat_model(model: AcousticModel, blocks: list[Path], pool: Executor) -> AcousticModel:
    count, first, second = 0, 0.0, 0.0
    for frames, sums, squares in run_blocks(pool, _moments, [(path,) for path in blocks],
                                             "mean and variance"):
        count, first, second = count + frames, first + sums, second + squares
    mean = first / count
    variance = np.maximum(second / count - mean**2, UpdateOptions().min_variance)
    return replace(model, gmm=initial_gmm(mean, variance, model.tree.num_pdfs))


def _moments(path: Path) -> tuple[int, np.ndarray, np.ndarray]:
    feats = np.asarray(read_block(path)[1], np.float64)
    return len(feats), feats.sum(0), (feats**2).sum(0)


def _block_digest(path: Path) -> str:
    block, feats = read_block(path)
    return digest(block.utterances, block.words, np.ascontiguousarray(feats).tobytes())
