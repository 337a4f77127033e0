"""Owns L: the lexicon as a transducer from phones to words, with and without disambiguation.

As Kaldi's make_lexicon_fst.py: optional silence at the start and after every word; the word is on
the first phone. L_disambig tells homophones and prefixes apart by symbols #1 #2 ..., marks
silence by a symbol of its own and lets #0 of a backoff grammar through. Silence is as likely
everywhere, or as likely as each word makes it (Kaldi's make_lexicon_fst_silprob.py).
"""

import itertools
import math

import numpy as np

from hybridasr.graph.openfst import FlatFst, fst_bytes
from hybridasr.lexicon.langdir import Lang
from hybridasr.lm.pynini_import import pynini
from hybridasr.storage import atomic_path

START, LOOP, SILENCE = 0, 1, 2
BEHIND_SILENCE = 2  # LOOP is behind speech then

Arcs = list[tuple[float, ...]]
"""Rows of source, phone, word, cost, target."""


def lexicon_fst(lang: Lang, disambig: bool) -> pynini.Fst:
    """Return L, or L_disambig if `disambig`; arcs sorted by output label."""
    make = _alike if lang.silence_probs is None else _by_word
    fst = make(lang, _pronunciations(lang, disambig), disambig)
    return pynini.Fst.read_from_string(fst_bytes(fst)).arcsort("olabel")


def _pronunciations(lang: Lang, disambig: bool) -> list[tuple[int, float, tuple[int, ...]]]:
    return lang.disambig_pronunciations if disambig else [
        (word, probability, phones) for word, choices in lang.pronunciations.items()
        for probability, phones in choices]


def _alike(lang: Lang, flat: list[tuple[int, float, tuple[int, ...]]], disambig: bool) -> FlatFst:
    """Return L with silence as likely everywhere: words begin and end in one state."""
    between, num_states = _between_words(lang, disambig)
    arcs, _, last, num_states = _within_words(flat, num_states)
    parts = [np.array(between).T, np.delete(arcs, last, axis=1)]
    for cost, target in _onward(lang):
        parts.append(arcs[:, last] + np.array([0, 0, 0, cost, target])[:, None])
    return _fst(np.concatenate(parts, axis=1), num_states, {LOOP: 0.0})


def _by_word(lang: Lang, flat: list[tuple[int, float, tuple[int, ...]]],
             disambig: bool) -> FlatFst:
    """Return L with silence as likely as the words beside it make it (Chen et al., 2015).

    Words begin behind speech and behind silence, at different costs, and end in a state of their
    own, from which silence is as likely as behind this word.
    """
    probs = lang.silence_probs
    assert probs is not None
    beside = [lang.silence_beside[word, _without_mark(lang, phones)] for word, _, phones in flat]
    arcs, begins, last, num_states = _within_words(flat, 3)
    ends = num_states + np.arange(len(flat))
    arcs[4, last] = ends
    again = arcs[:, begins].copy()
    again[0] = BEHIND_SILENCE
    again[3] -= np.log([one.silence_before for one in beside])
    arcs[3, begins] -= np.log([one.speech_before for one in beside])
    marked = num_states + len(flat)  # between silence and its mark
    after_silence = marked if disambig else BEHIND_SILENCE
    between: Arcs = []
    for source, share in [(START, probs.begin), *zip(ends, (one.after for one in beside),
                                                     strict=True)]:
        for phone, probability, target in ((0, 1.0 - share, LOOP),
                                           (lang.optional_silence, share, after_silence)):
            if probability > 0:
                between.append((source, phone, 0, -math.log(probability), target))
    if disambig:
        between.append((marked, lang.silence_disambig, 0, 0.0, BEHIND_SILENCE))
        # Without these loops a backoff arc of the grammar could not pass through L.
        between += [(state, lang.disambig_phones[0], lang.words["#0"], 0.0, state)
                    for state in (LOOP, BEHIND_SILENCE)]
    return _fst(np.concatenate([arcs, again, np.array(between).T], axis=1), marked + disambig,
                {LOOP: -math.log(probs.end_speech), BEHIND_SILENCE: -math.log(probs.end_silence)})


def _without_mark(lang: Lang, phones: tuple[int, ...]) -> tuple[int, ...]:
    return phones[:-1] if phones[-1] >= lang.disambig_phones[0] else phones


def _fst(arcs: np.ndarray, num_states: int, finals: dict[int, float]) -> FlatFst:
    source, phone, word, cost, target = arcs
    final = np.full(num_states, np.inf, np.float32)
    for state, final_cost in finals.items():
        final[state] = final_cost
    return FlatFst.from_arcs(START, source.astype(np.int64), phone, word, cost, target, final)


def _within_words(pronunciations: list[tuple[int, float, tuple[int, ...]]],
                  num_states: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Lay each pronunciation out as a chain of arcs from LOOP.

    Returns
    -------
    (arcs, first arc of each pronunciation, its last one with target 0, number of states)
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
    return arcs, begins, ends - 1, num_states + int(inside.sum())


def _onward(lang: Lang) -> list[tuple[float, int]]:
    """Return (cost, next state) without silence, and with it unless its probability is 0."""
    ways = [(-math.log(1.0 - lang.sil_prob), LOOP)]
    if lang.sil_prob > 0:
        ways.append((-math.log(lang.sil_prob), SILENCE))
    return ways


def _between_words(lang: Lang, disambig: bool) -> tuple[Arcs, int]:
    """Return the arcs (source, phone, word, cost, target) outside words, and the states so far."""
    arcs: Arcs = [(START, 0, 0, cost, after) for cost, after in _onward(lang)]
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
