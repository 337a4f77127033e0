"""What speaks for and against a command: lattices made by hand, measures in plain loops."""

import math

import numpy as np
import pytest

from hybridasr.confidence.measures import (
    LARGEST_DEVIATION,
    LARGEST_LOG_ODDS,
    LARGEST_RATIO,
    NAMES,
    NUM_ALTERNATIVES,
    CompetingCommands,
    compare_commands,
    level_contrast,
    measures,
    nothing,
    phone_measures,
)
from hybridasr.corpus.command_list import Command
from hybridasr.hmm.topology import make_topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lattice.lattice import CompactLattice, WordPath

SCALE, BEAM = 0.5, 10.0


def make_lattice(costs):
    """A lattice of paths {words: (graph, acoustic)}; each has states of its own up to the end."""
    arcs, states = [], 2
    for words, (graph, acoustic) in costs.items():
        inner = range(states, states + max(len(words) - 1, 0))
        states += len(inner)
        places = [0, *inner, 1]
        for number, word in enumerate(words or (0,)):
            share = (graph, acoustic) if number == 0 else (0.0, 0.0)
            arcs.append((places[number], places[number + 1], word, *share))
    # The end comes last: arcs lead to later states.
    order = {1: states - 1} | {state: state - 1 for state in range(2, states)} | {0: 0}
    arcs = sorted((order[a], order[b], *rest) for a, b, *rest in arcs)
    source, target, word, graph, acoustic = map(np.array, zip(*arcs, strict=True))
    final = np.full(states, np.inf)
    final[-1] = 0.0
    return CompactLattice(source.astype(np.int32), target.astype(np.int32), word.astype(np.int32),
                          graph.astype(float), acoustic.astype(float), final, np.zeros(states),
                          [np.array([1], np.int32)] * len(arcs),
                          [np.zeros(0, np.int32)] * states)


def named_commands(ids):
    """Commands of these ids, whose text does not matter."""
    return {words: Command(str(words), name) for words, name in ids.items()}


@pytest.mark.parametrize("seed", range(20))
def test_competing_commands_are_those_of_a_plain_loop(seed):
    rng = np.random.default_rng(seed)
    phrases = [(1,), (2,), (3, 1), (3, 2), (4,), (5, 5), (6,), (7,)][:int(rng.integers(1, 9))]
    costs = {words: (5 * rng.random(), 12 * rng.random()) for words in phrases}
    ids = {words: f"id{rng.integers(4)}" for words in phrases}
    named = named_commands(ids)
    filler, penalty = float(rng.normal(5, 6)), float(rng.normal(0, 3))
    found = compare_commands(make_lattice(costs), named, filler, SCALE, BEAM, penalty)
    total = {words: graph + SCALE * acoustic for words, (graph, acoustic) in costs.items()}
    groups = {}
    for words in sorted(total, key=total.get):
        groups.setdefault(ids[words], []).append(words)
    firsts = [group[0] for group in groups.values()]
    assert [path.words for path in (found.best, *found.others)] == firsts
    best = total[firsts[0]]
    assert found.best.total_cost(SCALE) == pytest.approx(best)
    assert found.wins == (best < filler + penalty)
    assert found.filler_ratio == pytest.approx(min(max(filler - best, -LARGEST_RATIO),
                                                   LARGEST_RATIO))
    assert found.margin == pytest.approx(total[firsts[1]] - best if firsts[1:] else BEAM)
    mass = sum(math.exp(-cost) for cost in (*total.values(), filler))
    assert found.posteriors == pytest.approx(
        [sum(math.exp(-total[words]) for words in group) / mass for group in groups.values()])


def test_penalty_decides_but_does_not_count():
    lattice = make_lattice({(1,): (3.0, 0.0)})
    phrases = named_commands({(1,): "a"})
    found = {penalty: compare_commands(lattice, phrases, 2.0, SCALE, BEAM, penalty)
             for penalty in (0.0, 1.5)}
    assert [found[penalty].wins for penalty in found] == [False, True]
    assert {commands.filler_ratio for commands in found.values()} == {-1.0}
    for commands in found.values():
        assert commands.posteriors == pytest.approx([1 / (1 + math.e)])


def test_without_a_filler_and_without_a_command():
    phrases = named_commands({(1,): "a"})
    alone = compare_commands(make_lattice({(1,): (3.0, 2.0)}), phrases, math.inf, SCALE, BEAM, 0.0)
    assert (alone.wins, alone.filler_ratio, alone.margin) == (True, LARGEST_RATIO, BEAM)
    assert alone.posteriors == pytest.approx([1.0])
    assert compare_commands(make_lattice({(): (3.0, 2.0)}), {}, 1.0, SCALE, BEAM, 0.0) is None


def test_many_texts_of_one_id_hide_no_other():
    costs = {(word,): (word / 100, 0.0) for word in range(1, 40)} | {(99,): (5.0, 0.0)}
    ids = {words: "many" for words in costs} | {(99,): "other"}
    found = compare_commands(make_lattice(costs), named_commands(ids), 8.0, SCALE, BEAM, 0.0)
    assert [path.words for path in found.others] == [(99,)]
    assert found.margin == pytest.approx(4.99)
    # Of many commands the best are kept.
    found = compare_commands(make_lattice(costs), named_commands({words: str(words)
                                                                  for words in costs}), 8.0,
                             SCALE, BEAM, 0.0)
    assert len(found.others) == len(found.posteriors) - 1 == NUM_ALTERNATIVES - 1


# Measures of phones.

TOPOLOGY = make_topology([2, 3], [1])
TRANSITIONS = TransitionModel(TOPOLOGY, [
    (phone, state, 5 * (phone - 1) + state) for phone in (1, 2, 3)
    for state in range(5 if phone == 1 else 3)])
