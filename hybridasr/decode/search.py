"""Owns the Viterbi beam search over a flat graph, with alternatives for lattices if wanted.

Takes a `DecodingGraph` and log likelihoods (num_frames, num_pdfs), or mixtures to be scored where
an arc asks for them; gives the best path as arcs, and the links between tokens that a lattice is
made of. The kernels are in `viterbi`. Costs are negative natural logs in float64; lower is better.
"""

from dataclasses import dataclass

import numpy as np

from hybridasr.decode.viterbi import Graph, Pruning, viterbi
from hybridasr.errors import UserError
from hybridasr.gmm.lazy import LazyLoglikes, ScoreTable, known_scores
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.model.acoustic import DEFAULT_SCALE
from hybridasr.options import option


@dataclass(frozen=True)
class SearchOptions:
    """Pruning and scales of the search, with Kaldi's names and defaults."""

    beam: float = option(13.0, "tokens worse than the best by more than this are dropped")
    max_active: int = option(7000, "at most about this many states live in a frame")
    min_active: int = option(200, "the beam widens until this many states live")
    acoustic_scale: float | None = option(None, "factor on the acoustic log likelihoods; none: "
                                          "the model's own")

    def __post_init__(self):
        if not self.beam > 0:
            raise UserError(f"beam is {self.beam}; give a number above 0 (usual: 13)")
        if self.max_active < 1 or self.min_active > self.max_active:
            raise UserError(f"max-active {self.max_active} must be at least 1 and at least "
                            f"min-active {self.min_active}")
        if self.acoustic_scale is not None and not self.acoustic_scale > 0:
            raise UserError(f"acoustic-scale is {self.acoustic_scale}; give a number above 0")

    @property
    def scale(self) -> float:
        """The acoustic scale, that of a model without its own if none is given."""
        return self.acoustic_scale or DEFAULT_SCALE


@dataclass(frozen=True)
class BestPath:
    """The winner of a search.

    Attributes
    ----------
    transition_ids : int32 (num_frames,)
    words : int32 (num_words,)
        Output labels along the path, epsilon left out.
    graph_cost, acoustic_cost : float
        The acoustic cost is scaled; the total cost is their sum, final cost included.
    complete : bool
        False if no final state was alive at the end: then the best token's path is given.
    """

    transition_ids: np.ndarray
    words: np.ndarray
    graph_cost: float
    acoustic_cost: float
    complete: bool

    @property
    def total_cost(self) -> float:
        """Graph plus scaled acoustic cost."""
        return self.graph_cost + self.acoustic_cost


@dataclass(frozen=True)
class Alternatives:
    """What a lattice is made of: the surviving tokens and the links between them.

    Attributes
    ----------
    origin, target : int32 (num_links,)
        Tokens, numbered in topological order from 0, the start.
    arc : int32 (num_links,)
        The graph's arc that the link follows.
    acoustic : float64 (num_links,)
        Negative log likelihood of the frame, not scaled; 0 on epsilon arcs.
    final : float64 (num_tokens,)
        Final costs; infinite but for tokens of the last frame.
    """

    origin: np.ndarray
    target: np.ndarray
    arc: np.ndarray
    acoustic: np.ndarray
    final: np.ndarray


def search(graph: DecodingGraph, arc_pdfs: np.ndarray, loglikes: np.ndarray | LazyLoglikes,
           options: SearchOptions, weights: np.ndarray | None = None) -> BestPath | None:
    """Find the best path through `graph` for one utterance.

    Parameters
    ----------
    arc_pdfs : int32 (num_arcs,)
        Column of `loglikes` that each arc reads; -1 on epsilon arcs.
    loglikes : float32 (num_frames, num_columns), or LazyLoglikes (columns are pdfs)
    weights : float32 (num_arcs,), optional
        Arc costs in place of the graph's own.

    Returns
    -------
    BestPath, or None if no frame was given or every token died.

    Raises
    ------
    UserError
        if a log likelihood is NaN.
    """
    return _run(graph, arc_pdfs, loglikes, options, weights, -1.0)[0]


def search_alternatives(graph: DecodingGraph, arc_pdfs: np.ndarray,
                        loglikes: np.ndarray | LazyLoglikes, options: SearchOptions,
                        lattice_beam: float) -> tuple[BestPath | None, Alternatives | None]:
    """As `search`, and keep what is within `lattice_beam` of the best path (cost).

    Where no final state is alive at the end, every state counts as final at no cost.
    """
    return _run(graph, arc_pdfs, loglikes, options, None, lattice_beam)


def _run(graph: DecodingGraph, arc_pdfs: np.ndarray, loglikes: np.ndarray | LazyLoglikes,
         options: SearchOptions, weights: np.ndarray | None,
         lattice_beam: float) -> tuple[BestPath | None, Alternatives | None]:
    if len(loglikes) == 0 or graph.num_states == 0:
        return None, None
    scores = _scores(loglikes)
    loglikes = scores.loglikes
    weights = graph.weight if weights is None else weights
    arrays = Graph(graph.arc_offsets, graph.eps_offsets, arc_pdfs, weights, graph.nextstate,
                    graph.final)
    pruning = Pruning(options.beam, options.max_active, options.min_active)
    arcs, complete, links = viterbi(graph.start, arrays, scores, options.scale, pruning,
                                     lattice_beam)
    if len(arcs) == 0:
        return None, None
    emitting = arcs[arc_pdfs[arcs] >= 0]
    acoustic = loglikes[np.arange(len(emitting)), arc_pdfs[emitting]].sum(dtype=np.float64)
    graph_cost = weights[arcs].sum(dtype=np.float64)
    if complete:
        graph_cost += float(graph.final[graph.nextstate[arcs[-1]]])
    labels = graph.olabel[arcs]
    path = BestPath(graph.ilabel[emitting], labels[labels > 0], float(graph_cost),
                    float(-options.scale * acoustic), bool(complete))
    if lattice_beam < 0:
        return path, None
    origin, target, arc, frame, final = links
    pdfs = arc_pdfs[arc]
    costs = np.where(pdfs < 0, 0.0, -loglikes[frame, pdfs].astype(np.float64))
    return path, Alternatives(origin, target, arc, costs, final)


def _scores(loglikes: np.ndarray | LazyLoglikes) -> ScoreTable:
    values = loglikes.inputs if isinstance(loglikes, LazyLoglikes) else loglikes
    if not np.isfinite(values.sum()) and np.isnan(values).any():
        raise UserError("log likelihoods contain NaN; check the features and the model")
    return loglikes.table() if isinstance(loglikes, LazyLoglikes) else known_scores(loglikes)
