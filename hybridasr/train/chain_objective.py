"""Owns lattice-free MMI as an objective of networks, with what keeps it from overfitting.

The network has two outputs for each pdf. The first half are pseudo log likelihoods: the log
probability of the reference's paths is to be high among that of all paths. The second half is a
cross-entropy head on the occupations of the reference, which only guides the layers below and is
dropped when the training ends (Povey et al. 2016, section 2.7).
"""

from dataclasses import dataclass

import numpy as np

from hybridasr.chain.den_loss import den_loss
from hybridasr.chain.denominator import DenominatorGraph
from hybridasr.chain.num_loss import num_loss
from hybridasr.chain.numerator import Numerators
from hybridasr.nnet.loss import log_softmax
from hybridasr.train.objective import Counts


@dataclass(frozen=True)
class LatticeFreeMmi:
    """The log probability of the references' paths among all paths.

    Attributes
    ----------
    starts : int64 (num_utts + 1,)
        First frame of each utterance of the `FrameSet`.
    graph : DenominatorGraph
    numerators : Numerators
        Of the same utterances; chunks of those that are not usable are left out.
    leaky : float
        Probability of leaving a state of the denominator for any other.
    xent : float
        Weight of the cross-entropy of the second half of the outputs.
    l2 : float
        Weight of half the squared outputs of the first half.
    """

    starts: np.ndarray
    graph: DenominatorGraph
    numerators: Numerators
    leaky: float
    xent: float
    l2: float

    def loss(self, logits: np.ndarray, chunks: np.ndarray) -> tuple[Counts, np.ndarray]:
        """See `Objective.loss`.

        The loss is log P(all paths) - log P(reference), never negative; the gradient is that of
        the loss with both regularisers. `Counts.frames` are outputs, and those are right whose
        likeliest pdf by the cross-entropy head is the reference's likeliest one.
        """
        usable = self.numerators.usable[chunks[:, 0]]
        gradient = np.zeros_like(logits)
        if not usable.any():
            return Counts(), gradient
        if not usable.all():
            counts, gradient[usable] = self._usable_loss(logits[usable], chunks[usable])
            return counts, gradient
        return self._usable_loss(logits, chunks)

    def _usable_loss(self, logits: np.ndarray, chunks: np.ndarray) -> tuple[Counts, np.ndarray]:
        num_pdfs = self.graph.num_pdfs
        utterance, first, frames = chunks.T
        sizes = -(-frames // self.numerators.shifts)
        outputs = np.ascontiguousarray(logits[..., :num_pdfs])
        wanted, reference = num_loss(
            outputs, np.column_stack([utterance, first - self.starts[utterance], sizes]),
            self.numerators)
        whole, occupation = den_loss(outputs, sizes, self.graph, self.leaky)
        inside = (np.arange(logits.shape[1]) < sizes[:, None])[..., None]
        count = int(sizes.sum())
        gradient = np.empty_like(logits)
        gradient[..., :num_pdfs] = (occupation - reference + self.l2 * inside * outputs) / count
        head = log_softmax(np.ascontiguousarray(logits[..., num_pdfs:]).reshape(-1, num_pdfs)
                           ).reshape(reference.shape)
        right = int((inside[..., 0] & (head.argmax(2) == reference.argmax(2))).sum())
        np.exp(head, out=head)
        head *= inside
        head -= reference
        head *= self.xent / count
        gradient[..., num_pdfs:] = head
        return Counts(float((whole - wanted).sum()), count, right), gradient
