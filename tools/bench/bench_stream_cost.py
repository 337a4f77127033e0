"""Where the time of a stream goes: processor seconds for a second of audio, step by step.

    python tools/bench/bench_stream_cost.py MODEL DATA [--commands FILE] [--seconds 60]
    python tools/bench/bench_stream_cost.py MODEL DATA --commands FILE --other CHECKOUT

Utterances of DATA with noise between are heard by one session, in pieces of 0.1 s as a server gets
them, in a process of its own on one thread. `all` is measured without a look at the steps; `rest`
is what no step has: samples, rules of the end, results. With --other, the package of another
checkout does the same in turn, and `same` says whether its events are equal to the last digit.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import soundfile

from hybridasr.corpus.datadir import read_datadir
from hybridasr.score.result_table import format_table

PIECE = 0.1  # seconds
PAUSE, NOISE = 1.2, 20.0  # seconds between utterances; deviation of the noise, of 16-bit samples
# Step -> (module, class, methods): what is timed.
STEPS = {
    "spectrum": [("hybridasr.features.mfcc", "_SpectralStream", ("accept",))],
    "pitch": [("hybridasr.features.pitch_stream", "PitchStream", ("accept",))],
    "input": [("hybridasr.features.front_end", "InputStream", ("accept", "finish"))],
    "network": [("hybridasr.nnet.acoustics", "NetworkScores", ("accept", "finish")),
                ("hybridasr.gmm.diag", "GmmScores", ("accept", "finish"))],
    "search": [("hybridasr.confidence.command_grammar", "_CommandSearch", ("accept",)),
               ("hybridasr.recognize.graph_grammar", "_GraphSearch", ("accept",))],
    "end": [("hybridasr.confidence.command_grammar", "_CommandSearch", ("ending",)),
            ("hybridasr.recognize.graph_grammar", "_GraphSearch", ("ending",))],
    "partial": [("hybridasr.confidence.command_grammar", "_CommandSearch", ("partial",)),
                ("hybridasr.recognize.graph_grammar", "_GraphSearch", ("partial",))],
    "decision": [("hybridasr.confidence.command_grammar", "_CommandSearch", ("finish",)),
                 ("hybridasr.recognize.graph_grammar", "_GraphSearch", ("finish",))],
}


def main() -> int:
    """Print a table; return 0, or 1 where another checkout hears something else."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commands", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--other", type=Path, help="root of another checkout")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(measure(args)))
        return 0
    own = Path(__file__).resolve().parents[2]
    places = {"this": own} | ({"other": args.other.resolve()} if args.other else {})
    runs: dict[str, list[dict]] = {name: [] for name in places}
    for _ in range(args.rounds):
        for name, place in places.items():
            runs[name].append(worker(args, place))
    digests = {one["digest"] for each in runs.values() for one in each}
    rows = []
    for name, each in runs.items():
        row = {"checkout": name, "seconds": each[0]["audio"], "results": each[0]["results"]}
        row |= {step: round(1000 * statistics.median(one["steps"][step] for one in each), 2)
                for step in each[0]["steps"]}
        rows.append(row | {"same": len(digests) == 1})
    print(f"milliseconds of a processor for a second of audio, medians of {args.rounds} runs, load "
          f"of the machine {os.getloadavg()[0]:.1f}\n{format_table(rows)}")
    return int(len(digests) > 1)


def worker(args: argparse.Namespace, place: Path) -> dict:
    """Measure with the package of a checkout, in another process."""
    words = [sys.executable, str(Path(__file__).resolve()), "--worker", "--seconds",
             str(args.seconds), *(["--commands", str(args.commands)] if args.commands else []),
             str(args.model), str(args.data)]
    environment = {**os.environ, "PYTHONPATH": str(place), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout)


def measure(args: argparse.Namespace) -> dict:
    """Hear the audio twice, as it is and with a look at each step, after once for the kernels."""
    from hybridasr.recognize.recognizer import load

    recognizer = load(args.model, commands=args.commands)
    rate = recognizer.model.features.sample_rate
    audio = read_audio(args.data, rate, args.seconds)
    hear(recognizer, rate, audio[:20 * rate])
    seconds, events = hear(recognizer, rate, audio)
    timers = {step: Timer(places) for step, places in STEPS.items()}
    with_timers = hear(recognizer, rate, audio)[0]
    length = len(audio) / rate
    steps = {step: timer.seconds / length for step, timer in timers.items() if timer.seconds}
    steps["rest"] = with_timers / length - sum(steps.values())
    steps["all"] = seconds / length
    digest = hashlib.sha256(json.dumps(events, sort_keys=True).encode()).hexdigest()
    return {"audio": round(length), "steps": steps, "digest": digest,
            "results": sum("text" in event for event in events)}


def read_audio(data: Path, rate: int, seconds: float) -> np.ndarray:
    """Return utterances in random order with noise between, int16 (num_samples,)."""
    rng = np.random.default_rng(0)
    utterances = list(read_datadir(data).utterances.values())
    parts, length = [], 0
    while length < seconds * rate:
        samples = soundfile.read(utterances[rng.integers(len(utterances))].wav, dtype="int16")[0]
        noise = np.round(rng.normal(0, NOISE, int(PAUSE * rate))).astype(np.int16)
        parts += [samples, noise]
        length += len(samples) + len(noise)
    return np.concatenate(parts)


def hear(recognizer, rate: int, audio: np.ndarray) -> tuple[float, list[dict]]:
    """Return processor seconds of a session, and its events."""
    session, size = recognizer.session(rate), round(PIECE * rate)
    pieces = [audio[begin:begin + size].tobytes() for begin in range(0, len(audio), size)]
    events: list[dict] = []
    begun = time.process_time()
    for piece in pieces:
        events += session.accept(piece)
    events += session.finish()
    return time.process_time() - begun, events


class Timer:
    """Adds up the seconds that some methods take."""

    def __init__(self, places: list[tuple[str, str, tuple[str, ...]]]):
        self.seconds = 0.0
        for module, name, methods in places:
            kind = getattr(__import__(module, fromlist=[name]), name, None)
            for method in methods if kind is not None else ():
                setattr(kind, method, self._timed(getattr(kind, method)))

    def _timed(self, function):
        def timed(*args):
            begun = time.thread_time()
            try:
                return function(*args)
            finally:
                self.seconds += time.thread_time() - begun

        return timed


if __name__ == "__main__":
    sys.exit(main())
