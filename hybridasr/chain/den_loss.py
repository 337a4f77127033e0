"""Owns the forward-backward pass over a denominator graph, for many chunks at a time.

Takes the network's outputs, pseudo log likelihoods; gives the log probability of each chunk over
all paths and the occupation of each pdf. In the probability domain, rescaled at every output, with
the leaky HMM: before each output, any state may be left for any other with a small probability
(Povey et al. 2016, "Purely sequence-trained neural networks for ASR based on lattice-free MMI",
section 2.6; Kaldi's chain-denominator.cc). `LANES` chunks go through the graph side by side, so
that an arc is one multiplication and addition of vectors.
"""

import numba
import numpy as np

from hybridasr.chain.denominator import DenominatorGraph

LANES = 16
LARGEST_OUTPUT = 30.0  # of the network, up and down: float32 must hold the exponential
LEAKY_COEFFICIENT = 1e-5


def den_loss(outputs: np.ndarray, lengths: np.ndarray, graph: DenominatorGraph,
             leaky: float = LEAKY_COEFFICIENT) -> tuple[np.ndarray, np.ndarray]:
    """Sum over all paths of each chunk.

    Parameters
    ----------
    outputs : float32 (num_chunks, time, num_pdfs)
    lengths : int array (num_chunks,)
        Outputs of each chunk, 1 to `time`; the others are left out.
    leaky : float
        Probability of leaving a state for any.

    Returns
    -------
    log_probs : float64 (num_chunks,)
        Natural logs of the sum over all paths, weights of the graph included.
    occupation : float32 (num_chunks, time, num_pdfs)
        The derivative of `log_probs` by the outputs; sums to one over the pdfs of an output.
        Zeros behind a chunk's end.
    """
    num_chunks, time, num_pdfs = outputs.shape
    if num_pdfs != graph.num_pdfs or lengths.shape != (num_chunks,):
        raise ValueError(f"outputs {outputs.shape} and lengths {lengths.shape}, the graph has "
                         f"{graph.num_pdfs} pdfs")
    if num_chunks and not 1 <= lengths.min() <= lengths.max() <= time:
        raise ValueError(f"lengths from {lengths.min()} to {lengths.max()}, {time} outputs")
    log_probs = np.empty(num_chunks)
    occupation = np.empty(outputs.shape, np.float32)
    initial = graph.initial.astype(np.float32)
    alpha = np.empty((time + 1, graph.num_states, LANES), np.float32)
    for first in range(0, num_chunks, LANES):
        lanes = slice(first, min(first + LANES, num_chunks))
        size = lanes.stop - first
        # (time, pdf, lane): what an arc needs lies side by side.
        likes = np.zeros((time, num_pdfs, LANES), np.float32)
        likes[..., :size] = outputs[lanes].transpose(1, 2, 0)
        np.clip(likes, -LARGEST_OUTPUT, LARGEST_OUTPUT, out=likes)
        np.exp(likes, out=likes)
        ends = np.full(LANES, time, np.int64)
        ends[:size] = lengths[lanes]
        totals = _forward(likes, graph.in_offsets, graph.in_source, graph.in_weight,
                          graph.enter_pdf, graph.loop_pdf, graph.loop, initial,
                          np.float32(leaky), alpha)
        occupied = np.zeros_like(likes)
        _backward(likes, graph.out_offsets, graph.out_target, graph.out_weight, graph.enter_pdf,
                  graph.loop_pdf, graph.loop, initial, np.float32(leaky), alpha, totals, ends,
                  occupied)
        sums = np.cumsum(np.log(totals.astype(np.float64)), axis=0)
        log_probs[lanes] = sums[ends, np.arange(LANES)][:size]
        occupation[lanes] = occupied[..., :size].transpose(2, 0, 1)
    return log_probs, occupation


