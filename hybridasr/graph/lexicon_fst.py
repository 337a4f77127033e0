"""Owns L: the lexicon as a transducer from phones to words, with and without disambiguation.

As Kaldi's make_lexicon_fst.py: optional silence at the start and after every word; the word is on
the first phone. L_disambig tells homophones and prefixes apart by symbols #1 #2 ..., marks
silence by a symbol of its own and lets #0 of a backoff grammar through.
"""

import math

import pynini

from hybridasr.lexicon.langdir import Lang
from hybridasr.storage import atomic_path

START, LOOP, SILENCE = 0, 1, 2


def lexicon_fst(lang: Lang, disambig: bool) -> pynini.Fst:
    """Return L, or L_disambig if `disambig`; arcs sorted by output label."""
    fst = pynini.Fst()
    fst.add_states(3)
    fst.set_start(START)
    fst.set_final(LOOP)
    # What it costs to go on without and with silence; without is all there is if it is never.
    onward = [(-math.log(1.0 - lang.sil_prob), LOOP)]
    if lang.sil_prob > 0:
        onward.append((-math.log(lang.sil_prob), SILENCE))
    for cost, target in onward:
        fst.add_arc(START, pynini.Arc(0, 0, cost, target))
    if lang.sil_prob > 0:
        after = fst.add_state() if disambig else LOOP
        fst.add_arc(SILENCE, pynini.Arc(lang.optional_silence, 0, 0, after))
        if disambig:
            fst.add_arc(after, pynini.Arc(lang.silence_disambig, 0, 0, LOOP))
    flat = lang.disambig_pronunciations if disambig else [
        (word, probability, phones) for word, choices in lang.pronunciations.items()
        for probability, phones in choices]
    for word, probability, phones in flat:
        state, label, cost = LOOP, word, -math.log(probability)
        for phone in phones[:-1]:
            following = fst.add_state()
            fst.add_arc(state, pynini.Arc(phone, label, cost, following))
            state, label, cost = following, 0, 0.0
        for pause, target in onward:
            fst.add_arc(state, pynini.Arc(phones[-1], label, cost + pause, target))
    if disambig:
        fst.add_arc(LOOP, pynini.Arc(lang.disambig_phones[0], lang.words["#0"], 0, LOOP))
    return fst.arcsort("olabel")


def write_lexicon_fsts(lang: Lang) -> None:
    """Write ``L.fst`` and ``L_disambig.fst`` into the lang directory (OpenFst binary)."""
    for name, disambig in (("L.fst", False), ("L_disambig.fst", True)):
        with atomic_path(lang.path / name) as path:
            lexicon_fst(lang, disambig).write(str(path))

