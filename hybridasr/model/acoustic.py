"""Owns the acoustic model in memory: immutable, with everything that it was trained with.

Its directory is `hybridasr.model.directory`, its adaptation to a speaker `model.adaptation`.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from hybridasr.corpus.datadir import DataDir
from hybridasr.features.front_end import FrontEnd
from hybridasr.features.mfcc import FeatureOptions
from hybridasr.features.normalization import Normalization, set_normalization
from hybridasr.features.pipeline import PipelineOptions
from hybridasr.features.transforms import apply_transform
from hybridasr.gmm.diag import DiagGmm, GmmScorer
from hybridasr.gmm.fmllr import FmllrStats
from hybridasr.graph.self_loops import GraphOptions
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import Lang
from hybridasr.nnet.acoustics import NnetAcoustics
from hybridasr.tree.tree import DecisionTree

DEFAULT_SCALE = 1 / 12  # on acoustic log likelihoods, for a model without its own


@dataclass(frozen=True)
class Adaptation:
    """What a speaker-adaptive system needs to adapt to a new speaker.

    Attributes
    ----------
    gmm : DiagGmm
        For features that are not adapted yet (Kaldi's final.alimdl), Gaussian by Gaussian that
        of the adapted model.
    prior : FmllrStats
        Average statistics of a frame of the adapted training set, whose best transform is the
        identity.
    """

    gmm: DiagGmm
    prior: FmllrStats

    @cached_property
    def scorer(self) -> GmmScorer:
        """What scores features that are not adapted yet."""
        return self.gmm.scorer()


class ScoreStream(Protocol):
    """Scores the frames of an utterance as they come; together as `Scorer.loglikes`."""

    def accept(self, feats: np.ndarray) -> np.ndarray:
        """Take the next frames; return the scores that are ready, float32 (scores, num_pdfs)."""
        ...

    def finish(self) -> np.ndarray:
        """End the utterance: return the scores that waited for later frames."""
        ...


class Scorer(Protocol):
    """What the search and the aligner need of an acoustic model."""

    dim: int

    def loglikes(self, feats: np.ndarray, pdfs: np.ndarray | None = None) -> np.ndarray:
        """Score an utterance, float32 (num_scores, num_pdfs or len(pdfs)).

        A score for each frame, or for every `AcousticModel.subsampling`-th.
        """
        ...

    def stream(self) -> ScoreStream:
        """Begin an utterance whose frames come in pieces."""
        ...


@dataclass(frozen=True)
class AcousticModel:
    """An acoustic model, GMM or network, with everything that it was trained with.

    Attributes
    ----------
    gmm : DiagGmm, or None of a network
    nnet : NnetAcoustics, optional
    transform : float64 (dim, expanded dim), optional
        LDA and MLLT, applied to what `features.pipeline.expand` gives.
    adaptation : Adaptation, optional
        Of a system that was trained speaker-adaptively.
    """

    gmm: DiagGmm | None
    transitions: TransitionModel
    tree: DecisionTree
    lang: Lang
    features: FeatureOptions
    pipeline: PipelineOptions
    info: dict[str, Any] = field(default_factory=dict)
    cmvn: np.ndarray | None = None  # of the training set, (2, dim + 1)
    transform: np.ndarray | None = None
    adaptation: Adaptation | None = None
    nnet: NnetAcoustics | None = None
    acoustic_scale: float = DEFAULT_SCALE  # for the search, where it is not given
    durations: np.ndarray | None = None  # of phones, as from `hmm.durations`
    graph_options: GraphOptions = GraphOptions()  # of its graph; those of command lists too
    word_ins_penalty: float = 0.0  # for the search of a graph, where it is not given

    def scorer(self) -> Scorer:
        """Return what scores `final_features`."""
        if self.nnet is not None:
            return self.nnet
        return self.gmm_scorer

    @property
    def subsampling(self) -> int:
        """Frames of the features from one score to the next: T frames have ceil(T / it) scores.

        Paths, alignments and the phones' durations count scores, not frames.
        """
        return 1 if self.nnet is None else self.nnet.subsampling

    @property
    def frame_shift(self) -> float:
        """Seconds from one score to the next; those of the features are `features.frame_shift_ms`.

        Whatever turns a place in a path into a time multiplies with this.
        """
        return self.subsampling * self.features.frame_shift_ms / 1000

    def score_levels(self, levels: np.ndarray) -> np.ndarray:
        """Return those of the levels of all frames that belong to scores, float64 (num_scores,)."""
        return levels[::self.subsampling]

    @cached_property
    def front_end(self) -> FrontEnd:
        """What computes the features of recordings."""
        return FrontEnd.of(self.features, self.pipeline, self.cmvn)

    @property
    def streams(self) -> bool:
        """Whether frames can be scored before the utterance has ended."""
        return self.nnet is None or self.nnet.network.streams

    def normalization(self, data: DataDir, known: str = "all") -> Normalization:
        """Return how the utterances of a set are normalised; see `set_normalization`."""
        return set_normalization(data, self.features, self.pipeline, self.cmvn, known)

    @cached_property
    def gmm_scorer(self) -> GmmScorer:
        """What scores the features of a GMM system; of a speaker-adaptive one, adapted ones."""
        assert self.gmm is not None
        return self.gmm.scorer()

    @cached_property
    def silence_pdfs(self) -> list[int]:
        """The pdfs of silence phones that no other phone has; other speech is no silence."""
        silent, spoken = set(), set()
        for phone, _, pdf in self.transitions.tuples.tolist():
            (silent if phone in self.lang.silence_phones else spoken).add(pdf)
        # A pdf that speech shares with silence (by the tree) must not be weighed as silence.
        return sorted(silent - spoken - {self.noise_pdf})

    @property
    def noise_pdf(self) -> int | None:
        """The pdf of speech that is none of the words; None if the network heard none of it."""
        return self.info.get("noise_pdf")

    def final_features(self, expanded: np.ndarray) -> np.ndarray:
        """Apply the transform to spliced frames or frames with deltas, float32 (frames, dim)."""
        return expanded if self.transform is None else apply_transform(expanded, self.transform)
