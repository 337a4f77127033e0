"""Owns the checks of a model's arrays: kernels trust every array that passes.

Takes the arrays of gmm.npz, nnet.npz and adapt.npz as they were read; gives the parts of a model,
or a `DamagedFile` that names the file, the array and what is wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybridasr.errors import DamagedFile
from hybridasr.features.mfcc import FeatureOptions
from hybridasr.features.pipeline import PipelineOptions, feature_dim
from hybridasr.gmm.diag import DiagGmm
from hybridasr.gmm.fmllr import FmllrStats
from hybridasr.hmm.topology import Topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.model.acoustic import Adaptation
from hybridasr.nnet.acoustics import OWN_ARRAYS, NnetAcoustics, acoustics_from_arrays
from hybridasr.storage import take_array
from hybridasr.tree.tree import DecisionTree, Leaf, Node, Split

GMM_ARRAYS = ("weights", "means", "variances", "offsets")
REMEDY = "train the model again, or copy it again"
LARGEST_SYMBOL = 1 << 20  # phones, pdf-classes and values of a tree: tables have so many rows
_LOG_ROUNDING = 1e-3  # by which the log of a probability of one may be above zero

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class FeatureArrays:
    """The arrays that turn features into those that the model scores (`dim` columns)."""

    dim: int
    cmvn: np.ndarray | None
    transform: np.ndarray | None


def take_feature_arrays(arrays: Arrays, features: FeatureOptions, pipeline: PipelineOptions,
                        path: Path) -> FeatureArrays:
    """Check the training set's means (2, dim + 1) and the transform (new dim, dim or dim + 1)."""
    dim, cmvn, transform = feature_dim(features, pipeline), None, None
    if "cmvn" in arrays:
        cmvn = take_array(arrays, "cmvn", path, np.float64, (2, features.dim + 1), remedy=REMEDY)
        # The means are divided by this number of frames.
        if pipeline.cmvn == "speaker" and cmvn[0, -1] < 1:
            raise DamagedFile(f"array 'cmvn' is of {cmvn[0, -1]:g} frames; {REMEDY}", path)
    elif pipeline.cmvn == "online":
        raise DamagedFile(f"no array 'cmvn', which cmvn online begins with; {REMEDY}", path)
    if "transform" in arrays:
        transform = take_array(arrays, "transform", path, np.float64, (None, None), remedy=REMEDY)
        if transform.shape[1] not in (dim, dim + 1) or not len(transform):
            raise DamagedFile(f"array 'transform' is {transform.shape}, the features have {dim} "
                              f"columns; {REMEDY}", path)
        dim = len(transform)
    return FeatureArrays(dim, cmvn, transform)


def take_gmm(arrays: Arrays, num_pdfs: int, dim: int, path: Path) -> DiagGmm:
    """Check the mixtures of `num_pdfs` pdfs over `dim` columns."""
    offsets = take_array(arrays, "offsets", path, np.int64, (num_pdfs + 1,), 0, remedy=REMEDY)
    # Every pdf needs a Gaussian: an empty one would score as log 0.
    if offsets[0] != 0 or np.any(np.diff(offsets) < 1):
        raise DamagedFile("array 'offsets' does not ascend from 0, a step for each pdf; "
                          f"{REMEDY}", path)
    size = int(offsets[-1])
    # Weights and variances are divided by, and their logs are taken.
    smallest = np.finfo(np.float32).tiny
    weights = take_array(arrays, "weights", path, np.float64, (size,), smallest,
                         1.0 + _LOG_ROUNDING, remedy=REMEDY)
    means = take_array(arrays, "means", path, np.float64, (size, dim), remedy=REMEDY)
    variances = take_array(arrays, "variances", path, np.float64, (size, dim), smallest,
                           remedy=REMEDY)
    return DiagGmm(weights, means, variances, offsets)


def take_adaptation(arrays: Arrays, adapted: DiagGmm, path: Path) -> Adaptation:
    """Check the second mixtures of a speaker-adaptive system and its average statistics."""
    size, dim = adapted.means.shape
    gmm = take_gmm(arrays, adapted.num_pdfs, dim, path)
    # The posteriors of one set of mixtures are used for the other: Gaussians must pair up.
    if not np.array_equal(gmm.offsets, adapted.offsets):
        raise DamagedFile(f"does not fit the mixtures of gmm.npz; {REMEDY}", path)
    k = take_array(arrays, "k", path, np.float64, (dim, dim + 1), remedy=REMEDY)
    g = take_array(arrays, "g", path, np.float64, (dim, dim + 1, dim + 1), remedy=REMEDY)
    return Adaptation(gmm, FmllrStats(1.0, k, g))


