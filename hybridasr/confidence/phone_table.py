"""Owns distances of phones from phonetics: `lexicon/phone_distances.txt` read into a matrix.

The table lists the features of each phone and what a difference in each of them costs; its head
explains the lines. Costs are in nats.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from hybridasr.errors import UserError
from hybridasr.lexicon.phones import TONES
from hybridasr.lexicon.table_files import builtin_table, tables_dir

TABLE = "phone_distances.txt"
KINDS = ("consonant", "vowel")

_Costs = dict[tuple[str, str], float]


class PhoneTable(NamedTuple):
    """The lines of the table; pairs stand both ways round, ("", "") is the default of a feature."""

    unlike: float
    floor: float
    features: dict[str, dict[str, _Costs]]  # kind -> feature -> costs
    tones: _Costs
    phones: dict[str, tuple[str, tuple[str, ...]]]  # phone -> (kind, values)
    near: _Costs
    indels: dict[str, float]  # phone or kind -> cost


def phonetic_costs(phones: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return what the table says of some phones.

    Phones that are not in the table (those of another lexicon) are unlike all others, apart from
    variants with another digit at the end, which count as another tone.

    Parameters
    ----------
    phones : sequence of str
        Finals with tone: `a1`.

    Returns
    -------
    substitution : float64 (len(phones), len(phones))
        Symmetric, zero only on the diagonal; with `indel` a metric.
    indel : float64 (len(phones),)
        Of leaving the phone out, or putting it in.

    Raises
    ------
    UserError
        if the table cannot be understood; the line is named.
    """
    table = _read()
    names = tuple(table.phones)
    place = {name: number for number, name in enumerate(names)}
    base = _base_costs(table)
    # Distances of stems come from the features, those of tones are added.
    parts = [_part(phone, table) for phone in phones]
    known = np.array([place.get(stem, -1) for stem, _ in parts])
    tone_costs = np.array([[_cost(table.tones, s, t) for _, t in parts] for _, s in parts])
    same_stem = np.array([[s == t for t, _ in parts] for s, _ in parts])
    cost = np.where((known[:, None] < 0) | (known < 0), table.unlike,
                    base[known[:, None], known])
    cost = np.where(same_stem, 0.0, cost)
    # Never free, and never more than two phones that have nothing in common.
    cost = np.clip(cost + tone_costs, table.floor, table.unlike)
    np.fill_diagonal(cost, 0.0)
    indel = np.array([table.indels.get(stem, table.indels["consonant"]) if stem not in table.phones
                      else _indel(stem, table) for stem, _ in parts])
    return close_costs(cost, indel)


def close_costs(substitution: np.ndarray, indel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower symmetric costs until no way over other phones, or over none, is shorter.

    What remains is a metric on the phones and "no phone" (Floyd and Warshall's all-pairs shortest
    paths), and so is the edit distance with these costs.

    Parameters
    ----------
    substitution : float64 (n, n), symmetric
    indel : float64 (n,)

    Returns
    -------
    float64 (n, n), float64 (n,)
    """
    size = len(indel)
    costs = np.zeros((size + 1, size + 1))
    costs[:size, :size] = substitution
    costs[size, :size] = costs[:size, size] = indel
    # The last row and column stand for no phone.
    for middle in range(size + 1):
        np.minimum(costs, costs[:, middle, None] + costs[middle], out=costs)
    return costs[:size, :size].copy(), costs[size, :size].copy()


def _base_costs(table: PhoneTable) -> np.ndarray:
    """Return the costs of the phones of the table, finals without tones."""
    names = tuple(table.phones)
    cost = np.full((len(names), len(names)), table.unlike)
    for i, first in enumerate(names):
        for j, second in enumerate(names[:i]):
            (kind, values), (other, others) = table.phones[first], table.phones[second]
            if kind == other:
                features = table.features[kind].values()
                total = sum(_cost(costs, a, b)
                            for costs, a, b in zip(features, values, others, strict=True))
                total = min(total, table.near.get((first, second), np.inf))
                cost[i, j] = cost[j, i] = np.clip(total, table.floor, table.unlike)
    np.fill_diagonal(cost, 0.0)
    return close_costs(cost, np.full(len(names), table.unlike))[0]


def _part(phone: str, table: PhoneTable) -> tuple[str, str]:
    """Split a phone into stem and tone; the tone is empty where the phone has none."""
    if phone not in table.phones and phone[-1:] in tuple(TONES):
        return phone[:-1], phone[-1]
    return phone, ""


def _cost(costs: _Costs, first: str, second: str) -> float:
    """Return what two values of a feature cost; values that are not there cost nothing."""
    if first == second or not first or not second:
        return 0.0
    return costs.get((first, second), costs[("", "")])


def _indel(phone: str, table: PhoneTable) -> float:
    return table.indels.get(phone, table.indels[table.phones[phone][0]])


def _read() -> PhoneTable:
    return _parse(builtin_table(TABLE))


@cache
def _parse(rows: tuple[tuple[int, tuple[str, ...]], ...]) -> PhoneTable:
    table = PhoneTable(0.0, 0.0, {kind: {} for kind in KINDS}, {}, {}, {}, {})
    scalars: dict[str, float] = {}
    readers: dict[str, Callable[[list[str]], None]] = {
        "unlike": lambda fields: scalars.update(unlike=_number(fields[0])),
        "floor": lambda fields: scalars.update(floor=_number(fields[0])),
        "feature": lambda fields: _add_pair(
            table.features[fields[0]].setdefault(fields[1], {}), fields[2], fields[3:]),
        "tone": lambda fields: _add_pair(table.tones, fields[0], fields[1:]),
        "near": lambda fields: _add_pair(table.near, fields[2], fields[:2]),
        "indel": lambda fields: table.indels.update(
            dict.fromkeys(fields[1:], _number(fields[0]))),
    }
    for number, (key, *fields) in rows:
        try:
            if key in KINDS:
                if len(fields) != 1 + len(table.features[key]):
                    raise ValueError("one value of each feature")
                table.phones[fields[0]] = (key, tuple(fields[1:]))
            else:
                readers[key](fields)
        except (KeyError, ValueError, IndexError):
            raise UserError(f"'{' '.join((key, *fields))}' is no line of this table; see its "
                            "head", tables_dir() / TABLE, number) from None
    defaults = [table.tones, *(costs for group in table.features.values()
                               for costs in group.values())]
    if (len(scalars) < 2 or any(("", "") not in costs for costs in defaults)
            or any(kind not in table.indels for kind in KINDS)):
        raise UserError("lacks unlike, floor, or the default of a feature, of the tones or of "
                        "indel; restore the file", tables_dir() / TABLE)
    return table._replace(**scalars)


def _add_pair(costs: _Costs, cost: str, pair: Sequence[str]) -> None:
    if len(pair) not in (0, 2):
        raise ValueError("two values, or none")
    first, second = pair or ("", "")
    costs[first, second] = costs[second, first] = _number(cost)


def _number(text: str) -> float:
    value = float(text)
    if not 0 < value < np.inf:
        raise ValueError("above 0")
    return value
