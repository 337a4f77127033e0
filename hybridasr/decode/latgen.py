"""Owns decoding to lattices: the search's alternatives, determinised to words."""

from dataclasses import dataclass

import numpy as np

from hybridasr.decode.search import (
    Alternatives,
    BestPath,
    Search,
    SearchOptions,
    search_alternatives,
)
from hybridasr.errors import UserError
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.lattice.determinize import determinize_lattice
from hybridasr.lattice.lattice import CompactLattice, Lattice
from hybridasr.options import option


@dataclass(frozen=True)
class LatticeOptions:
    """What a lattice keeps, with Kaldi's name and default."""

    lattice_beam: float = option(6.0, "alternatives worse than the best path by more than this "
                                      "are dropped")

    def __post_init__(self):
        if not 0 <= self.lattice_beam < np.inf:
            raise UserError(f"lattice-beam is {self.lattice_beam}; give a number from 0 (usual: "
                            "6)")


def decode_lattice(graph: DecodingGraph, arc_pdfs: np.ndarray, loglikes: np.ndarray,
                   search: SearchOptions, options: LatticeOptions
                   ) -> tuple[BestPath, CompactLattice] | None:
    """Find the best path and the sequences of words near it, as Kaldi's gmm-latgen-faster.

    Parameters
    ----------
    arc_pdfs : int32 (num_arcs,)
        Column of `loglikes` that each arc reads; -1 on epsilon arcs.
    loglikes : float32 (num_frames, num_columns)

    Returns
    -------
    (best path, lattice), or None if no frame was given or every token died
        The lattice is deterministic: one path for each sequence of words, the best one, with its
        transition-ids; acoustic costs are not scaled. Its best path costs as much as the
        best path. If that is not complete, no path of the lattice is.

    Raises
    ------
    UserError
        if a log likelihood is NaN.
    """
    if len(loglikes) == 0 or graph.num_states == 0:
        return None
    utterance = Search(graph, arc_pdfs, search, lattice_beam=options.lattice_beam)
    utterance.advance(loglikes)
    return finish_lattice(utterance, graph, search, options)


def finish_lattice(utterance: Search, graph: DecodingGraph, search: SearchOptions,
                   options: LatticeOptions) -> tuple[BestPath, CompactLattice] | None:
    """End a search that was begun with these options; return as `decode_lattice`."""
    path, links = utterance.finish()
    if path is None:
        return None
    return path, determinize_lattice(_lattice(graph, links), options.lattice_beam,
                                     search.acoustic_scale)


def raw_lattice(graph: DecodingGraph, arc_pdfs: np.ndarray, loglikes: np.ndarray,
                search: SearchOptions, options: LatticeOptions
                ) -> tuple[BestPath | None, Lattice | None]:
    """As `decode_lattice`, without determinisation (Kaldi's --determinize-lattice=false)."""
    path, links = search_alternatives(graph, arc_pdfs, loglikes, search, options.lattice_beam)
    return path, None if path is None else _lattice(graph, links)


def _lattice(graph: DecodingGraph, links: Alternatives) -> Lattice:
    """Return the links between tokens as a lattice; its arcs are ordered by where they begin."""
    # Determinisation wants the arcs of a state side by side.
    order = np.argsort(links.origin, kind="stable")
    arc = links.arc[order]
    return Lattice(links.origin[order], links.target[order], graph.olabel[arc],
                   graph.weight[arc].astype(np.float64), links.acoustic[order], links.final,
                   np.zeros(len(links.final)), graph.ilabel[arc])
