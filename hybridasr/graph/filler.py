"""Owns the filler: speech that is no command, as units, scores and a graph.

A unit stands for a phone in any context. Its likelihood is that of a mixture of the phone's
senones, weighted by how often each is used; one more unit, the garbage model GBG, mixes the
senones of all speech. A loop over the units with a phone bigram takes up words that are not in the
list (Rose and Paul, "A hidden Markov model based keyword recognition system", ICASSP 1990; the
mixture in place of a separate training: Bourlard, D'hoore and Boite, "Optimizing recognition and
rejection performance in wordspotting systems", ICASSP 1994). A network that has heard other speech
adds a unit for it, spoken noise. The units get phone and transition ids behind the model's own, so
that search, lattices and times need not know of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numba
import numpy as np

from hybridasr.graph.arrays import DecodingGraph
from hybridasr.graph.training import Template, phone_template
from hybridasr.hmm.topology import Topology, TopologyEntry
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import Lang
from hybridasr.lexicon.phones import base_phone
from hybridasr.lm.estimate import estimate_ngram
from hybridasr.lm.ngram import BEGIN, END, NgramModel
from hybridasr.tree.tree import ContextTree

# Units that are no phone: any senone, and what a network has learned as other speech.
GARBAGE, SPOKEN_NOISE = "GBG", "SPN"
FILLER_WORD = "<filler>"
UNIT_SHARE = 0.05  # of the probability of the next unit, after any: for each that is no phone


@dataclass(frozen=True)
class FillerUnits:
    """The units of a model.

    Attributes
    ----------
    transitions : TransitionModel
        The model's own, with the units as further phones and their mixtures as further pdfs.
    names : dict unit -> name
        The phone that a unit stands for, without the mark of its place in the word; GBG and,
        of a network that has heard other speech, SPN.
    num_pdfs : int
        Of the model.
    mixtures : Mixtures
    """

    transitions: TransitionModel
    names: dict[int, str]
    num_pdfs: int
    mixtures: "Mixtures"

    def scores(self, loglikes: np.ndarray) -> np.ndarray:
        """Append the mixtures' log likelihoods: float32 (num_frames, num_pdfs + num_mixtures)."""
        loglikes = np.ascontiguousarray(loglikes, np.float32)
        # Relative to the best senone, so that the exponential does not underflow.
        best = loglikes.max(axis=1, keepdims=True, initial=-1e30)
        scores = np.empty((len(loglikes), self.num_pdfs + len(self.mixtures.ends)), np.float32)
        scores[:, :self.num_pdfs] = loglikes
        mixed = scores[:, self.num_pdfs:]
        _mix(np.exp(loglikes - best), *self.mixtures, mixed)
        np.log(mixed, out=mixed)
        mixed += best
        return scores


class Mixtures(NamedTuple):
    """Of each mixture the senones that have a weight: a few of hundreds.

    Attributes
    ----------
    ends : int64 (num_mixtures,)
        Behind the last senone of each mixture, in the other two.
    senones : int64 (num_weights,)
    weights : float32 (num_weights,)
        Those of a mixture sum to one.
    """

    ends: np.ndarray
    senones: np.ndarray
    weights: np.ndarray


@numba.njit(cache=True, nogil=True)
def _mix(likelihoods, ends, senones, weights, mixed):
    """Fill `mixed` (frames, mixtures) with sums of likelihoods (frames, senones), or 1e-30."""
    least = np.float32(1e-30)
    for frame in range(len(mixed)):
        begin = 0
        for mixture in range(len(ends)):
            total = np.float32(0.0)
            for place in range(begin, ends[mixture]):
                total += weights[place] * likelihoods[frame, senones[place]]
            begin = ends[mixture]
            mixed[frame, mixture] = max(total, least)


