"""Silence by word: the files, L, training graphs and HCLG against products by hand."""

import dataclasses
import itertools
import math

import pytest

from hybridasr.errors import UserError
from hybridasr.graph.compose import make_hclg, to_fst
from hybridasr.graph.lexicon_fst import lexicon_fst
from hybridasr.graph.self_loops import GraphOptions
from hybridasr.graph.training import TrainingGraphs, arc_costs, phone_lattice
from hybridasr.hmm.topology import read_topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.dict_dir import read_dict_dir
from hybridasr.lexicon.langdir import LangOptions, prepare_lang, read_lang
from hybridasr.lm.grammar import command_grammar
from hybridasr.lm.pynini_import import pynini
from hybridasr.tree.tree import allowed_tuples, monophone_tree

# Homophones (a, homo), a prefix (a of ab), two pronunciations (c), a word that is silence.
LEXICON = """<UNK> 1 0.3 1.1 0.9 SPN
!SIL 1 0.05 0.5 1.5 SIL
a 1 0.7 1.3 0.6 d
homo 1 0.2 0.8 1.2 d
ab 1 0.4 0.9 1.1 d t
c 1 0.15 1.4 0.75 t
c 0.5 0.6 0.5 2 d d
"""
SILPROB = "<s> 0.8\n</s>_s 1.7\n</s>_n 0.3\noverall 0.25\n"
PHONES = {"silence_phones.txt": "SIL\nSPN\n", "nonsilence_phones.txt": "d\nt\n",
          "optional_silence.txt": "SIL\n", "extra_questions.txt": "SIL SPN\nd t\n"}


