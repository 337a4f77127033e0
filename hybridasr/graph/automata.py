"""Owns determinisation and minimisation of flat transducers, without OpenFst.

Arcs with the same input label, output label and weight count as one symbol: nothing moves along a
path, so every path keeps its labels and weights where they are (OpenFst's encode, determinize,
minimize). Subset construction; classes of an acyclic automaton from its end (Revuz, "Minimisation
of acyclic deterministic automata in linear time", 1992).
"""

import numba
import numpy as np

from hybridasr.graph.openfst import FlatFst


def determinize(fst: FlatFst) -> tuple[FlatFst, np.ndarray, np.ndarray]:
    """Merge what begins alike: no state keeps two arcs with the same symbol.

    States that cannot be reached are left out. A new state's final cost is the least of its
    members'. A new state has a larger number than the first state it was reached from.

    Returns
    -------
    (transducer, offsets, members)
        State s stands for the old states ``members[offsets[s]:offsets[s + 1]]``, ascending.
    """
    symbol, example = _symbols(fst)
    source, symbol, target, offsets, members = _subsets(
        fst.start, fst.arc_offsets, symbol, fst.nextstate, fst.num_states)
    # The least final cost: of equal label sequences the best one counts.
    final = np.minimum.reduceat(fst.final[members], offsets[:-1])
    arc = example[symbol]
    result = FlatFst.from_arcs(0, source, fst.ilabel[arc], fst.olabel[arc], fst.weight[arc],
                               target, final)
    return result, offsets, members


def minimize(fst: FlatFst) -> FlatFst:
    """Merge what ends alike: no two states keep the same arcs and final cost.

    Parameters
    ----------
    fst : FlatFst
        Acyclic; every state can be reached. The smallest possible results if it is deterministic.

    Raises
    ------
    ValueError
        if it has a cycle.
    """
    symbol, _ = _symbols(fst)
    source = fst.source
    order = np.lexsort((symbol, source))
    _, final_class = np.unique(fst.final, return_inverse=True)
    classes = _classes(fst.arc_offsets, symbol[order], fst.nextstate[order], final_class)
    if len(classes) < fst.num_states:
        raise ValueError("a cycle in an automaton that is to be minimised")
    kept = np.flatnonzero(classes == np.arange(fst.num_states))
    number = np.searchsorted(kept, classes)
    arcs = np.flatnonzero(classes[source] == source)
    return FlatFst.from_arcs(number[fst.start], number[source[arcs]], fst.ilabel[arcs],
                             fst.olabel[arcs], fst.weight[arcs], number[fst.nextstate[arcs]],
                             fst.final[kept])


def _symbols(fst: FlatFst) -> tuple[np.ndarray, np.ndarray]:
    """Number the symbols; return each arc's and, for each symbol, an arc that has it."""
    # Weights as numbers of a table: floats cannot be packed into an integer key.
    _, weight = np.unique(fst.weight, return_inverse=True)
    num_weights, num_words = 1 + weight.max(initial=0), 1 + int(fst.olabel.max(initial=0))
    key = (fst.ilabel.astype(np.int64) * num_words + fst.olabel) * num_weights + weight
    _, example, symbol = np.unique(key, return_index=True, return_inverse=True)
    return symbol.astype(np.int64), example


@numba.njit(cache=True, nogil=True)
def _subsets(start, offsets, symbol, target, num_states):
    """Subset construction, breadth first.

    Returns
    -------
    source, symbol, target : int64 (num_arcs,)
        Sorted by source and symbol.
    begins, members : int64 (num_subsets + 1,), int32
    """
    begins, members = np.zeros(1025, np.int64), np.empty(4096, np.int32)
    slots = np.full(4096, -1, np.int64)
    arcs = np.empty((3, 4096), np.int64)
    keys = np.empty(256, np.int64)
    members[0], begins[1] = start, 1
    slots[_mixed(np.int64(start)) & (len(slots) - 1)] = 0
    count, num_arcs, state = 1, 0, 0
    while state < count:
        wanted = 0
        for place in range(begins[state], begins[state + 1]):
            wanted += offsets[members[place] + 1] - offsets[members[place]]
        if wanted > len(keys):
            keys = np.empty(2 * wanted, np.int64)
        wanted = 0
        for place in range(begins[state], begins[state + 1]):
            for arc in range(offsets[members[place]], offsets[members[place] + 1]):
                # Symbol and target in one key: one sort brings equal symbols, and equal targets,
                # together.
                keys[wanted] = symbol[arc] * num_states + target[arc]
                wanted += 1
        keys[:wanted].sort()
        if num_arcs + wanted > arcs.shape[1]:
            more = np.empty((3, 2 * num_arcs + wanted), np.int64)
            more[:, :num_arcs] = arcs[:, :num_arcs]
            arcs = more
        at = 0
        while at < wanted:
            label, first = keys[at] // num_states, begins[count]
            if first + wanted > len(members):
                members = _grown(members, wanted)
            end, mixed = first, np.int64(0)
            while at < wanted and keys[at] // num_states == label:
                member = keys[at] % num_states
                at += 1
                if end == first or members[end - 1] != member:
                    members[end] = member
                    end += 1
                    mixed = _mixed(mixed + member)
            slot = mixed & (len(slots) - 1)
            while slots[slot] >= 0 and not _same(members, begins, slots[slot], first, end):
                slot = (slot + 1) & (len(slots) - 1)
            if slots[slot] < 0:
                slots[slot] = count
                count += 1
                if count == len(begins) - 1:
                    begins = _grown(begins, 1)
                begins[count] = end
            arcs[0, num_arcs], arcs[1, num_arcs], arcs[2, num_arcs] = state, label, slots[slot]
            num_arcs += 1
            if 2 * count > len(slots):
                slots = _spread(members, begins, count, 4 * len(slots))
        state += 1
    return (arcs[0, :num_arcs], arcs[1, :num_arcs], arcs[2, :num_arcs], begins[:count + 1],
            members[:begins[count]])


