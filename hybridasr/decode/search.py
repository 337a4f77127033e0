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
    # The token of a state in this frame: its cost and its entry in the trace.
    cost = np.full(num_states, np.inf)
    token = np.full(num_states, -1, np.int64)
    active = np.empty(num_states, np.int32)
    queue = np.empty(num_states, np.int32)
    queued = np.zeros(num_states, np.bool_)
    trace_arc = np.empty(num_states + 4096, np.int32)
    trace_from = np.empty(num_states + 4096, np.int64)
    cost[start] = 0.0
    active[0] = start
    num_active, used, cutoff = 1, 0, np.inf
    num_active, used = _close(arc_offsets, eps_offsets, weights, nextstate, cutoff, cost, token,
                              active, num_active, queue, queued, trace_arc, trace_from, used)
    for frame in range(len(loglikes)):
        if used + num_states > len(trace_arc):
            trace_arc, trace_from = _grown(trace_arc), _grown(trace_from)
        states = active[:num_active].copy()
        costs = cost[states]
        tokens = token[states]
        for state in states:
            cost[state] = np.inf
            token[state] = -1
        limit, width = _limits(costs, beam, max_active, min_active)
        num_active, used, cutoff = _emit(
            arc_offsets, eps_offsets, arc_pdfs, weights, nextstate, loglikes[frame],
            acoustic_scale, states, costs, tokens, limit, width, cost, token, active, trace_arc,
            trace_from, used)
        num_active, used = _close(arc_offsets, eps_offsets, weights, nextstate, cutoff, cost,
                                  token, active, num_active, queue, queued, trace_arc, trace_from,
                                  used)
    return _best_path(cost, token, final, active[:num_active], trace_arc, trace_from)


@numba.njit(cache=True)
def _limits(costs, beam, max_active, min_active):
    """Return (the worst cost that survives, the beam that amounts to)."""
    if len(costs) <= min_active:
        return np.inf, np.inf
    best = costs.min()
    if len(costs) > max_active:
        kept = np.partition(costs, max_active - 1)[max_active - 1]
        if kept < best + beam:
            return kept, kept - best + 0.5
    wanted = np.partition(costs, min_active)[min_active]
    if wanted > best + beam:
        return wanted, wanted - best + 0.5
    return best + beam, beam


@numba.njit(cache=True)
def _emit(arc_offsets, eps_offsets, arc_pdfs, weights, nextstate, row, acoustic_scale, states,
          costs, tokens, limit, width, cost, token, active, trace_arc, trace_from, used):
    """Move surviving tokens over emitting arcs; return (active states, trace used, cutoff)."""
    num_active = 0
    cutoff = np.inf
    if width < np.inf and len(states) > 0:
        # The best token's arcs bound the next frame's cutoff from the start.
        slot = np.argmin(costs)
        for arc in range(arc_offsets[states[slot]], eps_offsets[states[slot]]):
            reached = costs[slot] + weights[arc] - acoustic_scale * row[arc_pdfs[arc]]
            cutoff = min(cutoff, reached + width)
    for slot in range(len(states)):
        if costs[slot] > limit:
            continue
        state = states[slot]
        for arc in range(arc_offsets[state], eps_offsets[state]):
            reached = costs[slot] + weights[arc] - acoustic_scale * row[arc_pdfs[arc]]
            target = nextstate[arc]
            if reached > cutoff or reached >= cost[target]:
                continue
            cutoff = min(cutoff, reached + width)
            if token[target] < 0:
                token[target] = used
                active[num_active] = target
                num_active += 1
                used += 1
            cost[target] = reached
            trace_arc[token[target]] = arc
            trace_from[token[target]] = tokens[slot]
    return num_active, used, cutoff


@numba.njit(cache=True)
def _close(arc_offsets, eps_offsets, weights, nextstate, cutoff, cost, token, active, num_active,
           queue, queued, trace_arc, trace_from, used):
    """Relax epsilon arcs until nothing falls; return (active states, trace used).

    `queue` is a ring in which a state is at most once.
    """
    head, waiting = 0, 0
    for slot in range(num_active):
        if eps_offsets[active[slot]] < arc_offsets[active[slot] + 1]:
            queue[waiting] = active[slot]
            queued[active[slot]] = True
            waiting += 1
    while waiting > 0:
        state = queue[head]
        queued[state] = False
        head = (head + 1) % len(queue)
        waiting -= 1
        for arc in range(eps_offsets[state], arc_offsets[state + 1]):
            reached = cost[state] + weights[arc]
            target = nextstate[arc]
            if reached > cutoff or reached >= cost[target]:
                continue
            if cost[target] == np.inf:
                token[target] = used
                active[num_active] = target
                num_active += 1
                used += 1
            cost[target] = reached
            trace_arc[token[target]] = arc
            trace_from[token[target]] = token[state]
            if eps_offsets[target] < arc_offsets[target + 1] and not queued[target]:
                queue[(head + waiting) % len(queue)] = target
                queued[target] = True
                waiting += 1
    return num_active, used


@numba.njit(cache=True)
def _best_path(cost, token, final, active, trace_arc, trace_from):
    """Follow the best final token, or the best of all if none is final, back to the start."""
    best_final, best_any = np.inf, np.inf
    end_final, end_any = -1, -1
    for state in active:
        if cost[state] < best_any:
            best_any, end_any = cost[state], state
        if cost[state] + final[state] < best_final:
            best_final, end_final = cost[state] + final[state], state
    end = end_final if end_final >= 0 else end_any
    if end < 0:
        return np.empty(0, np.int32), False
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
    """Return a copy with at least twice the room."""
    larger = np.empty(2 * len(values), values.dtype)
    larger[:len(values)] = values
    return larger
