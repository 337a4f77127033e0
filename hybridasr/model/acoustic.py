"""Owns the model directory: all that is needed to score and decode, as plain arrays and JSON.

    model.json          format, kind, features, topology, tree, figures of the training
    gmm.npz             weights, means, variances, offsets, transition log probabilities; CMVN
                        statistics of the training set; the feature transform (LDA, MLLT);
                        how long phones last
    nnet.npz            in its place for a network: its arrays, priors, scaling of the input
    adapt.npz           of a speaker-adaptive system: mixtures for features that are not adapted,
                        the statistics that steady a speaker's transform
    confidence.json     calibration of command lists (`hybridasr.confidence.calibration`)
    confusions.json     which phones it takes for which (`hybridasr.confidence.confusion`)
    lang/               phones.txt words.txt lexicon: a copy of the lang directory
    graph/              graph.npz (search), HCLG.fst (people); written by mkgraph

A format newer than this version knows is refused.
"""

import shutil
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hybridasr.errors import UserError
from hybridasr.features.mfcc import FeatureOptions
from hybridasr.features.pipeline import PipelineOptions, feature_dim
from hybridasr.features.transforms import apply_transform
from hybridasr.gmm.diag import DiagGmm, GmmScorer
from hybridasr.gmm.fmllr import FmllrStats
from hybridasr.graph.self_loops import GraphOptions
from hybridasr.hmm.topology import read_topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import Lang, read_lang
from hybridasr.nnet.acoustics import NnetAcoustics, acoustics_from_arrays
from hybridasr.options import from_dict, to_dict
from hybridasr.storage import (
    PathLike,
    atomic_write,
    read_arrays,
    read_json,
    write_arrays,
    write_json,
)
from hybridasr.tree.tree import DecisionTree, tree_from_dict

FORMAT = 1
DEFAULT_SCALE = 1 / 12  # on acoustic log likelihoods, for a model without its own
ARRAY_FILES = {"gmm": "gmm.npz", "nnet": "nnet.npz"}
OF_THIS_MODEL = ("confidence.json", "confusions.json")
GMM_ARRAYS = ("weights", "means", "variances", "offsets")


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


class Scorer(Protocol):
    """What the search and the aligner need of an acoustic model."""

    dim: int

    def loglikes(self, feats: np.ndarray, pdfs: np.ndarray | None = None) -> np.ndarray:
        """Score the frames of an utterance, float32 (num_frames, num_pdfs or len(pdfs))."""
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
    cmvn: np.ndarray | None = None  # CMVN statistics of the training set, (2, dim + 1)
    transform: np.ndarray | None = None
    adaptation: Adaptation | None = None
    nnet: NnetAcoustics | None = None
    acoustic_scale: float = DEFAULT_SCALE  # for the search, where it is not given
    durations: np.ndarray | None = None  # of phones, as from `hmm.durations`
    graph_options: GraphOptions = GraphOptions()  # of its graph; those of command lists too

    def scorer(self) -> Scorer:
        """Return what scores `final_features`."""
        if self.nnet is not None:
            return self.nnet
        return self.gmm_scorer

    @cached_property
    def gmm_scorer(self) -> GmmScorer:
        """What scores the features of a GMM system; of a speaker-adaptive one, adapted ones."""
        assert self.gmm is not None
        return self.gmm.scorer()

    @cached_property
    def silence_pdfs(self) -> list[int]:
        """The pdfs of silence phones that no other phone has."""
        silent, spoken = set(), set()
        for phone, _, pdf in self.transitions.tuples.tolist():
            (silent if phone in self.lang.silence_phones else spoken).add(pdf)
        return sorted(silent - spoken)

    def final_features(self, expanded: np.ndarray) -> np.ndarray:
        """Apply the transform to spliced frames or frames with deltas, float32 (frames, dim)."""
        return expanded if self.transform is None else apply_transform(expanded, self.transform)

    def save(self, directory: PathLike) -> None:
        """Write the directory; model.json last, so that it marks a complete model."""
        directory = Path(directory)
        # What was calibrated to another model says nothing of this one.
        for name in ("model.json", *OF_THIS_MODEL):
            (directory / name).unlink(missing_ok=True)
        copy_lang(self.lang.path, directory / "lang")
        kind = "gmm" if self.nnet is None else "nnet"
        own = self.nnet.to_arrays() if self.nnet else {
            name: getattr(self.gmm, name) for name in GMM_ARRAYS}
        write_arrays(directory / ARRAY_FILES[kind], **own,
                     transition_log_probs=self.transitions.log_probs,
                     transition_tuples=self.transitions.tuples,
                     **{name: array for name in ("cmvn", "transform", "durations")
                        if (array := getattr(self, name)) is not None})
        if self.adaptation is None:
            (directory / "adapt.npz").unlink(missing_ok=True)
        else:
            prior = self.adaptation.prior
            write_arrays(directory / "adapt.npz", k=prior.k, g=prior.g.astype(np.float32),
                         **{name: getattr(self.adaptation.gmm, name) for name in GMM_ARRAYS})
        write_json(directory / "model.json", {
            "format": FORMAT, "kind": kind,
            "network": self.nnet.network.text if self.nnet else None,
            "features": to_dict(self.features), "pipeline": to_dict(self.pipeline),
            "topology": self.transitions.topology.to_text(), "tree": self.tree.to_dict(),
            "adapted": self.adaptation is not None, "acoustic_scale": self.acoustic_scale,
            "info": self.info})


