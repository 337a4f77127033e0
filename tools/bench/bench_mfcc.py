"""Times our MFCC against PyPI kaldi-native-fbank, on the dsp20 training set.

    python tools/bench/bench_mfcc.py [DATA_ROOT] [--rounds 3] [--speakers 20]

DATA_ROOT holds dsp20/speech_data/SPK/*.flac (or .wav); default: HYBRIDASR_DATA, else
../shared/data. One process, one thread; samples are loaded beforehand and the same for both; the
two take turns and the fastest round of each counts. kaldi-native-fbank is timed up to having
computed all frames ("compute"), and again with fetching them as an array ("and fetch"), which it
offers frame by frame only; the ratio that counts is against the former, in its favour.
"""

import os

# ruff: noqa: E402 - threads are limited before numpy is imported.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import datetime
import platform
import time
from pathlib import Path

import kaldi_native_fbank as knf
import numpy as np
import soundfile

from hybridasr.features.mfcc import FeatureOptions, compute_features

RATE = 16000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("HYBRIDASR_DATA")
    shared = Path(__file__).resolve().parents[3] / "shared" / "data"
    parser.add_argument("data", nargs="?", type=Path, default=Path(default) if default else shared)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--speakers", type=int, default=20, help="spk01 to spkNN")
    args = parser.parse_args()

    recordings = load_training_set(args.data, args.speakers)
    seconds = sum(len(samples) for samples in recordings.values()) / RATE
    print(f"date {datetime.date.today()}, {cpu_name()}, {os.cpu_count()} CPUs, one used")
    print(f"Python {platform.python_version()}, numpy {np.__version__}, "
          f"kaldi-native-fbank {knf.__version__}")
    print(f"dsp20 training set: {len(recordings)} utterances, {seconds:.0f} s of sound")
    start = time.perf_counter()
    compute_features(np.zeros(RATE), FeatureOptions())
    print(f"first call (compiles the kernels unless cached): {time.perf_counter() - start:.2f} s")
    print_difference(recordings)
    for dither in (0.0, 1.0):
        ours, theirs, fetched = (float("inf"),) * 3
        for _ in range(args.rounds):
            ours = min(ours, time_ours(recordings, dither))
            theirs = min(theirs, time_theirs(recordings, dither, fetch=False))
            fetched = min(fetched, time_theirs(recordings, dither, fetch=True))
        print(f"dither {dither:g}: hybridasr {seconds / ours:6.0f} x real time; "
              f"kaldi-native-fbank compute {seconds / theirs:5.0f} x, "
              f"and fetch {seconds / fetched:5.0f} x; "
              f"ratio {theirs / ours:.2f} (with fetch {fetched / ours:.2f})")


def load_training_set(root: Path, speakers: int) -> dict[str, np.ndarray]:
    recordings = {}
    for number in range(1, speakers + 1):
        folder = root / "dsp20" / "speech_data" / f"spk{number:02d}"
        for path in sorted(p for p in folder.glob("*") if p.suffix in (".flac", ".wav")):
            samples, rate = soundfile.read(path, dtype="int16")
            if rate != RATE:
                raise SystemExit(f"{path}: {rate} Hz instead of {RATE}")
            recordings[path.stem] = samples.astype(np.float32)
    if not recordings:
        raise SystemExit(f"no dsp20 recordings under {root}; give the data root")
    return recordings


def their_options(dither: float) -> knf.MfccOptions:
    options = knf.MfccOptions()
    options.frame_opts.samp_freq = RATE
    options.frame_opts.dither = dither
    options.mel_opts.num_bins = 23
    options.num_ceps = 13
    return options


def time_ours(recordings: dict[str, np.ndarray], dither: float) -> float:
    options = FeatureOptions(dither=dither)
    start = time.perf_counter()
    for key, samples in recordings.items():
        compute_features(samples, options, key)
    return time.perf_counter() - start


def time_theirs(recordings: dict[str, np.ndarray], dither: float, fetch: bool) -> float:
    options = their_options(dither)
    start = time.perf_counter()
    for samples in recordings.values():
        their_features(samples, options, fetch)
    return time.perf_counter() - start


def their_features(samples: np.ndarray, options: knf.MfccOptions, fetch: bool):
    extractor = knf.OnlineMfcc(options)
    extractor.accept_waveform(RATE, samples)
    extractor.input_finished()
    if not fetch:
        return None
    return np.stack([extractor.get_frame(i) for i in range(extractor.num_frames_ready)])


def print_difference(recordings: dict[str, np.ndarray]) -> None:
    """Show that both compute the same thing."""
    worst = 0.0
    for samples in list(recordings.values())[::100]:
        ours = compute_features(samples, FeatureOptions(dither=0.0))
        theirs = their_features(samples, their_options(0.0), fetch=True)
        worst = max(worst, float(np.abs(ours - theirs).max()))
    print(f"largest difference without dither, every 100th utterance: {worst:.4f}")


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
