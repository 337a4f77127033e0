"""Owns what a decode directory says of its lattices: the model, the graph, the words, the scale.

``summary.json`` holds it, paths relative to the directory, so that a whole tree may be moved.
"""

import math
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hybridasr.decode.search import SearchOptions
from hybridasr.errors import UserError
from hybridasr.lattice.determinize import determinize_lattice
from hybridasr.lattice.lattice import CompactLattice, Lattice
from hybridasr.lattice.lattice_text import read_lattices
from hybridasr.lexicon.lang_files import read_symbols
from hybridasr.model.acoustic import DEFAULT_SCALE
from hybridasr.storage import PathLike, atomic_write, digest, read_json, read_text, write_json

SUMMARY = "summary.json"
LATTICES = "lat.1.gz"
_ALL_LATTICES = "lat.*.gz"


@dataclass(frozen=True)
class DecodeRecord:
    """Where the lattices of a decode directory come from; None where that is not known.

    Attributes
    ----------
    acoustic_scale : float or None
        Of the search.
    model, graph : Path or None
        Directories.
    words : str or None
        Digest of the graph's table of words.
    lm_scale, word_ins_penalty : float
        Of the search; the graph costs of the lattices have them in them.
    """

    acoustic_scale: float | None = None
    model: Path | None = None
    graph: Path | None = None
    words: str | None = None
    lm_scale: float = 1.0
    word_ins_penalty: float = 0.0

    @classmethod
    def of(cls, model: Path, graph: Path, options: SearchOptions) -> "DecodeRecord":
        """Return the record of a decoding with options that are resolved."""
        return cls(options.acoustic_scale, model, graph, _digest(_words_file(model, graph)),
                   options.lm_scale, options.word_ins_penalty or 0.0)

    def as_json(self, directory: PathLike) -> dict[str, str | float | None]:
        """Return what ``summary.json`` of `directory` holds of it."""
        paths = {name: None if path is None else os.path.relpath(path, directory)
                 for name, path in (("model", self.model), ("graph", self.graph))}
        return {"acoustic_scale": self.acoustic_scale, "lm_scale": self.lm_scale,
                "word_ins_penalty": self.word_ins_penalty, **paths, "words": self.words}

    def write(self, directory: PathLike) -> None:
        """Write ``summary.json`` of a directory whose lattices were made from others."""
        write_json(Path(directory) / SUMMARY, self.as_json(directory))


def read_record(directory: PathLike) -> DecodeRecord:
    """Read what a decode directory says of its lattices; nothing is known if it says nothing.

    Raises
    ------
    UserError
        if ``summary.json`` is damaged.
    """
    directory = Path(directory)
    path = directory / SUMMARY
    values = read_json(path) if path.is_file() else {}
    values = values if isinstance(values, dict) else {}
    model, graph, words = (value if isinstance(value := values.get(name), str) else None
                           for name in ("model", "graph", "words"))
    scales = {name: values[name] for name in ("acoustic_scale", "lm_scale", "word_ins_penalty")
              if values.get(name) is not None}
    for name, scale in scales.items():
        if not isinstance(scale, int | float) or not math.isfinite(scale) or (
                scale <= 0 and name == "acoustic_scale"):
            raise UserError(f"has the {name} {scale!r}, a number is expected; decode again", path)
    return DecodeRecord(model=_place(directory, model), graph=_place(directory, graph),
                        words=words, **scales)


def _place(directory: Path, relative: str | None) -> Path | None:
    return None if relative is None else Path(os.path.normpath(directory / relative))


def lattice_files(directory: PathLike) -> list[Path]:
    """Return the archives of lattices of a decode directory: ``lat.1.gz`` and so on."""
    return sorted(Path(directory).glob(_ALL_LATTICES))


