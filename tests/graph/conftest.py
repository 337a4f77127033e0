"""Small lang directories with homophones, prefixes, variants and different silence."""

import pytest

from hybridasr.hmm.topology import read_topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import LangOptions, prepare_lang
from hybridasr.lexicon.lexicon import Pronunciation, make_lexicon
from hybridasr.lexicon.phones import default_phone_set
from hybridasr.tree.tree import allowed_tuples, monophone_tree

# homophones (a, homo), a prefix (a of ab), variants with probabilities (c)
WORDS = {"<UNK>": [(1.0, "SPN")], "a": [(1.0, "d")], "homo": [(1.0, "d")], "ab": [(1.0, "d t")],
         "c": [(1.0, "t"), (0.5, "d d")]}


@pytest.fixture(scope="session", params=[0.5, 0.2, 0.0], ids=lambda p: f"sil{p}")
def system(request, tmp_path_factory):
    """(lang, transitions with uneven probabilities, tree)."""
    lexicon = make_lexicon({word: [Pronunciation(p, tuple(phones.split()))
                                   for p, phones in choices] for word, choices in WORDS.items()})
    lang = prepare_lang(lexicon, default_phone_set().covering(lexicon.phones),
                        tmp_path_factory.mktemp("lang"), LangOptions(sil_prob=request.param))
    topology = read_topology(lang.topology_text)
    tree = monophone_tree(lang.sets, topology)
    flat = TransitionModel(topology, allowed_tuples(tree, topology))
    counts = 10.0 + 7.0 * (1 + (37 * flat.tid_pdf.astype(float)) % 11)
    counts += 13.0 * flat.tid_is_self_loop
    return lang, flat.updated(counts), tree
