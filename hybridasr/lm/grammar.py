"""Owns G: command lists, written grammars and n-grams as acceptors of words (on pynini).

Costs are negative natural logs in the tropical semiring; labels are ids of words.txt.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from hybridasr.errors import UserError, name_some
from hybridasr.grammar.expressions import GO_ON
from hybridasr.grammar.rule_net import RuleNet
from hybridasr.lexicon.lexicon import UNKNOWN_WORD
from hybridasr.lexicon.own_lexicon import near_by_case
from hybridasr.lm.model_file import read_ngram
from hybridasr.lm.ngram import BEGIN, END, NgramModel, find_keys
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


def unigram_grammar(sentences: Iterable[Sequence[int]]) -> pynini.Fst:
    """Return the acceptor of any words, each as likely as it is frequent, as is the end.

    No smoothing: what a training set says, for its denominator lattices (Kaldi:
    make_unigram_grammar.pl).

    Parameters
    ----------
    sentences : iterable of sequences of word ids

    Raises
    ------
    UserError
        if there is no word.

    >>> fst = unigram_grammar([[3, 4], [3]])
    >>> [(arc.ilabel, round(float(arc.weight), 4)) for arc in fst.arcs(0)]
    [(3, 0.9163), (4, 1.6094)]
    """
    ends, counts = 0, Counter()
    for words in sentences:
        ends += 1
        counts.update(words)
    if not counts:
        raise UserError("no words to make a unigram model of; give utterances with transcripts")
    total = math.log(ends + counts.total())
    fst = pynini.Fst()
    state = fst.add_state()
    fst.set_start(state)
    fst.set_final(state, total - math.log(ends))
    for word, count in sorted(counts.items()):
        fst.add_arc(state, pynini.Arc(word, word, total - math.log(count), state))
    return fst


def ngram_grammar(model: NgramModel | PathLike, words: dict[str, int],
                  reasons: Mapping[str, str] | None = None) -> pynini.Fst:
    """Return the acceptor of a backoff n-gram model, as Kaldi's arpa2fst makes it.

    A state stands for a history; a backoff arc has #0 on its input side and nothing on its
    output side. As backing off is always allowed, a path that backs off although the longer
    n-gram is there may exist; it is the usual approximation of such graphs.

    Parameters
    ----------
    model : NgramModel, or the path of an ARPA file or a binary one
    words : dict word -> id
        Of words.txt; n-grams with other words are left out, with a warning. <UNK>, which KenLM's
        models always have, is no word that can be recognised: it is left out too.
    reasons : mapping word -> reason, optional
        Why a word is not in `words`, for the warning.

    Raises
    ------
    UserError
        if no word of the model is in `words`.
    """
    if not isinstance(model, NgramModel):
        model = read_ngram(model)
    left_out = {UNKNOWN_WORD, *_unknown_words(model, words, reasons or {})}
    said = np.array([word not in left_out for word in model.words])
    labels = [words.get(word, -1) for word in model.words]
    begin, end = model.ids.get(BEGIN, -1), model.ids[END]
    used = _without_words(model, said)
    states, backoffs = _history_states(model, used)
    fst = pynini.Fst()
    fst.add_states(1 + sum(len(rows) for rows, _ in states))
    fst.set_start(int(_state_after(model, states, np.array([[begin]]))[0]) if begin >= 0 else 0)
    for order in range(1, model.order + 1):
        rows = used[order - 1]
        ngrams = model.ngram_ids(order, rows)
        sources = (np.zeros(len(rows), int) if order == 1
                   else _numbers(states[order - 2], model.histories(order)[rows]))
        targets = _state_after(model, states, ngrams)
        # ARPA files have log10, graphs costs in natural logs.
        costs = -math.log(10) * model.log10_probs[order - 1][rows].astype(np.float64)
        for source, target, word, cost in zip(sources.tolist(), targets.tolist(),
                                              ngrams[:, -1].tolist(), costs.tolist(), strict=True):
            if word == end:
                fst.set_final(source, cost)
            elif word != begin:
                fst.add_arc(source, pynini.Arc(labels[word], labels[word], cost, target))
    for source, target, backoff in backoffs:
        # As in arpa2fst, #0 stands on the input side: it keeps L o G determinizable.
        fst.add_arc(source, pynini.Arc(words["#0"], 0, -backoff * math.log(10), target))
    return fst.connect().arcsort("ilabel")


def _unknown_words(model: NgramModel, words: dict[str, int],
                   reasons: Mapping[str, str]) -> list[str]:
    """Return the words of a model that `words` lacks, with a warning; `UserError` if all are."""
    vocabulary = [word for word in model.vocabulary if word not in (END, UNKNOWN_WORD)]
    unknown = [word for word in vocabulary if word not in words]
    cases = near_by_case(unknown, words)
    mend = (f"; {name_some([f'{word} is there as {entry}' for word, entry in cases])}: write the "
            "text in the same case" if cases else "")
    if reasons:
        mend += "; give pronunciations in the model's phones (--lexicon FILE)"
    shown = name_some([f"{word} ({reasons[word]})" if word in reasons else word
                       for word in unknown])
    if len(unknown) == len(vocabulary):
        raise UserError(f"no word of the language model is in words.txt (words of the model: "
                        f"{shown}){mend or '; make it from text with these words'}")
    if unknown:
        logger.warning("%d of the %d words of the language model are not in words.txt and are "
                       "left out: %s%s", len(unknown), len(vocabulary), shown, mend)
    return unknown


def _without_words(model: NgramModel, said: np.ndarray) -> list[np.ndarray]:
    """Return, order by order, the rows of the n-grams all of whose words can be said."""
    kept, rows = np.ones(1, bool), []
    for order in range(1, model.order + 1):
        kept = kept[model.histories(order)] & said[model.last_words(order)]
        rows.append(np.flatnonzero(kept))
    return rows


def _history_states(model: NgramModel, used: list[np.ndarray]
                    ) -> tuple[list[tuple[np.ndarray, int]], list[tuple[int, int, float]]]:
    """Give each history that some n-gram continues, and all its listed endings, a state.

    State 0 is the empty history.

    Returns
    -------
    states : list of (rows, first)
        For histories of each length 1, 2, ...: their rows, sorted; state number of the first.
    backoffs : list of (state, state of the ending, log10 backoff)
    """
    chosen = [np.zeros(count, bool) for count in model.num_ngrams[:-1]]
    for order in range(model.order, 1, -1):
        chosen[order - 2][model.histories(order)[used[order - 1]]] = True
    for length in range(model.order - 1, 1, -1):
        ngrams = model.ngram_ids(length, np.flatnonzero(chosen[length - 1]))
        for shorter in range(length - 1, 0, -1):
            endings = model.find(ngrams[:, length - shorter:])
            chosen[shorter - 1][endings[endings >= 0]] = True
    states, number = [], 1
    for mask in chosen:
        states.append((np.flatnonzero(mask), number))
        number += len(states[-1][0])
    backoffs = []
    for length, (rows, first) in enumerate(states, 1):
        endings = _state_after(model, states, model.ngram_ids(length, rows)[:, 1:])
        weights = model.log10_backoffs[length - 1][rows].tolist()
        backoffs += zip(range(first, first + len(rows)), endings.tolist(), weights, strict=True)
    return states, backoffs


def _state_after(model: NgramModel, states: list[tuple[np.ndarray, int]],
                 ngrams: np.ndarray) -> np.ndarray:
    """Return the state of the longest ending of each n-gram (count, n) that has one."""
    after = np.zeros(len(ngrams), np.int64)
    for length in range(1, min(ngrams.shape[1], len(states)) + 1):
        numbers = _numbers(states[length - 1], model.find(ngrams[:, ngrams.shape[1] - length:]))
        after = np.where(numbers >= 0, numbers, after)
    return after


def _numbers(states: tuple[np.ndarray, int], rows: np.ndarray) -> np.ndarray:
    """Return the state numbers of histories of one length; -1 for those without."""
    places = find_keys(states[0], rows)
    return np.where(places >= 0, places + states[1], -1)
