"""Owns the phone language model of lattice-free MMI: small, exact, without smoothing.

Takes sequences of phones; gives states (histories) with the relative frequencies of what follows
them. As Kaldi's chain-est-phone-lm (Povey et al. 2016, section 2.3): the model need not know
phones that never followed, so nothing is smoothed and no state backs off at run time; what keeps
it small is that most of the longest histories are forgotten, those first that say least.
"""

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hybridasr.errors import UserError
from hybridasr.options import option

BOUNDARY = 0  # before the first and behind the last phone
History = tuple[int, ...]


@dataclass(frozen=True)
class PhoneLmOptions:
    """Size of the phone language model (names and defaults of Kaldi's chain-est-phone-lm)."""

    ngram_order: int = option(4, "phones of the longest n-gram")
    no_prune_ngram_order: int = option(3, "up to this order every n-gram that was seen is kept")
    num_extra_lm_states: int = option(2000, "longer histories that are kept at most")

    def __post_init__(self):
        if not 2 <= self.no_prune_ngram_order <= self.ngram_order:
            raise UserError(f"no-prune-ngram-order is {self.no_prune_ngram_order}; give 2 up to "
                            f"ngram-order, which is {self.ngram_order}")
        if self.num_extra_lm_states < 0:
            raise UserError(f"num-extra-lm-states is {self.num_extra_lm_states}; give 0 or more")


@dataclass(frozen=True)
class PhoneLmArc:
    """A phone that may follow a history, its probability and the history behind it."""

    phone: int
    probability: float
    target: History


@dataclass(frozen=True)
class PhoneLm:
    """A deterministic automaton over phones.

    Attributes
    ----------
    arcs : dict History -> tuple of PhoneLmArc
        Of every state that can be reached from `start`. A history holds the last phones, the
        nearest last; `BOUNDARY` stands for the beginning.
    final : dict History -> float
        Probability of the end, which with those of the arcs sums to one.
    """

    arcs: dict[History, tuple[PhoneLmArc, ...]]
    final: dict[History, float]

    @property
    def start(self) -> History:
        """The state before the first phone."""
        return (BOUNDARY,)

    @property
    def num_arcs(self) -> int:
        """Arcs of all states."""
        return sum(map(len, self.arcs.values()))


def estimate_phone_lm(sequences: Iterable[Sequence[int]], options: PhoneLmOptions) -> PhoneLm:
    """Estimate the model of phone sequences.

    Parameters
    ----------
    sequences : iterable of phone sequences
        Phones from 1 on; silence is one of them.

    Raises
    ------
    UserError
        if there is no sequence.

    Examples
    --------
    >>> lm = estimate_phone_lm([(1, 2), (1, 3)], PhoneLmOptions())
    >>> [(arc.phone, arc.probability) for arc in lm.arcs[0, 1]]
    [(2, 0.5), (3, 0.5)]
    """
    counts = _count(sequences, options.ngram_order - 1)
    if not counts:
        raise UserError("no phone sequence to estimate the phone language model of; align first")
    _forget(counts, options.no_prune_ngram_order - 1, options.num_extra_lm_states)
    arcs: dict[History, tuple[PhoneLmArc, ...]] = {}
    final: dict[History, float] = {}
    queue: list[History] = [(BOUNDARY,)]
    for history in queue:
        if history in arcs:
            continue
        seen = counts[history]
        total = seen.total()
        arcs[history] = tuple(
            PhoneLmArc(phone, count / total, _longest(counts, (*history, phone)))
            for phone, count in sorted(seen.items()) if phone != BOUNDARY)
        final[history] = seen[BOUNDARY] / total
        queue += [arc.target for arc in arcs[history]]
    return PhoneLm(arcs, final)


def _count(sequences: Iterable[Sequence[int]], longest: int) -> dict[History, Counter]:
    """Count what follows each history of `longest` phones, of fewer at the beginning."""
    counts: dict[History, Counter] = {}
    for sequence in sequences:
        history: History = (BOUNDARY,)
        for phone in (*sequence, BOUNDARY):
            counts.setdefault(history, Counter())[phone] += 1
            history = (*history, phone)[-longest:]
    return counts


def _longest(counts: dict[History, Counter], history: History) -> History:
    """Return the longest end of a history that is a state."""
    while history not in counts:
        history = history[1:]
    return history


def _forget(counts: dict[History, Counter], kept_length: int, limit: int) -> None:
    """Hand the counts of long histories to the next shorter ones, in place, until few are left.

    Always the one whose counts lose least likelihood by it. Longer ones go first where the order
    leaves several lengths.
    """
    longest = max(map(len, counts))
    num_long = sum(len(history) > kept_length for history in counts)
    for length in range(longest, kept_length, -1):
        heap = [(_loss(counts, history), history) for history in counts if len(history) == length]
        heapq.heapify(heap)
        while heap and num_long > limit:
            _, history = heapq.heappop(heap)
            # What it would be merged with may have grown since it was put there.
            loss = _loss(counts, history)
            if heap and loss > heap[0][0]:
                heapq.heappush(heap, (loss, history))
                continue
            shorter = history[1:]
            if shorter not in counts:
                counts[shorter] = Counter()
                num_long += len(shorter) > kept_length
            counts[shorter] += counts.pop(history)
            num_long -= 1


def _loss(counts: dict[History, Counter], history: History) -> float:
    """Return the log likelihood that is lost if a history hands its counts on."""
    own, other = counts[history], counts.get(history[1:])
    if not other:
        return 0.0
    both = own.total() + other.total()
    loss = (both * math.log(both) - own.total() * math.log(own.total())
            - other.total() * math.log(other.total()))
    # Of the next phones only those that follow the history change: the others' terms cancel.
    for phone, count in own.items():
        beside = other[phone]
        loss += count * math.log(count) - (count + beside) * math.log(count + beside)
        if beside:
            loss += beside * math.log(beside)
    return max(loss, 0.0)
