"""HCLG against composition by hand: every word sequence, every path, every weight."""

import dataclasses
import itertools
import math

import numpy as np
import pynini
import pytest

from hybridasr.decode.search import SearchOptions, search
from hybridasr.errors import UserError
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.graph.compose import GraphOptions, from_fst, make_hclg, to_fst, write_graph
from hybridasr.graph.lexicon_fst import lexicon_fst, write_lexicon_fsts
from hybridasr.graph.openfst import read_fst
from hybridasr.graph.training import TrainingGraphs, arc_costs
from hybridasr.kaldi.lang_text import read_kaldi_lang
from hybridasr.kaldi.model_text import read_model
from hybridasr.kaldi.tree_text import read_tree
from hybridasr.lm.estimate import estimate_ngram
from hybridasr.lm.grammar import command_grammar, ngram_grammar

WORDS = ("a", "homo", "ab", "c")
COMMANDS = [("a",), ("homo",), ("ab", "c"), ("c",), ("a", "c", "a")]
TEXT = [["a", "ab"], ["c", "homo", "a"], ["c", "c"], ["ab"], ["homo", "c"]]
SCALES = GraphOptions(transition_scale=0.7, self_loop_scale=0.3)


def grammar_of(kind, lang):
    if kind == "bigram":
        return ngram_grammar(estimate_ngram(TEXT, 2), lang.words)
    return command_grammar(COMMANDS, lang.words, loop=kind == "loop")


def grammar_cost(kind, words, lang):
    """What the grammar asks for a word sequence, without any transducer; inf = not allowed."""
    if kind == "commands":
        return math.log(len(COMMANDS)) if words in COMMANDS else math.inf
    if kind == "loop":
        # Ways to cut the sequence into commands, the cheapest.
        best = {0: 0.0}
        for end in range(1, len(words) + 1):
            for command in COMMANDS:
                begin = end - len(command)
                if begin in best and words[begin:end] == command:
                    cost = best[begin] + math.log(len(COMMANDS)) + math.log(2)
                    best[end] = min(best.get(end, math.inf), cost)
        return best.get(len(words), math.inf) if words else math.inf
    model = estimate_ngram(TEXT, 2)
    unigrams, bigrams = ({words: values for words, *values in model.entries(order)}
                         for order in (1, 2))

    def step(history, word):
        # A backoff graph may always back off: the cheaper of both ways.
        backoff = -unigrams.get((history,), (0, 0.0))[1] if history else 0.0
        unigram = backoff - unigrams[(word,)][0]
        bigram = -bigrams[history, word][0] if (history, word) in bigrams else math.inf
        return min(unigram, bigram) * math.log(10)

    # After backing off the history is gone only for that word: the state is the word itself.
    return sum(step(h, w) for h, w in zip(("<s>", *words), (*words, "</s>"), strict=True))


def sound_cost(phones, transitions, tree, costs):
    """The cheapest walk through the HMMs of a phone string, no self-loop taken."""
    total = 0.0
    for phone in phones:
        states = transitions.topology.for_phone(phone).states
        best = {0: 0.0}
        for _ in range(2 * len(states)):  # Bellman-Ford over the few states
            for number in list(best):
                if number == len(states) - 1:
                    continue
                pdf = tree.pdf((phone,), states[number].pdf_class)
                tstate = transitions.transition_state(phone, number, pdf)
                for index, (to, _) in enumerate(states[number].transitions):
                    if to != number:
                        cost = best[number] + costs[transitions.transition_id(tstate, index)]
                        best[to] = min(best.get(to, math.inf), cost)
        total += best[len(states) - 1]
    return total


