"""Owns the kernels of the beam search: token passing over frames, with links for lattices.

As in Kaldi's faster-decoder and lattice-faster-decoder: one token a state and frame, pruned to a
beam around the best and to a maximum number of states, epsilon arcs closed after every frame.
"""

from typing import NamedTuple

import numba
import numpy as np

from hybridasr.decode.links import Links, Tokens, prune, topological_order
from hybridasr.gmm.lazy import score_ahead
from hybridasr.lattice.trie import grown

HISTOGRAM_BINS = 256
FIRST_LINKS = 1 << 14  # links are pruned when this many are there, then when they have doubled


class Graph(NamedTuple):
    """A `DecodingGraph`'s arrays, with the column of the scores that each arc reads."""

    arc_offsets: np.ndarray
    eps_offsets: np.ndarray
    pdfs: np.ndarray
    weights: np.ndarray
    nextstate: np.ndarray
    final: np.ndarray


class Pruning(NamedTuple):
    """Beam and bounds of `SearchOptions`."""

    beam: float
    max_active: int
    min_active: int


class _Alive(NamedTuple):
    """The token of each state in this frame, if any: its cost and number; the states with one."""

    cost: np.ndarray
    token: np.ndarray
    states: np.ndarray
    queue: np.ndarray
    queued: np.ndarray


@numba.njit(cache=True, nogil=True)
def viterbi(start, graph, scores, acoustic_scale, pruning, lattice_beam):
    """Return (arcs of the best path in order, whether it ends in a final state, alternatives).

    The alternatives are as `_alternatives` gives them; empty where `lattice_beam` is negative.
    """
    num_states, num_frames = len(graph.final), len(scores.loglikes)
    alive = _Alive(np.full(num_states, np.inf), np.full(num_states, -1, np.int32),
                   np.empty(num_states, np.int32), np.empty(num_states, np.int32),
                   np.zeros(num_states, np.bool_))
    tokens = Tokens(np.empty(num_states + 4096, np.int32), np.empty(num_states + 4096, np.int32),
                    np.zeros(num_frames + 1, np.int64))
    keep = lattice_beam >= 0
    room = FIRST_LINKS if keep else 0
    links = Links(np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.int32),
                  np.empty(room), np.zeros((num_frames + 1, 2), np.int64))
    alive.cost[start], alive.token[start], alive.states[0] = 0.0, 0, start
    tokens.arc[0] = tokens.origin[0] = -1
    num_active, used = _close(graph, np.inf, alive, 1, tokens, 1)
    links = _end_frame(graph, np.inf, alive, num_active, tokens, used, links, 0, 0,
                       lattice_beam)
    prune_at = FIRST_LINKS
    for frame in range(1, num_frames + 1):
        if used + num_states > len(tokens.arc):
            tokens = Tokens(grown(tokens.arc, num_states), grown(tokens.origin, num_states),
                            tokens.ends)
        states = alive.states[:num_active].copy()
        costs, origins = alive.cost[states], alive.token[states]
        for state in states:
            alive.cost[state] = np.inf
            alive.token[state] = -1
        begin = links.ends[frame - 1, 1]
        if keep:
            links = _with_room(links, begin, graph.arc_offsets, graph.eps_offsets, states)
        limit, width = _limits(costs, pruning.beam, pruning.max_active, pruning.min_active)
        num_active, used, cutoff, num_links = _emit(
            graph, scores, frame - 1, acoustic_scale, states, costs, origins, limit, width, alive,
            tokens, used, links, begin, lattice_beam)
        num_active, used = _close(graph, cutoff, alive, num_active, tokens, used)
        links = _end_frame(graph, cutoff, alive, num_active, tokens, used, links, num_links, frame,
                           lattice_beam)
        if links.ends[frame, 1] > prune_at:
            number = prune(tokens, links, frame, np.zeros(used - tokens.ends[frame - 1]),
                           lattice_beam)
            for state in alive.states[:num_active]:
                alive.token[state] = number[alive.token[state]]
            used = tokens.ends[frame]
            prune_at = max(FIRST_LINKS, 2 * links.ends[frame, 1])
    states = alive.states[:num_active]
    path, complete = _best_path(alive.cost, alive.token, graph.final, states, tokens.arc,
                                tokens.origin)
    if not keep or num_active == 0:
        nothing = np.empty(0, np.int32)
        return path, complete, (nothing, nothing, nothing, nothing, np.empty(0))
    return path, complete, _alternatives(graph.final, alive, states, complete, tokens, links,
                                         num_frames, lattice_beam)


