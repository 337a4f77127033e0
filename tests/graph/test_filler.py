"""The filler: units against loops over senones, graphs against enumeration of what may be said."""

import functools
import itertools
import math
import zlib
from types import SimpleNamespace

import numpy as np
import pytest

from hybridasr.decode.search import SearchOptions, search
from hybridasr.decode.words import phone_segments
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.graph.filler import (
    GARBAGE,
    SPOKEN_NOISE,
    filler_graph,
    filler_units,
    join_graphs,
    silence_graph,
    surround_graph,
    unit_bigram,
)
from hybridasr.hmm.topology import (
    HmmState,
    Topology,
    TopologyEntry,
    chain_topology,
    read_topology,
)
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import LangOptions, prepare_lang
from hybridasr.lexicon.lexicon import Pronunciation, make_lexicon
from hybridasr.lexicon.phones import base_phone, default_phone_set
from hybridasr.lm.ngram import BEGIN, END

WORDS = {"<UNK>": "SPN", "w0": "d", "w1": "d t", "w2": "t t d", "w3": "t t d", "w4": "SPN d"}
SCALE = 0.6
WIDE = SearchOptions(beam=1e9, max_active=1 << 30, min_active=0, acoustic_scale=SCALE)
LABEL = 99


class HashTree:
    """A tree of any shape: a pdf for every window."""

    context_width, central_position = 3, 1

    def __init__(self, num_pdfs):
        self.num_pdfs = num_pdfs

    def pdf(self, window, pdf_class):
        return zlib.crc32(repr((window, pdf_class)).encode()) % self.num_pdfs


def make_system(path, shape="usual", **options):
    """Two speech phones, in all places if they depend on it; each state with some of nine pdfs."""
    lexicon = make_lexicon({word: [Pronunciation(1.0, tuple(phones.split()))]
                            for word, phones in WORDS.items()})
    lang = prepare_lang(lexicon, default_phone_set(), path, LangOptions(**options))
    topology = read_topology(lang.topology_text)
    if shape == "chain":
        topology = chain_topology(topology.phones)
    if shape == "short":  # two states, the second of which may be left out; silence of one
        end = HmmState(-1, ())
        two = (HmmState(0, ((0, 0.5), (1, 0.2), (2, 0.3))), HmmState(1, ((1, 0.7), (2, 0.3))), end)
        one = (HmmState(0, ((0, 0.6), (1, 0.4))), end)
        topology = Topology((TopologyEntry(tuple(lang.nonsilence_phones), two),
                             TopologyEntry(tuple(lang.silence_phones), one)))
    tree = HashTree(9)
    rows = [(phone, state, pdf) for phone in topology.phones
            for state in range(len(topology.for_phone(phone).states) - 1)
            for pdf in range(9) if (3 * phone + state + pdf) % 4 or phone in lang.silence_phones]
    flat = TransitionModel(topology, rows)
    rng = np.random.default_rng(5)
    transitions = flat.updated(10.0 + 90.0 * rng.random(flat.num_tids + 1))
    return SimpleNamespace(lang=lang, transitions=transitions, tree=tree, rng=rng)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "places"])
def system(request, tmp_path_factory):
    return make_system(tmp_path_factory.mktemp("lang"), position_dependent=request.param)


@pytest.fixture(scope="module", params=[("short", 0.5), ("short", 0.2), ("short", 0.0),
                                        ("chain", 0.5)], ids=lambda one: f"{one[0]}, sil{one[1]}")
def small(request, tmp_path_factory):
    """A system whose phones may be short, its filler and the costs of its transition-ids."""
    shape, sil_prob = request.param
    made = make_system(tmp_path_factory.mktemp("short"), shape, sil_prob=sil_prob)
    made.units = filler_units(made.lang, made.transitions, np.log(np.arange(1.0, 10.0) / 45))
    made.costs = made.units.transitions.scaled_costs(0.7, 0.3)
    made.bigram = unit_bigram(made.lang, made.units)
    return made


