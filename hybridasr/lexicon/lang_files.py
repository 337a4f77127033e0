"""Owns the files of a lang directory, one by one: symbol tables, lists of phone ids, tree roots.

Every id that these functions return is in the symbol tables, so code that indexes an array by
phone or word need not check it again.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hybridasr.errors import UserError
from hybridasr.storage import PathLike, read_json, read_text

REMEDY = "run 'hybridasr prepare-lang' to make it anew"

_SPARE = 1000  # ids that a symbol table may skip: an array has a place for each of them


class Root(NamedTuple):
    """Phones that share a tree root; `shared`: their HMM states do too; `split`: it may be split.

    A line of phones/roots.int, as in Kaldi: ``shared split 4 5 6``.
    """

    phones: tuple[int, ...]
    shared: bool = True
    split: bool = True

    @property
    def kind(self) -> str:
        """The first two fields of the line."""
        return f"{'' if self.shared else 'not-'}shared {'' if self.split else 'not-'}split"


def read_symbols(path: PathLike, remedy: str = REMEDY) -> dict[str, int]:
    """Read a symbol table: `<symbol> <id>` a line, ``<eps> 0`` among them.

    Raises
    ------
    UserError
        with file and line: a symbol or id that comes twice, or an id far above the number of lines.
    """
    table: dict[str, int] = {}
    numbers: set[int] = set()
    lines = read_text(path).splitlines()
    for line_number, line in enumerate(lines, 1):
        fields = line.split()
        if len(fields) != 2 or not fields[1].isdecimal():
            raise UserError(f"'{line[:80]}' is not '<symbol> <id>'; {remedy}", path, line_number)
        # An id of ten digits in a damaged file would ask for gigabytes where arrays are indexed by
        # id.
        symbol, number = fields[0], _whole(fields[1], len(lines) + _SPARE)
        if number is None:
            raise UserError(f"'{symbol}' has the id {fields[1][:20]}, but there are {len(lines)} "
                            f"symbols; {remedy}", path, line_number)
        if symbol in table or number in numbers:
            raise UserError(f"'{symbol}' or its id {number} is there already; {remedy}", path,
                            line_number)
        table[symbol] = number
        numbers.add(number)
    if table.get("<eps>") != 0:
        raise UserError(f"does not give <eps> the id 0; {remedy}", path)
    return table


def read_options(path: Path, newest: int) -> dict:
    """Return the options of lang.json; `UserError` if it is of a newer format, or of none."""
    record = read_json(path)
    number = record.get("format", 0) if isinstance(record, dict) else None
    if not isinstance(number, int) or not isinstance(record.get("options"), dict):
        raise UserError(f"has no format number with options; {REMEDY}", path)
    if number > newest:
        raise UserError(f"format {number} is newer than this program knows ({newest}); update "
                        "hybridasr", path)
    return record["options"]


def read_ids(path: Path, known: Container[int], what: str = "phone") -> list[list[int]]:
    """Read the ids of each line that is not blank.

    Raises
    ------
    UserError
        with file and line: a field that is not an id of `known`.
    """
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        row = [_whole(field, None) for field in line.split()]
        if None in row:
            raise UserError(f"holds something else than {what} ids; {REMEDY}", path, number)
        odd = [member for member in row if member not in known]
        if odd:
            raise UserError(f"{what} {odd[0]} is not in {what}s.txt; {REMEDY}", path, number)
        if row:
            rows.append(row)
    return rows


def read_id(path: Path, known: Container[int], what: str = "phone") -> int:
    """Read the one id of a file."""
    rows = read_ids(path, known, what)
    if sum(map(len, rows)) != 1:
        raise UserError(f"holds {sum(map(len, rows))} ids, one {what} is expected; {REMEDY}", path)
    return rows[0][0]


def read_roots(path: Path, known: Container[int]) -> list[Root]:
    """Read roots.int."""
    roots = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        fields = line.split()
        # As in Kaldi's roots.txt: "shared" means one tree for all HMM states of these phones.
        kinds = ({"shared", "not-shared"}, {"split", "not-split"})
        phones = [_whole(field, None) for field in fields[2:]]
        if len(fields) < 3 or None in phones \
                or any(field not in kind for field, kind in zip(fields, kinds, strict=False)):
            raise UserError("is not '[not-]shared [not-]split <phone> ...'; mend the line, or "
                            + REMEDY, path, number)
        if any(phone not in known for phone in phones):
            raise UserError(f"has a phone that is not in phones.txt; {REMEDY}", path, number)
        roots.append(Root(tuple(phones), fields[0] == "shared", fields[1] == "split"))
    return roots


def check_each_once(groups: Iterable[Iterable[int]], phones: list[int], path: Path) -> None:
    """Refuse groups in which a phone is missing, is twice, or is a disambiguation symbol."""
    members = [phone for group in groups for phone in group]
    # A phone that is in no group would have no pdf, and one in two groups would have two.
    if sorted(members) != sorted(phones):
        raise UserError(f"does not name every phone once; {REMEDY}", path)


def list_texts(lists: Mapping[str, Iterable[int]], name_of: Callable[[int], str]
               ) -> dict[str, str]:
    """Return file name -> text of lists of phones, in the three forms that Kaldi's scripts read.

    They are names, ids, and ids with colons between.
    """
    files = {}
    for name, members in lists.items():
        files[f"phones/{name}.txt"] = "".join(f"{name_of(i)}\n" for i in members)
        files[f"phones/{name}.int"] = "".join(f"{i}\n" for i in members)
        files[f"phones/{name}.csl"] = ":".join(map(str, members)) + "\n"
    return files


def group_texts(groups: Mapping[str, Sequence[Sequence[int]]], name_of: Callable[[int], str],
                fronts: Sequence[str] | None = None) -> dict[str, str]:
    """Return file name -> text of groups of phones, a group a line, each behind its front."""
    files = {}
    for name, rows in groups.items():
        for ending, show in (("txt", name_of), ("int", str)):
            files[f"phones/{name}.{ending}"] = "".join(
                " ".join([*front, *map(show, row)]) + "\n"
                for front, row in zip([[text] for text in fronts] if fronts else [[]] * len(rows),
                                      rows, strict=True))
    return files


def _whole(field: str, most: int | None) -> int | None:
    """Return a field as a number; None if it is not a whole one of ten digits or above `most`."""
    # The length first: int() itself fails on a number of thousands of digits.
    if not field.isdecimal() or len(field) > 10 or most is not None and int(field) > most:
        return None
    return int(field)
