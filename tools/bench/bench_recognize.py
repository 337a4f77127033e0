"""Recognises the files of a data directory one at a time, as a product would.

    tools/bench/bench_recognize.py [--homophones] MODEL DATADIR [MODEL DATADIR ...]

Prints how long import, loading and the first answer take, the share of wrong sentences and the time
that an answer takes, reading included. With --commands FILE a list takes the graph's place. Each
file counts as its own speaker, so the errors differ from those of `hybridasr evaluate`.
"""

# ruff: noqa: E402 - the imports are timed.
import time

BEGUN = time.perf_counter()

import argparse
from pathlib import Path

import numpy as np

import hybridasr
from hybridasr.corpus.datadir import read_datadir
from hybridasr.evaluation.evaluate import homophone_classes
from hybridasr.progress import progress


def main() -> None:
    """Measure every pair of model and data directory."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--homophones", action="store_true", help="homophones count as right")
    parser.add_argument("--commands", type=Path, help="command list")
    parser.add_argument("pairs", type=Path, nargs="+", metavar="MODEL DATADIR")
    args = parser.parse_args()
    if len(args.pairs) % 2:
        parser.error("give a data directory for every model")
    for model, path in zip(args.pairs[::2], args.pairs[1::2], strict=True):
        recognizer = hybridasr.load(model, commands=args.commands)
        ready, begun = time.perf_counter() - BEGUN, time.perf_counter()
        recognizer.warm_up()
        first = time.perf_counter() - begun
        classes = homophone_classes(recognizer.grammar.lang) if args.homophones else {}
        listed = {command.words for command in recognizer.commands}
        wrong, seconds, data = 0, [], read_datadir(path)
        for utterance in progress(data.utterances.values(), desc=path.name):
            begun = time.perf_counter()
            result = recognizer.recognize(utterance.wav)
            seconds.append(time.perf_counter() - begun)
            said = result["text"].split()
            wanted = utterance.words
            if listed:  # of what is no command, nothing is to be accepted
                said = said if result["accepted"] else []
                wanted = wanted if wanted in listed else ()
            wrong += ([classes.get(word, word) for word in said]
                      != [classes.get(word, word) for word in wanted])
        print(f"{model}: {wrong} of {len(data)} sentences wrong, {100 * wrong / len(data):.2f} %; "
              f"loaded {ready:.2f} s after the start, first answer {first:.2f} s; an answer "
              f"takes {1000 * np.mean(seconds):.1f} ms on average, "
              f"{1000 * np.percentile(seconds, 95):.1f} ms at most for 95 %")


if __name__ == "__main__":
    main()