@numba.njit(cache=True, nogil=True)
def _limits(costs, beam, max_active, min_active):
    """Return (the worst cost that survives, the beam that amounts to)."""
    if len(costs) <= min_active:
        return np.inf, np.inf
    best = costs.min()
    if len(costs) > max_active:
        kept = _smallest(costs, max_active - 1)
        if kept < best + beam:
            return kept, kept - best + 0.5
    wanted = _smallest(costs, min_active)
    if wanted > best + beam:
        return wanted, wanted - best + 0.5
    return best + beam, beam


@numba.njit(cache=True, nogil=True)
def _smallest(costs, place):
    """Return the cost at `place` in ascending order: a histogram, then its one bin in order."""
    low, high = costs.min(), costs.max()
    if not high - low > 1e-6:
        return np.partition(costs, place)[place]
    scale = (HISTOGRAM_BINS - 1) / (high - low)
    counts = np.zeros(HISTOGRAM_BINS, np.int64)
    for cost in costs:
        counts[int((cost - low) * scale)] += 1
    wanted, below = 0, 0
    while below + counts[wanted] <= place:
        below += counts[wanted]
        wanted += 1
    inside = np.empty(counts[wanted])
    filled = 0
    for cost in costs:
        if int((cost - low) * scale) == wanted:
            inside[filled] = cost
            filled += 1
    return np.partition(inside, place - below)[place - below]


@numba.njit(cache=True, nogil=True)
def _emit(graph, scores, frame, acoustic_scale, states, costs, origins, limit, width, alive, tokens,
          used, links, num_links, lattice_beam):
    """Move surviving tokens over emitting arcs.

    Returns (active states, tokens used, cutoff, links used); a link's slack is at first the cost
    that its target is reached with.
    """
    # Fields of tuples are taken out once: within the loops they would cost reference counts.
    row = scores.loglikes[frame]
    arc_offsets, eps_offsets, weights = graph.arc_offsets, graph.eps_offsets, graph.weights
    pdfs, nextstate = graph.pdfs, graph.nextstate
    cost, token, active = alive.cost, alive.token, alive.states
    token_arc, token_origin = tokens.arc, tokens.origin
    link_origin, link_target, link_arc, slack = (links.origin, links.target, links.arc,
                                                 links.slack)
    num_active = 0
    cutoff = np.inf
    if width < np.inf and len(states) > 0:
        # The best token's arcs bound the next frame's cutoff from the start.
        slot = np.argmin(costs)
        for arc in range(arc_offsets[states[slot]], eps_offsets[states[slot]]):
            if np.isnan(row[pdfs[arc]]):
                score_ahead(scores, frame, pdfs[arc])
            reached = costs[slot] + weights[arc] - acoustic_scale * row[pdfs[arc]]
            cutoff = min(cutoff, reached + width)
    for slot in range(len(states)):
        if costs[slot] > limit:
            continue
        state = states[slot]
        for arc in range(arc_offsets[state], eps_offsets[state]):
            if np.isnan(row[pdfs[arc]]):
                score_ahead(scores, frame, pdfs[arc])
            reached = costs[slot] + weights[arc] - acoustic_scale * row[pdfs[arc]]
            if reached > cutoff:
                continue
            target = nextstate[arc]
            if reached < cost[target]:
                cutoff = min(cutoff, reached + width)
                if token[target] < 0:
                    token[target] = used
                    active[num_active] = target
                    num_active += 1
                    used += 1
                cost[target] = reached
                token_arc[token[target]] = arc
                token_origin[token[target]] = origins[slot]
            # The target's cost can only fall, and the link's slack only grow.
            if reached - cost[target] <= lattice_beam:
                link_origin[num_links] = origins[slot]
                link_target[num_links] = token[target]
                link_arc[num_links] = arc
                slack[num_links] = reached
                num_links += 1
    return num_active, used, cutoff, num_links


