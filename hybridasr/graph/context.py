"""Owns C: from phones to phones in context, made on demand from the tree, on flat arrays.

The full C of a large phone set would have millions of arcs; only the windows of phones that LG
holds are looked at. As in Kaldi's fstcomposecontext, a phone comes out when its last right
neighbour is read, so that the result is as deterministic as LG: after the end the neighbour is 0,
before it nothing comes out but a symbol for "not yet". Windows whose centre and pdfs are the same
share one label, a logical phone (Kaldi's make-ilabel-transducer).
"""

from dataclasses import dataclass

import numba
import numpy as np

from hybridasr.graph.openfst import FlatFst
from hybridasr.hmm.topology import Topology
from hybridasr.tree.tree import PDF_CLASS, ContextTree, DecisionTree

LogicalPhone = tuple[int, tuple[int, ...]]
"""A phone and the pdfs of its emitting HMM states, in order."""

_LARGEST_KEY = 1 << 62


@dataclass(frozen=True)
class ContextFst:
    """CLG.

    Attributes
    ----------
    fst : FlatFst
        Input labels 1..n are logical phones, n + 1 + k is disambiguation symbol #k, the label
        after the last of those says that no phone is complete yet.
    logical_phones : list of (phone, pdfs)
        Label 1 is the first.
    """

    fst: FlatFst
    logical_phones: list[LogicalPhone]


def expand_context(lg: FlatFst, tree: ContextTree, topology: Topology,
                   disambig_phones: list[int]) -> ContextFst:
    """Compose C and LG.

    Parameters
    ----------
    lg : FlatFst
        Input labels are phones and disambiguation symbols; 0 passes through like these.
    tree : ContextTree
        Of any context width and central position.

    Raises
    ------
    UserError
        if the tree has no pdf for a window, or the topology no states for a phone.
    """
    width, central = tree.context_width, tree.central_position
    base = 1 + max(topology.phones)
    symbols = np.zeros(1 + max([base - 1, *disambig_phones]), np.int64)
    symbols[base:] = -1
    symbols[disambig_phones] = np.arange(1, len(disambig_phones) + 1)
    for label in np.unique(lg.ilabel).tolist():
        if label >= len(symbols) or symbols[label] < 0:
            topology.for_phone(label)  # raises
    # Keys are int64: an overflow would make two different states one.
    if (lg.num_states + width) * base**width > _LARGEST_KEY:
        raise ValueError(f"{base - 1} phones in windows of {width} are more than a key can hold")
    windows, source, label, olabel, weight, target, final = _expand(
        lg.start, lg.arc_offsets, lg.ilabel, lg.olabel, lg.weight, lg.nextstate, lg.final,
        symbols, base, width, width - 1 - central)
    phones = windows[:, None] // base ** np.arange(width)[::-1] % base
    numbers, logical_phones = _logical_phones(phones, tree, topology)
    not_yet = len(logical_phones) + len(disambig_phones) + 1
    # Before the first phone is complete there is nothing to emit but a marker.
    numbers[phones[:, central] == 0] = not_yet
    passing = np.concatenate([[0], len(logical_phones) + np.arange(1, len(disambig_phones) + 1)])
    ilabel = np.empty(len(label), np.int32)
    ilabel[label >= 0] = numbers[label[label >= 0]]
    ilabel[label < 0] = passing[-1 - label[label < 0]]
    return ContextFst(FlatFst.from_arcs(0, source, ilabel, olabel, weight, target, final),
                      logical_phones)


def _logical_phones(windows: np.ndarray, tree: ContextTree,
                    topology: Topology) -> tuple[np.ndarray, list[LogicalPhone]]:
    """Return the label of each window (0 where nothing is in its centre) and what labels mean."""
    centre = windows[:, tree.central_position]
    numbers = np.zeros(len(windows), np.int32)
    phone_numbers: dict[LogicalPhone, int] = {}
    for entry in topology.entries:
        # Only windows that occur are asked for: all triples of phones would be millions.
        rows = np.flatnonzero(np.isin(centre, entry.phones))
        classes = [state.pdf_class for state in entry.states[:-1]]
        pdfs = window_pdfs(tree, windows[rows], classes)
        keys = zip(centre[rows].tolist(), map(tuple, pdfs.tolist()), strict=True)
        numbers[rows] = [phone_numbers.setdefault(key, len(phone_numbers) + 1) for key in keys]
    for phone in np.setdiff1d(centre[numbers == 0], [0]):
        topology.for_phone(int(phone))  # raises
    return numbers, list(phone_numbers)


def window_pdfs(tree: ContextTree, windows: np.ndarray, pdf_classes: list[int]) -> np.ndarray:
    """Return the pdf of each window and pdf-class: int32 (num_windows, num_classes).

    Parameters
    ----------
    windows : int64 (num_windows, context_width)
    """
    if not isinstance(tree, DecisionTree):
        rows = [[tree.pdf(tuple(window), number) for number in pdf_classes]
                for window in windows.tolist()]
        return np.array(rows, np.int32).reshape(len(windows), len(pdf_classes))
    pdfs = _ask(*tree.jump_tables, np.ascontiguousarray(windows, np.int64),
                np.array(pdf_classes, np.int64))
    # The slow way once more, for the error that names the phone.
    for window, number in np.argwhere(pdfs < 0)[:1]:
        tree.pdf(tuple(windows[window].tolist()), pdf_classes[number])  # raises
    return pdfs


