"""Times training steps by lattice-free MMI beside cross-entropy of the same network.

    python tools/bench/bench_chain.py [--rounds 7] [--chunks 16] [--leaves 800] [--network FILE]
        [--sequences 4000]

A step is forward, loss, backward and Adam, on chunks of 150 frames of 43 columns, an output for
every third. The denominator graph is of a phone language model of Kaldi's default size, estimated
from random sentences of syllables of 200 phones: about as many arcs as that of Common Voice zh-CN.
Cross-entropy has one output a leaf, lattice-free MMI two. Seconds are those of the process, so that
other work on the machine does not count; jobs take turns, figures are medians of the rounds. The
same pass over the denominator is also done with numpy and scipy's sparse matrices, and where it is
installed with PyTorch, the gradient by its autograd, on one thread.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_matrix

from hybridasr.chain.den_loss import LEAKY_COEFFICIENT, den_loss
from hybridasr.chain.denominator import DenominatorGraph, PhoneGraph
from hybridasr.chain.num_loss import num_loss
from hybridasr.chain.numerator import Numerators, PhoneTimes, make_numerators
from hybridasr.chain.phone_lm import PhoneLmOptions, estimate_phone_lm
from hybridasr.nnet.loss import cross_entropy
from hybridasr.nnet.network_text import read_network
from hybridasr.nnet.optim import Adam, AdamOptions
from hybridasr.storage import read_text
from hybridasr.train.chain import DEFAULT_NETWORK
from hybridasr.train.chain_objective import LatticeFreeMmi

try:
    import torch
except ImportError:
    torch = None

COLUMNS, FRAMES, PHONES, INITIALS = 43, 150, 200, 25


class HashedTree:
    """Some pdf for each phone and its left neighbour."""

    context_width, central_position = 2, 1

    def __init__(self, leaves: int):
        self.num_pdfs = leaves

    def pdf(self, window: tuple[int, ...], pdf_class: int) -> int:  # noqa: D102
        return (window[0] * 7 + window[1] * 13 + pdf_class * 3) % self.num_pdfs


def make_world(args: argparse.Namespace) -> tuple[DenominatorGraph, Numerators]:
    """Return a denominator graph, and numerators of utterances of chunks' length."""
    rng = np.random.default_rng(1)
    # Of an initial and a final, as frequent as words are: the n-th has a share of about 1 / n.
    syllables = np.column_stack([rng.integers(1, INITIALS, 400),
                                 rng.integers(INITIALS, PHONES, 400)]).tolist()
    share = 1.0 / (1 + np.arange(len(syllables)))
    sentences = [tuple(phone for one in rng.choice(len(syllables), 22, p=share / share.sum())
                       for phone in syllables[one]) for _ in range(args.sequences)]
    phones = PhoneGraph(estimate_phone_lm(sentences, PhoneLmOptions()), HashedTree(args.leaves))
    graph = phones.denominator()
    times = [PhoneTimes(one, np.linspace(0, 10 * len(one), len(one) + 1).astype(np.int64))
             for one in sentences[:args.chunks]]
    return graph, make_numerators(times, phones, graph, 3, 5)


def training_step(text: str, outputs: int, chunks: int, loss: Callable) -> Callable:
    network = read_network(text, COLUMNS, outputs, seed=1)
    rng = np.random.default_rng(2)
    time_steps = FRAMES + network.left_context + network.right_context
    x = rng.standard_normal((chunks, time_steps, COLUMNS)).astype(np.float32)
    optimiser = Adam(AdamOptions(), network.parameters)

    def step() -> None:
        logits, caches = network.forward(x, True, rng)
        optimiser.step(network.parameters, network.backward(loss(logits), caches), 1e-4)

    return step


def plain_denominator(graph: DenominatorGraph, outputs: np.ndarray) -> Callable:
    """Return the same pass with numpy and sparse matrices of scipy."""
    shape = (graph.num_states, graph.num_states)
    into = csr_matrix((graph.in_weight, graph.in_source, graph.in_offsets), shape)
    out = csr_matrix((graph.out_weight, graph.out_target, graph.out_offsets), shape)
    # From states to pdfs, to add occupations up.
    states, ones = np.arange(graph.num_states), np.ones(graph.num_states, np.float32)
    enter, later = (csr_matrix((ones, (pdfs, states)), (graph.num_pdfs, graph.num_states))
                    for pdfs in (graph.enter_pdf, graph.loop_pdf))
    loop, initial = graph.loop[:, None], graph.initial.astype(np.float32)[:, None]

    def run() -> tuple[np.ndarray, np.ndarray]:
        likes = np.exp(outputs.transpose(1, 2, 0))
        alpha = np.repeat(initial, len(outputs), axis=1)
        lefts, alphas, totals = [], [], [alpha.sum(0)]
        for like in likes:
            lefts.append(alpha / totals[-1] + LEAKY_COEFFICIENT * initial)
            alpha = (like[graph.enter_pdf] * (into @ lefts[-1])
                     + loop * like[graph.loop_pdf] * lefts[-1])
            alphas.append(alpha)
            totals.append(alpha.sum(0))
        occupation = np.empty_like(likes)
        beta = np.repeat(1 / totals[-1][None], graph.num_states, axis=0)
        for t in range(len(likes) - 1, -1, -1):
            looping = loop * likes[t][graph.loop_pdf] * beta
            staying = looping * lefts[t]
            occupation[t] = enter @ (alphas[t] * beta - staying) + later @ staying
            beta = looping + out @ (likes[t][graph.enter_pdf] * beta)
            beta = (beta + LEAKY_COEFFICIENT * (initial * beta).sum(0)) / totals[t]
        return np.log(totals).astype(np.float64).sum(0), occupation.transpose(2, 0, 1)

    return run


