"""Runs the recipes on real speech and prints every figure beside Kaldi's.

    tools/bench/bench_recipes.py --data DIR [--work DIR] [--nj 2] [--only dsp20 yesno ...]

DIR holds the public corpora as dsp20/, fsdd/, yesno/ and audio-cmn/. The work directory is made
anew, so that times are those of a first run (kernels that are compiled already stay so; pass
--cold to compile them again).
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
# Kaldi's steps/train_mono.sh on the same recordings, one run each (percent of words).
BARS = {"dsp20": 14.4, "digits": 20.0, "words_zh": 16.0, "yesno": 0.0, "commands_zh": 3.0}


def main() -> None:
    """Run what was asked for, print the table."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("HYBRIDASR_DATA"))
    parser.add_argument("--work", type=Path)
    parser.add_argument("--nj", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=list(BARS), choices=list(BARS))
    parser.add_argument("--cold", action="store_true", help="compile the kernels anew")
    args = parser.parse_args()
    if args.data is None:
        parser.error("give --data DIR, the folder of the public corpora")
    work = args.work or Path(tempfile.mkdtemp(prefix="hybridasr-bench-"))
    environment = dict(os.environ)
    if args.cold:
        environment["NUMBA_CACHE_DIR"] = str(work / "kernels")
    corpora = {"dsp20": "dsp20", "digits": "fsdd", "words_zh": "audio-cmn", "yesno": "yesno"}
    print(f"{cpu()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}, --nj {args.nj}")
    print(f"{'recipe':12} {'test':10} {'WER %':>7} {'bar %':>6} {'train s':>8} {'RTF':>7} "
          f"{'total s':>8} {'falls':>5}  seconds of training by part, summed over jobs")
    for name in args.only:
        folds = FSDD_SPEAKERS if name == "digits" else (None,)
        errors = []
        for speaker in folds:
            target = work / (f"{name}-{speaker}" if speaker else name)
            shutil.rmtree(target, ignore_errors=True)
            command = [sys.executable, "-m", "hybridasr.cli", "run-recipe", "--recipes",
                       str(REPOSITORY / "egs"), "--recipe", name, "--work", str(target),
                       "--nj", str(args.nj)]
            if name in corpora:
                command += ["--corpus", str(args.data / corpora[name])]
            if speaker:
                command += ["--test-speaker", speaker]
            begun = time.time()
            subprocess.run(command, check=True, cwd=REPOSITORY, env=environment,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            total = time.time() - begun
            row = json.loads((target / "results.json").read_text())[0]
            info = json.loads((target / "exp/mono/model.json").read_text())["info"]
            errors.append(row["wer"])
            print(f"{name:12} {speaker or 'test':10} {row['wer']:7.2f} "
                  f"{'' if speaker else BARS[name]:>6} {row['train_seconds']:8.1f} "
                  f"{row['rtf']:7.4f} {total:8.1f} {falls(target):5d}  {info['seconds']}",
                  flush=True)
        if len(errors) > 1:
            print(f"{name:12} {'average':10} {sum(errors) / len(errors):7.2f} {BARS[name]:>6}")


def falls(work: Path) -> int:
    """Count the iterations in which the log likelihood a frame fell, after splits too."""
    log = (work / "exp/mono/log/train.log").read_text()
    values = [float(value) for value in re.findall(r"log likelihood a frame (-?[\d.]+)", log)]
    return sum(after < before for before, after in zip(values[:-1], values[1:], strict=True))


def cpu() -> str:
    """Name the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


if __name__ == "__main__":
    main()
