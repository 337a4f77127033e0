"""Runs the recipes on real speech and prints every figure of every system beside Kaldi's.

    tools/bench/bench_recipes.py --data DIR [--work DIR] [--nj 2] [--only dsp20 yesno ...]

DIR holds the public corpora as dsp20/, fsdd/, yesno/ and audio-cmn/. The work directory is made
anew, so that times are those of a first run (kernels that are compiled already stay so; pass
--cold to compile them again). --words FILE is a word list for the grammar of words_zh, --set goes
to every recipe (e.g. --set features.pitch=true).
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
FSDD_SPEAKERS = ("george", "jackson", "nicolas", "theo")
# Kaldi's steps on the same recordings, one run each: percent of words wrong, seconds of training
# with two jobs. Those of digits are of two other speakers and four to train on, those of words_zh
# of 1,000 words among 8,569.
BARS = {
    "dsp20": {"mono": 14.4, "tri1": 7.3, "tri2b": 7.3, "tri3b": 3.1, "dnn": 4.5},
    "digits": {"mono": 20.0, "tri1": 27.1, "tri2b": 36.2, "tri3b": 7.3, "dnn": 3.2},
    "words_zh": {"mono": 16.0, "tri1": 6.1, "tri2b": 6.3},
    "yesno": {"mono": 0.0}, "commands_zh": {"mono": 3.0},
}
SECONDS = {"dsp20": {"mono": 80, "tri1": 44, "tri2b": 53, "tri3b": 67, "dnn": 476}}
CORPORA = {"dsp20": "dsp20", "digits": "fsdd", "words_zh": "audio-cmn", "yesno": "yesno"}


def main() -> None:
    """Run what was asked for, print the table."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("HYBRIDASR_DATA"))
    parser.add_argument("--work", type=Path)
    parser.add_argument("--nj", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=list(BARS), choices=list(BARS))
    parser.add_argument("--words", type=Path, help="word list for the grammar of words_zh")
    parser.add_argument("--set", action="append", default=[], help="SECTION.OPTION=VALUE")
    parser.add_argument("--cold", action="store_true", help="compile the kernels anew")
    args = parser.parse_args()
    if args.data is None:
        parser.error("give --data DIR, the folder of the public corpora")
    work = args.work or Path(tempfile.mkdtemp(prefix="hybridasr-bench-"))
    environment = dict(os.environ)
    if args.cold:
        environment["NUMBA_CACHE_DIR"] = str(work / "kernels")
    print(f"{cpu()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}, --nj {args.nj}")
    print(f"{'recipe':12} {'test':10} {'set':12} {'system':7} {'known':5} {'WER %':>7} "
          f"{'Kaldi':>6} {'train s':>8} {'Kaldi':>6} {'RTF':>7} {'falls':>5}  "
          "seconds of training by part, summed over jobs")
    for name in args.only:
        errors: dict[tuple[str, str, str], list[float]] = {}
        for speaker in FSDD_SPEAKERS if name == "digits" else (None,):
            target = work / (f"{name}-{speaker}" if speaker else name)
            total = run(name, speaker, target, args, environment)
            spent: dict[str, float] = {}
            rows = json.loads((target / "results.json").read_text())
            for row in [row for row in rows if row["wer"] is not None]:
                errors.setdefault((row["test_set"], row["system"], row["known"] or ""),
                                  []).append(row["wer"])
                spent[row["system"]] = row["train_seconds"]
                print_row(name, speaker or "test", row, target)
            print(f"{name:12} {speaker or 'test':10} {'':12} {'sum':7} {'':5} {'':7} {'':6} "
                  f"{sum(spent.values()):8.1f} "
                  f"{sum(SECONDS[name].values()) if name in SECONDS else '':>6}   "
                  f"(the whole recipe: {total:.0f} s)", flush=True)
        for (test_set, system, known), values in errors.items():
            if len(values) > 1:
                print(f"{name:12} {'average':10} {test_set:12} {system:7} {known:5} "
                      f"{sum(values) / len(values):7.2f} {bar(name, test_set, system, known):>6}")


def run(name: str, speaker: str | None, target: Path, args: argparse.Namespace,
        environment: dict[str, str]) -> float:
    """Run one recipe into `target`, made anew; return the seconds that it took."""
    shutil.rmtree(target, ignore_errors=True)
    command = [sys.executable, "-m", "hybridasr.cli", "run-recipe", "--recipes",
               str(REPOSITORY / "egs"), "--recipe", name, "--work", str(target),
               "--nj", str(args.nj), *(word for text in args.set for word in ("--set", text))]
    if name in CORPORA:
        command += ["--corpus", str(args.data / CORPORA[name])]
    if speaker:
        command += ["--test-speaker", speaker]
    if args.words and name == "words_zh":
        command += ["--commands", str(args.words)]
    begun = time.time()
    subprocess.run(command, check=True, cwd=REPOSITORY, env=environment,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.time() - begun


def print_row(name: str, test: str, row: dict, target: Path) -> None:
    """Print the line of one system."""
    system = row["system"]
    info = json.loads((target / "exp" / system / "model.json").read_text())["info"]
    known = row["known"] or ""
    kaldi = bar(name, row["test_set"], system, known) if test == "test" else ""
    print(f"{name:12} {test:10} {row['test_set']:12} {system:7} {known:5} {row['wer']:7.2f} "
          f"{kaldi:>6} {row['train_seconds']:8.1f} {SECONDS.get(name, {}).get(system, ''):>6} "
          f"{row['rtf']:7.4f} {falls(target / 'exp' / system):5d}  {info.get('seconds', '')}",
          flush=True)


def bar(name: str, test_set: str, system: str, known: str) -> float | str:
    """Return Kaldi's per cent of words wrong, which is of words and of whole speakers."""
    return "" if known == "none" or test_set != "test" else BARS[name].get(system, "")


def falls(model: Path) -> int:
    """Count the iterations in which the log likelihood a frame fell.

    Left out: iterations after a split, and those in which the features changed.
    """
    lines = (model / "log" / "train.log").read_text().splitlines()
    count, rows, changed = 0, [], False
    for line in lines:
        changed = changed or "MLLT gains" in line or "speakers gain" in line
        match = re.search(r"log likelihood a frame (-?[\d.]+).*now (\d+) gaussians", line)
        if match:
            rows.append((float(match[1]), int(match[2])))
            grown = len(rows) > 2 and rows[-2][1] != rows[-3][1]
            count += len(rows) > 1 and not grown and not changed and rows[-1][0] < rows[-2][0]
            changed = False
    return count


def cpu() -> str:
    """Name the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


if __name__ == "__main__":
    main()
