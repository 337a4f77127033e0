"""C on demand against the definition of a window; HCLG of trees with context against it by hand."""

import itertools
import math
import re
import zlib
from collections import Counter

import numpy as np
import pytest

from hybridasr.errors import UserError
from hybridasr.graph.compose import GraphOptions, make_hclg
from hybridasr.graph.context import expand_context, window_pdfs
from hybridasr.graph.openfst import FlatFst
from hybridasr.graph.training import TrainingGraphs, arc_costs
from hybridasr.hmm.topology import HmmState, Topology, TopologyEntry
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import LangOptions, prepare_lang
from hybridasr.lexicon.lexicon import Pronunciation, make_lexicon
from hybridasr.lexicon.phones import default_phone_set
from hybridasr.lm.estimate import estimate_ngram
from hybridasr.lm.grammar import command_grammar, ngram_grammar
from hybridasr.tree.tree import PDF_CLASS, DecisionTree, Leaf, Split, Table

CONTEXTS = [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]
CLASSES = 2


class HashTree:
    """Any object with a pdf for every window: what it says follows no questions."""

    def __init__(self, width, central, num_pdfs=4):
        self.context_width, self.central_position, self.num_pdfs = width, central, num_pdfs

    def pdf(self, window, pdf_class):
        return zlib.crc32(repr((window, pdf_class)).encode()) % self.num_pdfs


def two_states(phones):
    """Two states for speech; silence, the first phone, may leave out its second one."""
    speech = (HmmState(0, ((0, 0.6), (1, 0.4))), HmmState(1, ((1, 0.7), (2, 0.3))))
    silence = (HmmState(0, ((0, 0.5), (1, 0.2), (2, 0.3))), speech[1])
    return Topology((TopologyEntry(tuple(phones[:1]), (*silence, HmmState(-1, ()))),
                     TopologyEntry(tuple(phones[1:]), (*speech, HmmState(-1, ())))))


# C alone.

DISAMBIG = [5, 6, 7]


def random_lg(seed):
    """A loop-free transducer over phones 1 to 4, symbols 5 to 7 and epsilon."""
    rng = np.random.default_rng(seed)
    source, target = np.array([(s, t) for s in range(6) for t in range(s + 1, 6)
                               if rng.random() < 0.6 for _ in range(2)]).T
    final = np.where(rng.random(6) < 0.4, rng.random(6), np.inf)
    final[5] = 0.5
    return FlatFst.from_arcs(0, source, rng.integers(0, 8, len(source)),
                             rng.integers(0, 3, len(source)), rng.random(len(source)), target,
                             final)


def paths(fst):
    """Yield (input labels, output labels without epsilon, cost) of every path."""
    def walk(state, labels, words, cost):
        if math.isfinite(fst.final[state]):
            yield labels, words, cost + float(fst.final[state])
        for arc in range(fst.arc_offsets[state], fst.arc_offsets[state + 1]):
            yield from walk(fst.nextstate[arc], (*labels, int(fst.ilabel[arc])),
                            words + (int(fst.olabel[arc]),) * bool(fst.olabel[arc]),
                            cost + float(fst.weight[arc]))
    yield from walk(fst.start, (), (), 0.0)


def in_context(labels, tree):
    """Put the phones of one path of LG into context, by the definition.

    A phone comes where its last right neighbour is read, everything else where it was.
    """
    phones = [label for label in labels if 0 < label <= 4]
    ahead = tree.context_width - 1 - tree.central_position
    padded = [0] * tree.central_position + phones + [0] * ahead
    windows = [tuple(padded[at:at + tree.context_width]) for at in range(len(phones))]
    logical = [(window[tree.central_position], *(tree.pdf(window, n) for n in range(CLASSES)))
               for window in windows]
    result, read = [], 0
    for label in [*labels, *["end"] * ahead]:
        if label == "end" or 0 < label <= 4:
            read += 1
            ready = read - 1 - ahead
            result.append(logical[ready] if ready >= 0 else "not yet")
        else:
            result.append(label)
    return tuple(result)


@pytest.mark.parametrize(("width", "central"), CONTEXTS)
@pytest.mark.parametrize("seed", range(4))
def test_every_path_of_lg_is_put_into_context(width, central, seed):
    lg, tree = random_lg(seed), HashTree(width, central)
    clg = expand_context(lg, tree, two_states([1, 2, 3, 4]), DISAMBIG)
    meaning = dict(enumerate([(phone, *pdfs) for phone, pdfs in clg.logical_phones], 1))
    assert len(set(meaning.values())) == len(meaning)
    meaning |= {0: 0, **{len(clg.logical_phones) + 1 + k: s for k, s in enumerate(DISAMBIG)},
                len(clg.logical_phones) + 1 + len(DISAMBIG): "not yet"}
    expected = Counter((in_context(labels, tree), words, round(cost, 4))
                       for labels, words, cost in paths(lg))
    found = Counter((tuple(meaning[label] for label in labels), words, round(cost, 4))
                    for labels, words, cost in paths(clg.fst))
    assert len(expected) > 10
    assert found == expected


