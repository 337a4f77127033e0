"""Owns the grammar of a command list: commands, fillers and silence in parallel.

Built at run time from the model's lexicon, tree and transition model, so that commands may change
at any time without training anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hybridasr.corpus.commands import Command
from hybridasr.errors import UserError
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.graph.command_graph import command_graph
from hybridasr.graph.filler import (
    FILLER_WORD,
    FillerUnits,
    filler_graph,
    filler_units,
    join_graphs,
    silence_graph,
    unit_bigram,
)
from hybridasr.graph.self_loops import GraphOptions
from hybridasr.lexicon.commands import with_words
from hybridasr.lexicon.langdir import Lang
from hybridasr.model import AcousticModel
from hybridasr.options import option


@dataclass(frozen=True)
class RejectOptions:
    """How words outside the command list are taken up."""

    filler_penalty: float | None = option(None, "added to the cost of everything that is no "
                                          "command: higher accepts more; none: the model's own")
    reject_beam: float = option(10.0, "commands and fillers worse than the best by more than this "
                                      "are not compared with it")
    threshold: float | None = option(None, "least probability of an accepted command; none: the "
                                     "model's own, or the command's")

    def __post_init__(self):
        if not 0 < self.reject_beam < np.inf:
            raise UserError(f"reject-beam is {self.reject_beam}; give a number above 0 (usual: "
                            "10)")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UserError(f"threshold is {self.threshold}; give a probability, 0 to 1")
        if self.filler_penalty is not None and not np.isfinite(self.filler_penalty):
            raise UserError(f"filler-penalty is {self.filler_penalty}; give a number")


@dataclass(frozen=True)
class CommandGrammar:
    """A command list ready for the search.

    Attributes
    ----------
    commands : dict word ids -> Command
    lang : Lang
        The model's, with the words of commands and fillers.
    graph : DecodingGraph
    arc_pdfs : int32 (num_arcs,)
        Columns of `FillerUnits.scores`.
    fillers : frozenset of word ids that are no commands
    penalty : float
        What the graph adds to the cost of fillers.
    """

    commands: dict[tuple[int, ...], Command]
    lang: Lang
    graph: DecodingGraph
    arc_pdfs: np.ndarray
    fillers: frozenset[int]
    penalty: float


class GrammarMaker:
    """Makes grammars for one model; what all of them share is made once."""

    def __init__(self, model: AcousticModel, options: GraphOptions | None = None):
        self._model = model
        self._options = options or GraphOptions()
        priors = model.nnet.log_priors if model.nnet is not None else None
        self.units: FillerUnits = filler_units(model.lang, model.transitions, priors)
        costs = self.units.transitions.scaled_costs(self._options.transition_scale,
                                                    self._options.self_loop_scale)
        self._filler = max(model.lang.words.values()) + 1
        self._lang = replace(model.lang, words={**model.lang.words, FILLER_WORD: self._filler})
        self._loop = filler_graph(model.lang, self.units, model.tree,
                                  unit_bigram(model.lang, self.units), self._filler, costs)
        self._silence = silence_graph(model.lang, self.units.transitions, model.tree, costs)

    def make(self, commands: Sequence[Command], outside: Sequence[str] = (),
             penalty: float = 0.0) -> CommandGrammar:
        """Build the grammar of a command list.

        Parameters
        ----------
        outside : sequence of str
            Words and phrases that are no commands although they sound like some: hanzi, pinyin or
            English. Those that a command says too are left out.
        penalty : float
            Added to the cost of everything that is no command.

        Raises
        ------
        UserError
            if there is no command, or a word cannot be pronounced with the model's phones.
        """
        phrases = {command: command.words for command in commands}
        texts = {command.text for command in commands}
        others = [tuple(text.split()) for text in dict.fromkeys(outside) if text not in texts]
        lang = with_words(self._lang, {word for words in (*phrases.values(), *others)
                                       for word in words})
        known = {tuple(lang.words[word] for word in words): command
                 for command, words in phrases.items()}
        graphs = [self._graph(known, lang), self._loop, self._silence]
        costs = [0.0, penalty, penalty]
        fillers = {self._filler}
        if others:
            lang, marked = _marked(lang, others)
            graphs.append(self._graph(marked, lang))
            costs.append(penalty)
            fillers |= {word for phrase in marked for word in phrase}
        graph = join_graphs(graphs, costs)
        return CommandGrammar(known, lang, graph, self.units.transitions.tid_pdf[graph.ilabel],
                              frozenset(fillers), penalty)

    def _graph(self, phrases, lang: Lang) -> DecodingGraph:
        return command_graph(phrases, lang, self._model.transitions, self._model.tree,
                             self._options)


def _marked(lang: Lang, phrases: Sequence[tuple[str, ...]]
            ) -> tuple[Lang, list[tuple[int, ...]]]:
    """Give the words of fillers ids of their own: a command may begin with the same word."""
    words, pronunciations = dict(lang.words), dict(lang.pronunciations)
    for word in sorted({word for phrase in phrases for word in phrase}):
        number = max(words.values()) + 1
        words[f"<filler:{word}>"] = number
        pronunciations[number] = pronunciations[lang.words[word]]
    marked = [tuple(words[f"<filler:{word}>"] for word in phrase) for phrase in phrases]
    return replace(lang, words=words, pronunciations=pronunciations), marked
