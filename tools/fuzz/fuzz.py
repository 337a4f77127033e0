"""Try the program with changed inputs: none may end in a crash, a fault, or without limits.

    python tools/fuzz/fuzz.py --count 10000 --jobs 2 --keep /tmp/failures

Prints a table of what became of the inputs, and exits with 1 if one of them was too much. The same
seed gives the same inputs; each is tried in a process of its own.
"""

import argparse
import gc
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("HYBRIDASR_NO_PROGRESS", "1")
sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2])]

import numpy as np  # noqa: E402
from changes import change_file  # noqa: E402
from kinds import Kind, make_kinds  # noqa: E402
from trial import OUTCOMES, Outcome, attempt  # noqa: E402

BAD = ("fault", "crash", "time", "memory")


def main() -> int:
    """Run the command; 1 if an input was too much for the program."""
    args = _arguments()
    # The kinds make their inputs anew each time, so that a bare checkout is enough.
    with tempfile.TemporaryDirectory(prefix="fuzz.") as root:
        kinds = make_kinds(Path(root) / "base")
        chosen = [kind for kind in kinds if not args.kinds or kind.name in args.kinds.split(",")]
        if not chosen:
            print(f"no such kind; choose from {', '.join(kind.name for kind in kinds)}")
            return 2
        start = time.perf_counter()
        outcomes = run(chosen, args.count, args.seed, args.jobs, Path(root), args.keep)
        return report(list(outcomes), time.perf_counter() - start)


def run(kinds: list[Kind], count: int, seed: int, jobs: int, root: Path,
        keep: Path | None = None) -> Iterator[tuple[str, str, Outcome]]:
    """Yield (kind, what was done, outcome) of every input."""
    warm_up(kinds, root)
    global _state
    _state = (kinds, seed, root, keep)
    gc.freeze()  # what the collector leaves alone stays shared with the children
    if jobs == 1:
        yield from map(_try_one, range(count))
        return
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap(_try_one, range(count), chunksize=8)


def warm_up(kinds: list[Kind], root: Path) -> None:
    """Try every action on a whole input in this process: kernels are loaded, and none fails."""
    for kind in kinds:
        for number, action in enumerate(kind.actions):
            folder = _copy(kind, root / "warm")
            with open(os.devnull, "w") as null:
                out, err = sys.stdout, sys.stderr
                sys.stdout = sys.stderr = null
                try:
                    code = action(folder)
                finally:
                    sys.stdout, sys.stderr = out, err
            if code != 0:
                outcome = attempt(lambda action=action, folder=folder: action(folder))
                raise RuntimeError(f"action {number} of '{kind.name}' fails on a whole input: "
                                   + outcome.output[-500:])


def _try_one(number: int) -> tuple[str, str, Outcome]:
    kinds, seed, root, keep = _state
    rng = np.random.default_rng([seed, number])
    kind = kinds[number % len(kinds)]
    folder = _copy(kind, root / f"try{os.getpid()}")
    pattern = kind.files[int(rng.integers(len(kind.files)))]
    files = sorted(path for path in folder.glob(pattern) if path.is_file())
    file = files[int(rng.integers(len(files)))] if files else None
    what = f"{file.relative_to(folder)} {change_file(file, rng)}" if file else "nothing"
    action = int(rng.integers(len(kind.actions)))
    outcome = attempt(lambda: kind.actions[action](folder))
    if keep is not None and outcome.kind in BAD:
        place = keep / f"{number}-{kind.name.replace(' ', '-')}-{outcome.kind}"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(folder, place)
        (place / "what").write_text(f"{what}\naction {action}\n{outcome.output}", encoding="utf-8")
    return kind.name, f"{number}: {what}, action {action}", outcome


def _copy(kind: Kind, folder: Path) -> Path:
    """Copy a whole input by links: whatever changes a file writes a new one."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(kind.base, folder, copy_function=os.link)
    return folder


def report(rows: list[tuple[str, str, Outcome]], seconds: float) -> int:
    """Print the table and each failure once; return the exit code."""
    counts = Counter((kind, outcome.kind) for kind, _, outcome in rows)
    print(f"{'kind':16}" + "".join(f"{name:>8}" for name in OUTCOMES))
    for kind in dict.fromkeys(kind for kind, _, _ in rows):
        print(f"{kind:16}" + "".join(f"{counts[kind, name]:8}" for name in OUTCOMES))
    totals = [sum(outcome.kind == name for _, _, outcome in rows) for name in OUTCOMES]
    print(f"{'all':16}" + "".join(f"{total:8}" for total in totals))
    slowest = max(rows, key=lambda row: row[2].seconds)
    largest = max(rows, key=lambda row: row[2].memory)
    print(f"{len(rows)} inputs, {len(rows) / max(seconds, 1e-9):.0f} a second; the slowest "
          f"{slowest[2].seconds:.1f} s ({slowest[0]} {slowest[1]}), the largest "
          f"{largest[2].memory >> 20} MB ({largest[0]} {largest[1]})")
    shown: set[str] = set()
    for kind, what, outcome in rows:
        line = outcome.last_line[:300]
        if outcome.kind in BAD and (key := f"{kind} {outcome.kind} {line[-60:]}") not in shown:
            shown.add(key)
            print(f"{outcome.kind}: {kind} {what}: {line}")
    return int(any(outcome.kind in BAD for _, _, outcome in rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1000, help="inputs (1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", help="only these, by commas")
    parser.add_argument("--jobs", type=int, default=1, help="inputs tried at a time (1)")
    parser.add_argument("--keep", type=Path, help="folder for the inputs that were too much")
    args = parser.parse_args()
    if args.count < 1 or args.jobs < 1:
        parser.error("--count and --jobs are 1 or more")
    return args


if __name__ == "__main__":
    sys.exit(main())
