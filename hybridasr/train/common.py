"""Owns the EM loop that every GMM trainer runs: blocks of data, statistics, schedule, resume.

Data is cut into blocks whose number depends on the data alone; each block is prepared once
(features and training graphs) and its statistics are summed in block order, so a model does not
depend on the number of jobs. After every iteration the whole state goes to one checkpoint file,
from which an interrupted training goes on to the same end.
"""

import functools
import logging
import pickle
import shutil
import tempfile
import time
import zlib
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hybridasr.corpus.datadir import DataDir, Utterance
from hybridasr.decode.align import AlignmentGraph, AlignOptions, align, equal_alignment
from hybridasr.errors import UserError
from hybridasr.features.pipeline import load_feats
from hybridasr.gmm.diag import DiagGmm, GmmScorer, GmmStats
from hybridasr.graph.training import TrainingGraphs, arc_costs
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.model import AcousticModel
from hybridasr.parallel import run_blocks
from hybridasr.storage import atomic_write, read_arrays, write_arrays

logger = logging.getLogger("hybridasr")
NUM_BLOCKS = 16  # enough to share among the jobs of a small machine
BLOCK_LIMITS = (8, 256)  # utterances
MAX_NAMED = 10  # utterances named in one line of the log


@dataclass(frozen=True)
class Block:
    """The prepared utterances of one block; features are beside it, mapped into memory."""

    utterances: list[str]
    words: list[tuple[int, ...]]
    frame_offsets: np.ndarray  # int64 (num_utterances + 1,)
    graphs: list[AlignmentGraph]  # one for each different transcript
    graph_of: list[int]


@dataclass
class BlockResult:
    """What one pass over a block gives."""

    alignment: np.ndarray  # int32 (num_frames,), 0 where the utterance failed
    stats: GmmStats
    tid_counts: np.ndarray
    retried: int
    failed: list[str]
    align_seconds: float
    stats_seconds: float


