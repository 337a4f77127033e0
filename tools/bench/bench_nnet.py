"""Times training and inference of a feed-forward network, PyTorch beside it where there is one.

    python tools/bench/bench_nnet.py [--rounds 5] [--steps 40] [--threads 2] [--batch 256]

The network: 11 frames of 40 columns, 4 hidden ReLU layers of 512, 300 classes; float32. A
training step is forward, cross-entropy, backward and SGD with Nesterov momentum; figures are
frames a second, the fastest round of each. PyTorch, if it can be imported, runs the same network
on the same frames in turns with ours. Other networks are timed without a counterpart. The kernels
that OpenBLAS chose are printed: "Haswell" on a processor with AVX-512 is half the speed, and
OPENBLAS_CORETYPE=SKYLAKEX in the environment mends it.
"""

import os
import sys

# ruff: noqa: E402 - threads and kernels are chosen before numpy is imported.
THREADS = sys.argv[sys.argv.index("--threads") + 1] if "--threads" in sys.argv[:-1] else "2"
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = THREADS

import argparse
import datetime
import time
from collections.abc import Callable

import numpy as np

from hybridasr.nnet.config import read_network
from hybridasr.nnet.loss import cross_entropy
from hybridasr.nnet.network import Network
from hybridasr.nnet.optim import Adam, AdamOptions, Sgd, SgdOptions
from hybridasr.nnet.quantize import quantize

try:
    import torch
except ImportError:
    torch = None

COLUMNS, CLASSES = 40, 300
FEED_FORWARD = "splice offsets=-5:5\n" + 4 * "affine dim=512\nrelu\n" + "output"
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
    ("lstm", "splice offsets=-2:2\n" + 2 * "lstm cell=256 projection=128\n" + "output", 32, 20),
    ("gru", "splice offsets=-2:2\n" + 2 * "gru cell=256\n" + "output", 32, 20),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40, help="training steps a round")
    parser.add_argument("--threads", type=int, default=2, help="of the matrix products")
    parser.add_argument("--batch", type=int, default=256, help="frames a training step")
    args = parser.parse_args()
    print(f"date {datetime.date.today()}, {cpu_name()}, {os.cpu_count()} CPUs, "
          f"{args.threads} threads, numpy {np.__version__}, {blas_name()}")
    feed_forward(args)
    for name, text, chunks, frames in OTHERS:
        network = read_network(text, COLUMNS, CLASSES, seed=1)
        step = training_step(network, chunks, frames)
        run = inference(network)
        best = fastest({"train": (step, args.steps // 4), "infer": (run, 4)}, args.rounds)
        print(f"{name}: {network.num_parameters / 1e6:.2f} M parameters, training "
              f"{rate(chunks * frames, best['train'])}, inference {rate(1000, best['infer'])}")


def feed_forward(args: argparse.Namespace) -> None:
    network = read_network(FEED_FORWARD, COLUMNS, CLASSES, seed=1)
    small = quantize(network)
    jobs = {"training, SGD": (training_step(network, args.batch, 1), args.steps),
            "training, Adam": (training_step(network, args.batch, 1, adam=True), args.steps),
            "inference": (inference(network), 4), "inference, int8": (inference(small), 4)}
    if torch is None:
        print("PyTorch cannot be imported here: no comparison")
    else:
        torch.set_num_threads(args.threads)
        print(f"PyTorch {torch.__version__}")
        train, infer = torch_jobs(args.batch)
        jobs |= {"PyTorch training, SGD": (train, args.steps), "PyTorch inference": (infer, 4)}
    best = fastest(jobs, args.rounds)
    sizes = [sum(a.nbytes for a in net.to_arrays().values()) for net in (network, small)]
    print(f"dnn: {network.num_parameters / 1e6:.2f} M parameters, {sizes[0] / 1e6:.2f} MB, "
          f"int8 {sizes[1] / 1e6:.2f} MB")
    for name, seconds in best.items():
        print(f"  {name}: {rate(args.batch if 'training' in name else 1000, seconds)}")
    if torch is not None:
        print(f"  training over PyTorch's: "
              f"{best['PyTorch training, SGD'] / best['training, SGD']:.2f}, inference "
              f"{best['PyTorch inference'] / best['inference']:.2f}")
    print(f"  matrix products alone, of a training step: "
          f"{rate(args.batch, products_alone(args.batch, args.rounds))}")


def training_step(network: Network, chunks: int, frames: int, adam: bool = False) -> Callable:
    rng = np.random.default_rng(0)
    time_steps = frames + network.left_context + network.right_context
    x = rng.standard_normal((chunks, time_steps, COLUMNS)).astype(np.float32)
    targets = rng.integers(0, CLASSES, chunks * frames).astype(np.int32)
    if adam:
        optimiser = Adam(AdamOptions(), network.parameters)
    else:
        optimiser = Sgd(SgdOptions(0.9), network.parameters)

    def step() -> None:
        logits, caches = network.forward(x, True, rng)
        _, dlogits, _ = cross_entropy(logits.reshape(-1, CLASSES), targets, 1 / len(targets))
        grads = network.backward(dlogits.reshape(logits.shape), caches)
        optimiser.step(network.parameters, grads, 1e-3)

    return step


def inference(network: Network) -> Callable:
    feats = np.random.default_rng(0).standard_normal((1000, COLUMNS)).astype(np.float32)
    return lambda: network.log_posteriors(feats)


def torch_jobs(batch: int) -> tuple[Callable, Callable]:
    sizes = [11 * COLUMNS, 512, 512, 512, 512, CLASSES]
    layers = []
    for before, after in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1])
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, nesterov=True)
    x = torch.randn(batch, sizes[0])
    targets = torch.randint(0, CLASSES, (batch,))
    frames = torch.randn(1000, sizes[0])

    def step() -> None:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(x), targets).backward()
        optimiser.step()

    @torch.no_grad()
    def infer() -> None:
        torch.log_softmax(network(frames), dim=1)

    return step, infer


