"""Owns decoding graphs of command lists, built at run time on plain arrays, without pynini.

Gives every utterance the best words and the cost that `compose.make_hclg` gives it with the
grammar `lm.grammar.command_grammar`. The steps are the same: the words' phones with optional
silence, determinised and minimised; put into context; HMM states for phones, determinised and
minimised; self-loops. What makes them quick: no weight or word moves within a symbol, and phones
whose states form a loop (silence) stay closed until the end, so that nothing has a cycle.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numba
import numpy as np

from hybridasr.errors import UserError
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.graph.automata import determinize, minimize
from hybridasr.graph.context import ContextFst, expand_context
from hybridasr.graph.openfst import FlatFst
from hybridasr.graph.self_loops import (
    GraphOptions,
    add_self_loops,
    forward_transitions,
    natural_scales,
)
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import IntPronunciation, Lang
from hybridasr.lexicon.phones import base_phone
from hybridasr.tree.tree import ContextTree

Phrase = tuple[int, ...]


def command_graph(phrases: Iterable[Sequence[int]], lang: Lang, transitions: TransitionModel,
                  tree: ContextTree, options: GraphOptions | None = None) -> DecodingGraph:
    """Build the decoding graph of one command an utterance, silence before, between and after.

    Parameters
    ----------
    phrases : iterable of word id sequences
        All equally likely; the same phrase twice counts once.
    lang : Lang
        Has a pronunciation of every word.
    tree : ContextTree
        Of any context width.

    Raises
    ------
    UserError
        if there is no phrase, one is empty, a word has no pronunciation, or the tree does not
        belong to the lexicon or the transition model.
    """
    options = options or natural_scales(transitions.topology)
    net = _phrase_net(_unique(phrases), partial(_pronunciations, lang), lang)
    lg = minimize(_labels_early(net))
    clg = expand_context(lg, tree, transitions.topology, [])
    closed, parts = _chains(clg, transitions)
    hclg = minimize(determinize(closed)[0])
    graph = _opened(hclg, parts, transitions.num_tids)
    costs = transitions.scaled_costs(options.transition_scale, options.self_loop_scale)
    return add_self_loops(graph, transitions, costs)


def same_sound(phrases: Iterable[Sequence[int]], lang: Lang) -> list[tuple[Phrase, Phrase]]:
    """Return the pairs of phrases that the same phones may stand for, breaks between words aside.

    Raises
    ------
    UserError
        as `command_graph`.
    """
    unique = _unique(phrases)
    names = {number: base_phone(phone) for phone, number in lang.phones.items()}
    numbers = {name: number for number, name in names.items()}

    def sounds(word: int) -> list[IntPronunciation]:
        return [(1.0, tuple(numbers[names[phone]] for phone in phones))
                for _, phones in _pronunciations(lang, word)]

    # Marks of places in the word and silences do not matter to the ear.
    net = _phrase_net(unique, sounds, replace(lang, sil_prob=0.0))
    silent = np.zeros(net.fst.num_arcs, np.int32)
    # Phrases that end in one state of the deterministic net share a way to be said.
    _, offsets, members = determinize(replace(net.fst, olabel=silent,
                                              weight=silent.astype(np.float32)))
    phrase = np.full(net.fst.num_states, -1)
    phrase[net.ends] = np.arange(len(unique))
    ends = np.flatnonzero(phrase[members] >= 0)
    subset = np.searchsorted(offsets, ends, side="right") - 1
    pairs = set()
    for group in np.split(phrase[members[ends]], np.flatnonzero(np.diff(subset)) + 1):
        pairs.update(itertools.combinations(sorted(group.tolist()), 2))
    return [(unique[one], unique[other]) for one, other in sorted(pairs)]


class _Net(NamedTuple):
    """All ways to say the phrases; a word's label and probability are on its last phone.

    Attributes
    ----------
    fst : FlatFst
        Input labels are phones.
    inside : int
        States from here on are within a word, those before between words.
    ends : int64 (num_phrases,)
        State that each phrase ends in, before the silence.
    pause : int
        Output label of the silence between words, none of a word's.
    """

    fst: FlatFst
    inside: int
    ends: np.ndarray
    pause: int


def _phrase_net(unique: list[Phrase], pronunciations: Callable[[int], list[IntPronunciation]],
                lang: Lang) -> _Net:
    """Lay out the phrases: a trie of words, each pronunciation a chain of arcs in it.

    Node v of the trie is state 2 v before the optional silence and 2 v + 1 behind it; words begin
    in both.
    """
    children: dict[tuple[int, int], int] = {}
    ends = []
    for phrase in unique:
        # Phrases with a common beginning share its nodes, which keeps the net small.
        node = 0
        for word in phrase:
            node = children.setdefault((node, word), len(children) + 1)
        ends.append(2 * node)
    rows = [(node, child, word, probability, phones) for (node, word), child in children.items()
            for probability, phones in pronunciations(word)]
    # One flat array of phones for all pronunciations: no Python loop over arcs.
    nodes, childs, words, probabilities, phones = zip(*rows, strict=True)
    length = np.fromiter(map(len, phones), np.int64, len(phones))
    last = np.cumsum(length) - 1
    first = last - length + 1
    phone = np.fromiter(itertools.chain.from_iterable(phones), np.int64, length.sum())
    inner = np.ones(len(phone), bool)
    inner[last] = False
    inside = 2 * len(children) + 2
    source, target, label = np.zeros((3, len(phone)), np.int64)
    weight = np.zeros(len(phone))
    target[inner] = inside + np.arange(inner.sum())
    target[last], label[last], weight[last] = 2 * np.array(childs), words, -np.log(probabilities)
    source[1:] = target[:-1]
    source[first] = 2 * np.array(nodes) + 1
    # First arcs once more, without silence before them; and the silences.
    onward = -math.log(1.0 - lang.sil_prob)
    before = np.arange(0, inside if lang.sil_prob > 0 else 0, 2)
    # A number that no word has, so that the silence is not taken for a word.
    pause = 1 + max(lang.words.values())
    source, phone, label, weight, target = (np.concatenate(parts) for parts in (
        (source, source[first] - 1, before),
        (phone, phone[first], np.full_like(before, lang.optional_silence)),
        (label, label[first], np.full_like(before, pause)),
        (weight, weight[first] + onward, np.full(len(before), -math.log(lang.sil_prob or 1.0))),
        (target, target[first], before + 1)))
    # All phrases are equally likely.
    weight[source == 0] += math.log(len(unique))
    final = np.full(inside + inner.sum(), np.inf, np.float32)
    final[ends] = onward
    final[np.array(ends) + 1] = 0.0
    fst = FlatFst.from_arcs(0, source, phone, label, weight, target, final)
    return _Net(fst, inside, np.array(ends), pause)


def _labels_early(net: _Net) -> FlatFst:
    """Determinise; move words and probabilities forward, to where they are certain.

    A word is certain in the state behind the phone that tells it from the others; it goes onto the
    arcs that leave this state, so that the phone before looks the same whatever follows.
    """
    lg, offsets, members = determinize(net.fst)
    inside = members[offsets[:-1]] >= net.inside
    olabel, weight = _early(lg.arc_offsets, lg.olabel, lg.weight.astype(np.float64), lg.nextstate,
                            inside)
    # The silence has done its work in the determinisation: it is no word.
    olabel[olabel == net.pause] = 0
    return replace(lg, olabel=olabel, weight=weight.astype(np.float32))


@numba.njit(cache=True, nogil=True)
def _early(offsets, olabel, weight, target, inside):
    """Return (output labels, weights) for `_labels_early`.

    The states inside words are trees whose branches have larger numbers.
    """
    olabel, weight = olabel.copy(), weight.copy()
    common = np.zeros(len(inside), olabel.dtype)  # word of all paths from a state, 0 if several
    # Backwards, because branches have larger numbers than their stems.
    least = np.zeros(len(inside))
    for state in range(len(inside) - 1, -1, -1):
        if not inside[state]:
            continue
        word, least[state] = -1, np.inf
        for arc in range(offsets[state], offsets[state + 1]):
            below = olabel[arc] if olabel[arc] > 0 else common[target[arc]]
            word = below if word == below or word < 0 else 0
            least[state] = min(least[state], weight[arc] + least[target[arc]])
        common[state] = word
    told = np.zeros(len(inside), np.bool_)
    for state in range(len(inside)):
        for arc in range(offsets[state], offsets[state + 1]):
            # Weight pushing: each arc gets what the best way behind it costs, as early as
            # possible.
            weight[arc] += least[target[arc]] - least[state]
            if inside[state]:
                if told[state]:
                    olabel[arc] = 0
                elif common[state] > 0:
                    olabel[arc] = common[state]
                told[target[arc]] = inside[target[arc]] and (told[state] or common[state] > 0)
    return olabel, weight


@dataclass(frozen=True)
class _Part:
    """The inside of a phone that stays closed for now: its states form no chain."""

    last: int  # the HMM state that emits nothing
    steps: list[tuple[int, int, int]]  # HMM state, next state, transition-id


def _chains(clg: ContextFst, transitions: TransitionModel) -> tuple[FlatFst, dict[int, _Part]]:
    """Replace each phone by the transition-ids through its states; its label is on the last.

    Returns
    -------
    (transducer, parts)
        Input labels are transition-ids, keys of `parts` (above the ids), and 0 before the first
        phone.
    """
    # A phone whose states only loop or go on can be laid out as a chain.
    straight = {entry: all(to in (number, number + 1) for number, state in enumerate(entry.states)
                           for to, _ in state.transitions)
                for entry in transitions.topology.entries}
    tids: list[tuple[int, ...]] = [(0,)]
    parts: dict[int, _Part] = {}
    for label, logical_phone in enumerate(clg.logical_phones, 1):
        entry = transitions.topology.for_phone(logical_phone[0])
        steps = forward_transitions(logical_phone, transitions)
        if straight[entry] and len(steps) == len(entry.states) - 1:
            tids.append(tuple(tid for _, _, tid in steps))
        else:
            tids.append((transitions.num_tids + label,))
            parts[transitions.num_tids + label] = _Part(len(entry.states) - 1, steps)
    tids.append((0,))  # no phone is complete yet
    length = np.fromiter(map(len, tids), np.int64, len(tids))
    begin = np.cumsum(length) - length
    flat = np.fromiter(itertools.chain.from_iterable(tids), np.int64, length.sum())

    fst = clg.fst
    arc = np.repeat(np.arange(fst.num_arcs), length[fst.ilabel])
    end = np.cumsum(length[fst.ilabel]) - 1
    step = np.arange(len(arc)) - (end - length[fst.ilabel] + 1)[arc]
    inner = np.ones(len(arc), bool)
    inner[end] = False
    target = np.where(inner, fst.num_states - 1 + np.cumsum(inner), fst.nextstate[arc])
    source = np.where(step == 0, fst.source[arc], np.roll(target, 1))
    final = np.concatenate([fst.final, np.full(inner.sum(), np.inf, np.float32)])
    return FlatFst.from_arcs(fst.start, source, flat[begin[fst.ilabel[arc]] + step],
                             np.where(inner, 0, fst.olabel[arc]),
                             np.where(inner, 0.0, fst.weight[arc]), target, final), parts


def _opened(fst: FlatFst, parts: Mapping[int, _Part], num_tids: int) -> DecodingGraph:
    """Replace the closed phones by their states; arcs to the same state share them."""
    source = fst.source
    plain = np.flatnonzero(fst.ilabel <= num_tids)
    arcs = [np.stack([source[plain], fst.ilabel[plain], fst.olabel[plain], fst.weight[plain],
                      fst.nextstate[plain]])]
    num_states = fst.num_states
    for label in np.setdiff1d(fst.ilabel, fst.ilabel[plain]).tolist():
        part = parts[label]
        entering = np.flatnonzero(fst.ilabel == label)
        # Arcs that lead to the same state go through the same copy of the phone.
        behind, index = np.unique(fst.nextstate[entering], return_inverse=True)
        inner = _inner_states(part)
        # States of each inner HMM state, one for each state behind the phone.
        places = {number: num_states + rank * len(behind) + np.arange(len(behind))
                  for rank, number in enumerate(inner)} | {part.last: behind}
        num_states += len(inner) * len(behind)
        for number, to, tid in part.steps:
            if number == 0:
                arcs.append(np.stack([source[entering], np.full(len(entering), tid),
                                      fst.olabel[entering], fst.weight[entering],
                                      places[to][index]]))
            if number in inner:
                rows = np.zeros((5, len(behind)))
                rows[0], rows[1], rows[4] = places[number], tid, places[to]
                arcs.append(rows)
    columns = np.concatenate(arcs, axis=1)
    final = np.concatenate([fst.final, np.full(num_states - fst.num_states, np.inf, np.float32)])
    return DecodingGraph.from_arcs(fst.start, *columns[:4], columns[4], final)


def _inner_states(part: _Part) -> list[int]:
    """Return the emitting HMM states of a phone that another of them, or it itself, leads to."""
    inner: dict[int, None] = {}
    queue = [0]
    for state in queue:
        for number, to, _ in part.steps:
            if number == state and to not in inner and to != part.last:
                inner[to] = None
                queue.append(to)
    return list(inner)


def _unique(phrases: Iterable[Sequence[int]]) -> list[Phrase]:
    unique = sorted({tuple(phrase) for phrase in phrases})
    if not unique:
        raise UserError("no command for the graph; give at least one")
    if not unique[0]:
        raise UserError("an empty command for the graph; remove it")
    return unique


def _pronunciations(lang: Lang, word: int) -> list[IntPronunciation]:
    choices = lang.pronunciations.get(word)
    if not choices:
        raise UserError(f"no pronunciation for '{lang.word_name(word)}'; add it to the lexicon and "
                        "run prepare-lang again", lang.path)
    return choices
