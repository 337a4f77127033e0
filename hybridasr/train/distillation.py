"""Owns learning from a teacher: a small network fits a large one's posteriors.

Hinton, Vinyals and Dean 2015, Distilling the knowledge in a neural network. Which classes a good
network takes for likely beside the right one says more of a frame than the class alone.
"""

from dataclasses import dataclass

import numpy as np

from hybridasr.errors import UserError
from hybridasr.model.acoustic import AcousticModel
from hybridasr.nnet.acoustics import NnetAcoustics
from hybridasr.nnet.loss import cross_entropy, log_softmax
from hybridasr.options import to_dict
from hybridasr.storage import PathLike, digest
from hybridasr.train.minibatch import FrameSet
from hybridasr.train.objective import Counts


@dataclass(frozen=True)
class Distillation:
    """The cross-entropy with the classes and how far softened posteriors are from a teacher's.

    Of a frame (1 - w) CE(class, q) + w T^2 KL(softmax(v / T), softmax(z / T)), z and v the logits
    of network and teacher. T^2 keeps the gradient's size as T grows. The teacher hears the frames
    of the batch as they are, without masks, so that nothing is stored.

    Attributes
    ----------
    teacher : NnetAcoustics
    weight, temperature : float
        The w and T.
    shift : float32 (num_pdfs,)
        Added to the teacher's logits: log shares of the classes in what is drawn, less those in all
        frames, which the teacher's posteriors are of.
    """

    frames: FrameSet
    teacher: NnetAcoustics
    weight: float
    temperature: float
    shift: np.ndarray

    def loss(self, logits: np.ndarray, chunks: np.ndarray) -> tuple[Counts, np.ndarray]:
        """See `Objective.loss`; `Counts.correct` are frames whose likeliest class is their own."""
        targets = self.frames.targets(chunks, logits.shape[1],
                                      self.teacher.subsampling).reshape(-1)
        logits, shape = logits.reshape(len(targets), -1), logits.shape
        kept = targets >= 0
        mean = 1.0 / max(int(kept.sum()), 1)
        hard, dlogits, correct = cross_entropy(logits, targets, (1 - self.weight) * mean)
        soft, slopes = softened_divergence(logits[kept], self._teacher_logits(chunks)[kept],
                                              self.temperature)
        dlogits[kept] += slopes * slopes.dtype.type(self.weight * mean)
        loss = (1 - self.weight) * hard + self.weight * soft
        return Counts(loss, int(kept.sum()), correct), dlogits.reshape(shape)

    def _teacher_logits(self, chunks: np.ndarray) -> np.ndarray:
        """Return the teacher's logits of all frames in a row, (batch * longest, num_pdfs)."""
        network = self.teacher.network
        feats = self.frames.batch(chunks, network.left_context, network.right_context)
        logits = network.forward(self.teacher.scaled(feats))[0]
        return logits.reshape(-1, logits.shape[2]) + self.shift


def softened_divergence(logits: np.ndarray, teacher: np.ndarray, temperature: float
                           ) -> tuple[float, np.ndarray]:
    """Sum T^2 times the divergence (Kullback-Leibler) of softmax(logits / T) from the teacher's.

    Parameters
    ----------
    logits, teacher : float32 (num_frames, num_classes)
    temperature : float
        The T.

    Returns
    -------
    (sum in natural logs, its gradient by the logits)

    Examples
    --------
    >>> even, sure = np.array([[0.0, 0.0]]), np.array([[0.0, np.log(3)]])
    >>> loss, slopes = softened_divergence(even, sure, 1.0)
    >>> round(loss, 4), slopes.round(4).tolist()
    (0.1308, [[0.25, -0.25]])
    """
    factor = logits.dtype.type(1.0 / temperature)
    ours = log_softmax(logits * factor)
    logs = log_softmax(teacher.astype(logits.dtype) * factor)
    theirs = np.exp(logs)
    logs -= ours
    loss = float(np.einsum("ij,ij->", theirs, logs, dtype=np.float64)) * temperature**2
    slopes = np.exp(ours)
    slopes -= theirs
    slopes *= logits.dtype.type(temperature)
    return loss, slopes


def check_teacher(teacher: AcousticModel, path: PathLike, model: AcousticModel,
                  subsampling: int) -> NnetAcoustics:
    """Return a teacher's network, if one of `model` can learn from it.

    Parameters
    ----------
    path : path
        Of the teacher, for messages.
    subsampling : int
        Of the network that shall learn: the frames that it scores.

    Raises
    ------
    UserError
        if it is no network, scores other frames, or has other pdfs or features.
    """
    if teacher.nnet is None:
        raise UserError("a teacher is a network, this is a system of Gaussians; give one of "
                        "train-dnn", path)
    if teacher.nnet.subsampling != subsampling:
        raise UserError(f"the teacher scores one of {teacher.nnet.subsampling} frames, the new "
                        f"network one of {subsampling}; give networks of the same stride", path)
    ours, theirs = model.transitions.tuples, teacher.transitions.tuples
    if ours.shape != theirs.shape or not np.array_equal(ours, theirs):
        raise UserError(f"the teacher's {teacher.tree.num_pdfs} pdfs are of another tree than the "
                        "alignments'; give alignments of the system that it was trained on", path)
    for own, others in ((model.features, teacher.features), (model.pipeline, teacher.pipeline)):
        mine = to_dict(own)
        for name, value in to_dict(others).items():
            if mine[name] != value:
                raise UserError(f"the teacher hears other features: {name} {value}, here "
                                f"{mine[name]}; give the features and options that it was trained "
                                "with", path)
    return teacher.nnet


def teacher_key(teacher: NnetAcoustics) -> str:
    """Return a digest of all that a teacher is."""
    arrays = teacher.to_arrays()
    return digest(teacher.network.text, *(arrays[name].tobytes() for name in sorted(arrays)))