NUM_PDFS = 13


def phone_ids(phone, frames):
    """Transition-ids of a phone that stays in its last state."""
    states = (0, 1, 4) if phone == 1 else (0, 1, 2)
    ids, following = [], (*states[1:], 5 if phone == 1 else 3)
    for state, target in zip(states, following, strict=True):
        tstate = TRANSITIONS.transition_state(phone, state, 5 * (phone - 1) + state)
        ids += [tid for tid in TRANSITIONS.tids(tstate) if TRANSITIONS.tid_next[tid] == target]
    return ids + [TRANSITIONS.self_loop(tstate)] * (frames - 3)


PATH = [(1, 4), (2, 3), (3, 30), (2, 5), (1, 6)]  # phones and their frames


@pytest.fixture
def path():
    """(scores, transition-ids): the mixtures beside the senones are the best of all."""
    ids = np.array([tid for phone, frames in PATH for tid in phone_ids(phone, frames)], np.int32)
    scores = np.random.default_rng(0).normal(size=(len(ids), NUM_PDFS + 4)).astype(np.float32)
    scores[:, NUM_PDFS:] += 50
    return scores, ids


def test_phones_against_the_best_senone(path):
    scores, ids = path
    durations = np.array([[0, 1], [1, 1], [math.log(4), 0.5], [math.log(5), 0.2]], np.float32)
    found = phone_measures(scores, NUM_PDFS, ids, TRANSITIONS, [1], durations)
    expected, begin = [], 0
    for phone, frames in PATH:
        ratios = [float(scores[t, TRANSITIONS.tid_pdf[ids[t]]] - max(scores[t, :NUM_PDFS]))
                  for t in range(begin, begin + frames)]
        mean, deviation = durations[phone]
        odd = min(abs(math.log(frames) - mean) / deviation, LARGEST_DEVIATION)
        if phone != 1:
            expected.append([begin, begin + frames, sum(ratios) / frames, odd])
        begin += frames
    assert found == pytest.approx(np.array(expected), abs=1e-5)
    assert found[1, 3] == LARGEST_DEVIATION
    unknown = phone_measures(scores, NUM_PDFS, ids, TRANSITIONS, [1], None)
    np.testing.assert_array_equal(unknown[:, :3], found[:, :3])
    assert np.isnan(unknown[:, 3]).all()


def test_contrast_is_the_loudness_of_speech_over_the_rest():
    phones = np.array([[2.0, 5, -1, 1], [5, 8, -1, 1]])
    levels = np.arange(20.0)
    spoken, rest = [2, 3, 4, 5, 6, 7], [0, 1, *range(8, 20)]
    assert level_contrast(levels, phones) == pytest.approx(
        sum(spoken) / 6 - sum(rest) / len(rest))
    assert math.isnan(level_contrast(levels[:12], phones[:1]))  # too little speech
    assert math.isnan(level_contrast(levels[:10], phones))  # too little else


def competing(**changes):
    way = WordPath((1,), 0.0, 0.0, np.zeros(0, np.int32))
    values = {"best": way, "others": [way], "wins": True, "filler_ratio": 6.0, "margin": 2.5,
              "posteriors": np.array([0.8, 0.1])}
    return CompetingCommands(**values | changes)


def test_measures_of_a_command_and_its_words():
    phones = np.array([[2.0, 5, -1.0, 0.5], [5, 11, -0.25, 2.0], [14, 17, -4.0, 1.0]])
    whole = dict(zip(NAMES, measures(competing(), phones, 3.0), strict=True))
    assert whole == pytest.approx({
        "filler_ratio": 6.0, "filler_ratio_a_frame": 6 / 12, "margin": 2.5,
        "posterior": math.log(0.8 / 0.2), "phone_ratio": (3 * -1 + 6 * -0.25 + 3 * -4) / 12,
        "worst_phone": -4.0, "duration": -3.5 / 3, "worst_duration": -2.0, "contrast": 3.0})
    # Two words: what is of the command is the same for both, phones are the word's own.
    first, second = (dict(zip(NAMES, measures(competing(), phones, 3.0, *span), strict=True))
                     for span in ((2, 11), (14, 17)))
    assert first == pytest.approx({**whole, "phone_ratio": (3 * -1 + 6 * -0.25) / 9,
                                   "worst_phone": -1.0, "duration": -1.25, "worst_duration": -2.0})
    assert second == pytest.approx({**whole, "phone_ratio": -4.0, "worst_phone": -4.0,
                                    "duration": -1.0, "worst_duration": -1.0})
    # All larger for a command that was said.
    for name, better in (("filler_ratio", competing(filler_ratio=7.0)),
                         ("margin", competing(margin=3.0)),
                         ("posterior", competing(posteriors=np.array([0.9, 0.1])))):
        assert measures(better, phones, 3.0)[NAMES.index(name)] > whole[name]


def test_measures_at_their_limits():
    phones = np.array([[2.0, 5, -1.0, np.nan]])
    sure = measures(competing(posteriors=np.array([1.0])), phones, np.nan)
    assert sure[NAMES.index("posterior")] == LARGEST_LOG_ODDS
    assert measures(competing(posteriors=np.array([0.0])), phones, 0.0)[
        NAMES.index("posterior")] == -LARGEST_LOG_ODDS
    missing = [name for name, value in zip(NAMES, sure, strict=True) if math.isnan(value)]
    assert missing == ["duration", "worst_duration", "contrast"]
    # A word without speech phones has none of their measures.
    silent = measures(competing(), phones, 0.0, 10, 20)
    assert np.isnan(silent[4:8]).all()
    assert np.isfinite(silent[:4]).all()
    assert np.isnan(nothing()).all()
    assert nothing().shape == (len(NAMES),) == sure.shape
