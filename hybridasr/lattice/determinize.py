"""Owns determinisation of lattices: one path for each sequence of words, the best one.

Takes a `Lattice`; gives a `CompactLattice`. Subset construction over words with weights (graph
cost, acoustic cost, string of transition-ids); the least total wins, as in Kaldi's
determinize-lattice-pruned: D. Povey et al., "Generating exact lattices in the WFST framework",
ICASSP 2012. Subsets are expanded in topological order, so the cost to reach each is known exactly
when it is, and arcs worse than the best path by more than the beam are left out.
"""

import heapq
import logging
from typing import NamedTuple

import numba
import numpy as np

from hybridasr.lattice.lattice import CompactLattice, Lattice
from hybridasr.lattice.trie import (
    HASH_BASE,
    HASH_OTHER,
    Trie,
    child,
    common,
    empty_trie,
    grown,
    precedes,
    rest_code,
    trie_labels,
    with_room,
)

logger = logging.getLogger("hybridasr")
MAX_ELEMENTS = 20_000_000  # of all subsets together: a bound on memory
DELTA = 1 / 1024  # residual costs that differ less count as equal (Kaldi's kDelta)
_TOLERANCE = 1e-6
FIRST_ROOM = 256  # states and arcs, at first


def determinize_lattice(lattice: Lattice, beam: float = np.inf,
                acoustic_scale: float = 1.0) -> CompactLattice:
    """Return the lattice with one path for each sequence of words.

    Parameters
    ----------
    lattice : Lattice
        In topological order.
    beam : float
        Paths worse than the best by more than this (cost) need not be kept. It is narrowed, with
        a warning, where the subsets would take too much memory.
    acoustic_scale : float
        Factor on acoustic costs where paths are compared.

    Returns
    -------
    CompactLattice; without states if no path leads to an end.
    """
    # Arcs without a word first: those with one are the end of each state's row.
    rows = np.lexsort((lattice.word, lattice.source))
    offsets = lattice.arc_offsets
    silent = np.bincount(lattice.source, lattice.word == 0, minlength=lattice.num_states)
    raw = _Raw(offsets, offsets[:-1] + silent.astype(np.int64), lattice.target[rows],
               lattice.tid[rows], lattice.word[rows], lattice.graph[rows],
               # Scaled once here: the kernel compares total costs at every step.
               acoustic_scale * lattice.acoustic[rows], lattice.final_graph,
               acoustic_scale * lattice.final_acoustic)
    while True:
        arcs, states, trie, fits = _determinize(raw, beam, MAX_ELEMENTS)
        if fits:
            break
        # The subsets did not fit into memory; an infinite beam is first brought to a finite one.
        beam = 0.75 * min(beam, 20.0)
        logger.warning("the lattice is too large for its beam, which is narrowed to %.3g", beam)
    arcs, states, trie = _Out(*arcs), _Out(*states), Trie(*trie)
    ends = np.isfinite(states.graph)
    return CompactLattice(
        arcs.source, arcs.target, arcs.word, arcs.graph,
        arcs.acoustic / acoustic_scale, states.graph,
        np.where(ends, states.acoustic / acoustic_scale, 0.0),
        _strings(trie, arcs.base, arcs.node), _strings(trie, states.base, states.node))


def _strings(trie: Trie, bases: np.ndarray, nodes: np.ndarray) -> list[np.ndarray]:
    lengths = trie.length[nodes] - trie.length[bases]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    flat = trie_labels(trie, bases, nodes, offsets)
    return np.split(flat, offsets[1:-1]) if len(nodes) else []


class _Raw(NamedTuple):
    """The lattice, acoustic costs scaled; of each row the arcs from `worded` on have words."""

    offsets: np.ndarray
    worded: np.ndarray
    target: np.ndarray
    tid: np.ndarray
    word: np.ndarray
    graph: np.ndarray
    acoustic: np.ndarray
    final_graph: np.ndarray
    final_acoustic: np.ndarray


class _Elements(NamedTuple):
    """Elements of all subsets, one after the other: raw state, residual costs, string."""

    state: np.ndarray
    graph: np.ndarray
    acoustic: np.ndarray
    node: np.ndarray


class _Work(NamedTuple):
    """The subset in the making: costs and string of the raw states with the current stamp."""

    stamp: np.ndarray
    graph: np.ndarray
    acoustic: np.ndarray
    node: np.ndarray


class _States(NamedTuple):
    """The subsets.

    The end of each one's elements, the string that all of them begin with, hash and chain of the
    table that finds equal ones, cost to reach it, place in topological order.
    """

    ends: np.ndarray
    base: np.ndarray
    code: np.ndarray
    following: np.ndarray
    cost: np.ndarray
    place: np.ndarray


