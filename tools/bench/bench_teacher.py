"""Trains a small network by the alignment's classes and from a teacher, and prints what each gives.

    tools/bench/bench_teacher.py WORK [--network FILE] [--set OPTION=VALUE ...] [--test]

WORK is the work directory of a recipe that was run with its network: exp/dnn is the teacher, and
its alignments, copies and graph are used. --set is of train-dnn (temperature=4, num-epochs=6, ...).
A line a network: bytes of the pack with int8 weights, and per cent of words wrong, one recording at
a time, in float32 and with int8 weights, of the training speakers that nobody was trained on, on
whom settings are chosen; with --test of the test set as well, which is to be looked at once.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

from verbs import REPOSITORY, run

from hybridasr.corpus.datadir import read_datadir
from hybridasr.corpus.subsets import copy_datadir

OF_TEACHER = ("teacher-weight", "temperature")


def main() -> None:
    """Train both and score all three."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--network", type=Path,
                        default=REPOSITORY / "egs" / "networks" / "small.conf")
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE")
    parser.add_argument("--ali", default="tri3b", help="the system with the alignments (tri3b)")
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    args.work, args.network = args.work.resolve(), args.network.resolve()
    exp = args.work / "exp"
    teacher, small = exp / "dnn", exp / f"bench_{args.network.stem}"
    held_out = held_out_data(args.work / "data" / "train", teacher,
                             args.work / "data" / "bench_held_out")
    sets = [held_out, args.work / "data" / "test"] if args.test else [held_out]
    print(time.strftime("%Y-%m-%d"), args.network.name, "options", " ".join(args.set) or "none")
    print(f"{'network':10} {'pack':>9}" + "".join(f" {one.name:>16} {'int8':>6}" for one in sets))
    print(line("teacher", teacher, exp / args.ali / "graph", sets), flush=True)
    plain = [word for word in args.set if not word.startswith(OF_TEACHER)]
    for name, options in (("classes", plain), ("teacher's", [*args.set, f"teacher={teacher}"])):
        model = small.with_name(f"{small.name}_{name.removesuffix(chr(39) + 's')}")
        data = args.work / "data" / "network" / "train"
        held = json.loads((teacher / "model.json").read_text())["info"]["options"]["held_out"]
        run("train-dnn", "--nj", args.threads, f"--network={args.network}", "--chunk-width=16",
            f"--held-out={held}", *(f"--{word}" for word in options), data,
            args.work / "data" / "lang", exp / args.ali, model)
        run("tune-scale", "--held-out", "--graph", exp / args.ali / "graph", model, data)
        print(line(name, model, exp / args.ali / "graph", sets), flush=True)


def held_out_data(train: Path, teacher: Path, destination: Path) -> Path:
    """Write the recordings that the teacher was not trained on as a set of their own."""
    data, names = read_datadir(train), (teacher / "held_out").read_text().split()
    kept = {name: data.utterances[name] for name in names if name in data.utterances}
    copy_datadir(replace(data, utterances=kept), destination)
    return destination


def line(name: str, model: Path, graph: Path, sets: list[Path]) -> str:
    """Score a network in float32 and with int8 weights; return its line."""
    int8, pack = model.with_name(f"{model.name}_int8"), model.with_name(f"{model.name}.hyb")
    run("quantize", model, int8)
    if not (model / "graph").is_dir():
        run("mkgraph", model)
    run("pack", "--int8", model, pack)
    rows = [json.loads(run("evaluate", "--known", "none", "--graph", graph, one, data))[0]
            for data in sets for one in (model, int8)]
    return f"{name:10} {pack.stat().st_size:9d}" + "".join(
        f" {first['wer']:16.2f} {second['wer']:6.2f}"
        for first, second in zip(rows[::2], rows[1::2], strict=True))


if __name__ == "__main__":
    main()