@dataclass(frozen=True)
class LatticeSource:
    """Lattices, and what is needed to read them.

    Attributes
    ----------
    path : Path
        A decode directory or one archive.
    record : DecodeRecord
    acoustic_scale : float
    words : Path
        Their table of words.
    names : dict id -> word
    """

    path: Path
    record: DecodeRecord
    acoustic_scale: float
    words: Path
    names: dict[int, str]

    def lattices(self) -> Iterator[tuple[str, CompactLattice]]:
        """Read the lattices; raises as `read_archives`. Those not compact are determinised."""
        for utterance, lattice in read_archives(self.path, self.names):
            if isinstance(lattice, Lattice):
                lattice = determinize_lattice(lattice, acoustic_scale=self.acoustic_scale)
            yield utterance, lattice


def open_lattices(path: Path, words: Path | None = None, acoustic_scale: float | None = None
                  ) -> LatticeSource:
    """Find the table of words and the scale of lattices.

    Parameters
    ----------
    path : path
        A decode directory, or one archive; ``lat.*.gz`` in a decode directory knows its own.
    words : path, optional
        ``words.txt``, or the graph or lang directory that has it; by default the graph's.
    acoustic_scale : float, optional
        By default that of the search.

    Raises
    ------
    UserError
        if no table is known, or it is not the one that the lattices were made with.
    """
    # Scale 0 would make all paths equal; a negative one would prefer the worst path.
    if acoustic_scale is not None and not 0 < acoustic_scale < math.inf:
        raise UserError(f"acoustic-scale is {acoustic_scale}; give a number above 0")
    record = record_of(path)
    if words is None and record.graph is None:
        raise UserError("does not say which graph it was decoded with; give words.txt or the graph "
                        "directory too", path)
    table = _words_file(record.model, record.graph) if words is None else (
        words / "words.txt" if words.is_dir() else words)
    names = {number: word for word, number in read_symbols(
        table, "give the words.txt of the graph").items()}
    # Ids of another table would be other words, and nobody would see it.
    if record.words is not None and record.words != _digest(table):
        raise UserError(f"is not the table of words that {path} was made with; give the graph that "
                        "it was decoded with, or decode again", table)
    return LatticeSource(path, record, acoustic_scale or record.acoustic_scale or DEFAULT_SCALE,
                         table, names)


def record_of(path: Path) -> DecodeRecord:
    """Return what is known of a decode directory or of one of its archives."""
    if path.is_dir():
        return read_record(path)
    # What somebody has made of the lattices may lie there too, with other scales.
    return read_record(path.parent) if path.match(_ALL_LATTICES) else DecodeRecord()


def read_archives(path: Path, words: Collection[int] | None = None
                  ) -> Iterator[tuple[str, Lattice | CompactLattice]]:
    """Read the lattices of a decode directory, or of one archive.

    Parameters
    ----------
    words : collection of int, optional
        The word ids there are; others are refused.

    Raises
    ------
    UserError
        if there is none, one comes twice, or as from `lattice.lattice_text.read_lattices`.
    """
    known: set[str] = set()
    for file in lattice_files(path) if path.is_dir() else [path]:
        for utterance, lattice in read_lattices(file, words):
            if utterance in known:
                raise UserError(f"has the lattice of '{utterance}', which is there already; decode "
                                "again", file)
            known.add(utterance)
            yield utterance, lattice
    if not known:
        raise UserError("holds no lattice; decode with --write-lattices true", path)


def read_hypotheses(path: PathLike) -> dict[str, list[str]]:
    """Read the ``text`` of a decode directory: utterance -> words."""
    hypotheses = {}
    for line in read_text(path).splitlines():
        utterance, *words = line.split(" ")
        hypotheses[utterance] = [word for word in words if word]
    return hypotheses


def write_hypotheses(path: PathLike, hypotheses: Mapping[str, Sequence[str]]) -> None:
    """Write what `read_hypotheses` reads."""
    with atomic_write(path) as file:
        file.writelines(" ".join([name, *words]) + "\n" for name, words in hypotheses.items())


def _words_file(model: Path | None, graph: Path) -> Path:
    """Return words.txt of a graph; graphs of earlier versions have the model's words."""
    path = graph / "words.txt"
    return path if path.is_file() or model is None else model / "lang" / "words.txt"


def _digest(path: Path) -> str:
    # A lang directory has the same words, and may have another number of #0 #1 ...
    return digest({word: number for word, number in read_symbols(path).items()
                   if not word.startswith("#")})
