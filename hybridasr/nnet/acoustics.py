"""Owns a network as an acoustic model: posteriors over priors in place of likelihoods.

log p(x | s) = log p(s | x) - log p(s) + a term that is the same for all s (Bourlard & Morgan 1994).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from hybridasr.errors import UserError
from hybridasr.nnet.loss import log_softmax
from hybridasr.nnet.network import Network
from hybridasr.nnet.quantize import network_from_arrays, quantize

OWN_ARRAYS = ("log_priors", "shift", "scale")


@dataclass(frozen=True)
class NnetAcoustics:
    """A network, the priors of its classes and the scaling of its input.

    Attributes
    ----------
    network : Network
    log_priors : float32 (num_pdfs,)
        Natural logs of the shares of the pdfs in the training alignment.
    shift, scale : float32 (dim,)
        The network sees ``(features - shift) * scale``.
    """

    network: Network
    log_priors: np.ndarray
    shift: np.ndarray
    scale: np.ndarray

    @property
    def dim(self) -> int:
        """Columns of the features."""
        return self.network.input_dim

    @property
    def num_pdfs(self) -> int:
        """Classes of the network."""
        return self.network.output_dim

    @property
    def subsampling(self) -> int:
        """Frames from one score to the next; score t is of frame t * subsampling."""
        return self.network.subsampling

    def log_posteriors(self, feats: np.ndarray) -> np.ndarray:
        """Return log p(pdf | frame), float32 (num_scores, num_pdfs)."""
        return self.network.log_posteriors(self.scaled(feats))

    def scaled(self, feats: np.ndarray) -> np.ndarray:
        """Return what the network sees, float32 (num_frames, dim)."""
        return np.ascontiguousarray((feats - self.shift) * self.scale, np.float32)

    def loglikes(self, feats: np.ndarray, pdfs: np.ndarray | None = None) -> np.ndarray:
        """Score an utterance under every pdf, or the chosen ones, every subsampling-th frame.

        Parameters
        ----------
        feats : float32 (num_frames, dim)
            Of a whole utterance: the network looks beyond a frame.
        pdfs : int array, optional

        Returns
        -------
        float32 (num_scores, num_pdfs or len(pdfs)), log likelihoods up to a term of the frame
        """
        if feats.ndim != 2 or feats.shape[1] != self.dim:
            raise ValueError(f"features {feats.shape}, the network has {self.dim} columns")
        scores = self.log_posteriors(feats)
        scores -= self.log_priors
        return scores if pdfs is None else np.ascontiguousarray(scores[:, pdfs])

    def stream(self) -> "NetworkScores":
        """Begin an utterance whose features come in pieces."""
        return NetworkScores(self)

    def quantized(self) -> "NnetAcoustics":
        """Return the same with int8 weights."""
        return replace(self, network=quantize(self.network))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything but the network's text."""
        return {**{name: getattr(self, name) for name in OWN_ARRAYS},
                **{f"nnet.{name}": array for name, array in self.network.to_arrays().items()}}


class NetworkScores:
    """What `NnetAcoustics.loglikes` gives, to rounding, of features that come in pieces.

    The network keeps its state and waits for its right context.
    """

    def __init__(self, acoustics: NnetAcoustics):
        self._acoustics, self._stream = acoustics, acoustics.network.stream()

    def accept(self, feats: np.ndarray) -> np.ndarray:
        """Take the next frames (num_frames, dim); return the scores that are ready."""
        if feats.ndim != 2 or feats.shape[1] != self._acoustics.dim:
            raise ValueError(f"features {feats.shape}, the network has {self._acoustics.dim} "
                             "columns")
        return self._scores(self._stream.push(self._acoustics.scaled(feats)))

    def finish(self) -> np.ndarray:
        """End the utterance: return the scores that waited, float32 (num_scores, num_pdfs)."""
        return self._scores(self._stream.finish())

    def _scores(self, logits: np.ndarray) -> np.ndarray:
        return log_softmax(logits) - self._acoustics.log_priors


def acoustics_from_arrays(text: str, arrays: Mapping[str, np.ndarray],
                          source: str = "nnet.npz") -> NnetAcoustics:
    """Rebuild acoustics from the network's text and `NnetAcoustics.to_arrays`."""
    own = {name.removeprefix("nnet."): array for name, array in arrays.items()
           if name.startswith("nnet.")}
    network = network_from_arrays(text, own, source).for_inference()
    parts = [arrays[name] for name in OWN_ARRAYS]
    shapes = [(network.output_dim,), (network.input_dim,), (network.input_dim,)]
    if [part.shape for part in parts] != shapes:
        raise UserError("priors or scaling do not fit the network; train the model again", source)
    return NnetAcoustics(network, *parts)
