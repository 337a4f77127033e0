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
    commands/           what is recognised where nothing else is asked for: `OwnCommands`

All of it may be packed into one file (`hybridasr.deploy.pack`). A format newer than this version
knows is refused.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hybridasr.errors import DamagedFile, UserError
from hybridasr.features.mfcc import FeatureOptions
from hybridasr.features.pipeline import PipelineOptions
from hybridasr.graph.self_loops import GraphOptions, natural_scales
from hybridasr.hmm.topology import Topology, read_topology
from hybridasr.lexicon.langdir import read_lang
from hybridasr.model.acoustic import DEFAULT_SCALE, AcousticModel
from hybridasr.model.checks import (
    GMM_ARRAYS,
    REMEDY,
    check_structure,
    take_adaptation,
    take_feature_arrays,
    take_gmm,
    take_network,
    take_transitions,
)
from hybridasr.options import from_dict, to_dict
from hybridasr.storage import (
    PathLike,
    atomic_write,
    file_size,
    files_below,
    is_file,
    read_arrays,
    read_bytes,
    read_json,
    write_arrays,
    write_json,
)
from hybridasr.tree.tree import DecisionTree, tree_from_dict

FORMAT = 1
LARGEST_SCALE = 100
ARRAY_FILES = {"gmm": "gmm.npz", "nnet": "nnet.npz"}
OF_THIS_MODEL = ("confidence.json", "confusions.json")
# Of a network that writes labels (train-ctc), and of a transducer on it.
LABEL_FILES = ("labels.txt", "transducer.json", "transducer.npz")
COMMANDS = "commands"
COMMAND_FILES = ("commands.txt", "commands.jsgf")
FILLERS, WAKE_PROFILE, COMMAND_LEXICON = "fillers.txt", "wake.json", "lexiconp.txt"


class OwnCommands(NamedTuple):
    """The files of what a model recognises where nothing else is asked for; None: there is none.

    Attributes
    ----------
    commands : Path
        Command list, templates or JSGF.
    fillers : Path
        A list of what is no command.
    wake : Path
        Profile of wake words.
    lexicon : Path
        Pronunciations of the words of all these, so that no dictionary is needed.
    """

    commands: Path | None
    fillers: Path | None
    wake: Path | None
    lexicon: Path | None


def own_commands(directory: PathLike) -> OwnCommands:
    """Return what the folder ``commands`` of a model directory holds."""
    folder = Path(directory) / COMMANDS

    def first(*names: str) -> Path | None:
        return next((folder / name for name in names if is_file(folder / name)), None)

    return OwnCommands(first(*COMMAND_FILES), first(FILLERS), first(WAKE_PROFILE),
                       first(COMMAND_LEXICON))


def save_model(model: AcousticModel, directory: PathLike) -> None:
    """Write the directory; model.json last, so that it marks a complete model."""
    directory = Path(directory)
    # What was calibrated to another model says nothing of this one.
    for name in ("model.json", *OF_THIS_MODEL):
        (directory / name).unlink(missing_ok=True)
    # A copy, so that a later prepare-lang cannot change the phones under a trained model.
    copy_lang(model.lang.path, directory / "lang")
    kind = "gmm" if model.nnet is None else "nnet"
    write_arrays(directory / ARRAY_FILES[kind], **model_arrays(model))
    if model.adaptation is None:
        (directory / "adapt.npz").unlink(missing_ok=True)
    else:
        prior = model.adaptation.prior
        write_arrays(directory / "adapt.npz", k=prior.k, g=prior.g.astype(np.float32),
                     **{name: getattr(model.adaptation.gmm, name) for name in GMM_ARRAYS})
    write_json(directory / "model.json", {
        "format": FORMAT, "kind": kind,
        "network": model.nnet.network.text if model.nnet else None,
        "features": to_dict(model.features), "pipeline": to_dict(model.pipeline),
        "topology": model.transitions.topology.to_text(), "tree": model.tree.to_dict(),
        "adapted": model.adaptation is not None, "acoustic_scale": model.acoustic_scale,
        **({"word_ins_penalty": model.word_ins_penalty} if model.word_ins_penalty else {}),
        "info": model.info})


def model_arrays(model: AcousticModel) -> dict[str, np.ndarray]:
    """Return the arrays of gmm.npz or nnet.npz."""
    own = model.nnet.to_arrays() if model.nnet else {
        name: getattr(model.gmm, name) for name in GMM_ARRAYS}
    return {**own, "transition_log_probs": model.transitions.log_probs,
            "transition_tuples": model.transitions.tuples,
            **{name: array for name in ("cmvn", "transform", "durations")
               if (array := getattr(model, name)) is not None}}


