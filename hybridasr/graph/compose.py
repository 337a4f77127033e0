"""Owns HCLG: composition, determinisation and minimisation of H, C, L and G (on pynini).

For monophones C is the identity. The order is Kaldi's (utils/mkgraph.sh): LG, determinised and
minimised; H on it, determinised; disambiguation symbols out; minimised; self-loops. All of it in
the tropical semiring, so that the best path of every word sequence keeps its weight exactly.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pynini

from hybridasr.errors import UserError
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.graph.hmm_fst import add_self_loops, hmm_fst
from hybridasr.graph.lexicon_fst import lexicon_fst
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import Lang
from hybridasr.options import option
from hybridasr.storage import PathLike, atomic_path, read_text, write_text
from hybridasr.tree.tree import ContextTree


@dataclass(frozen=True)
class GraphOptions:
    """Scales of the transition probabilities in the graph (Kaldi's mkgraph.sh)."""

    transition_scale: float = option(1.0, "factor on transition log probabilities")
    self_loop_scale: float = option(0.1, "factor on self-loop log probabilities")


def make_hclg(lang: Lang, grammar: pynini.Fst, transitions: TransitionModel, tree: ContextTree,
              options: GraphOptions | None = None) -> DecodingGraph:
    """Build the decoding graph of a grammar.

    Parameters
    ----------
    grammar : pynini.Fst
        Acceptor of words (ids of words.txt); #0 may be on the input side of backoff arcs.

    Raises
    ------
    UserError
        if the grammar accepts nothing that the lexicon can say, or the tree has context.
    """
    options = options or GraphOptions()
    if tree.context_width != 1:
        raise UserError(f"a tree of context width {tree.context_width} has no graph in this "
                        "version; use a monophone model")
    lg = pynini.compose(lexicon_fst(lang, disambig=True), grammar.copy().arcsort("ilabel"))
    if lg.start() < 0:
        raise UserError("the grammar holds no word of the lexicon; check the command list",
                        lang.path)
    lg = _minimized(pynini.determinize(lg.rmepsilon())).arcsort("ilabel")
    hclg = pynini.determinize(pynini.compose(hmm_fst(lang, transitions, tree), lg).rmepsilon())
    # Symbols between words go first. #0 goes last and its arcs stay as epsilons: closing over
    # the backoff arcs of a language model would give every history all words.
    first = transitions.num_tids + 1
    symbols = range(first, first + len(lang.disambig_phones))
    hclg = hclg.relabel_pairs(ipairs=[(symbol, 0) for symbol in symbols[1:]])
    hclg = _minimized(hclg.rmepsilon())
    hclg = hclg.relabel_pairs(ipairs=[(first, 0)]).connect()
    costs = transitions.scaled_costs(options.transition_scale, options.self_loop_scale)
    return add_self_loops(from_fst(hclg), transitions, costs)


def _minimized(fst: pynini.Fst) -> pynini.Fst:
    """Minimise with labels and weights as one symbol, so that no weight moves or is rounded."""
    mapper = pynini.EncodeMapper(fst.arc_type(), encode_labels=True, encode_weights=True)
    return fst.encode(mapper).minimize(allow_nondet=True).decode(mapper)


def from_fst(fst: pynini.Fst) -> DecodingGraph:
    """Copy an OpenFst transducer into flat arrays."""
    rows = [(state, arc.ilabel, arc.olabel, float(arc.weight), arc.nextstate)
            for state in fst.states() for arc in fst.arcs(state)]
    final = np.array([float(fst.final(state)) for state in fst.states()], np.float32)
    if fst.start() < 0 or not rows:
        raise UserError("the graph is empty; check the grammar and the lexicon")
    source, ilabel, olabel, weight, target = map(np.array, zip(*rows, strict=True))
    return DecodingGraph.from_arcs(fst.start(), source, ilabel, olabel, weight, target, final)


def to_fst(graph: DecodingGraph) -> pynini.Fst:
    """Copy flat arrays into an OpenFst transducer."""
    fst = pynini.Fst()
    fst.add_states(graph.num_states)
    fst.set_start(graph.start)
    for state in np.flatnonzero(np.isfinite(graph.final)).tolist():
        fst.set_final(state, float(graph.final[state]))
    source = np.repeat(np.arange(graph.num_states), np.diff(graph.arc_offsets)).tolist()
    for state, *arc in zip(source, graph.ilabel.tolist(), graph.olabel.tolist(),
                           graph.weight.tolist(), graph.nextstate.tolist(), strict=True):
        fst.add_arc(state, pynini.Arc(*arc))
    return fst


def write_graph(directory: PathLike, graph: DecodingGraph, grammar: pynini.Fst,
                lang: Lang) -> None:
    """Write ``graph.npz`` for the search; HCLG.fst, G.fst, words.txt and phones.txt for people."""
    directory = Path(directory)
    graph.save(directory / "graph.npz")
    for name, fst in (("HCLG.fst", to_fst(graph)), ("G.fst", grammar)):
        with atomic_path(directory / name) as path:
            fst.write(str(path))
    for name in ("words.txt", "phones.txt"):
        write_text(directory / name, read_text(lang.path / name))
