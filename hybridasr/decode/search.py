"""Owns the Viterbi beam search over a flat graph, with alternatives for lattices if wanted.

Takes a `DecodingGraph` and log likelihoods (num_frames, num_pdfs), all at once or in blocks; gives
the best path as arcs, and the links between tokens that a lattice is made of. A `Search` is one
utterance in the making; `search` and `search_alternatives` run one over a whole utterance. The
kernels are in `viterbi` and `outcome`. Costs are negative natural logs in float64; lower is better.
"""

from dataclasses import dataclass, replace

import numpy as np

from hybridasr.decode.outcome import alternatives, best_path, ending, settle, shared_arcs
from hybridasr.decode.viterbi import (
    Graph,
    Pruning,
    advance,
    columns_needed,
    nothing_alive,
    start,
)
from hybridasr.errors import UserError
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.options import option


@dataclass(frozen=True)
class SearchOptions:
    """Pruning and scales of the search, with Kaldi's names and defaults."""

    beam: float = option(13.0, "tokens worse than the best by more than this are dropped")
    max_active: int = option(7000, "at most about this many states live in a frame")
    min_active: int = option(200, "the beam widens until this many states live")
    acoustic_scale: float | None = option(None, "factor on the acoustic log likelihoods; none: "
                                          "the model's own")
    lm_scale: float = option(1.0, "factor on the costs of the graph, language model and all")
    word_ins_penalty: float | None = option(None, "cost of every word of a graph; a negative "
                                            "one makes for more words; none: the model's own")

    def __post_init__(self):
        if not self.beam > 0:
            raise UserError(f"beam is {self.beam}; give a number above 0 (usual: 13)")
        if self.max_active < 1 or self.min_active > self.max_active:
            raise UserError(f"max-active {self.max_active} must be at least 1 and at least "
                            f"min-active {self.min_active}")
        if self.acoustic_scale is not None and not self.acoustic_scale > 0:
            raise UserError(f"acoustic-scale is {self.acoustic_scale}; give a number above 0")
        if not 0 <= self.lm_scale < np.inf:
            raise UserError(f"lm-scale is {self.lm_scale}; give a number from 0")
        if self.word_ins_penalty is not None and not np.isfinite(self.word_ins_penalty):
            raise UserError(f"word-ins-penalty is {self.word_ins_penalty}; give a number")

    def resolved(self, scale: float, word_ins_penalty: float = 0.0) -> "SearchOptions":
        """Return the options with the model's acoustic scale and penalty where none are given.

        >>> SearchOptions().resolved(0.1).acoustic_scale
        0.1
        >>> SearchOptions(acoustic_scale=0.2).resolved(0.1).acoustic_scale
        0.2
        """
        options = self if self.acoustic_scale is not None else replace(self, acoustic_scale=scale)
        # A penalty of 0 is none.
        return options if options.word_ins_penalty is not None or not word_ins_penalty else (
            replace(options, word_ins_penalty=word_ins_penalty))


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
        False if no final state was alive at the end, or the search goes on: then the best token's
        path is given.
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


@dataclass(frozen=True)
class Ending:
    """How the best path so far ends.

    Attributes
    ----------
    frames : int
        Frames searched.
    silence : int
        Of these, silence at the end of the path.
    cost, final_cost : float
        Of the best token, and of the best one with its final cost, infinite if none is final.
    """

    frames: int
    silence: int
    cost: float
    final_cost: float

    @property
    def relative_cost(self) -> float:
        """What it costs to end here, beside going on: Kaldi's final relative cost."""
        return self.final_cost - self.cost if np.isfinite(self.cost) else np.inf