def load_model(directory: PathLike) -> AcousticModel:
    """Read a model directory, or a packed one; every array in it is checked here, once.

    Raises
    ------
    UserError
        if it is no model directory, or of a newer format.
    DamagedFile
        if a file of it is damaged, or does not fit the others.
    """
    directory = Path(directory)
    path = directory / "model.json"
    if not is_file(path):
        if directory.is_file():
            raise UserError("is no packed model (.hyb); give one, or a model directory such as "
                            "exp/mono", directory)
        if not directory.is_dir():
            raise UserError("no such model; give a model directory such as exp/mono, or a packed "
                            "model (.hyb)", directory)
        raise UserError("no model.json there; give a model directory such as exp/mono "
                        "(is its training finished?)", directory)
    values = read_json(path)
    if not isinstance(values, dict) or not isinstance(values.get("format"), int):
        raise DamagedFile("is not the description of a model (no format number); train the model "
                          "again", path)
    # Before anything else is read: a newer format may have other entries.
    if values["format"] > FORMAT:
        raise UserError(f"model format {values['format']}, this version reads up to {FORMAT}; "
                        "upgrade hybridasr", path)
    _check_entries(values, path)
    features = from_dict(FeatureOptions, values["features"], str(path))
    pipeline = from_dict(PipelineOptions, values["pipeline"], str(path))
    topology, tree = _read_structure(values, path)
    file = directory / ARRAY_FILES[values["kind"]]
    arrays = read_arrays(file)
    of_features = take_feature_arrays(arrays, features, pipeline, file)
    gmm = nnet = adaptation = None
    if values["kind"] == "nnet":
        nnet = take_network(values["network"], arrays, tree.num_pdfs, of_features.dim, file)
    else:
        gmm = take_gmm(arrays, tree.num_pdfs, of_features.dim, file)
        if values.get("adapted"):
            adapt_file = directory / "adapt.npz"
            adaptation = take_adaptation(read_arrays(adapt_file), gmm, adapt_file)
    transitions, durations = take_transitions(arrays, topology, tree.num_pdfs, file)
    lang = read_lang(directory / "lang")
    # Phones are compared by id: a lang directory of another model would give other words.
    strange = sorted({*topology.phones} - {*lang.phones.values()})
    if strange:
        raise DamagedFile(f"phone {strange[0]} of model.json is not in its phones.txt; {REMEDY}",
                          directory / "lang")
    return AcousticModel(gmm, transitions, tree, lang, features, pipeline, values.get("info", {}),
                         of_features.cmvn, of_features.transform, adaptation, nnet,
                         values.get("acoustic_scale", DEFAULT_SCALE), durations,
                         _graph_options(directory / "graph", topology),
                         values.get("word_ins_penalty", 0.0))


def model_figures(model: AcousticModel, directory: PathLike) -> dict[str, Any]:
    """Return what a model costs: bytes on disk, parameters, multiplications a second of audio."""
    directory = Path(directory)
    kind = "gmm" if model.nnet is None else "nnet"
    acoustics = [directory / ARRAY_FILES[kind], directory / "adapt.npz"]
    graph = directory / "graph" / "graph.npz"
    scores = 1 / model.frame_shift
    if model.nnet is not None:
        parameters = sum(array.size for name, array in model.nnet.network.to_arrays().items()
                         if name != "dims")
        multiplications = model.nnet.network.multiplications
    else:
        assert model.gmm is not None
        parameters = model.gmm.weights.size + model.gmm.means.size + model.gmm.variances.size
        # Mean and variance: two multiplications for each dimension of each Gaussian.
        multiplications = 2 * model.gmm.means.size
    return {
        "kind": kind, "adapted": model.adaptation is not None, "pdfs": model.tree.num_pdfs,
        "parameters": int(parameters),
        "multiplications_a_second": int(multiplications * scores),
        "acoustic_bytes": sum(map(file_size, filter(is_file, acoustics))),
        "graph_bytes": file_size(graph) if is_file(graph) else None,
        "subsampling": model.subsampling, "features": to_dict(model.features),
        "pipeline": to_dict(model.pipeline),
        "network": model.nnet.network.text.splitlines() if model.nnet else None,
        "training": model.info}


_ENTRIES: dict[str, tuple[type, ...]] = {
    "kind": (str,), "features": (dict,), "pipeline": (dict,), "topology": (str,), "tree": (dict,)}
