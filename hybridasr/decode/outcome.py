"""Owns the results of a search between two frames: best path, shared beginning, alternatives.

The kernels take a `viterbi.SearchState`. Only `alternatives` changes it.
"""

import numba
import numpy as np

from hybridasr.decode.links import order_tokens, prune


@numba.njit(cache=True, nogil=True)
def best_path(progress, final, at_end):
    """Follow the best living token back to the start: (arcs, their scores, complete).

    With `at_end` the best final token wins, if one lives; otherwise final costs do not count.
    """
    cost, token, tokens = progress.alive.cost, progress.alive.token, progress.tokens
    best_final, best_any = np.inf, np.inf
    end_final, end_any = -1, -1
    for state in progress.alive.states[:progress.num_active]:
        if cost[state] < best_any:
            best_any, end_any = cost[state], state
        if at_end and cost[state] + final[state] < best_final:
            best_final, end_final = cost[state] + final[state], state
    end = end_final if end_final >= 0 else end_any
    if end < 0:
        return tokens.arc[:0], tokens.acoustic[:0], False
    arcs = _trace(tokens.arc, tokens.origin, token[end] - 1, tokens.arc)
    return arcs, _trace(tokens.arc, tokens.origin, token[end] - 1, tokens.acoustic), end_final >= 0


@numba.njit(cache=True, nogil=True)
def shared_arcs(progress):
    """Return the arcs that the paths to all living tokens begin with."""
    tokens = progress.tokens
    fork = _fork(progress)
    return tokens.arc[:0] if fork < 0 else _trace(tokens.arc, tokens.origin, fork, tokens.arc)


@numba.njit(cache=True, nogil=True)
def settle(progress):
    """Let the search begin where living paths part; return (arcs up to there, their scores)."""
    tokens = progress.tokens
    fork = _fork(progress)
    if fork < 0:
        return tokens.arc[:0].copy(), tokens.acoustic[:0].copy()
    arcs = _trace(tokens.arc, tokens.origin, fork, tokens.arc)
    acoustic = _trace(tokens.arc, tokens.origin, fork, tokens.acoustic)
    # What came before is dropped when tokens are compacted the next time.
    tokens.arc[fork] = tokens.origin[fork] = -1
    return arcs, acoustic


@numba.njit(cache=True, nogil=True)
def ending(progress, graph, silent):
    """Return how the best path ends: (frames of silence, all of it is, cost, cost with final).

    `silent` (num_arcs,) marks the arcs that read a frame of silence. The second value says that
    the frames of silence reach back to where the trace begins.
    """
    cost, states = progress.alive.cost, progress.alive.states[:progress.num_active]
    best, best_final, end = np.inf, np.inf, -1
    for state in states:
        if cost[state] < best:
            best, end = cost[state], state
        best_final = min(best_final, cost[state] + graph.final[state])
    frames = 0
    if end < 0:
        return frames, True, best, best_final
    arc, origin = progress.tokens.arc, progress.tokens.origin
    entry = progress.alive.token[end] - 1
    while arc[entry] >= 0:
        if graph.pdfs[arc[entry]] >= 0:
            if not silent[arc[entry]]:
                return frames, False, best, best_final
            frames += 1
        entry = origin[entry]
    return frames, True, best, best_final


@numba.njit(cache=True, nogil=True)
def _fork(progress):
    """Return the last token that the paths to all living tokens share, -1 if none lives."""
    tokens, states = progress.tokens, progress.alive.states[:progress.num_active]
    if len(states) == 0:
        return -1
    path = np.empty(progress.num_tokens, np.int32)
    length = 0
    entry = progress.alive.token[states[0]] - 1
    while entry >= 0:
        path[length] = entry
        length += 1
        entry = tokens.origin[entry]
    # The place of a token on the first path, counted from its end; one past it where another
    # path has been.
    place = np.full(progress.num_tokens, -1, np.int32)
    for number in range(length):
        place[path[number]] = number
    fork = 0
    for state in states:
        entry = progress.alive.token[state] - 1
        while place[entry] < 0:
            place[entry] = length
            entry = tokens.origin[entry]
        if place[entry] < length:
            fork = max(fork, place[entry])
    return path[fork]


@numba.njit(cache=True, nogil=True)
def _trace(arc, origin, end, values):
    """Return `values` of the tokens from the start, without it, to `end`."""
    length = 0
    entry = end
    while arc[entry] >= 0:
        length += 1
        entry = origin[entry]
    # The length is known now: filled from the end, the path needs no turning round.
    path = np.empty(length, values.dtype)
    entry = end
    while arc[entry] >= 0:
        length -= 1
        path[length] = values[entry]
        entry = origin[entry]
    return path


@numba.njit(cache=True, nogil=True)
def alternatives(progress, final, complete, lattice_beam):
    """Prune and order; return (origins, targets, arcs, scores of links, final costs of tokens).

    The search cannot go on from there.
    """
    alive, tokens, links = progress.alive, progress.tokens, progress.links
    frame = progress.frame
    # Arrays of the last frame's tokens alone, which are the last ones.
    first = tokens.ends[frame - 1]
    last_final = np.empty(tokens.ends[frame] - first)
    extra = np.empty(len(last_final))
    for state in alive.states[:progress.num_active]:
        token = alive.token[state] - 1 - first
        last_final[token] = final[state] if complete else 0.0
        extra[token] = alive.cost[state]
    extra += last_final
    extra -= extra.min()
    extra[extra > lattice_beam] = np.inf
    # A token that is not final itself may lead to one that is, over an epsilon arc.
    number = prune(tokens, links, frame, extra, lattice_beam)[first:]
    place = order_tokens(tokens, links, frame)
    finals = np.full(len(place), np.inf)
    for token in range(len(number)):
        if number[token] >= 0 and extra[token] < np.inf:
            finals[place[number[token]]] = last_final[token]
    num_links = links.ends[2 * frame + 1]
    origins, targets = place[links.origin[:num_links]], place[links.target[:num_links]]
    # Links against the order close a cycle of epsilon arcs.
    forward = origins < targets
    return (origins[forward], targets[forward], links.arc[:num_links][forward],
            links.acoustic[:num_links][forward], finals)