def torch_denominator(graph: DenominatorGraph, outputs: np.ndarray) -> Callable:
    """Return the same pass with PyTorch: sparse products, the gradient by autograd."""
    torch.set_num_threads(1)
    into, out = (torch.sparse_csr_tensor(*map(torch.from_numpy, (
        offsets.astype(np.int64), ends.astype(np.int64), weight)), (graph.num_states,) * 2)
        for offsets, ends, weight in ((graph.in_offsets, graph.in_source, graph.in_weight),
                                      (graph.out_offsets, graph.out_target, graph.out_weight)))

    class Follow(torch.autograd.Function):
        """The product with the arcs; its derivative is that with the arcs reversed."""

        @staticmethod
        def forward(context, rows):
            return into @ rows

        @staticmethod
        def backward(context, slope):
            return out @ slope

    enter_pdf, loop_pdf = (torch.from_numpy(pdfs.astype(np.int64))
                           for pdfs in (graph.enter_pdf, graph.loop_pdf))
    loop = torch.from_numpy(graph.loop)[:, None]
    initial = torch.from_numpy(graph.initial.astype(np.float32))[:, None]

    def run() -> tuple[np.ndarray, np.ndarray]:
        values = torch.from_numpy(outputs).requires_grad_(True)
        likes = values.permute(1, 2, 0).exp()
        alpha = initial.expand(-1, len(outputs))
        log_probs = torch.zeros(len(outputs))
        for like in likes:
            total = alpha.sum(0)
            log_probs = log_probs + total.log()
            left = alpha / total + LEAKY_COEFFICIENT * initial
            alpha = like[enter_pdf] * Follow.apply(left) + loop * like[loop_pdf] * left
        log_probs = log_probs + alpha.sum(0).log()
        log_probs.sum().backward()
        return log_probs.detach().numpy().astype(np.float64), values.grad.numpy()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--chunks", type=int, default=16, help="of 150 frames a step")
    parser.add_argument("--leaves", type=int, default=800)
    parser.add_argument("--sequences", type=int, default=4000, help="sentences of the phone model")
    parser.add_argument("--network", help="its description (default: that of train-chain)")
    args = parser.parse_args()
    graph, numerators = make_world(args)
    print(f"{os.cpu_count()} CPUs; denominator of {graph.num_states} states and {graph.num_arcs} "
          f"arcs, {graph.num_pdfs} pdfs")
    text = read_text(args.network) if args.network else DEFAULT_NETWORK
    rng = np.random.default_rng(3)
    outputs = -(-FRAMES // 3)
    starts = np.cumsum([0, *numerators.num_outputs[0] * 3])
    chunks = np.array([[n, starts[n], FRAMES] for n in range(args.chunks)])
    objective = LatticeFreeMmi(starts, graph, numerators, LEAKY_COEFFICIENT, 0.1, 5e-5)
    targets = rng.integers(0, args.leaves, args.chunks * outputs).astype(np.int32)
    logits = rng.standard_normal((args.chunks, outputs, args.leaves)).astype(np.float32)
    lengths = np.full(args.chunks, outputs)
    places = np.column_stack([chunks[:, 0], 0 * lengths, lengths])

    def xent(values: np.ndarray) -> np.ndarray:
        return cross_entropy(values.reshape(len(targets), -1), targets,
                             1 / len(targets))[1].reshape(values.shape)

    jobs = {
        "cross-entropy, whole step": training_step(text, args.leaves, args.chunks, xent),
        "lattice-free MMI, whole step": training_step(
            text, 2 * args.leaves, args.chunks, lambda values: objective.loss(values, chunks)[1]),
        "denominator alone": lambda: den_loss(logits, lengths, graph),
        "numerator alone": lambda: num_loss(logits, places, numerators)}
    jobs["denominator alone, numpy and scipy"] = plain_denominator(graph, logits)
    if torch is None:
        print("PyTorch is not installed")
    else:
        jobs["denominator alone, PyTorch"] = torch_denominator(graph, logits)
    for name, job in [*jobs.items()][4:]:
        for ours, other in zip(den_loss(logits, lengths, graph), job(), strict=True):
            np.testing.assert_allclose(ours, other, rtol=1e-4, atol=1e-4, err_msg=name)
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(args.rounds + 1):
        for name, job in jobs.items():
            begun = time.process_time()
            job()
            if number:  # the first round compiles
                seconds[name].append(time.process_time() - begun)
    for name, taken in seconds.items():
        second = statistics.median(taken)
        print(f"{name}: {args.chunks * outputs / second:.0f} outputs a second of the process, "
              f"{args.chunks * FRAMES / second:.0f} frames")


if __name__ == "__main__":
    main()
