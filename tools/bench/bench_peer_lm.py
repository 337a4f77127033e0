"""Perplexity of this package's n-gram models beside those of IRSTLM, on the same sentences.

    tools/bench/bench_peer_lm.py TEXT... [--work DIR] [--segment LEXICON] [--order 3]

Needs IRSTLM's program tlm (Debian: irstlm). The texts are cut and parted as by bench_nnlm.py; the
models learn its training part and are scored on its test part, without words that are not in the
training. Nothing is pruned. The perplexities are those of
`hybridasr perplexity` on each ARPA file. Seconds are by the wall clock.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from bench_nnlm import PARTS, run, spoken_words, text_arguments, write_parts

OURS = ("kneser-ney", "witten-bell", "katz")
THEIRS = {"improved Kneser-Ney": "ikn", "Witten-Bell": "wb", "improved shift-beta": "isb"}
TLM = ("tlm", "/usr/lib/irstlm/bin/tlm")


def main() -> None:
    """Train and score every model."""
    parser = text_arguments(__doc__)
    parser.add_argument("--order", type=int, default=3)
    args = parser.parse_args()
    tlm = next(filter(None, map(shutil.which, TLM)), None)
    if tlm is None:
        raise SystemExit("IRSTLM's tlm is not there; install the package irstlm")
    with tempfile.TemporaryDirectory() as folder:
        measure(args.work or Path(folder), args, tlm)


def measure(work: Path, args: argparse.Namespace, tlm: str) -> None:
    """Make texts and models, and print a line a model."""
    work.mkdir(parents=True, exist_ok=True)
    if not all((work / part).is_file() for part in PARTS):
        write_parts(work, [spoken_words(work, text, args.segment) for text in args.texts])
    train, test = work / PARTS[0], work / PARTS[2]
    marked = work / "marked.txt"
    marked.write_text("".join(f"<s> {line} </s>\n" for line in
                              train.read_text(encoding="utf-8").splitlines()), encoding="utf-8")
    print("program\tmodel\tperplexity\ttraining, s")
    for smoothing in OURS:
        arpa, begun = work / f"{smoothing}.arpa", time.monotonic()
        run("train-lm", "--order", args.order, "--smoothing", smoothing, train, arpa)
        show("hybridasr", smoothing, arpa, test, begun)
    for name, kind in THEIRS.items():
        arpa, begun = work / f"{kind}.arpa", time.monotonic()
        subprocess.run([tlm, f"-tr={marked}", f"-n={args.order}", f"-lm={kind}", "-ps=no",
                        f"-oarpa={arpa}"], check=True, capture_output=True)
        show("irstlm", name, arpa, test, begun)


def show(program: str, name: str, arpa: Path, test: Path, begun: float) -> None:
    """Score a model and print its line."""
    seconds = time.monotonic() - begun
    score = json.loads(run("perplexity", arpa, test))
    print(f"{program}\t{name}\t{score['perplexity_without_oovs']:.1f}\t{seconds:.0f}", flush=True)


if __name__ == "__main__":
    main()
