"""Owns the kernels of the beam search: token passing over frames, with links for lattices.

As in Kaldi's faster-decoder and lattice-faster-decoder: one token a state and frame, pruned to a
beam around the best and to a maximum number of states, epsilon arcs closed after every frame.
A search is `start`, `advance` as often as there are blocks of frames, and what `outcome` reads from
it. The result of a frame depends on the frames before it alone, never on how they are cut into
blocks.
"""

from typing import NamedTuple

import numba
import numpy as np

from hybridasr.decode.links import Links, Tokens, compact, prune
from hybridasr.lattice.trie import grown

HISTOGRAM_BINS = 256
FIRST_TOKENS = 1 << 16  # room at first: an utterance of words is searched without compacting
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
    """Beam and bounds of `SearchOptions`; a negative lattice beam keeps no links."""

    beam: float
    max_active: int
    min_active: int
    lattice_beam: float


class Alive(NamedTuple):
    """The token of each state in this frame, if any: its cost and number; the states with one.

    `token` is the number plus 1, and 0 where none lives; only where one lives has `cost` a meaning.
    So a search begins in zeros, and touches the memory of those states alone that it visits.
    `queue` and `queued` are room for closing epsilon arcs.
    """

    cost: np.ndarray
    token: np.ndarray
    states: np.ndarray
    queue: np.ndarray
    queued: np.ndarray


class SearchState(NamedTuple):
    """A search between two frames.

    Attributes
    ----------
    alive : Alive
    tokens : Tokens
    links : Links
    num_active, num_tokens : int
        Living states; tokens in use.
    frame : int
        Frames done.
    prune_at : int
        Number of links at which they are pruned.
    """

    alive: Alive
    tokens: Tokens
    links: Links
    num_active: int
    num_tokens: int
    frame: int
    prune_at: int


def nothing_alive(num_states):
    """Return the room of a search; the system gives its zeros without touching memory."""
    return Alive(np.empty(num_states), np.zeros(num_states, np.int32),
                 np.empty(num_states, np.int32), np.empty(num_states, np.int32),
                 np.zeros(num_states, np.bool_))


@numba.njit(cache=True, nogil=True)
def columns_needed(pdfs, ilabel):
    """Return the number of columns that the arcs read, -1 if an emitting arc has none."""
    most, least = -1, 0
    for arc in range(len(pdfs)):
        most = max(most, pdfs[arc])
        if ilabel[arc] != 0:
            least = min(least, pdfs[arc])
    return most + 1 if least >= 0 else -1


def start(state, graph, pruning, alive):
    """Return a search before its first frame: in `state`, and where epsilon arcs lead from it.

    `alive` is as from `nothing_alive`.
    """
    return _search_state(alive, _start(state, graph, pruning, alive))


def advance(progress, graph, loglikes, acoustic_scale, pruning):
    """Return the search after `loglikes` (num_frames, num_columns); its arrays are reused."""
    return _search_state(progress.alive,
                         _advance(progress, graph, loglikes, acoustic_scale, pruning))


def _search_state(alive, parts):
    tokens, links, *counts = parts
    return SearchState(alive, Tokens(*tokens), Links(*links), *counts)


@numba.njit(cache=True, nogil=True)
def _plain(tokens, links, num_active, num_tokens, frame, prune_at):
    # A named tuple is made by Python: within another one, Ctrl-C meanwhile would end the process
    # with a segmentation fault.
    return ((tokens.arc, tokens.origin, tokens.acoustic, tokens.ends),
            (links.origin, links.target, links.arc, links.acoustic, links.slack, links.ends),
            num_active, num_tokens, frame, prune_at)


@numba.njit(cache=True, nogil=True)
def _start(state, graph, pruning, alive):
    # A frame makes at most one token a state: with that much room none is looked for in its loops.
    room = len(graph.final) + FIRST_TOKENS
    tokens = Tokens(np.empty(room, np.int32), np.empty(room, np.int32),
                    np.empty(room, np.float32), np.zeros(1, np.int64))
    room = FIRST_LINKS if pruning.lattice_beam >= 0 else 0
    links = Links(np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.int32),
                  np.empty(room, np.float32), np.empty(room), np.zeros(2, np.int64))
    alive.cost[state], alive.token[state], alive.states[0] = 0.0, 1, state
    tokens.arc[0] = tokens.origin[0] = -1
    num_active, num_tokens = _close(graph, np.inf, alive, 1, tokens, 1)
    if pruning.lattice_beam >= 0:
        links = _end_frame(graph, np.inf, alive, num_active, tokens, num_tokens, links, 0, 0,
                           pruning.lattice_beam)
    return _plain(tokens, links, num_active, num_tokens, 0, FIRST_LINKS)