@numba.njit(cache=True, nogil=True)
def _ask(key, first, size, other, branch, top, windows, pdf_classes):
    pdfs = np.empty((len(windows), len(pdf_classes)), np.int32)
    for row in range(len(windows)):
        for column in range(len(pdf_classes)):
            node = top
            while node >= 0 and size[node] >= 0:
                value = pdf_classes[column] if key[node] == PDF_CLASS else windows[row, key[node]]
                if 0 <= value < size[node]:
                    node = branch[first[node] + value]
                else:
                    node = other[node]
            pdfs[row, column] = other[node] if node >= 0 else -1
    return pdfs


@numba.njit(cache=True, nogil=True)
def _expand(start, offsets, ilabel, olabel, weight, nextstate, final, symbols, base, width, ahead):
    """Walk over the states (state of LG, last width - 1 phones).

    States of LG beyond its own stand for 1, 2, ... ends of the utterance read.

    Returns
    -------
    windows : int64 (num_windows,)
        Each window as one number: its phones are the digits, to `base`.
    source, label, olabel, weight, target : arrays (num_arcs,)
        A label from 0 is the number of a window, one below is -1 - what `symbols` says.
    final : float32 (num_states,)
    """
    reach = base ** (width - 1)  # contexts a state may have
    num_lg = len(final)
    state_keys, state_slots = np.empty(1024, np.int64), np.full(4096, -1, np.int64)
    window_keys, window_slots = np.empty(1024, np.int64), np.full(4096, -1, np.int64)
    state_keys[0] = start * reach
    num_states, num_windows, num_arcs, state = 0, 0, 0, 0
    state_keys, state_slots, num_states, _ = _number(state_keys, state_slots, num_states,
                                                     start * reach)
    arcs = np.empty((4, 4096), np.int64)  # source, label, olabel, target
    costs = np.empty(4096, np.float32)
    while state < num_states:
        place, context = state_keys[state] // reach, state_keys[state] % reach
        first, end = 0, 0
        if place < num_lg:
            first, end = offsets[place], offsets[place + 1]
        stop = end
        # After the last phone `ahead` empty places are read, so that it gets its right context.
        if (ahead > 0 and place < num_lg + ahead - 1
                and (place >= num_lg or final[place] < np.inf)):
            stop += 1  # one more arc: the end of the utterance is read
        if num_arcs + stop - first > len(costs):
            arcs, costs = _doubled(arcs, costs, stop - first)
        for arc in range(first, stop):
            phone, cost, word = 0, np.float32(0.0), 0
            following = place + 1 if place >= num_lg else num_lg
            if arc < end:
                phone, cost, word, following = ilabel[arc], weight[arc], olabel[arc], nextstate[arc]
            elif place < num_lg:
                cost = final[place]
            label, left = np.int64(-1), context
            # Epsilon and disambiguation symbols are no phones, so the context stays the same.
            if arc < end and (phone == 0 or symbols[phone] > 0):
                label -= symbols[phone]
            else:
                left = context * base + phone
                window_keys, window_slots, num_windows, label = _number(
                    window_keys, window_slots, num_windows, left)
                left %= reach
            state_keys, state_slots, num_states, target = _number(
                state_keys, state_slots, num_states, following * reach + left)
            arcs[0, num_arcs], arcs[1, num_arcs] = state, label
            arcs[2, num_arcs], arcs[3, num_arcs] = word, target
            costs[num_arcs] = cost
            num_arcs += 1
        state += 1
    ends = np.full(num_states, np.inf, np.float32)
    for state in range(num_states):
        place = state_keys[state] // reach
        if ahead == 0:
            # No phone waits for its right neighbour: LG's own ends are the ends.
            ends[state] = final[place]
        elif place == num_lg + ahead - 1:
            ends[state] = 0.0
    return (window_keys[:num_windows], arcs[0, :num_arcs], arcs[1, :num_arcs], arcs[2, :num_arcs],
            costs[:num_arcs], arcs[3, :num_arcs], ends)


@numba.njit(cache=True, nogil=True)
def _number(keys, slots, count, key):
    """Find or add `key`; return (keys, slots, count, its number). Open addressing."""
    mask = len(slots) - 1
    slot = _scattered(key) & mask
    while slots[slot] >= 0:
        if keys[slots[slot]] == key:
            return keys, slots, count, slots[slot]
        slot = (slot + 1) & mask
    if count == len(keys):
        larger = np.empty(2 * count, np.int64)
        larger[:count] = keys
        keys = larger
        slots = np.full(2 * len(slots), -1, np.int64)
        mask = len(slots) - 1
        for number in range(count):
            slot = _scattered(keys[number]) & mask
            while slots[slot] >= 0:
                slot = (slot + 1) & mask
            slots[slot] = number
        slot = _scattered(key) & mask
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
    keys[count] = key
    slots[slot] = count
    return keys, slots, count + 1, count


@numba.njit(cache=True, nogil=True)
def _scattered(key):
    """Mix the bits of a key, as Knuth's multiplicative hashing does."""
    mixed = key * np.int64(7046029254386353131)
    return mixed ^ (mixed >> 32)


@numba.njit(cache=True, nogil=True)
def _doubled(arcs, costs, least):
    size = 2 * len(costs) + least
    more, more_costs = np.empty((4, size), np.int64), np.empty(size, np.float32)
    more[:, :len(costs)] = arcs
    more_costs[:len(costs)] = costs
    return more, more_costs