class _Out(NamedTuple):
    """Arcs or final costs of the result; a string is that of `node` without that of `base`."""

    source: np.ndarray
    target: np.ndarray
    word: np.ndarray
    graph: np.ndarray
    acoustic: np.ndarray
    base: np.ndarray
    node: np.ndarray


@numba.njit(cache=True, nogil=True)
def _determinize(raw, beam, max_elements):
    """Return (arcs, final costs of states, trie, whether it fitted into `max_elements`).

    They are plain tuples of the fields: see `decode.viterbi`.
    """
    num_raw, num_raw_arcs = len(raw.final_graph), len(raw.word)
    remaining = _remaining(raw)
    trie = empty_trie(num_raw, num_raw_arcs)
    work = _Work(np.zeros(num_raw, np.int64), np.empty(num_raw), np.empty(num_raw),
                 np.empty(num_raw, np.int32))
    elements = _Elements(np.empty(num_raw, np.int32), np.empty(num_raw), np.empty(num_raw),
                         np.empty(num_raw, np.int32))
    states, arcs, finals = _no_states(), _no_out(), _no_out()
    buckets = np.full(1 << 14, -1, np.int32)
    num_states, num_arcs, num_done, stamp = 0, 0, 0, 1
    heap = [(0, 0)]
    if num_raw > 0 and remaining[0] < np.inf:
        _reach(trie, work, stamp, 0, 0.0, 0.0, 0, 0)
        high = _close(raw, trie, work, stamp, 0, 0)
        _seal(raw, trie, work, stamp, 0, high, remaining, elements, states, 0, buckets, False)
        states.cost[0], num_states = 0.0, 1
    # A little room for rounding, so that the best path itself always stays.
    limit = beam + _TOLERANCE + (remaining[0] if num_raw > 0 else 0.0)
    # By the least raw state: nothing that comes later leads back to it, so its cost is final.
    while num_done < num_states:
        _, state = heapq.heappop(heap)
        if num_done == len(finals.word):
            finals = _grown_out(finals)
        begin, end = states.ends[state - 1] if state > 0 else 0, states.ends[state]
        base, cost = states.base[state], states.cost[state]
        _finish(raw, trie, elements, begin, end, base, limit - cost, finals, num_done)
        states.place[state] = num_done
        num_done += 1
        words, slots, onward = _candidates(raw, elements, begin, end)
        order = np.argsort(words, kind="mergesort")
        # Arcs with the same word lead to one subset.
        first = 0
        while first < len(order):
            last = first
            while last < len(order) and words[order[last]] == words[order[first]]:
                last += 1
            group, first = order[first:last], last
            # A child for each arc at most; the kernels below must not find the trie full.
            trie = with_room(trie, num_raw_arcs + len(group))
            stamp += 1
            low, high, best = _reach_word(raw, trie, work, stamp, elements, slots[group],
                                          onward[group], remaining)
            if best == np.inf or cost + best > limit:
                continue
            high = _close(raw, trie, work, stamp, low, high)
            if num_states == len(states.cost):
                states = _grown_states(states)
            if states.ends[num_states - 1] + num_raw > len(elements.state):
                elements = _Elements(grown(elements.state, num_raw),
                                     grown(elements.graph, num_raw),
                                     grown(elements.acoustic, num_raw),
                                     grown(elements.node, num_raw))
            subset, graph, acoustic, node = _seal(
                raw, trie, work, stamp, low, high, remaining, elements, states, num_states,
                buckets, True)
            if subset == num_states:
                num_states += 1
                first_raw = np.int64(elements.state[states.ends[subset - 1]])
                heapq.heappush(heap, (first_raw, subset))
            states.cost[subset] = min(states.cost[subset], cost + graph + acoustic)
            if num_arcs == len(arcs.word):
                arcs = _grown_out(arcs)
            _put(arcs, num_arcs, state, subset, words[group[0]], graph, acoustic, base, node)
            num_arcs += 1
        if states.ends[num_states - 1] > max_elements:
            return _cut(arcs, 0), _cut(finals, 0), _plain(trie), False
    # States are numbered as they were found; the result wants topological order.
    for arc in range(num_arcs):
        arcs.source[arc] = states.place[arcs.source[arc]]
        arcs.target[arc] = states.place[arcs.target[arc]]
    return _cut(arcs, num_arcs), _cut(finals, num_done), _plain(trie), True


