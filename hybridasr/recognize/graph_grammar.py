"""Owns what a session decodes with: the one form of every grammar, and the graph of a model.

The other kind, a command list, is `confidence.command_grammar.CommandGrammar`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from hybridasr.confidence.decoded import Decoded, GrammarSearch
from hybridasr.confidence.verify import NO_SPEECH, TOO_SHORT
from hybridasr.corpus.command_list import Command
from hybridasr.decode.latgen import LatticeOptions, finish_lattice
from hybridasr.decode.search import BestPath, Ending, Search, SearchOptions
from hybridasr.decode.words import phone_segments, word_segments
from hybridasr.errors import UserError, shell_command
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.graph.graph_words import fits_model, read_graph_record, read_graph_words
from hybridasr.lattice.lattice import CompactLattice, WordPath
from hybridasr.lattice.mbr import decode_mbr
from hybridasr.lattice.paths import n_best
from hybridasr.lattice.posteriors import forward_backward
from hybridasr.lexicon.langdir import Lang
from hybridasr.model.acoustic import AcousticModel
from hybridasr.storage import PathLike, is_file

# Seconds that hold a word: longer audio in which no word even begins has no speech.
SHORTEST_WORD = 0.25
# Frames after which the words that no path disputes are settled, and their tokens freed.
SETTLED = 100
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

    def begin(self, options: SearchOptions, nbest: int = 0) -> GrammarSearch:
        """Begin an utterance.

        Parameters
        ----------
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

    def begin(self, options: SearchOptions, nbest: int = 0) -> GrammarSearch:
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

    def weighted(self, options: SearchOptions) -> "GraphGrammar":
        """Return the grammar with scale and word insertion penalty of a search in its costs.

        The same grammar where they change nothing.
        """
        penalty, graph = options.word_ins_penalty or 0.0, self.graph
        if options.lm_scale == 1 and penalty == 0:
            return self
        final = graph.final.copy()
        # Not inf * 0: a state that is no end stays none.
        final[np.isfinite(final)] *= options.lm_scale
        weight = options.lm_scale * graph.weight.astype(np.float64) + penalty * (graph.olabel > 0)
        return replace(self, graph=replace(graph, weight=weight.astype(np.float32), final=final))

    @cached_property
    def silent(self) -> np.ndarray:
        """Which arcs read silence, bool (num_arcs,)."""
        return np.isin(self.model.transitions.tid_phone[self.graph.ilabel],
                       self.model.lang.silence_phones)

    def begin(self, options: SearchOptions, nbest: int = 0) -> GrammarSearch:
        """Begin an utterance; see `Grammar.begin`."""
        return _GraphSearch(self, options, nbest)

    def empty(self, reason: str, complete: bool) -> Decoded:
        """Return the result of an utterance in which there is nothing to search."""
        return Decoded([], [], complete, None, reason=reason)


class _GraphSearch:
    """An utterance in a graph; what no path disputes any more is settled as it goes."""

    def __init__(self, grammar: GraphGrammar, options: SearchOptions, nbest: int):
        self._grammar, self._options, self._nbest = grammar, options, nbest
        self._lattice = LatticeOptions(NBEST_BEAM)
        self._frames = self._unsettled = 0
        # A lattice costs time, and only the alternatives need one. A graph may be empty.
        self._search = Search(grammar.graph, grammar.arc_pdfs, options,
                              lattice_beam=NBEST_BEAM if nbest else None) \
            if grammar.graph.num_states else None

    def accept(self, loglikes: np.ndarray) -> None:
        self._frames += len(loglikes)
        if self._search is None:
            return
        self._search.advance(loglikes)
        self._unsettled += len(loglikes)
        if self._unsettled >= SETTLED and not self._nbest:
            self._search.settle()
            self._unsettled = 0

    def partial(self) -> list[str]:
        if self._search is None:
            return []
        path = self._search.partial()
        return [] if path is None else self._names(path.words.tolist())

    def partial_times(self) -> list[tuple[str, float, float]]:
        path = None if self._search is None else self._search.partial()
        return [] if path is None else self._times(path)

    def ending(self) -> Ending:
        if self._search is None:
            return Ending(self._frames, 0, np.inf, np.inf)
        return self._search.ending(self._grammar.silent)

    def finish(self, levels: np.ndarray) -> Decoded:
        del levels
        path, lattice = self._best()
        grammar = self._grammar
        shift = grammar.model.frame_shift
        if path is None:
            return grammar.empty(_reason_incomplete(self._frames * shift), False)
        words = path.words.tolist()
        reason = None
        if not path.complete:
            reason = TOO_SHORT if words else _reason_incomplete(self._frames * shift)
        elif not words:
            reason = NO_SPEECH
        decoded = Decoded(self._names(words), self._times(path), path.complete, path,
                          reason=reason)
        return decoded if lattice is None else self._with_alternatives(decoded, words, lattice)

    def _times(self, path: BestPath) -> list[tuple[str, float, float]]:
        grammar = self._grammar
        # Words that do not match their phones have no times.
        segments = word_segments(phone_segments(path.transition_ids, grammar.model.transitions),
                                 path.words.tolist(), grammar.lang)
        shift = grammar.model.frame_shift
        return [(grammar.lang.word_name(word.label), word.begin * shift, word.end * shift)
                for word in segments]

    def _best(self) -> tuple[BestPath | None, CompactLattice | None]:
        if self._search is None or self._frames == 0:
            return None, None
        if not self._nbest:
            return self._search.finish()[0], None
        return finish_lattice(self._search, self._grammar.graph, self._options,
                              self._lattice) or (None, None)

    def _with_alternatives(self, decoded: Decoded, best: list[int], lattice: CompactLattice
                           ) -> Decoded:
        """Return the result with other words, and with what parts of the lattice say the same."""
        scale = self._options.acoustic_scale
        total = forward_backward(lattice, scale)[2]

        def share(path: WordPath) -> float:
            return float(np.exp(-path.graph_cost - scale * path.acoustic_cost - total))

        # One more than asked for: the best words are among them.
        paths = n_best(lattice, self._nbest + 1, scale)
        others = [path for path in paths if list(path.words) != best][:self._nbest]
        risk = decode_mbr(lattice, scale, best)
        return replace(
            decoded, alternatives=tuple(tuple(self._names(path.words)) for path in others),
            word_shares=() if risk is None else risk.confidences,
            shares=(sum(share(path) for path in paths if list(path.words) == best),
                    *map(share, others)))

    def _names(self, words: Iterable[int]) -> list[str]:
        return [self._grammar.lang.word_name(word) for word in words]


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
    if not is_file(directory / "graph.npz"):
        raise UserError("no graph.npz there; run 'hybridasr mkgraph' first", directory)
    graph = DecodingGraph.load(directory / "graph.npz")
    other = not fits_model(read_graph_record(directory), model.tree, model.lang,
                           model.transitions.topology)
    lang = model.lang if other else read_graph_words(directory, model.lang)
    # Labels beyond the tables would be read from memory that is not theirs.
    if (other or graph.ilabel.max(initial=0) >= len(model.transitions.tid_pdf)
            or not {*np.unique(graph.olabel).tolist()} <= {0, *lang.words.values()}):
        command = shell_command("hybridasr", "mkgraph", source, directory)
        raise UserError(f"belongs to another model than {source}; run {command}", directory)
    return GraphGrammar.of(model, graph, lang)
