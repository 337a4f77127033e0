"""Trains the same systems with different jobs and BLAS threads; every array must be the same.

    python tools/drill/drill_determinism.py [--corpus ../shared/data/yesno] [--nj 1 2 4]
                                            [--threads 1 2 4] [--work FOLDER]

Features, four GMM systems and a network of yesno, by the verbs in processes of their own, for every
pair of --nj and OPENBLAS_NUM_THREADS. What is compared to the first pair, bit for bit: every array
of every .npz file, every archive and every alignment. Exit 1 if anything differs.
"""

import argparse
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from small_recipe import CORPUS, REPOSITORY, differences

SIZES = ["--num-iters", "8", "--max-iter-inc", "6"]
LADDER = [("mono", "train-mono", None, ["--totgauss", "60"]),
          ("tri1", "train-deltas", "mono", ["30", "100"]),
          ("tri2b", "train-lda-mllt", "tri1", ["30", "100"]),
          ("tri3b", "train-sat", "tri2b", ["30", "100"])]
NETWORK = ["--num-epochs", "2", "--held-out", "0.1"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--nj", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--work", type=Path, help="where the systems stay; none: nowhere")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = args.work or Path(folder)
        prepare(args.corpus, work)
        first, faults = None, 0
        for nj, threads in itertools.product(args.nj, args.threads):
            begun, exp = time.monotonic(), work / f"nj{nj}_threads{threads}"
            train(work / "data" / "train", work / "data" / "lang", exp, nj, threads)
            first = first or exp
            unlike = list(differences(first, exp))
            faults += len(unlike)
            print(f"--nj {nj}, {threads} BLAS threads: {len(unlike)} differences, "
                  f"{time.monotonic() - begun:.0f} s", *unlike[:5], sep="\n  ", flush=True)
    return 1 if faults else 0


def prepare(corpus: Path, work: Path) -> None:
    """Write data directories and the lang directory of yesno."""
    run("prepare-data", "--reader", "yesno", corpus, work / "data")
    run("prepare-lang", "--lexicon", REPOSITORY / "egs/yesno/lexicon.txt", work / "data/train",
        work / "data/lang")


def train(data: Path, lang: Path, exp: Path, nj: int, threads: int) -> None:
    """Train all systems on a copy of `data`, with this many jobs and threads of BLAS."""
    own = exp / "data"
    environment = {"OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    shutil.copytree(data, own)
    run("make-feats", "--nj", nj, "--sample-rate", 8000, own, **environment)
    for name, verb, source, sizes in LADDER:
        options = ["--nj", nj, *SIZES, *(sizes if source is None else [])]
        paths = [own, lang, *([exp / source] if source else []), exp / name]
        run(verb, *options, *(sizes if source else []), *paths, **environment)
    run("train-dnn", "--nj", nj, *NETWORK, own, lang, exp / LADDER[-1][0], exp / "dnn",
        **environment)


def run(*words: object, **environment: str) -> None:
    """Run a verb; end the drill with its messages if it fails."""
    command = [sys.executable, "-m", "hybridasr.cli", *map(str, words)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=REPOSITORY,
                          env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment})
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
