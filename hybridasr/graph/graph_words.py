"""Owns the words of a graph directory: a graph has its own, which the model need not know.

``words.txt``, ``lexiconp.txt`` and ``phones/`` lie beside the graph, in Kaldi's form. What ties a
graph to its model are the tree and the phones. Graphs of earlier versions have the model's words.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybridasr.errors import UserError
from hybridasr.hmm.topology import Topology
from hybridasr.lexicon.extend import with_disambig_symbols
from hybridasr.lexicon.langdir import Lang, read_words, write_symbols
from hybridasr.storage import PathLike, digest, is_file, read_bytes, read_json

_FILES = ("words.txt", "lexiconp.txt")
_REMEDY = "run mkgraph again"


def write_graph_words(directory: PathLike, lang: Lang) -> None:
    """Write the words of a graph, with all disambiguation symbols that it was made with."""
    write_symbols(with_disambig_symbols(lang), directory)


def read_graph_words(directory: PathLike, lang: Lang) -> Lang:
    """Return the model's `lang` with the words of a graph in place of its own.

    Raises
    ------
    UserError
        if a file is damaged, does not fit the model's phones, or is not the one that the graph
        was made with.
    """
    directory = Path(directory)
    if not is_file(directory / "lexiconp.txt"):
        return lang
    # Most graphs have the model's words, which are in memory already.
    if not all(is_file(lang.path / name)
               and read_bytes(directory / name) == read_bytes(lang.path / name)
               for name in _FILES):
        lang = read_words(directory, lang, _REMEDY)
    made_with = read_graph_record(directory).get("words")
    # Another table under this name would give other words, and nobody would see it.
    if made_with is not None and made_with != digest(lang.words):
        raise UserError(f"is not the table that the graph was made with; {_REMEDY}",
                        directory / "words.txt")
    return lang


def graph_record(tree: Any, lang: Lang, topology: Topology) -> dict[str, str]:
    """Return what graph.json says of the model that a graph fits, and of its words."""
    return {"model": _key(tree, lang), "words": digest(lang.words),
            "topology": digest(topology.to_text())}


def fits_model(record: Mapping[str, Any], tree: Any, lang: Lang, topology: Topology) -> bool:
    """Tell whether a graph was made for a model, by its graph.json.

    Graphs of models with other trees may well be of the same size; and models of one tree may
    score other frames, and have other transitions for them.
    """
    # Graphs of earlier versions do not say.
    if record.get("topology") not in (None, digest(topology.to_text())):
        return False
    key = record.get("model")
    # Graphs of earlier versions have a key of the model's words, or none.
    expected = _key(tree, lang) if "words" in record else digest(tree.to_dict(), lang.words)
    return key is None or key == expected


def read_graph_record(directory: PathLike) -> dict[str, Any]:
    """Return what graph.json of a graph directory says; nothing if there is none."""
    path = Path(directory) / "graph.json"
    values = read_json(path) if is_file(path) else {}
    return values if isinstance(values, dict) else {}


def _key(tree: Any, lang: Lang) -> str:
    # Symbols #0, #1 ... are of one graph alone.
    return digest(tree.to_dict(), {name: phone for name, phone in lang.phones.items()
                                   if not name.startswith("#")})
