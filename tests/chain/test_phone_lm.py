"""The phone language model against counts and likelihoods taken by hand."""

import math
from collections import Counter

import pytest
from chain_world import SEQUENCES

from hybridasr.chain.phone_lm import PhoneLmOptions, estimate_phone_lm
from hybridasr.errors import UserError


def log_prob(lm, sequence):
    state, total = lm.start, 0.0
    for phone in sequence:
        arc = next(arc for arc in lm.arcs[state] if arc.phone == phone)
        total += math.log(arc.probability)
        state = arc.target
    return total + math.log(lm.final[state])


def test_every_state_is_a_distribution_and_knows_the_training_sequences():
    for extra in (0, 1, 3, 100):
        lm = estimate_phone_lm(SEQUENCES, PhoneLmOptions(num_extra_lm_states=extra))
        for state, arcs in lm.arcs.items():
            assert sum(a.probability for a in arcs) + lm.final[state] == pytest.approx(1.0)
            assert all(arc.target in lm.arcs for arc in arcs)
        assert sum(len(state) == 3 for state in lm.arcs) <= extra
        assert all(math.isfinite(log_prob(lm, sequence)) for sequence in SEQUENCES)


def test_without_pruning_frequencies_are_those_of_the_longest_history():
    lm = estimate_phone_lm(SEQUENCES, PhoneLmOptions(num_extra_lm_states=1000))
    counts: dict = {}
    for sequence in SEQUENCES:
        padded = (0, *sequence, 0)
        for place in range(1, len(padded)):
            history = padded[max(0, place - 3):place]
            counts.setdefault(history, Counter())[padded[place]] += 1
    assert set(lm.arcs) == set(counts)
    for history, arcs in lm.arcs.items():
        seen = counts[history]
        assert {arc.phone: pytest.approx(arc.probability) for arc in arcs} == {
            phone: count / seen.total() for phone, count in seen.items() if phone}
        assert lm.final[history] == pytest.approx(seen[0] / seen.total())


def test_fewer_states_lose_likelihood_and_the_first_to_go_loses_least():
    def likelihood(extra):
        lm = estimate_phone_lm(SEQUENCES, PhoneLmOptions(num_extra_lm_states=extra))
        return sum(log_prob(lm, sequence) for sequence in SEQUENCES)

    values = [likelihood(extra) for extra in range(12)]
    assert all(b >= a - 1e-9 for a, b in zip(values, values[1:], strict=False))
    assert values[0] < values[-1] - 0.5
    # By hand: keep all but one, whichever; the best of these is what pruning by one gives.
    full = estimate_phone_lm(SEQUENCES, PhoneLmOptions(num_extra_lm_states=1000))
    longest = [state for state in full.arcs if len(state) == 3]
    assert likelihood(len(longest) - 1) == pytest.approx(max(
        _without(SEQUENCES, state) for state in longest))


def _without(sequences, dropped):
    """Return the likelihood of the model whose one history `dropped` is handed on."""
    def state_of(history):
        history = history[-3:]
        return history[1:] if history == dropped else history

    counts: dict = {}
    for _ in range(2):
        total = 0.0
        for sequence in sequences:
            history = (0,)
            for phone in (*sequence, 0):
                state = state_of(history)
                if _ == 0:
                    counts.setdefault(state, Counter())[phone] += 1
                else:
                    total += math.log(counts[state][phone] / counts[state].total())
                history = (*history, phone)
    return total


def test_bigrams_and_bad_sizes():
    lm = estimate_phone_lm(SEQUENCES, PhoneLmOptions(ngram_order=2, no_prune_ngram_order=2))
    assert set(lm.arcs) == {(0,), (1,), (2,), (3,)}
    with pytest.raises(UserError, match="no-prune-ngram-order is 4"):
        PhoneLmOptions(ngram_order=3, no_prune_ngram_order=4)
    with pytest.raises(UserError, match="no phone sequence"):
        estimate_phone_lm([], PhoneLmOptions())
