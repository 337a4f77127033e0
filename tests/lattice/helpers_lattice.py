"""Small lattices, and their paths one by one: the slow twin of everything about lattices."""

import numpy as np

from hybridasr.lattice.lattice import CompactLattice, Lattice


def random_lattice(rng, num_states, num_arcs, words=3, silent=0.5):
    """A `Lattice` of any shape; the last state is an end, others may be."""
    # Costs are multiples of 1/8, so that sums are exact and ties happen.
    pairs = np.sort([rng.choice(num_states, 2, replace=False) for _ in range(num_arcs)], axis=1)
    pairs = pairs[np.lexsort(pairs.T[::-1])]
    word = np.where(rng.random(num_arcs) < silent, 0, rng.integers(1, words + 1, num_arcs))
    tid = np.where(rng.random(num_arcs) < 0.3, 0, rng.integers(1, 4, num_arcs))
    ends = rng.random(num_states) < 0.2
    ends[-1] = True
    return Lattice(pairs[:, 0].astype(np.int32), pairs[:, 1].astype(np.int32),
                   word.astype(np.int32), rng.integers(0, 24, num_arcs) / 8,
                   rng.integers(0, 24, num_arcs) / 4,
                   np.where(ends, rng.integers(0, 8, num_states) / 8, np.inf),
                   np.zeros(num_states), tid.astype(np.int32))


def all_paths(lattice):
    """(words, graph cost, acoustic cost, transition-ids) of every path, in no order."""
    compact = isinstance(lattice, CompactLattice)

    def walk(state, words, graph, acoustic, tids):
        if np.isfinite(lattice.final_graph[state]):
            end = tuple(lattice.final_strings[state]) if compact else ()
            yield (words, graph + lattice.final_graph[state],
                   acoustic + lattice.final_acoustic[state], tids + end)
        for arc in np.flatnonzero(lattice.source == state):
            word = (int(lattice.word[arc]),) * int(lattice.word[arc] > 0)
            tid = (tuple(lattice.strings[arc]) if compact
                   else (int(lattice.tid[arc]),) * int(lattice.tid[arc] > 0))
            yield from walk(lattice.target[arc], words + word, graph + lattice.graph[arc],
                            acoustic + lattice.acoustic[arc], tids + tid)

    return list(walk(0, (), 0.0, 0.0, ())) if lattice.num_states else []


def best_paths(lattice, scale=1.0):
    """Words -> the best path: least total, then graph cost, then Kaldi's order of strings."""
    best = {}
    for words, graph, acoustic, tids in all_paths(lattice):
        key = (graph + scale * acoustic, graph, len(tids), tuple(-tid for tid in tids))
        if words not in best or key < best[words][0]:
            best[words] = key, (graph, acoustic, tids)
    return {words: (key[0], *path) for words, (key, path) in best.items()}


def compact(paths):
    """A `CompactLattice` of separate paths (words, cost), one after the other."""
    rows, finals = [], {}
    states = 1
    for words, cost in paths:
        state = 0
        for word in words:
            rows.append((state, states, word))
            state, states = states, states + 1
        finals[state] = cost
    rows.sort()
    source, target, word = np.array(rows, np.int32).reshape(-1, 3).T
    final = np.array([finals.get(state, np.inf) for state in range(states)], float)
    return CompactLattice(source, target, word, np.zeros(len(rows)), np.zeros(len(rows)), final,
                          np.zeros(states), [np.array([1], np.int32)] * len(rows),
                          [np.empty(0, np.int32)] * states)
