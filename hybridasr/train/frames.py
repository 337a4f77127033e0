"""Owns mini-batches: chunks of frames of many utterances, shuffled, with their pdfs.

Takes blocks with a view of the features and alignments; keeps all frames in one array on disk,
mapped into memory, so that a corpus is read once whatever the number of epochs. A chunk is
`width` frames to classify with the context to both sides that the network sees; beyond the ends
of an utterance its first and last frame are repeated.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybridasr.errors import UserError
from hybridasr.train.blocks import BlockRef, read_block, read_view


@dataclass(frozen=True)
class FrameSet:
    """Frames of whole utterances, one after the other.

    Attributes
    ----------
    path : Path
        Of the features, float32 (num_frames, dim), in numpy's file form.
    pdfs : int32 (num_frames,)
        The class of each frame.
    starts : int64 (num_utterances + 1,)
        First frame of each utterance; the last entry is the number of frames.
    utterances, speakers : list of str
    """

    path: Path
    pdfs: np.ndarray
    starts: np.ndarray
    utterances: list[str]
    speakers: list[str]

    @property
    def feats(self) -> np.ndarray:
        """The features, mapped into memory: they do not travel when the set goes to a worker."""
        return _mapped(self.path)

    @property
    def num_frames(self) -> int:
        """Number of frames of all utterances."""
        return int(self.starts[-1])

    def chunks(self, width: int, chosen: np.ndarray) -> np.ndarray:
        """Return the chunks of the chosen utterances: int64 (num_chunks, 2).

        Each row is an utterance and the chunk's first frame. The last chunk of an utterance is
        moved back to end with it; an utterance shorter than a chunk gives one, the frames beyond
        its end being left out.
        """
        rows = []
        for utterance in chosen.tolist():
            begin, end = self.starts[utterance:utterance + 2]
            firsts = np.arange(begin, end, width)
            firsts[-1] = max(begin, end - width)
            rows.append(np.column_stack([np.full(len(firsts), utterance), firsts]))
        return np.concatenate(rows) if rows else np.zeros((0, 2), np.int64)

    def batch(self, chunks: np.ndarray, width: int, left: int, right: int
              ) -> tuple[np.ndarray, np.ndarray]:
        """Return the frames and classes of some chunks.

        Parameters
        ----------
        chunks : int64 (batch, 2)
        left, right : int
            Frames of context to each side of a chunk.

        Returns
        -------
        (float32 (batch, left + width + right, dim), int32 (batch, width), -1 = left out)
        """
        begins, ends = self.starts[chunks[:, 0]][:, None], self.starts[chunks[:, 0] + 1][:, None]
        frames = chunks[:, 1][:, None] + np.arange(-left, width + right)
        inside = frames[:, left:left + width] < ends
        frames = np.clip(frames, begins, ends - 1)
        pdfs = np.where(inside, self.pdfs[frames[:, left:left + width]], -1)
        return self.feats[frames], pdfs.astype(np.int32)

    def batches(self, chunks: np.ndarray, width: int, left: int, right: int, size: int,
                rng: np.random.Generator | None = None
                ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield all chunks in batches of at most `size`, shuffled if `rng` is given."""
        order = np.arange(len(chunks)) if rng is None else rng.permutation(len(chunks))
        for start in range(0, len(order), size):
            yield self.batch(chunks[order[start:start + size]], width, left, right)


def gather_frames(refs: Sequence[BlockRef], alignments: Sequence[np.ndarray],
                  tid_pdf: np.ndarray, path: Path) -> FrameSet:
    """Put the aligned utterances of all blocks into one set, whose features lie in `path`.

    Parameters
    ----------
    alignments : sequence of int32 (num_frames,)
        Transition-ids of each block; an utterance that begins with 0 has none and is left out.
    tid_pdf : int32 (num_tids + 1,)

    Raises
    ------
    UserError
        if no utterance is aligned, or features are not finite.
    """
    parts, names, speakers, lengths = [], [], [], []
    for ref, alignment in zip(refs, alignments, strict=True):
        block = read_block(ref)
        for number, name in enumerate(block.utterances):
            rows = block.rows(number)
            if rows.stop > rows.start and alignment[rows.start] > 0:
                parts.append((ref, rows, tid_pdf[alignment[rows]]))
                names.append(name)
                speakers.append(block.speakers[number])
                lengths.append(rows.stop - rows.start)
    if not parts:
        raise UserError("none of the utterances has an alignment; align this set first")
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    dim = read_view(refs[0]).shape[1]
    feats = np.lib.format.open_memmap(path, "w+", np.float32, (int(starts[-1]), dim))
    views = {ref: read_view(ref) for ref in refs}
    for place, (ref, rows, _) in enumerate(parts):
        part = views[ref][rows]
        if not np.isfinite(part).all():
            raise UserError(f"utterance '{names[place]}' has features that are not numbers; run "
                            "make-feats again, or leave it out")
        feats[starts[place]:starts[place + 1]] = part
    feats.flush()
    pdfs = np.concatenate([found for _, _, found in parts])
    return FrameSet(path, pdfs.astype(np.int32), starts, names, speakers)


@functools.lru_cache(maxsize=2)
def _mapped(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r")
