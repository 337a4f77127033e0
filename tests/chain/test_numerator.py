"""Numerators: times at the output rate, tolerance, and the sum over their paths."""

import itertools

import numpy as np
import pytest
from chain_world import SEQUENCES, phone_graph, random_outputs

from hybridasr.chain.den_loss import den_loss
from hybridasr.chain.num_loss import num_loss
from hybridasr.chain.numerator import (
    PhoneTimes,
    count_outputs,
    make_numerators,
    output_bounds,
    phone_spans,
)


def times_of(sequence, seed=0, longest=12):
    lengths = np.random.default_rng(seed).integers(3, longest, len(sequence))
    return PhoneTimes(tuple(sequence), np.concatenate([[0], np.cumsum(lengths)]))


def paths_of(times, shift, tolerance, subsampling=3):
    """Yield the first outputs of the phones of every path that the tolerance allows, by trial."""
    num_phones = len(times.phones)
    total = count_outputs(int(times.bounds[-1]), subsampling, shift)
    for inner in itertools.combinations(range(1, total), num_phones - 1):
        begins = (0, *inner, total)
        if all(times.bounds[i] - tolerance <= shift + subsampling * t < times.bounds[i + 1]
               + tolerance for i in range(num_phones) for t in range(begins[i], begins[i + 1])):
            yield begins


@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize("tolerance", [2, 5])
def test_spans_hold_all_paths_within_the_tolerance_and_no_other(shift, tolerance):
    for seed in range(6):
        times = times_of((1, 2, 3, 1), seed, longest=9)
        early, late = phone_spans(times.bounds, 3, shift, tolerance)
        wanted = set(paths_of(times, shift, tolerance))
        total = count_outputs(int(times.bounds[-1]), 3, shift)
        allowed = {(0, *inner, total) for inner in itertools.combinations(range(1, total), 3)
                   if all(early[i] <= b <= late[i] for i, b in enumerate((0, *inner)))}
        assert wanted
        # More only where the alignment itself, moved to whole outputs, breaks the tolerance.
        own = tuple(output_bounds(times.bounds, 3, shift).tolist())
        assert allowed == wanted if own in wanted else allowed > wanted


def test_every_phone_gets_an_output_and_bounds_move_least():
    assert output_bounds(np.array([0, 1, 2, 3, 12]), 3).tolist() == [0, 1, 2, 3, 4]
    assert output_bounds(np.array([0, 9, 10, 11, 12]), 3).tolist() == [0, 1, 2, 3, 4]
    assert output_bounds(np.array([0, 6, 12]), 3).tolist() == [0, 2, 4]
    assert output_bounds(np.array([0, 1, 2, 3]), 3) is None
    assert phone_spans(np.array([0, 1, 2, 3]), 3, 0, 5) is None
    assert output_bounds(np.array([0, 3, 7]), 1).tolist() == [0, 3, 7]


def brute_force(times, shift, first, size, tolerance, phones, graph, outputs):
    """Return (log of the sum, occupation) of a chunk by its paths, each output by itself."""
    path = phones.path(times.phones)
    total, shares = 0.0, np.zeros(outputs.shape)
    seen = set()
    for begins in paths_of(times, shift, tolerance):
        # (phone, whether it begins) of each output; paths that differ elsewhere count once.
        labels = tuple((i, t == begins[i]) for i in range(len(times.phones))
                       for t in range(begins[i], begins[i + 1]))[first:first + size]
        if labels in seen:
            continue
        seen.add(labels)
        phone, begun = labels[0]
        value = np.log(graph.initial[path.states[phone if begun else phone + 1]])
        pdfs = []
        for phone, begun in labels:
            state = path.states[phone + 1]
            pdfs.append(int(graph.enter_pdf[state] if begun else graph.loop_pdf[state]))
            value += path.log_weights[phone] if begun else 0.0
        weight = np.exp(value + outputs[np.arange(size), pdfs].astype(np.float64).sum())
        total += weight
        np.add.at(shares, (np.arange(size), pdfs), weight)
    return np.log(total), shares / total