def by_hand(kind, words, system):
    """The cost of a word sequence: grammar, pronunciations, silences, shortest HMM walks."""
    lang, transitions, tree = system
    total = grammar_cost(kind, words, lang)
    if math.isinf(total):
        return math.inf
    costs = transitions.scaled_costs(SCALES.transition_scale, SCALES.self_loop_scale)
    pause = -math.log(lang.sil_prob) + sound_cost(
        (lang.optional_silence,), transitions, tree, costs) if lang.sil_prob else math.inf
    total += (len(words) + 1) * min(-math.log(1 - lang.sil_prob), pause)
    for word in words:
        total += min(-math.log(p) + sound_cost(phones, transitions, tree, costs)
                     for p, phones in lang.pronunciations[lang.words[word]])
    return total


def graph_cost(fst, ids):
    """The cheapest path of HCLG that says exactly these words, whatever the sounds."""
    acceptor = pynini.Fst()
    state = acceptor.add_state()
    acceptor.set_start(state)
    for word in ids:
        following = acceptor.add_state()
        acceptor.add_arc(state, pynini.Arc(word, word, 0, following))
        state = following
    acceptor.set_final(state)
    said = pynini.compose(fst, acceptor)
    if said.start() < 0:
        return math.inf
    return float(pynini.shortestdistance(said, reverse=True)[said.start()])


@pytest.mark.parametrize("kind", ["commands", "loop", "bigram"])
def test_every_word_sequence_has_its_weight(system, kind):
    lang, transitions, tree = system
    graph = make_hclg(lang, grammar_of(kind, lang), transitions, tree, SCALES)
    fst = to_fst(graph).arcsort("olabel")
    allowed = 0
    for length in range(4):
        for words in itertools.product(WORDS, repeat=length):
            expected = by_hand(kind, words, system)
            found = graph_cost(fst, [lang.words[word] for word in words])
            if math.isinf(expected):
                assert math.isinf(found), words
            else:
                allowed += 1
                assert found == pytest.approx(expected, rel=1e-4, abs=1e-3), words
    assert allowed >= len(COMMANDS)


def test_every_path_of_a_transcript_has_its_weight(system):
    """Best cost for given frames: HCLG of one sentence against the training graph of it.

    The training graph is built without OpenFst, straight from the definitions.
    """
    lang, transitions, tree = system
    builder = TrainingGraphs(lang, transitions, tree)
    costs = transitions.scaled_costs(SCALES.transition_scale, SCALES.self_loop_scale)
    wide = SearchOptions(beam=1e9, max_active=1 << 30, min_active=0, acoustic_scale=1.0)
    rng = np.random.default_rng(5)
    for words in [("a",), ("c",), ("ab", "c"), ("a", "homo", "c")]:
        ids = tuple(lang.words[word] for word in words)
        hclg = make_hclg(lang, command_grammar([words], lang.words), transitions, tree, SCALES)
        naive = builder.build(ids)
        for frames in (9, 14, 40):
            loglikes = rng.normal(size=(frames, tree.num_pdfs)).astype(np.float32) * 4
            ours = search(hclg, transitions.tid_pdf[hclg.ilabel], loglikes, wide)
            theirs = search(naive, transitions.tid_pdf[naive.ilabel], loglikes, wide,
                            arc_costs(naive, costs))
            if not theirs.complete:
                assert not ours.complete
                continue
            assert ours.words.tolist() == list(ids)
            assert ours.total_cost == pytest.approx(theirs.total_cost, rel=1e-4, abs=1e-3)


def test_shape_of_the_graph(system):
    lang, transitions, tree = system
    graph = make_hclg(lang, grammar_of("bigram", lang), transitions, tree)
    assert graph.ilabel.max() <= transitions.num_tids  # no disambiguation symbol is left
    assert graph.olabel.max() < lang.words["#0"]
    source = np.repeat(np.arange(graph.num_states), np.diff(graph.arc_offsets))
    loops = (source == graph.nextstate) & (graph.ilabel > 0)
    assert transitions.tid_is_self_loop[graph.ilabel[loops]].all()
    assert not transitions.tid_is_self_loop[graph.ilabel[~loops]].any()
    # A self-loop stands where its own state's forward transition, and no other arc, leads.
    for state, loop in zip(source[loops], graph.ilabel[loops], strict=True):
        entering = graph.ilabel[(graph.nextstate == state) & (source != state)]
        assert len(entering)
        assert (entering > 0).all()
        assert set(transitions.tid_state[entering]) == {transitions.tid_state[loop]}
    # Of the emitting arcs of a state no two are alike.
    for state in range(graph.num_states):
        tids = graph.ilabel[graph.arc_offsets[state]:graph.eps_offsets[state]].tolist()
        assert len(tids) == len(set(tids))


