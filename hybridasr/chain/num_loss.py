"""Owns the forward-backward pass over numerators: what the reference allows, chunk by chunk.

In the log domain, over the phones that may be spoken in each output.
"""

import math

import numba
import numpy as np

from hybridasr.chain.den_loss import LARGEST_OUTPUT
from hybridasr.chain.numerator import Numerators


def num_loss(outputs: np.ndarray, chunks: np.ndarray, numerators: Numerators
             ) -> tuple[np.ndarray, np.ndarray]:
    """Sum over the paths of each chunk's reference.

    Parameters
    ----------
    outputs : float32 (num_chunks, time, num_pdfs)
    chunks : int64 (num_chunks, 3)
        Utterance, input frame of the first output, counted from the utterance's beginning, and
        number of outputs.

    Returns
    -------
    log_probs : float64 (num_chunks,)
        Natural logs of the sum over all paths, with the weights of the denominator graph.
    occupation : float32 (num_chunks, time, num_pdfs)
        The derivative of `log_probs` by the outputs; sums to one over the pdfs of an output.
        Zeros behind a chunk's end.
    """
    _check_chunks(outputs, chunks, numerators)
    log_probs = np.empty(len(chunks))
    occupation = np.zeros(outputs.shape, np.float32)
    _sum_paths(np.ascontiguousarray(outputs, np.float32), chunks.astype(np.int64),
               numerators.shifts, numerators.offsets, numerators.enter_pdf, numerators.loop_pdf,
               numerators.log_weight, numerators.log_initial, numerators.log_initial_before,
               numerators.earliest, numerators.latest, numerators.num_outputs, log_probs,
               occupation)
    return log_probs, occupation


def _check_chunks(outputs: np.ndarray, chunks: np.ndarray, numerators: Numerators) -> None:
    """Refuse what the kernel cannot index."""
    if chunks.shape != (len(outputs), 3):
        raise ValueError(f"outputs {outputs.shape} and chunks {chunks.shape} do not fit")
    if not len(chunks):
        return
    utterance, frame, size = chunks.T
    if utterance.min() < 0 or utterance.max() >= len(numerators.usable):
        raise ValueError(f"utterances from {utterance.min()} to {utterance.max()}, "
                         f"{len(numerators.usable)} are there")
    if not numerators.usable[utterance].all() or frame.min() < 0:
        raise ValueError("a chunk of an utterance that cannot be trained on, or before its start")
    if max(numerators.enter_pdf.max(), numerators.loop_pdf.max()) >= outputs.shape[2]:
        raise ValueError(f"{outputs.shape[2]} outputs are fewer than the pdfs of the numerators")
    last = frame // numerators.shifts + size
    longest = numerators.num_outputs[frame % numerators.shifts, utterance]
    if size.min() < 1 or size.max() > outputs.shape[1] or (last > longest).any():
        raise ValueError("a chunk is empty, longer than the outputs, or ends behind its utterance")


@numba.njit(cache=True, nogil=True)
def _log_add(a, b):
    if a < b:
        a, b = b, a
    return a if b == -math.inf else a + math.log1p(math.exp(b - a))


@numba.njit(cache=True, nogil=True)
def _sum_paths(outputs, chunks, shifts, offsets, enter_pdf, loop_pdf, log_weight, log_initial,
               log_initial_before, earliest, latest, num_outputs, log_probs, occupation):
    for chunk in range(len(chunks)):
        utterance, frame, size = chunks[chunk]
        shift, start = frame % shifts, frame // shifts
        first, end = offsets[utterance], offsets[utterance + 1]
        early, late = earliest[shift], latest[shift]
        total = num_outputs[shift, utterance]
        # The phones that may be spoken in the chunk.
        while first + 1 < end and late[first + 1] <= start:
            first += 1
        last = first
        while last + 1 < end and early[last + 1] < start + size:
            last += 1
        width = last + 1 - first
        # Log likelihoods of entering and of staying in each phone; not for those out of reach.
        enter = np.full((size, width), -math.inf)
        stay = np.full((size, width), -math.inf)
        alpha = np.full((size, width), -math.inf)
        for t in range(size):
            place = start + t
            for i in range(width):
                phone = first + i
                leave = late[phone + 1] if phone + 1 < end else total
                if early[phone] <= place <= late[phone]:
                    like = _limit(outputs[chunk, t, enter_pdf[phone]])
                    enter[t, i] = like + log_weight[phone]
                if early[phone] < place < leave:
                    stay[t, i] = _limit(outputs[chunk, t, loop_pdf[phone]])
                if t == 0:
                    alpha[0, i] = _log_add(enter[0, i] + log_initial_before[phone],
                                           stay[0, i] + log_initial[phone])
                else:
                    before = alpha[t - 1, i - 1] if i else -math.inf
                    alpha[t, i] = _log_add(enter[t, i] + before, stay[t, i] + alpha[t - 1, i])
        whole = -math.inf
        for i in range(width):
            whole = _log_add(whole, alpha[size - 1, i])
        log_probs[chunk] = whole
        _occupy(enter, stay, alpha, whole, first, enter_pdf, loop_pdf, log_initial,
                log_initial_before, occupation[chunk])


@numba.njit(cache=True, nogil=True)
def _limit(value):
    return min(max(value, -LARGEST_OUTPUT), LARGEST_OUTPUT)


@numba.njit(cache=True, nogil=True)
def _occupy(enter, stay, alpha, whole, first, enter_pdf, loop_pdf, log_initial,
            log_initial_before, occupation):
    """Add each pdf's occupation to `occupation` (time, num_pdfs)."""
    size, width = alpha.shape
    beta, onward = np.zeros(width), np.empty(width)
    for t in range(size - 1, -1, -1):
        for i in range(width):
            phone = first + i
            if t:
                before = alpha[t - 1, i - 1] if i else -math.inf
                same = alpha[t - 1, i]
            else:
                before, same = log_initial_before[phone], log_initial[phone]
            entered = before + enter[t, i] + beta[i]
            stayed = same + stay[t, i] + beta[i]
            occupation[t, enter_pdf[phone]] += np.float32(math.exp(entered - whole))
            occupation[t, loop_pdf[phone]] += np.float32(math.exp(stayed - whole))
        for i in range(width):
            step = enter[t, i + 1] + beta[i + 1] if i + 1 < width else -math.inf
            onward[i] = _log_add(stay[t, i] + beta[i], step)
        beta[:] = onward
