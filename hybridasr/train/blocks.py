"""Owns the training data on disk while a system trains: blocks of utterances.

A block holds base features (normalised, nothing appended), the features that the model sees now
(a *view*: deltas or splicing, the model's transform, the speakers' transforms) and the training
graphs. How many blocks there are depends on the data alone, and sums are taken in block order, so
a model does not depend on the number of jobs. Workers map the files into memory.
"""

import functools
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hybridasr.corpus.datadir import DataDir
from hybridasr.decode.align import AlignmentGraph
from hybridasr.errors import UserError
from hybridasr.features.feature_set import load_feats
from hybridasr.features.normalization import Normalization
from hybridasr.features.pipeline import PipelineOptions, base_pipeline, expand
from hybridasr.graph.training import TrainingGraphs
from hybridasr.lexicon.langdir import Lang
from hybridasr.lexicon.transcripts import check_transcripts, word_ids
from hybridasr.model.acoustic import AcousticModel
from hybridasr.parallel import run_blocks
from hybridasr.storage import atomic_write, digest

NUM_BLOCKS = 16  # enough to share among the jobs of a small machine
BLOCK_LIMITS = (8, 256)  # utterances


class BlockRef(NamedTuple):
    """Where a block is, and which view of its features is current."""

    directory: Path
    number: int
    view: int = 0

    def file(self, name: str) -> Path:
        """Return the path of one of the block's files."""
        return self.directory / f"{name}.{self.number}"


@dataclass(frozen=True)
class Block:
    """The utterances of one block."""

    utterances: list[str]
    speakers: list[str]
    words: list[tuple[int, ...]]
    frame_offsets: np.ndarray  # int64 (num_utterances + 1,)

    def rows(self, number: int) -> slice:
        """Return the frames of the utterance with this number."""
        return slice(int(self.frame_offsets[number]), int(self.frame_offsets[number + 1]))

    def speaker_rows(self) -> list[tuple[str, slice]]:
        """Return runs of utterances of one speaker: (speaker, frames)."""
        runs: list[tuple[str, slice]] = []
        for number, speaker in enumerate(self.speakers):
            rows = self.rows(number)
            if runs and runs[-1][0] == speaker:
                rows = slice(runs.pop()[1].start, rows.stop)
            runs.append((speaker, rows))
        return runs


@dataclass(frozen=True)
class BlockGraphs:
    """Training graphs, one for each different transcript, and each utterance's number."""

    graphs: list[AlignmentGraph]
    graph_of: list[int]