def test_search_is_the_shortest_path_of_openfst(system):
    lang, transitions, tree = system
    graph = make_hclg(lang, grammar_of("loop", lang), transitions, tree)
    pdfs = transitions.tid_pdf[graph.ilabel]
    rng = np.random.default_rng(0)
    for frames in (12, 25):
        loglikes = rng.normal(size=(frames, tree.num_pdfs)).astype(np.float32) * 3
        lattice = pynini.Fst()
        lattice.add_states(frames + 1)
        lattice.set_start(0)
        lattice.set_final(frames)
        for frame in range(frames):
            for tid in range(1, transitions.num_tids + 1):
                cost = -float(loglikes[frame, transitions.tid_pdf[tid]])
                lattice.add_arc(frame, pynini.Arc(tid, tid, cost, frame + 1))
        paths = pynini.compose(lattice, to_fst(graph).arcsort("ilabel"))
        expected = float(pynini.shortestdistance(paths, reverse=True)[paths.start()])
        found = search(graph, pdfs, loglikes, SearchOptions(beam=1e9, acoustic_scale=1.0))
        assert found.total_cost == pytest.approx(expected, rel=1e-4)


def test_lexicon_transducers(system):
    lang = system[0]
    plain, disambig = lexicon_fst(lang, False), lexicon_fst(lang, True)
    symbols = set(lang.disambig_phones)
    assert not any(arc.ilabel in symbols for s in plain.states() for arc in plain.arcs(s))
    used = {arc.ilabel for s in disambig.states() for arc in disambig.arcs(s)}
    expected = symbols if lang.sil_prob else symbols - {lang.silence_disambig}
    assert used & symbols == expected
    write_lexicon_fsts(lang)
    assert pynini.Fst.read(str(lang.path / "L.fst")).num_states() == plain.num_states()


def test_large_grammars(system):
    lang, transitions, tree = system
    rng = np.random.default_rng(0)
    phrases = [tuple(rng.choice(WORDS, size=6)) for _ in range(1500)]
    graph = make_hclg(lang, command_grammar(phrases, lang.words), transitions, tree)
    pdfs = transitions.tid_pdf[graph.ilabel]
    loglikes = rng.normal(size=(150, tree.num_pdfs)).astype(np.float32)
    found = search(graph, pdfs, loglikes, SearchOptions(acoustic_scale=1 / 12))
    assert found.complete
    assert tuple(lang.word_name(w) for w in found.words) in set(phrases)
    trigram = ngram_grammar(estimate_ngram(phrases[:200], 3), lang.words)
    assert make_hclg(lang, trigram, transitions, tree).num_states > 100


def test_files(system, tmp_path):
    lang, transitions, tree = system
    grammar = grammar_of("commands", lang)
    graph = make_hclg(lang, grammar, transitions, tree)
    write_graph(tmp_path, graph, grammar, lang)
    again = DecodingGraph.load(tmp_path / "graph.npz")
    from_people = from_fst(pynini.Fst.read(str(tmp_path / "HCLG.fst")))
    for name in ("arc_offsets", "eps_offsets", "ilabel", "olabel", "nextstate", "weight", "final"):
        np.testing.assert_array_equal(getattr(again, name), getattr(graph, name))
        np.testing.assert_allclose(getattr(from_people, name), getattr(graph, name), rtol=1e-6)
    assert (tmp_path / "words.txt").read_text() == (lang.path / "words.txt").read_text()


