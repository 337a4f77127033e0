"""Owns the grammar of a command list: commands, fillers and silence in parallel.

Built at run time from the model's lexicon, tree and transition model, so that commands may change
at any time without training anything.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hybridasr.confidence.confusion import PhoneDistances, table_distances
from hybridasr.confidence.near import FillerOptions, FillerSource, Suggestion, near_pairs, suggest
from hybridasr.confidence.spoken import SpokenCommand, lexicon_of, spoken_commands
from hybridasr.corpus.commands import Command, Item
from hybridasr.decode.search import SearchOptions, search
from hybridasr.decode.words import phone_segments
from hybridasr.errors import UserError
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.graph.command_graph import command_graph
from hybridasr.graph.command_set import build_commands
from hybridasr.graph.filler import (
    FILLER_WORD,
    GARBAGE,
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
from hybridasr.storage import PathLike

logger = logging.getLogger("hybridasr")
MOST_WITH_FILLERS = 200  # longer lists would wait for their fillers


@dataclass(frozen=True)
class RejectOptions:
    """How words outside the command list are taken up."""

    filler_penalty: float | None = option(None, "added to the cost of everything that is no "
                                          "command: higher accepts more; none: the model's own")
    near_fillers: int = option(5, "near-sounding fillers for each command of a list of up to 200")
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
        if self.near_fillers < 0:
            raise UserError(f"near-fillers is {self.near_fillers}; give 0 or more")
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

    def __init__(self, model: AcousticModel, options: GraphOptions | None = None,
                 distances: PhoneDistances | None = None):
        self._model = model
        self._distances = distances
        self._suggested: dict[str, list[Suggestion]] = {}
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
        self._loop_pdfs = self.units.transitions.tid_pdf[self._loop.ilabel]

    def phones(self, scores: np.ndarray, options: SearchOptions) -> list[str]:
        """Return the phones of an utterance, by the loop of the filler alone.

        Parameters
        ----------
        scores : float32 (num_frames, num_pdfs + num_mixtures)
            As from `FillerUnits.scores`.
        """
        path = search(self._loop, self._loop_pdfs, scores, options)
        if path is None:
            return []
        names = [self.units.names.get(segment.label) for segment
                 in phone_segments(path.transition_ids, self.units.transitions)]
        return [name for name in names if name is not None and name != GARBAGE]

    @cached_property
    def _source(self) -> FillerSource:
        own = lexicon_of(self._model.lang)
        phones = tuple(sorted(own.phones))
        return FillerSource(self._distances or table_distances(phones), phones, own, False)

    def make(self, commands: Iterable[Item], outside: Sequence[str] = (), penalty: float = 0.0,
             near: int = 0, path: PathLike | None = None) -> CommandGrammar:
        """Build the grammar of a command list.

        Parameters
        ----------
        commands
            As for `corpus.commands.make_commands`.
        outside : sequence of str
            Words and phrases that are no commands although they sound like some: hanzi, pinyin or
            English. Those that a command says too are left out.
        penalty : float
            Added to the cost of everything that is no command.
        near : int
            Near-sounding fillers to make up for each command of a list that is not too long.
        path : path, optional
            Of the command list, for the error lines.

        Raises
        ------
        UserError
            naming every command that is wrong, comes twice or cannot be said.
        """
        found = build_commands(commands, self._lang, self._model.transitions, self._model.tree,
                               self._options, path)
        lang, known = found.lang, found.commands
        texts = {command.text for command in known.values()}
        if near and len(known) <= MOST_WITH_FILLERS:
            outside = [*outside, *self._near(list(known.values()), lang, near)]
        others = [tuple(text.split()) for text in dict.fromkeys(outside) if text not in texts]
        # Words that were looked up once are known from then on.
        self._lang = lang = with_words(lang, {word for words in others for word in words})
        graphs = [found.graph, self._loop, self._silence]
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

    def _near(self, commands: list[Command], lang: Lang, count: int) -> list[str]:
        """Return near-sounding fillers, and warn of commands that sound alike."""
        words = {lang.words[word] for command in commands for word in command.words}
        spoken = spoken_commands(commands, lexicon_of(replace(
            lang, pronunciations={word: lang.pronunciations[word] for word in words})))
        said = {pron for command in spoken for pron in command.pronunciations}
        if not all(phone in self._source.distances.index for pron in said for phone in pron):
            return []
        for pair in near_pairs(spoken, self._source.distances):
            if pair.distance > 0:  # `build_commands` has warned of the others
                logger.warning("%s", pair.warning())
        fillers: list[str] = []
        for command in spoken:
            if command.text not in self._suggested:
                self._suggested[command.text] = self._fillers(command, spoken, count)
            # A command that was added since may be what an earlier one suggested as a filler.
            fillers += [filler.text for filler in self._suggested[command.text]
                        if filler.phones not in said]
        return fillers

    def _fillers(self, command: SpokenCommand, commands: list[SpokenCommand],
                 count: int) -> list[Suggestion]:
        return suggest(command, commands, self._source,
                       FillerOptions(per_command=count, made_up=(count + 1) // 2,
                                     dictionaries=False))

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
