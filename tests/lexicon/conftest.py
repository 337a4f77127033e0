"""Shared by the tests of the lexicon: the lexicons of Kaldi's systems, read back from L.fst."""

import pytest


@pytest.fixture
def reference_lexicon(ref_root):
    """Give a function: system name -> {word: set of pronunciations}."""
    return lambda system: read_reference_lexicon(ref_root / system)


def read_reference_lexicon(system) -> dict[str, set[tuple[str, ...]]]:
    """Read the pronunciations off L.fst: loops through state 1, silence after a word cut off."""
    pynini = pytest.importorskip("pynini")
    tables = []
    for name in ("phones.txt", "words.txt"):
        rows = [line.split() for line in (system / name).read_text(encoding="utf-8").splitlines()]
        tables.append({int(number): symbol for symbol, number in rows})
    phones, words = tables
    fst = pynini.Fst.read(str(system / "L.fst"))
    found: dict[str, set[tuple[str, ...]]] = {}
    stack = [(arc, "", ()) for arc in fst.arcs(1)]
    while stack:
        arc, word, said = stack.pop()
        word = words[arc.olabel] if arc.olabel else word
        said = (*said, phones[arc.ilabel]) if arc.ilabel else said
        if arc.nextstate > 2:
            stack += [(following, word, said) for following in fst.arcs(arc.nextstate)]
        elif word and not word.startswith("<"):
            found.setdefault(word, set()).add(said[:-1] if said[-1] == "SIL" else said)
    return found
