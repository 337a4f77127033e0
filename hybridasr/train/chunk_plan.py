"""Owns the plan of a training of a network: which chunks of frames are drawn, when and by whom.

Chunks of silence alone are many and say little: an epoch draws a share of them only. What the plan
gives hangs on data, options and seed, not on the jobs that run at the same time.
"""

import functools
import logging
from dataclasses import dataclass

import numpy as np

from hybridasr.errors import NotEnoughData
from hybridasr.nnet.network import Network
from hybridasr.train.minibatch import FrameSet
from hybridasr.train.nnet_options import ROUND_FRAMES, FitOptions

logger = logging.getLogger("hybridasr")
FEW_FRAMES = 0.1  # frames a parameter below which the user is warned
SILENCE_PRIOR = 0.25  # most of the frames that silence is reckoned to be
SCALING_FRAMES = 1 << 16  # read at a time


@dataclass(frozen=True)
class ChunkPlan:
    """Which chunks are drawn in which epoch, round and job.

    Attributes
    ----------
    chunks : int64 (num_chunks, 3)
        As from `FrameSet.chunks`, of the utterances that are trained on.
    silent : bool (num_chunks,)
        Whether a chunk holds silence alone.
    """

    chunks: np.ndarray
    silent: np.ndarray
    options: FitOptions

    @classmethod
    def of(cls, frames: FrameSet, trained: np.ndarray, silence: np.ndarray,
           options: FitOptions) -> "ChunkPlan":
        """Plan the chunks of the utterances `trained`, where the classes `silence` are silence."""
        chunks = frames.chunks(options.chunk_width, trained)
        return cls(chunks, frames.chunks_within(chunks, silence), options)

    @functools.cached_property
    def num_drawn(self) -> int:
        """Frames that an epoch draws, about."""
        lengths = self.chunks[:, 2]
        return int(lengths[~self.silent].sum()
                   + self.options.silence_share * lengths[self.silent].sum())

    @functools.cached_property
    def rounds(self) -> int:
        """Rounds of an epoch."""
        # Small sets: no round without a mini-batch for each job.
        batches = self.num_drawn // (self.options.num_jobs * self.options.minibatch_size)
        wanted = max(1, round(self.num_drawn / ROUND_FRAMES))
        return min(wanted, max(1, batches))

    @functools.cached_property
    def steps(self) -> int:
        """Mini-batches of one job in an epoch, about: those of the first."""
        return sum(max(len(mini_batches(part, self.options)) for part in parts)
                   for parts in self.parts(0))

    def parts(self, epoch: int) -> list[list[np.ndarray]]:
        """Return the chunks of each job of each round."""
        # By the epoch, so that a training that goes on draws what it would have drawn.
        rng = np.random.default_rng([self.options.seed, epoch])
        drawn = ~self.silent | (rng.random(len(self.silent)) < self.options.silence_share)
        order = rng.permutation(np.flatnonzero(drawn))
        return [[self.chunks[part] for part in np.array_split(piece, self.options.num_jobs)]
                for piece in np.array_split(order, self.rounds)]

    def log_priors(self, frames: FrameSet, num_pdfs: int) -> tuple[np.ndarray, np.ndarray]:
        """Return logs of the shares of the classes, and of those that were drawn (num_pdfs,)."""
        # One more of each class: the logarithm of a class without frames is not finite.
        speech = frames.class_counts(self.chunks[~self.silent], num_pdfs) + 1.0
        silence = frames.class_counts(self.chunks[self.silent], num_pdfs)
        priors, drawn = (np.log(counts / counts.sum()) for counts in (
            speech + silence, speech + self.options.silence_share * silence))
        return priors, drawn

    def check_size(self, frames: FrameSet, network: Network, source: str) -> None:
        """Refuse a corpus without one mini-batch; warn if the network will learn it by heart."""
        options, num_frames = self.options, int(self.chunks[:, 2].sum())
        if num_frames < options.minibatch_size:
            raise NotEnoughData(
                f"{num_frames} frames to train on, fewer than one mini-batch; give more "
                "recordings, or a smaller --held-out or --minibatch-size than "
                f"{options.held_out:g} and {options.minibatch_size}")
        if frames.num_frames < FEW_FRAMES * network.num_parameters:
            logger.warning("%d frames are few for a network of %d parameters (%s): it may learn "
                           "the recordings by heart; give a smaller --network, or more speech "
                           "(see 'hybridasr augment-data')", frames.num_frames,
                           network.num_parameters, source)


def mini_batches(chunks: np.ndarray, options: FitOptions, rng: np.random.Generator | None = None
                 ) -> list[np.ndarray]:
    """Split chunks (num_chunks, 3) into mini-batches of about `minibatch_size` frames.

    Chunks of one width stay in their order. Whole utterances are put together with others of about
    their length, so that little is padded, and the batches are then drawn in any order with `rng`.

    >>> chunks = np.array([[0, 0, 5], [1, 5, 40], [2, 45, 7], [3, 52, 100]])
    >>> whole = FitOptions(chunk_width=0, minibatch_size=20)
    >>> [batch[:, 0].tolist() for batch in mini_batches(chunks, whole)]
    [[0, 2], [1], [3]]
    """
    if options.chunk_width:
        size = max(1, options.minibatch_size // options.chunk_width)
        return [chunks[start:start + size] for start in range(0, len(chunks), size)]
    chunks = chunks[np.argsort(chunks[:, 2], kind="stable")]
    batches, first = [], 0
    for last in range(1, len(chunks) + 1):
        # The longest comes last: with the next one all would be padded to its length.
        if last == len(chunks) or (last + 1 - first) * chunks[last, 2] > options.minibatch_size:
            batches.append(chunks[first:last])
            first = last
    if rng is None:
        return batches
    return [batches[place] for place in rng.permutation(len(batches))]


def limit_silence(log_priors: np.ndarray, silence: np.ndarray) -> np.ndarray:
    """Return priors (num_pdfs,) in which silence has a share of `SILENCE_PRIOR` at most.

    How much silence stands around the words of a training set says nothing of its use. Where it
    is most of the frames, its prior would make it so improbable that the end of a word, such as a
    stop that is never released, takes the silence after it.

    >>> np.exp(limit_silence(np.log([0.8, 0.15, 0.05]), np.array([0]))).round(4).tolist()
    [0.25, 0.5625, 0.1875]
    """
    shares = np.exp(log_priors.astype(np.float64))
    silent = np.isin(np.arange(len(shares)), silence)
    share = shares[silent].sum() / shares.sum()
    if not silent.any() or silent.all() or share <= SILENCE_PRIOR:
        return log_priors
    factors = np.where(silent, SILENCE_PRIOR / share, (1 - SILENCE_PRIOR) / (1 - share))
    return log_priors + np.log(factors)


def input_scaling(feats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the inverse deviation of every column, float32 (dim,).

    >>> shift, scale = input_scaling(np.array([[1.0, 0.0], [3.0, 4.0]], np.float32))
    >>> shift.tolist(), scale.tolist()
    ([2.0, 2.0], [1.0, 0.5])
    """
    mean, square, count = 0.0, 0.0, 0
    for start in range(0, len(feats), SCALING_FRAMES):
        part = feats[start:start + SCALING_FRAMES].astype(np.float64)
        mean, square, count = mean + part.sum(0), square + (part**2).sum(0), count + len(part)
    mean = mean / count
    # A column that never changes must not divide by 0.
    deviation = np.sqrt(np.maximum(square / count - mean**2, 1e-10))
    return mean.astype(np.float32), (1.0 / deviation).astype(np.float32)
