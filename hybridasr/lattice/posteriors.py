"""Owns how likely the arcs and words of a lattice are: forward-backward in the log domain."""

import numba
import numpy as np

from hybridasr.lattice.lattice import WordGraph


def forward_backward(lattice: WordGraph, acoustic_scale: float = 1.0
                     ) -> tuple[np.ndarray, np.ndarray, float]:
    """Sum over all paths of a lattice.

    Returns
    -------
    (posteriors of arcs (num_arcs,), of ending in states (num_states,), log likelihood)
        float64; the sum over the ends is 1. Zeros and -inf if no path leads to an end.
    """
    arc_costs, final_costs = lattice.costs(acoustic_scale)
    if lattice.num_states == 0:
        return arc_costs, final_costs, -np.inf
    forward, backward = path_sums(lattice.source, lattice.target, arc_costs, final_costs)
    total = backward[0]
    # All states lead nowhere; exp(-inf - -inf) below would be NaN.
    if total == -np.inf:
        return np.zeros(lattice.num_arcs), np.zeros(lattice.num_states), -np.inf
    arcs = np.exp(forward[lattice.source] - arc_costs + backward[lattice.target] - total)
    return arcs, np.exp(forward - final_costs - total), float(total)


def word_posteriors(lattice: WordGraph, acoustic_scale: float = 1.0) -> dict[int, float]:
    """Return word id -> how often it is said, on average over the paths; likeliest first.

    >>> from hybridasr.lattice.lattice import CompactLattice
    >>> none = np.empty(0, np.int32)
    >>> lattice = CompactLattice(np.array([0, 0]), np.array([1, 1]), np.array([7, 8]),
    ...                          np.log([1.25, 5.0]), np.zeros(2), np.array([np.inf, 0.0]),
    ...                          np.zeros(2), [none, none], [none, none])
    >>> {word: round(share, 6) for word, share in word_posteriors(lattice).items()}
    {7: 0.8, 8: 0.2}
    """
    arcs = forward_backward(lattice, acoustic_scale)[0]
    # A word may be said on many arcs, also several times on one path.
    words, places = np.unique(lattice.word, return_inverse=True)
    sums = np.bincount(places, arcs, minlength=len(words))
    return {int(words[i]): float(sums[i]) for i in np.argsort(-sums, kind="stable") if words[i]}


@numba.njit(cache=True, nogil=True)
def path_sums(source, target, arc_costs, final_costs):
    """Return log sums over the ways from the start to each state, and from there to the ends.

    Arrays as of `WordGraph`, costs float64; both results are float64 (num_states,).
    """
    # Arcs are in topological order: one pass each way.
    forward = np.full(len(final_costs), -np.inf)
    forward[0] = 0.0
    for arc in range(len(source)):
        forward[target[arc]] = np.logaddexp(forward[target[arc]],
                                            forward[source[arc]] - arc_costs[arc])
    backward = -final_costs
    for arc in range(len(source) - 1, -1, -1):
        backward[source[arc]] = np.logaddexp(backward[source[arc]],
                                             backward[target[arc]] - arc_costs[arc])
    return forward, backward
