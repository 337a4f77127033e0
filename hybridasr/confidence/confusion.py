"""Owns distances of phones: from phonetics, and from what a model has confused.

Costs are in nats. Taking phone h for phone s costs -log p(h | s) + log p(s | s): how much rarer
it is than hearing s right. Phonetics give a start (`table_distances`); aligned pairs of what was
said and what a loop of phones recognised improve it (`estimate_confusions`), with the table as
prior, so that with no data the table remains. The counts are in the model directory,
`confusions.json`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np

from hybridasr.confidence.phone_table import close_costs, phonetic_costs
from hybridasr.errors import UserError
from hybridasr.lexicon.phones import default_phone_set
from hybridasr.storage import PathLike, read_json, write_text

FILE = "confusions.json"
FORMAT = 1
PRIOR_COUNT = 20.0  # right ones of each phone that the table is worth
MIN_COST = 0.1  # of a phone that is recognised as another one as often as right, or more often
NONE = "<eps>"  # in confusions.json: no phone

Phones = Sequence[str]
Pair = tuple[Phones, Phones]
_SUBSTITUTED, _DELETED, _INSERTED = 0, 1, 2


@dataclass(frozen=True, eq=False)
class PhoneDistances:
    """What it costs to take one phone for another one.

    Attributes
    ----------
    phones : tuple of str
    substitution : float64 (phones, phones)
        Row: the phone said, column: the phone recognised. At least 0; 0 on the diagonal.
    deletion, insertion : float64 (phones,)
        Above 0: a phone said that is not recognised; one recognised that was not said.
    """

    phones: tuple[str, ...]
    substitution: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray

    def __post_init__(self):
        size = len(self.phones)
        for name, shape in (("substitution", (size, size)), ("deletion", (size,)),
                            ("insertion", (size,))):
            array = np.ascontiguousarray(getattr(self, name), np.float64)
            if array.shape != shape or not np.all(np.isfinite(array)) or np.any(array < 0):
                raise ValueError(f"{name} must be finite costs {shape}, not {array.shape}")
            object.__setattr__(self, name, array)
        if np.any(np.diagonal(self.substitution)):
            raise ValueError("a phone must be at distance 0 of itself")

    @cached_property
    def index(self) -> dict[str, int]:
        """Phone -> its row and column."""
        return {phone: number for number, phone in enumerate(self.phones)}

    def ids(self, phones: Phones) -> np.ndarray:
        """Return phones as int32 numbers of rows.

        Raises
        ------
        UserError
            if one is not there.
        """
        # A model with phones of its own has a table of its own.
        lacking = sorted({*phones} - self.index.keys())
        if lacking:
            raise UserError(f"no distances of the phones {' '.join(lacking)}; use phones of the "
                            "model, or estimate its confusions again")
        return np.array([self.index[phone] for phone in phones], np.int32)

    def symmetric(self) -> "PhoneDistances":
        """Return the mean of both directions, lowered where a way over other phones is shorter.

        It is a metric, and so is the edit distance with it.
        """
        return self._metric

    @cached_property
    def _metric(self) -> "PhoneDistances":
        costs, indel = close_costs((self.substitution + self.substitution.T) / 2,
                                   (self.deletion + self.insertion) / 2)
        return PhoneDistances(self.phones, costs, indel, indel)


def table_distances(phones: Iterable[str] | None = None) -> PhoneDistances:
    """Return the distances that `lexicon/phone_distances.txt` gives; a metric.

    Parameters
    ----------
    phones : iterable of str, optional
        By default the speech phones of `default_phone_set()`. Phones that the table lacks are
        unlike all others.
    """
    names = default_phone_set().nonsilence_phones if phones is None else tuple(
        dict.fromkeys(phones))
    substitution, indel = phonetic_costs(names)
    return PhoneDistances(names, substitution, indel, indel)


@dataclass(frozen=True, eq=False)
class Confusions:
    """How often each phone was recognised as which.

    Attributes
    ----------
    phones : tuple of str
    counts : float64 (phones + 1, phones + 1)
        Row: said, column: recognised; the last row counts insertions, the last column deletions.
    """

    phones: tuple[str, ...]
    counts: np.ndarray

    def distances(self, phones: Iterable[str] | None = None,
                  prior_count: float = PRIOR_COUNT) -> PhoneDistances:
        """Turn the counts into costs, smoothed by the table.

        With c(s, h) observations of h for s and table costs t, as many as `prior_count` right
        ones with their errors are added: cost(s, h) = -log((c(s, h) + k exp(-t(s, h))) /
        (c(s, s) + k)). An insertion is relative to the places where one might have been: one
        before each phone said.

        Parameters
        ----------
        phones : iterable of str, optional
            By default those of the counts; of others only the table speaks.
        prior_count : float, above 0
        """
        names = self.phones if phones is None else tuple(dict.fromkeys(phones))
        table, size = table_distances(names), len(names)
        place = {phone: number for number, phone in enumerate(self.phones)}
        # -2 is a row that is there; what is taken from it is set to zero.
        rows = np.array([place.get(phone, -2) for phone in names] + [len(self.phones)], np.int64)
        counts = self.counts[rows[:, None], rows]
        counts[(rows == -2)[:, None] | (rows == -2)] = 0.0
        right = np.diagonal(counts)[:size] + prior_count
        confused = counts[:size, :size] + prior_count * np.exp(-table.substitution)
        deleted = counts[:size, size] + prior_count * np.exp(-table.deletion)
        inserted = counts[size, :size] + prior_count * np.exp(-table.insertion)
        # Phones said: one place each where another one might have been put in.
        slots = max(0.0, float(counts[:size].sum() - counts[size].sum())) + prior_count
        substitution = np.maximum(-np.log(confused / right[:, None]), MIN_COST)
        np.fill_diagonal(substitution, 0.0)
        return PhoneDistances(names, substitution,
                              np.maximum(-np.log(deleted / right), MIN_COST),
                              np.maximum(-np.log(inserted / slots), MIN_COST))

    def save(self, path: PathLike) -> None:
        """Write the counts that are not zero as JSON, a phone said a line."""
        names = (*self.phones, NONE)
        lines = []
        for said, row in zip(names, self.counts.tolist(), strict=True):
            confused = {name: count for name, count in zip(names, row, strict=True) if count}
            if confused:
                lines.append(f"  {json.dumps(said)}: {json.dumps(confused)}")
        head = f'"format": {FORMAT}, "phones": {json.dumps(self.phones)}'
        rows = ",\n".join(lines)
        write_text(path, f'{{{head},\n"counts": {{\n{rows}\n}}}}\n')


def load_confusions(path: PathLike) -> Confusions:
    """Read what `Confusions.save` wrote.

    Raises
    ------
    UserError
        if the file is missing, damaged or of a newer format.
    """
    values = read_json(path)
    remedy = "estimate the confusions again, or remove the file to use the table of phones"
    if not isinstance(values, dict) or not isinstance(values.get("format"), int):
        raise UserError(f"holds no confusions of phones; {remedy}", path)
    if values["format"] > FORMAT:
        raise UserError(f"format {values['format']}, this version reads up to {FORMAT}; upgrade "
                        "hybridasr", path)
    phones, rows = values.get("phones"), values.get("counts")
    if (not isinstance(phones, list) or not all(isinstance(phone, str) for phone in phones)
            or len({*phones}) != len(phones) or not isinstance(rows, dict)):
        raise UserError(f"has no list of phones, or no counts; {remedy}", path)
    place = {phone: number for number, phone in enumerate([*phones, NONE])}
    counts = np.zeros((len(place), len(place)))
    for said, row in rows.items():
        for recognized, count in row.items() if isinstance(row, dict) else [(None, None)]:
            if (said not in place or recognized not in place or not isinstance(count, int | float)
                    or not 0 <= count < np.inf):
                raise UserError(f"the counts of phone '{said}' are damaged; {remedy}", path)
            counts[place[said], place[recognized]] = count
    return Confusions(tuple(phones), counts)


def estimate_confusions(pairs: Iterable[Pair], phones: Iterable[str] | None = None,
                        passes: int = 2) -> Confusions:
    """Count which phones were recognised as which.

    Each pair is aligned with the least cost, first by the table, then by the costs of the pass
    before.

    Parameters
    ----------
    pairs : iterable of (phones said, phones recognised)
    phones : iterable of str, optional
        More phones than the default set and those of the pairs.
    passes : int

    Raises
    ------
    ValueError
        if there is no pass.
    """
    if passes < 1:
        raise ValueError("at least one pass")
    # Equal pairs are aligned once.
    tally = Counter((tuple(said), tuple(recognized)) for said, recognized in pairs)
    extra = {phone for pair in tally for phones_of in pair for phone in phones_of}
    names = dict.fromkeys([*default_phone_set().nonsilence_phones, *(phones or ()),
                           *sorted(extra)])
    distances = table_distances(names)
    confusions = Confusions(distances.phones, np.zeros((len(names) + 1, len(names) + 1)))
    for _ in range(passes):
        counts = np.zeros_like(confusions.counts)
        for (said, recognized), times in tally.items():
            first, second = distances.ids(said), distances.ids(recognized)
            pairs_of = _align(first, second, distances.substitution, distances.deletion,
                              distances.insertion)
            # -1 is the last row and column: no phone.
            np.add.at(counts, (pairs_of[:, 0], pairs_of[:, 1]), times)
        confusions = Confusions(distances.phones, counts)
        distances = confusions.distances()
    return confusions


def align_phones(said: Phones, recognized: Phones, distances: PhoneDistances
                 ) -> list[tuple[str | None, str | None]]:
    """Return the pairs of the cheapest alignment; None on one side: deleted, inserted.

    Of equal ones, the alignment with substitutions first from the right wins.

    >>> align_phones(["k", "ai1"], ["g", "ai1", "m"], table_distances(["k", "g", "ai1", "m"]))
    [('k', 'g'), ('ai1', 'ai1'), (None, 'm')]
    """
    names = (*distances.phones, None)
    pairs = _align(distances.ids(said), distances.ids(recognized), distances.substitution,
                   distances.deletion, distances.insertion)
    return [(names[first], names[second]) for first, second in pairs.tolist()]


@numba.njit(cache=True, nogil=True)
def _align(said, recognized, substitution, deletion, insertion):
    """Return int64 (steps, 2): phones said and recognised, -1 for none (Wagner and Fischer)."""
    rows, columns = len(said) + 1, len(recognized) + 1
    best = np.zeros((rows, columns))
    move = np.zeros((rows, columns), np.int8)
    for i in range(1, rows):
        best[i, 0], move[i, 0] = best[i - 1, 0] + deletion[said[i - 1]], _DELETED
    for j in range(1, columns):
        best[0, j], move[0, j] = best[0, j - 1] + insertion[recognized[j - 1]], _INSERTED
    for i in range(1, rows):
        for j in range(1, columns):
            best[i, j] = best[i - 1, j - 1] + substitution[said[i - 1], recognized[j - 1]]
            move[i, j] = _SUBSTITUTED
            if best[i - 1, j] + deletion[said[i - 1]] < best[i, j]:
                best[i, j] = best[i - 1, j] + deletion[said[i - 1]]
                move[i, j] = _DELETED
            if best[i, j - 1] + insertion[recognized[j - 1]] < best[i, j]:
                best[i, j] = best[i, j - 1] + insertion[recognized[j - 1]]
                move[i, j] = _INSERTED
    steps = np.full((rows + columns, 2), -1)
    i, j, first = rows - 1, columns - 1, rows + columns
    while i > 0 or j > 0:
        first, kind = first - 1, move[i, j]
        if kind != _INSERTED:
            i -= 1
            steps[first, 0] = said[i]
        if kind != _DELETED:
            j -= 1
            steps[first, 1] = recognized[j]
    return steps[first:]


def edit_distances(said: np.ndarray, flat: np.ndarray, offsets: np.ndarray,
                   distances: PhoneDistances, max_cost: float = np.inf) -> np.ndarray:
    """Return the least costs of turning one sequence of phones into each of many.

    Parameters
    ----------
    said : int32 (length,)
        As `PhoneDistances.ids` gives them.
    flat : int32 (total length,)
        The other sequences, one after another.
    offsets : int64 (sequences + 1,)
        Where each begins; the last one is the total length.
    distances : PhoneDistances
    max_cost : float
        Costs above it may come out as infinity.

    Returns
    -------
    float64 (sequences,)
    """
    return _edit_distances(said, flat, offsets, distances.substitution, distances.deletion,
                           distances.insertion, max_cost)


@numba.njit(cache=True, nogil=True)
def _edit_distances(said, flat, offsets, substitution, deletion, insertion, max_cost):
    costs = np.empty(len(offsets) - 1)
    row = np.empty(len(said) + 1)
    row[0] = 0.0
    for i in range(len(said)):
        row[i + 1] = row[i] + deletion[said[i]]
    start = row.copy()
    for number in range(len(costs)):
        row[:] = start
        costs[number] = np.inf
        for j in range(offsets[number], offsets[number + 1]):
            recognized = flat[j]
            diagonal, row[0] = row[0], row[0] + insertion[recognized]
            least = row[0]
            for i in range(len(said)):
                best = min(diagonal + substitution[said[i], recognized], row[i] + deletion[said[i]],
                           row[i + 1] + insertion[recognized])
                diagonal, row[i + 1] = row[i + 1], best
                least = min(least, best)
            # Every way leads through this column, and none gets cheaper.
            if least > max_cost:
                break
        else:
            costs[number] = row[-1]
    return costs
