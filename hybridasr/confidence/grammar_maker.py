"""Owns the making of command grammars: commands, fillers and silence in parallel.

Built at run time from the model's lexicon, tree and transition model, so that commands may change
at any time without training anything.
"""

import itertools
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from hybridasr.confidence.calibration import Calibration
from hybridasr.confidence.command_grammar import CommandGrammar, RejectOptions
from hybridasr.confidence.confusion import Confusions, table_distances
from hybridasr.confidence.filler_candidates import FillerOptions, FillerSource
from hybridasr.confidence.fillers import ListFillers, suggest_for_list
from hybridasr.confidence.near import near_pairs
from hybridasr.confidence.spoken import MAX_PRONUNCIATIONS, Phones, lexicon_of, spoken_commands
from hybridasr.confidence.verify import Verifier
from hybridasr.corpus.command_list import Command, Item
from hybridasr.decode.search import SearchOptions, search
from hybridasr.decode.words import phone_segments
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.graph.command_graph import Phrase, command_graph
from hybridasr.graph.command_set import build_commands
from hybridasr.graph.filler import (
    FILLER_WORD,
    GARBAGE,
    SPOKEN_NOISE,
    FillerUnits,
    filler_graph,
    filler_units,
    join_graphs,
    silence_graph,
    surround_graph,
    unit_bigram,
)
from hybridasr.graph.self_loops import GraphOptions
from hybridasr.lexicon.extend import with_words
from hybridasr.lexicon.langdir import Lang
from hybridasr.lexicon.lexicon import Lexicon
from hybridasr.lexicon.phones import base_phone
from hybridasr.model.acoustic import AcousticModel
from hybridasr.storage import PathLike

logger = logging.getLogger("hybridasr")
MOST_WITH_FILLERS = 200  # longer lists would wait for their fillers


