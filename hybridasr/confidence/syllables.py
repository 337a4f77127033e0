"""Owns made-up words: the strings of legal Mandarin syllables nearest to a command."""

import heapq
from collections.abc import Container, Iterator, Sequence

import numpy as np

from hybridasr.confidence.confusion import PhoneDistances
from hybridasr.lexicon import mandarin

Phones = tuple[str, ...]


class SyllableInventory:
    """The toned syllables that can be said with some phones, and how far they are apart.

    Parameters
    ----------
    distances : PhoneDistances
        The distance of two syllables is the sum over initial and final.
    phones : container of str
        Syllables with other phones are left out.
    """

    def __init__(self, distances: PhoneDistances, phones: Container[str]):
        syllables = dict.fromkeys(
            (initial, final + tone)
            for initial, final, tones in mandarin.syllable_table().values() for tone in tones)
        self.phones: list[Phones] = [
            pair for pair in syllables
            if all(phone in phones and phone in distances.index for phone in pair)]
        self._distances = distances
        self._ids = np.array([distances.ids(pair) for pair in self.phones],
                             np.int32).reshape(-1, 2)
        self._nearest: dict[Phones, tuple[list[Phones], np.ndarray]] = {}

    def nearest(self, syllable: Phones) -> tuple[list[Phones], np.ndarray]:
        """Return all syllables, the nearest first, and their distances (float64, ascending).

        The first one is `syllable` itself, at distance 0.
        """
        if syllable not in self._nearest:
            initial, final = self._distances.ids(syllable)
            costs = (self._distances.substitution[initial, self._ids[:, 0]]
                     + self._distances.substitution[final, self._ids[:, 1]])
            # Others may be as near as rounding; the syllable itself comes first all the same.
            order = [number for number in np.argsort(costs, kind="stable").tolist()
                     if self.phones[number] != syllable]
            self._nearest[syllable] = ([syllable, *(self.phones[number] for number in order)],
                                     np.concatenate([[0.0], costs[order]]))
        return self._nearest[syllable]


def nearest_choices(costs: Sequence[np.ndarray], max_changed: int, max_cost: float = np.inf
                    ) -> Iterator[tuple[float, tuple[int, ...]]]:
    """Yield choices of one alternative a place, in the order of their total cost, lazily.

    A heap holds the frontier; the choice after a given one raises the alternative of its last
    changed place, or changes a later place, so that each is reached on one way only, from a
    cheaper one (as in E. L. Lawler, "A procedure for computing the k best solutions", 1972).

    Parameters
    ----------
    costs : sequence of float64 arrays, ascending, 0 first
        For each place what its alternatives cost; the first is to leave it as it is.
    max_changed : int
        At most so many places are changed.
    max_cost : float
        Choices that cost more are not yielded.

    Yields
    ------
    (cost, the number of the alternative in each place)

    Examples
    --------
    >>> costs = [np.array([0.0, 2.0]), np.array([0.0, 1.0, 4.0])]
    >>> [(float(cost), choice) for cost, choice in nearest_choices(costs, 1)]
    [(0.0, (0, 0)), (1.0, (0, 1)), (2.0, (1, 0)), (4.0, (0, 2))]
    """
    heap: list[tuple[float, tuple[int, ...]]] = [(0.0, (0,) * len(costs))]
    while heap:
        total, choice = heapq.heappop(heap)
        if total > max_cost:
            return
        yield total, choice
        # Those that follow from this choice: one step further, or one more place.
        changed = [place for place, number in enumerate(choice) if number]
        first = changed[-1] if changed else 0
        last = len(costs) if len(changed) < max_changed else min(first + 1, len(costs))
        if not changed and max_changed < 1:
            return
        for place in range(first, last):
            number = choice[place] + 1
            if number < len(costs[place]):
                following = (*choice[:place], number, *choice[place + 1 :])
                # Summed anew: costs that are added and taken away again would drift.
                cost = sum(float(of[n]) for of, n in zip(costs, following, strict=True) if n)
                heapq.heappush(heap, (cost, following))
