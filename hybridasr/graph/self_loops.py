"""Owns HMM states in graphs: the transitions of a phone, and the adding of costs and self-loops.

A transition-id's cost depends on nothing but the id (`TransitionModel.scaled_costs`), so it is
added to the finished graph. On plain arrays, without pynini.
"""

from dataclasses import dataclass

import numpy as np

from hybridasr.errors import UserError
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.graph.context import LogicalPhone
from hybridasr.hmm.topology import Topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.options import option


@dataclass(frozen=True)
class GraphOptions:
    """Scales of the transition probabilities in the graph (Kaldi's mkgraph.sh)."""

    transition_scale: float = option(1.0, "factor on transition log probabilities")
    self_loop_scale: float = option(0.1, "factor on self-loop log probabilities")


def natural_scales(topology: Topology) -> GraphOptions:
    """Return the scales that suit a topology where none are given.

    The defaults; of lattice-free MMI, those with which every output costs the same, as in its
    training.
    """
    return GraphOptions(1.0, 1.0) if topology.is_chain else GraphOptions()


def forward_transitions(logical_phone: LogicalPhone,
                        transitions: TransitionModel) -> list[tuple[int, int, int]]:
    """Return (HMM state, next state, transition-id) of a phone in context, self-loops left out.

    Raises
    ------
    UserError
        if the transition model does not have the pdfs.
    """
    phone, pdfs = logical_phone
    rows = []
    states = transitions.topology.for_phone(phone).states
    for number, (state, pdf) in enumerate(zip(states[:-1], pdfs, strict=True)):
        try:
            tid = transitions.transition_id(transitions.transition_state(phone, number, pdf), 0)
        except KeyError:
            raise UserError(f"the tree gives pdf {pdf} to state {number} of phone {phone}, the "
                            "transition model does not allow it; use the tree that the model was "
                            "trained with") from None
        rows += [(number, to, tid + index) for index, (to, _) in enumerate(state.transitions)
                 # Arcs to the state itself are self-loops, which come at the end
                 # (`add_self_loops`).
                 if to != number and transitions.is_possible(tid + index)]
    return rows


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
    keys, index = np.unique(target * len(loops) + entered, return_inverse=True)
    pairs = np.stack(np.divmod(keys, len(loops)))
    # How many different self-loops (0: none) meet in a state.
    kinds = np.bincount(pairs[0], minlength=graph.num_states)
    kinds[graph.start] += 1  # entered by nothing as well
    wants = pairs[1] > 0
    # More than one kind: with a shared state a path could take another phone's self-loop.
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
