"""Owns a tree of strings for kernels: strings that begin alike share nodes, equal ones are one.

All functions are numba kernels; node 0 is the empty string.
"""

from typing import NamedTuple

import numba
import numpy as np

# Odd numbers of 63 bits: bases of polynomial hashes, which wrap around.
HASH_BASE, HASH_OTHER = 0x1E3779B97F4A7C15, 0x42B2AE3D27D4EB4F


class Trie(NamedTuple):
    """Nodes with parent, last symbol, length and polynomial hash of the string.

    Nodes whose (parent, symbol) fall into one of the `buckets` are chained by `following`;
    `powers` are those of the hash's base; `size` holds the number of nodes.
    """

    parent: np.ndarray
    symbol: np.ndarray
    length: np.ndarray
    code: np.ndarray
    following: np.ndarray
    powers: np.ndarray
    buckets: np.ndarray
    size: np.ndarray


@numba.njit(cache=True, nogil=True)
def grown(values, room):
    """Return a copy with at least twice the room, and for `room` more."""
    larger = np.empty(2 * len(values) + room, values.dtype)
    larger[:len(values)] = values
    return larger


@numba.njit(cache=True, nogil=True)
def empty_trie(longest, room):
    """Return a trie for strings of up to `longest` symbols and, at first, `room` nodes."""
    num_buckets = 1024
    while num_buckets < room:
        num_buckets *= 2
    powers = np.ones(longest + 1, np.int64)
    for length in range(1, longest + 1):
        powers[length] = powers[length - 1] * HASH_BASE
    trie = Trie(np.empty(room + 1, np.int32), np.empty(room + 1, np.int32),
                np.empty(room + 1, np.int32), np.empty(room + 1, np.int64),
                np.empty(room + 1, np.int32), powers, np.full(num_buckets, -1, np.int32),
                np.ones(1, np.int64))
    trie.parent[0], trie.symbol[0], trie.length[0], trie.code[0] = -1, 0, 0, 0
    return trie


@numba.njit(cache=True, nogil=True)
def with_room(trie, room):
    """Return the trie with space for `room` more nodes."""
    if trie.size[0] + room <= len(trie.parent):
        return trie
    return Trie(grown(trie.parent, room), grown(trie.symbol, room), grown(trie.length, room),
                grown(trie.code, room), grown(trie.following, room), trie.powers, trie.buckets,
                trie.size)


@numba.njit(cache=True, nogil=True)
def child(trie, parent, symbol):
    """Return the node of a string with one more symbol; there must be space for it."""
    mixed = (np.int64(parent) * HASH_OTHER + symbol) * HASH_BASE
    bucket = (mixed ^ (mixed >> 31)) & (len(trie.buckets) - 1)
    node = trie.buckets[bucket]
    while node >= 0:
        if trie.parent[node] == parent and trie.symbol[node] == symbol:
            return node
        node = trie.following[node]
    node = np.int32(trie.size[0])
    trie.size[0] += 1
    trie.parent[node], trie.symbol[node] = parent, symbol
    trie.length[node] = trie.length[parent] + 1
    trie.code[node] = trie.code[parent] * HASH_BASE + symbol
    trie.following[node] = trie.buckets[bucket]
    trie.buckets[bucket] = node
    return node


@numba.njit(cache=True, nogil=True)
def common(trie, one, other):
    """Return the node of the longest string that both begin with."""
    while one != other:
        if trie.length[one] >= trie.length[other]:
            one = trie.parent[one]
        else:
            other = trie.parent[other]
    return one


@numba.njit(cache=True, nogil=True)
def rest_code(trie, base, node):
    """Return a hash of a string without its beginning `base`."""
    length = trie.length[node] - trie.length[base]
    # A polynomial hash allows this: the code of a beginning is taken off in one step.
    return trie.code[node] - trie.code[base] * trie.powers[length] + length


@numba.njit(cache=True, nogil=True)
def precedes(trie, one, other):
    """Say whether a string wins at equal cost: the shorter, or else the greater (as in Kaldi)."""
    if trie.length[one] != trie.length[other]:
        return trie.length[one] < trie.length[other]
    if one == other:
        return False
    # Equal length: back to where the two strings part.
    while trie.parent[one] != trie.parent[other]:
        one, other = trie.parent[one], trie.parent[other]
    return trie.symbol[one] > trie.symbol[other]


@numba.njit(cache=True, nogil=True)
def trie_labels(trie, bases, nodes, offsets):
    """Return the strings of `nodes` without their beginnings `bases`, one after the other.

    `offsets` is int64 (len(nodes) + 1,): where each one begins, and the end.
    """
    symbols = np.empty(offsets[-1], np.int32)
    for i in range(len(nodes)):
        # From the end to the beginning, because a node knows only its parent.
        node, place = nodes[i], offsets[i + 1]
        while node != bases[i]:
            place -= 1
            symbols[place] = trie.symbol[node]
            node = trie.parent[node]
    return symbols
