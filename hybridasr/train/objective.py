"""Owns what a network is fitted to: a loss of its outputs, with the gradient, and what was seen.

The trainer (`hybridasr.train.nnet_trainer`) knows nothing of the loss. It draws chunks of frames,
or whole utterances, computes the network's outputs, asks the objective, and takes the step.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hybridasr.nnet.loss import cross_entropy
from hybridasr.train.minibatch import FrameSet


@dataclass(frozen=True)
class Counts:
    """What was seen: loss in natural logs, frames, and those that are right.

    `norm` is the sum of the gradients' norms before clipping, `steps` how many there were.
    """

    loss: float = 0.0
    frames: int = 0
    correct: float = 0
    norm: float = 0.0
    steps: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.loss + other.loss, self.frames + other.frames,
                      self.correct + other.correct, self.norm + other.norm,
                      self.steps + other.steps)

    @property
    def mean_norm(self) -> float | None:
        """Mean norm of the gradients; None if it was not computed."""
        return self.norm / self.steps if self.norm else None

    @property
    def mean_loss(self) -> float:
        """Loss a frame; not a number without frames."""
        return self.loss / self.frames if self.frames else float("nan")

    @property
    def accuracy(self) -> float | None:
        """Per cent of the frames that are right."""
        return round(100 * self.correct / self.frames, 2) if self.frames else None


class Objective(Protocol):
    """What a network is fitted to.

    It keeps what it must know of each utterance by the utterance's number in the `FrameSet`, as
    arrays or as files that are mapped: it travels to other processes.
    """

    def loss(self, logits: np.ndarray, chunks: np.ndarray) -> tuple[Counts, np.ndarray]:
        """Return what was seen, and the gradient of the loss's mean over the frames.

        Parameters
        ----------
        logits : float32 (batch, time, num_outputs)
            What the network gives; chunks that are shorter than `time` are padded at the end.
        chunks : int64 (batch, 3)
            As from `FrameSet.chunks`: utterance, first frame, number of frames.

        Returns
        -------
        (Counts, float32 (batch, time, num_outputs))
            Outputs beyond a chunk's end have no gradient. The gradient may overwrite `logits`.
        """


@dataclass(frozen=True)
class CrossEntropy:
    """The cross-entropy of each frame's posteriors and its class in the alignment."""

    frames: FrameSet

    def loss(self, logits: np.ndarray, chunks: np.ndarray) -> tuple[Counts, np.ndarray]:
        """See `Objective.loss`; `Counts.correct` are frames whose likeliest class is their own."""
        targets = self.frames.targets(chunks, logits.shape[1]).reshape(-1)
        num_frames = int((targets >= 0).sum())
        # The mean over the frames: the step size does not hang on the size of the batch.
        loss, dlogits, correct = cross_entropy(logits.reshape(len(targets), -1), targets,
                                               1.0 / max(num_frames, 1))
        return Counts(loss, num_frames, correct), dlogits.reshape(logits.shape)
