"""Owns L: the lexicon as a transducer from phones to words, with and without disambiguation.

As Kaldi's make_lexicon_fst.py: optional silence at the start and after every word; the word is on
the first phone. L_disambig tells homophones and prefixes apart by symbols #1 #2 ..., marks
silence by a symbol of its own and lets #0 of a backoff grammar through.
"""

import itertools
import math

import numpy as np

from hybridasr.graph.openfst import FlatFst, fst_bytes
from hybridasr.lexicon.langdir import Lang
from hybridasr.lm.pynini_import import pynini
from hybridasr.storage import atomic_path

START, LOOP, SILENCE = 0, 1, 2


def lexicon_fst(lang: Lang, disambig: bool) -> pynini.Fst:
    """Return L, or L_disambig if `disambig`; arcs sorted by output label."""
    flat = lang.disambig_pronunciations if disambig else [
        (word, probability, phones) for word, choices in lang.pronunciations.items()
        for probability, phones in choices]
    between, num_states = _between_words(lang, disambig)
    inside, last, num_states = _within_words(flat, num_states)
    parts = [np.array(between).T, inside]
    for cost, target in _onward(lang):
        parts.append(last + np.array([0, 0, 0, cost, target])[:, None])
    source, phone, word, cost, target = np.concatenate(parts, axis=1)
    final = np.full(num_states, np.inf, np.float32)
    final[LOOP] = 0.0
    fst = FlatFst.from_arcs(START, source.astype(np.int64), phone, word, cost, target, final)
    return pynini.Fst.read_from_string(fst_bytes(fst)).arcsort("olabel")


def _within_words(pronunciations: list[tuple[int, float, tuple[int, ...]]],
                  num_states: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Lay each pronunciation out as a chain of arcs from LOOP.

    Returns
    -------
    (arcs but the last of each word, last arcs with target 0, number of states)
        Columns are arcs; rows are source, phone, word, cost, target. float64 holds every label.
    """
    words, probabilities, phones = zip(*pronunciations, strict=True)
    lengths = np.fromiter(map(len, phones), np.int64, len(phones))
    ends = np.cumsum(lengths)
    begins = ends - lengths
    arcs = np.zeros((5, ends[-1]))
    arcs[1] = np.fromiter(itertools.chain.from_iterable(phones), np.float64, ends[-1])
    arcs[2, begins] = words
    arcs[3, begins] = -np.log(probabilities)
    inside = np.ones(ends[-1], bool)
    inside[ends - 1] = False
    arcs[4, inside] = num_states + np.arange(inside.sum())
    arcs[0, 1:] = arcs[4, :-1]
    arcs[0, begins] = LOOP
    return arcs[:, inside], arcs[:, ~inside], num_states + int(inside.sum())


def _onward(lang: Lang) -> list[tuple[float, int]]:
    """Return (cost, next state) without silence, and with it unless its probability is 0."""
    ways = [(-math.log(1.0 - lang.sil_prob), LOOP)]
    if lang.sil_prob > 0:
        ways.append((-math.log(lang.sil_prob), SILENCE))
    return ways


def _between_words(lang: Lang, disambig: bool) -> tuple[list[tuple[float, ...]], int]:
    """Return the arcs (source, phone, word, cost, target) outside words, and the states so far."""
    arcs: list[tuple[float, ...]] = [(START, 0, 0, cost, after) for cost, after in _onward(lang)]
    num_states = 3
    if lang.sil_prob > 0:
        after = num_states if disambig else LOOP
        arcs.append((SILENCE, lang.optional_silence, 0, 0.0, after))
        # The symbol after silence tells "silence, word" from a word that begins with silence.
        if disambig:
            arcs.append((after, lang.silence_disambig, 0, 0.0, LOOP))
            num_states += 1
    if disambig:
        # Without this loop a backoff arc of the grammar could not pass through L.
        arcs.append((LOOP, lang.disambig_phones[0], lang.words["#0"], 0.0, LOOP))
    return arcs, num_states


def write_lexicon_fsts(lang: Lang) -> None:
    """Write ``L.fst`` and ``L_disambig.fst`` into the lang directory (OpenFst binary)."""
    for name, disambig in (("L.fst", False), ("L_disambig.fst", True)):
        with atomic_path(lang.path / name) as path:
            lexicon_fst(lang, disambig).write(str(path))
