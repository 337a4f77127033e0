"""Owns the tokens and links of a search: pruning to the lattice beam, and topological order.

A token is a state in a frame, a link an arc from one token to another. The slack of a link is what
the path over it costs more than the best path to its target; the extra cost of a token, what the
best path over it costs more than the best path of all (Kaldi's lattice-faster-decoder: link and
token extra costs). "Frame" 0 is what lives before the first frame, frame t what lives after t.
"""

from typing import NamedTuple

import numba
import numpy as np


class Tokens(NamedTuple):
    """The best way to each token.

    Attributes
    ----------
    arc, origin : int32
        Last arc and the token before it; -1 for the start, which is token 0.
    acoustic : float32
        Log likelihood of the last arc's frame; anything on epsilon arcs.
    ends : int64 (num_frames + 1,)
        Number of tokens up to each frame, that frame included; used with links alone.
    """

    arc: np.ndarray
    origin: np.ndarray
    acoustic: np.ndarray
    ends: np.ndarray


class Links(NamedTuple):
    """All ways to each token.

    Attributes
    ----------
    origin, target, arc : int32
    acoustic : float32
        Log likelihood of the arc's frame; 0 on epsilon arcs.
    slack : float64
    ends : int64 (2 * (num_frames + 1),)
        Number of links up to each frame: at 2 t without, at 2 t + 1 with those of its epsilon
        arcs.
    """

    origin: np.ndarray
    target: np.ndarray
    arc: np.ndarray
    acoustic: np.ndarray
    slack: np.ndarray
    ends: np.ndarray


@numba.njit(cache=True, nogil=True)
def compact(tokens, num_tokens, states, token):
    """Drop tokens that no living one comes from; the others move up, in place.

    `token` holds the token of each of `states`, plus 1, and gets its new number. Returns how many
    tokens are left.
    """
    token_arc, token_origin, acoustic = tokens.arc, tokens.origin, tokens.acoustic
    number = np.full(num_tokens, -1, np.int32)
    for state in states:
        entry = token[state] - 1
        # Back along the best path until a token that another path has marked already.
        while entry >= 0 and number[entry] < 0:
            number[entry] = 0
            entry = token_origin[entry]
    count = 0
    for entry in range(num_tokens):
        if number[entry] == 0:
            number[entry] = count
            count += 1
    # A token's origin may come after it in the same frame, over an epsilon arc.
    for entry in range(num_tokens):
        place = number[entry]
        if place >= 0:
            origin = token_origin[entry]
            token_arc[place], acoustic[place] = token_arc[entry], acoustic[entry]
            token_origin[place] = number[origin] if origin >= 0 else -1
    for state in states:
        token[state] = number[token[state] - 1] + 1
    return count


@numba.njit(cache=True, nogil=True)
def prune(tokens, links, frame, last_extra, lattice_beam):
    """Drop tokens and links that no path within the beam uses; the others move up, in place.

    `last_extra` holds the extra costs of the tokens of `frame`, the last one so far; they stay if
    that is finite. Returns the new number of each token, -1 if dropped.
    """
    # Fields of tuples are taken out once: within the loops they would cost reference counts.
    token_arc, token_origin, token_ends = tokens.arc, tokens.origin, tokens.ends
    token_acoustic, acoustic = tokens.acoustic, links.acoustic
    origins, targets, arcs, slack, ends = (links.origin, links.target, links.arc, links.slack,
                                           links.ends)
    extra = np.full(token_ends[frame], np.inf)
    # Only the last frame's tokens have an extra cost so far; the others get theirs from the links.
    extra[len(extra) - len(last_extra):] = last_extra
    for at in range(frame, -1, -1):
        before = ends[2 * at - 1] if at > 0 else 0
        emitted, end = ends[2 * at], ends[2 * at + 1]
        # The epsilon links of a frame come in no order.
        while _relax(origins, targets, slack, emitted, end, extra, lattice_beam):
            pass
        _relax(origins, targets, slack, before, emitted, extra, lattice_beam)
    number = np.full(len(extra), -1, np.int32)
    first, count = 0, 0
    for at in range(frame + 1):
        last = token_ends[at]
        for token in range(first, last):
            if extra[token] < np.inf:
                number[token] = count
                count += 1
        # A token's origin may come after it in the same frame, over an epsilon arc.
        for token in range(first, last):
            if number[token] >= 0:
                origin = token_origin[token]
                token_arc[number[token]] = token_arc[token]
                token_acoustic[number[token]] = token_acoustic[token]
                token_origin[number[token]] = number[origin] if origin >= 0 else -1
        token_ends[at], first = count, last
    first, count = 0, 0
    for part in range(2 * frame + 2):
        last = ends[part]
        for link in range(first, last):
            if slack[link] + extra[targets[link]] <= lattice_beam:
                origins[count] = number[origins[link]]
                targets[count] = number[targets[link]]
                arcs[count], slack[count] = arcs[link], slack[link]
                acoustic[count] = acoustic[link]
                count += 1
        ends[part], first = count, last
    return number