# Units.

def members(system):
    """Unit name -> phones, by the definition."""
    lang, found = system.lang, {GARBAGE: set(system.lang.nonsilence_phones)}
    for name, phone in lang.phones.items():
        if phone in lang.nonsilence_phones:
            found.setdefault(base_phone(name), set()).add(phone)
    return found


@pytest.mark.parametrize("weighted", [False, True])
def test_units_mix_and_average_what_their_phones_have(system, weighted):
    log_priors = np.log(system.rng.dirichlet(np.ones(9))) if weighted else None
    priors = np.exp(log_priors) if weighted else np.ones(9)
    units = filler_units(system.lang, system.transitions, log_priors)
    expected, ours, theirs = members(system), system.transitions, units.transitions
    assert sorted(units.names.values()) == sorted(expected) == ["GBG", "d", "t"]
    used = {*ours.topology.phones, *system.lang.phones.values()}
    assert not used.intersection(units.names)
    loglikes = (8 * system.rng.normal(size=(6, 9))).astype(np.float32)
    scores = units.scores(loglikes)
    assert (scores.dtype, scores.shape) == (np.float32, (6, 9 + 3 * 3))
    np.testing.assert_array_equal(scores[:, :9], loglikes)
    for unit, name in units.names.items():
        for state in range(3):
            rows = [(phone, pdf) for phone, at, pdf in ours.tuples.tolist()
                    if phone in expected[name] and at == state]
            pdfs = sorted({pdf for _, pdf in rows})
            (mixture,) = [pdf for phone, at, pdf in theirs.tuples.tolist()
                          if (phone, at) == (unit, state)]
            for frame in range(6):
                total = sum(priors[pdf] / sum(priors[pdfs]) * math.exp(loglikes[frame, pdf])
                            for pdf in pdfs)
                assert scores[frame, mixture] == pytest.approx(math.log(total), abs=1e-4)
            for arc, tid in enumerate(theirs.tids(theirs.transition_state(unit, state, mixture))):
                own = [math.exp(ours.log_probs[ours.transition_id(
                    ours.transition_state(phone, state, pdf), arc)]) for phone, pdf in rows]
                share = np.array([priors[pdf] for _, pdf in rows])
                assert math.exp(theirs.log_probs[tid]) == pytest.approx(
                    (share * own).sum() / share.sum(), rel=1e-5)
    assert len(theirs.tuples) == len(ours.tuples) + 9


def test_other_speech_is_a_unit_of_one_pdf(system):
    plain = filler_units(system.lang, system.transitions)
    units = filler_units(system.lang, system.transitions, noise_pdf=4)
    assert {*units.names.values()} == {*plain.names.values(), SPOKEN_NOISE}
    (unit,) = [unit for unit, name in units.names.items() if name == SPOKEN_NOISE]
    loglikes = (4 * system.rng.normal(size=(5, 9))).astype(np.float32)
    scores = units.scores(loglikes)
    np.testing.assert_array_equal(scores[:, :18], plain.scores(loglikes))
    for _, _, pdf in units.transitions.tuples[units.transitions.tuples[:, 0] == unit].tolist():
        np.testing.assert_allclose(scores[:, pdf], loglikes[:, 4], atol=1e-4)
    # What goes on after any unit, and to garbage and noise, is all that may happen.
    bigram = unit_bigram(system.lang, units)
    assert SPOKEN_NOISE not in bigram.words


def test_other_speech_is_nearest_to_its_own_unit(small):
    units = filler_units(small.lang, small.transitions, noise_pdf=4)
    costs = units.transitions.scaled_costs(0.7, 0.3)
    graph = filler_graph(small.lang, units, small.tree, small.bigram, LABEL, costs)
    loglikes = np.full((12, 9), -5.0, np.float32)
    loglikes[:, 4] = 0.0
    path = search(graph, units.transitions.tid_pdf[graph.ilabel], units.scores(loglikes),
                  SearchOptions(acoustic_scale=1.0, beam=50.0))
    phones = units.transitions.tid_phone[path.transition_ids]
    assert {units.names.get(phone) for phone in phones.tolist()} == {SPOKEN_NOISE}