@numba.njit(cache=True, nogil=True)
def _remaining(raw):
    """Return the cost of the best way from each raw state to an end."""
    best = raw.final_graph + raw.final_acoustic
    for state in range(len(best) - 1, -1, -1):
        for arc in range(raw.offsets[state], raw.offsets[state + 1]):
            cost = raw.graph[arc] + raw.acoustic[arc] + best[raw.target[arc]]
            best[state] = min(best[state], cost)
    return best


@numba.njit(cache=True, nogil=True)
def _reach(trie, work, stamp, state, graph, acoustic, node, tid):
    """Reach a raw state at these costs, if that is the best way: total, graph cost, string."""
    known = work.stamp[state] == stamp
    total = graph + acoustic
    # Total cost decides first: this way is worse, and needs no node in the trie.
    if known and total > work.graph[state] + work.acoustic[state]:
        return
    if tid > 0:
        node = child(trie, node, tid)
    # Equal costs: a fixed rule decides, so that results do not depend on the order of arcs.
    if known and total == work.graph[state] + work.acoustic[state]:
        if graph > work.graph[state]:
            return
        if graph == work.graph[state] and not precedes(trie, node, work.node[state]):
            return
    work.stamp[state] = stamp
    work.graph[state], work.acoustic[state], work.node[state] = graph, acoustic, node


@numba.njit(cache=True, nogil=True)
def _reach_word(raw, trie, work, stamp, elements, slots, onward, remaining):
    """Take the arcs of one word; return (first, last raw state, least cost on to an end)."""
    low, high, best = len(raw.final_graph), 0, np.inf
    for slot, arc in zip(slots, onward):  # noqa: B905 (numba knows no strict)
        target = raw.target[arc]
        graph = elements.graph[slot] + raw.graph[arc]
        acoustic = elements.acoustic[slot] + raw.acoustic[arc]
        _reach(trie, work, stamp, target, graph, acoustic, elements.node[slot], raw.tid[arc])
        low, high = min(low, target), max(high, target)
        best = min(best, graph + acoustic + remaining[target])
    return low, high, best


@numba.njit(cache=True, nogil=True)
def _close(raw, trie, work, stamp, low, high):
    """Follow arcs without words; return the last raw state reached."""
    state = low
    while state <= high:
        if work.stamp[state] == stamp:
            # Only arcs without a word: they do not change which word sequence this is.
            for arc in range(raw.offsets[state], raw.worded[state]):
                target = raw.target[arc]
                high = max(high, target)
                _reach(trie, work, stamp, target, work.graph[state] + raw.graph[arc],
                       work.acoustic[state] + raw.acoustic[arc], work.node[state], raw.tid[arc])
        state += 1
    return high


@numba.njit(cache=True, nogil=True)
def _seal(raw, trie, work, stamp, low, high, remaining, elements, states, new, buckets,
          normalize):
    """Find the subset among those known, or add it as number `new`.

    A subset holds only raw states that are ends or have arcs with words. Returns (number, and the
    part taken out of its elements: graph cost, acoustic cost, string).
    """
    begin = states.ends[new - 1] if new > 0 else 0
    end, best, base = begin, -1, -1
    for state in range(low, high + 1):
        if work.stamp[state] != stamp or remaining[state] == np.inf:
            continue
        # A state from which only arcs without words leave has passed its elements on already.
        if raw.worded[state] == raw.offsets[state + 1] and raw.final_graph[state] == np.inf:
            continue
        graph, acoustic, node = work.graph[state], work.acoustic[state], work.node[state]
        elements.state[end] = state
        elements.graph[end], elements.acoustic[end] = graph, acoustic
        elements.node[end] = node
        base = node if base < 0 else common(trie, base, node)
        if best < 0 or graph + acoustic < elements.graph[best] + elements.acoustic[best] or (
                graph + acoustic == elements.graph[best] + elements.acoustic[best]
                and graph < elements.graph[best]):
            best = end
        end += 1
    if not normalize:
        states.ends[new], states.base[new] = end, 0
        return new, 0.0, 0.0, 0
    # What all elements share goes onto the arc, so that equal rests become one subset.
    graph, acoustic = elements.graph[best], elements.acoustic[best]
    code = 0
    for slot in range(begin, end):
        elements.graph[slot] -= graph
        elements.acoustic[slot] -= acoustic
        code = code * HASH_OTHER + elements.state[slot]
        code = code * HASH_BASE + rest_code(trie, base, elements.node[slot])
    bucket = (code ^ (code >> 29)) & (len(buckets) - 1)
    known = buckets[bucket]
    while known >= 0:
        if states.code[known] == code and _same(trie, elements, states, known, begin, end, base):
            return known, graph, acoustic, base
        known = states.following[known]
    states.ends[new], states.base[new], states.code[new] = end, base, code
    states.cost[new] = np.inf
    states.following[new] = buckets[bucket]
    buckets[bucket] = new
    return new, graph, acoustic, base


