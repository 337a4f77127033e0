"""Transition model: numbering, costs in graphs, re-estimation."""

import gzip
import itertools
import re

import numpy as np
import pytest

from hybridasr.hmm.topology import make_topology, read_topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.tree.tree import allowed_tuples, monophone_tree

TOPOLOGY = make_topology([2, 3], [1])


def model():
    tree = monophone_tree([[1], [2], [3]], TOPOLOGY)
    return TransitionModel(TOPOLOGY, allowed_tuples(tree, TOPOLOGY))


def test_numbering_is_by_phone_state_and_arc():
    transitions = model()
    assert transitions.num_states == 5 + 3 + 3
    assert transitions.num_tids == 4 + 4 + 4 + 4 + 2 + 2 * 6
    state = transitions.transition_state(2, 1, 6)
    first, second = transitions.tids(state)
    assert transitions.self_loop(state) == first == transitions.transition_id(state, 0)
    assert transitions.tid_next[second] == 2
    assert not transitions.tid_is_self_loop[second]
    assert transitions.tid_pdf[[first, second]].tolist() == [6, 6]
    assert transitions.tid_pdf_class[[0, first, second]].tolist() == [0, 1, 1]
    last = transitions.transition_id(transitions.transition_state(3, 2, 10), 1)
    assert transitions.tid_is_final[last]
    with pytest.raises(KeyError):
        transitions.transition_state(2, 1, 5)


