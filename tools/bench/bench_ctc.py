"""Times the losses of CTC and the transducer, and holds CTC's against PyTorch's where it is.

    tools/bench/bench_ctc.py [--batch 16] [--frames 300] [--labels 40] [--classes 60] [--rounds 5]

Of PyTorch, torch.nn.CTCLoss: the largest difference of losses and gradients, and its time; without
PyTorch installed it says so, and the difference is that to a plain recursion in numpy.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from hybridasr.ctc.ctc_loss import ctc_loss, padded_labels
from hybridasr.ctc.transducer_loss import transducer_loss
from hybridasr.nnet.loss import log_softmax

try:
    import torch
except ImportError:
    torch = None


def main() -> None:
    """Time both losses, and compare."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("batch", 16), ("frames", 300), ("labels", 40), ("classes", 60),
                          ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(args.batch, args.frames, args.classes)).astype(np.float32)
    frames = rng.integers(2 * args.labels, args.frames + 1, args.batch)
    sequences = [rng.integers(1, args.classes, rng.integers(1, args.labels + 1))
                 for _ in range(args.batch)]
    labels, sizes = padded_labels(sequences)
    losses, dlogits = ctc_loss(logits, frames, labels, sizes)
    seconds = median_seconds(lambda: ctc_loss(logits, frames, labels, sizes), args.rounds)
    print(f"CTC: {frames.sum() / seconds:.0f} frames a second of processor time")
    grids = [rng.normal(size=(args.frames // 3, size + 1, args.classes)).astype(np.float32)
             for size in sizes.tolist()]

    def transduce() -> None:
        for grid, sequence in zip(grids, sequences, strict=True):
            transducer_loss(grid, sequence)

    seconds = median_seconds(transduce, args.rounds)
    nodes = sum(grid.shape[0] * grid.shape[1] for grid in grids)
    print(f"transducer: {nodes / seconds:.0f} nodes a second of processor time")
    if torch is None:
        plain = [plain_loss(log_softmax(row[:time].astype(np.float64)), sequence)
                 for row, time, sequence in zip(logits, frames, sequences, strict=True)]
        print("PyTorch is not installed; largest relative difference of a loss to a plain "
              f"recursion {np.abs(losses / plain - 1).max():.1e}")
        return
    compare(logits, frames, labels, sizes, losses, dlogits, args.rounds)


def median_seconds(call: Callable[[], object], rounds: int) -> float:
    """Return the median processor time of a call that was made once before."""
    call()
    times = []
    for _ in range(rounds):
        begun = time.process_time()
        call()
        times.append(time.process_time() - begun)
    return statistics.median(times)


def plain_loss(log_probs: np.ndarray, labels: np.ndarray) -> float:
    """Return -log P(labels): Graves' forward recursion over the states, frame by frame."""
    states = np.zeros(2 * len(labels) + 1, np.int64)
    states[1::2] = labels
    skips = np.zeros(len(states), bool)
    skips[3::2] = states[3::2] != states[1:-2:2]
    alpha = np.full(len(states), -np.inf)
    alpha[:2] = log_probs[0, states[:2]]
    for row in log_probs[1:]:
        one = np.concatenate([[-np.inf], alpha[:-1]])
        two = np.where(skips, np.concatenate([[-np.inf] * 2, alpha[:-2]]), -np.inf)
        alpha = np.logaddexp(np.logaddexp(alpha, one), two) + row[states]
    return -float(np.logaddexp(alpha[-1], alpha[-2]))


def compare(logits: np.ndarray, frames: np.ndarray, labels: np.ndarray, sizes: np.ndarray,
            losses: np.ndarray, dlogits: np.ndarray, rounds: int) -> None:
    """Print the differences to torch.nn.CTCLoss and its speed."""
    torch.set_num_threads(1)
    targets = torch.tensor(labels, dtype=torch.long)
    lengths = torch.tensor(frames), torch.tensor(sizes)

    def step(given: "torch.Tensor") -> "torch.Tensor":
        given.grad = None
        values = torch.nn.functional.ctc_loss(
            torch.log_softmax(given, 2).transpose(0, 1), targets, *lengths, reduction="none")
        values.sum().backward()
        return values

    # PyTorch sums in the precision of what it is given; ours are float64 sums of float32 logits.
    for precision in (torch.float64, torch.float32):
        given = torch.tensor(logits, dtype=precision, requires_grad=True)
        values = step(given).detach().numpy()
        loss, slope = (np.abs(one).max() for one in (losses / values - 1,
                                                     dlogits - given.grad.numpy()))
        print(f"PyTorch, {precision}: largest relative difference of a loss {loss:.1e}, largest "
              f"difference of a gradient {slope:.1e}")
    seconds = median_seconds(lambda: step(given), rounds)
    print(f"PyTorch, float32: {frames.sum() / seconds:.0f} frames a second of processor time")


if __name__ == "__main__":
    main()
