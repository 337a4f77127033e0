"""Owns the denominator graph of lattice-free MMI: every phone sequence, as arrays over pdfs.

Takes a phone language model and a tree; gives states and weighted arcs that the forward-backward
kernels (`chain.den_loss`) run over. A state stands for a history of the language model together
with the phone that led there: it is entered with the pdf of that phone's first output and stays
with the pdf of its later ones. So the arcs are those of the language model, one self-loop a state
comes without an arc, and nothing is duplicated (Kaldi's DenominatorGraph has the same paths).
Transition probabilities of the HMM are left out, being the same for each output.
"""

from dataclasses import dataclass

import numpy as np

from hybridasr.chain.phone_lm import BOUNDARY, History, PhoneLm
from hybridasr.errors import UserError
from hybridasr.tree.tree import ContextTree

STEPS = 100  # outputs over which the initial probabilities are averaged, as in Kaldi
STAY = 0.5  # probability of a further output of the same phone, for the initial probabilities
LEAST_INITIAL = 1e-7  # of all states together: none is impossible at the start of a chunk


@dataclass(frozen=True)
class DenominatorGraph:
    """Which pdfs may follow one another, and how likely.

    Attributes
    ----------
    enter_pdf, loop_pdf : int32 (num_states,)
        Pdf of the output that enters a state, and of every later one that stays in it.
    loop : float32 (num_states,)
        1, or 0 for the start, in which nothing stays.
    in_offsets, in_source, in_weight : int32 (num_states + 1,), int32, float32 (num_arcs,)
        Arcs by the state that they lead to.
    out_offsets, out_target, out_weight
        The same arcs by the state that they leave.
    initial : float64 (num_states,)
        Probability that a chunk begins in a state; sums to one.
    num_pdfs : int
    """

    enter_pdf: np.ndarray
    loop_pdf: np.ndarray
    loop: np.ndarray
    in_offsets: np.ndarray
    in_source: np.ndarray
    in_weight: np.ndarray
    out_offsets: np.ndarray
    out_target: np.ndarray
    out_weight: np.ndarray
    initial: np.ndarray
    num_pdfs: int

    @property
    def num_states(self) -> int:
        """Number of states."""
        return len(self.loop)

    @property
    def num_arcs(self) -> int:
        """Number of arcs, self-loops not counted."""
        return len(self.in_source)


@dataclass(frozen=True)
class PhonePath:
    """The way of one phone sequence through a denominator graph.

    Attributes
    ----------
    states : int32 (num_phones + 1,)
        State before the first phone, and that of each phone.
    log_weights : float64 (num_phones,)
        Of the arc that leads to each phone's state.
    """

    states: np.ndarray
    log_weights: np.ndarray


class PhoneGraph:
    """A phone language model in the context of a tree: states by history and pdfs."""

    def __init__(self, lm: PhoneLm, tree: ContextTree):
        if tree.context_width > 2 or tree.central_position != tree.context_width - 1:
            raise UserError(f"a tree with windows of {tree.context_width} phones, the phone itself "
                            f"at {tree.central_position}; grow one with context width 1 or 2")
        self._lm, self._tree = lm, tree
        self._pdfs: dict[tuple[int, int], tuple[int, int]] = {}
        # The key of the start has no pdfs: no phone has led there.
        self._numbers: dict[tuple[History, int, int], int] = {(lm.start, -1, -1): 0}
        self._next: dict[tuple[int, int], tuple[int, float]] = {}
        queue = list(self._numbers)
        for source, (history, _, _) in enumerate(queue):
            for arc in lm.arcs[history]:
                key = (arc.target, *self._pdfs_of(history[-1], arc.phone))
                if key not in self._numbers:
                    self._numbers[key] = len(self._numbers)
                    queue.append(key)
                self._next[source, arc.phone] = self._numbers[key], arc.probability

    def denominator(self) -> DenominatorGraph:
        """Return the arrays."""
        keys = list(self._numbers)
        num_states = len(keys)
        source = np.array([state for state, _ in self._next], np.int64)
        target = np.array([state for state, _ in self._next.values()], np.int64)
        weight = np.array([probability for _, probability in self._next.values()])
        loop = np.array([enter >= 0 for _, enter, _ in keys], np.float32)
        into, out = np.argsort(target, kind="stable"), np.argsort(source, kind="stable")
        return DenominatorGraph(
            # The start has no arcs in and no loop: its pdfs have no effect, 0 is as good as any.
            np.array([max(enter, 0) for _, enter, _ in keys], np.int32),
            np.array([max(later, 0) for _, _, later in keys], np.int32), loop,
            _offsets(target, num_states), source[into].astype(np.int32),
            weight[into].astype(np.float32),
            _offsets(source, num_states), target[out].astype(np.int32),
            weight[out].astype(np.float32),
            _initial(source, target, weight, loop), self._tree.num_pdfs)

    def path(self, phones: tuple[int, ...]) -> PhonePath | None:
        """Return the way of a phone sequence from the start; None if there is none."""
        states, weights = [0], []
        for phone in phones:
            step = self._next.get((states[-1], phone))
            if step is None:
                return None
            states.append(step[0])
            weights.append(step[1])
        return PhonePath(np.array(states, np.int32), np.log(np.array(weights, np.float64)))

    def _pdfs_of(self, left: int, phone: int) -> tuple[int, int]:
        left = left if self._tree.context_width == 2 else BOUNDARY
        if (left, phone) not in self._pdfs:
            window = (left, phone)[-self._tree.context_width:]
            self._pdfs[left, phone] = self._tree.pdf(window, 0), self._tree.pdf(window, 1)
        return self._pdfs[left, phone]


def _offsets(states: np.ndarray, num_states: int) -> np.ndarray:
    counts = np.bincount(states, minlength=num_states)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)


def _initial(source: np.ndarray, target: np.ndarray, weight: np.ndarray, loop: np.ndarray
             ) -> np.ndarray:
    """Return how likely each state is, averaged over the first outputs of an utterance."""
    num_states = len(loop)
    stay = STAY * loop.astype(np.float64)
    now = np.eye(1, num_states)[0]
    total = np.zeros(num_states)
    for _ in range(STEPS):
        total += now
        moved = now[source] * weight * (1.0 - stay)[source]
        now = now * stay + np.bincount(target, moved, num_states)
        # The end of the utterance takes some away.
        now /= now.sum()
    return (1.0 - LEAST_INITIAL) * total / total.sum() + LEAST_INITIAL / num_states
