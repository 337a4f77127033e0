"""Owns the grammar of a command list: commands, fillers and silence in parallel.

Built at run time from the model's lexicon, tree and transition model, so that commands may change
at any time without training anything.
"""

import itertools
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hybridasr.confidence.confusion import Confusions, table_distances
from hybridasr.confidence.near import FillerCache, FillerOptions, FillerSource, near_pairs
from hybridasr.confidence.spoken import MAX_PRONUNCIATIONS, Phones, lexicon_of, spoken_commands
from hybridasr.corpus.command_list import Command, Item
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
from hybridasr.lexicon.extend import with_words
from hybridasr.lexicon.langdir import Lang, base_phone
from hybridasr.model.acoustic import AcousticModel
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
    reject_beam: float = option(10.0, "commands worse than the best by more than this are not "
                                      "compared with it")
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
    graph, filler : DecodingGraph
        One of the commands; everything else. They are searched apart, so that neither falls out
        of the other's beam.
    graph_pdfs, filler_pdfs : int32 (num_arcs,)
        Columns of `FillerUnits.scores`.
    penalty : float
        Added to the cost of everything that is no command.
    """

    commands: dict[tuple[int, ...], Command]
    lang: Lang
    graph: DecodingGraph
    graph_pdfs: np.ndarray
    filler: DecodingGraph
    filler_pdfs: np.ndarray
    penalty: float

    @cached_property
    def ids(self) -> dict[tuple[int, ...], str]:
        """The id of each command."""
        return {words: command.id for words, command in self.commands.items()}


class GrammarMaker:
    """Makes grammars for one model; what all of them share is made once."""

    def __init__(self, model: AcousticModel, options: GraphOptions | None = None,
                 confusions: Confusions | None = None):
        self._model = model
        self._confusions = confusions
        self._options = options or model.graph_options
        priors = model.nnet.log_priors if model.nnet is not None else None
        self.units: FillerUnits = filler_units(model.lang, model.transitions, priors)
        costs = self.units.transitions.scaled_costs(self._options.transition_scale,
                                                    self._options.self_loop_scale)
        self._cache: FillerCache | None = None
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
        distances = (self._confusions.distances(phones) if self._confusions
                     else table_distances(phones))
        return FillerSource(distances, phones, own, False)

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
        known = found.commands
        made_up = []
        if near and len(known) <= MOST_WITH_FILLERS:
            made_up = self._near(list(known.values()), found.lang, near)
            # Looked up once, they are known from then on. How a word of the user's is read
            # depends on the list.
            self._lang = with_words(self._lang, _words(made_up))
        others = [*outside, *made_up]
        lang = with_words(found.lang, _words(others))
        said = {sound for phrase in known for sound in _sounds(phrase, lang)}
        others = [words for words in dict.fromkeys(tuple(text.split()) for text in others)
                  if words and said.isdisjoint(_sounds([lang.words[w] for w in words], lang))]
        graphs = [self._loop, self._silence]
        if others:
            lang, marked = _marked(lang, others)
            graphs.append(self._graph(marked, lang))
        filler = join_graphs(graphs)
        pdfs = self.units.transitions.tid_pdf
        return CommandGrammar(known, lang, found.graph, pdfs[found.graph.ilabel], filler,
                              pdfs[filler.ilabel], penalty)

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
        options = FillerOptions(per_command=count, made_up=(count + 1) // 2, dictionaries=False)
        if self._cache is None or self._cache.options != options:
            self._cache = FillerCache(self._source, options)
        return [filler.text for filler in self._cache.suggest(spoken)]

    def _graph(self, phrases, lang: Lang) -> DecodingGraph:
        return command_graph(phrases, lang, self._model.transitions, self._model.tree,
                             self._options)


def _words(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in text.split()}


def _sounds(words: Iterable[int], lang: Lang) -> set[Phones]:
    """Return the ways to say words one after another."""
    choices = [[tuple(base_phone(lang.phone_name(phone)) for phone in phones)
                for _, phones in lang.pronunciations[word]] for word in words]
    ways = itertools.islice(itertools.product(*choices), MAX_PRONUNCIATIONS)
    return {tuple(itertools.chain.from_iterable(way)) for way in ways}


def _marked(lang: Lang, phrases: Sequence[tuple[str, ...]]
            ) -> tuple[Lang, list[tuple[int, ...]]]:
    """Give the words of fillers ids of their own: a command may begin with the same word."""
    words, pronunciations = dict(lang.words), dict(lang.pronunciations)
    first = 1 + max(words.values())
    for number, word in enumerate(sorted({word for phrase in phrases for word in phrase}), first):
        words[f"<filler:{word}>"] = number
        pronunciations[number] = pronunciations[lang.words[word]]
    marked = [tuple(words[f"<filler:{word}>"] for word in phrase) for phrase in phrases]
    return replace(lang, words=words, pronunciations=pronunciations), marked
