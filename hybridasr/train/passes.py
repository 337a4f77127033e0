"""Owns the passes over training data: align every block, collect statistics, sum in block order."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import numpy as np

from hybridasr.decode.align import AlignOptions, align
from hybridasr.gmm.diag import DiagGmm, GmmScorer, GmmStats
from hybridasr.graph.training import arc_costs
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.parallel import run_blocks
from hybridasr.train.blocks import BlockRef, read_block, read_graphs, read_view

logger = logging.getLogger("hybridasr")


@dataclass
class PassResult:
    """What one pass over a block, or over all of them, gives."""

    alignments: list[np.ndarray]  # int32 (num_frames,) a block; 0 where an utterance failed
    stats: GmmStats
    tid_counts: np.ndarray
    retried: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    align_seconds: float = 0.0
    stats_seconds: float = 0.0

    @property
    def loglike(self) -> float:
        """Average acoustic log likelihood a frame."""
        return self.stats.loglike / max(1, self.stats.frames)

    def add(self, other: "PassResult") -> None:
        """Add the result of the next block, in place."""
        self.alignments += other.alignments
        self.stats.add(other.stats)
        self.tid_counts += other.tid_counts
        self.retried += other.retried
        self.failed += other.failed
        self.align_seconds += other.align_seconds
        self.stats_seconds += other.stats_seconds


class Summable(Protocol):
    """What a pass gathers: a `PassResult`, or other statistics."""

    def add(self, other: Any) -> None:
        """Add the result of the next block, in place."""
        ...


Sum = TypeVar("Sum", bound=Summable)


def run_pass(pool: Executor, function: Callable[..., Sum], calls: Sequence[tuple],
             desc: str) -> Sum:
    """Run one function over all blocks and sum its results in block order."""
    results = run_blocks(pool, function, calls, desc=desc)
    total = next(results)  # there is a block: write_blocks refuses empty data
    for result in results:
        total.add(result)
    return total


def align_block(ref: BlockRef, scorer: GmmScorer, align_scorer: GmmScorer,
                transitions: TransitionModel, options: AlignOptions, collect: bool) -> PassResult:
    """Align a block with the model and, with `collect`, gather the new alignment's statistics."""
    start = time.perf_counter()
    block, graphs, feats = read_block(ref), read_graphs(ref), read_view(ref)
    # Once a block: the arcs of its graphs share them.
    tid_costs = transitions.scaled_costs(options.scales.transition_scale,
                                         options.scales.self_loop_scale)
    costs = [arc_costs(item.graph, tid_costs) for item in graphs.graphs]
    alignment = np.zeros(len(feats), np.int32)
    failed, retried = [], []
    for number, name in enumerate(block.utterances):
        rows, graph = block.rows(number), graphs.graph_of[number]
        item = graphs.graphs[graph]
        # Only the pdfs of this transcript are scored.
        loglikes = align_scorer.loglikes(feats[rows], item.pdfs)
        path, again = align(item, costs[graph], loglikes, options)
        if path is None:
            failed.append(name)
            continue
        alignment[rows] = path.transition_ids
        if again:
            retried.append(name)
    seconds = time.perf_counter() - start
    if collect:
        # The boosted scorer is for the search alone.
        result = accumulate_block(ref, scorer, transitions, alignment)
    else:
        result = PassResult([alignment], GmmStats.zeros(0, 0), np.zeros(0))
    return replace(result, failed=failed, retried=retried, align_seconds=seconds)


def accumulate_block(ref: BlockRef, scorer: GmmScorer, transitions: TransitionModel,
                     alignment: np.ndarray, other: BlockRef | None = None) -> PassResult:
    """Collect the statistics of a block whose alignment is known.

    With `other`, posteriors come from the view of `ref` and statistics are of that of `other`
    (Kaldi's gmm-acc-stats-twofeats).
    """
    start = time.perf_counter()
    feats = read_view(ref)
    stats = GmmStats.zeros(len(scorer.constants), feats.shape[1])
    scorer.accumulate(feats, transitions.tid_pdf[alignment], stats,
                      None if other is None else read_view(other))
    # Place 0 counts frames without alignment, which no transition has.
    counts = np.bincount(alignment, minlength=transitions.num_tids + 1).astype(np.float64)
    return PassResult([alignment], stats, counts, stats_seconds=time.perf_counter() - start)


def boosted_scorer(scorer: GmmScorer, pdfs: Sequence[int], boost: float) -> GmmScorer:
    """Multiply the likelihoods of pdfs, those of silence, by `boost` (gmm-boost-silence)."""
    if boost == 1.0:
        return scorer
    # A factor on a likelihood is a summand of its logarithm.
    constants = scorer.constants.copy()
    for pdf in pdfs:
        constants[scorer.offsets[pdf]:scorer.offsets[pdf + 1]] += np.float32(np.log(boost))
    return replace(scorer, constants=constants)


def count_unaligned(refs: list[BlockRef], alignments: list[np.ndarray]) -> int:
    """Count the utterances that the last alignment left out."""
    return sum(int((alignment[read_block(ref).frame_offsets[:-1]] == 0).sum())
               for ref, alignment in zip(refs, alignments, strict=True))


def pdf_occupancy(gmm: DiagGmm, stats: GmmStats) -> np.ndarray:
    """Return the frames of each pdf: float64 (num_pdfs,)."""
    return np.add.reduceat(stats.occupancy, gmm.offsets[:-1])
