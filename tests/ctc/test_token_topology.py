"""CTC's topology: graphs of every kind find the best path of classes that says the labels."""

import itertools
import math

import numpy as np
import pytest

from hybridasr.ctc.token_topology import label_names, phone_labels, token_transitions, token_tree
from hybridasr.decode.search import SearchOptions, search
from hybridasr.decode.words import phone_segments
from hybridasr.errors import UserError
from hybridasr.graph.command_graph import command_graph
from hybridasr.graph.compose import make_hclg
from hybridasr.graph.self_loops import GraphOptions
from hybridasr.graph.training import TrainingGraphs, arc_costs
from hybridasr.lexicon.langdir import LangOptions, prepare_lang
from hybridasr.lexicon.lexicon import Pronunciation, make_lexicon
from hybridasr.lexicon.phones import default_phone_set
from hybridasr.lm.grammar import command_grammar
from hybridasr.model.checks import check_structure, take_transitions

WORDS = {"<UNK>": [(1.0, "SPN")], "a": [(1.0, "d")], "ab": [(1.0, "d t")],
         "c": [(1.0, "t"), (0.3, "d d")]}
PHRASES = [("a",), ("a", "a"), ("ab",), ("c",), ("ab", "a")]
WIDE = SearchOptions(beam=1e9, max_active=1 << 30, min_active=0, acoustic_scale=1.0)
PLAIN = GraphOptions(transition_scale=1.0, self_loop_scale=0.0)  # no cost but the words'
FRAMES = 5


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "positions"])
def system(request, tmp_path_factory):
    lexicon = make_lexicon({word: [Pronunciation(p, tuple(phones.split()))
                                   for p, phones in choices] for word, choices in WORDS.items()})
    lang = prepare_lang(lexicon, default_phone_set().covering(lexicon.phones),
                        tmp_path_factory.mktemp("lang"),
                        LangOptions(sil_prob=0.5, position_dependent=request.param))
    tree = token_tree(lang)
    return lang, tree, token_transitions(lang, tree)


def said(path):
    return tuple(key for key, _ in itertools.groupby(path) if key != 0)


def best_paths(log_probs):
    """Best log probability of a path of classes for each sequence of labels."""
    best = {}
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        score = sum(log_probs[t, k] for t, k in enumerate(path))
        best[said(path)] = max(score, best.get(said(path), -np.inf))
    return best


def phrase_cost(phrase, lang, best):
    """The cheapest way to say a phrase; with silence and without are alike, one half each."""
    names = label_names(lang)
    ways = [-best.get(tuple(names.index(phone) for _, phones in way for phone in phones.split()),
                      -np.inf) - sum(math.log(probability) for probability, _ in way)
            for way in itertools.product(*(WORDS[word] for word in phrase))]
    return min(ways) + (len(phrase) + 1) * math.log(2)


def draws(system):
    rng = np.random.default_rng(5)
    for _ in range(6):
        logits = 2 * rng.normal(size=(FRAMES, system[1].num_pdfs))
        yield (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float32)


def test_labels_are_phones_without_places(system):
    lang, tree, transitions = system
    assert label_names(lang) == ["<blank>", "SPN", "d", "t"]
    assert tree.num_pdfs == 4 == transitions.num_pdfs
    assert lang.optional_silence not in phone_labels(lang)


def test_model_checks_pass(system, tmp_path):
    _, tree, transitions = system
    check_structure(transitions.topology, tree, tmp_path)
    arrays = {"transition_log_probs": transitions.log_probs,
              "transition_tuples": transitions.tuples}
    again, _ = take_transitions(arrays, transitions.topology, tree.num_pdfs, tmp_path)
    np.testing.assert_array_equal(again.tuples, transitions.tuples)


def test_command_graphs_and_composed_graphs_find_the_best_phrase(system):
    lang, tree, transitions = system
    phrases = [[lang.words[word] for word in phrase] for phrase in PHRASES]
    graphs = [command_graph(phrases, lang, transitions, tree, PLAIN),
              make_hclg(lang, command_grammar([list(phrase) for phrase in PHRASES], lang.words),
                        transitions, tree, PLAIN)]
    winners = set()
    for log_probs in draws(system):
        best = best_paths(log_probs)
        costs = {phrase: phrase_cost(phrase, lang, best) + math.log(len(PHRASES))
                 for phrase in PHRASES}
        winner = min(costs, key=costs.get)
        winners.add(winner)
        for graph in graphs:
            path = search(graph, transitions.tid_pdf[graph.ilabel], log_probs, WIDE)
            assert tuple(lang.word_name(word) for word in path.words) == winner
            assert path.total_cost == pytest.approx(costs[winner], abs=1e-4)
    assert len(winners) > 1


@pytest.mark.parametrize("phrase", [("a", "a"), ("c",), ("ab", "a")])
def test_training_graphs_hold_a_blank_between_equal_labels(system, phrase):
    lang, tree, transitions = system
    graph = TrainingGraphs(lang, transitions, tree).build(
        tuple(lang.words[word] for word in phrase))
    costs = arc_costs(graph, transitions.scaled_costs(1.0, 0.0))
    for log_probs in draws(system):
        path = search(graph, transitions.tid_pdf[graph.ilabel], log_probs, WIDE, costs)
        assert path.total_cost == pytest.approx(
            phrase_cost(phrase, lang, best_paths(log_probs)), abs=1e-4)
        phones = [lang.phone_name(one.label).split("_")[0]
                  for one in phone_segments(path.transition_ids, transitions)]
        names = label_names(lang)
        classes = transitions.tid_pdf[path.transition_ids].tolist()
        assert [p for p in phones if p != "SIL"] == [names[k] for k in said(classes)]


def test_every_frame_costs_alike(system):
    """With the scales of a graph, too: no path is dearer for its number of labels."""
    lang, tree, transitions = system
    costs = transitions.scaled_costs(1.0, 0.1)[1:]
    possible = costs < 1e3
    assert np.ptp(costs[possible]) < 0.05
    assert (~possible).any()


def test_a_lang_directory_without_silence_is_refused(tmp_path):
    lexicon = make_lexicon({"<UNK>": [Pronunciation(1.0, ("SPN",))],
                            "a": [Pronunciation(1.0, ("d",))]})
    lang = prepare_lang(lexicon, default_phone_set(), tmp_path, LangOptions(sil_prob=0.0))
    with pytest.raises(UserError, match="--sil-prob"):
        phone_labels(lang)
