"""Kills a small recipe at random moments (kill -9), and starts it again until it is through.

    python tools/drill/drill_kill.py [--kills 20] [--seed 0] [--nj 2] [--corpus FOLDER]

The whole process group is killed. At every end the results are compared, bit for bit, to those of a
run that nobody disturbed, and no temporary file may be left; then the drill starts over in an empty
directory until there were enough kills. Exit 1 at a fault.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from small_recipe import (
    CORPUS,
    REPOSITORY,
    command,
    differences,
    environment,
    finished_stages,
    left_behind,
    run,
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--nj", type=int, default=2)
    args = parser.parse_args()
    draw = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, work = Path(folder) / "whole", Path(folder) / "work"
        code, messages, seconds = run(args.corpus, whole, args.nj)
        if code or left_behind(whole):
            raise SystemExit(f"the recipe itself fails: {messages} {left_behind(whole)}")
        print(f"undisturbed: {seconds:.0f} s", flush=True)
        kills = ends = faults = 0
        while kills < args.kills or ends == 0:
            # A third of the recipe's time: some runs are killed while they find what is done.
            wait = draw.uniform(0.5, seconds / 3) if kills < args.kills else None
            before = finished_stages(work)
            code, messages = run_and_kill(args, work, wait)
            lost = before - finished_stages(work)
            if code is None:
                kills += 1
                print(f"kill {kills} after {wait:.1f} s: {len(finished_stages(work))} stages done",
                      flush=True)
                # The stage that runs again has no record meanwhile, if it was not valid any more.
                faults += report("stages lost", lost)
                continue
            ends += 1
            faults += report("exit status", [f"{code}: {messages}"] if code else [])
            faults += report("unlike the undisturbed run", list(differences(whole, work)))
            faults += report("left behind", left_behind(work))
            shutil.rmtree(work)
    print(f"{kills} kills, {ends} ends, {faults} faults")
    return 1 if faults else 0


def run_and_kill(args: argparse.Namespace, work: Path, wait: float | None
                 ) -> tuple[int | None, str]:
    """Run the recipe, for `wait` seconds at most; return its exit status, None if it was killed."""
    with tempfile.TemporaryFile("w+") as file, subprocess.Popen(
            command(args.corpus, work, args.nj), stdout=subprocess.DEVNULL, stderr=file,
            env=environment(), cwd=REPOSITORY, start_new_session=True) as process:
        try:
            code: int | None = process.wait(wait)
        except subprocess.TimeoutExpired:
            code = None
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        file.seek(0)
        return code, file.read()


def report(what: str, faults) -> int:
    """Print faults; return how many there are."""
    for fault in faults:
        print(f"  FAULT, {what}: {fault}", flush=True)
    return len(faults)


if __name__ == "__main__":
    sys.exit(main())
