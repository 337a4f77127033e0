"""Owns the options of rescoring in recipes: the section [rescore]."""

from dataclasses import dataclass

from hybridasr.errors import UserError
from hybridasr.nnlm.lm_trainer import NnlmTrainOptions
from hybridasr.options import nested, option


@dataclass(frozen=True)
class RescoreOptions:
    """With which larger language models the lattices of a recipe's last network are rescored."""

    large_order: int = option(0, "longest n-gram of a model of the same texts, not pruned, whose "
                                 "costs take the place of the graph's; 0: nothing is rescored")
    lattice_beam: float = option(8.0, "alternatives worse than the best path by more than this "
                                      "are not in the lattices", needs="large_order")
    neural_order: int = option(0, "mix a neural model in, to which histories with the same last "
                                  "words, one fewer, are one; 0: none", needs="large_order")
    neural_beam: float = option(4.0, "leave out before what is so much worse than the best path",
                                needs="neural_order")
    neural: NnlmTrainOptions = nested(NnlmTrainOptions, epochs=6)

    def __post_init__(self):
        if not 0 <= self.large_order <= 6:
            raise UserError(f"option large_order is {self.large_order}; give 0 to 6")
        if self.neural_order < 0 or self.neural_order == 1:
            raise UserError(f"option neural_order is {self.neural_order}; give 0, or 2 or more")
        for name in ("lattice_beam", "neural_beam"):
            if not getattr(self, name) > 0:
                raise UserError(f"option {name} is {getattr(self, name)}; give more than 0")