def filler_units(lang: Lang, transitions: TransitionModel,
                 log_priors: np.ndarray | None = None, noise_pdf: int | None = None
                 ) -> FillerUnits:
    """Make the units of a model's speech phones.

    Parameters
    ----------
    log_priors : float (num_pdfs,), optional
        How often each senone is used; without it all count equally.
    noise_pdf : int, optional
        The pdf that stands for other speech, if the network has heard any.
    """
    num_pdfs = transitions.num_pdfs
    priors = np.full(num_pdfs, 1.0) if log_priors is None else np.exp(
        log_priors.astype(np.float64))
    tuples = transitions.tuples
    groups: dict[str, list[int]] = {}
    for phone in lang.nonsilence_phones:
        groups.setdefault(base_phone(lang.phone_name(phone)), []).append(phone)
    groups[GARBAGE] = lang.nonsilence_phones
    if noise_pdf is not None:
        groups[SPOKEN_NOISE] = lang.nonsilence_phones  # as long as any phone
    names = list(groups)
    # Behind all phones and disambiguation symbols.
    first = 1 + max(*lang.phones.values(), *transitions.topology.phones)
    entries: dict[int, list[int]] = {}  # topology entry -> its units
    rows: list[tuple[int, int, int]] = []
    log_probs: list[np.ndarray] = [transitions.log_probs]
    members: list[np.ndarray] = []  # senones of each mixture, and their weights
    shares: list[np.ndarray] = []
    for unit, phones in enumerate(groups.values(), first):
        own = tuples[np.isin(tuples[:, 0], phones)]
        entry = transitions.topology.for_phone(phones[0])
        entries.setdefault(transitions.topology.entries.index(entry), []).append(unit)
        for state in range(len(entry.states) - 1):
            states = np.flatnonzero(own[:, 1] == state)
            weights = np.zeros(num_pdfs)
            # Several phones may share a senone; it counts once.
            np.maximum.at(weights, own[states, 2], priors[own[states, 2]])
            rows.append((unit, state, num_pdfs + len(members)))
            if names[unit - first] == SPOKEN_NOISE:
                weights = np.eye(1, num_pdfs, noise_pdf)[0]
            members.append(np.flatnonzero(weights))
            shares.append(weights[members[-1]] / weights.sum())
            log_probs.append(_average(transitions, own[states], priors))
    topology = Topology(tuple(
        TopologyEntry((*entry.phones, *entries.get(number, ())), entry.states)
        for number, entry in enumerate(transitions.topology.entries)))
    extended = TransitionModel(topology, [*map(tuple, tuples.tolist()), *rows],
                               np.concatenate(log_probs))
    return FillerUnits(extended, dict(enumerate(groups, first)),
                       num_pdfs, Mixtures(np.cumsum([*map(len, members)]), np.concatenate(members),
                                          np.concatenate(shares).astype(np.float32)))


def _average(transitions: TransitionModel, tuples: np.ndarray, priors: np.ndarray) -> np.ndarray:
    """Return the log of the average transition probabilities out of some transition-states."""
    weights = priors[tuples[:, 2]]
    rows = [transitions.log_probs[list(transitions.tids(transitions.transition_state(*row)))]
            for row in tuples.tolist()]
    return np.log(np.average(np.exp(np.array(rows, np.float64)), axis=0, weights=weights))


def unit_bigram(lang: Lang, units: FillerUnits) -> NgramModel:
    """Estimate the phone bigram from the lexicon, every pronunciation counting once."""
    speech = set(lang.nonsilence_phones)
    # Words alone: how often each is said, nobody knows.
    sentences = {tuple(base_phone(lang.phone_name(phone)) for phone in phones)
                 for choices in lang.pronunciations.values() for _, phones in choices
                 if speech.issuperset(phones)}
    return estimate_ngram(sorted(sentences), 2, "witten-bell")


def silence_graph(lang: Lang, transitions: TransitionModel, tree: ContextTree,
                  costs: np.ndarray) -> DecodingGraph:
    """Return the graph of an utterance in which nobody speaks.

    Parameters
    ----------
    costs : float32 (num_tids + 1,)
        Cost of each transition-id.
    """
    builder = _Builder(costs)
    end = builder.state()
    builder.phone(0, end, _silence(lang, transitions, tree))
    return builder.graph(end)


