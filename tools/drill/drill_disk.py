"""Lets a small recipe run into a full disk at many sizes, and go on with a little more room.

    python tools/drill/drill_disk.py [--sizes 30] [--corpus ../shared/data/yesno] [--nj 2]

As root the disk is a small file system in memory (tmpfs), which grows from size to size. Otherwise
the size of files is limited (RLIMIT_FSIZE), which fails in the same calls. At every size the
recipe must end by itself with one line, exit status 1 and no temporary file, keep every stage that
was done, and in the end give what an undisturbed run gives, bit for bit. Exit 1 at a fault.
"""

import argparse
import os
import resource
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
    parser.add_argument("--sizes", type=int, default=30)
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--nj", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole, disk = Path(folder) / "whole", Path(folder) / "disk"
        code, messages, seconds = run(args.corpus, whole, args.nj)
        if code:
            raise SystemExit(f"the recipe itself fails: {messages}")
        disk.mkdir()
        limit = _Mounted(disk) if _can_mount(disk) else _Limited()
        total = limit.needed(whole)
        print(f"undisturbed: {seconds:.0f} s, {total >> 10} KiB; {limit.what}", flush=True)
        faults = full = 0
        try:
            for number in range(1, args.sizes + 1):
                size = total * number // args.sizes
                filled, wrong = attempt(args, disk / "work", size, limit)
                faults, full = faults + len(wrong), full + filled
                print(f"{size >> 10} KiB: {'full' if filled else 'room enough'}, "
                      f"{len(finished_stages(disk / 'work'))} stages done",
                      *(f"  FAULT: {fault}" for fault in wrong), sep="\n", flush=True)
            limit.set(64 * total)
            code, messages = limited_run(args, disk / "work", limit)
            wrong = [f"exit status {code}: {messages}"] if code else []
            wrong += list(differences(whole, disk / "work")) + left_behind(disk / "work")
            print("with room again:", "done" if not wrong else "", *wrong, sep="\n  ")
        finally:
            limit.close()
    faults += len(wrong)
    print(f"{full} of {args.sizes} sizes were too small, {faults} faults")
    return 1 if faults or not full else 0


def attempt(args: argparse.Namespace, work: Path, size: int, limit) -> tuple[bool, list[str]]:
    """Run the recipe with this much room; return whether it was too little, and the faults."""
    before = finished_stages(work)
    limit.set(size)
    code, messages = limited_run(args, work, limit)
    wrong = [f"stage {name} is lost" for name in before - finished_stages(work)]
    wrong += [f"left behind: {name}" for name in left_behind(work)
              if not name.rpartition("/")[2].startswith(("blocks.", "checkpoint"))]
    if code == 0:
        return False, wrong
    lines = [line for line in messages.splitlines() if line.startswith("error: ")]
    said = ("no space left", "larger than this system lets a file be")
    if code != 1 or len(lines) != 1 or not any(text in lines[0] for text in said):
        wrong.append(f"exit status {code}, {lines or messages[-2000:]}")
    return True, wrong


def limited_run(args: argparse.Namespace, work: Path, limit) -> tuple[int, str]:
    """Run the recipe under the limit; return exit status and messages."""
    done = subprocess.run(command(args.corpus, work, args.nj), check=False, env=environment(),
                          cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True, preexec_fn=limit.in_child)
    return done.returncode, done.stderr


class _Mounted:
    """A file system in memory."""

    what = "a tmpfs of that size"

    def __init__(self, folder: Path):
        self.folder = folder
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)

    def needed(self, whole: Path) -> int:
        return sum(-(-path.stat().st_size // 4096) * 4096 for path in whole.rglob("*")
                   if path.is_file())

    def set(self, size: int) -> None:
        # It cannot become smaller than what lies in it.
        subprocess.run(["mount", "-o", f"remount,size={max(size >> 10, 64)}k", self.folder],
                       check=False, capture_output=True)

    def in_child(self) -> None:
        pass

    def close(self) -> None:
        subprocess.run(["umount", self.folder], check=False)


class _Limited:
    """A limit on the size of every file."""

    what = "no file may be larger"

    def __init__(self):
        self.size = 0

    def needed(self, whole: Path) -> int:
        return max(path.stat().st_size for path in whole.rglob("*") if path.is_file())

    def set(self, size: int) -> None:
        self.size = size

    def in_child(self) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, resource.RLIM_INFINITY))

    def close(self) -> None:
        pass


def _can_mount(folder: Path) -> bool:
    if os.geteuid() != 0 or not shutil.which("mount"):
        return False
    tried = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder],
                           check=False, capture_output=True)
    if tried.returncode == 0:
        subprocess.run(["umount", folder], check=True)
    return tried.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
