"""Graphs of commands built at run time against those of OpenFst and against the definitions."""

import itertools
import math
import subprocess
import sys
import zlib
from types import SimpleNamespace

import numpy as np
import pynini
import pytest

from hybridasr.decode.latgen import LatticeOptions, decode_lattice
from hybridasr.decode.search import SearchOptions, search
from hybridasr.decode.words import phone_segments, word_segments
from hybridasr.errors import UserError
from hybridasr.graph.command_graph import command_graph, same_sound
from hybridasr.graph.compose import make_hclg, to_fst
from hybridasr.graph.self_loops import GraphOptions
from hybridasr.graph.training import TrainingGraphs, arc_costs
from hybridasr.hmm.topology import (
    HmmState,
    Topology,
    TopologyEntry,
    chain_topology,
    make_topology,
)
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lattice.paths import n_best
from hybridasr.lexicon.langdir import LangOptions, prepare_lang
from hybridasr.lexicon.lexicon import Pronunciation, make_lexicon
from hybridasr.lexicon.phones import base_phone, default_phone_set
from hybridasr.lm.grammar import command_grammar

CONTEXTS = [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]
SPEECH = ("b", "d", "t")
SCALES = GraphOptions(transition_scale=0.7, self_loop_scale=0.3)
WIDE = SearchOptions(beam=1e9, max_active=1 << 30, min_active=0, acoustic_scale=1.0)


class HashTree:
    """Any object with a pdf for every window; few pdfs, so that many contexts look alike."""

    def __init__(self, width, central, num_pdfs):
        self.context_width, self.central_position, self.num_pdfs = width, central, num_pdfs

    def pdf(self, window, pdf_class):
        return zlib.crc32(repr((window, pdf_class)).encode()) % self.num_pdfs


def topologies(speech, silence):
    """Return some of several kinds.

    Three states and Kaldi's silence; two states, one to be left out; speech with a loop back; those
    of lattice-free MMI, whose first state has no loop.
    """
    end = HmmState(-1, ())
    two = (HmmState(0, ((0, 0.5), (1, 0.2), (2, 0.3))), HmmState(1, ((1, 0.7), (2, 0.3))), end)
    back = (HmmState(0, ((1, 1.0),)), HmmState(1, ((1, 0.4), (0, 0.1), (2, 0.5))), end)
    return [make_topology(speech, silence),
            Topology((TopologyEntry(tuple(speech + silence), two),)),
            Topology((TopologyEntry(tuple(speech), back), TopologyEntry(tuple(silence), two))),
            chain_topology(speech + silence)]


def random_system(seed, path):
    """Words of one to three phones, some alike, some with several pronunciations; commands."""
    rng = np.random.default_rng(seed)
    width, central = CONTEXTS[seed % len(CONTEXTS)]
    num_words = int(rng.integers(3, 9))
    words = {"<UNK>": [Pronunciation(1.0, ("SPN",))]}
    for number in range(num_words):
        words[f"w{number}"] = [
            Pronunciation(float(rng.choice([1.0, 1.0, 0.3])),
                          tuple(rng.choice(SPEECH, rng.integers(1, 4)).tolist()))
            for _ in range(rng.integers(1, 4))]
    if seed % 5 == 0:  # a word that begins as silence does
        words["w0"].append(Pronunciation(0.5, ("SIL", "t", "b", "d")))
    lexicon = make_lexicon(words)
    options = LangOptions(sil_prob=float(rng.choice([0.5, 0.2, 0.7, 0.0])),
                          position_dependent=bool(rng.random() < 0.3))
    lang = prepare_lang(lexicon, default_phone_set(), path / f"{seed}", options)
    choices = topologies(lang.nonsilence_phones, lang.silence_phones)
    topology = choices[rng.integers(len(choices))]
    tree = HashTree(width, central, int(rng.choice([2, 5])))
    flat = TransitionModel(topology, [
        (phone, number, pdf) for phone in topology.phones
        for number in range(len(topology.for_phone(phone).states) - 1)
        for pdf in range(tree.num_pdfs)])
    transitions = flat.updated(10.0 + 90.0 * rng.random(flat.num_tids + 1))
    names = [f"w{number}" for number in range(num_words)]
    commands = [tuple(rng.choice(names, rng.integers(1, 4)).tolist())
                for _ in range(rng.integers(1, 9))]
    return SimpleNamespace(lang=lang, transitions=transitions, tree=tree, rng=rng,
                           commands=sorted(set(commands)),
                           phrases=[tuple(map(lang.words.get, c)) for c in commands])


