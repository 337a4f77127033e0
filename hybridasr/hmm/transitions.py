"""Owns the transition model: transition-states, transition-ids and their probabilities.

Takes a topology and the (phone, HMM state, pdf) tuples that a tree allows; numbers both
transition-states and transition-ids from 1, as Kaldi does (transition-model.h), so that 0 stays
free for epsilon and alignments compare id by id.
"""

from collections.abc import Iterable

import numpy as np

from hybridasr.hmm.topology import Topology

# Kaldi's MleTransitionUpdateConfig: no transition below this, no update on fewer counts.
PROBABILITY_FLOOR = 0.01
MIN_COUNT = 5.0
IMPOSSIBLE = -1e5  # log probability of a transition that no graph has


class TransitionModel:
    """Transition-ids of every (phone, HMM state, pdf) and their log probabilities.

    Attributes
    ----------
    tuples : int32 (num_states, 3)
        Phone, HMM state and pdf of each transition-state, sorted; row 0 is transition-state 1.
    first_tid : int32 (num_states + 1,)
        First transition-id of each transition-state; the last entry is one past the end.
    tid_state, tid_pdf, tid_phone, tid_hmm_state, tid_pdf_class, tid_next : int32 (num_tids + 1,)
        By transition-id; entry 0 is unused (tid_pdf[0] is -1).
    tid_is_self_loop, tid_is_final : bool (num_tids + 1,)
        Whether the id stays in its state / leaves the phone.
    log_probs : float32 (num_tids + 1,)
    """

    def __init__(self, topology: Topology, tuples: Iterable[tuple[int, int, int]],
                 log_probs: np.ndarray | None = None):
        self.topology = topology
        self.tuples = np.array(sorted(set(tuples)), np.int32).reshape(-1, 3)
        self._state_of = {tuple(row): i + 1 for i, row in enumerate(self.tuples.tolist())}
        first, rows, initial = [1], [(0, -1, 0, 0, 0, 0, False, False)], [0.0]
        for number, (phone, hmm_state, pdf) in enumerate(self.tuples.tolist(), 1):
            entry = topology.for_phone(phone)
            state = entry.states[hmm_state]
            for target, probability in state.transitions:
                rows.append((number, pdf, phone, hmm_state, state.pdf_class, target,
                             target == hmm_state, entry.states[target].pdf_class < 0))
                initial.append(np.log(probability))
            first.append(len(rows))
        columns = list(zip(*rows, strict=True))
        (self.tid_state, self.tid_pdf, self.tid_phone, self.tid_hmm_state, self.tid_pdf_class,
         self.tid_next) = (np.array(column, np.int32) for column in columns[:6])
        self.tid_is_self_loop, self.tid_is_final = (np.array(c, bool) for c in columns[6:])
        self.first_tid = np.array(first, np.int32)
        self.log_probs = np.array(initial if log_probs is None else log_probs, np.float32)

    @property
    def num_tids(self) -> int:
        """Number of transition-ids; the largest of them."""
        return len(self.log_probs) - 1

    def is_possible(self, tid: int) -> bool:
        """Whether graphs have this transition."""
        return bool(self.log_probs[tid] > IMPOSSIBLE)

    @property
    def num_states(self) -> int:
        """Number of transition-states; the largest of them."""
        return len(self.tuples)

    @property
    def num_pdfs(self) -> int:
        """One more than the largest pdf."""
        return int(self.tuples[:, 2].max()) + 1

    def transition_state(self, phone: int, hmm_state: int, pdf: int) -> int:
        """Return the transition-state, from 1; KeyError if the tree does not allow it."""
        return self._state_of[phone, hmm_state, pdf]

    def transition_id(self, tstate: int, arc: int) -> int:
        """Return the id of the `arc`-th transition (from 0) of the state in its topology."""
        return int(self.first_tid[tstate - 1]) + arc

    def tids(self, tstate: int) -> range:
        """Return every transition-id of a transition-state."""
        return range(self.first_tid[tstate - 1], self.first_tid[tstate])

    def self_loop(self, tstate: int) -> int:
        """Return the id of the state's self-loop, or 0 if it has none."""
        return next((tid for tid in self.tids(tstate) if self.tid_is_self_loop[tid]), 0)

    def non_self_loop_log_prob(self, tstate: int) -> float:
        """Return log(1 - P(self-loop)) of a transition-state."""
        return float(self._leave_log_probs()[tstate])

    def scaled_costs(self, transition_scale: float, self_loop_scale: float) -> np.ndarray:
        """Return each transition-id's cost in a graph, float32 (num_tids + 1,).

        Kaldi's AddTransitionProbs: a self-loop costs -s log P(self); another transition costs
        -t log(P / (1 - P(self))) - s log(1 - P(self)), with t and s the two scales.
        """
        leave = self._leave_log_probs()[self.tid_state]
        relative = np.where(self.tid_is_self_loop, 0.0, self.log_probs - leave)
        staying = np.where(self.tid_is_self_loop, self.log_probs, leave)
        costs = -(transition_scale * relative + self_loop_scale * staying)
        costs[0] = 0.0
        return costs.astype(np.float32)

    def phone_starts(self, transition_ids: np.ndarray) -> np.ndarray:
        """Return the frame in which each phone of a path begins, int64 (num_phones,).

        Self-loops follow the forward transition of their state: a phone lasts from its first
        forward transition to the last self-loop after its final transition.
        """
        forward = np.flatnonzero(~self.tid_is_self_loop[transition_ids])
        last_state = self.tid_is_final[transition_ids[forward]]
        return np.concatenate([forward[:1], forward[1:][last_state[:-1]]])

    def updated(self, counts: np.ndarray) -> "TransitionModel":
        """Return the maximum-likelihood model for transition-id counts, floored.

        Parameters
        ----------
        counts : float64 (num_tids + 1,)
            How often each transition-id was used.
        """
        log_probs = self.log_probs.copy()
        for start, end in zip(self.first_tid[:-1], self.first_tid[1:], strict=True):
            total = counts[start:end].sum()
            if end - start < 2 or total < MIN_COUNT:
                continue
            log_probs[start:end] = np.log(_floored(counts[start:end] / total))
        return TransitionModel(self.topology, map(tuple, self.tuples.tolist()), log_probs)

    def at_rate(self, every: int) -> "TransitionModel":
        """Return the model of paths that hold every `every`-th frame of this one's paths alone.

        Phones last 20 ms and more, and have three states: where a frame stands for 30 ms, states
        must be left out, or every phone would last 90. A phone's states are a Markov chain, and
        what it does in several frames are the powers of its matrix; the states get the transitions
        that these have. A phone begins in its first state nevertheless.

        Transition-ids are numbered anew; transition-states, and so pdfs, are the same.
        """
        if every == 1:
            return self
        topology = self.topology.at_rate(every)
        rows = {(phone, state): self._mean_row(phone, state) for phone, state in
                np.unique(self.tuples[:, :2], axis=0).tolist()}
        log_probs = [np.zeros(1)]
        for number, (phone, state, _) in enumerate(self.tuples.tolist(), 1):
            chain = self.topology.for_phone(phone).chain
            for other in range(len(chain) - 1):
                chain[other] = rows.get((phone, other), chain[other])
            own = self._row(number) @ np.linalg.matrix_power(chain, every - 1)
            targets = [to for to, _ in topology.for_phone(phone).states[state].transitions]
            log_probs.append(np.log(_floored(own[targets] / own[targets].sum())))
        return TransitionModel(topology, map(tuple, self.tuples.tolist()),
                               np.concatenate(log_probs))

    def _row(self, tstate: int) -> np.ndarray:
        """Return the probability of each HMM state after a frame in a transition-state."""
        phone = int(self.tuples[tstate - 1, 0])
        row, ids = np.zeros(len(self.topology.for_phone(phone).states)), list(self.tids(tstate))
        np.add.at(row, self.tid_next[ids], np.exp(self.log_probs[ids].astype(np.float64)))
        return row / row.sum()

    def _mean_row(self, phone: int, state: int) -> np.ndarray:
        numbers = np.flatnonzero((self.tuples[:, :2] == (phone, state)).all(axis=1)) + 1
        return np.mean([self._row(int(number)) for number in numbers], axis=0)

    def _leave_log_probs(self) -> np.ndarray:
        loops = np.zeros(self.num_states + 1)
        ids = np.flatnonzero(self.tid_is_self_loop)
        loops[self.tid_state[ids]] = np.exp(self.log_probs[ids].astype(np.float64))
        return np.log(np.maximum(1.0 - loops, 1e-20))  # a state that only loops never leaves


def _floored(probabilities: np.ndarray) -> np.ndarray:
    for _ in range(3):  # flooring and normalising settle in a few rounds
        probabilities = np.maximum(probabilities, PROBABILITY_FLOOR)
        probabilities /= probabilities.sum()
    return probabilities
