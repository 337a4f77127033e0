"""Owns G: command lists and n-grams as acceptors of words (on pynini).

Costs are negative natural logs in the tropical semiring; labels are ids of words.txt.
"""

import math
from collections.abc import Sequence

import pynini

from hybridasr.errors import UserError

GO_ON = 0.5  # probability that another phrase follows in a loop


def command_grammar(phrases: Sequence[Sequence[str]], words: dict[str, int],
                    loop: bool = False) -> pynini.Fst:
    """Return the acceptor of one phrase an utterance, or of a loop of phrases.

    Parameters
    ----------
    phrases : sequence of word sequences
        All equally likely; the same phrase twice counts once.
    words : dict word -> id
    loop : bool
        One or more phrases; after each, the next follows with probability 0.5.

    Raises
    ------
    UserError
        if there is no phrase, one is empty, or a word is not in `words`.
    """
    listed = [tuple(words.get(word, -1) for word in phrase) for phrase in phrases]
    for phrase, ids in zip(phrases, listed, strict=True):
        if not ids:
            raise UserError("an empty phrase in the grammar; remove it")
        if -1 in ids:
            raise UserError(f"word '{phrase[ids.index(-1)]}' is not in words.txt; add it to the "
                            "lexicon and run prepare-lang again")
    unique = sorted(set(listed))
    if not unique:
        raise UserError("no phrase for the grammar; write one command a line")
    fst = pynini.Fst()
    start, end = fst.add_state(), fst.add_state()
    fst.set_start(start)
    fst.set_final(end, -math.log(1 - GO_ON) if loop else 0.0)
    cost = math.log(len(unique))
    for ids in unique:
        state, weight = start, cost
        for word in ids[:-1]:
            following = fst.add_state()
            fst.add_arc(state, pynini.Arc(word, word, weight, following))
            state, weight = following, 0.0
        fst.add_arc(state, pynini.Arc(ids[-1], ids[-1], weight, end))
    if loop:
        fst.add_arc(end, pynini.Arc(0, 0, -math.log(GO_ON), start))
        fst.rmepsilon()
    return pynini.determinize(fst).minimize().arcsort("ilabel")


def ngram_grammar(arpa, words):
    raise UserError("not yet")
