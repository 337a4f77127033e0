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
def _leak(alpha, total, initial, leaky, left):
    """Return what leaves the states: `alpha` scaled to a sum of one, and what leaks; in `left`."""
    inverse = np.empty(LANES, np.float32)
    total[:] = np.float32(0)
    for state in range(len(alpha)):
        for lane in range(LANES):
            total[lane] += alpha[state, lane]
    for lane in range(LANES):
        inverse[lane] = np.float32(1) / total[lane]
    for state in range(len(alpha)):
        leak = leaky * initial[state]
        for lane in range(LANES):
            left[state, lane] = alpha[state, lane] * inverse[lane] + leak


@numba.njit(cache=True, nogil=True)
def _forward(likes, offsets, source, weight, enter_pdf, loop_pdf, loop, initial, leaky, alpha):
    """Fill `alpha` (time + 1, num_states, LANES), not scaled; return its sums (time + 1, LANES)."""
    time, num_states = len(likes), len(loop)
    totals = np.empty((time + 1, LANES), np.float32)
    left = np.empty((num_states, LANES), np.float32)
    for state in range(num_states):
        for lane in range(LANES):
            alpha[0, state, lane] = initial[state]
    into = np.empty(LANES, np.float32)
    for t in range(time):
        _leak(alpha[t], totals[t], initial, leaky, left)
        like, after = likes[t], alpha[t + 1]
        for state in range(num_states):
            into[:] = np.float32(0)
            for arc in range(offsets[state], offsets[state + 1]):
                begin, share = source[arc], weight[arc]
                for lane in range(LANES):
                    into[lane] += share * left[begin, lane]
            enter, later, stay = enter_pdf[state], loop_pdf[state], loop[state]
            for lane in range(LANES):
                after[state, lane] = (like[enter, lane] * into[lane]
                                      + stay * like[later, lane] * left[state, lane])
    totals[time] = np.float32(0)
    for state in range(num_states):
        for lane in range(LANES):
            totals[time, lane] += alpha[time, state, lane]
    return totals


@numba.njit(cache=True, nogil=True)
def _backward(likes, offsets, target, weight, enter_pdf, loop_pdf, loop, initial, leaky, alpha,
              totals, ends, occupied):
    """Add each pdf's occupation to `occupied`, shaped as `likes`."""
    time, num_states = len(likes), len(loop)
    # Derivative of the log probability by alpha, and the same times the likelihood of an arc.
    beta = np.zeros((num_states, LANES), np.float32)
    entering = np.empty((num_states, LANES), np.float32)
    before = np.empty(LANES, np.float32)
    leaked = np.empty(LANES, np.float32)
    for t in range(time - 1, -1, -1):
        for lane in range(LANES):
            # The chunk ends here, in any state.
            if ends[lane] == t + 1:
                for state in range(num_states):
                    beta[state, lane] = np.float32(1) / totals[t + 1, lane]
        like, after, now = likes[t], alpha[t + 1], alpha[t]
        occupation, total = occupied[t], totals[t]
        for state in range(num_states):
            enter, later, stay = enter_pdf[state], loop_pdf[state], loop[state]
            leak = leaky * initial[state]
            for lane in range(LANES):
                value = beta[state, lane]
                entering[state, lane] = like[enter, lane] * value
                looping = stay * like[later, lane] * value
                staying = looping * (now[state, lane] / total[lane] + leak)
                occupation[enter, lane] += after[state, lane] * value - staying
                occupation[later, lane] += staying
                beta[state, lane] = looping
        leaked[:] = np.float32(0)
        for state in range(num_states):
            before[:] = np.float32(0)
            for arc in range(offsets[state], offsets[state + 1]):
                end, share = target[arc], weight[arc]
                for lane in range(LANES):
                    before[lane] += share * entering[end, lane]
            begin = initial[state]
            for lane in range(LANES):
                value = beta[state, lane] + before[lane]
                beta[state, lane] = value
                leaked[lane] += begin * value
        for state in range(num_states):
            for lane in range(LANES):
                beta[state, lane] = (beta[state, lane] + leaky * leaked[lane]) / total[lane]
