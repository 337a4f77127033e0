"""Owns H: from transition-ids to phones, self-loops left out, and the adding of self-loops.

H has no weights: a transition-id's cost depends on nothing but the id, so costs are added to the
finished graph (`TransitionModel.scaled_costs`). The input labels above the last transition-id
stand for the disambiguation symbols.
"""

import numpy as np
import pynini

from hybridasr.graph.arrays import DecodingGraph
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import Lang
from hybridasr.tree.tree import ContextTree


def hmm_fst(lang: Lang, transitions: TransitionModel, tree: ContextTree) -> pynini.Fst:
    """Return H for monophones: any sequence of phones; arcs sorted by output label."""
    fst = pynini.Fst()
    loop = fst.add_state()
    fst.set_start(loop)
    fst.set_final(loop)
    for phone in transitions.topology.phones:
        states = transitions.topology.for_phone(phone).states
        inside = {number: fst.add_state() for number in range(len(states) - 1)}
        inside[len(states) - 1] = loop
        for number, state in enumerate(states[:-1]):
            pdf = tree.pdf((phone,), state.pdf_class)
            tstate = transitions.transition_state(phone, number, pdf)
            for index, (to, _) in enumerate(state.transitions):
                if to == number:
                    continue
                tid = transitions.transition_id(tstate, index)
                if number == 0:
                    fst.add_arc(loop, pynini.Arc(tid, phone, 0, inside[to]))
                fst.add_arc(inside[number], pynini.Arc(tid, 0, 0, inside[to]))
    for number, symbol in enumerate(lang.disambig_phones):
        fst.add_arc(loop, pynini.Arc(transitions.num_tids + 1 + number, symbol, 0, loop))
    fst.connect()
    return fst.arcsort("olabel")


def add_self_loops(graph: DecodingGraph, transitions: TransitionModel,
                   costs: np.ndarray) -> DecodingGraph:
    """Put each HMM state's self-loop behind its forward transition, and add transition costs.

    A state that is entered through one HMM state only gets that one's self-loop. Another (or one
    also entered by epsilon) gets a state for each HMM state in front of it, with the self-loop
    and an epsilon arc onward (Kaldi's AddSelfLoopsReorder).

    Parameters
    ----------
    costs : float32 (num_tids + 1,)
        Cost of each transition-id; ``costs[0]`` is 0.
    """
    loops = np.zeros(transitions.num_tids + 1, np.int64)
    ids = np.flatnonzero(transitions.tid_is_self_loop)
    loop_of_state = np.zeros(transitions.num_states + 1, np.int64)
    loop_of_state[transitions.tid_state[ids]] = ids
    loops[1:] = loop_of_state[transitions.tid_state[1:]]

    source = np.repeat(np.arange(graph.num_states), np.diff(graph.arc_offsets))
    target = graph.nextstate.astype(np.int64)
    entered = np.where(graph.ilabel > 0, loops[graph.ilabel], 0)  # self-loop wanted behind the arc
    pairs, index = np.unique(np.stack([target, entered]), axis=1, return_inverse=True)
    index = index.reshape(-1)
    kinds = np.bincount(pairs[0], minlength=graph.num_states)
    kinds[graph.start] += 1  # entered by nothing as well
    wants = pairs[1] > 0
    split = wants & (kinds[pairs[0]] > 1)
    place = pairs[0].copy()
    place[split] = graph.num_states + np.arange(split.sum())

    new_source = np.concatenate([source, place[wants], place[split]])
    new_target = np.concatenate([place[index], place[wants], pairs[0][split]])
    nothing = np.zeros(int(split.sum()), np.int64)
    ilabel = np.concatenate([graph.ilabel, pairs[1][wants], nothing])
    olabel = np.concatenate([graph.olabel, np.zeros(int(wants.sum()), np.int64), nothing])
    weight = np.concatenate([graph.weight, np.zeros(int(wants.sum() + split.sum()))])
    final = np.concatenate([graph.final, np.full(int(split.sum()), np.inf, np.float32)])
    return DecodingGraph.from_arcs(graph.start, new_source, ilabel, olabel,
                                   weight + costs[ilabel], new_target, final)