def write_blocks(data: DataDir, lang: Lang, normalization: Normalization, directory: Path,
                 pool: Executor) -> list[BlockRef]:
    """Write base features and transcripts of all utterances; return the blocks.

    Parameters
    ----------
    normalization : Normalization
        Of the set; deltas and neighbouring frames of its recipe come later.

    Raises
    ------
    UserError
        if no utterance has features, or the lang directory has none of the words.
    """
    check_transcripts(data, lang)
    utterances = list(data.utterances.values())
    if not utterances:
        raise UserError("no utterances; prepare the data first", data.path)
    # Data decides on the size, jobs do not: sums over blocks keep their order of rounding.
    size = int(np.clip(-(-len(utterances) // NUM_BLOCKS), *BLOCK_LIMITS))
    # What an interrupted training left.
    for stale in directory.parent.glob(directory.name + ".*"):
        shutil.rmtree(stale, ignore_errors=True)
    directory.parent.mkdir(parents=True, exist_ok=True)
    # A fresh name each time: workers keep what they have read by its path.
    directory = Path(tempfile.mkdtemp(prefix=directory.name + ".", dir=directory.parent))
    calls = []
    for number, start in enumerate(range(0, len(utterances), size)):
        block = utterances[start:start + size]
        part = replace(data, utterances={u.utterance: u for u in block})
        calls.append((BlockRef(directory, number), part, lang.words, lang.oov,
                      replace(normalization.part(block),
                              pipeline=base_pipeline(normalization.pipeline))))
    num_loaded = sum(run_blocks(pool, _write_block, calls, desc="features"))
    if num_loaded == 0:
        raise UserError("none of its utterances has features; run make-feats again", data.path)
    return [ref for ref, *_ in calls]


def _write_block(ref: BlockRef, data: DataDir, words: dict[str, int], oov: int,
                 normalization: Normalization) -> int:
    loaded = list(load_feats(data, normalization))
    feats = [frames for _, frames in loaded]
    utterances = [data.utterances[name] for name, _ in loaded]
    offsets = np.concatenate([[0], np.cumsum([len(f) for f in feats])]).astype(np.int64)
    # A block may be empty: utterances without features are left out.
    _save(ref.file("base"), np.concatenate(feats) if feats else np.zeros((0, 1), np.float32))
    with atomic_write(ref.file("block"), "wb") as file:
        pickle.dump(Block([u.utterance for u in utterances], [u.speaker for u in utterances],
                          [word_ids(u, words, oov) for u in utterances], offsets), file)
    return len(loaded)


def write_graphs(refs: list[BlockRef], model: AcousticModel, pool: Executor) -> None:
    """Write the training graphs of all blocks.

    Raises
    ------
    UserError
        if a transcript has a word without pronunciation.
    """
    for _ in run_blocks(pool, _write_graphs, [(ref, model.lang, model.transitions, model.tree)
                                              for ref in refs], desc="graphs"):
        pass


def _write_graphs(ref: BlockRef, lang, transitions, tree) -> None:
    builder = TrainingGraphs(lang, transitions, tree)
    # Commands are said again and again: one graph serves all that say the same.
    numbers: dict[tuple[int, ...], int] = {}
    graphs, graph_of = [], []
    for transcript in read_block(ref).words:
        if transcript not in numbers:
            numbers[transcript] = len(graphs)
            graphs.append(AlignmentGraph.of(builder.build(transcript), transitions))
        graph_of.append(numbers[transcript])
    with atomic_write(ref.file("graphs"), "wb") as file:
        pickle.dump(BlockGraphs(graphs, graph_of), file)


def write_view(refs: list[BlockRef], pipeline: PipelineOptions, matrix: np.ndarray | None,
               speakers: Mapping[str, np.ndarray], pool: Executor) -> list[BlockRef]:
    """Write what the model sees from now on; return the blocks with the new view.

    Parameters
    ----------
    matrix : (dim, expanded dim), optional
        The model's transform, applied to spliced frames or frames with deltas.
    speakers : dict speaker -> (dim, dim + 1)
        Affine transforms on top of it; speakers without one are left as they are.
    """
    calls = []
    for ref in refs:
        # Only a block's own speakers travel to its worker.
        names = dict.fromkeys(read_block(ref).speakers)
        transforms = {name: speakers[name] for name in names if name in speakers}
        calls.append((ref, ref._replace(view=ref.view + 1), pipeline, matrix, transforms))
    for _ in run_blocks(pool, _write_view, calls, desc="features"):
        pass
    return [new for _, new, *_ in calls]


def _write_view(old: BlockRef, new: BlockRef, pipeline: PipelineOptions,
                matrix: np.ndarray | None, speakers: Mapping[str, np.ndarray]) -> None:
    # Always from the base features, so that errors of rounding do not add up over views.
    feats = expanded(new, pipeline)
    if matrix is not None:
        feats = feats @ matrix.T.astype(np.float32)
    for speaker, rows in read_block(new).speaker_rows():
        if speaker in speakers:
            affine = speakers[speaker].astype(np.float32)
            feats[rows] = feats[rows] @ affine[:, :-1].T + affine[:, -1]
    _save(_view_file(new), feats)
    # The view before is not needed any more, and a corpus is large.
    _view_file(old).unlink(missing_ok=True)


def expanded(ref: BlockRef, pipeline: PipelineOptions) -> np.ndarray:
    """Return the base features with deltas or splicing, float32 (num_frames, expanded dim)."""
    block, base = read_block(ref), read_base(ref)
    parts = [expand(np.asarray(base[block.rows(number)]), pipeline)
             for number in range(len(block.utterances))]
    return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)


# Blocks are small beside their features, which stay on disk.
@functools.lru_cache(maxsize=4096)
def _read(path: Path):
    with open(path, "rb") as file:
        return pickle.load(file)


def read_block(ref: BlockRef) -> Block:
    """Return a block (read once a process)."""
    return _read(ref.file("block"))


def read_graphs(ref: BlockRef) -> BlockGraphs:
    """Return a block's training graphs (read once a process)."""
    return _read(ref.file("graphs"))


def read_base(ref: BlockRef) -> np.ndarray:
    """Return the base features, float32 (num_frames, base dim); they stay on disk until used."""
    return np.load(ref.file("base"), mmap_mode="r")


def read_view(ref: BlockRef) -> np.ndarray:
    """Return what the model sees, float32 (num_frames, dim); it stays on disk until used."""
    return np.load(_view_file(ref), mmap_mode="r")


def remove_blocks(refs: list[BlockRef]) -> None:
    """Delete the files of all blocks."""
    _read.cache_clear()
    shutil.rmtree(refs[0].directory, ignore_errors=True)


def block_digest(ref: BlockRef) -> str:
    """Return a digest of a block's transcripts and base features."""
    block = read_block(ref)
    return digest(block.utterances, block.words, np.load(ref.file("base")).tobytes())


def cut_blocks(refs: list[BlockRef], find: Callable[[str], np.ndarray | None]
               ) -> list[np.ndarray]:
    """Return the alignment of each block out of alignments by utterance.

    Parameters
    ----------
    find : function utterance -> int32 (num_frames,) or None
        None, or one of another length, leaves the utterance out (zeros).
    """
    result = []
    for ref in refs:
        block = read_block(ref)
        # Transition-ids start from 1: 0 marks frames of utterances without alignment.
        whole = np.zeros(int(block.frame_offsets[-1]), np.int32)
        for number, utterance in enumerate(block.utterances):
            rows, part = block.rows(number), find(utterance)
            if part is not None and len(part) == rows.stop - rows.start:
                whole[rows] = part
        result.append(whole)
    return result


def by_utterance(refs: list[BlockRef], alignments: Iterable[np.ndarray]
                 ) -> Iterable[tuple[str, np.ndarray]]:
    """Yield (utterance, alignment) of every utterance that has one."""
    for ref, alignment in zip(refs, alignments, strict=True):
        block = read_block(ref)
        for number, utterance in enumerate(block.utterances):
            part = alignment[block.rows(number)]
            if len(part) and part[0] > 0:
                yield utterance, part


def _view_file(ref: BlockRef) -> Path:
    return ref.directory / f"view{ref.view}.{ref.number}"


def _save(path: Path, array: np.ndarray) -> None:
    with atomic_write(path, "wb") as file:
        np.save(file, np.ascontiguousarray(array))
