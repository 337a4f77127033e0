"""More homophones than the lang directory has symbols for were a fault of the program."""

import pytest

from hybridasr.lexicon.extend import with_words
from hybridasr.lexicon.langdir import prepare_lang
from hybridasr.lexicon.lexicon import Pronunciation, build_lexicon, make_lexicon
from hybridasr.lexicon.phones import default_phone_set

pynini = pytest.importorskip("pynini")

from hybridasr.graph.compose import make_hclg  # noqa: E402
from hybridasr.hmm.topology import read_topology  # noqa: E402
from hybridasr.hmm.transitions import TransitionModel  # noqa: E402
from hybridasr.lm.grammar import command_grammar  # noqa: E402
from hybridasr.tree.tree import allowed_tuples, monophone_tree  # noqa: E402


def test_a_graph_has_all_of_them(tmp_path):
    lexicon = build_lexicon(["da1", "ta1"])
    lang = prepare_lang(lexicon, default_phone_set().covering(lexicon.phones), tmp_path / "lang")
    topology = read_topology(lang.topology_text)
    tree = monophone_tree(lang.sets, topology)
    transitions = TransitionModel(topology, allowed_tuples(tree, topology))
    names = [f"da{number}x" for number in range(20)]
    more = with_words(lang, names, make_lexicon({
        name: [Pronunciation(1.0, ("d", "a1"))] for name in names}))
    graph = make_hclg(more, command_grammar([[name] for name in names], more.words), transitions,
                      tree)
    assert set(graph.olabel.tolist()) - {0} == {more.words[name] for name in names}
    # Transition-ids are the model's: the symbols are in no arc of the graph.
    assert graph.ilabel.max() <= transitions.num_tids
    assert set(transitions.tid_phone[graph.ilabel[graph.ilabel > 0]]) <= {
        lang.phones[name] for name in ("SIL", "d", "a1")}
