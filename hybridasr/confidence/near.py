"""Owns distances of commands: how near one sounds to another, and which are too near.

Takes commands with their pronunciations (`spoken.SpokenCommand`) and distances of phones
(`confusion.PhoneDistances`). Distances are in nats.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hybridasr.confidence.confusion import PhoneDistances, edit_distances
from hybridasr.confidence.spoken import SpokenCommand

Phones = tuple[str, ...]

WARN_DISTANCE = 3.0  # commands that are not farther from each other sound alike
TOLERANCE = 1e-9  # sums of costs in another order differ in the last bits


class NearPair(NamedTuple):
    """Two commands that sound alike."""

    first: SpokenCommand
    second: SpokenCommand
    distance: float

    def warning(self) -> str:
        """Return the line for the user."""
        places = [f"'{command.text}'" + (f" (line {command.line})" if command.line else "")
                  for command in (self.first, self.second)]
        how = "sound the same" if self.distance == 0 else (
            f"sound alike (distance {self.distance:.1f})")
        return f"commands {places[0]} and {places[1]} {how}; reword one of them"


def distance(said: Sequence[str], recognized: Sequence[str], distances: PhoneDistances,
             per_phone: bool = False) -> float:
    """Return the least cost of turning one sequence of phones into another, in nats.

    The weighted edit distance (Wagner and Fischer, 1974).

    Parameters
    ----------
    said, recognized : sequences of phones
    distances : PhoneDistances
        With `distances.symmetric()` it is a metric; else the first one is what was said.
    per_phone : bool
        Divide by the length of the longer sequence.

    Raises
    ------
    UserError
        if `distances` lacks a phone.

    Examples
    --------
    >>> from hybridasr.confidence.confusion import table_distances
    >>> table = table_distances(["k", "g", "ai1", "m"])
    >>> distance(["k", "ai1"], ["k", "ai1"], table)
    0.0
    >>> distance(["k", "ai1"], ["g", "ai1"], table) < distance(["k", "ai1"], ["m", "ai1"], table)
    True
    """
    flat, offsets = flatten([tuple(recognized)], distances)
    cost = float(edit_distances(distances.ids(said), flat, offsets, distances)[0])
    return cost / max(len(said), len(recognized), 1) if per_phone else cost


def near_pairs(commands: Sequence[SpokenCommand], distances: PhoneDistances,
               limit: float = WARN_DISTANCE) -> list[NearPair]:
    """Return the pairs of commands at a distance up to `limit`, the nearest first.

    The distance is that of their nearest pronunciations, in the mean of both directions.
    Commands with the same id and slots are no pair.
    """
    symmetric = distances.symmetric()
    owner = np.repeat(np.arange(len(commands)), [len(c.pronunciations) for c in commands])
    flat, offsets = flatten([pron for c in commands for pron in c.pronunciations], symmetric)
    pairs = []
    for number, command in enumerate(commands):
        nearest = np.full(len(commands), np.inf)
        # Of several pronunciations the nearest two count.
        for pron in command.pronunciations:
            costs = edit_distances(symmetric.ids(pron), flat, offsets, symmetric,
                                   limit + TOLERANCE)
            np.minimum.at(nearest, owner, costs)
        # Each pair once: with the commands that follow.
        pairs += [NearPair(command, commands[other], float(nearest[other]))
                  for other in range(number + 1, len(commands))
                  if nearest[other] <= limit + TOLERANCE
                  and commands[other].meaning != command.meaning]
    return sorted(pairs, key=lambda pair: pair.distance)


def flatten(sequences: Sequence[Phones], distances: PhoneDistances
             ) -> tuple[np.ndarray, np.ndarray]:
    """Return the phones of all sequences, int32, and where each begins, int64 (number + 1,).

    >>> from hybridasr.confidence.confusion import table_distances
    >>> numbers, offsets = flatten([("k", "ai1"), ("m",)], table_distances(["k", "m", "ai1"]))
    >>> numbers.tolist(), offsets.tolist()
    ([0, 2, 1], [0, 2, 3])
    """
    offsets = np.cumsum([0, *map(len, sequences)], dtype=np.int64)
    return distances.ids([phone for sequence in sequences for phone in sequence]), offsets