def products_alone(batch: int, rounds: int) -> float:
    """Seconds of the products that no implementation can do without: the floor of a step."""
    rng = np.random.default_rng(0)
    sizes = [11 * COLUMNS, 512, 512, 512, 512, CLASSES]
    values = [rng.standard_normal((batch, size)).astype(np.float32) for size in sizes]
    weights = [rng.standard_normal((b, a)).astype(np.float32)
               for a, b in zip(sizes[:-1], sizes[1:], strict=True)]
    outs = [(np.empty_like(values[i + 1]), np.empty_like(w), np.empty_like(values[i]))
            for i, w in enumerate(weights)]

    def run() -> None:
        for i, w in enumerate(weights):
            np.matmul(values[i], w.T, out=outs[i][0])
            np.matmul(values[i + 1].T, values[i], out=outs[i][1])
            if i:
                np.matmul(values[i + 1], w, out=outs[i][2])

    return fastest({"": (run, 20)}, rounds)[""]


def fastest(jobs: dict[str, tuple[Callable, int]], rounds: int) -> dict[str, float]:
    """Seconds a call of each job, of its fastest round; the jobs take turns."""
    best = dict.fromkeys(jobs, float("inf"))
    for job, _ in jobs.values():
        job()  # compiles kernels, fills buffers
    for _ in range(rounds):
        for name, (job, times) in jobs.items():
            start = time.perf_counter()
            for _ in range(times):
                job()
            best[name] = min(best[name], (time.perf_counter() - start) / times)
    return best


def rate(frames: int, seconds: float) -> str:
    return f"{frames / seconds:,.0f} frames/s"


def cpu_name() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return names[0] if names else "unknown processor"


def blas_name() -> str:
    try:
        import threadpoolctl
    except ImportError:
        return "BLAS unknown without threadpoolctl"
    found = [info for info in threadpoolctl.threadpool_info() if info["user_api"] == "blas"]
    return ", ".join(f"{info['internal_api']} {info['version']} for {info.get('architecture')}"
                     for info in found)


if __name__ == "__main__":
    main()
