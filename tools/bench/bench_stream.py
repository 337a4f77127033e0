"""Measures a session on the utterances of a set, joined to one stream with pauses and noise.

    tools/bench/bench_stream.py [--commands FILE] [--minutes M] [--background DATA] MODEL DATA

The utterances are drawn, each followed by a pause of 0.5 to 2.5 seconds; noise is under all. Prints
what is wrong, beside recognition of the same utterances one by one: utterances, words and
characters, or with a command list commands that are not found or taken for another, and outside
words accepted; how far the times of the words are from those of the lone utterances; the real-time
factor; the delay from the end of speech (the last sample of at least 3 % of the largest amplitude)
to the result, in seconds of audio and with the time of the work; and how far resident memory grew
after the first five minutes. With --background, the commands accepted an hour in its recordings,
which have none.
"""

import argparse
import time
from bisect import bisect_right
from pathlib import Path

import numpy as np

import hybridasr
from hybridasr.corpus.audio import FULL_SCALE, load_utterance
from hybridasr.corpus.command_list import read_commands
from hybridasr.corpus.datadir import read_datadir
from hybridasr.recognize.recognizer import Recognizer
from hybridasr.score.wer import score_texts

PIECE = 0.02  # seconds that come at a time
LOUD = 0.03
PAUSE = (0.5, 2.5)