def test_the_models_own_ids_stay(system):
    ours, theirs = system.transitions, filler_units(system.lang, system.transitions).transitions
    own = slice(ours.num_tids + 1)
    for name in ("tid_state", "tid_pdf", "tid_phone", "tid_hmm_state", "tid_pdf_class", "tid_next",
                 "tid_is_self_loop", "tid_is_final", "log_probs"):
        np.testing.assert_array_equal(getattr(theirs, name)[own], getattr(ours, name), name)
    np.testing.assert_array_equal(theirs.tuples[:len(ours.tuples)], ours.tuples)
    np.testing.assert_array_equal(theirs.scaled_costs(0.7, 0.3)[own], ours.scaled_costs(0.7, 0.3))
    for tstate in range(1, theirs.num_states + 1):
        assert sum(math.exp(theirs.log_probs[tid]) for tid in theirs.tids(tstate)
                   ) == pytest.approx(1, abs=1e-5)


def test_scores_of_far_frames_and_of_none(system):
    units = filler_units(system.lang, system.transitions)
    assert units.scores(np.zeros((0, 9), np.float32)).shape == (0, 18)
    # A pdf that no unit has in its first state, and likelihoods that underflow: still numbers.
    far = np.full((1, 9), -3000.0, np.float32)
    far[0, 0] = 500.0
    scores = units.scores(far)
    assert np.isfinite(scores).all()
    assert scores[0, 9:].max() <= 500.0
    # A scaling of all senones is one of the mixtures.
    loglikes = system.rng.normal(size=(4, 9)).astype(np.float32)
    np.testing.assert_allclose(units.scores(loglikes + np.float32(1000.0)),
                               units.scores(loglikes) + 1000.0, atol=2e-3)


def test_bigram_counts_each_sound_once(system):
    bigram = unit_bigram(system.lang, filler_units(system.lang, system.transitions))
    # d; d t; t t d twice but counted once; not what holds noise.
    assert 10 ** bigram.log10_prob("d", [BEGIN]) == pytest.approx(
        (2 + 2 * 10 ** bigram.log10_prob("d")) / (3 + 2))
    assert 10 ** bigram.log10_prob("t", ["t"]) == pytest.approx(
        (1 + 3 * 10 ** bigram.log10_prob("t")) / (3 + 3))
    assert bigram.vocabulary == sorted([END, "d", "t"])


# Graphs, by the definitions.

def phone_costs(system, phone, pdfs, scores):
    """Cost of a phone that takes frames begin to end: {(begin, end): cost}, by all ways through."""
    model = system.units.transitions
    states = model.topology.for_phone(phone).states
    prices = {}
    for number, (state, pdf) in enumerate(zip(states, pdfs, strict=False)):
        for arc, (target, _) in enumerate(state.transitions):
            tid = model.transition_id(model.transition_state(phone, number, pdf), arc)
            prices[number, target] = system.costs[tid]

    @functools.cache
    def rest(state, begin, end):
        if state == len(states) - 1:
            return 0.0 if begin == end else math.inf
        emitted, best = 0.0, math.inf
        for stay in range(end - begin):  # frames of the self-loop
            emitted -= SCALE * float(scores[begin + stay, pdfs[state]])
            if stay and (state, state) not in prices:
                break
            loops = stay * prices.get((state, state), 0.0)
            best = min([best, *(loops + emitted + prices[state, target]
                                + rest(target, begin + stay + 1, end)
                                for source, target in prices
                                if source == state and target != state)])
        return best

    frames = range(len(scores) + 1)
    return {(begin, end): rest(0, begin, end) for begin in frames for end in frames if begin < end}


