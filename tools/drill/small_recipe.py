"""The recipe that the drills disturb, and how its results are compared; used by the other files."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent.parent
CORPUS = REPOSITORY / "../shared/data/yesno"
# Few iterations: a drill starts the recipe dozens of times.
SETTINGS = ("mono.num_iters=6", "mono.max_iter_inc=4", "mono.realign_iters=1 3 5",
            "mono.totgauss=60", "tri1.num_iters=5", "tri1.max_iter_inc=3", "tri1.realign_iters=3",
            "tri1.totgauss=60", "augment.speeds=0.9", "dnn.num_epochs=2", "dnn.held_out=0.2")
COMPARED = (".npz", ".ark", ".scp", "text", "held_out", "tune", "words.txt", "wer")
PASSING = ("blocks.", "checkpoint.npz")  # what only an unfinished training needs


def command(corpus: Path, work: Path, nj: int) -> list[str]:
    """Return the command that runs the recipe."""
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    return [sys.executable, "-m", "hybridasr.cli", "run-recipe", "--recipe", "yesno", "--corpus",
            str(corpus), "--work", str(work), "--nj", str(nj), *settings]


def environment() -> dict[str, str]:
    """Return the environment of the recipe: this checkout's package."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY)}


def run(corpus: Path, work: Path, nj: int) -> tuple[int, str, float]:
    """Run the recipe to its end; return exit status, messages and seconds."""
    begun = time.monotonic()
    done = subprocess.run(command(corpus, work, nj), check=False, capture_output=True, text=True,
                          env=environment(), cwd=REPOSITORY)
    return done.returncode, done.stderr, time.monotonic() - begun


def differences(one: Path, other: Path) -> Iterator[str]:
    """Yield the arrays and files of one folder that are not those of the other, times apart."""
    names = {str(path.relative_to(root)) for root in (one, other) for path in root.rglob("*")
             if path.is_file() and path.name.endswith(COMPARED)}
    for name in sorted(names):
        if not (one / name).is_file() or not (other / name).is_file():
            yield f"{name} is in one of them only"
        elif name.endswith(".npz"):
            mine, theirs = (dict(np.load(root / name)) for root in (one, other))
            for array in sorted(mine.keys() | theirs.keys()):
                if array not in mine or array not in theirs:
                    yield f"{name}: {array} is in one of them only"
                elif mine[array].tobytes() != theirs[array].tobytes():
                    yield f"{name}: {array}"
        elif _content(one, name) != _content(other, name):
            yield name


def _content(root: Path, name: str) -> bytes:
    """Return what a file says, wherever the folder lies."""
    return (root / name).read_bytes().replace(str(root).encode(), b"WORK")


def left_behind(work: Path) -> list[str]:
    """Return the temporary files below a work directory."""
    hidden = [path for path in work.rglob(".*") if path.name not in (".stages", ".lock")]
    return sorted(str(path.relative_to(work)) for path in
                  [*hidden, *(p for p in work.rglob("*") if p.name.startswith(PASSING))])


def finished_stages(work: Path) -> set[str]:
    """Return the names of the stages that are recorded as done."""
    return {path.stem for path in (work / ".stages").glob("*.json")}