class Search:
    """One utterance being searched, block by block.

    However the frames are cut into blocks, the result is the same to the last bit. Not for several
    threads at once; the kernels let other threads run.

    Parameters
    ----------
    graph : DecodingGraph
    arc_pdfs : int32 (num_arcs,)
        Column of the log likelihoods that each arc reads; -1 on epsilon arcs.
    options : SearchOptions
        With an acoustic scale (`SearchOptions.resolved`). Its other scales are taken to be in the
        graph's costs already (`recognize.graph_grammar.GraphGrammar.weighted`).
    weights : float32 (num_arcs,), optional
        Arc costs in place of the graph's own.
    lattice_beam : float, optional
        Keep alternatives up to this much worse than the best path (cost) for `finish`. Without
        it, only the traces of living tokens are kept.

    Raises
    ------
    ValueError
        if the options have no acoustic scale, or arrays do not fit the graph.

    Examples
    --------
    Word 1 reads the first column for two frames, word 2 the second:

    >>> graph = DecodingGraph.from_arcs(0, [0, 0, 1, 2], [1, 2, 1, 2], [1, 2, 0, 0], [0.5] * 4,
    ...                                 [1, 2, 3, 3], [np.inf, np.inf, np.inf, 0.0])
    >>> utterance = Search(graph, graph.ilabel - 1, SearchOptions(acoustic_scale=1.0))
    >>> utterance.advance(np.array([[-1.0, -2.0]], np.float32))
    >>> utterance.partial().words.tolist(), utterance.settled().tolist()
    ([1], [])
    >>> utterance.advance(np.array([[-4.0, -2.0]], np.float32))
    >>> path, _ = utterance.finish()
    >>> path.words.tolist(), path.total_cost, path.complete
    ([2], 5.0, True)
    """

    def __init__(self, graph: DecodingGraph, arc_pdfs: np.ndarray, options: SearchOptions,
                 weights: np.ndarray | None = None, lattice_beam: float | None = None):
        if options.acoustic_scale is None:
            raise ValueError("the search needs an acoustic scale; see SearchOptions.resolved")
        if lattice_beam is not None and not 0 <= lattice_beam < np.inf:
            raise ValueError(f"lattice beam {lattice_beam}")
        weights = graph.weight if weights is None else weights
        for name, values, kind in (("arc_pdfs", arc_pdfs, "i"), ("weights", weights, "f")):
            if values.shape != (graph.num_arcs,) or values.dtype.kind != kind:
                raise ValueError(f"{name} {values.dtype} {values.shape} for {graph.num_arcs} arcs")
        if not 0 <= graph.start < graph.num_states:
            raise ValueError(f"start state {graph.start} of {graph.num_states}")
        pdfs = np.ascontiguousarray(arc_pdfs, np.int32)
        # The kernels read without a look at bounds: whatever they index with is checked here.
        self._num_columns = int(columns_needed(pdfs, graph.ilabel))
        if self._num_columns < 0:
            raise ValueError("an arc with a transition-id has no column of scores")
        self._graph = graph
        self._scale = options.acoustic_scale
        self._arrays = Graph(graph.arc_offsets, graph.eps_offsets, pdfs, weights, graph.nextstate,
                             graph.final)
        self._pruning = Pruning(float(options.beam), options.max_active, options.min_active,
                                -1.0 if lattice_beam is None else float(lattice_beam))
        self._progress = start(graph.start, self._arrays, self._pruning,
                               nothing_alive(graph.num_states))
        # Arcs and scores of what is settled, in the order of time.
        self._settled: list[tuple[np.ndarray, np.ndarray]] = []

    @property
    def num_frames(self) -> int:
        """Frames searched so far."""
        return self._progress.frame

    def advance(self, loglikes: np.ndarray) -> None:
        """Search the next frames.

        Parameters
        ----------
        loglikes : float32 (num_frames, num_columns)
            Any number of frames, also none; minus infinity rules a pdf out.

        Raises
        ------
        UserError
            if a log likelihood is NaN or plus infinity, or the graph reads more columns.
        """
        if loglikes.ndim != 2 or loglikes.dtype.kind != "f":
            raise ValueError(f"log likelihoods {loglikes.dtype} {loglikes.shape}")
        if loglikes.shape[1] < self._num_columns:
            raise UserError(f"the graph reads {self._num_columns} columns of log likelihoods, "
                            f"given are {loglikes.shape[1]}; make the graph with this model")
        # A sum is finite only if all of it is; only where it is not, every value is looked at.
        with np.errstate(invalid="ignore", over="ignore"):
            total = loglikes.sum()
        if not np.isfinite(total) and not (loglikes < np.inf).all():
            raise UserError("log likelihoods contain NaN or infinity; check the features and the "
                            "model")
        if self._progress is None:
            raise ValueError("the search is finished")
        self._progress = advance(self._progress, self._arrays,
                                 np.ascontiguousarray(loglikes, np.float32), self._scale,
                                 self._pruning)

    def partial(self) -> BestPath | None:
        """Return the best path so far, final costs left out; None as from `finish`."""
        return self._best(at_end=False)

    def tokens(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the states with a living token, int32 (n,), and the tokens' costs, float64 (n,).

        Some are still to be dropped for the beam, when the next frame comes.
        """
        alive = self._progress.alive
        states = alive.states[:self._progress.num_active].copy()
        return states, alive.cost[states]

    def settled(self) -> np.ndarray:
        """Return the words that all living paths begin with, by way of the same arcs.

        More frames only add to them: int32 (num_words,), epsilon left out.
        """
        arcs = [*(arcs for arcs, _ in self._settled), shared_arcs(self._progress)]
        labels = self._graph.olabel[np.concatenate(arcs)]
        return labels[labels > 0]

    def settle(self) -> np.ndarray:
        """Free the tokens of what all living paths begin with; only without a lattice beam.

        Returns
        -------
        int32 (num_words,)
            The words that are settled since the last time, epsilon left out.
        """
        if self._pruning.lattice_beam >= 0:
            raise ValueError("a search that keeps alternatives cannot settle")
        part = settle(self._progress)
        self._settled.append(part)
        labels = self._graph.olabel[part[0]]
        return labels[labels > 0]

    def ending(self, silent: np.ndarray) -> Ending:
        """Return how the best path so far ends.

        Parameters
        ----------
        silent : bool (num_arcs,)
            Whether an arc reads silence.
        """
        if silent.shape != (self._graph.num_arcs,) or silent.dtype != np.bool_:
            raise ValueError(f"silent {silent.dtype} {silent.shape}")
        silence, through, cost, final_cost = ending(self._progress, self._arrays, silent)
        for arcs, _ in self._settled[::-1] if through else ():
            reads = arcs[self._arrays.pdfs[arcs] >= 0]
            spoken = np.flatnonzero(~silent[reads])
            silence += len(reads) if len(spoken) == 0 else len(reads) - 1 - int(spoken[-1])
            if len(spoken):
                break
        return Ending(self.num_frames, int(silence), float(cost), float(final_cost))

    def finish(self) -> tuple[BestPath | None, Alternatives | None]:
        """End the search: (best path, alternatives if there is a lattice beam).

        Both are None if there was no frame, or every token died. Where no final state lives, every
        state counts as final at no cost. No frames can follow.
        """
        # The links are pruned in place: nothing may use the state of the search again.
        path, progress, self._progress = self._best(at_end=True), self._progress, None
        if path is None or self._pruning.lattice_beam < 0:
            return path, None
        origin, target, arc, acoustic, final = alternatives(
            progress, self._graph.final, path.complete, self._pruning.lattice_beam)
        costs = np.where(self._arrays.pdfs[arc] < 0, 0.0, -acoustic.astype(np.float64))
        return path, Alternatives(origin, target, arc, costs, final)

    def _best(self, at_end: bool) -> BestPath | None:
        if self._progress.frame == 0:
            return None
        graph = self._graph
        arcs, acoustic, complete = best_path(self._progress, graph.final, at_end)
        if self._progress.num_active == 0:
            return None
        if self._settled:
            arcs = np.concatenate([*(part for part, _ in self._settled), arcs])
            acoustic = np.concatenate([*(part for _, part in self._settled), acoustic])
        if len(arcs) == 0:
            return None
        # One score a frame: epsilon arcs read none.
        emitting = self._arrays.pdfs[arcs] >= 0
        graph_cost = float(self._arrays.weights[arcs].sum(dtype=np.float64))
        # Of a path that is not complete the last state has no final cost.
        if complete:
            graph_cost += float(graph.final[graph.nextstate[arcs[-1]]])
        labels = graph.olabel[arcs]
        return BestPath(graph.ilabel[arcs[emitting]], labels[labels > 0], graph_cost,
                        float(-self._scale * acoustic[emitting].sum(dtype=np.float64)),
                        bool(complete))


def search(graph: DecodingGraph, arc_pdfs: np.ndarray, loglikes: np.ndarray,
           options: SearchOptions, weights: np.ndarray | None = None) -> BestPath | None:
    """Find the best path through `graph` for one utterance.

    Parameters
    ----------
    graph, arc_pdfs, options, weights
        As for `Search`.
    loglikes : float32 (num_frames, num_columns)

    Returns
    -------
    BestPath, or None if no frame was given or every token died.

    Raises
    ------
    UserError
        if a log likelihood is NaN or plus infinity, or the graph reads more columns.
    """
    if len(loglikes) == 0 or graph.num_states == 0:
        return None
    utterance = Search(graph, arc_pdfs, options, weights)
    utterance.advance(loglikes)
    return utterance.finish()[0]


def search_alternatives(graph: DecodingGraph, arc_pdfs: np.ndarray, loglikes: np.ndarray,
                        options: SearchOptions, lattice_beam: float
                        ) -> tuple[BestPath | None, Alternatives | None]:
    """As `search`, and keep alternatives within `lattice_beam` of the best path (cost).

    Where no final state is alive at the end, every state counts as final at no cost.
    """
    if len(loglikes) == 0 or graph.num_states == 0:
        return None, None
    utterance = Search(graph, arc_pdfs, options, lattice_beam=lattice_beam)
    utterance.advance(loglikes)
    return utterance.finish()