def take_network(text: str, arrays: Arrays, num_pdfs: int, dim: int, path: Path) -> NnetAcoustics:
    """Check a network's arrays, its priors and the scaling of its input."""
    dims = take_array(arrays, "nnet.dims", path, np.int64, (2,), remedy=REMEDY)
    # Before the network is built: what it would not fit is not worth the memory.
    if tuple(dims) != (dim, num_pdfs):
        raise DamagedFile(f"the network has {dims[0]} columns and {dims[1]} classes, features "
                          f"and tree {dim} and {num_pdfs}; {REMEDY}", path)
    own = {name: take_array(arrays, name, path, np.float32, (None,), remedy=REMEDY)
           for name in OWN_ARRAYS}
    for name, array in arrays.items():
        if name.startswith("nnet.") and array.dtype.kind not in "fiu":
            raise DamagedFile(f"array '{name}' does not hold numbers; {REMEDY}", path)
        if name.startswith("nnet.") and not np.isfinite(array).all():
            raise DamagedFile(f"array '{name}' has values that are not numbers; {REMEDY}", path)
    return acoustics_from_arrays(text, {**arrays, **own}, str(path))


def take_transitions(arrays: Arrays, topology: Topology, num_pdfs: int,
                     path: Path) -> tuple[TransitionModel, np.ndarray | None]:
    """Check the transition model's tuples and probabilities, and how long phones last."""
    tuples = take_array(arrays, "transition_tuples", path, np.int64, (None, 3), 0, remedy=REMEDY)
    rows = tuples.tolist()
    if not rows or len(set(map(tuple, rows))) != len(rows):
        raise DamagedFile(f"array 'transition_tuples' is empty or has a row twice; {REMEDY}", path)
    states = {phone: topology.for_phone(phone).states for phone in topology.phones}
    for phone, state, pdf in rows:
        if phone not in states or not (0 <= state < len(states[phone])
                                       and states[phone][state].pdf_class >= 0
                                       and pdf < num_pdfs):
            raise DamagedFile(f"array 'transition_tuples' has pdf {pdf} of {num_pdfs} for state "
                              f"{state} of phone {phone}, which the topology and the tree do not "
                              f"have; {REMEDY}", path)
    # Kaldi's numbering: one id for each transition of each state, counted from 1.
    num_tids = sum(len(states[phone][state].transitions) for phone, state, _ in rows)
    log_probs = take_array(arrays, "transition_log_probs", path, np.float32, (num_tids + 1,),
                           None, _LOG_ROUNDING, remedy=REMEDY)
    durations = None
    if "durations" in arrays:
        durations = take_array(arrays, "durations", path, np.float32,
                               (1 + max(topology.phones), 2), remedy=REMEDY)
        if np.any(durations[:, 1] <= 0):
            raise DamagedFile(f"array 'durations' has a deviation that is not above 0; {REMEDY}",
                              path)
    return TransitionModel(topology, map(tuple, rows), log_probs), durations


def check_structure(topology: Topology, tree: DecisionTree, path: Path) -> None:
    """Check that states, places of a window and pdfs are where they are looked for."""
    for entry in topology.entries:
        last = len(entry.states) - 1
        wrong = not entry.phones or last < 1 or not all(
            0 < phone < LARGEST_SYMBOL for phone in entry.phones)
        for number, state in enumerate(entry.states):
            # Only the last state is an end, and only it has no transitions.
            wrong |= (number < last) != bool(state.transitions)
            wrong |= not -1 <= state.pdf_class < LARGEST_SYMBOL
            wrong |= any(not 0 <= target <= last or not 0 < probability <= 1
                         for target, probability in state.transitions)
        if wrong:
            raise DamagedFile(f"the topology of phone {next(iter(entry.phones), '?')} has a state, "
                              f"a target or a probability that cannot be; {REMEDY}", path)
    width, central, num_pdfs = tree.context_width, tree.central_position, tree.num_pdfs
    sizes = (width, central, num_pdfs)
    if not all(type(size) is int for size in sizes) or not (
            0 <= central < width < 16 and 0 < num_pdfs < LARGEST_SYMBOL):
        raise DamagedFile(f"a tree of {width} phones, {central} before the middle, with {num_pdfs} "
                          f"pdfs cannot be; {REMEDY}", path)
    # A list, not recursion: a damaged file may be nested deeper than Python allows.
    pending: list[Node | None] = [tree.root]
    while pending:
        node = pending.pop()
        if isinstance(node, Leaf):
            if not 0 <= node.pdf < num_pdfs:
                raise DamagedFile(f"the tree has pdf {node.pdf} of {num_pdfs}; {REMEDY}", path)
        elif node is not None:
            values = node.values if isinstance(node, Split) else ()
            if type(node.key) is not int or not -1 <= node.key < width or not all(
                    type(value) is int and 0 <= value < LARGEST_SYMBOL for value in values):
                raise DamagedFile(f"the tree asks for place {node.key} of {width}, or for a phone "
                                  f"that cannot be; {REMEDY}", path)
            pending += [node.yes, node.no] if isinstance(node, Split) else node.branches