def filler_graph(lang: Lang, units: FillerUnits, tree: ContextTree, bigram: NgramModel,
                 label: int, costs: np.ndarray) -> DecodingGraph:
    """Return the loop over the units, with optional silence at both ends.

    Parameters
    ----------
    label : int
        The word that the whole loop gives for any speech.
    costs : float32 (num_tids + 1,)
        Cost of each transition-id of `units.transitions`.
    """
    builder = _Builder(costs)
    silence = _silence(lang, units.transitions, tree)
    speech, after, end = builder.state(), builder.state(), builder.state()
    for source, target in ((0, speech), (after, end)):
        builder.arc(source, target, cost=-math.log(1 - lang.sil_prob))
        if lang.sil_prob > 0:
            builder.phone(source, target, silence, -math.log(lang.sil_prob))
    # One copy of each unit, with a state before and one behind it.
    numbers = {name: unit for unit, name in units.names.items()}
    into = {name: builder.state() for name in numbers}
    out = {name: builder.state() for name in numbers}
    tuples = units.transitions.tuples
    for name, unit in numbers.items():
        pdfs = tuple(tuples[tuples[:, 0] == unit, 2].tolist())
        builder.phone(into[name], out[name], phone_template(unit, pdfs, units.transitions))
    any_unit = builder.state()
    others = [name for name in numbers if name in (GARBAGE, SPOKEN_NOISE)]
    own = -math.log(1 - UNIT_SHARE * len(others))
    histories = {BEGIN: builder.state(), **out}
    builder.arc(speech, histories[BEGIN], label)
    for (history,), _, backoff in bigram.entries(1):
        if history != END:
            builder.arc(histories[history], any_unit, cost=own - backoff * math.log(10))
    for (name,), probability, _ in bigram.entries(1):
        if name not in (BEGIN, END):
            builder.arc(any_unit, into[name], cost=-probability * math.log(10))
    for (history, name), probability, _ in bigram.entries(2):
        builder.arc(histories[history], after if name == END else into[name],
                    cost=own - probability * math.log(10))
    # Any unit may be the last, and what is no phone may come anywhere.
    last = -math.log(10) * bigram.log10_prob(END)
    builder.arc(any_unit, after, cost=last)
    for other in others:
        for state in histories.values():
            builder.arc(state, into[other], cost=-math.log(UNIT_SHARE))
        builder.arc(out[other], any_unit, cost=own)
    return builder.graph(end)


def join_graphs(graphs: Sequence[DecodingGraph]) -> DecodingGraph:
    """Put graphs in parallel: epsilon arcs without cost lead from a new start to each."""
    sizes = [graph.num_states for graph in graphs]
    # State 0 is the new start.
    begins = 1 + np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    source = np.concatenate([np.zeros(len(graphs), np.int64), *(
        begin + np.repeat(np.arange(graph.num_states), np.diff(graph.arc_offsets))
        for graph, begin in zip(graphs, begins, strict=True))])
    starts = [graph.start + begin for graph, begin in zip(graphs, begins, strict=True)]
    target = np.concatenate([starts, *(graph.nextstate + begin for graph, begin
                                       in zip(graphs, begins, strict=True))])
    nothing = np.zeros(len(graphs), np.int32)
    return DecodingGraph.from_arcs(
        0, source, np.concatenate([nothing, *(graph.ilabel for graph in graphs)]),
        np.concatenate([nothing, *(graph.olabel for graph in graphs)]),
        np.concatenate([nothing, *(graph.weight for graph in graphs)]), target,
        np.concatenate([[np.inf], *(graph.final for graph in graphs)]))


