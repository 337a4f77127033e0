"""Perplexity of an n-gram model, a neural model and their mixture, and what they cost to train.

    tools/bench/bench_nnlm.py TEXT... [--work DIR] [--segment LEXICON] [OPTIONS OF train-nnlm]

Each TEXT is Mandarin, one sentence a line. It is written as it is spoken (normalize-text) and cut
into words (segment-text, by jieba without --segment); sentences that come twice stand once. Of all
sentences in random order a tenth is held out for the best epoch and the weight, and the last tenth
is the test. Kneser-Ney 3-gram and neural model have the words of the rest; words that are not there
are left out of the perplexities. Other options go to train-nnlm. What is in DIR already is not made
again. Seconds are by the wall clock.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PARTS = ("train.txt", "held_out.txt", "test.txt")


def main() -> None:
    parser = text_arguments(__doc__)
    args, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(args.work or Path(folder), args, options)


def text_arguments(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that knows the texts and how they are cut."""
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path, nargs="+")
    parser.add_argument("--work", type=Path, help="directory for all files (a temporary one)")
    parser.add_argument("--segment", type=Path, help="lexicon to cut words by")
    return parser


def measure(work: Path, args: argparse.Namespace, options: list[str]) -> None:
    """Make texts and models where they are missing, and print the table."""
    work.mkdir(parents=True, exist_ok=True)
    if not all((work / part).is_file() for part in PARTS):
        write_parts(work, [spoken_words(work, text, args.segment) for text in args.texts])
    train, held_out, test = (work / part for part in PARTS)
    seconds = {}
    for name, target, command in (
            ("ngram", work / "lm.arpa", ["train-lm", train, work / "lm.arpa"]),
            ("neural", work / "nnlm", ["train-nnlm", "--held-out", held_out, *options, train,
                                       work / "nnlm"])):
        begun = time.monotonic()
        if not target.exists():
            run(*command)
            seconds[name] = round(time.monotonic() - begun)
    rows = (("3-gram, Kneser-Ney", [work / "lm.arpa"], seconds.get("ngram")),
            ("neural", [work / "nnlm"], seconds.get("neural")),
            ("both", ["--ngram", work / "lm.arpa", "--held-out", held_out, work / "nnlm"], None))
    print("model\tperplexity\tagainst 3-gram\tweight of neural\ttraining, s")
    first = None
    for name, models, spent in rows:
        row = json.loads(run("perplexity", *models, test))
        value = row["perplexity_without_oovs"]
        first = first or value
        print(f"{name}\t{value:.1f}\t{value / first - 1:+.1%}\t{row.get('weight', '')}\t"
              f"{'' if spent is None else spent}", flush=True)


def spoken_words(work: Path, text: Path, segment: Path | None) -> list[str]:
    """Return the different sentences of a text, words with spaces between."""
    spoken, words = (work / f"{text.stem}.{end}" for end in ("spoken", "words"))
    run("normalize-text", "--simplified", text, spoken)
    run("segment-text", *(["--segment", segment] if segment else ["--method", "jieba"]), spoken,
        words)
    return list(dict.fromkeys(words.read_text(encoding="utf-8").splitlines()))


def write_parts(work: Path, texts: list[list[str]]) -> None:
    lines = [line for text in texts for line in text]
    order = np.random.default_rng(0).permutation(len(lines))
    tenth = len(lines) // 10
    edges = (0, len(lines) - 2 * tenth, len(lines) - tenth, len(lines))
    for name, start, end in zip(PARTS, edges[:-1], edges[1:], strict=True):
        (work / name).write_text("".join(lines[place] + "\n" for place in order[start:end]),
                                 encoding="utf-8")


def run(*words: object) -> str:
    """Run a verb; its messages go to stderr."""
    command = [sys.executable, "-m", "hybridasr.cli", *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
