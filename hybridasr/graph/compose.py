"""Owns HCLG: composition, determinisation and minimisation of H, C, L and G (on pynini).

The order is Kaldi's (utils/mkgraph.sh): LG, determinised and minimised; its phones put into
context; H on that, determinised; disambiguation symbols out; minimised; self-loops. All of it in
the tropical semiring, so that the best path of every word sequence keeps its weight exactly. Arcs
move between OpenFst and flat arrays all at once, as bytes of OpenFst's file format.
"""

from pathlib import Path

from hybridasr.errors import UserError
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.graph.context import expand_context
from hybridasr.graph.graph_words import write_graph_words
from hybridasr.graph.hmm_fst import hmm_fst
from hybridasr.graph.lexicon_fst import lexicon_fst
from hybridasr.graph.openfst import FlatFst, fst_bytes, parse_fst
from hybridasr.graph.self_loops import GraphOptions, add_self_loops, natural_scales
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.extend import with_disambig_symbols
from hybridasr.lexicon.langdir import Lang
from hybridasr.lm.pynini_import import pynini
from hybridasr.storage import PathLike, atomic_path
from hybridasr.tree.tree import ContextTree


def make_hclg(lang: Lang, grammar: pynini.Fst, transitions: TransitionModel, tree: ContextTree,
              options: GraphOptions | None = None) -> DecodingGraph:
    """Build the decoding graph of a grammar.

    Parameters
    ----------
    grammar : pynini.Fst
        Acceptor of words (ids of words.txt); #0 may be on the input side of backoff arcs.
    tree : ContextTree
        Of any context width; 1 to 3 phones are usual.

    Raises
    ------
    UserError
        if the grammar accepts nothing that the lexicon can say, or the tree does not belong to
        the lexicon or the transition model.
    """
    options = options or natural_scales(transitions.topology)
    lang = with_disambig_symbols(lang)
    lg = pynini.compose(lexicon_fst(lang, disambig=True), grammar.copy().arcsort("ilabel"))
    if lg.start() < 0:
        raise UserError("the grammar holds no word of the lexicon; check the command list",
                        lang.path)
    lg = _minimized(pynini.determinize(lg.rmepsilon()))
    clg = expand_context(_to_flat(lg), tree, transitions.topology, lang.disambig_phones)
    # Symbols in the order of their labels: #0, #1 ... and that for "not yet".
    symbols = range(transitions.num_tids + 1,
                    transitions.num_tids + 2 + len(lang.disambig_phones))
    h = hmm_fst(clg.logical_phones, len(symbols), transitions)
    hclg = pynini.determinize(pynini.compose(h, _from_flat(clg.fst)))
    # Symbols between words go first. #0 goes last and its arcs stay as epsilons: closing over
    # the backoff arcs of a language model would give every history all words.
    hclg = hclg.relabel_pairs(ipairs=[(symbol, 0) for symbol in symbols[1:]])
    hclg = _minimized(hclg.rmepsilon())
    hclg = hclg.relabel_pairs(ipairs=[(symbols[0], 0)]).connect()
    costs = transitions.scaled_costs(options.transition_scale, options.self_loop_scale)
    return add_self_loops(from_fst(hclg), transitions, costs)


def _minimized(fst: pynini.Fst) -> pynini.Fst:
    """Minimise with labels and weights as one symbol, so that no weight moves or is rounded."""
    mapper = pynini.EncodeMapper(fst.arc_type(), encode_labels=True, encode_weights=True)
    return fst.encode(mapper).minimize(allow_nondet=True).decode(mapper)


def from_fst(fst: pynini.Fst) -> DecodingGraph:
    """Copy an OpenFst transducer into flat arrays."""
    flat = _to_flat(fst)
    if flat.start < 0 or not flat.num_arcs:
        raise UserError("the graph is empty; check the grammar and the lexicon")
    return flat.to_graph()


def to_fst(graph: DecodingGraph) -> pynini.Fst:
    """Copy flat arrays into an OpenFst transducer."""
    return _from_flat(graph)


def _to_flat(fst: pynini.Fst) -> FlatFst:
    return parse_fst(fst.write_to_string())


def _from_flat(fst: FlatFst | DecodingGraph) -> pynini.Fst:
    return pynini.Fst.read_from_string(fst_bytes(fst))


def write_graph(directory: PathLike, graph: DecodingGraph, grammar: pynini.Fst,
                lang: Lang) -> None:
    """Write ``graph.npz`` and the words for the search; HCLG.fst and G.fst for people."""
    directory = Path(directory)
    graph.save(directory / "graph.npz")
    for name, fst in (("HCLG.fst", to_fst(graph)), ("G.fst", grammar)):
        with atomic_path(directory / name) as path:
            fst.write(str(path))
    write_graph_words(directory, lang)