def surround_graph(graph: DecodingGraph, loop: DecodingGraph) -> DecodingGraph:
    """Let a graph be spoken in the middle of anything else: loop or nothing on either side of it.

    Parameters
    ----------
    loop : DecodingGraph
        As from `filler_graph`; its label is left out, so that the words are those of `graph`.

    Examples
    --------
    >>> word = DecodingGraph.from_arcs(0, [0], [1], [7], [0.5], [1], [np.inf, 0.0])
    >>> loop = DecodingGraph.from_arcs(0, [0, 1], [2, 2], [9, 0], [1.0, 1.0], [1, 1], [np.inf, 0.0])
    >>> inside = surround_graph(word, loop)
    >>> inside.num_states, inside.num_arcs, sorted(inside.olabel[inside.olabel > 0].tolist())
    (6, 8, [7])
    """
    silent = replace(loop, olabel=np.zeros_like(loop.olabel))
    parts = (silent, graph, silent)
    first, begin, last = np.cumsum([0, loop.num_states, graph.num_states]).tolist()
    num_states = last + loop.num_states
    # (source, target, cost) of the epsilon arcs between the parts: a final cost is paid on them.
    joints = [(first + loop.start, begin + graph.start, 0.0)]
    joints += [(first + state, begin + graph.start, cost) for state, cost in _finals(loop)]
    joints += [(begin + state, last + loop.start, cost) for state, cost in _finals(graph)]
    final = np.full(num_states, np.inf, np.float32)
    final[begin:last] = graph.final
    final[last:] = loop.final
    source = [offset + np.repeat(np.arange(part.num_states), np.diff(part.arc_offsets))
              for offset, part in zip((first, begin, last), parts, strict=True)]
    target = [offset + part.nextstate
              for offset, part in zip((first, begin, last), parts, strict=True)]
    sources, targets, costs = (np.array(column) for column in zip(*joints, strict=True))
    nothing = np.zeros(len(joints), np.int32)
    return DecodingGraph.from_arcs(
        first + loop.start, np.concatenate([*source, sources]),
        np.concatenate([*(part.ilabel for part in parts), nothing]),
        np.concatenate([*(part.olabel for part in parts), nothing]),
        np.concatenate([*(part.weight for part in parts), costs]),
        np.concatenate([*target, targets]), final)


def _finals(graph: DecodingGraph) -> list[tuple[int, float]]:
    """Return the final states with their costs."""
    states = np.flatnonzero(np.isfinite(graph.final))
    return list(zip(states.tolist(), graph.final[states].tolist(), strict=True))


def _silence(lang: Lang, transitions: TransitionModel, tree: ContextTree) -> Template:
    """Return the template of silence without neighbours."""
    window = [0] * tree.context_width
    window[tree.central_position] = lang.optional_silence
    states = transitions.topology.for_phone(lang.optional_silence).states[:-1]
    pdfs = tuple(tree.pdf(tuple(window), state.pdf_class) for state in states)
    return phone_template(lang.optional_silence, pdfs, transitions)


class _Builder:
    """Collects the arcs of a small graph; state 0 is the start."""

    def __init__(self, costs: np.ndarray):
        self._costs = costs
        self._rows: list[tuple[int, int, int, int, float]] = []
        self._states = 1

    def state(self) -> int:
        """Add a state."""
        self._states += 1
        return self._states - 1

    def arc(self, source: int, target: int, label: int = 0, cost: float = 0.0) -> None:
        """Add an epsilon arc."""
        self._rows.append((source, target, 0, label, cost))

    def phone(self, source: int, target: int, template: Template, cost: float = 0.0) -> None:
        """Add the HMM of a phone between two states."""
        base, costs = self._states, self._costs
        self._states += template.num_nodes
        self._rows += [(source, base + node, tid, 0, cost + costs[tid])
                       for node, tid in template.entries]
        self._rows += [(base + a, base + b, tid, 0, costs[tid]) for a, b, tid in template.inner]
        self._rows += [(base + node, target, 0, 0, 0.0) for node in template.exits]

    def graph(self, end: int) -> DecodingGraph:
        """Return the graph; `end` is the only final state."""
        final = np.full(self._states, np.inf, np.float32)
        final[end] = 0.0
        source, target, tids, labels, costs = map(np.array, zip(*self._rows, strict=True))
        return DecodingGraph.from_arcs(0, source, tids, labels, costs, target, final)
