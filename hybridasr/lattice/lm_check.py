"""Owns a check of lattices: whether their graph costs can hold a language model's costs.

What is left of a path's graph cost without the costs of its words are those of transitions,
pronunciations and silences: never below 0, and nearly the same for all good paths of one lattice.
So the model is another one if more is taken out than there is, or if a path of a lattice whose
words cost more by one does not cost more by one: the slope of the regression of graph costs on
the model's costs, within lattices, is not 1. A model that is much like the right one passes.
"""

import math

import numpy as np

from hybridasr.lattice.lattice import CompactLattice
from hybridasr.lattice.lm_rescore import LmCosts
from hybridasr.lattice.paths import n_best

PATHS = 5  # of a lattice
MOST_LATTICES = 50  # more would tell no more
LEAST_LATTICES = 5
LEAST_PATHS = 20  # beside the best ones
SLOPE_ERROR = 0.2  # that transitions and the choice of the best paths may make
SIGMAS = 3  # standard errors that chance may make
TOLERANCE = 0.02  # of the model's cost, for the rounding and pruning of grammars


class LmCheck:
    """Collects what lattices say about one model.

    Parameters
    ----------
    model : LmCosts
    acoustic_scale, lm_scale, word_ins_penalty : float
        Of the search.
    """

    def __init__(self, model: LmCosts, acoustic_scale: float, lm_scale: float = 1.0,
                 word_ins_penalty: float = 0.0):
        self._model, self._acoustic_scale = model, acoustic_scale
        self._lm_scale, self._penalty = lm_scale, word_ins_penalty
        self._lattices = self._below = self._paths = 0
        self._squares = np.zeros((2, 2))  # of the graph and the model's costs, from their means

    def add(self, lattice: CompactLattice) -> None:
        """Look at the best paths of a lattice."""
        if self._lattices >= MOST_LATTICES:
            return
        paths = n_best(lattice, PATHS, self._acoustic_scale)
        graph = np.array([path.graph_cost - self._penalty * len(path.words) for path in paths])
        words = np.array([self._lm_scale * self._cost(path.words) for path in paths])
        if not len(paths) or not np.isfinite(words).all():
            return
        self._lattices += 1
        self._below += graph[0] < words[0] - TOLERANCE * abs(words[0])
        self._paths += len(paths) - 1
        both = np.stack([graph, words])
        both -= both.mean(axis=1, keepdims=True)
        self._squares += both @ both.T

    @property
    def doubtful(self) -> bool:
        """Whether the costs are rather those of another model."""
        if self._lattices >= LEAST_LATTICES and self._below > self._lattices / 2:
            return True
        (graph, both), (_, words) = self._squares
        if self._paths < LEAST_PATHS or not words > 0:
            return False
        slope = both / words
        error = math.sqrt(max(0.0, graph - slope * both) / (words * self._paths))
        return bool(abs(slope - 1) > SLOPE_ERROR + SIGMAS * error)

    def _cost(self, words: tuple[int, ...]) -> float:
        state, total = self._model.start, 0.0
        for word in words:
            state, cost = self._model.step(state, word)
            total += cost
        end = self._model.end(state)
        # A partial path has no end.
        return total + (end if end < math.inf else 0.0)