def search_both(system, graphs, frames):
    loglikes = (4 * system.rng.normal(size=(frames, system.tree.num_pdfs))).astype(np.float32)
    return loglikes, [search(graph, system.transitions.tid_pdf[graph.ilabel], loglikes, WIDE)
                      for graph in graphs]


def build_both(system):
    hclg = make_hclg(system.lang, command_grammar(system.commands, system.lang.words),
                     system.transitions, system.tree, SCALES)
    ours = command_graph(system.phrases, system.lang, system.transitions, system.tree, SCALES)
    return ours, hclg


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_best_words_and_cost_are_those_of_openfst(first, tmp_path):
    complete = 0
    for seed in range(first, first + 10):
        system = random_system(seed, tmp_path)
        graphs = build_both(system)
        alike = {pair for pair in same_sound(system.phrases, system.lang)}
        for frames in (1, 6, 12, 20, 45, 70):
            _, (ours, theirs) = search_both(system, graphs, frames)
            assert (ours is None) == (theirs is None)
            if ours is None or not theirs.complete:
                assert ours is None or not ours.complete
                continue
            complete += 1
            assert ours.complete
            assert ours.total_cost == pytest.approx(theirs.total_cost, rel=1e-4, abs=1e-3)
            words = tuple(sorted((tuple(ours.words.tolist()), tuple(theirs.words.tolist()))))
            assert words[0] == words[1] or words in alike, seed
    assert complete > 30


@pytest.mark.parametrize("seed", range(100, 112))
def test_every_command_has_the_sounds_of_openfst(seed, tmp_path):
    """The same set of transition-id sequences for every sequence of words, self-loops too."""
    system = random_system(seed, tmp_path)
    ours, hclg = (to_fst(graph).arcsort("olabel") for graph in build_both(system))
    for phrase in system.phrases:
        acceptor = pynini.Fst()
        acceptor.add_states(len(phrase) + 1)
        acceptor.set_start(0)
        acceptor.set_final(len(phrase))
        for place, word in enumerate(phrase):
            acceptor.add_arc(place, pynini.Arc(word, word, 0, place + 1))
        said = [pynini.compose(fst, acceptor).project("input").rmepsilon() for fst in (ours, hclg)]
        plain = [pynini.determinize(pynini.arcmap(fst, map_type="rmweight")).minimize()
                 for fst in said]
        assert plain[0].start() >= 0
        assert pynini.equivalent(*plain)
        least = [float(pynini.shortestdistance(fst, reverse=True)[fst.start()]) for fst in said]
        assert least[0] == pytest.approx(least[1], rel=1e-4, abs=1e-4)
    said = pynini.arcmap(ours.project("output"), map_type="rmweight").rmepsilon()
    paths, found = pynini.determinize(said).paths(), set()
    while not paths.done():
        found.add(tuple(paths.ilabels()))
        paths.next()
    assert found == set(system.phrases)


