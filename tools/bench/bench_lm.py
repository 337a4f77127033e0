"""Time and memory of language models against the size of the text: counting, smoothing, files.

    tools/bench/bench_lm.py [--text FILE] [--megabytes 1 10 100] [--orders 1 2 3] [--files]

The text is repeated up to each size; in each copy a share of the words (--change) is replaced by
words drawn at random, so that n-grams go on growing. Without --text, the words of README.md are
taken. Each row is measured in a process of its own:
megabytes, order, smoothing, seconds to count (with reading), seconds to smooth, megabytes of text a
second and order, seconds of both by the wall clock, peak memory in megabytes, n-grams; with --files
also seconds to write and read ARPA, and to map the binary file. All seconds but those of the wall
clock are processor time, so that other programs on the machine do not change them.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from hybridasr.lm.counts import WordChoice, count_ngrams
from hybridasr.lm.model_file import read_ngram, write_ngram
from hybridasr.lm.smoothing import smooth_counts
from hybridasr.lm.token_store import Scratch, WordIds, file_tokens

README = Path(__file__).resolve().parents[2] / "README.md"
COLUMNS = ("megabytes", "order", "smoothing", "on_disk", "count_s", "smooth_s",
           "mb_per_s_per_order", "wall_s", "peak_mb", "ngrams")
FILES = ("write_arpa_s", "read_arpa_s", "arpa_mb", "map_binary_s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, default=README, help="words with spaces between")
    parser.add_argument("--megabytes", type=float, nargs="+", default=[1, 10, 100])
    parser.add_argument("--orders", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--smoothing", default="kneser-ney")
    parser.add_argument("--memory", type=int, default=2000, help="megabytes, as of train-lm")
    parser.add_argument("--change", type=float, default=0.2, help="share of words replaced")
    parser.add_argument("--files", action="store_true", help="measure the files, too")
    parser.add_argument("--one", nargs=2, metavar=("TEXT", "ORDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(Path(args.one[0]), int(args.one[1]), args)))
        return
    columns = COLUMNS + (FILES if args.files else ())
    print("\t".join(columns))
    with tempfile.TemporaryDirectory() as folder:
        for megabytes in args.megabytes:
            text = Path(folder) / "text"
            write_text(text, args.text, megabytes, args.change)
            for order in args.orders:
                command = [sys.executable, __file__, "--one", str(text), str(order),
                           "--smoothing", args.smoothing, "--memory", str(args.memory),
                           *(["--files"] if args.files else [])]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                row = json.loads(done.stdout)
                print("\t".join(str(row[column]) for column in columns), flush=True)


def write_text(path: Path, source: Path, megabytes: float, change: float) -> None:
    """Write `source` again and again, with some words replaced by others of the same text."""
    rng = np.random.default_rng(0)
    lines = [line.split() for line in source.read_text(encoding="utf-8").splitlines()]
    words = np.array([word for line in lines for word in [*line, "\n"]], object)
    ends = words == "\n"
    # Most replacements are usual words; a long tail is new in each copy, as in real text.
    usual = words[~ends]
    size = 0
    with open(path, "w", encoding="utf-8") as file:
        copy = 0
        while size < megabytes * 1e6:
            changed = words.copy()
            places = np.flatnonzero(~ends & (rng.random(len(words)) < change))
            changed[places] = rng.choice(usual, len(places))
            for place in places[rng.random(len(places)) < 0.02]:
                changed[place] = f"{changed[place]}{copy}"
            text = " ".join(changed.tolist()).replace(" \n ", "\n").replace(" \n", "\n")
            file.write(text)
            size += len(text.encode())
            copy += 1


def measure(text: Path, order: int, args: argparse.Namespace) -> dict[str, object]:
    """Estimate one model and return a row of the table."""
    memory, size = args.memory << 20, text.stat().st_size
    wall, start = time.perf_counter(), time.process_time()
    ids = WordIds()
    on_disk = size * 16 > memory
    with Scratch(on_disk) as scratch:
        counts = count_ngrams(file_tokens(text, ids), ids, order, WordChoice(), scratch, memory)
        middle = time.process_time()
        model, smoothing = smooth_counts(counts, args.smoothing)
        end = time.process_time()
    row = {"megabytes": round(size / 1e6, 1), "order": order, "smoothing": smoothing,
           "on_disk": on_disk, "count_s": round(middle - start, 2),
           "smooth_s": round(end - middle, 2),
           "mb_per_s_per_order": round(size / 1e6 * order / (end - start), 2),
           "wall_s": round(time.perf_counter() - wall, 2),
           "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
           "ngrams": sum(model.num_ngrams)}
    if args.files:
        row |= measure_files(text.parent, model)
    return row


def measure_files(folder: Path, model: object) -> dict[str, object]:
    """Write and read a model in both forms."""
    times = []
    for name, action in (("lm.arpa", write_ngram), ("lm.arpa", None), ("lm.bin", write_ngram),
                         ("lm.bin", None)):
        start = time.process_time()
        if action:
            action(folder / name, model)
        else:
            read_ngram(folder / name)
        times.append(round(time.process_time() - start, 2))
    return {"write_arpa_s": times[0], "read_arpa_s": times[1], "map_binary_s": times[3],
            "arpa_mb": round((folder / "lm.arpa").stat().st_size / 1e6, 1)}


if __name__ == "__main__":
    main()