def write_dict(path, **files):
    """A dictionary directory; further files in place of the usual ones."""
    path.mkdir(exist_ok=True)
    for name, text in {**PHONES, "lexiconp_silprob.txt": LEXICON, "silprob.txt": SILPROB,
                       **files}.items():
        (path / name).write_text(text)
    return path


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "positions"])
def lang(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("silprob")
    read = read_dict_dir(write_dict(path / "dict"))
    prepare_lang(read.lexicon, read.phone_set, path / "lang",
                 LangOptions(position_dependent=request.param), read.silence_probs)
    return read_lang(path / "lang")


def products(words, lang):
    """Phones -> probability of every way to say words, multiplied out of the file's numbers."""
    table = {}
    for line in LEXICON.splitlines():
        word, *numbers = line.split()[:5]
        table.setdefault(word, []).append((*map(float, numbers), tuple(line.split()[5:])))
    ways = {}
    for silences in itertools.product((False, True), repeat=len(words) + 1):
        for choice in itertools.product(*(table[word] for word in words)):
            probability, after, phones = 1.0, 0.8, ()
            for silence, (pron, after_word, behind_s, behind_n, said) in zip(silences, choice,
                                                                           strict=False):
                probability *= (after * behind_s if silence else (1 - after) * behind_n) * pron
                phones += ("SIL",) * silence + said
                after = after_word
            probability *= after * 1.7 if silences[-1] else (1 - after) * 0.3
            phones += ("SIL",) * silences[-1]
            ways.setdefault(phones, []).append(probability)
    return ways


def base_phones(labels, lang):
    names = (lang.phone_name(label) for label in labels if label)
    return tuple(name.split("_")[0] for name in names if not name.startswith("#"))


TEXTS = [("a",), ("homo", "c"), ("ab", "!SIL", "a"), ("c", "c"), ()]


@pytest.mark.parametrize("words", TEXTS)
@pytest.mark.parametrize("disambig", [False, True])
def test_l_gives_each_way_to_say_words_its_product(lang, words, disambig):
    fst = lexicon_fst(lang, disambig)
    found = {}
    for labels, cost in _paths(pynini.compose(fst, _acceptor(lang, words))):
        found.setdefault(base_phones(labels, lang), []).append(math.exp(-cost))
    expected = products(words, lang)
    assert found.keys() == expected.keys()
    for phones, probabilities in expected.items():
        assert sorted(found[phones]) == pytest.approx(sorted(probabilities), rel=1e-5)


def _acceptor(lang, words):
    fst = pynini.Fst()
    state = fst.add_state()
    fst.set_start(state)
    for word in words:
        after = fst.add_state()
        fst.add_arc(state, pynini.Arc(lang.words[word], lang.words[word], 0.0, after))
        state = after
    fst.set_final(state)
    return fst


def _paths(fst):
    """Yield (input labels, cost) of every path; there is no cycle."""
    stack = [(fst.start(), (), 0.0)]
    while stack:
        state, labels, cost = stack.pop()
        if float(fst.final(state)) < math.inf:
            yield labels, cost + float(fst.final(state))
        stack += [(arc.nextstate, (*labels, arc.ilabel) if arc.ilabel else labels,
                   cost + float(arc.weight)) for arc in fst.arcs(state)]


@pytest.mark.parametrize("words", TEXTS)
def test_training_lattice_is_the_same_as_l(lang, words):
    arcs, last = phone_lattice(tuple(lang.words[word] for word in words), lang)
    outgoing = {}
    for arc in arcs:
        outgoing.setdefault(arc.source, []).append(arc)
    found, stack = {}, [(0, (), (), 0.0)]
    while stack:
        node, phones, said, cost = stack.pop()
        if node == last:
            assert said == tuple(lang.words[word] for word in words)
            found.setdefault(base_phones(phones, lang), []).append(math.exp(-cost))
        stack += [(arc.target, (*phones, arc.phone), said + (arc.word,) * (arc.word > 0),
                   cost + arc.cost) for arc in outgoing.get(node, ())]
    expected = products(words, lang)
    assert found.keys() == expected.keys()
    for phones, probabilities in expected.items():
        assert sorted(found[phones]) == pytest.approx(sorted(probabilities), rel=1e-9)


def test_decoding_and_training_graphs_agree_on_the_best_way(lang):
    """HCLG of one sentence and its training graph have the same shortest path."""
    topology = read_topology(lang.topology_text)
    tree = monophone_tree(lang.sets, topology)
    transitions = TransitionModel(topology, allowed_tuples(tree, topology))
    scales = GraphOptions()
    for words in TEXTS[:-1]:
        decoding = to_fst(make_hclg(lang, command_grammar([list(words)], lang.words),
                                    transitions, tree))
        training = TrainingGraphs(lang, transitions, tree).build(
            tuple(lang.words[word] for word in words))
        costs = transitions.scaled_costs(scales.transition_scale, scales.self_loop_scale)
        training = to_fst(dataclasses.replace(training, weight=arc_costs(training, costs)))
        best = [float(pynini.shortestdistance(fst, reverse=True)[fst.start()])
                for fst in (decoding, training)]
        assert best[0] == pytest.approx(best[1], abs=1e-3)


@pytest.mark.parametrize(("name", "text", "message"), [
    ("silprob.txt", "<s> 0.8\n</s>_s 1\noverall 0.2\n", r"no line '</s>_n <number>'"),
    ("silprob.txt", SILPROB.replace("0.25", "1"), "below 1"),
    ("silprob.txt", SILPROB.replace("0.8", "1.2"), r"silprob.txt:1: <s> is '1.2'"),
    ("lexiconp_silprob.txt", LEXICON.replace("0.15", "0"), "silprob.txt:6: .*after 'c' is '0'"),
    ("lexiconp_silprob.txt", LEXICON + "b 1 0.5 t\n", "silprob.txt:8: is not '<word>"),
    ("lexiconp_silprob.txt", LEXICON + "a 1 0.7 1.3 0.6 d\n", "'a' has these phones twice"),
    ("lexiconp_silprob.txt", LEXICON + "b 1 0.7 1.3 0.6 AH0\n", "uses the phone 'AH0'"),
])
def test_faults_are_named(tmp_path, name, text, message):
    with pytest.raises(UserError, match=message):
        read_dict_dir(write_dict(tmp_path / "dict", **{name: text}))


@pytest.mark.parametrize("name", [*list(PHONES)[:3], "silprob.txt"])
def test_missing_file_is_named(tmp_path, name):
    path = write_dict(tmp_path / "dict")
    (path / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing"):
        read_dict_dir(path)


def test_richest_lexicon_is_read(tmp_path):
    path = write_dict(tmp_path / "dict", **{"lexicon.txt": "x d\n", "lexiconp.txt": "y 0.5 d\n"})
    assert "ab" in read_dict_dir(path).lexicon.entries
    (path / "lexiconp_silprob.txt").unlink()
    assert list(read_dict_dir(path).lexicon.entries) == ["y"]
    (path / "lexiconp.txt").unlink()
    assert list(read_dict_dir(path).lexicon.entries) == ["x"]
    (path / "lexicon.txt").unlink()
    with pytest.raises(UserError, match="has no lexicon"):
        read_dict_dir(path)
