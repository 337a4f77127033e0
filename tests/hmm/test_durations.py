"""How long phones last: counted in a plain loop over segments."""

import itertools
import math

import numpy as np
import pytest

from hybridasr.decode.words import phone_segments
from hybridasr.hmm.durations import (
    LEAST_DEVIATION,
    PRIOR_COUNT,
    estimate_durations,
    standard_deviations,
)
from hybridasr.hmm.topology import (
    HmmState,
    Topology,
    TopologyEntry,
    chain_topology,
    make_topology,
)
from hybridasr.hmm.transitions import TransitionModel

END = HmmState(-1, ())
# Phones of three states in a row; of two, the second of which may be left out or gone back from.
SKIPPING = Topology((
    TopologyEntry((2, 5), (HmmState(0, ((0, 0.4), (1, 0.3), (2, 0.3))),
                           HmmState(1, ((1, 0.4), (0, 0.2), (2, 0.4))), END)),
    TopologyEntry((1, 3), (HmmState(0, ((0, 0.5), (1, 0.5))), END))))


def model(topology):
    return TransitionModel(topology, [
        (phone, number, 10 * phone + number) for phone in topology.phones
        for number in range(len(topology.for_phone(phone).states) - 1)])


def walk(transitions, phones, rng):
    """Transition-ids of some phones and their frames, by a walk through the states of each."""
    ids, frames = [], []
    for phone in phones:
        states, state, begin = transitions.topology.for_phone(phone).states, 0, len(ids)
        while state < len(states) - 1:
            tstate = transitions.transition_state(phone, state, 10 * phone + state)
            loop = transitions.self_loop(tstate)
            onward = [tid for tid in transitions.tids(tstate) if tid != loop]
            tid = int(rng.choice(onward))
            ids += [tid] + [loop] * (int(rng.integers(0, 4)) if loop else 0)
            state = int(transitions.tid_next[tid])
        frames.append(len(ids) - begin)
    return np.array(ids, np.int32), frames


@pytest.mark.parametrize("topology", [make_topology([2, 3, 5], [1]), SKIPPING,
                                      chain_topology([1, 2, 3, 5])],
                         ids=["usual", "skipping", "chain"])
def test_phones_begin_where_the_walk_began_them(topology):
    transitions, rng = model(topology), np.random.default_rng(0)
    for _ in range(50):
        # The same phone twice in a row is two phones.
        phones = rng.choice(topology.phones, int(rng.integers(1, 6))).tolist()
        ids, frames = walk(transitions, phones, rng)
        ends = list(itertools.accumulate(frames))
        starts = transitions.phone_starts(ids)
        assert starts.tolist() == [0, *ends[:-1]]
        assert starts.dtype == np.int64
        segments = phone_segments(ids, transitions)
        assert [(s.label, s.begin, s.end) for s in segments] == list(
            zip(phones, starts.tolist(), ends, strict=True))
        # Cut off anywhere, the phones that are there begin where they did.
        cut = int(rng.integers(0, len(ids)))
        assert transitions.phone_starts(ids[:cut]).tolist() == [
            start for start in starts.tolist() if start < cut]


def test_mean_and_deviation_are_those_of_a_plain_loop():
    topology = make_topology([2, 3, 5], [1])
    transitions, rng = model(topology), np.random.default_rng(1)
    lengths, paths = {}, []
    for _ in range(30):
        phones = rng.choice([1, 2, 3], int(rng.integers(1, 8)), p=[0.3, 0.6, 0.1]).tolist()
        ids, frames = walk(transitions, phones, rng)
        paths.append(ids)
        for phone, count in zip(phones, frames, strict=True):
            lengths.setdefault(phone, []).append(math.log(count))
    found = estimate_durations(iter(paths), transitions, [2, 3, 5])
    assert (found.dtype, found.shape) == (np.float32, (6, 2))
    speech = lengths[2] + lengths[3]
    first, second = (sum(value**power for value in speech) / len(speech) for power in (1, 2))
    for phone in (1, 2, 3, 5):
        own = lengths.get(phone, [])
        weight = len(own) + PRIOR_COUNT
        mean = (sum(own) + PRIOR_COUNT * first) / weight
        square = (sum(value**2 for value in own) + PRIOR_COUNT * second) / weight
        assert found[phone] == pytest.approx(
            [mean, max(math.sqrt(square - mean**2), LEAST_DEVIATION)], rel=1e-4)
    # A phone that was never seen is an average one.
    assert found[5] == pytest.approx([first, math.sqrt(second - first**2)], rel=1e-4)


def test_without_speech_durations_are_usual_ones():
    transitions = model(make_topology([2], [1]))
    silence, _ = walk(transitions, [1], np.random.default_rng(0))
    for paths in ([], [silence], [np.zeros(0, np.int32)]):
        found = estimate_durations(paths, transitions, [2])
        assert found[2] == pytest.approx([math.log(8), LEAST_DEVIATION])


def test_standard_deviations_are_signed():
    durations = np.array([[0, 1], [math.log(10), 0.5], [math.log(4), 0.1]], np.float32)
    found = standard_deviations(np.array([1, 2, 1]), np.array([10, 5, 3]), durations)
    assert found == pytest.approx(
        [0, math.log(5 / 4) / 0.1, math.log(3 / 10) / 0.5], rel=1e-5, abs=1e-6)