@numba.njit(cache=True, nogil=True)
def _same(members, begins, number, first, end):
    begin, alike = begins[number], 0
    if begins[number + 1] - begin != end - first:
        return False
    while first + alike < end and members[begin + alike] == members[first + alike]:
        alike += 1
    return first + alike == end


@numba.njit(cache=True, nogil=True)
def _spread(members, begins, count, size):
    """Return a larger hash table of all subsets."""
    slots = np.full(size, -1, np.int64)
    for number in range(count):
        mixed = np.int64(0)
        for place in range(begins[number], begins[number + 1]):
            mixed = _mixed(mixed + members[place])
        slot = mixed & (size - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (size - 1)
        slots[slot] = number
    return slots


@numba.njit(cache=True, nogil=True)
def _classes(offsets, symbol, target, final_class):
    """Return for each state the state that stands for its class; nothing if there is a cycle.

    Arcs of a state are sorted by symbol.
    """
    num_states = len(final_class)
    size = 4
    while size < 2 * num_states:
        size *= 2
    slots = np.full(size, -1, np.int64)
    classes = np.full(num_states, -1, np.int64)
    following = offsets[:-1].copy()  # the arc that the walk takes next
    on_way = np.zeros(num_states, np.bool_)
    stack = np.empty(num_states, np.int64)
    for root in range(num_states):
        depth = 0
        if classes[root] < 0:
            stack[0], depth = root, 1
            on_way[root] = True
        while depth > 0:
            state = stack[depth - 1]
            if following[state] < offsets[state + 1]:
                below = target[following[state]]
                following[state] += 1
                # A state on the way down again means a cycle.
                if on_way[below]:
                    return classes[:0]
                if classes[below] < 0:
                    stack[depth] = below
                    on_way[below] = True
                    depth += 1
                continue
            depth -= 1
            on_way[state] = False
            # All states below have their class, so this state's arcs can be compared.
            mixed = _mixed(final_class[state])
            for arc in range(offsets[state], offsets[state + 1]):
                mixed = _mixed(mixed + symbol[arc])
                mixed = _mixed(mixed + classes[target[arc]])
            slot = mixed & (size - 1)
            while slots[slot] >= 0 and not _alike(offsets, symbol, target, final_class, classes,
                                                  slots[slot], state):
                slot = (slot + 1) & (size - 1)
            if slots[slot] < 0:
                slots[slot] = state
            classes[state] = slots[slot]
    return classes


@numba.njit(cache=True, nogil=True)
def _alike(offsets, symbol, target, final_class, classes, one, other):
    begin, length = offsets[one], offsets[one + 1] - offsets[one]
    if final_class[one] != final_class[other] or offsets[other + 1] - offsets[other] != length:
        return False
    shift = offsets[other] - begin
    for arc in range(begin, begin + length):
        if (symbol[arc] != symbol[arc + shift]
                or classes[target[arc]] != classes[target[arc + shift]]):
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _mixed(key):
    """Mix the bits of a hash, as Knuth's multiplicative hashing does."""
    mixed = (key + 1) * np.int64(7046029254386353131)
    return mixed ^ (mixed >> 32)


@numba.njit(cache=True, nogil=True)
def _grown(array, room):
    more = np.empty(2 * len(array) + room, array.dtype)
    more[:len(array)] = array
    return more