@numba.njit(cache=True, nogil=True)
def _relax(origins, targets, slack, begin, end, extra, lattice_beam):
    """Carry extra costs over links, last one first; return whether any fell."""
    changed = False
    # Backwards: later links mostly lead to tokens whose extra cost is known.
    for link in range(end - 1, begin - 1, -1):
        cost = slack[link] + extra[targets[link]]
        if cost <= lattice_beam and cost < extra[origins[link]]:
            extra[origins[link]] = cost
            changed = True
    return changed


@numba.njit(cache=True, nogil=True)
def order_tokens(tokens, links, num_frames):
    """Return the place of each token, such that every link leads to a later one.

    Links that close a cycle of epsilon arcs, which no best path takes, are the exception: they
    lead back.
    """
    place = np.full(tokens.ends[num_frames], -1, np.int32)
    first, count = 0, 0
    for frame in range(num_frames + 1):
        last = tokens.ends[frame]
        begin, end = links.ends[2 * frame], links.ends[2 * frame + 1]
        count = _order_frame(tokens.origin, links.origin[begin:end], links.target[begin:end],
                             first, last, place, count)
        first = last
    return place


@numba.njit(cache=True, nogil=True)
def _order_frame(best, origins, targets, first, last, place, count):
    """Number the tokens of one frame (Kahn's algorithm over its epsilon links)."""
    if len(origins) == 0:
        for token in range(first, last):
            place[token] = count + token - first
        return count + last - first
    offsets = np.zeros(last - first + 1, np.int64)
    waiting = np.zeros(last - first, np.int64)  # links from tokens that have no place yet
    for origin, target in zip(origins, targets):  # noqa: B905 (numba knows no strict)
        offsets[origin - first + 1] += 1
        waiting[target - first] += 1
    onward = np.argsort(origins, kind="mergesort")
    offsets = np.cumsum(offsets)
    ready = np.empty(last - first, np.int64)
    num_ready, num_placed = 0, 0
    for token in range(first, last):
        if waiting[token - first] == 0:
            ready[num_ready] = token
            num_ready += 1
    while num_placed < last - first:
        if num_placed == num_ready:
            # A cycle: the token that its best path enters from outside goes first.
            for token in range(first, last):
                if waiting[token - first] > 0 and (
                        best[token] < first or place[best[token]] >= 0):
                    waiting[token - first] = 0
                    ready[num_ready] = token
                    num_ready += 1
                    break
        token = ready[num_placed]
        num_placed += 1
        place[token] = count
        count += 1
        for link in onward[offsets[token - first]:offsets[token - first + 1]]:
            target = targets[link] - first
            waiting[target] -= 1
            if waiting[target] == 0:
                ready[num_ready] = target + first
                num_ready += 1
    return count
