"""Owns H: from transition-ids to logical phones, self-loops left out, and the adding of self-loops.

H has no weights: a transition-id's cost depends on nothing but the id, so costs are added to the
finished graph (`TransitionModel.scaled_costs`). The input labels above the last transition-id
stand for the disambiguation symbols.
"""

import numpy as np
import pynini

from hybridasr.errors import UserError
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.graph.context import LogicalPhone
from hybridasr.graph.openfst import FlatFst, fst_bytes
from hybridasr.hmm.transitions import TransitionModel


def hmm_fst(logical_phones: list[LogicalPhone], num_symbols: int,
            transitions: TransitionModel) -> pynini.Fst:
    """Return H: any sequence of logical phones; arcs sorted by output label.

    Parameters
    ----------
    logical_phones : list of (phone, pdfs)
        Output labels from 1 on.
    num_symbols : int
        The output labels after those pass through as disambiguation symbols.

    Raises
    ------
    UserError
        if the transition model does not have the pdfs.
    """
    rows: list[tuple[int, int, int, int]] = []  # source, tid, label, target
    loop, num_states = 0, 1
    for label, (phone, pdfs) in enumerate(logical_phones, 1):
        states = transitions.topology.for_phone(phone).states
        inside = [*range(num_states, num_states + len(states) - 1), loop]
        num_states += len(states) - 1
        for number, (state, pdf) in enumerate(zip(states[:-1], pdfs, strict=True)):
            try:
                tid = transitions.transition_id(
                    transitions.transition_state(phone, number, pdf), 0)
            except KeyError:
                raise UserError(f"the tree gives pdf {pdf} to state {number} of phone {phone}, "
                                "the transition model does not allow it; use the tree that the "
                                "model was trained with") from None
            for index, (to, _) in enumerate(state.transitions):
                if to == number:
                    continue
                if number == 0:
                    rows.append((loop, tid + index, label, inside[to]))
                rows.append((inside[number], tid + index, 0, inside[to]))
    for number in range(1, num_symbols + 1):
        rows.append((loop, transitions.num_tids + number, len(logical_phones) + number, loop))
    source, tids, labels, target = np.array(rows, np.int64).T
    final = np.full(num_states, np.inf, np.float32)
    final[loop] = 0.0
    fst = FlatFst.from_arcs(loop, source, tids, labels, np.zeros(len(rows)), target, final)
    return pynini.Fst.read_from_string(fst_bytes(fst)).connect().arcsort("olabel")


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
