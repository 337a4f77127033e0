"""Measures where utterances end: words of a set, each followed by noise.

    tools/bench/bench_endpoint.py [--commands FILE] [--mode MODE] [--snr DB] MODEL DATA NOISE

Each recording of DATA is cut right behind its speech (the last sample of at least 3 % of the
largest amplitude), and goes on with two seconds of the second half of NOISE, DB below the speech
(15). Prints how many utterances ended within 0.7 seconds of the end of speech, before it, or not by
a rule at all; the place of the end and the time of the result behind the end of speech, as median
and 95 %; and how many are recognised as in the whole recording.
"""

import argparse
import time
import zlib
from collections import Counter
from pathlib import Path

import numpy as np

import hybridasr
from hybridasr.corpus.audio import FULL_SCALE, load_audio, load_utterance
from hybridasr.corpus.datadir import read_datadir
from hybridasr.corpus.perturb import speech_power

LOUD = 0.03  # of the largest amplitude: what is softer is no speech
AFTER, WITHIN = 2.0, 0.7  # seconds
PIECE = 0.02


def main() -> None:
    """Stream each recording and print the table."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=Path, help="command list")
    parser.add_argument("--mode", default="default", choices=("short", "default", "long"))
    parser.add_argument("--snr", type=float, default=15.0, help="decibels (15)")
    parser.add_argument("--every", type=int, default=1, metavar="N",
                        help="take every Nth utterance only (1)")
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("noise", type=Path)
    args = parser.parse_args()
    recognizer = hybridasr.load(args.model, commands=args.commands)
    recognizer.warm_up()
    rate = recognizer.model.features.sample_rate
    noise = load_audio(args.noise, rate)
    noise = noise[len(noise) // 2:]
    noise = noise - noise.mean()
    utterances = list(read_datadir(args.data, False).utterances.values())[::args.every]
    ends, results, reasons, same = [], [], Counter(), 0
    for utterance in utterances:
        samples = load_utterance(utterance, rate)
        loud = np.flatnonzero(np.abs(samples) > LOUD * np.abs(samples).max())
        speech = samples[:loud[-1] + 1]
        rng = np.random.default_rng(zlib.crc32(utterance.utterance.encode()))
        begin = int(rng.integers(len(noise) - round(AFTER * rate)))
        part = noise[begin:begin + round(AFTER * rate)]
        part = part * np.sqrt(speech_power(speech) / 10 ** (args.snr / 10) / np.mean(part**2))
        heard = np.concatenate([speech, part]).astype(np.float32)
        session = recognizer.session(full_scale=FULL_SCALE, endpoint=args.mode, partials=False)
        result, place = None, len(heard)
        for start in range(0, len(heard), round(PIECE * rate)):
            events = session.accept(heard[start:start + round(PIECE * rate)])
            result = next((event for event in events if event["reason"] != "no-speech"), None)
            if result is not None:
                place = start + round(PIECE * rate)
                break
        result = result or session.finish()[-1]
        reasons[result.get("end_reason")] += 1
        ends.append(result["end"] - len(speech) / rate)
        results.append((place - len(speech)) / rate)
        same += result["text"] == recognizer.recognize(samples, rate)["text"]
    ruled = len(utterances) - reasons["finish"]
    late, told = np.array(ends), np.array(results)
    print(time.strftime("%Y-%m-%d"), args.model, f"{len(utterances)} utterances, mode {args.mode}")
    print(f"ended within {WITHIN} s {100 * np.mean((late >= 0) & (late <= WITHIN)):.1f} %, before "
          f"the end of speech {100 * np.mean(late < 0):.1f} %, by a rule "
          f"{100 * ruled / len(utterances):.1f} % ({dict(reasons)})")
    for title, values in (("place of the end", late), ("result", told)):
        print(f"{title}: median {np.median(values):.2f} s, 95 % {np.percentile(values, 95):.2f} s")
    print(f"recognised as in the whole recording: {100 * same / len(utterances):.1f} %")


if __name__ == "__main__":
    main()
