"""Recognises the files of a data directory one at a time, as a product would.

    tools/bench/bench_recognize.py [--homophones] MODEL DATADIR [MODEL DATADIR ...]

Prints the share of wrong sentences and the time that an answer takes, reading included. Each file
counts as its own speaker, so the errors differ from those of `hybridasr evaluate`.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import hybridasr
from hybridasr.corpus.datadir import read_datadir
from hybridasr.evaluate import homophone_classes
from hybridasr.progress import progress


def main() -> None:
    """Measure every pair of model and data directory."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--homophones", action="store_true", help="homophones count as right")
    parser.add_argument("pairs", type=Path, nargs="+", metavar="MODEL DATADIR")
    args = parser.parse_args()
    if len(args.pairs) % 2:
        parser.error("give a data directory for every model")
    for model, path in zip(args.pairs[::2], args.pairs[1::2], strict=True):
        begun = time.perf_counter()
        recognizer = hybridasr.load(model)
        recognizer.warm_up()
        ready = time.perf_counter() - begun
        classes = homophone_classes(recognizer.model.lang) if args.homophones else {}
        wrong, seconds, data = 0, [], read_datadir(path)
        for utterance in progress(data.utterances.values(), desc=path.name):
            begun = time.perf_counter()
            said = recognizer.recognize(utterance.wav)["text"].split()
            seconds.append(time.perf_counter() - begun)
            wrong += ([classes.get(word, word) for word in said]
                      != [classes.get(word, word) for word in utterance.words])
        print(f"{model}: {wrong} of {len(data)} sentences wrong, {100 * wrong / len(data):.2f} %; "
              f"ready in {ready:.2f} s; an answer takes {1000 * np.mean(seconds):.1f} ms on "
              f"average, {1000 * np.percentile(seconds, 95):.1f} ms at most for 95 %")


if __name__ == "__main__":
    main()