def sequence_cost(tables, frames):
    """Least cost of phones one after the other over all frames."""
    best = {0: 0.0}
    for table in tables:
        best = {end: min(cost + table.get((begin, end), math.inf) for begin, cost in best.items())
                for end in range(frames + 1)}
    return best.get(frames, math.inf)


def silence_pdfs(system):
    silence = system.lang.optional_silence
    count = len(system.transitions.topology.for_phone(silence).states) - 1
    return [system.tree.pdf((0, silence, 0), number) for number in range(count)]


def bigram_cost(system, names):
    """Cost of a sequence of units: GBG takes its share after any, and forgets what was before."""
    total, history = 0.0, [BEGIN]
    for name in (*names, END):
        if name == GARBAGE:
            total -= math.log(0.05)
            history = []
            continue
        total -= math.log(0.95) + math.log(10) * system.bigram.log10_prob(name, history)
        history = [name]
    return total


def scores_of(system, frames):
    """Scores of senones and mixtures; independent ones, so that any unit may be the best."""
    columns = system.units.transitions.num_pdfs
    return (5 * system.rng.normal(size=(frames, columns))).astype(np.float32)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5])
def test_filler_is_the_best_of_all_sequences(small, frames):
    lang, units = small.lang, small.units
    graph = filler_graph(lang, units, small.tree, small.bigram, LABEL, small.costs)
    for _ in range(4):
        scores = scores_of(small, frames)
        tables = {name: phone_costs(small, unit, [
            pdf for phone, _, pdf in units.transitions.tuples.tolist() if phone == unit], scores)
            for unit, name in units.names.items()}
        silence = phone_costs(small, lang.optional_silence, silence_pdfs(small), scores)
        pauses = [([], -math.log(1 - lang.sil_prob))]
        if lang.sil_prob:
            pauses.append(([silence], -math.log(lang.sil_prob)))
        totals = {}
        for names in itertools.chain.from_iterable(
                itertools.product(tables, repeat=length) for length in range(frames + 1)):
            totals[names] = bigram_cost(small, names) + min(
                before + after + sequence_cost([*first, *(tables[n] for n in names), *last], frames)
                for (first, before), (last, after) in itertools.product(pauses, repeat=2))
        found = search(graph, units.transitions.tid_pdf[graph.ilabel], scores, WIDE)
        assert found.complete
        assert found.words.tolist() == [LABEL]
        best = min(totals, key=totals.get)
        assert found.total_cost == pytest.approx(totals[best], rel=1e-5, abs=1e-4)
        if sorted(totals.values())[1] - totals[best] > 1e-3:
            heard = [units.names[segment.label] for segment in phone_segments(
                found.transition_ids, units.transitions) if segment.label in units.names]
            assert tuple(heard) == best


def test_garbage_and_backoff_are_among_the_winners(small):
    """The brute force of the test above sees every kind of sequence win."""
    graph = filler_graph(small.lang, small.units, small.tree, small.bigram, LABEL, small.costs)
    pdfs, heard = small.units.transitions.tid_pdf[graph.ilabel], set()
    for _ in range(60):
        path = search(graph, pdfs, scores_of(small, 6), WIDE)
        names = [small.units.names.get(segment.label, "sil") for segment in phone_segments(
            path.transition_ids, small.units.transitions)]
        heard.update(itertools.pairwise(names))
    assert {(GARBAGE, "d"), ("d", "d"), ("t", GARBAGE)} <= heard  # d d is no bigram of the lexicon


