"""Peak memory of make-feats, decode and align on a set, and on the same set many times over.

    python tools/bench/bench_memory.py MODEL DATA [--speakers 4] [--times 10] [--nj 2]

MODEL has a graph in it, DATA is a data directory with recordings. The memory is that of all
processes together (what each has for itself, and the shared part once for each), looked at every
20 ms. Exits with 1 if the larger set takes over a tenth more.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from hybridasr.corpus.datadir import DataDir, read_datadir, subset, write_datadir
from hybridasr.score.result_table import format_table

INTERVAL = 0.02  # seconds between two looks
ALLOWED = 1.10


def main() -> int:
    """Print a table; return 1 if memory grows with the set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speakers", type=int, default=4)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--nj", type=int, default=2)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    data = read_datadir(args.data)
    data = subset(data, speakers=list(data.speakers)[:args.speakers])
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for times in (1, args.times):
            part = repeated(data, times, Path(place) / f"data{times}")
            for number, words in enumerate(commands(args.model, part.path, args.nj)):
                peak, seconds = peak_memory(words)
                if times == 1:
                    rows.append({"verb": words[0], "once_mb": round(peak / 1e6)})
                else:
                    rows[number] |= {"repeated_mb": round(peak / 1e6), "seconds": round(seconds, 1),
                                     "ratio": round(peak / 1e6 / rows[number]["once_mb"], 3)}
    print(f"{len(data)} utterances, once and {args.times} times, --nj {args.nj}\n"
          f"{format_table(rows)}")
    return int(max(row["ratio"] for row in rows) > ALLOWED)


def commands(model: Path, data: Path, nj: int) -> list[list[str]]:
    """Return the words of the verbs that are looked at."""
    jobs = ["--nj", str(nj)]
    out = data.parent / f"{data.name}_out"
    return [["make-feats", *jobs, "--model", str(model), str(data)],
            ["decode", *jobs, "--model", str(model), str(model / "graph"), str(data),
             str(out / "decode")],
            ["align", *jobs, str(data), str(model / "lang"), str(model), str(out / "ali")]]


def repeated(data: DataDir, times: int, path: Path) -> DataDir:
    """Write a set many times over, under other names of utterances, speakers and recordings."""
    return write_datadir(path, (
        replace(u, **{name: f"r{number:02d}-{getattr(u, name)}"
                      for name in ("utterance", "speaker", "recording")})
        for number in range(times) for u in data.utterances.values()))


def peak_memory(words: list[str]) -> tuple[int, float]:
    """Run a verb; return the largest memory of its processes together in bytes, and its seconds."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "hybridasr.cli", *words],
                               stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(resident, family(process.pid))))
        time.sleep(INTERVAL)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    return peak, time.perf_counter() - begun


def family(pid: int) -> list[int]:
    """Return a process and all below it."""
    pids = [pid]
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                pids += family(int(child))
    except OSError:
        pass  # it has ended meanwhile
    return pids


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes; 0 if it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main())
