"""A lexicon of a few words, as a lang directory with a monophone model."""

import pytest

from hybridasr.hmm.topology import read_topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import prepare_lang
from hybridasr.lexicon.lexicon import Pronunciation, make_lexicon
from hybridasr.lexicon.phones import default_phone_set
from hybridasr.tree.tree import allowed_tuples, monophone_tree

WORDS = {"<UNK>": ["SPN"], "<SIL>": ["SIL"], "da": ["d a1"], "dada": ["d a1 d a1"],
         "ta": ["t a1", "t a2"], "homo": ["d a1"]}


@pytest.fixture(scope="session")
def system(tmp_path_factory):
    """(lang, transitions, tree)."""
    lexicon = make_lexicon({word: [Pronunciation(1.0 / (n + 1), tuple(phones.split()))
                                   for n, phones in enumerate(choices)]
                            for word, choices in WORDS.items()})
    lang = prepare_lang(lexicon, default_phone_set().covering(lexicon.phones),
                        tmp_path_factory.mktemp("lang"))
    topology = read_topology(lang.topology_text)
    tree = monophone_tree(lang.sets, topology)
    return lang, TransitionModel(topology, allowed_tuples(tree, topology)), tree