@pytest.mark.parametrize(("frame", "size"), [(0, 10), (0, 4), (9, 5), (10, 5), (14, 4), (3, 1)])
def test_sums_over_the_paths_of_a_chunk(frame, size):
    phones = phone_graph()
    graph = phones.denominator()
    times = PhoneTimes((1, 2, 3, 1), np.array([0, 8, 14, 22, 30]))
    numerators = make_numerators([None, times], phones, graph, 3, 5)
    outputs = random_outputs(1, size + 1, graph.num_pdfs, seed=frame)
    log_probs, occupation = num_loss(outputs, np.array([[1, frame, size]]), numerators)
    wanted, shares = brute_force(times, frame % 3, frame // 3, size, 5, phones, graph,
                                 outputs[0, :size])
    assert log_probs[0] == pytest.approx(wanted, abs=1e-9)
    np.testing.assert_allclose(occupation[0, :size], shares, rtol=0, atol=1e-6)
    assert not occupation[0, size:].any()


def test_occupation_is_the_gradient():
    phones = phone_graph()
    graph = phones.denominator()
    numerators = make_numerators([times_of(SEQUENCES[5])], phones, graph, 3, 5)
    outputs = random_outputs(1, 8, graph.num_pdfs, seed=2)
    chunks = np.array([[0, 5, 8]])
    _, occupation = num_loss(outputs, chunks, numerators)
    for t, pdf in zip(*np.nonzero(occupation[0] > 0.05), strict=True):
        values = []
        for sign in (1, -1):
            moved = outputs.copy()
            moved[0, t, pdf] += sign * 2.0**-9
            values.append(num_loss(moved, chunks, numerators)[0][0])
        assert (values[0] - values[1]) * 2.0**8 == pytest.approx(occupation[0, t, pdf], abs=1e-5)


def test_the_numerator_is_never_more_than_the_denominator():
    phones = phone_graph()
    graph = phones.denominator()
    utterances = [times_of(sequence, seed) for seed, sequence in enumerate(SEQUENCES)]
    numerators = make_numerators(utterances, phones, graph, 3, 5)
    rng = np.random.default_rng(7)
    for scale in (0.0, 1.0, 8.0, 100.0):
        chunks = []
        for number, times in enumerate(utterances):
            frame = int(rng.integers(0, 8))
            left = count_outputs(int(times.bounds[-1]), 3, frame % 3) - frame // 3
            chunks.append([number, frame, rng.integers(1, left + 1)])
        chunks = np.array(chunks)
        outputs = scale * random_outputs(len(chunks), chunks[:, 2].max(), graph.num_pdfs)
        num = num_loss(outputs, chunks, numerators)[0]
        den = den_loss(outputs, chunks[:, 2], graph)[0]
        assert (num <= den + 1e-4).all()


def test_utterances_that_cannot_be_trained_on_and_chunks_that_do_not_fit():
    phones = phone_graph()
    graph = phones.denominator()
    good = times_of((1, 2, 1))
    numerators = make_numerators(
        [good, PhoneTimes((3, 1, 3), np.array([0, 9, 18, 27])),  # no path of the graph
         PhoneTimes((1, 2, 1), np.array([0, 1, 2, 5]))],  # too short
        phones, graph, 3, 5)
    assert numerators.usable.tolist() == [True, False, False]
    outputs = random_outputs(1, 50, graph.num_pdfs)
    for chunk, message in (([1, 0, 1], "cannot be trained on"), ([3, 0, 1], "utterances from 3"),
                           ([0, 0, 50], "ends behind"), ([0, 0, 0], "empty")):
        with pytest.raises(ValueError, match=message):
            num_loss(outputs, np.array([chunk]), numerators)
    with pytest.raises(ValueError, match="fewer than the pdfs"):
        num_loss(outputs[..., :2], np.array([[0, 0, 1]]), numerators)
