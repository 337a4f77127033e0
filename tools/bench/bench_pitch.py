"""Times the pitch tracker, and the pitch features made of it, on a folder of recordings.

    python tools/bench/bench_pitch.py DIR [--rounds 3] [--limit N]

DIR is searched, with its subfolders, for .wav and .flac files of one channel and one sampling
rate. One process, one thread; samples are loaded beforehand and the fastest round counts.
"""

import os

# ruff: noqa: E402 - threads are limited before numpy is imported.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import datetime
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import soundfile

from hybridasr.features.frames import FeatureOptions
from hybridasr.features.pitch import PitchOptions, compute_pitch
from hybridasr.features.pitch_stream import pitch_features

LENGTH_MS, SHIFT_MS = 25.0, 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", metavar="DIR", type=Path, help="where the recordings are")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=int, help="take the first N recordings only")
    args = parser.parse_args()

    recordings, rate = load(args.folder, args.limit)
    seconds = sum(map(len, recordings)) / rate
    print(f"date {datetime.date.today()}, {os.cpu_count()} CPUs, one used")
    print(f"Python {platform.python_version()}, numpy {np.__version__}, "
          f"numba {numba.__version__}")
    print(f"{args.folder}: {len(recordings)} recordings at {rate} Hz, {seconds:.0f} s of sound")
    options = PitchOptions(sample_rate=rate, frame_length_ms=LENGTH_MS, frame_shift_ms=SHIFT_MS)

    def track(samples: np.ndarray) -> np.ndarray:
        return compute_pitch(samples, options)

    def features(samples: np.ndarray) -> np.ndarray:
        return pitch_features(samples, rate, LENGTH_MS, SHIFT_MS,
                              FeatureOptions().pitch_look_ahead, "utterance")

    start = time.perf_counter()
    features(np.zeros(rate, dtype=np.float32))
    print(f"first call (compiles the kernels unless cached): {time.perf_counter() - start:.2f} s")
    for name, work in (("raw pitch", track), ("pitch features", features)):
        best = min(time_all(recordings, work) for _ in range(args.rounds))
        print(f"{name}: {best:.2f} s, {seconds / best:.0f} x real time")


def load(folder: Path, limit: int | None) -> tuple[list[np.ndarray], int]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".wav", ".flac"))[:limit]
    if not paths:
        raise SystemExit(f"no .wav or .flac files under {folder}")
    recordings, rates = [], set()
    for path in paths:
        samples, rate = soundfile.read(path, dtype="int16")
        if samples.ndim != 1:
            raise SystemExit(f"{path}: {samples.shape[1]} channels instead of one")
        recordings.append(samples.astype(np.float32))
        rates.add(rate)
    if len(rates) > 1:
        raise SystemExit(f"{folder}: sampling rates {sorted(rates)}; give files of one rate")
    return recordings, rates.pop()


def time_all(recordings: list[np.ndarray], work: Callable[[np.ndarray], np.ndarray]) -> float:
    start = time.perf_counter()
    for samples in recordings:
        work(samples)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