@numba.njit(cache=True, nogil=True)
def _same(trie, elements, states, known, begin, end, base):
    """Say whether a known subset has the same elements as begin:end."""
    first = states.ends[known - 1] if known > 0 else 0
    if states.ends[known] - first != end - begin:
        return False
    for i in range(end - begin):
        one, other = first + i, begin + i
        if (elements.state[one] != elements.state[other]
                # Costs of equal subsets may differ by rounding; without a tolerance their number
                # explodes.
                or abs(elements.graph[one] - elements.graph[other]) > DELTA
                or abs(elements.acoustic[one] - elements.acoustic[other]) > DELTA
                or rest_code(trie, states.base[known], elements.node[one])
                != rest_code(trie, base, elements.node[other])):
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _candidates(raw, elements, begin, end):
    """Return (word, element, arc) of every way on from a subset."""
    count = 0
    for slot in range(begin, end):
        state = elements.state[slot]
        count += raw.offsets[state + 1] - raw.worded[state]
    words, slots = np.empty(count, np.int32), np.empty(count, np.int64)
    onward = np.empty(count, np.int64)
    count = 0
    for slot in range(begin, end):
        state = elements.state[slot]
        for arc in range(raw.worded[state], raw.offsets[state + 1]):
            words[count], slots[count], onward[count] = raw.word[arc], slot, arc
            count += 1
    return words, slots, onward


@numba.njit(cache=True, nogil=True)
def _finish(raw, trie, elements, begin, end, base, limit, finals, place):
    """Note the best way to end in a subset, if it costs no more than `limit`."""
    _put(finals, place, 0, 0, 0, np.inf, 0.0, base, base)
    for slot in range(begin, end):
        state, node = elements.state[slot], elements.node[slot]
        if raw.final_graph[state] == np.inf:
            continue
        graph = elements.graph[slot] + raw.final_graph[state]
        acoustic = elements.acoustic[slot] + raw.final_acoustic[state]
        total, least = graph + acoustic, finals.graph[place] + finals.acoustic[place]
        if total > limit or total > least or (total == least and (
                graph > finals.graph[place] or (graph == finals.graph[place] and not precedes(
                    trie, node, finals.node[place])))):
            continue
        finals.graph[place], finals.acoustic[place] = graph, acoustic
        finals.node[place] = node


@numba.njit(cache=True, nogil=True)
def _no_states():
    return _States(np.zeros(FIRST_ROOM, np.int64), np.empty(FIRST_ROOM, np.int32),
                   np.zeros(FIRST_ROOM, np.int64), np.empty(FIRST_ROOM, np.int32),
                   np.empty(FIRST_ROOM), np.empty(FIRST_ROOM, np.int32))


@numba.njit(cache=True, nogil=True)
def _grown_states(states):
    return _States(grown(states.ends, 0), grown(states.base, 0), grown(states.code, 0),
                   grown(states.following, 0), grown(states.cost, 0), grown(states.place, 0))


@numba.njit(cache=True, nogil=True)
def _no_out():
    return _Out(np.empty(FIRST_ROOM, np.int32), np.empty(FIRST_ROOM, np.int32),
                np.empty(FIRST_ROOM, np.int32), np.empty(FIRST_ROOM), np.empty(FIRST_ROOM),
                np.empty(FIRST_ROOM, np.int32), np.empty(FIRST_ROOM, np.int32))


@numba.njit(cache=True, nogil=True)
def _grown_out(out):
    return _Out(grown(out.source, 0), grown(out.target, 0), grown(out.word, 0),
                grown(out.graph, 0), grown(out.acoustic, 0), grown(out.base, 0),
                grown(out.node, 0))


@numba.njit(cache=True, nogil=True)
def _cut(out, count):
    return (out.source[:count], out.target[:count], out.word[:count], out.graph[:count],
            out.acoustic[:count], out.base[:count], out.node[:count])


@numba.njit(cache=True, nogil=True)
def _plain(trie):
    return (trie.parent, trie.symbol, trie.length, trie.code, trie.following, trie.powers,
            trie.buckets, trie.size)


@numba.njit(cache=True, nogil=True)
def _put(out, place, source, target, word, graph, acoustic, base, node):
    out.source[place], out.target[place], out.word[place] = source, target, word
    out.graph[place], out.acoustic[place] = graph, acoustic
    out.base[place], out.node[place] = base, node
