"""Owns the Viterbi beam search over a flat graph.

Takes a `DecodingGraph` and log likelihoods (num_frames, num_pdfs); gives the best path as arcs.
Token passing as in Kaldi's faster-decoder: one token a state and frame, pruned to a beam around
the best and to a maximum number of states, epsilon arcs closed after every frame. Costs are
negative natural logs in float64; lower is better.
"""

from dataclasses import dataclass

import numba
import numpy as np

from hybridasr.errors import UserError
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.options import option


@dataclass(frozen=True)
class SearchOptions:
    """Pruning and scales of the search, with Kaldi's names and defaults."""

    beam: float = option(13.0, "tokens worse than the best by more than this are dropped")
    max_active: int = option(7000, "at most about this many states live in a frame")
    min_active: int = option(200, "the beam widens until this many states live")
    acoustic_scale: float = option(1 / 12, "factor on the acoustic log likelihoods")

    def __post_init__(self):
        if not self.beam > 0:
            raise UserError(f"beam is {self.beam}; give a number above 0 (usual: 13)")
        if self.max_active < 1 or self.min_active > self.max_active:
            raise UserError(f"max-active {self.max_active} must be at least 1 and at least "
                            f"min-active {self.min_active}")
        if not self.acoustic_scale > 0:
            raise UserError(f"acoustic-scale is {self.acoustic_scale}; give a number above 0")


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


