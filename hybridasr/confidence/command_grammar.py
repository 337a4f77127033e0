"""Owns the grammar of a command list: commands, and all that may be said in their place.

A grammar never changes, so that threads may share it; `grammar_maker` makes the next one.
"""

from collections.abc import Collection
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from hybridasr.confidence.decoded import Decoded, GrammarSearch
from hybridasr.confidence.fillers import ListFillers
from hybridasr.confidence.verify import TOO_SHORT, Verifier
from hybridasr.corpus.command_list import Command
from hybridasr.decode.latgen import LatticeOptions, finish_lattice
from hybridasr.decode.search import BestPath, Ending, Search, SearchOptions
from hybridasr.decode.words import phone_segments, word_segments
from hybridasr.errors import UserError
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.graph.command_graph import Phrase
from hybridasr.lexicon.langdir import Lang
from hybridasr.options import option


@dataclass(frozen=True)
class RejectOptions:
    """How words outside the command list are taken up."""

    filler_penalty: float | None = option(None, "added to the cost of everything that is no "
                                          "command: higher accepts more; none: the model's own")
    near_fillers: int = option(5, "near-sounding fillers for each command of a list of up to 200")
    reject_beam: float = option(10.0, "commands worse than the best by more than this are not "
                                      "compared with it")
    anywhere: bool = option(False, "a command counts in the middle of other speech too, not only "
                                   "with silence around it")
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


def refuse_without_commands(reject: RejectOptions | None, fillers: Collection[str] = (),
                            lexicon: bool = False) -> None:
    """Refuse what only a command list can use, where there is none.

    Raises
    ------
    UserError
        naming each option that is not at its default, the fillers and, if one is given, the
        lexicon.

    Examples
    --------
    >>> refuse_without_commands(RejectOptions())
    >>> refuse_without_commands(RejectOptions(threshold=0.8))
    Traceback (most recent call last):
        ...
    hybridasr.errors.UserError: threshold is for command lists, and no commands are given; give \
--commands FILE (in Python commands=), or leave it out
    """
    default = RejectOptions()
    names = [field.name.replace("_", "-") for field in fields(RejectOptions)
             if getattr(reject or default, field.name) != getattr(default, field.name)]
    # They are no options, but as useless without commands.
    names += ["fillers"] if fillers else []
    names += ["lexicon"] if lexicon else []
    if names:
        raise UserError(f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} for command "
                        "lists, and no commands are given; give --commands FILE (in Python "
                        f"commands=), or leave {'it' if len(names) == 1 else 'them'} out")


@dataclass(frozen=True, eq=False)
class CommandGrammar:
    """A command list ready for the search.

    Attributes
    ----------
    phrases : dict word ids -> Command
    fillers : tuple of str
        Words and phrases that are no commands, as the user gave them.
    lang : Lang
        The model's, with the words of commands and fillers.
    graph, filler : DecodingGraph
        One of the commands; everything else. They are searched apart, so that neither falls out
        of the other's beam.
    graph_pdfs, filler_pdfs : int32 (num_arcs,)
        Columns of `FillerUnits.scores`.
    verifier : Verifier
    frame_shift : float
        Seconds of a frame of paths (`AcousticModel.frame_shift`).
    near_fillers, filler_lang : ListFillers or None, Lang
        The fillers that were made up, and the model's lang with their words: the grammar of a
        list that differs little is made faster from them.
    """

    phrases: dict[Phrase, Command]
    fillers: tuple[str, ...]
    lang: Lang
    graph: DecodingGraph
    graph_pdfs: np.ndarray
    filler: DecodingGraph
    filler_pdfs: np.ndarray
    verifier: Verifier
    frame_shift: float
    near_fillers: ListFillers | None
    filler_lang: Lang

    @cached_property
    def commands(self) -> tuple[Command, ...]:
        """The commands in the order of the list."""
        return tuple(self.phrases.values())

    @cached_property
    def silent(self) -> tuple[np.ndarray, np.ndarray]:
        """Which arcs of the graph of the commands, and of the filler, read silence."""
        phones = self.verifier.units.transitions.tid_phone
        silence = self.lang.silence_phones
        return (np.isin(phones[self.graph.ilabel], silence),
                np.isin(phones[self.filler.ilabel], silence))

    def begin(self, options: SearchOptions, nbest: int = 0) -> GrammarSearch:
        """Begin an utterance.

        Parameters
        ----------
        options : SearchOptions
            With the acoustic scale of the model.
        nbest : int
            Does nothing here: other commands within the beam are always in the decision.
        """
        del nbest
        return _CommandSearch(self, options)

    def empty(self, reason: str, complete: bool) -> Decoded:
        """Return the result of an utterance in which there is nothing to search."""
        return Decoded([], [], complete, None, self.verifier.nothing(reason), reason)


