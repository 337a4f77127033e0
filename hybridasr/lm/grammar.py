"""Owns G: command lists, written grammars and n-grams as acceptors of words (on pynini).

Costs are negative natural logs in the tropical semiring; labels are ids of words.txt.
"""

import math
from collections.abc import Mapping, Sequence

from hybridasr.errors import UserError, name_some
from hybridasr.grammar.expressions import GO_ON
from hybridasr.grammar.rule_net import RuleNet
from hybridasr.lexicon.own_lexicon import near_by_case
from hybridasr.lm.arpa import read_arpa
from hybridasr.lm.ngram import BEGIN, END, NgramModel
from hybridasr.lm.pynini_import import pynini
from hybridasr.progress import logger
from hybridasr.storage import PathLike

MAX_LOOP_STATES = 50_000  # of a grammar with repetitions


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
    # In a loop the end has a choice: to stop, or to go back for one more phrase.
    fst.set_final(end, -math.log(1 - GO_ON) if loop else 0.0)
    # All phrases are equally likely: each costs -log(1 / count).
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
        # OpenFst determinises an epsilon like any other label, so it must go first.
        fst.rmepsilon()
    # Phrases with a common beginning share it after this, so the search splits later.
    return pynini.determinize(fst).minimize().arcsort("ilabel")


def rule_grammar(net: RuleNet, words: dict[str, int]) -> pynini.Fst:
    """Return the acceptor of a written grammar.

    The cost of a sentence is the negative log of its probability: summed over its derivations, or,
    where the grammar has repetitions, of its likeliest one.

    Parameters
    ----------
    net : RuleNet
        As from `grammar.rule_net.rule_net`; sentences need not be finite in number.
    words : dict word -> id

    Raises
    ------
    UserError
        if a word is not in `words`, or no finite acceptor is deterministic: two repetitions may
        have the same words with different weights.
    """
    unknown = [word for word in net.places if word not in words]
    if unknown:
        raise UserError(f"word '{unknown[0]}' is not in words.txt; add it to the lexicon and run "
                        "prepare-lang again")
    # In the log semiring, derivations of one sentence add up.
    fst = pynini.Fst(arc_type="log")
    fst.add_states(net.num_states)
    fst.set_start(net.start)
    fst.set_final(net.end)
    for arc in net.arcs:
        label = 0 if arc.word is None else words[arc.word]
        fst.add_arc(arc.source, pynini.Arc(
            label, label, pynini.Weight("log", -math.log(arc.probability)), arc.target))
    if fst.connect().properties(pynini.ACYCLIC, True) == pynini.ACYCLIC:
        fst = pynini.arcmap(pynini.determinize(fst.rmepsilon()), map_type="to_std")
    else:
        # With loops it may never end, so that states are counted; and sums of ever more
        # derivations would need a state for each length.
        fst = pynini.arcmap(fst, map_type="to_std").rmepsilon()
        fst = pynini.determinize(fst, nstate=MAX_LOOP_STATES)
        if fst.num_states() >= MAX_LOOP_STATES:
            raise UserError("two repetitions of the grammar have the same words with different "
                            "weights, and no finite graph tells them apart; write one repetition "
                            "for both, or give them the same alternatives")
    return fst.minimize().arcsort("ilabel")


def ngram_grammar(model: NgramModel | PathLike, words: dict[str, int],
                  reasons: Mapping[str, str] | None = None) -> pynini.Fst:
    """Return the acceptor of a backoff n-gram model, as Kaldi's arpa2fst makes it.

    A state stands for a history; a backoff arc has #0 on its input side and nothing on its
    output side. As backing off is always allowed, a path that backs off although the longer
    n-gram is there may exist; it is the usual approximation of such graphs.

    Parameters
    ----------
    model : NgramModel, or the path of an ARPA file
    words : dict word -> id
        Of words.txt; n-grams with other words are left out, with a warning.
    reasons : mapping word -> reason, optional
        Why a word is not in `words`, for the warning.

    Raises
    ------
    UserError
        if no word of the model but <UNK> is in `words`.
    """
    if not isinstance(model, NgramModel):
        model = read_arpa(model)
    unknown = _unknown_words(model, words, reasons or {})
    left_out = set(unknown)
    tables = [{ngram: entry for ngram, entry in table.items() if left_out.isdisjoint(ngram)}
              for table in model.ngrams]
    fst = pynini.Fst()
    states = {history: fst.add_state() for history in _histories(tables)}
    fst.set_start(states[_known((BEGIN,), states)])
    for table in tables:
        for ngram, (probability, _) in table.items():
            history, word = ngram[:-1], ngram[-1]
            if history not in states or word == BEGIN:
                continue
            # ARPA files have log10, graphs costs in natural logs.
            cost = -probability * math.log(10)
            if word == END:
                fst.set_final(states[history], cost)
            else:
                after = states[_known(ngram, states)]
                fst.add_arc(states[history], pynini.Arc(words[word], words[word], cost, after))
    for history, state in states.items():
        if history:
            # As in arpa2fst, #0 stands on the input side: it keeps L o G determinizable.
            backoff = tables[len(history) - 1].get(history, (0.0, 0.0))[1]
            fst.add_arc(state, pynini.Arc(words["#0"], 0, -backoff * math.log(10),
                                          states[_known(history[1:], states)]))
    return fst.connect().arcsort("ilabel")


def _unknown_words(model: NgramModel, words: dict[str, int],
                   reasons: Mapping[str, str]) -> list[str]:
    """Return the words of a model that `words` lacks, with a warning; `UserError` if all are."""
    vocabulary = [word for word in model.vocabulary if word != END]
    unknown = [word for word in vocabulary if word not in words]
    cases = near_by_case(unknown, words)
    mend = (f"; {name_some([f'{word} is there as {entry}' for word, entry in cases])}: write the "
            "text in the same case" if cases else "")
    if reasons:
        mend += "; give pronunciations in the model's phones (--lexicon FILE)"
    shown = name_some([f"{word} ({reasons[word]})" if word in reasons else word
                       for word in unknown])
    # <UNK> alone is no language: every word that is said would be an unknown one.
    if not any(word in words and word.strip("<>").upper() != "UNK" for word in vocabulary):
        raise UserError(f"no word of the language model is in words.txt (words of the model: "
                        f"{shown}){mend or '; make it from text with these words'}")
    if unknown:
        logger.warning("%d of the %d words of the language model are not in words.txt and are "
                       "left out: %s%s", len(unknown), len(vocabulary), shown, mend)
    return unknown


def _histories(tables: list[dict]) -> list[tuple[str, ...]]:
    """List the histories that some n-gram continues, and all their endings."""
    histories = {()}
    for table in tables[1:]:
        for ngram in table:
            histories.update(ngram[start:-1] for start in range(len(ngram)))
    return sorted(histories, key=lambda history: (len(history), history))


def _known(history: tuple[str, ...], states: dict[tuple[str, ...], int]) -> tuple[str, ...]:
    """Return the longest ending of `history` that has a state."""
    while history not in states:
        history = history[1:]
    return history