def search(graph: DecodingGraph, arc_pdfs: np.ndarray, loglikes: np.ndarray,
           options: SearchOptions, weights: np.ndarray | None = None) -> BestPath | None:
    """Find the best path through `graph` for one utterance.

    Parameters
    ----------
    arc_pdfs : int32 (num_arcs,)
        Column of `loglikes` that each arc reads; -1 on epsilon arcs.
    loglikes : float32 (num_frames, num_columns)
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
    if len(loglikes) == 0 or graph.num_states == 0:
        return None
    if not np.isfinite(loglikes.sum()) and np.isnan(loglikes).any():
        raise UserError("log likelihoods contain NaN; check the features and the model")
    weights = graph.weight if weights is None else weights
    arcs, complete = _viterbi(
        graph.start, graph.arc_offsets, graph.eps_offsets, arc_pdfs, weights, graph.nextstate,
        graph.final, np.ascontiguousarray(loglikes, np.float32), options.acoustic_scale,
        options.beam, options.max_active, options.min_active)
    if len(arcs) == 0:
        return None
    emitting = arcs[arc_pdfs[arcs] >= 0]
    acoustic = loglikes[np.arange(len(emitting)), arc_pdfs[emitting]].sum(dtype=np.float64)
    graph_cost = weights[arcs].sum(dtype=np.float64)
    if complete:
        graph_cost += float(graph.final[graph.nextstate[arcs[-1]]])
    labels = graph.olabel[arcs]
    return BestPath(graph.ilabel[emitting], labels[labels > 0], float(graph_cost),
                    float(-options.acoustic_scale * acoustic), bool(complete))


@numba.njit(cache=True)
def _viterbi(start, arc_offsets, eps_offsets, arc_pdfs, weights, nextstate, final, loglikes,
             acoustic_scale, beam, max_active, min_active):
    """Return (arcs of the best path in order, whether it ends in a final state)."""
    num_states = len(final)
    cost = np.full(num_states, np.inf)  # of the tokens being made
    token = np.full(num_states, -1, np.int64)  # their entries in the trace
    old_cost = np.empty(1024)
    old_state = np.empty(1024, np.int32)
    old_token = np.empty(1024, np.int64)
    active = np.empty(num_states, np.int32)
    queued = np.zeros(num_states, np.bool_)
    queue = np.empty(num_states, np.int32)  # ring: a state is in it at most once
    trace_arc = np.empty(4096, np.int32)
    trace_from = np.empty(4096, np.int64)
    used = 0
    num_active = 1
    active[0] = start
    cost[start] = 0.0
    cutoff = np.inf
    for frame in range(-1, len(loglikes)):
        if frame >= 0:
            # Move the survivors over their emitting arcs. First take them out of the tables.
            if num_active > len(old_cost):
                old_cost = np.empty(2 * num_active)
                old_state = np.empty(2 * num_active, np.int32)
                old_token = np.empty(2 * num_active, np.int64)
            best = np.inf
            best_slot = 0
            for slot in range(num_active):
                state = active[slot]
                old_state[slot] = state
                old_cost[slot] = cost[state]
                old_token[slot] = token[state]
                if cost[state] < best:
                    best = cost[state]
                    best_slot = slot
                cost[state] = np.inf
                token[state] = -1
            limit = best + beam
            width = beam
            if num_active > max_active:
                kept = np.partition(old_cost[:num_active], max_active)[max_active]
                if kept < limit:
                    limit = kept
                    width = kept - best + 0.5
            if num_active > min_active and min_active > 0:
                wanted = np.partition(old_cost[:num_active], min_active)[min_active]
                if wanted > limit:
                    limit = wanted
                    width = wanted - best + 0.5
            elif num_active <= min_active:
                limit = np.inf
            old_count = num_active
            num_active = 0
            row = loglikes[frame]
            # The best token's arcs give an early bound on the next frame's cutoff.
            cutoff = np.inf
            if limit < np.inf:
                state = old_state[best_slot]
                for arc in range(arc_offsets[state], eps_offsets[state]):
                    reached = best + weights[arc] - acoustic_scale * row[arc_pdfs[arc]]
                    cutoff = min(cutoff, reached + width)
            for slot in range(old_count):
                if old_cost[slot] > limit:
                    continue
                state = old_state[slot]
                for arc in range(arc_offsets[state], eps_offsets[state]):
                    reached = old_cost[slot] + weights[arc] - acoustic_scale * row[arc_pdfs[arc]]
                    if reached >= cutoff:
                        continue
                    if limit < np.inf:
                        cutoff = min(cutoff, reached + width)
                    target = nextstate[arc]
                    if reached < cost[target]:
                        if token[target] < 0:
                            if used == len(trace_arc):
                                trace_arc = _grown(trace_arc)
                                trace_from = _grown(trace_from)
                            token[target] = used
                            used += 1
                            active[num_active] = target
                            num_active += 1
                        cost[target] = reached
                        trace_arc[token[target]] = arc
                        trace_from[token[target]] = old_token[slot]
            if num_active == 0:
                return np.empty(0, np.int32), False
        # Close over epsilon arcs. A token's trace entry is rewritten only when its cost falls,
        # and predecessors are never rewritten after their successors unless they fall too.
        head = 0
        waiting = 0
        for slot in range(num_active):
            state = active[slot]
            if eps_offsets[state] < arc_offsets[state + 1]:
                queue[waiting] = state
                queued[state] = True
                waiting += 1
        while waiting > 0:
            state = queue[head]
            head = head + 1 if head + 1 < num_states else 0
            waiting -= 1
            queued[state] = False
            for arc in range(eps_offsets[state], arc_offsets[state + 1]):
                reached = cost[state] + weights[arc]
                target = nextstate[arc]
                if reached >= cost[target] or reached >= cutoff:
                    continue
                if cost[target] == np.inf:
                    if used == len(trace_arc):
                        trace_arc = _grown(trace_arc)
                        trace_from = _grown(trace_from)
                    token[target] = used
                    used += 1
                    active[num_active] = target
                    num_active += 1
                cost[target] = reached
                trace_arc[token[target]] = arc
                trace_from[token[target]] = token[state]
                if eps_offsets[target] < arc_offsets[target + 1] and not queued[target]:
                    tail = head + waiting
                    queue[tail if tail < num_states else tail - num_states] = target
                    queued[target] = True
                    waiting += 1
    best_final = np.inf
    best_any = np.inf
    end_final = -1
    end_any = -1
    for slot in range(num_active):
        state = active[slot]
        if cost[state] < best_any:
            best_any = cost[state]
            end_any = state
        if cost[state] + final[state] < best_final:
            best_final = cost[state] + final[state]
            end_final = state
    end = end_final if end_final >= 0 else end_any
    length = 0
    entry = token[end]
    while entry >= 0:
        length += 1
        entry = trace_from[entry]
    path = np.empty(length, np.int32)
    entry = token[end]
    while entry >= 0:
        length -= 1
        path[length] = trace_arc[entry]
        entry = trace_from[entry]
    return path, end_final >= 0


@numba.njit(cache=True)
def _grown(values):
    """Return a copy with twice the room."""
    larger = np.empty(2 * len(values), values.dtype)
    larger[:len(values)] = values
    return larger
