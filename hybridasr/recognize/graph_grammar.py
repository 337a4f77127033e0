"""Owns what a session decodes with: the one form of every grammar, and the graph of a model.

The other kind, a command list, is `confidence.command_grammar.CommandGrammar`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from hybridasr.confidence.decoded import Decoded
from hybridasr.confidence.verify import NO_SPEECH, TOO_SHORT
from hybridasr.corpus.command_list import Command
from hybridasr.decode.latgen import LatticeOptions, decode_lattice
from hybridasr.decode.search import BestPath, SearchOptions, search
from hybridasr.decode.words import phone_segments, word_segments
from hybridasr.errors import UserError, shell_command
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.graph.graph_words import fits_model, read_graph_record, read_graph_words
from hybridasr.lattice.lattice import CompactLattice
from hybridasr.lattice.paths import n_best
from hybridasr.lexicon.langdir import Lang
from hybridasr.model.acoustic import AcousticModel
from hybridasr.storage import PathLike

# Seconds that hold a word: longer audio in which no word even begins has no speech.
SHORTEST_WORD = 0.25
# Alternatives worse than the best words by more than this are not given.
NBEST_BEAM = 10.0


class Grammar(Protocol):
    """What may be said; it never changes, so that threads share it."""

    @property
    def commands(self) -> tuple[Command, ...]:
        """The command list; empty if there is none."""
        ...

    @property
    def fillers(self) -> tuple[str, ...]:
        """Words and phrases that are no commands, as the user gave them."""
        ...

    def decode(self, loglikes: np.ndarray, levels: np.ndarray, options: SearchOptions,
               nbest: int = 0) -> Decoded:
        """Decode one utterance.

        Parameters
        ----------
        loglikes : float32 (num_frames, num_pdfs)
        levels : float64 (num_frames,)
            How loud the frames are.
        options : SearchOptions
            With the acoustic scale of the model.
        nbest : int
            Give up to so many other sequences of words.
        """
        ...

    def empty(self, reason: str, complete: bool) -> Decoded:
        """Return the result of an utterance in which there is nothing to search."""
        ...


class NoGrammar:
    """In place of a grammar: refuses to decode."""

    commands: tuple[Command, ...] = ()
    fillers: tuple[str, ...] = ()

    def decode(self, loglikes: np.ndarray, levels: np.ndarray, options: SearchOptions,
               nbest: int = 0) -> Decoded:
        """Raise `UserError`: there is nothing to decode with."""
        raise UserError("no graph and no commands; give --commands FILE, or run 'hybridasr "
                        "mkgraph'")

    def empty(self, reason: str, complete: bool) -> Decoded:
        """Return the result of an utterance in which there is nothing to search."""
        return Decoded([], [], complete, None, reason=reason)


@dataclass(frozen=True, eq=False)
class GraphGrammar:
    """A decoding graph, as `mkgraph` makes them.

    Attributes
    ----------
    lang : Lang
        The model's, with the words of the graph.
    arc_pdfs : int32 (num_arcs,)
        The pdf that each arc reads.
    """

    model: AcousticModel
    graph: DecodingGraph
    lang: Lang
    arc_pdfs: np.ndarray
    commands: tuple[Command, ...] = ()
    fillers: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: AcousticModel, graph: DecodingGraph,
           lang: Lang | None = None) -> "GraphGrammar":
        """Return the grammar of a graph that was made for the model; by default of its words."""
        return cls(model, graph, lang or model.lang, model.transitions.tid_pdf[graph.ilabel])

    def decode(self, loglikes: np.ndarray, levels: np.ndarray, options: SearchOptions,
               nbest: int = 0) -> Decoded:
        """Decode one utterance; see `Grammar.decode`."""
        del levels
        # A lattice costs time, and only the alternatives need one.
        if nbest == 0:
            path, lattice = search(self.graph, self.arc_pdfs, loglikes, options), None
        else:
            path, lattice = decode_lattice(self.graph, self.arc_pdfs, loglikes, options,
                                           LatticeOptions(NBEST_BEAM)) or (None, None)
        shift, lang = self.model.features.frame_shift_ms / 1000, self.lang
        if path is None:
            return self.empty(_reason_incomplete(len(loglikes) * shift), False)
        words = path.words.tolist()
        # Words that do not match their phones have no times.
        segments = word_segments(phone_segments(path.transition_ids, self.model.transitions),
                                 words, lang)
        times = [(lang.word_name(word.label), word.begin * shift, word.end * shift)
                 for word in segments]
        reason = None
        if not path.complete:
            reason = TOO_SHORT if words else _reason_incomplete(len(loglikes) * shift)
        elif not words:
            reason = NO_SPEECH
        return Decoded([lang.word_name(word) for word in words], times, path.complete, path,
                       reason=reason,
                       alternatives=self._alternatives(path, lattice, options, nbest))

    def empty(self, reason: str, complete: bool) -> Decoded:
        """Return the result of an utterance in which there is nothing to search."""
        return Decoded([], [], complete, None, reason=reason)

    def _alternatives(self, path: BestPath, lattice: CompactLattice | None,
                      options: SearchOptions, nbest: int) -> tuple[tuple[str, ...], ...]:
        if lattice is None:
            return ()
        # One more than asked for: the best words are among them.
        best = tuple(path.words.tolist())
        others = [other.words for other in n_best(lattice, nbest + 1, options.acoustic_scale)
                  if other.words != best]
        return tuple(tuple(map(self.lang.word_name, words)) for words in others[:nbest])


def _reason_incomplete(seconds: float) -> str:
    """Return why no word is recognised where the search reached no end."""
    return NO_SPEECH if seconds >= SHORTEST_WORD else TOO_SHORT


def read_graph(directory: PathLike, model: AcousticModel, source: PathLike) -> GraphGrammar:
    """Read the graph of a graph directory, with its words.

    Parameters
    ----------
    source : path
        The model's directory, for the error line.

    Raises
    ------
    UserError
        if the graph is missing or damaged, or belongs to another model.
    """
    directory = Path(directory)
    if not (directory / "graph.npz").is_file():
        raise UserError("no graph.npz there; run 'hybridasr mkgraph' first", directory)
    graph = DecodingGraph.load(directory / "graph.npz")
    other = not fits_model(read_graph_record(directory), model.tree, model.lang)
    lang = model.lang if other else read_graph_words(directory, model.lang)
    # Labels beyond the tables would be read from memory that is not theirs.
    if (other or graph.ilabel.max(initial=0) >= len(model.transitions.tid_pdf)
            or not {*np.unique(graph.olabel).tolist()} <= {0, *lang.words.values()}):
        command = shell_command("hybridasr", "mkgraph", source, directory)
        raise UserError(f"belongs to another model than {source}; run {command}", directory)
    return GraphGrammar.of(model, graph, lang)