@pytest.mark.parametrize("frames", [1, 3, 6])
def test_silence_is_the_best_way_through_its_states(small, tmp_path, frames):
    for made in (small, make_system(tmp_path / "five")):
        if made is not small:  # the usual silence of five states
            made.units = filler_units(made.lang, made.transitions)
            made.costs = made.units.transitions.scaled_costs(0.7, 0.3)
        graph = silence_graph(made.lang, made.units.transitions, made.tree, made.costs)
        scores = scores_of(made, frames)
        expected = phone_costs(made, made.lang.optional_silence, silence_pdfs(made),
                               scores)[0, frames]
        found = search(graph, made.units.transitions.tid_pdf[graph.ilabel], scores, WIDE)
        assert found.complete == math.isfinite(expected)
        assert len(found.words) == 0
        if found.complete:
            assert found.total_cost == pytest.approx(expected, rel=1e-5, abs=1e-4)


def random_graph(rng, label):
    """A graph that starts anywhere and says one word on some arcs."""
    states, arcs = int(rng.integers(2, 6)), int(rng.integers(4, 12))
    final = np.where(rng.random(states) < 0.5, 3 * rng.random(states), np.inf)
    final[rng.integers(states)] = 0.0
    source = rng.integers(0, states, arcs)
    target = rng.integers(0, states, arcs)
    epsilon = (rng.random(arcs) < 0.3) & (source < target)
    return DecodingGraph.from_arcs(
        int(rng.integers(states)), source, np.where(epsilon, 0, rng.integers(1, 6, arcs)),
        np.where(rng.random(arcs) < 0.4, label, 0), 4 * rng.random(arcs), target, final)


def test_a_union_is_as_good_as_its_best_part():
    rng, winners = np.random.default_rng(0), set()
    for _ in range(60):
        graphs = [random_graph(rng, label) for label in (1, 2, 3)]
        union = join_graphs(graphs)
        loglikes = (4 * rng.normal(size=(int(rng.integers(1, 5)), 5))).astype(np.float32)

        def run(graph, loglikes=loglikes):
            return search(graph, (graph.ilabel - 1).astype(np.int32), loglikes, WIDE)

        alone = [run(graph) for graph in graphs]
        ends = {number: path.total_cost for number, path in enumerate(alone)
                if path is not None and path.complete}
        found = run(union)
        assert (found is None) == all(path is None for path in alone)
        if not ends:
            assert found is None or not found.complete
            continue
        best = min(ends, key=ends.get)
        winners.add(best)
        assert found.complete
        assert found.total_cost == pytest.approx(ends[best], rel=1e-5, abs=1e-4)
        assert found.words.tolist() == alone[best].words.tolist()
        assert found.transition_ids.tolist() == alone[best].transition_ids.tolist()
    assert winners == {0, 1, 2}


def test_a_graph_in_the_middle_of_a_loop_is_the_best_of_all_cuts():
    """Loop, word, loop; each of the two loops may be left out."""
    rng = np.random.default_rng(8)
    word = DecodingGraph.from_arcs(0, [0, 1, 1], [1, 1, 2], [7, 0, 0], [0.5, 0.25, 0.75], [1, 1, 2],
                                   [np.inf, np.inf, 0.125])
    loop = DecodingGraph.from_arcs(0, [0, 1], [3, 3], [9, 0], [1.0, 1.5], [1, 1], [np.inf, 0.375])
    inside = surround_graph(word, loop)
    options = SearchOptions(beam=1e9, acoustic_scale=1.0)

    def cost(graph, scores):
        if len(scores) == 0:
            return 0.0
        path = search(graph, graph.ilabel - 1, scores, options)
        return path.total_cost if path is not None and path.complete else np.inf

    for _ in range(20):
        scores = -rng.exponential(size=(7, 3)).astype(np.float32)
        path = search(inside, inside.ilabel - 1, scores, options)
        assert path.words.tolist() == [7]
        assert path.total_cost == pytest.approx(min(
            cost(loop, scores[:a]) + cost(word, scores[a:b]) + cost(loop, scores[b:])
            for a in range(7) for b in range(a + 1, 8)), abs=1e-4)
