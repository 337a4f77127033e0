"""Owns the reading of ARPA text line by line: slow, but it names each fault by its line."""

import math
import re
from dataclasses import dataclass, field

import numpy as np

from hybridasr.corpus.text import normalize_text
from hybridasr.errors import UserError
from hybridasr.lm.ngram import NEVER, RESERVED
from hybridasr.storage import PathLike, decode_text

_SPACES = " \t\r\v\f"


@dataclass
class ArpaTables:
    """What an ARPA file lists.

    Attributes
    ----------
    words : list of str
        In the order of the unigrams.
    ngrams : list of int arrays (count, order)
        Places in `words`.
    log10_probs, log10_backoffs : lists of float64 arrays (count,)
    """

    words: list[str] = field(default_factory=list)
    ngrams: list[np.ndarray] = field(default_factory=list)
    log10_probs: list[np.ndarray] = field(default_factory=list)
    log10_backoffs: list[np.ndarray] = field(default_factory=list)

    def add(self, ngrams: np.ndarray, probs: np.ndarray, backoffs: np.ndarray) -> None:
        """Add one order."""
        self.ngrams.append(ngrams)
        self.log10_probs.append(probs)
        self.log10_backoffs.append(backoffs)


def read_arpa_lines(data: bytes, path: PathLike) -> ArpaTables:
    r"""Read ARPA text.

    Raises
    ------
    UserError
        with file and line: no \data\ or \end\, a field that is no number, too few words, a count
        that differs from the one announced, a reserved word, an n-gram of an unlisted word, or
        one that is there twice.
    """
    announced: list[int] = []
    ids: dict[str, int] = {}
    orders: list[dict[tuple[int, ...], tuple[float, float]]] = []
    section = None  # None before \data\, 0 in it, n in \n-grams:, -1 after \end\
    for number, line in enumerate(decode_text(data, path).split("\n"), 1):
        line = line.strip(_SPACES)
        heading = re.fullmatch(r"\\(\d+)-grams:", line)
        if section == -1 or not line:
            continue
        if section is None:
            section = 0 if line == "\\data\\" else None  # comments in front
        elif line == "\\end\\":
            _check_count(announced, orders, path, number)
            section = -1
        elif heading:
            _check_count(announced, orders, path, number)
            section = int(heading[1])
            if section != len(orders) + 1 or section > len(announced):
                raise UserError(f"section {line} comes out of order or was not announced in "
                                "\\data\\; restore the file", path, number)
            orders.append({})
        elif section == 0:
            announced.append(_announced(line, len(announced) + 1, path, number))
        else:
            words, entry = _entry(line, section, path, number)
            ngram = _find_words(words, ids, path, number)
            if ngram in orders[-1]:
                raise UserError(f"'{' '.join(words)}' is there twice; restore the file", path,
                                number)
            orders[-1][ngram] = entry
    if section != -1:
        missing = "\\data\\" if section is None else "\\end\\"
        raise UserError(f"{missing} is missing: not an ARPA file, or cut short; restore it", path)
    if not orders or len(orders) != len(announced):
        raise UserError(f"{len(announced)} orders announced, {len(orders)} found; restore the "
                        "file", path)
    tables = ArpaTables(list(ids))
    for length, table in enumerate(orders, 1):
        values = np.array(list(table.values()), float).reshape(-1, 2)
        tables.add(np.array(list(table), np.int64).reshape(-1, length), values[:, 0], values[:, 1])
    return tables


def _find_words(words: list[str], ids: dict[str, int], path: PathLike,
                number: int) -> tuple[int, ...]:
    """Return the ids of the words of an n-gram; a unigram gives its word one."""
    for word in words:
        if RESERVED.fullmatch(word):
            raise UserError(f"'{word}' is a word of the model, but a reserved symbol of graphs; "
                            "rename it in the text that the model is made from", path, number)
        if len(words) == 1:
            if len(word.split()) != 1:
                raise UserError(f"the word '{word}' has a space in it; restore the file", path,
                                number)
            if word in ids:
                raise UserError(f"'{word}' is there twice; restore the file", path, number)
            ids[word] = len(ids)
        elif word not in ids:
            raise UserError(f"'{word}' is in a {len(words)}-gram and not among the 1-grams; "
                            "restore the file", path, number)
    return tuple(ids[word] for word in words)


def _announced(line: str, order: int, path: PathLike, number: int) -> int:
    match = re.fullmatch(rf"ngram\s+{order}\s*=\s*(\d+)", line)
    if not match:
        raise UserError(f"'{line}' is not 'ngram {order}=COUNT'; restore the file", path, number)
    return int(match[1])


def _check_count(announced: list[int], orders: list, path: PathLike, number: int) -> None:
    if orders and len(orders[-1]) != announced[len(orders) - 1]:
        raise UserError(f"{announced[len(orders) - 1]} {len(orders)}-grams announced, "
                        f"{len(orders[-1])} found; restore the file", path, number)


def _entry(line: str, order: int, path: PathLike,
           number: int) -> tuple[list[str], tuple[float, float]]:
    fields = re.split(f"[{_SPACES}]+", line)
    if not order + 1 <= len(fields) <= order + 2:
        raise UserError(f"'{line}' is not a probability, {order} words and perhaps a backoff; "
                        "restore the file", path, number)
    try:
        probability = float(fields[0])
        backoff = float(fields[order + 1]) if len(fields) == order + 2 else 0.0
    except ValueError:
        raise UserError(f"'{line}' has a number that is none; restore the file", path,
                        number) from None
    if not (probability <= 0 and backoff < math.inf):
        raise UserError(f"log10 probability {fields[0]} is above 0 or not a number, or the backoff "
                        f"{backoff:g} is none; restore the file", path, number)
    # Words are compared with those of transcripts, so they take the same Unicode form.
    words = [normalize_text(word) for word in fields[1:order + 1]]
    return words, (finite_log10(probability), finite_log10(backoff))


def finite_log10(values: np.ndarray | float) -> np.ndarray | float:
    """Write -inf, and what float32 cannot hold, as -99."""
    return np.where(np.asarray(values) < -1e30, NEVER, values)