class _CommandSearch:
    """Two searches: what is said as a command, and what is said as anything else."""

    def __init__(self, grammar: CommandGrammar, options: SearchOptions):
        self._grammar, self._options = grammar, options
        self._lattice = LatticeOptions(grammar.verifier.beam)
        self._commands = Search(grammar.graph, grammar.graph_pdfs, options,
                                lattice_beam=grammar.verifier.beam)
        self._filler = Search(grammar.filler, grammar.filler_pdfs, options)
        self._scores: list[np.ndarray] = []  # of all frames: the decision weighs them again

    def accept(self, loglikes: np.ndarray) -> None:
        if len(loglikes) == 0:
            return
        scores = self._grammar.verifier.units.scores(loglikes)
        self._commands.advance(scores)
        self._filler.advance(scores)
        self._scores.append(scores)

    def partial(self) -> list[str]:
        path = self._command()
        return [] if path is None else [self._grammar.lang.word_name(word)
                                        for word in path.words.tolist()]

    def partial_times(self) -> list[tuple[str, float, float]]:
        path, grammar = self._command(), self._grammar
        if path is None:
            return []
        phones = phone_segments(path.transition_ids, grammar.verifier.units.transitions)
        # What is said around a command is no phone of it.
        own = [phone for phone in phones if phone.label not in grammar.verifier.units.names]
        return [(grammar.lang.word_name(word.label), word.begin * grammar.frame_shift,
                 word.end * grammar.frame_shift)
                for word in word_segments(own, path.words.tolist(), grammar.lang)]

    def _command(self) -> BestPath | None:
        """Return the best path of the commands so far, if nothing else is likelier."""
        path, filler = self._commands.partial(), self._filler.partial()
        if path is None or (filler is not None and filler.total_cost
                            + self._grammar.verifier.penalty <= path.total_cost):
            return None
        return path

    def ending(self) -> Ending:
        command, filler = (search.ending(silent) for search, silent in zip(
            (self._commands, self._filler), self._grammar.silent, strict=True))
        penalty = self._grammar.verifier.penalty
        best = command if command.cost < filler.cost + penalty else filler
        # As of one graph that holds both.
        return Ending(best.frames, best.silence, min(command.cost, filler.cost + penalty),
                      min(command.final_cost, filler.final_cost + penalty))

    def finish(self, levels: np.ndarray) -> Decoded:
        grammar = self._grammar
        if not self._scores:
            return grammar.empty(TOO_SHORT, False)
        filler = _complete(self._filler.finish()[0])
        best = finish_lattice(self._commands, grammar.graph, self._options, self._lattice)
        path, lattice = best if best is not None and best[0].complete else (None, None)
        if path is None and filler is None:
            return grammar.empty(TOO_SHORT, False)
        decision = grammar.verifier.decide(
            grammar.phrases, grammar.lang, lattice, filler, np.concatenate(self._scores), levels,
            self._options.acoustic_scale)
        shift = grammar.frame_shift
        times = [(grammar.lang.word_name(word.label), word.begin * shift, word.end * shift)
                 for word in decision.words]
        # The path of what is taken for no command is the filler's: a speaker does not adapt to it.
        if decision.command is None or not decision.accepted:
            return Decoded([], times, filler is not None, filler, decision, decision.reason)
        return Decoded(list(decision.command.words), times, True, path, decision)


def _complete(path: BestPath | None) -> BestPath | None:
    """Return the path; None of one that reaches no end, which is no filler."""
    return path if path is not None and path.complete else None
