"""Owns the grammar of a command list: commands, and all that may be said in their place.

A grammar never changes, so that threads may share it; `grammar_maker` makes the next one.
"""

from collections.abc import Collection
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from hybridasr.confidence.decoded import Decoded
from hybridasr.confidence.fillers import ListFillers
from hybridasr.confidence.verify import TOO_SHORT, Verifier
from hybridasr.corpus.command_list import Command
from hybridasr.decode.latgen import LatticeOptions, decode_lattice
from hybridasr.decode.search import SearchOptions, search
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
        Seconds.
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

    def decode(self, loglikes: np.ndarray, levels: np.ndarray, options: SearchOptions,
               nbest: int = 0) -> Decoded:
        """Decode one utterance.

        Parameters
        ----------
        loglikes : float32 (num_frames, num_pdfs)
        levels : float64 (num_frames,)
            How loud the frames are (`features.pipeline.Frames`).
        options : SearchOptions
            With the acoustic scale of the model.
        nbest : int
            Does nothing here: other commands within the beam are always in the decision.
        """
        del nbest
        if len(loglikes) == 0:
            return self.empty(TOO_SHORT, False)
        # Two searches: what is said as a command, and what is said as anything else.
        scores = self.verifier.units.scores(loglikes)
        filler = search(self.filler, self.filler_pdfs, scores, options)
        best = decode_lattice(self.graph, self.graph_pdfs, scores, options,
                              LatticeOptions(self.verifier.beam))
        # A path that reaches no end is no command, and no filler.
        path, lattice = best if best is not None and best[0].complete else (None, None)
        if filler is not None and not filler.complete:
            filler = None
        if path is None and filler is None:
            return self.empty(TOO_SHORT, False)
        decision = self.verifier.decide(self.phrases, self.lang, lattice, filler, scores, levels,
                                        options.acoustic_scale)
        times = [(self.lang.word_name(word.label), word.begin * self.frame_shift,
                  word.end * self.frame_shift) for word in decision.words]
        # The path of what is taken for no command is the filler's: a speaker does not adapt to it.
        if decision.command is None or not decision.accepted:
            return Decoded([], times, filler is not None, filler, decision, decision.reason)
        return Decoded(list(decision.command.words), times, True, path, decision)

    def empty(self, reason: str, complete: bool) -> Decoded:
        """Return the result of an utterance in which there is nothing to search."""
        return Decoded([], [], complete, None, self.verifier.nothing(reason), reason)