@numba.njit(cache=True, nogil=True)
def _advance(progress, graph, loglikes, acoustic_scale, pruning):
    alive, tokens, links = progress.alive, progress.tokens, progress.links
    num_active, num_tokens = progress.num_active, progress.num_tokens
    frame, prune_at = progress.frame, progress.prune_at
    lattice_beam = pruning.lattice_beam
    with_links = lattice_beam >= 0
    if with_links:
        tokens, links = _with_frames(tokens, links, frame + len(loglikes))
    for row in range(len(loglikes)):
        frame += 1
        if num_tokens + len(alive.cost) > len(tokens.arc):
            tokens, num_tokens = _with_tokens(alive, num_active, tokens, num_tokens, with_links)
        # Copied: the living states of the next frame are written over those of this one.
        states = alive.states[:num_active].copy()
        costs, origins = alive.cost[states], alive.token[states] - 1
        for state in states:
            alive.token[state] = 0
        num_links = 0
        if with_links:
            num_links = links.ends[2 * frame - 1]
            links = _with_room(links, num_links, graph.arc_offsets, graph.eps_offsets, states)
        limit, width = _limits(costs, pruning.beam, pruning.max_active, pruning.min_active)
        num_active, num_tokens, cutoff, num_links = _emit(
            graph, loglikes[row], acoustic_scale, states, costs, origins, limit, width, alive,
            tokens, num_tokens, links, num_links, lattice_beam)
        num_active, num_tokens = _close(graph, cutoff, alive, num_active, tokens, num_tokens)
        if not with_links:
            continue
        links = _end_frame(graph, cutoff, alive, num_active, tokens, num_tokens, links, num_links,
                           frame, lattice_beam)
        # Extra costs of 0: as long as the end is open, every living token may be on the best path.
        if links.ends[2 * frame + 1] > prune_at:
            number = prune(tokens, links, frame, np.zeros(num_tokens - tokens.ends[frame - 1]),
                           lattice_beam)
            for state in alive.states[:num_active]:
                alive.token[state] = number[alive.token[state] - 1] + 1
            num_tokens = tokens.ends[frame]
            prune_at = max(FIRST_LINKS, 2 * links.ends[2 * frame + 1])
    return _plain(tokens, links, num_active, num_tokens, frame, prune_at)


@numba.njit(cache=True, nogil=True)
def _with_frames(tokens, links, num_frames):
    """Return tokens and links with room for the ends of `num_frames` frames."""
    room = num_frames + 1 - len(tokens.ends)
    if room <= 0:
        return tokens, links
    return (Tokens(tokens.arc, tokens.origin, tokens.acoustic, grown(tokens.ends, room)),
            Links(links.origin, links.target, links.arc, links.acoustic, links.slack,
                  grown(links.ends, 2 * room)))


@numba.njit(cache=True, nogil=True)
def _with_tokens(alive, num_active, tokens, num_tokens, with_links):
    """Return (tokens with room for one more frame, tokens in use).

    Without links, what no living token comes from is given up first. Half of the room beyond one
    frame's is free then, so that this is seldom called.
    """
    num_states = len(alive.cost)
    if not with_links:
        num_tokens = compact(tokens, num_tokens, alive.states[:num_active], alive.token)
        if 2 * num_tokens <= len(tokens.arc) - num_states:
            return tokens, num_tokens
    return Tokens(grown(tokens.arc, num_states), grown(tokens.origin, num_states),
                  grown(tokens.acoustic, num_states), tokens.ends), num_tokens


@numba.njit(cache=True, nogil=True)
def _limits(costs, beam, max_active, min_active):
    """Return (the worst cost that survives, the beam that amounts to)."""
    # With few states alive there is nothing to save, and more to lose.
    if len(costs) <= min_active:
        return np.inf, np.inf
    best = costs.min()
    if len(costs) > max_active:
        worst = _smallest(costs, max_active - 1)
        # The histogram gives the exact cost here; 0.5 is Kaldi's margin (its --beam-delta).
        if worst < best + beam:
            return worst, worst - best + 0.5
    worst = _smallest(costs, min_active)
    if worst > best + beam:
        return worst, worst - best + 0.5
    return best + beam, beam


@numba.njit(cache=True, nogil=True)
def _smallest(costs, place):
    """Return the cost at `place` in ascending order: a histogram, then its one bin in order."""
    low, high = costs.min(), costs.max()
    # Bins of no width would divide by zero.
    if not high - low > 1e-6:
        return np.partition(costs, place)[place]
    scale = (HISTOGRAM_BINS - 1) / (high - low)
    counts = np.zeros(HISTOGRAM_BINS, np.int64)
    for cost in costs:
        counts[int((cost - low) * scale)] += 1
    chosen, below = 0, 0
    while below + counts[chosen] <= place:
        below += counts[chosen]
        chosen += 1
    inside = np.empty(counts[chosen])
    filled = 0
    for cost in costs:
        if int((cost - low) * scale) == chosen:
            inside[filled] = cost
            filled += 1
    return np.partition(inside, place - below)[place - below]


