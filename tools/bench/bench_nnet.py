"""Times training and inference of networks; with --torch, PyTorch's beside ours.

    python tools/bench/bench_nnet.py [--torch] [--rounds 9] [--steps 20] [--threads 2] [--batch 256]

The network of the comparison: 440 columns (11 frames of 40, spliced beforehand), 4 hidden ReLU
layers of 512, 300 classes; float32. A training step is forward, cross-entropy, backward and SGD
with momentum, or Adam. Inference is of whole utterances of --frames frames, with the softmax.
Jobs take turns within a round; figures are the medians of the rounds, and the ratio to PyTorch is
the median of the ratios within a round, so that other work on the machine touches both. Other
networks are timed without a counterpart. Where OpenBLAS would miss the processor's AVX-512, the
process starts with the setting that trainings use (hybridasr.parallel.wide_kernels).
"""

import os
import sys

# ruff: noqa: E402 - threads and kernels are chosen before numpy is imported.
THREADS = sys.argv[sys.argv.index("--threads") + 1] if "--threads" in sys.argv[:-1] else "2"
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = THREADS
from hybridasr.parallel import wide_kernels

os.environ.update(wide_kernels())

import argparse
import datetime
import statistics
import time
from collections.abc import Callable

import numpy as np
import threadpoolctl

from hybridasr.nnet.loss import cross_entropy
from hybridasr.nnet.network import Network
from hybridasr.nnet.network_text import read_network
from hybridasr.nnet.optim import Adam, AdamOptions, Sgd, SgdOptions
from hybridasr.nnet.products import product_threads
from hybridasr.nnet.quantize import network_from_arrays, quantize

COLUMNS, CLASSES = 40, 300
SIZES = [11 * COLUMNS, 512, 512, 512, 512, CLASSES]
FEED_FORWARD = 4 * "affine dim=512\nrelu\n" + "output"
WIDE_CNN = ("conv channels=32 kernel=9,8 pool=3\nbatchnorm\nrelu\nsplice offsets=-4,-2,0,2,4\n"
            + 2 * "affine dim=384\nbatchnorm\nrelu\ndropout rate=0.2\n" + "output")