def test_many_states_and_windows():
    """Tables that grow: a chain of all pairs of 60 phones, each window once."""
    pairs = list(itertools.product(range(1, 61), repeat=2))
    labels = np.array(pairs).reshape(-1)
    chain = FlatFst.from_arcs(0, np.arange(len(labels)), labels, labels, np.zeros(len(labels)),
                              1 + np.arange(len(labels)), np.r_[np.full(len(labels), np.inf), 0])
    clg = expand_context(chain, HashTree(3, 1, 1000), two_states(list(range(1, 61))), [61])
    assert clg.fst.num_arcs == len(labels) + 1
    padded = [0, *labels.tolist(), 0]
    tree = HashTree(3, 1, 1000)
    expected = [(window[1], tuple(tree.pdf(window, n) for n in range(CLASSES)))
                for window in zip(padded, padded[1:], padded[2:], strict=False)]
    assert [clg.logical_phones[label - 1] for label in clg.fst.ilabel[1:]] == expected


def test_what_c_refuses():
    topology = two_states([1, 2, 3, 4])
    lg = random_lg(0)
    with pytest.raises(UserError, match="phone 6 has no topology"):
        expand_context(lg, HashTree(3, 1), topology, DISAMBIG[:1])
    with pytest.raises(ValueError, match="more than a key"):
        expand_context(lg, HashTree(40, 1), topology, DISAMBIG)
    short = two_states([1, 2, 4])
    with pytest.raises(UserError, match="phone 3 has no topology"):
        expand_context(lg, HashTree(3, 1), short, DISAMBIG)


def random_tree(rng, depth):
    kind = rng.integers(3) if depth else 0
    if kind == 0:
        return Leaf(int(rng.integers(50)))
    key = int(rng.integers(-1, 3))
    if kind == 1:
        values = frozenset(rng.choice(6, 3, replace=False).tolist())
        return Split(key, values, random_tree(rng, depth - 1), random_tree(rng, depth - 1))
    size = 3 if key == PDF_CLASS else 6
    return Table(key, tuple(random_tree(rng, depth - 1) for _ in range(size)))


@pytest.mark.parametrize("seed", range(6))
def test_trees_are_asked_all_at_once(seed):
    rng = np.random.default_rng(seed)
    tree = DecisionTree(3, 1, 50, Split(0, frozenset([1, 4]), random_tree(rng, 5),
                                        random_tree(rng, 5)))
    windows = np.array(list(itertools.product(range(6), repeat=3)))
    found = window_pdfs(tree, windows, [0, 2, 1])
    expected = [[tree.pdf(tuple(window), n) for n in (0, 2, 1)] for window in windows.tolist()]
    np.testing.assert_array_equal(found, expected)


def test_trees_without_an_answer():
    for table in (Table(2, (Leaf(1), None, Leaf(2))), Table(2, (Leaf(1),))):
        tree = DecisionTree(3, 1, 3, table)
        assert window_pdfs(tree, np.array([[1, 2, 0]]), [0]).tolist() == [[1]]
        with pytest.raises(UserError, match=re.escape("phone 2 in (4, 2, 1)")):
            window_pdfs(tree, np.array([[1, 2, 0], [4, 2, 1]]), [0])


# All of HCLG: homophones (a, homo), a prefix (a of ab), variants (c), words of one phone.

LEXICON = {"<UNK>": [(1.0, "SPN")], "a": [(1.0, "d")], "homo": [(1.0, "d")], "ab": [(1.0, "d t")],
           "c": [(1.0, "t"), (0.5, "d d")]}
WORDS = ("a", "homo", "ab", "c")
COMMANDS = [("a",), ("homo",), ("ab", "c"), ("c",), ("a", "c", "a"), ("ab", "homo", "c")]
TEXT = [["a", "ab"], ["c", "homo", "a"], ["c", "c"], ["ab"], ["homo", "c"]]
SCALES = GraphOptions(transition_scale=0.7, self_loop_scale=0.3)
SYSTEMS = [(sil, *context) for sil in (0.5, 0.0) for context in CONTEXTS]


@pytest.fixture(scope="module", params=SYSTEMS, ids=lambda p: f"sil{p[0]}-width{p[1]}-at{p[2]}")
def system(request, tmp_path_factory):
    """(lang, transitions with uneven probabilities, tree, what each transcript may sound like)."""
    sil_prob, width, central = request.param
    lexicon = make_lexicon({word: [Pronunciation(p, tuple(phones.split()))
                                   for p, phones in choices] for word, choices in LEXICON.items()})
    lang = prepare_lang(lexicon, default_phone_set().covering(lexicon.phones),
                        tmp_path_factory.mktemp("lang"), LangOptions(sil_prob=sil_prob))
    tree = HashTree(width, central)
    phones = sorted([*lang.silence_phones, *lang.nonsilence_phones],
                    key=lambda phone: phone != lang.optional_silence)
    topology = two_states(phones)
    flat = TransitionModel(topology, itertools.product(phones, range(CLASSES), range(4)))
    counts = 10.0 + 7.0 * (1 + (37 * np.arange(flat.num_tids + 1)) % 11)
    transitions = flat.updated(counts)
    builder = TrainingGraphs(lang, transitions, tree)
    costs = transitions.scaled_costs(SCALES.transition_scale, SCALES.self_loop_scale)
    rng = np.random.default_rng(0)
    some = [*itertools.product(WORDS, repeat=1), *itertools.product(WORDS, repeat=2), *COMMANDS]
    some += [tuple(rng.choice(WORDS, 3).tolist()) for _ in range(5)]
    sounds = {}
    for words in dict.fromkeys(some):
        graph = builder.build(tuple(lang.words[word] for word in words))
        sounds[words] = sequences(graph, arc_costs(graph, costs),
                                  tuple(lang.words[word] for word in words))
    return lang, transitions, tree, sounds