def load_model(directory: PathLike) -> AcousticModel:
    """Read a model directory.

    Raises
    ------
    UserError
        if it is no model directory, damaged, or of a newer format.
    """
    directory = Path(directory)
    path = directory / "model.json"
    if not path.is_file():
        raise UserError("no model.json there; give a model directory such as exp/mono "
                        "(is its training finished?)", directory)
    values = read_json(path)
    if not isinstance(values, dict) or not isinstance(values.get("format"), int):
        raise UserError("is not the description of a model (no format number); train the model "
                        "again", path)
    if values["format"] > FORMAT:
        raise UserError(f"model format {values['format']}, this version reads up to {FORMAT}; "
                        "upgrade hybridasr", path)
    try:
        features = from_dict(FeatureOptions, values["features"], str(path))
        pipeline = from_dict(PipelineOptions, values["pipeline"], str(path))
        topology = read_topology(values["topology"], str(path))
        tree = tree_from_dict(values["tree"], str(path))
        file = directory / ARRAY_FILES[values["kind"]]
        arrays = read_arrays(file)
        gmm = nnet = adaptation = None
        if values["kind"] == "nnet":
            nnet = acoustics_from_arrays(values["network"], arrays, str(file))
            _check_network(nnet, tree.num_pdfs, feature_dim(features, pipeline), file)
        else:
            _check_arrays(arrays, tree.num_pdfs, file)
            gmm = DiagGmm(*(arrays[name] for name in GMM_ARRAYS))
            if values.get("adapted"):
                adaptation = _load_adaptation(directory / "adapt.npz", gmm)
        transitions = TransitionModel(topology, map(tuple, arrays["transition_tuples"].tolist()),
                                      arrays["transition_log_probs"])
    except KeyError as error:
        raise UserError(f"entry {error} is missing; train the model again", path) from None
    return AcousticModel(gmm, transitions, tree, read_lang(directory / "lang"), features, pipeline,
                         values.get("info", {}), arrays.get("cmvn"), arrays.get("transform"),
                         adaptation, nnet, values.get("acoustic_scale", DEFAULT_SCALE),
                         arrays.get("durations"), _graph_options(directory / "graph"))


