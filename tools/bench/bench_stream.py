"""Measures a session on recordings that are joined to a stream with pauses between.

    tools/bench/bench_stream.py [--commands FILE] [--minutes M] [--endpoint MODE] MODEL AUDIO...

Prints the real-time factor; the delay from the end of what is said (the last loud 10 ms of each
recording) to its result, in seconds of audio and with the time of the work, as median and 95 %; and
how far resident memory grew after the first five minutes.
"""

import argparse
import itertools
import time
from pathlib import Path

import numpy as np

import hybridasr
from hybridasr.corpus.audio import load_audio

PIECE = 0.02  # seconds that come at a time
LOUD = 0.03  # of the largest amplitude: what is softer is no speech


def main() -> None:
    """Run a stream through one session."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=Path, help="command list")
    parser.add_argument("--minutes", type=float, default=60.0, help="length of the stream (60)")
    parser.add_argument("--pause", type=float, default=1.5, help="seconds between (1.5)")
    parser.add_argument("--noise", type=float, default=10.0, help="deviation of the noise of the "
                        "pauses, 16-bit range (10)")
    parser.add_argument("--endpoint", default="default", choices=("short", "default", "long"))
    parser.add_argument("model", type=Path)
    parser.add_argument("audio", type=Path, nargs="+")
    args = parser.parse_args()
    recognizer = hybridasr.load(args.model, commands=args.commands)
    recognizer.warm_up()
    rate = recognizer.model.features.sample_rate
    rng = np.random.default_rng(0)
    session = recognizer.session(full_scale=32768.0, endpoint=args.endpoint)
    size = round(PIECE * rate)

    said, delays, memory = [], [], {}
    place, spent, results, waiting = 0.0, 0.0, 0, np.zeros(0, np.float32)
    for path in itertools.cycle(args.audio):
        samples = load_audio(path, rate)
        loud = np.flatnonzero(np.abs(samples) > LOUD * np.abs(samples).max())
        said.append(place + len(waiting) / rate + (loud[-1] + 1) / rate)
        pause = rng.normal(0, args.noise, round(args.pause * rate)).astype(np.float32)
        waiting = np.concatenate([waiting, samples, pause])
        while len(waiting) >= size:
            begun = time.perf_counter()
            events = session.accept(waiting[:size])
            took = time.perf_counter() - begun
            waiting, place, spent = waiting[size:], place + PIECE, spent + took
            for event in events:
                if "text" in event:
                    results += 1
                    # The end of speech that this result is of: the last one before it.
                    before = [end for end in said if end <= place]
                    if before and event["end"] > before[-1]:
                        delays.append((place - before[-1], took))
                        said = [end for end in said if end > place]
        memory.setdefault(int(place // 60), resident())
        if place >= 60 * args.minutes:
            break
    waits = np.array(delays)
    print(f"{args.model}: {place / 60:.1f} minutes, {results} results")
    print(f"real-time factor {spent / place:.4f}")
    for share in (50, 95):
        print(f"delay, {share} %: {np.percentile(waits.sum(axis=1), share):.3f} s, of which work "
              f"{np.percentile(waits[:, 1], share) * 1000:.1f} ms")
    after = {minute: size for minute, size in memory.items() if minute >= 5}
    if after:
        print(f"resident memory grew by {(max(after.values()) - memory.get(5, 0)) / 2**20:.1f} MB "
              f"after the first 5 minutes (to {max(after.values()) / 2**20:.0f} MB)")


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
