"""Checks that a stream gives the same results however it is cut, on recordings of a set.

    tools/bench/bench_cuts.py [--commands FILE] [--recordings N] [--cuts N] MODEL DATA

Each of N recordings (50), spread over DATA, goes through a session in one piece, and several times
(200 in all) in pieces that are drawn: single samples, milliseconds, seconds. Words, times and
confidences have to be equal to the last bit, and the words those of `recognize`. Prints how many
were; exit code 1 if one was not.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import hybridasr
from hybridasr.corpus.audio import FULL_SCALE, load_utterance
from hybridasr.corpus.datadir import read_datadir
from hybridasr.recognize.recognizer import Recognizer


def main() -> None:
    """Check the recordings and print the count."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=Path, help="command list")
    parser.add_argument("--recordings", type=int, default=50)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    recognizer = hybridasr.load(args.model, commands=args.commands)
    rate = recognizer.model.features.sample_rate
    utterances = list(read_datadir(args.data, False).utterances.values())
    chosen = utterances[::max(1, len(utterances) // args.recordings)][:args.recordings]
    rng = np.random.default_rng(0)
    equal = same_words = checked = 0
    for number, utterance in enumerate(chosen):
        samples = load_utterance(utterance, rate)
        whole = events_of(recognizer, [samples])
        texts = " ".join(event["text"] for event in whole if event.get("text"))
        same_words += texts == recognizer.recognize(samples, rate)["text"]
        for _ in range(args.cuts * (number + 1) // len(chosen) - args.cuts * number // len(chosen)):
            checked += 1
            equal += events_of(recognizer, np.split(samples, drawn(len(samples), rng))) == whole
    print(time.strftime("%Y-%m-%d"), args.model, f"{len(chosen)} recordings: {equal} of {checked} "
          f"cuts equal to the last bit, words of {same_words} as of the whole")
    sys.exit(equal < checked)


def events_of(recognizer: Recognizer, pieces: list[np.ndarray]) -> list[dict]:
    """Return the events of a stream, partial words too."""
    session = recognizer.session(full_scale=FULL_SCALE)
    return [event for piece in pieces for event in session.accept(piece)] + session.finish()


def drawn(length: int, rng: np.random.Generator) -> np.ndarray:
    """Return places to cut at: pieces of about one sample to a second, or a few drawn places."""
    if rng.random() < 0.3:
        return np.sort(rng.integers(0, length + 1, rng.integers(1, 10)))
    size = int(rng.choice([1, 7, 160, 1600, 16000]))
    first = int(rng.integers(0, size))
    return np.arange(first, length if size > 1 else min(length, 4000), size)


if __name__ == "__main__":
    main()