def model_figures(model: AcousticModel, directory: PathLike) -> dict[str, Any]:
    """Return what a model costs: bytes on disk, parameters, multiplications a second of audio."""
    directory = Path(directory)
    kind = "gmm" if model.nnet is None else "nnet"
    acoustics = [directory / ARRAY_FILES[kind], directory / "adapt.npz"]
    graph = directory / "graph" / "graph.npz"
    frames = 1000 / model.features.frame_shift_ms
    if model.nnet is not None:
        parameters = sum(array.size for name, array in model.nnet.network.to_arrays().items()
                         if name != "dims")
        multiplications = model.nnet.network.multiplications
    else:
        assert model.gmm is not None
        parameters = model.gmm.weights.size + model.gmm.means.size + model.gmm.variances.size
        multiplications = 2 * model.gmm.means.size
    return {
        "kind": kind, "adapted": model.adaptation is not None, "pdfs": model.tree.num_pdfs,
        "parameters": int(parameters),
        "multiplications_a_second": int(multiplications * frames),
        "acoustic_bytes": sum(path.stat().st_size for path in acoustics if path.is_file()),
        "graph_bytes": graph.stat().st_size if graph.is_file() else None,
        "features": to_dict(model.features), "pipeline": to_dict(model.pipeline),
        "network": model.nnet.network.text.splitlines() if model.nnet else None,
        "training": model.info}


def _graph_options(graph: Path) -> GraphOptions:
    """Return the scales that mkgraph built the model's own graph with."""
    path = graph / "graph.json"
    values = read_json(path) if path.is_file() else {}
    values = values.get("options", {}) if isinstance(values, dict) else None
    if not isinstance(values, dict):
        raise UserError("is not the description of a graph; run 'hybridasr mkgraph' again", path)
    return from_dict(GraphOptions, values, str(path))


def _check_network(nnet: NnetAcoustics, num_pdfs: int, dim: int, path: Path) -> None:
    if (nnet.num_pdfs, nnet.dim) != (num_pdfs, dim):
        raise UserError(f"the network has {nnet.dim} columns and {nnet.num_pdfs} classes, features "
                        f"and tree {dim} and {num_pdfs}; train the model again", path)


def _load_adaptation(path: Path, adapted: DiagGmm) -> Adaptation:
    arrays = read_arrays(path)
    gmm = DiagGmm(*(arrays[name] for name in GMM_ARRAYS))
    if gmm.means.shape != adapted.means.shape or not np.array_equal(gmm.offsets, adapted.offsets):
        raise UserError("does not fit the mixtures of gmm.npz; train the model again", path)
    return Adaptation(gmm, FmllrStats(1.0, arrays["k"], arrays["g"].astype(np.float64)))


def _check_arrays(arrays: dict[str, np.ndarray], num_pdfs: int, path: Path) -> None:
    """Refuse arrays that the search would take for memory that is not theirs."""
    means, offsets = arrays["means"], arrays["offsets"]
    fit = (means.ndim == 2 and means.shape == arrays["variances"].shape
           and arrays["weights"].shape == means.shape[:1] and offsets.shape == (num_pdfs + 1,)
           and offsets[0] == 0 and offsets[-1] == len(means))
    if not fit:
        raise UserError(f"its arrays do not fit each other, or the {num_pdfs} pdfs of the tree; "
                        "train the model again", path)
    odd = [name for name in ("weights", "means", "variances", "transition_log_probs")
           if np.isnan(arrays[name]).any()]
    if odd:
        raise UserError(f"{odd[0]} has values that are not numbers; train the model again", path)


def copy_lang(source: PathLike, destination: PathLike) -> None:
    """Copy a lang directory's text files (the FSTs stay behind: graphs are already built)."""
    source, destination = Path(source), Path(destination)
    if source.resolve() == destination.resolve():
        return
    shutil.rmtree(destination, ignore_errors=True)
    for path in sorted(source.rglob("*")):
        if path.is_file() and path.suffix != ".fst":
            with atomic_write(destination / path.relative_to(source), "wb") as file:
                file.write(path.read_bytes())