@numba.njit(cache=True, nogil=True)
def _emit(graph, row, acoustic_scale, states, costs, origins, limit, width, alive, tokens, used,
          links, num_links, lattice_beam):
    """Move surviving tokens over emitting arcs.

    Returns (active states, tokens used, cutoff, links used); a link's slack is at first the cost
    that its target is reached with.
    """
    # Fields of tuples are taken out once: within the loops they would cost reference counts.
    arc_offsets, eps_offsets, weights = graph.arc_offsets, graph.eps_offsets, graph.weights
    pdfs, nextstate = graph.pdfs, graph.nextstate
    cost, token, active = alive.cost, alive.token, alive.states
    token_arc, token_origin, token_acoustic = tokens.arc, tokens.origin, tokens.acoustic
    link_origin, link_target, link_arc = links.origin, links.target, links.arc
    link_acoustic, slack = links.acoustic, links.slack
    num_active = 0
    cutoff = np.inf
    if width < np.inf and len(states) > 0:
        # The best token's arcs bound the next frame's cutoff from the start.
        slot = np.argmin(costs)
        for arc in range(arc_offsets[states[slot]], eps_offsets[states[slot]]):
            reached = costs[slot] + weights[arc] - acoustic_scale * row[pdfs[arc]]
            cutoff = min(cutoff, reached + width)
    # The cutoff falls as better targets come up, so that fewer arcs are followed.
    for slot in range(len(states)):
        if costs[slot] > limit:
            continue
        state = states[slot]
        for arc in range(arc_offsets[state], eps_offsets[state]):
            score = row[pdfs[arc]]
            reached = costs[slot] + weights[arc] - acoustic_scale * score
            # Infinite where the scores rule a pdf out.
            if reached > cutoff or reached == np.inf:
                continue
            target = nextstate[arc]
            if token[target] == 0 or reached < cost[target]:
                cutoff = min(cutoff, reached + width)
                # The first way to this state in this frame makes its token; later ones only
                # improve it.
                if token[target] == 0:
                    used += 1
                    token[target] = used
                    active[num_active] = target
                    num_active += 1
                cost[target] = reached
                token_arc[token[target] - 1] = arc
                token_origin[token[target] - 1] = origins[slot]
                token_acoustic[token[target] - 1] = score
            # The target's cost can only fall, and the link's slack only grow.
            if reached - cost[target] <= lattice_beam:
                link_origin[num_links] = origins[slot]
                link_target[num_links] = token[target] - 1
                link_arc[num_links] = arc
                link_acoustic[num_links] = score
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
    # Ends, since a cost that goes round falls no further: no cycle of epsilon arcs is negative.
    while waiting > 0:
        state = queue[head]
        queued[state] = False
        head = (head + 1) % len(queue)
        waiting -= 1
        for arc in range(eps_offsets[state], arc_offsets[state + 1]):
            reached = cost[state] + weights[arc]
            target = nextstate[arc]
            # Not worse than the best by more than the beam, and better than what is there.
            if reached > cutoff or reached == np.inf or (
                    token[target] > 0 and reached >= cost[target]):
                continue
            if token[target] == 0:
                used += 1
                token[target] = used
                active[num_active] = target
                num_active += 1
            cost[target] = reached
            token_arc[token[target] - 1] = arc
            token_origin[token[target] - 1] = token[state] - 1
            if eps_offsets[target] < arc_offsets[target + 1] and not queued[target]:
                queue[(head + waiting) % len(queue)] = target
                queued[target] = True
                waiting += 1
    return num_active, used


@numba.njit(cache=True, nogil=True)
def _end_frame(graph, cutoff, alive, num_active, tokens, used, links, num_links, frame,
               lattice_beam):
    """Note the frame's ends, link over epsilon arcs, and turn the links' costs into slacks."""
    states = alive.states[:num_active]
    links = _with_room(links, num_links, graph.eps_offsets, graph.arc_offsets[1:], states)
    tokens.ends[frame], links.ends[2 * frame] = used, num_links
    arc_offsets, eps_offsets, weights = graph.arc_offsets, graph.eps_offsets, graph.weights
    nextstate, cost, token = graph.nextstate, alive.cost, alive.token
    link_origin, link_target, link_arc = links.origin, links.target, links.arc
    link_acoustic, slack = links.acoustic, links.slack
    for state in states:
        for arc in range(eps_offsets[state], arc_offsets[state + 1]):
            reached = cost[state] + weights[arc]
            # What the cutoff lets through has made a token.
            if reached <= cutoff and reached - cost[nextstate[arc]] <= lattice_beam:
                link_origin[num_links] = token[state] - 1
                link_target[num_links] = token[nextstate[arc]] - 1
                link_arc[num_links] = arc
                link_acoustic[num_links] = 0.0
                slack[num_links] = reached
                num_links += 1
    # Only now are the targets' costs final.
    for link in range(links.ends[2 * frame - 1] if frame > 0 else 0, num_links):
        slack[link] -= cost[nextstate[link_arc[link]]]
    links.ends[2 * frame + 1] = num_links
    return links


@numba.njit(cache=True, nogil=True)
def _with_room(links, num_links, begins, ends, states):
    """Return the links with room for one more for each arc of `states`."""
    room = num_links - len(links.arc)
    for state in states:
        room += ends[state] - begins[state]
    if room <= 0:
        return links
    return Links(grown(links.origin, room), grown(links.target, room), grown(links.arc, room),
                 grown(links.acoustic, room), grown(links.slack, room), links.ends)
