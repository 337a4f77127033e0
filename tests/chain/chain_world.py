"""A tiny world of lattice-free MMI: phones, a tree, a phone language model, random outputs."""

from collections.abc import Iterator

import numpy as np

from hybridasr.chain.denominator import DenominatorGraph, PhoneGraph
from hybridasr.chain.phone_lm import PhoneLmOptions, estimate_phone_lm
from hybridasr.hmm.topology import chain_topology
from hybridasr.tree.tree import PDF_CLASS, DecisionTree, Leaf, Split, Table, monophone_tree

SEQUENCES = [(1, 2, 3, 1), (1, 3, 2, 1), (2, 3, 1), (1, 2, 1), (3, 3, 1), (2, 2, 3, 2, 1)]
PHONES = [1, 2, 3]


def left_tree() -> DecisionTree:
    """Return a tree that asks for the left neighbour of phones 2 and 3."""
    def pair(first: int) -> Table:
        return Table(PDF_CLASS, (Leaf(first), Leaf(first + 1)))

    two = Split(0, frozenset({0, 1}), pair(2), pair(4))
    three = Split(0, frozenset({2}), pair(6), Table(PDF_CLASS, (Leaf(8), Leaf(7))))
    return DecisionTree(2, 1, 9, Table(1, (None, pair(0), two, three)))


def flat_tree() -> DecisionTree:
    return monophone_tree([[phone] for phone in PHONES], chain_topology(PHONES))


def phone_graph(tree: DecisionTree | None = None, **options: int) -> PhoneGraph:
    chosen = PhoneLmOptions(**{"num_extra_lm_states": 2, **options})
    return PhoneGraph(estimate_phone_lm(SEQUENCES, chosen), tree or left_tree())


def random_outputs(num_chunks: int, time: int, num_pdfs: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(0.0, 1.0, (num_chunks, time, num_pdfs)).astype(np.float32)


def steps_from(graph: DenominatorGraph, state: int) -> Iterator[tuple[int, int, float]]:
    """Yield (next state, pdf, weight) of every way to make one output from a state."""
    if graph.loop[state]:
        yield state, int(graph.loop_pdf[state]), 1.0
    for arc in range(graph.out_offsets[state], graph.out_offsets[state + 1]):
        end = int(graph.out_target[arc])
        yield end, int(graph.enter_pdf[end]), float(graph.out_weight[arc])


def every_path(graph: DenominatorGraph, time: int, leaky: float
               ) -> Iterator[tuple[list[int], float]]:
    """Yield (pdfs, weight) of every path of so many outputs, leaks included."""
    def walk(state: int, pdfs: list[int], weight: float) -> Iterator[tuple[list[int], float]]:
        if len(pdfs) == time:
            yield pdfs, weight
            return
        # Stay where one is, or leak to any state first.
        starts = [(state, 1.0)]
        if leaky:
            starts += [(other, leaky * graph.initial[other]) for other in range(graph.num_states)]
        for start, share in starts:
            for end, pdf, step in steps_from(graph, start):
                yield from walk(end, [*pdfs, pdf], weight * share * step)

    for state in range(graph.num_states):
        yield from walk(state, [], float(graph.initial[state]))


def summed(paths: Iterator[tuple[list[int], float]], outputs: np.ndarray
           ) -> tuple[float, np.ndarray]:
    """Return the log of the sum over paths, and each pdf's share of it: (time, num_pdfs)."""
    total, shares = 0.0, np.zeros(outputs.shape)
    times = np.arange(len(outputs))
    wide = outputs.astype(np.float64)
    for pdfs, weight in paths:
        value = weight * np.exp(wide[times, pdfs].sum())
        total += value
        shares[times, pdfs] += value
    return float(np.log(total)), shares / total