# name, text, chunks a step, output frames of a chunk
OTHERS = [
    ("dnn with batchnorm and dropout", "splice offsets=-5:5\n"
     + 4 * "affine dim=512\nbatchnorm\nrelu\ndropout rate=0.1\n" + "output", 256, 1),
    ("dnn of p-norms", "splice offsets=-5:5\n" + 4 * "affine dim=1000\npnorm dim=200\nrenorm\n"
     + "output", 256, 1),
    ("tdnn", "tdnn offsets=-2:2 dim=256\nrelu\nbatchnorm\n"
     + "tdnn offsets=-1,0,1 dim=256\nrelu\nbatchnorm\n"
     + 2 * "tdnn offsets=-3,0,3 dim=256\nrelu\nbatchnorm\n" + "output", 16, 32),
    ("cnn", "conv channels=32 kernel=3,5 pool=2\nrelu\nconv channels=32 kernel=3,3 pool=2\nrelu\n"
     + 2 * "affine dim=512\nrelu\n" + "output", 16, 32),
    ("wide cnn, chunks of 1", WIDE_CNN, 256, 1),
    ("wide cnn, chunks of 8", WIDE_CNN, 32, 8),
    ("lstm", "splice offsets=-2:2\n" + 2 * "lstm cell=256 projection=128\n" + "output", 32, 20),
    ("gru", "splice offsets=-2:2\n" + 2 * "gru cell=256\n" + "output", 32, 20),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", action="store_true", help="compare with PyTorch")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=20, help="training steps a round")
    parser.add_argument("--threads", type=int, default=2, help="of the matrix products")
    parser.add_argument("--batch", type=int, default=256, help="frames a training step")
    parser.add_argument("--frames", type=int, default=200, help="of an utterance, for inference")
    args = parser.parse_args()
    print(f"date {datetime.date.today()}, {cpu_name()}, {os.cpu_count()} CPUs, "
          f"{args.threads} threads, numpy {np.__version__}, {blas_name()}")
    feed_forward(args)
    for name, text, chunks, frames in OTHERS:
        network = read_network(text, COLUMNS, CLASSES, seed=1)
        step = training_step(network, chunks, frames)
        run = inference(network, args.frames)
        seconds = timed({"train": (step, max(1, args.steps // 4)), "infer": (run, 4)}, args.rounds)
        print(f"{name}: {network.num_parameters / 1e6:.2f} M parameters, training "
              f"{rate(chunks * frames, seconds['train'])}, inference "
              f"{rate(args.frames, seconds['infer'])}")


def feed_forward(args: argparse.Namespace) -> None:
    network = read_network(FEED_FORWARD, SIZES[0], CLASSES, seed=1)
    small = quantize(network)
    jobs = {"training, SGD": (training_step(network, args.batch, 1), args.steps),
            "training, Adam": (training_step(network, args.batch, 1, adam=True), args.steps),
            "inference": (inference(network, args.frames), args.steps)}
    theirs = torch_jobs(args) if args.torch else {}
    own = {"inference, int8": (inference(small, args.frames), 4),
           "matrix products alone, of a training step": (products_alone(args.batch), args.steps)}
    turns = {}
    for name, job in jobs.items():  # a job and its counterpart in turns
        turns[name] = job
        if name in theirs:
            turns[f"PyTorch {name}"] = theirs[name], job[1]
    seconds = timed({**turns, **own}, args.rounds)
    sizes = [sum(a.nbytes for a in net.to_arrays().values()) for net in (network, small)]
    print(f"dnn: {network.num_parameters / 1e6:.2f} M parameters, {sizes[0] / 1e6:.2f} MB, "
          f"int8 {sizes[1] / 1e6:.2f} MB")
    for name, found in seconds.items():
        print(f"  {name}: {rate(args.batch if 'training' in name else args.frames, found)}")
    for name in theirs:
        ratios = [other / ours for ours, other in
                  zip(seconds[name], seconds[f"PyTorch {name}"], strict=True)]
        print(f"  {name}: {statistics.median(ratios):.2f} times PyTorch's "
              f"({min(ratios):.2f} to {max(ratios):.2f})")


def training_step(network: Network, chunks: int, frames: int, adam: bool = False) -> Callable:
    network = network_from_arrays(network.text, network.to_arrays())
    rng = np.random.default_rng(0)
    time_steps = frames + network.left_context + network.right_context
    x = rng.standard_normal((chunks, time_steps, network.input_dim)).astype(np.float32)
    targets = rng.integers(0, CLASSES, chunks * frames).astype(np.int32)
    if adam:
        optimiser = Adam(AdamOptions(), network.parameters)
    else:
        optimiser = Sgd(SgdOptions(0.9, nesterov=False), network.parameters)

    blas = threadpoolctl.ThreadpoolController()

    def step() -> None:
        # As in a training: BLAS on one thread, products in blocks on several.
        with blas.limit(limits=1, user_api="blas"), product_threads(int(THREADS)):
            logits, caches = network.forward(x, True, rng)
            _, dlogits, _ = cross_entropy(logits.reshape(-1, CLASSES), targets, 1 / len(targets))
            grads = network.backward(dlogits.reshape(logits.shape), caches)
            optimiser.step(network.parameters, grads, 1e-3)

    return step


def inference(network: Network, frames: int) -> Callable:
    """Log posteriors of an utterance, by a copy of the network as a model loads it."""
    network = network_from_arrays(network.text, network.to_arrays()).for_inference()
    feats = np.random.default_rng(0).standard_normal((frames, network.input_dim))
    feats = feats.astype(np.float32)
    return lambda: network.log_posteriors(feats)


def torch_jobs(args: argparse.Namespace) -> dict[str, Callable]:
    """The same jobs by PyTorch, on frames that are spliced beforehand; none if it is missing."""
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed here: no comparison")
        return {}
    torch.set_num_threads(args.threads)
    print(f"PyTorch {torch.__version__}")
    x, targets = torch.randn(args.batch, SIZES[0]), torch.randint(0, CLASSES, (args.batch,))
    frames = torch.randn(args.frames, SIZES[0])

    def network() -> torch.nn.Module:
        layers = []
        for before, after in zip(SIZES[:-1], SIZES[1:], strict=True):
            layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
        return torch.nn.Sequential(*layers[:-1])

    def training(kind: type, **options) -> Callable:
        trained = network()
        optimiser = kind(trained.parameters(), lr=1e-3, **options)

        def step() -> None:
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(trained(x), targets).backward()
            optimiser.step()

        return step

    inferring = network().eval()

    @torch.inference_mode()
    def infer() -> None:
        torch.log_softmax(inferring(frames), dim=1)

    return {"training, SGD": training(torch.optim.SGD, momentum=0.9),
            "training, Adam": training(torch.optim.Adam), "inference": infer}


def products_alone(batch: int) -> Callable:
    """The products that no implementation can do without: the floor of a training step."""
    rng = np.random.default_rng(0)
    values = [rng.standard_normal((batch, size)).astype(np.float32) for size in SIZES]
    weights = [rng.standard_normal((b, a)).astype(np.float32)
               for a, b in zip(SIZES[:-1], SIZES[1:], strict=True)]
    outs = [(np.empty_like(values[i + 1]), np.empty_like(w), np.empty_like(values[i]))
            for i, w in enumerate(weights)]

    def run() -> None:
        for i, w in enumerate(weights):
            np.matmul(values[i], w.T, out=outs[i][0])
            np.matmul(values[i + 1].T, values[i], out=outs[i][1])
            if i:
                np.matmul(values[i + 1], w, out=outs[i][2])

    return run


def timed(jobs: dict[str, tuple[Callable, int]], rounds: int) -> dict[str, list[float]]:
    """Seconds a call of each job, a figure a round; the jobs take turns."""
    seconds = {name: [] for name in jobs}
    for job, _ in jobs.values():
        job()  # compiles kernels, fills buffers
    for _ in range(rounds):
        for name, (job, times) in jobs.items():
            start = time.perf_counter()
            for _ in range(times):
                job()
            seconds[name].append((time.perf_counter() - start) / times)
    return seconds


def rate(frames: int, seconds: list[float]) -> str:
    return f"{frames / statistics.median(seconds):,.0f} frames/s"


def cpu_name() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return names[0] if names else "unknown processor"


def blas_name() -> str:
    found = [info for info in threadpoolctl.threadpool_info() if info["user_api"] == "blas"]
    return ", ".join(f"{info['internal_api']} {info['version']} for {info.get('architecture')}"
                     for info in found)


if __name__ == "__main__":
    main()