_OPTIONAL: dict[str, tuple[type, ...]] = {
    "network": (str, type(None)), "adapted": (bool,), "acoustic_scale": (int, float),
    "word_ins_penalty": (int, float), "info": (dict,)}


def _check_entries(values: dict[str, Any], path: Path) -> None:
    for name, kinds in {**_ENTRIES, **_OPTIONAL}.items():
        if name not in values and name in _ENTRIES:
            raise DamagedFile(f"entry '{name}' is missing; {REMEDY}", path)
        if name in values and not isinstance(values[name], kinds):
            raise DamagedFile(f"entry '{name}' is {_short(values[name])}, not of type "
                              f"{kinds[0].__name__}; {REMEDY}", path)
    kind = values["kind"]
    if kind not in ARRAY_FILES:
        raise DamagedFile(f"kind {_short(kind)} is none of {', '.join(ARRAY_FILES)}; {REMEDY}, or "
                          "upgrade hybridasr", path)
    if kind == "nnet" and not isinstance(values.get("network"), str):
        raise DamagedFile(f"the text of the network is missing; {REMEDY}", path)
    scale = values.get("acoustic_scale", DEFAULT_SCALE)
    # With a larger one no token survives a frame but the best: the search would widen its beam.
    # bool is an int in Python: `true` would pass as scale 1.
    if isinstance(scale, bool) or not 0 < scale <= LARGEST_SCALE:
        raise DamagedFile(f"acoustic_scale is {scale}, not a number above 0 and at most "
                          f"{LARGEST_SCALE}; {REMEDY}", path)
    penalty = values.get("word_ins_penalty", 0.0)
    if isinstance(penalty, bool) or not abs(penalty) < float("inf"):
        raise DamagedFile(f"word_ins_penalty is {penalty}, not a number; {REMEDY}", path)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _read_structure(values: dict[str, Any], path: Path) -> tuple[Topology, DecisionTree]:
    """Read topology and tree, which are text and lists of any form."""
    try:
        topology = read_topology(values["topology"], str(path))
        tree = tree_from_dict(values["tree"], str(path))
    except (LookupError, TypeError, ValueError, AttributeError, AssertionError, OverflowError,
            RecursionError) as error:
        raise DamagedFile(f"its topology or tree is damaged ({type(error).__name__}: {error}); "
                          f"{REMEDY}", path) from None
    check_structure(topology, tree, path)
    return topology, tree


def copy_beside(source: PathLike, destination: PathLike) -> None:
    """Copy what belongs to a model beside its arrays: calibration, confusions, labels and graph.

    Links are followed within `source` alone: a stranger's directory may point anywhere.
    """
    source = Path(source)
    beside = [source / name for name in (*OF_THIS_MODEL, *LABEL_FILES)
              if is_file(source / name) and is_own(source / name, source)]
    copy_files([*beside, *own_files(source / "graph")], source, Path(destination))


def own_files(directory: Path) -> list[Path]:
    """Return the files below a directory; none that is a link out of it."""
    return [path for path in files_below(directory) if is_own(path, directory)]


def is_own(path: Path, directory: Path) -> bool:
    """Tell whether a path lies in a directory, links followed."""
    return path.resolve().is_relative_to(directory.resolve())


def copy_files(paths: Iterable[Path], source: Path, destination: Path) -> None:
    """Copy files of a directory, which may be packed, to the same places of another."""
    for path in paths:
        target = destination / path.relative_to(source)
        if path.suffix == ".npz":
            write_arrays(target, **read_arrays(path))
        else:
            with atomic_write(target, "wb") as file:
                file.write(read_bytes(path))


def copy_lang(source: PathLike, destination: PathLike) -> None:
    """Copy a lang directory's text files (the FSTs stay behind: graphs are already built)."""
    source, destination = Path(source), Path(destination)
    if source.resolve() == destination.resolve():
        return
    # Files that only the old directory has would otherwise stay among the new ones.
    shutil.rmtree(destination, ignore_errors=True)
    copy_files([path for path in own_files(source) if path.suffix != ".fst"], source, destination)


def _graph_options(graph: Path, topology: Topology) -> GraphOptions:
    """Return the scales that mkgraph built the model's own graph with, or would."""
    path = graph / "graph.json"
    if not is_file(path):
        return natural_scales(topology)
    values = read_json(path)
    values = values.get("options", {}) if isinstance(values, dict) else None
    if not isinstance(values, dict):
        raise DamagedFile("is not the description of a graph; run 'hybridasr mkgraph' again", path)
    return from_dict(GraphOptions, values, str(path))