def write_blocks(data: DataDir, model: AcousticModel, directory: Path,
                 pool: Executor) -> list[Path]:
    """Prepare features and training graphs of all utterances; return the blocks' paths.

    Raises
    ------
    UserError
        if no utterance has features, or a transcript has a word that words.txt lacks.
    """
    utterances = list(data.utterances.values())
    if not utterances:
        raise UserError("no utterances; prepare the data first", data.path)
    size = int(np.clip(-(-len(utterances) // NUM_BLOCKS), *BLOCK_LIMITS))
    for stale in directory.parent.glob(directory.name + ".*"):
        shutil.rmtree(stale, ignore_errors=True)
    directory.parent.mkdir(parents=True, exist_ok=True)
    # A fresh name each time: workers keep what they have read by its path.
    directory = Path(tempfile.mkdtemp(prefix=directory.name + ".", dir=directory.parent))
    blocks = []
    for number, start in enumerate(range(0, len(utterances), size)):
        part = replace(data, utterances={u.utterance: u for u in utterances[start:start + size]})
        blocks.append((directory / f"block.{number}.pkl", part, model))
    found = sum(run_blocks(pool, _write_block, blocks, desc="features and graphs"))
    if found == 0:
        raise UserError("none of its utterances has features; run make-feats again", data.path)
    return [path for path, _, _ in blocks]


def _write_block(path: Path, data: DataDir, model: AcousticModel) -> int:
    builder = TrainingGraphs(model.lang, model.transitions, model.tree)
    feats, names, words, graphs, graph_of = [], [], [], [], []
    numbers: dict[tuple[int, ...], int] = {}
    for name, frames in load_feats(data, model.pipeline):
        transcript = word_ids(data.utterances[name], model.lang.words, model.lang.oov)
        if transcript not in numbers:
            numbers[transcript] = len(graphs)
            graphs.append(AlignmentGraph.of(builder.build(transcript), model.transitions))
        feats.append(frames)
        names.append(name)
        words.append(transcript)
        graph_of.append(numbers[transcript])
    offsets = np.concatenate([[0], np.cumsum([len(f) for f in feats])]).astype(np.int64)
    with atomic_write(path.with_suffix(".npy"), "wb") as file:
        np.save(file, np.concatenate(feats) if feats else np.zeros((0, 1), np.float32))
    with atomic_write(path, "wb") as file:
        pickle.dump(Block(names, words, offsets, graphs, graph_of), file)
    return len(names)


def word_ids(utterance: Utterance, words: dict[str, int], oov: int) -> tuple[int, ...]:
    """Return the transcript as ids of words.txt, unknown words as the OOV word."""
    return tuple(words.get(word, oov) for word in utterance.words)


@functools.cache
def read_block(path: Path) -> tuple[Block, np.ndarray]:
    """Return a block and its features (read once a process; the features stay on disk)."""
    with open(path, "rb") as file:
        return pickle.load(file), np.load(path.with_suffix(".npy"), mmap_mode="r")


def equal_block(path: Path, model: AcousticModel, seed: int) -> BlockResult:
    """Align a block evenly and collect the statistics (start of a flat start)."""
    block, feats = read_block(path)
    alignment = np.zeros(len(feats), np.int32)
    failed = []
    for number, name in enumerate(block.utterances):
        rows = slice(*block.frame_offsets[number:number + 2])
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        found = equal_alignment(block.words[number], model.lang, model.transitions, model.tree,
                                rows.stop - rows.start, rng)
        if found is None:
            failed.append(name)
        else:
            alignment[rows] = found
    result = accumulate_block(path, model.gmm.scorer(), model.transitions, alignment)
    return replace(result, failed=failed)


def align_block(path: Path, scorer: GmmScorer, align_scorer: GmmScorer,
                transitions: TransitionModel, options: AlignOptions) -> BlockResult:
    """Align a block with the model and collect the statistics of the new alignment."""
    start = time.perf_counter()
    block, feats = read_block(path)
    tid_costs = transitions.scaled_costs(options.transition_scale, options.self_loop_scale)
    costs = [arc_costs(item.graph, tid_costs) for item in block.graphs]
    alignment = np.zeros(len(feats), np.int32)
    failed, retried = [], 0
    for number, name in enumerate(block.utterances):
        rows = slice(*block.frame_offsets[number:number + 2])
        item = block.graphs[block.graph_of[number]]
        loglikes = align_scorer.loglikes(feats[rows], item.pdfs)
        path_found, again = align(item, costs[block.graph_of[number]], loglikes, options)
        retried += again
        if path_found is None:
            failed.append(name)
        else:
            alignment[rows] = path_found.transition_ids
    seconds = time.perf_counter() - start
    result = accumulate_block(path, scorer, transitions, alignment)
    return replace(result, failed=failed, retried=retried, align_seconds=seconds)


def accumulate_block(path: Path, scorer: GmmScorer, transitions: TransitionModel,
                     alignment: np.ndarray) -> BlockResult:
    """Collect the statistics of a block whose alignment is known."""
    start = time.perf_counter()
    _, feats = read_block(path)
    stats = GmmStats.zeros(len(scorer.constants), feats.shape[1])
    scorer.accumulate(feats, transitions.tid_pdf[alignment], stats)
    counts = np.bincount(alignment, minlength=transitions.num_tids + 1).astype(np.float64)
    return BlockResult(alignment, stats, counts, 0, [], 0.0, time.perf_counter() - start)


def silence_boosted(scorer: GmmScorer, model: AcousticModel, boost: float) -> GmmScorer:
    """Multiply the likelihoods of silence pdfs by `boost` (Kaldi's gmm-boost-silence)."""
    if boost == 1.0:
        return scorer
    silent = {pdf for phone, _, pdf in model.transitions.tuples.tolist()
              if phone in set(model.lang.silence_phones)}
    constants = scorer.constants.copy()
    for pdf in silent:
        constants[scorer.offsets[pdf]:scorer.offsets[pdf + 1]] += np.float32(np.log(boost))
    return replace(scorer, constants=constants)


@dataclass
class Iteration:
    """Sums of one pass over all blocks."""

    stats: GmmStats
    tid_counts: np.ndarray
    alignments: list[np.ndarray]
    retried: int
    failed: list[str]
    align_seconds: float
    stats_seconds: float

    @property
    def loglike(self) -> float:
        """Average acoustic log likelihood a frame."""
        return self.stats.loglike / max(1, self.stats.frames)


def run_pass(pool: Executor, function, calls: list[tuple], desc: str) -> Iteration:
    """Run one function over all blocks and sum its results in block order."""
    total: Iteration | None = None
    for result in run_blocks(pool, function, calls, desc=desc):
        if total is None:
            total = Iteration(result.stats, result.tid_counts, [result.alignment], result.retried,
                              result.failed, result.align_seconds, result.stats_seconds)
            continue
        total.stats.add(result.stats)
        total.tid_counts += result.tid_counts
        total.alignments.append(result.alignment)
        total.retried += result.retried
        total.failed += result.failed
        total.align_seconds += result.align_seconds
        total.stats_seconds += result.stats_seconds
    assert total is not None  # write_blocks refuses empty data
    return total


def count_unaligned(blocks: list[Path], alignments: list[np.ndarray]) -> int:
    """Count the utterances that the last alignment left out."""
    return sum(int((alignment[read_block(path)[0].frame_offsets[:-1]] == 0).sum())
               for path, alignment in zip(blocks, alignments, strict=True))


def pdf_occupancy(gmm: DiagGmm, stats: GmmStats) -> np.ndarray:
    """Return the frames of each pdf: float64 (num_pdfs,)."""
    return np.add.reduceat(stats.occupancy, gmm.offsets[:-1])


def name_some(names: list[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - MAX_NAMED
    return " ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def save_checkpoint(path: Path, digest: str, iteration: int, model: AcousticModel,
                    alignments: list[np.ndarray], seconds: float) -> None:
    """Write the state that the next iteration starts from, and the time spent so far."""
    write_arrays(path, digest=np.array(digest), iteration=np.array(iteration),
                 seconds=np.array(seconds),
                 weights=model.gmm.weights, means=model.gmm.means, variances=model.gmm.variances,
                 offsets=model.gmm.offsets, log_probs=model.transitions.log_probs,
                 alignment=np.concatenate(alignments),
                 lengths=np.array([len(a) for a in alignments]))


def load_checkpoint(path: Path, digest: str,
                    model: AcousticModel
                    ) -> tuple[int, AcousticModel, list[np.ndarray], float] | None:
    """Return (iteration, model, alignments, seconds) of a training of the same inputs."""
    if not path.is_file():
        return None
    try:
        saved = read_arrays(path)
    except UserError:
        return None
    if str(saved["digest"]) != digest:
        logger.info("%s belongs to other data or options; starting anew", path)
        return None
    gmm = DiagGmm(*(saved[name] for name in ("weights", "means", "variances", "offsets")))
    old = model.transitions
    transitions = TransitionModel(old.topology, map(tuple, old.tuples.tolist()),
                                  saved["log_probs"])
    alignments = np.split(saved["alignment"], np.cumsum(saved["lengths"])[:-1])
    return (int(saved["iteration"]), replace(model, gmm=gmm, transitions=transitions), alignments,
            float(saved["seconds"]))
