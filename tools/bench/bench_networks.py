"""Trains networks of several kinds on a recipe's data and prints what each gives and costs.

    tools/bench/bench_networks.py WORK [--network FILE ...] [--set OPTION=VALUE ...] [--threads 2]

WORK is the work directory of a recipe that was run with its network (egs/run.sh --recipe dsp20
...): its alignments, copies and graph are used. Without --network, all of egs/networks. A line a
network: per cent of words wrong in float32 and with int8 weights, bytes of both, parameters,
seconds of training, frames a second, real-time factor of likelihoods and search.
"""

import argparse
import json
import time
from pathlib import Path

from verbs import REPOSITORY, run

# Layers that share work between neighbouring frames train on several in a row; of long rows, a
# mini-batch of the usual size would have too few.
OPTIONS = {**dict.fromkeys(("lstm", "gru", "blstm"), ("--chunk-width=40", "--minibatch-size=640")),
           **dict.fromkeys(("tdnn", "tdnnf", "attention", "small"), ("--chunk-width=8",)),
           "tdnn_stride3": ("--chunk-width=24",)}


def main() -> None:
    """Train and score every network."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--network", type=Path, nargs="*",
                        default=sorted((REPOSITORY / "egs" / "networks").glob("*.conf")))
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE",
                        help="of train-dnn, e.g. num-epochs=2")
    parser.add_argument("--ali", default="tri3b", help="the system with the alignments (tri3b)")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    print(time.strftime("%Y-%m-%d"), "options", " ".join(args.set) or "as they are by default")
    print(f"{'network':12} {'WER %':>6} {'int8':>6} {'bytes':>9} {'int8':>8} {'parameters':>10} "
          f"{'train s':>8} {'frames/s':>8} {'RTF':>7} {'int8':>7}")
    for path in args.network:
        print(line(path, args), flush=True)


def line(path: Path, args: argparse.Namespace) -> str:
    """Train one network; return its line."""
    model = args.work / "exp" / f"bench_{path.stem}"
    data = args.work / "data" / "network"
    options = [f"--network={path}", *OPTIONS.get(path.stem, ()),
               *(f"--{text}" for text in args.set)]
    run("train-dnn", "--nj", args.threads, *options, data / "train", args.work / "data" / "lang",
        args.work / "exp" / args.ali, model)
    graph = args.work / "exp" / args.ali / "graph"
    if "stride=" in path.read_text():
        # Its transitions are its own; the graph is one of commands.
        graph = model / "graph"
        run("mkgraph", model, graph)
    small = model.with_name(model.name + "_int8")
    run("quantize", model, small)
    rows = [json.loads(run("evaluate", "--graph", graph, one, data / "test"))[0]
            for one in (model, small)]
    sizes = [(one / "nnet.npz").stat().st_size for one in (model, small)]
    info = json.loads((model / "model.json").read_text())["info"]
    return (f"{path.stem:12} {rows[0]['wer']:6.2f} {rows[1]['wer']:6.2f} {sizes[0]:9d} "
            f"{sizes[1]:8d} {info['parameters']:10d} {info['train_seconds']:8.1f} "
            f"{info['frames_a_second']:8d} {rows[0]['rtf']:7.4f} {rows[1]['rtf']:7.4f}")


if __name__ == "__main__":
    main()
