"""Owns H: from transition-ids to logical phones, self-loops left out (on pynini).

H has no weights: costs of transitions and self-loops are added to the finished graph
(`self_loops`). The input labels above the last transition-id stand for the disambiguation symbols.
"""

import numpy as np

from hybridasr.graph.context import LogicalPhone
from hybridasr.graph.openfst import FlatFst, fst_bytes
from hybridasr.graph.self_loops import forward_transitions
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lm.pynini_import import pynini


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
    for label, logical_phone in enumerate(logical_phones, 1):
        num_inside = len(transitions.topology.for_phone(logical_phone[0]).states) - 1
        inside = [*range(num_states, num_states + num_inside), loop]
        num_states += num_inside
        for number, to, tid in forward_transitions(logical_phone, transitions):
            # The label goes on the first arc, so that composition meets it as early as possible.
            if number == 0:
                rows.append((loop, tid, label, inside[to]))
            rows.append((inside[number], tid, 0, inside[to]))
    for number in range(1, num_symbols + 1):
        rows.append((loop, transitions.num_tids + number, len(logical_phones) + number, loop))
    source, tids, labels, target = np.array(rows, np.int64).T
    final = np.full(num_states, np.inf, np.float32)
    final[loop] = 0.0
    fst = FlatFst.from_arcs(loop, source, tids, labels, np.zeros(len(rows)), target, final)
    return pynini.Fst.read_from_string(fst_bytes(fst)).connect().arcsort("olabel")