@pytest.mark.parametrize("seed", range(200, 206))
def test_cost_is_the_least_over_the_commands(seed, tmp_path):
    """Training graphs are built straight from the definitions, without any automaton."""
    system = random_system(seed, tmp_path)
    graph = command_graph(system.phrases, system.lang, system.transitions, system.tree, SCALES)
    builder = TrainingGraphs(system.lang, system.transitions, system.tree)
    costs = system.transitions.scaled_costs(SCALES.transition_scale, SCALES.self_loop_scale)
    single = {phrase: builder.build(phrase) for phrase in system.phrases}
    for frames in (15, 40):
        loglikes, (found,) = search_both(system, [graph], frames)
        totals = {}
        for phrase, alone in single.items():
            path = search(alone, system.transitions.tid_pdf[alone.ilabel], loglikes, WIDE,
                          arc_costs(alone, costs))
            if path is not None and path.complete:
                totals[phrase] = path.total_cost + math.log(len(single))
        assert totals or not found.complete
        if totals:
            assert found.total_cost == pytest.approx(min(totals.values()), rel=1e-4, abs=1e-3)
            assert totals[tuple(found.words.tolist())] == pytest.approx(
                found.total_cost, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("seed", range(300, 310))
def test_phrases_that_sound_the_same(seed, tmp_path):
    system = random_system(seed, tmp_path)
    lang = system.lang

    def sounds(phrase):
        choices = [[tuple(base_phone(lang.phone_name(p)) for p in phones)
                    for _, phones in lang.pronunciations[word]] for word in phrase]
        return {tuple(itertools.chain.from_iterable(way)) for way in itertools.product(*choices)}

    expected = [pair for pair in itertools.combinations(sorted(set(system.phrases)), 2)
                if not sounds(pair[0]).isdisjoint(sounds(pair[1]))]
    assert same_sound(system.phrases, lang) == expected


def test_shape(system):
    """Beginnings and ends are shared: all phrases over three words."""
    lang, transitions, tree = system
    one = [lang.words[word] for word in ("a", "ab", "c")]
    for length in (1, 2, 3):
        phrases = list(itertools.product(one, repeat=length))
        graph = command_graph(phrases, lang, transitions, tree)
        hclg = make_hclg(lang, command_grammar(
            [tuple(map(lang.word_name, phrase)) for phrase in phrases], lang.words),
            transitions, tree)
        assert graph.ilabel.max() <= transitions.num_tids
        assert graph.num_states < 1.5 * hclg.num_states
        assert graph.num_arcs < 1.5 * hclg.num_arcs


def test_times_of_words(system):
    lang, transitions, tree = system
    phrases = [(lang.words["ab"], lang.words["c"]), (lang.words["a"],)]
    graph = command_graph(phrases, lang, transitions, tree)
    rng = np.random.default_rng(0)
    for frames in (15, 30, 50):
        loglikes = rng.normal(size=(frames, tree.num_pdfs)).astype(np.float32)
        found = search(graph, transitions.tid_pdf[graph.ilabel], loglikes, WIDE)
        segments = word_segments(phone_segments(found.transition_ids, transitions),
                                 found.words.tolist(), lang)
        assert tuple(s.label for s in segments) in phrases
        assert all(s.end - s.begin >= 3 for s in segments)


@pytest.mark.parametrize("seed", range(400, 406))
def test_lattices_hold_the_same_alternatives(seed, tmp_path):
    """Every command within the beam, each with the cost that OpenFst's graph gives it."""
    system = random_system(seed, tmp_path)
    loglikes = system.rng.normal(size=(40, system.tree.num_pdfs)).astype(np.float32)
    alternatives = []
    for graph in build_both(system):
        path, lattice = decode_lattice(graph, system.transitions.tid_pdf[graph.ilabel], loglikes,
                                       WIDE, LatticeOptions(lattice_beam=1000.0))
        assert path.complete
        alternatives.append({way.words: way.total_cost(1.0)
                             for way in n_best(lattice, 100)})
    assert alternatives[0].keys() == set(system.phrases)
    assert alternatives[0] == pytest.approx(alternatives[1], rel=1e-4)


def test_large_lists(system):
    lang, transitions, tree = system
    rng = np.random.default_rng(0)
    phrases = [tuple(lang.words[w] for w in rng.choice(["a", "homo", "ab", "c"], 6))
               for _ in range(1500)]
    graph = command_graph(phrases, lang, transitions, tree)
    hclg = make_hclg(lang, command_grammar(
        [tuple(map(lang.word_name, phrase)) for phrase in phrases], lang.words), transitions, tree)
    loglikes = 3 * rng.normal(size=(120, tree.num_pdfs)).astype(np.float32)
    ours, theirs = (search(g, transitions.tid_pdf[g.ilabel], loglikes, WIDE)
                    for g in (graph, hclg))
    assert ours.total_cost == pytest.approx(theirs.total_cost, rel=1e-4)
    assert tuple(ours.words.tolist()) in set(phrases)


def test_what_cannot_be_built(system):
    lang, transitions, tree = system
    with pytest.raises(UserError, match="no command for the graph"):
        command_graph([], lang, transitions, tree)
    with pytest.raises(UserError, match="an empty command"):
        command_graph([(lang.words["a"],), ()], lang, transitions, tree)
    with pytest.raises(UserError, match="no pronunciation for '#0'"):
        command_graph([(lang.words["#0"],)], lang, transitions, tree)
    with pytest.raises(UserError, match="use the tree that the model was trained with"):
        command_graph([(lang.words["a"],)], lang, transitions, HashTree(1, 0, 99))


WITHOUT_PYNINI = """
import sys
sys.modules["pynini"] = None
import hybridasr.recognize.recognizer
from hybridasr.graph.command_set import build_commands
from hybridasr.hmm.topology import read_topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import read_lang
from hybridasr.tree.tree import allowed_tuples, monophone_tree
lang = read_lang(sys.argv[1])
topology = read_topology(lang.topology_text)
tree = monophone_tree(lang.sets, topology)
transitions = TransitionModel(topology, allowed_tuples(tree, topology))
made = build_commands(["a", "c homo"], lang, transitions, tree)
print(made.graph.num_arcs, len(made.commands))
"""


def test_nothing_at_run_time_needs_pynini(system):
    done = subprocess.run([sys.executable, "-c", WITHOUT_PYNINI, str(system[0].path)], check=False,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 20
    assert done.stdout.split()[1] == "2"