@numba.njit(cache=True, nogil=True)
def _close(graph, cutoff, alive, num_active, tokens, used):
    """Relax epsilon arcs until nothing falls; return (active states, tokens used).

    The queue is a ring in which a state is at most once.
    """
    arc_offsets, eps_offsets, weights = graph.arc_offsets, graph.eps_offsets, graph.weights
    nextstate, cost, token, active = graph.nextstate, alive.cost, alive.token, alive.states
    queue, queued = alive.queue, alive.queued
    token_arc, token_origin = tokens.arc, tokens.origin
    head, waiting = 0, 0
    for state in active[:num_active]:
        if eps_offsets[state] < arc_offsets[state + 1]:
            queue[waiting] = state
            queued[state] = True
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
            token_arc[token[target]] = arc
            token_origin[token[target]] = token[state]
            if eps_offsets[target] < arc_offsets[target + 1] and not queued[target]:
                queue[(head + waiting) % len(queue)] = target
                queued[target] = True
                waiting += 1
    return num_active, used


@numba.njit(cache=True, nogil=True)
def _end_frame(graph, cutoff, alive, num_active, tokens, used, links, num_links, frame,
               lattice_beam):
    """Note the frame's ends; for a lattice, link over epsilon arcs and turn costs into slacks."""
    tokens.ends[frame] = used
    if lattice_beam < 0:
        return links
    states = alive.states[:num_active]
    links = _with_room(links, num_links, graph.eps_offsets, graph.arc_offsets[1:], states)
    links.ends[frame, 0] = num_links
    arc_offsets, eps_offsets, weights = graph.arc_offsets, graph.eps_offsets, graph.weights
    nextstate, cost, token = graph.nextstate, alive.cost, alive.token
    link_origin, link_target, link_arc, slack = (links.origin, links.target, links.arc,
                                                 links.slack)
    for state in states:
        for arc in range(eps_offsets[state], arc_offsets[state + 1]):
            reached = cost[state] + weights[arc]
            if reached <= cutoff and reached - cost[nextstate[arc]] <= lattice_beam:
                link_origin[num_links] = token[state]
                link_target[num_links] = token[nextstate[arc]]
                link_arc[num_links] = arc
                slack[num_links] = reached
                num_links += 1
    for link in range(links.ends[frame - 1, 1] if frame > 0 else 0, num_links):
        slack[link] -= cost[nextstate[link_arc[link]]]
    links.ends[frame, 1] = num_links
    return links


@numba.njit(cache=True, nogil=True)
def _with_room(links, num_links, begins, ends, states):
    """Return the links with room for one more for each arc of `states`."""
    wanted = num_links
    for state in states:
        wanted += ends[state] - begins[state]
    if wanted <= len(links.arc):
        return links
    room = wanted - len(links.arc)
    return Links(grown(links.origin, room), grown(links.target, room), grown(links.arc, room),
                 grown(links.slack, room), links.ends)


@numba.njit(cache=True, nogil=True)
def _alternatives(final, alive, states, complete, tokens, links, num_frames, lattice_beam):
    """Prune and order; return (origins, targets, arcs, frames of links, final costs of tokens)."""
    first = tokens.ends[num_frames - 1]
    last_final = np.empty(tokens.ends[num_frames] - first)
    extra = np.empty(len(last_final))
    for state in states:
        last_final[alive.token[state] - first] = final[state] if complete else 0.0
        extra[alive.token[state] - first] = alive.cost[state]
    extra += last_final
    extra -= extra.min()
    extra[extra > lattice_beam] = np.inf
    # A token that is not final itself may lead to one that is, over an epsilon arc.
    number = prune(tokens, links, num_frames, extra, lattice_beam)[first:]
    place = topological_order(tokens, links, num_frames)
    finals = np.full(len(place), np.inf)
    for token in range(len(number)):
        if number[token] >= 0 and extra[token] < np.inf:
            finals[place[number[token]]] = last_final[token]
    num_links = links.ends[num_frames, 1]
    origins, targets = place[links.origin[:num_links]], place[links.target[:num_links]]
    frames = np.empty(num_links, np.int32)
    for frame in range(num_frames + 1):
        frames[links.ends[frame - 1, 1] if frame > 0 else 0:links.ends[frame, 1]] = frame - 1
    forward = origins < targets
    return (origins[forward], targets[forward], links.arc[:num_links][forward], frames[forward],
            finals)


@numba.njit(cache=True, nogil=True)
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
    while trace_arc[entry] >= 0:
        length += 1
        entry = trace_from[entry]
    path = np.empty(length, np.int32)
    entry = token[end]
    while trace_arc[entry] >= 0:
        length -= 1
        path[length] = trace_arc[entry]
        entry = trace_from[entry]
    return path, end_final >= 0