def sequences(graph, weights, words):
    """Return {transition-ids without self-loops: least cost} of all paths that say `words`.

    The ids of self-loops are counted in states: those that could be taken are in the key too.
    """
    best = {}
    source = np.repeat(np.arange(graph.num_states), np.diff(graph.arc_offsets))
    loop = (source == graph.nextstate) & (graph.ilabel > 0)
    loops = dict(zip(source[loop].tolist(), graph.ilabel[loop].tolist(), strict=True))
    rows = {}
    for arc in np.flatnonzero(~loop).tolist():
        rows.setdefault(int(source[arc]), []).append(
            (int(graph.ilabel[arc]), int(graph.olabel[arc]), float(weights[arc]),
             int(graph.nextstate[arc])))
    stack = [(graph.start, (), 0, 0.0)]
    while stack:
        state, tids, said, cost = stack.pop()
        if state in loops:
            tids = (*tids, -loops[state])  # may be taken here
        if said == len(words) and math.isfinite(graph.final[state]):
            total = cost + float(graph.final[state])
            best[tids] = min(best.get(tids, math.inf), total)
        for tid, word, weight, target in rows.get(state, ()):
            if word == 0 or (said < len(words) and words[said] == word):
                stack.append((target, tids + (tid,) * (tid > 0), said + (word > 0),
                              cost + weight))
    return best


def grammar_of(kind, lang):
    if kind == "bigram":
        return ngram_grammar(estimate_ngram(TEXT, 2), lang.words)
    return command_grammar(COMMANDS, lang.words, loop=kind == "loop")


def grammar_cost(kind, words, lang):
    """What the grammar asks for a word sequence: walks over its arcs, #0 freely; inf = never."""
    grammar = grammar_of(kind, lang)
    ids = [lang.words[word] for word in words]
    best, stack = math.inf, [(grammar.start(), 0, 0.0)]
    while stack:
        state, said, cost = stack.pop()
        if said == len(ids):
            best = min(best, cost + float(grammar.final(state)))
        for arc in grammar.arcs(state):
            if arc.ilabel in (0, lang.words["#0"]):
                stack.append((arc.nextstate, said, cost + float(arc.weight)))
            elif said < len(ids) and arc.ilabel == ids[said]:
                stack.append((arc.nextstate, said + 1, cost + float(arc.weight)))
    return best


@pytest.mark.parametrize("kind", ["commands", "loop", "bigram"])
def test_every_word_sequence_has_its_sounds_and_weights(system, kind):
    """HCLG says what the training graph says, which is made by other means, plus the grammar."""
    lang, transitions, tree, sounds = system
    graph = make_hclg(lang, grammar_of(kind, lang), transitions, tree, SCALES)
    allowed = 0
    for words, expected in sounds.items():
        found = sequences(graph, graph.weight, tuple(lang.words[word] for word in words))
        cost = grammar_cost(kind, words, lang)
        if math.isinf(cost):
            assert not found, words
            continue
        allowed += 1
        assert found.keys() == expected.keys(), words
        for tids, least in found.items():
            assert least == pytest.approx(expected[tids] + cost, abs=1e-3), (words, tids)
    assert allowed >= len(COMMANDS)


def test_shape_of_graphs_with_context(system):
    lang, transitions, tree, _ = system
    graph = make_hclg(lang, grammar_of("bigram", lang), transitions, tree)
    assert graph.ilabel.max() <= transitions.num_tids  # no disambiguation symbol is left
    assert graph.olabel.max() < lang.words["#0"]
    # Without disambiguation symbols a state may have a tid twice, but not in the same words.
    source = np.repeat(np.arange(graph.num_states), np.diff(graph.arc_offsets))
    arcs = list(zip(source.tolist(), graph.ilabel.tolist(), graph.olabel.tolist(),
                    graph.nextstate.tolist(), strict=True))
    assert len(arcs) == len(set(arcs))
    # A command list has few ways to begin: one arc for each first tid.
    graph = make_hclg(lang, grammar_of("commands", lang), transitions, tree)
    tids = graph.ilabel[graph.arc_offsets[graph.start]:graph.eps_offsets[graph.start]].tolist()
    assert len(tids) == len(set(tids)) > 1


def test_a_tree_of_another_model(system):
    lang, transitions, tree, _ = system
    other = HashTree(tree.context_width, tree.central_position, 40)
    with pytest.raises(UserError, match="use the tree that the model was trained with"):
        make_hclg(lang, grammar_of("loop", lang), transitions, other)