class GrammarMaker:
    """Makes grammars for one model; what all of them share is made once.

    Nothing changes after that: threads may make grammars at the same time.

    Parameters
    ----------
    reject : RejectOptions, optional
    calibration : Calibration, optional
        Of the model; gives commands a probability.
    confusions : Confusions, optional
        Say which fillers sound near; by default the table of phones does.
    options : GraphOptions, optional
    lexicon : Lexicon, optional
        Pronunciations of words of commands and of the user's fillers; they win over all others.
    """

    def __init__(self, model: AcousticModel, reject: RejectOptions | None = None,
                 calibration: Calibration | None = None, confusions: Confusions | None = None,
                 options: GraphOptions | None = None, lexicon: Lexicon | None = None):
        self._model, self._confusions, self._lexicon = model, confusions, lexicon
        self._reject, self._options = reject or RejectOptions(), options or model.graph_options
        penalty = self._reject.filler_penalty
        if penalty is None:
            penalty = calibration.filler_penalty if calibration else 0.0
        # A GMM does not know how often its senones are used; all count equally then.
        priors = model.nnet.log_priors if model.nnet is not None else None
        self.units: FillerUnits = filler_units(model.lang, model.transitions, priors,
                                                model.noise_pdf)
        others = [*model.lang.silence_phones, *self.units.names]
        self.verifier = Verifier(self.units, others, model.durations, calibration,
                                 self._reject.threshold, penalty, self._reject.reject_beam)
        costs = self.units.transitions.scaled_costs(self._options.transition_scale,
                                                    self._options.self_loop_scale)
        filler = max(model.lang.words.values()) + 1
        # The whole loop is one word, whatever is said.
        self._lang = replace(model.lang, words={**model.lang.words, FILLER_WORD: filler})
        self._loop = filler_graph(model.lang, self.units, model.tree,
                                  unit_bigram(model.lang, self.units), filler, costs)
        self._silence = silence_graph(model.lang, self.units.transitions, model.tree, costs)
        self._loop_pdfs = self.units.transitions.tid_pdf[self._loop.ilabel]

    def make(self, commands: Iterable[Item], fillers: Sequence[str] = (),
             path: PathLike | None = None, previous: CommandGrammar | None = None
             ) -> CommandGrammar:
        """Build the grammar of a command list.

        Parameters
        ----------
        commands
            As for `corpus.command_list.make_commands`.
        fillers : sequence of str
            Words and phrases that are no commands although they sound like some: hanzi, pinyin or
            English. Those that a command says too are left out. Beside them, near-sounding ones
            are made up for each command of a list that is not too long.
        path : path, optional
            Of the command list, for the error lines.
        previous : CommandGrammar, optional
            Of the same maker: what still holds is not made again. The result is the same.

        Raises
        ------
        UserError
            naming every command that is wrong, comes twice or cannot be said.
        """
        filler_lang = self._lang if previous is None else previous.filler_lang
        listed = build_commands(commands, filler_lang, self._model.transitions, self._model.tree,
                                self._options, path, self._lexicon)
        near = None
        if self._reject.near_fillers and len(listed.commands) <= MOST_WITH_FILLERS:
            near = self._near(list(listed.commands.values()), listed.lang,
                              previous.near_fillers if previous else None)
        near_texts = [] if near is None else [filler.text for filler in near.fillers]
        # Words of fillers that were made up are looked up once. How a word of the user's is read
        # depends on the list, so that it is looked up again.
        filler_lang = with_words(filler_lang, _words(near_texts))
        texts = [*fillers, *near_texts]
        lang = with_words(listed.lang, _words(fillers), self._lexicon)
        lang = with_words(lang, _words(near_texts))
        # All that is no command, in parallel; the commands are searched apart.
        graphs = [self._loop, self._silence]
        outside = _outside(texts, listed.commands, lang)
        if outside:
            lang, phrases = _marked(lang, outside)
            graphs.append(self._placed(command_graph(phrases, lang, self._model.transitions,
                                                     self._model.tree, self._options)))
        graph, filler = self._placed(listed.graph), join_graphs(graphs)
        pdfs = self.units.transitions.tid_pdf
        return CommandGrammar(
            listed.commands, tuple(fillers), lang, graph, pdfs[graph.ilabel], filler,
            pdfs[filler.ilabel], self.verifier, self._model.frame_shift, near,
            filler_lang)

    def _placed(self, graph: DecodingGraph) -> DecodingGraph:
        """Return a graph of phrases as they may stand in an utterance."""
        return surround_graph(graph, self._loop) if self._reject.anywhere else graph

    def phones(self, loglikes: np.ndarray, options: SearchOptions) -> list[str]:
        """Recognise the phones of an utterance, by the loop of the filler alone.

        Parameters
        ----------
        loglikes : float32 (num_frames, num_pdfs)
        """
        path = search(self._loop, self._loop_pdfs, self.units.scores(loglikes), options)
        if path is None:
            return []
        names = [self.units.names.get(segment.label) for segment
                 in phone_segments(path.transition_ids, self.units.transitions)]
        return [name for name in names if name not in (None, GARBAGE, SPOKEN_NOISE)]

    @cached_property
    def filler_source(self) -> FillerSource:
        """What near-sounding fillers are made of: the model's words and phones."""
        own = lexicon_of(self._model.lang)
        phones = tuple(sorted(own.phones))
        distances = (self._confusions.distances(phones) if self._confusions
                     else table_distances(phones))
        return FillerSource(distances, phones, own, False)

    def _near(self, commands: list[Command], lang: Lang, previous: ListFillers | None
              ) -> ListFillers | None:
        """Return near-sounding fillers, and warn of commands that sound alike."""
        words = {lang.words[word] for command in commands for word in command.words}
        spoken = spoken_commands(commands, lexicon_of(replace(
            lang, pronunciations={word: lang.pronunciations[word] for word in words})))
        distances = self.filler_source.distances
        prons = {pron for command in spoken for pron in command.pronunciations}
        if not all(phone in distances.index for pron in prons for phone in pron):
            return None
        for pair in near_pairs(spoken, distances):
            if pair.distance > 0:  # `build_commands` has warned of the others
                logger.warning("%s", pair.warning())
        count = self._reject.near_fillers
        options = FillerOptions(per_command=count, made_up=(count + 1) // 2, dictionaries=False)
        return suggest_for_list(spoken, self.filler_source, options, previous)


def _outside(texts: Iterable[str], commands: Iterable[Phrase], lang: Lang
             ) -> list[tuple[str, ...]]:
    """Return the words of each different text that no command says."""
    # By sound: a command in hanzi may be a filler in pinyin.
    said = {sound for phrase in commands for sound in _sounds(phrase, lang)}
    return [words for words in dict.fromkeys(tuple(text.split()) for text in texts)
            if words and said.isdisjoint(_sounds([lang.words[word] for word in words], lang))]


def _words(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in text.split()}


def _sounds(words: Iterable[int], lang: Lang) -> set[Phones]:
    """Return the ways to say words one after another."""
    choices = [[tuple(base_phone(lang.phone_name(phone)) for phone in phones)
                for _, phones in lang.pronunciations[word]] for word in words]
    ways = itertools.islice(itertools.product(*choices), MAX_PRONUNCIATIONS)
    return {tuple(itertools.chain.from_iterable(way)) for way in ways}


def _marked(lang: Lang, phrases: Sequence[tuple[str, ...]]) -> tuple[Lang, list[Phrase]]:
    """Give the words of fillers ids of their own: a command may begin with the same word."""
    words, pronunciations = dict(lang.words), dict(lang.pronunciations)
    first = 1 + max(words.values())
    for number, word in enumerate(sorted({word for phrase in phrases for word in phrase}), first):
        words[f"<filler:{word}>"] = number
        pronunciations[number] = pronunciations[lang.words[word]]
    marked = [tuple(words[f"<filler:{word}>"] for word in phrase) for phrase in phrases]
    return replace(lang, words=words, pronunciations=pronunciations), marked
