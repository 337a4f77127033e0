#!/usr/bin/env python3
"""Accepts commands and rejects all else on dsp20 and on noise, by a network trained by the recipe.

    tools/bench/bench_reject.py WORK [--noise FILE] [--nj 2] [--without WORK2]

WORK is the work directory of egs/run.sh --recipe dsp20, whose network is calibrated on the
training speakers held out. Printed, in per cent of utterances of the test speakers: ten commands
against ten outside words; two commands against two words that sound alike; with --without, ten
commands against six words that are left out of all training (a recipe run into WORK2). With
--noise, what is accepted of a recording cut into pieces of 2 s (four times: from its beginning on,
and from 0.5, 1 and 1.5 s), digital silence, a tone and white noise.
"""

import argparse
import collections
import json
import shutil
import time
from pathlib import Path

import numpy as np
import soundfile
from verbs import REPOSITORY, run

from hybridasr.corpus.command_list import read_commands
from hybridasr.corpus.datadir import read_datadir, write_datadir
from hybridasr.recognize.recognizer import load

NEAR = ("北京", "上海"), ("背景", "商行")
UNHEARD = ("复旦", "饭店", "Print", "Open", "Close", "Project")
COMMANDS = REPOSITORY / "egs" / "dsp20" / "commands.txt"
FIGURES = ("commands", "outside", "recognised", "accepted_right", "accepted_wrong",
           "false_accept", "eer", "ece")


def main() -> None:
    """Score each case; print its line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--noise", type=Path)
    parser.add_argument("--nj", type=int, default=2)
    parser.add_argument("--without", type=Path, metavar="WORK2")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.OPTION=VALUE",
                        help="of the recipe that is run into WORK2")
    args = parser.parse_args()
    print(time.strftime("%Y-%m-%d"), f"{'case':24}", " ".join(f"{name:>14}" for name in FIGURES))
    model, data = args.work / "exp" / "dnn", args.work / "data" / "network"
    show("ten commands", evaluate(model, data / "test", COMMANDS, args.nj))
    if args.noise:
        print("noise:", noises(model, args.noise))
    near = args.work / "near"
    subset(data / "test", near / "test", (*NEAR[0], *NEAR[1]))
    (near / "commands.txt").write_text("".join(f"{word}\n" for word in NEAR[0]))
    calibrated = near / "dnn"  # a copy, for a calibration of its own
    shutil.copytree(model, calibrated, dirs_exist_ok=True)
    run("calibrate", "--nj", args.nj, "--held-out", "--commands", near / "commands.txt",
        calibrated, data / "train")
    show("near-sounding", evaluate(calibrated, near / "test", near / "commands.txt", args.nj))
    if args.without:
        for name in ("train", "test"):
            words = {word for u in read_datadir(args.work / "data" / name).utterances.values()
                     for word in u.words}
            commands = {command.text for command in read_commands(COMMANDS)}
            kept = words - set(UNHEARD) if name == "train" else words & {*commands, *UNHEARD}
            subset(args.work / "data" / name, args.without / "corpus" / name, kept)
        run("run-recipe", "--recipes", REPOSITORY / "egs", "--recipe", "dsp20", "--nj", args.nj,
            "--corpus", args.without / "corpus", "--work", args.without,
            *(f"--set={text}" for text in args.set))
        rows = json.loads((args.without / "results.json").read_text())
        show("words never heard", rows[-1])


def evaluate(model: Path, data: Path, commands: Path, jobs: int) -> dict:
    """Return the row of a set."""
    return json.loads(run("evaluate", "--nj", jobs, "--commands", commands, model, data))[0]


def show(case: str, row: dict) -> None:
    """Print the line of a case."""
    print(f"{'':10} {case:24}", " ".join(f"{row[name]!s:>14}" for name in FIGURES), flush=True)


def subset(source: Path, destination: Path, words: set[str] | tuple[str, ...]) -> None:
    """Write the utterances of some words, features left out."""
    data = read_datadir(source)
    write_datadir(destination, [u for u in data.utterances.values() if set(u.words) <= set(words)])


def noises(model: Path, path: Path) -> dict[str, int]:
    """Count the reasons that nothing was accepted; what was accepted, by its text."""
    recognizer = load(model, commands=COMMANDS)
    rate = recognizer.model.features.sample_rate
    samples, found = soundfile.read(path, dtype="int16")
    if found != rate:
        raise SystemExit(f"{path} has {found} Hz; give one of {rate}")
    pieces = [samples[start:start + 2 * rate] for begin in range(0, 2 * rate, rate // 2)
              for start in range(begin, len(samples), 2 * rate)]
    rng, times = np.random.default_rng(0), np.arange(2 * rate) / rate
    pieces += [np.zeros(2 * rate), 8000 * np.sin(2 * np.pi * 440 * times)]
    pieces += [level * rng.standard_normal(2 * rate) for level in (30, 300, 3000)]
    results = [recognizer.recognize(np.asarray(piece, np.float32), rate) for piece in pieces]
    return dict(collections.Counter(result["reason"] or result["text"] for result in results))


if __name__ == "__main__":
    main()