@pytest.mark.parametrize("every", [2, 3])
def test_every_so_many_frames_by_all_paths(every):
    """Where a state may be after some frames: the sum over all ways through the HMM."""
    rng = np.random.default_rng(0)
    transitions = model().updated(rng.uniform(5, 50, model().num_tids + 1))
    slow = transitions.at_rate(every)
    np.testing.assert_array_equal(slow.tuples, transitions.tuples)
    steps = {}  # (phone, state) -> next state -> probability
    for tid in range(1, transitions.num_tids + 1):
        key = int(transitions.tid_phone[tid]), int(transitions.tid_hmm_state[tid])
        steps.setdefault(key, {})[int(transitions.tid_next[tid])] = np.exp(
            transitions.log_probs[tid])
    for tstate, (phone, state, _) in enumerate(slow.tuples.tolist(), 1):
        last = len(TOPOLOGY.for_phone(phone).states) - 1
        after = np.zeros(last + 1)
        for path in itertools.product(range(last + 1), repeat=every):
            probability = 1.0
            for one, other in zip((state, *path[:-1]), path, strict=True):
                # Whoever has left stays away.
                probability *= (float(other == last) if one == last
                                else steps[phone, one].get(other, 0.0))
            after[path[-1]] += probability
        found = np.zeros(last + 1)
        for tid in slow.tids(tstate):
            found[slow.tid_next[tid]] += np.exp(slow.log_probs[tid])
        assert (found > 0).tolist() == (after > 0).tolist()
        # No transition is less probable than the floor.
        np.testing.assert_allclose(found, after, atol=0.025)
        assert found.sum() == pytest.approx(1, abs=1e-5)
        assert found[found > 0].min() > 0.0099
        assert slow.self_loop(tstate) > 0
    # Three states may be over in fewer frames, and one phone after the other is told apart.
    assert slow.topology.for_phone(2).min_frames == -(-3 // every)
    state = slow.transition_state(2, 3 - every, 8 - every)
    over = next(tid for tid in slow.tids(state) if slow.tid_is_final[tid])
    assert slow.phone_starts(np.array([over, over, slow.self_loop(state), over])).tolist() == [
        0, 1, 3]
    again = read_topology(slow.topology.to_text())
    assert again.to_text() == slow.topology.to_text()
    assert transitions.at_rate(1) is transitions


def test_pdf_classes_are_those_of_the_topology():
    """Where states of a phone share a pdf, the class is not the number of the state."""
    topology = read_topology(
        "<Topology> <TopologyEntry> <ForPhones> 1 2 </ForPhones> "
        "<State> 0 <PdfClass> 1 <Transition> 0 0.5 <Transition> 1 0.5 </State> "
        "<State> 1 <PdfClass> 0 <Transition> 1 0.5 <Transition> 2 0.5 </State> "
        "<State> 2 <PdfClass> 1 <Transition> 2 0.5 <Transition> 3 0.5 </State> "
        "<State> 3 </State> </TopologyEntry> </Topology>")
    tree = monophone_tree([[1], [2]], topology)
    transitions = TransitionModel(topology, allowed_tuples(tree, topology))
    assert transitions.tid_pdf_class[1:].tolist() == 2 * [1, 1, 0, 0, 1, 1]
    np.testing.assert_array_equal(transitions.tid_pdf[1:7], [1, 1, 0, 0, 1, 1])


@pytest.mark.realdata
@pytest.mark.parametrize("system", ["kaldi_tri1_dsp20", "kaldi_tri1_words_zh"])
def test_numbers_and_probabilities_of_kaldi(ref_root, system):
    with gzip.open(ref_root / system / "final.mdl.txt.gz", "rt") as file:
        text = file.read()
    text = text[:text.index("</TransitionModel>")]
    body = re.search(r"<Triples> \d+ (.*?)</Triples>", text, re.DOTALL)[1]
    triples = np.array(body.split(), int).reshape(-1, 3)
    log_probs = np.array(re.search(r"<LogProbs>\s*\[(.*?)\]", text, re.DOTALL)[1].split(), float)
    transitions = TransitionModel(read_topology(text), map(tuple, triples.tolist()), log_probs)
    np.testing.assert_array_equal(transitions.tuples, triples)
    assert transitions.num_tids == len(log_probs) - 1
    # Numbered right, the probabilities of each state sum to one.
    for start, end in zip(transitions.first_tid[:-1], transitions.first_tid[1:], strict=True):
        assert np.exp(log_probs[start:end]).sum() == pytest.approx(1.0, abs=1e-4)
    # Every transition-id of Kaldi's alignments follows from the one before it.
    for line in (ref_root / system / "forced_alignment.txt").read_text().splitlines():
        tids = np.array(line.split()[1:], int)
        loops = transitions.tid_is_self_loop[tids]
        assert not loops[0]
        assert (transitions.tid_state[tids[1:]][loops[1:]]
                == transitions.tid_state[tids[:-1]][loops[1:]]).all()
        forward = tids[~loops]
        inside = ~transitions.tid_is_final[forward[:-1]]
        assert (transitions.tid_next[forward[:-1]][inside]
                == transitions.tid_hmm_state[forward[1:]][inside]).all()


def test_costs_by_hand():
    transitions = model()
    state = transitions.transition_state(2, 0, 5)
    loop, onward = transitions.tids(state)
    costs = transitions.scaled_costs(1.0, 1.0)
    np.testing.assert_allclose(costs[1:], -transitions.log_probs[1:], rtol=1e-5, atol=1e-6)
    costs = transitions.scaled_costs(0.5, 0.1)
    assert costs[0] == 0
    assert costs[loop] == pytest.approx(-0.1 * np.log(0.75), rel=1e-5)
    # One way out only: nothing relative to the others, the scaled chance of leaving.
    assert costs[onward] == pytest.approx(-0.1 * np.log(0.25), rel=1e-5)
    silence = transitions.tids(transitions.transition_state(1, 1, 1))
    assert costs[silence[1]] == pytest.approx(-0.5 * np.log(0.25 / 0.75) - 0.1 * np.log(0.75),
                                              rel=1e-5)
    assert transitions.non_self_loop_log_prob(state) == pytest.approx(np.log(0.25), rel=1e-5)


def test_update_is_relative_frequency_with_a_floor():
    transitions = model()
    counts = np.zeros(transitions.num_tids + 1)
    rich = transitions.tids(transitions.transition_state(2, 0, 5))
    counts[list(rich)] = [60, 40]
    skewed = transitions.tids(transitions.transition_state(2, 1, 6))
    counts[list(skewed)] = [1000, 0]
    poor = transitions.tids(transitions.transition_state(3, 0, 8))
    counts[list(poor)] = [3, 1]
    updated = transitions.updated(counts)
    np.testing.assert_allclose(np.exp(updated.log_probs[list(rich)]), [0.6, 0.4], rtol=1e-6)
    np.testing.assert_allclose(np.exp(updated.log_probs[list(skewed)]), [0.99, 0.01], rtol=2e-2)
    np.testing.assert_array_equal(updated.log_probs[list(poor)], transitions.log_probs[list(poor)])
    for start, end in zip(updated.first_tid[:-1], updated.first_tid[1:], strict=True):
        assert np.exp(updated.log_probs[start:end]).sum() == pytest.approx(1.0, abs=1e-5)