def test_what_cannot_be_built(system):
    lang, transitions, tree = system
    empty = pynini.Fst()
    with pytest.raises(UserError, match="no word of the lexicon"):
        make_hclg(lang, empty, transitions, tree)


# Graphs made by Kaldi from the same lexicon, tree and transition model.

@pytest.fixture(scope="module", params=["kaldi_tri1_dsp20", "kaldi_tri1_words_zh"])
def kaldi(request, ref_root):
    """(lang, transitions, tree, cost of each word in G, HCLG made here, Kaldi's)."""
    path = ref_root / request.param
    lang, tree = read_kaldi_lang(path), read_tree(path / "tree.txt")
    transitions, _ = read_model(path / "final.mdl.txt.gz")
    grammar = pynini.Fst.read(str(path / "G.fst"))
    words = {arc.ilabel: float(arc.weight) for arc in grammar.arcs(grammar.start())}
    ours = make_hclg(lang, grammar, transitions, tree)
    return lang, transitions, tree, words, ours, read_fst(path / "HCLG.fst")


def said_as(fst, word):
    """The acceptor of all transition-id sequences, with weights, that say one word."""
    acceptor = pynini.Fst()
    acceptor.add_states(2)
    acceptor.set_start(0)
    acceptor.set_final(1)
    acceptor.add_arc(0, pynini.Arc(word, word, 0, 1))
    return pynini.compose(fst, acceptor).project("input").rmepsilon()


def least_cost(sequences):
    return float(pynini.shortestdistance(sequences, reverse=True)[sequences.start()])


def test_kaldis_graph_says_the_same(kaldi):
    lang, transitions, tree, words, ours, theirs = kaldi
    ours, theirs = to_fst(ours).arcsort("olabel"), to_fst(theirs).arcsort("olabel")
    builder, costs = TrainingGraphs(lang, transitions, tree), transitions.scaled_costs(1.0, 0.1)
    rng = np.random.default_rng(1)
    for word in rng.choice(list(words), min(200, len(words)), replace=False).tolist():
        a, b = said_as(ours, word), said_as(theirs, word)
        naive = builder.build((word,))
        naive = dataclasses.replace(naive, weight=arc_costs(naive, costs))
        exact = words[word] + least_cost(to_fst(naive))
        assert least_cost(a) == pytest.approx(exact, abs=1e-5), word
        # Kaldi rounds the weights on its way to multiples of 1/1024 (fstminimizeencoded).
        assert least_cost(b) == pytest.approx(exact, abs=5e-3), word
        # The same set of transition-id sequences ...
        plain = [pynini.determinize(pynini.arcmap(x, map_type="rmweight")).minimize()
                 for x in (a, b)]
        assert pynini.equivalent(*plain), word
        # ... and the same weights, looked at along random ones.
        for seed in range(3):
            path = pynini.arcmap(pynini.randgen(b, seed=word + seed), map_type="rmweight")
            assert least_cost(pynini.compose(path, a)) == pytest.approx(
                least_cost(pynini.compose(path, b)), abs=5e-3), word


def test_as_small_as_kaldis_graph(kaldi):
    *_, ours, theirs = kaldi
    assert 0.9 * theirs.num_states < ours.num_states <= theirs.num_states
    assert 0.9 * theirs.num_arcs < ours.num_arcs <= theirs.num_arcs


def test_arrays():
    with pytest.raises(ValueError, match=r"target is outside 0..1"):
        DecodingGraph.from_arcs(0, [0], [1], [0], [0.0], [2], np.zeros(2))
    graph = DecodingGraph.from_arcs(0, [1, 0, 0], [2, 0, 1], [0, 5, 6], [.1, .2, .3], [0, 1, 1],
                                    [np.inf, 0])
    assert graph.ilabel.tolist() == [1, 0, 2]  # emitting arcs of a state come first
    assert graph.eps_offsets.tolist() == [1, 3]