@numba.njit(cache=True, nogil=True)
def _follow_arcs(offsets, ends, weight, rows, sums):
    """Put the weighted sum of the rows at the other ends of each state's arcs into `sums`."""
    for state in range(len(offsets) - 1):
        for half in range(0, LANES, 8):
            # Eight sums in a register: an array would be written and read again for each arc.
            a = b = c = d = e = f = g = h = np.float32(0)
            for arc in range(offsets[state], offsets[state + 1]):
                # Not negative: without this the compiler counts from the end for negative ones.
                end, share = np.uint32(ends[arc]), weight[arc]
                a += share * rows[end, half]
                b += share * rows[end, half + 1]
                c += share * rows[end, half + 2]
                d += share * rows[end, half + 3]
                e += share * rows[end, half + 4]
                f += share * rows[end, half + 5]
                g += share * rows[end, half + 6]
                h += share * rows[end, half + 7]
            row = sums[state]
            row[half], row[half + 1], row[half + 2], row[half + 3] = a, b, c, d
            row[half + 4], row[half + 5], row[half + 6], row[half + 7] = e, f, g, h


@numba.njit(cache=True, nogil=True)
def _forward(likes, offsets, source, weight, enter_pdf, loop_pdf, loop, initial, leaky, alpha):
    """Fill `alpha` (time + 1, num_states, LANES), not scaled; return its sums (time + 1, LANES)."""
    time, num_states = len(likes), len(loop)
    totals = np.zeros((time + 1, LANES), np.float32)
    inverse = np.empty(LANES, np.float32)
    left = np.empty((num_states, LANES), np.float32)
    for state in range(num_states):
        for lane in range(LANES):
            alpha[0, state, lane] = initial[state]
            totals[0, lane] += initial[state]
    for t in range(time):
        for lane in range(LANES):
            inverse[lane] = np.float32(1) / totals[t, lane]
        like, now, after, total = likes[t], alpha[t], alpha[t + 1], totals[t + 1]
        # What leaves the states, scaled to a sum of one, and what leaks.
        for state in range(num_states):
            leak, row, same = leaky * initial[state], now[state], left[state]
            for lane in range(LANES):
                same[lane] = row[lane] * inverse[lane] + leak
        _follow_arcs(offsets, source, weight, left, after)
        for state in range(num_states):
            enter, later, stay = like[enter_pdf[state]], like[loop_pdf[state]], loop[state]
            row, same = after[state], left[state]
            for lane in range(LANES):
                row[lane] = enter[lane] * row[lane] + stay * later[lane] * same[lane]
                total[lane] += row[lane]
    return totals


@numba.njit(cache=True, nogil=True)
def _backward(likes, offsets, target, weight, enter_pdf, loop_pdf, loop, initial, leaky, alpha,
              totals, ends, occupied):
    """Add each pdf's occupation to `occupied`, shaped as `likes`."""
    time, num_states = len(likes), len(loop)
    # The derivative of the log probability by alpha is (beta + leaked) scale.
    beta = np.zeros((num_states, LANES), np.float32)
    leaked, scale = np.zeros(LANES, np.float32), np.zeros(LANES, np.float32)
    # The same times the likelihood of an arc, and what comes back along the arcs.
    entering = np.empty((num_states, LANES), np.float32)
    before = np.empty((num_states, LANES), np.float32)
    inverse = np.empty(LANES, np.float32)
    for t in range(time - 1, -1, -1):
        for lane in range(LANES):
            inverse[lane] = np.float32(1) / totals[t, lane]
            # The chunk ends here, in any state; until now its beta was zero.
            if ends[lane] == t + 1:
                leaked[lane], scale[lane] = np.float32(1), np.float32(1) / totals[t + 1, lane]
        like, after, now, occupation = likes[t], alpha[t + 1], alpha[t], occupied[t]
        for state in range(num_states):
            enter, later, stay = like[enter_pdf[state]], like[loop_pdf[state]], loop[state]
            to_enter, to_later = occupation[enter_pdf[state]], occupation[loop_pdf[state]]
            row, arrived, left, into = beta[state], after[state], now[state], entering[state]
            leak = leaky * initial[state]
            for lane in range(LANES):
                value = (row[lane] + leaked[lane]) * scale[lane]
                looping = stay * later[lane] * value
                staying = looping * (left[lane] * inverse[lane] + leak)
                into[lane] = enter[lane] * value
                row[lane] = looping
                to_enter[lane] += arrived[lane] * value - staying
                to_later[lane] += staying
        _follow_arcs(offsets, target, weight, entering, before)
        leaked[:] = np.float32(0)
        for state in range(num_states):
            row, onward, begin = beta[state], before[state], leaky * initial[state]
            for lane in range(LANES):
                row[lane] += onward[lane]
                leaked[lane] += begin * row[lane]
        scale[:] = inverse