def main() -> None:
    """Run a stream through one session."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=Path, help="command list")
    parser.add_argument("--minutes", type=float, default=60.0, help="length of the stream (60)")
    parser.add_argument("--noise", type=float, default=10.0,
                        help="deviation of the noise, 16-bit range (10)")
    parser.add_argument("--endpoint", default="default", choices=("short", "default", "long"))
    parser.add_argument("--background", type=Path, nargs="*", default=[], metavar="DATA",
                        help="sets without commands")
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    recognizer = hybridasr.load(args.model, commands=args.commands)
    recognizer.warm_up()
    commands = {command.text for command in read_commands(args.commands)} if args.commands else None
    print(time.strftime("%Y-%m-%d"), args.model, args.data)
    run(recognizer, args, commands)
    for place in args.background:
        false, hours = false_accepts(recognizer, place, args.endpoint)
        print(f"background {place}: {false} commands accepted in {hours:.2f} h, "
              f"{false / hours:.2f} an hour")


def run(recognizer: Recognizer, args: argparse.Namespace, commands: set[str] | None) -> None:
    """Measure the stream and print what was found."""
    rate = recognizer.model.features.sample_rate
    rng = np.random.default_rng(0)
    utterances = list(read_datadir(args.data).utterances.values())
    session = recognizer.session(full_scale=FULL_SCALE, endpoint=args.endpoint, partials=False)
    size = round(PIECE * rate)
    begins, ends, said, alone = [], [], [], []
    results, memory, spent, fed = [], {}, 0.0, 0
    waiting = np.zeros(0, np.float32)
    while fed < 60 * args.minutes * rate:
        utterance = utterances[int(rng.integers(len(utterances)))]
        samples = load_utterance(utterance, rate)
        loud = np.flatnonzero(np.abs(samples) > LOUD * np.abs(samples).max())
        place = fed + len(waiting)
        begins.append((place + loud[0]) / rate)
        ends.append((place + loud[-1] + 1) / rate)
        said.append(" ".join(utterance.words))
        alone.append((recognizer.recognize(samples, rate), place / rate))
        pause = np.zeros(round(rng.uniform(*PAUSE) * rate), np.float32)
        joined = np.concatenate([samples, pause])
        waiting = np.concatenate([waiting, joined + rng.normal(0, args.noise, len(joined))])
        waiting = waiting.astype(np.float32)
        while len(waiting) >= size:
            begun = time.thread_time()
            events = session.accept(waiting[:size])
            took = time.thread_time() - begun
            waiting, fed, spent = waiting[size:], fed + size, spent + took
            results += [(event, fed / rate, took) for event in events if "text" in event]
        memory.setdefault(fed // rate // 60, resident())
    results += [(event, fed / rate, 0.0) for event in session.finish()]
    print(f"{fed / rate / 60:.1f} minutes, {len(said)} utterances, {len(results)} results, "
          f"real-time factor {spent / (fed / rate):.4f}")
    told = assigned(results, begins, ends)
    print_errors(said, [" ".join(one[0]["text"] for one in part if one[0]["text"])
                        for part in told],
                 [result["text"] for result, _ in alone], commands)
    print_times(told, alone)
    delays = np.array([(place - end, took) for part, end in zip(told, ends, strict=True)
                       for _, place, took in part[-1:]])
    for share in (50, 95):
        print(f"delay, {share} %: {np.percentile(delays.sum(axis=1), share):.3f} s, of which work "
              f"{1000 * np.percentile(delays[:, 1], share):.1f} ms")
    late = [size for minute, size in memory.items() if minute >= 5]
    if late:
        print(f"resident memory grew by {(max(late) - late[0]) / 2**20:.1f} MB after the first 5 "
              f"minutes (to {max(late) / 2**20:.0f} MB)")


def assigned(results: list, begins: list[float], ends: list[float]) -> list[list]:
    """Return for each utterance the results whose words, or whose middle, are nearest to it."""
    told: list[list] = [[] for _ in begins]
    for result, place, took in results:
        words = result["result"]
        if result["reason"] in ("no-speech", "too-short"):
            continue
        middle = ((words[0]["start"] + words[-1]["end"]) / 2 if words
                  else result["end"] - 0.6)
        number = max(0, bisect_right(begins, middle + 0.1) - 1)
        told[number].append((result, place, took))
    return told


def print_errors(said: list[str], heard: list[str], alone: list[str],
                 commands: set[str] | None) -> None:
    """Print the share of utterances that are wrong, in the stream and one by one."""
    for title, texts in (("stream", heard), ("one by one", alone)):
        pairs = list(zip(said, texts, strict=True))
        if commands is None:
            wrong = np.mean([text != reference for reference, text in pairs])
            scores = score_texts(*({str(number): pair[side].split()
                                    for number, pair in enumerate(pairs)} for side in (0, 1)))
            print(f"{title}: {100 * wrong:.2f} % of the utterances wrong, {scores.wer:.2f} % of "
                  f"the words, {scores.cer:.2f} % of the characters")
            continue
        inside = [text == reference for reference, text in pairs if reference in commands]
        outside = [bool(text) for reference, text in pairs if reference not in commands]
        print(f"{title}: of {len(inside)} commands {100 * np.mean(inside):.2f} % found, of "
              f"{len(outside)} outside words {sum(outside)} accepted")


def print_times(told: list[list], alone: list) -> None:
    """Print how far the words of the stream are from those of the lone utterances."""
    gaps = [max(abs(part[0][0]["result"][0]["start"] - one["result"][0]["start"] - begin),
                abs(part[0][0]["result"][-1]["end"] - one["result"][-1]["end"] - begin))
            for part, (one, begin) in zip(told, alone, strict=True)
            if len(part) == 1 and part[0][0]["text"] == one["text"] and one["result"]]
    print(f"times of the words differ by {np.median(gaps):.2f} s (median), "
          f"{np.percentile(gaps, 99):.2f} s (99 %)")


def false_accepts(recognizer: Recognizer, data: Path, endpoint: str) -> tuple[int, float]:
    """Return (commands accepted, hours) of the recordings of a set without commands."""
    rate = recognizer.model.features.sample_rate
    false, seconds = 0, 0.0
    session = recognizer.session(full_scale=FULL_SCALE, endpoint=endpoint, partials=False)
    for utterance in read_datadir(data, False).utterances.values():
        samples = load_utterance(utterance, rate)
        events = session.accept(samples) + session.finish()
        false += sum(event["accepted"] for event in events)
        seconds += len(samples) / rate
    return false, seconds / 3600


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
