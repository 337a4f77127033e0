"""Owns CTC as what a network is fitted to: the labels of whole utterances."""

from dataclasses import dataclass

import numpy as np

from hybridasr.ctc.ctc_loss import ctc_loss, padded_labels
from hybridasr.ctc.label_errors import label_errors
from hybridasr.ctc.label_search import greedy_path
from hybridasr.train.objective import Counts


@dataclass(frozen=True)
class LabelObjective:
    """-log P(labels) of each utterance.

    Attributes
    ----------
    labels : int32 (num_labels,)
        Of all utterances in a row.
    starts : int64 (num_utterances + 1,)
        First label of each utterance of the `FrameSet`.
    subsampling : int
        Of the network: frames from one output to the next.
    """

    labels: np.ndarray
    starts: np.ndarray
    subsampling: int = 1

    @classmethod
    def of(cls, sequences: list[np.ndarray], subsampling: int = 1) -> "LabelObjective":
        """Return the objective of sequences of labels, one an utterance."""
        return cls(np.concatenate([*sequences, np.zeros(0)]).astype(np.int32),
                   np.concatenate([[0], np.cumsum([len(one) for one in sequences])]), subsampling)

    def num_outputs(self, chunks: np.ndarray) -> np.ndarray:
        """Return how many outputs each chunk (num_chunks, 3) has, int64 (num_chunks,)."""
        return -(-chunks[:, 2] // self.subsampling)

    def of_utterance(self, number: int) -> np.ndarray:
        """Return the labels of the utterance with this number."""
        return self.labels[self.starts[number]:self.starts[number + 1]]

    def loss(self, logits: np.ndarray, chunks: np.ndarray) -> tuple[Counts, np.ndarray]:
        """See `train.objective.Objective.loss`.

        `Counts.correct` is the share of labels that the best path has right, in frames: so its
        accuracy is a hundred less the label error rate.
        """
        frames = self.num_outputs(chunks)
        sequences = [self.of_utterance(one) for one in chunks[:, 0]]
        losses, dlogits = ctc_loss(logits, frames, *padded_labels(sequences),
                                   scale=1.0 / frames.sum())
        errors = sum(label_errors(labels, np.array(greedy_path(row[:length]), np.int64))
                     for labels, row, length in zip(sequences, logits, frames, strict=True))
        share = max(0.0, 1.0 - errors / max(1, sum(map(len, sequences))))
        return Counts(float(losses.sum()), int(frames.sum()), float(share * frames.sum())), dlogits
