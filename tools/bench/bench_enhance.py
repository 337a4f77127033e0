"""Recognises noisy recordings, one at a time, without and with enhancement in front.

    tools/bench/bench_enhance.py MODEL DATA --noise FILE [--commands FILE] [--every N]
                                 [--snr DECIBELS ...] [--enhance SETTING ...]

The second half of FILE is added to every utterance of DATA from a place that is drawn, the same for
all settings. A SETTING is `high_pass=60,noise_suppression=2`, or `none`; without any, each part and
strength alone and some together. In per cent of utterances: words wrong with the model's graph,
and with a command list commands accepted and right, and outside words accepted.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bench_alone import Alter, decisions, recognized, recordings

import hybridasr
from hybridasr.corpus.audio import load_audio
from hybridasr.corpus.command_list import read_commands
from hybridasr.corpus.datadir import read_datadir
from hybridasr.corpus.enhance import EnhanceOptions
from hybridasr.corpus.perturb import add_noise
from hybridasr.options import from_strings

SETTINGS = ["none", "high_pass=60", *(f"noise_suppression={level}" for level in (1, 2, 3, 4)),
            "auto_gain=true", "high_pass=60,noise_suppression=1,auto_gain=true"]


def main() -> None:
    """Measure each setting under each condition and print its row."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--noise", type=Path, required=True, help="recording of noise")
    parser.add_argument("--commands", type=Path, help="command list, of a calibrated model")
    parser.add_argument("--every", type=int, default=1, metavar="N",
                        help="take every Nth utterance only (1)")
    parser.add_argument("--snr", type=float, nargs="+", default=[10.0, 5.0],
                        help="decibels (10 5), beside the recordings as they are")
    parser.add_argument("--enhance", nargs="+", default=SETTINGS, metavar="SETTING")
    args = parser.parse_args()
    data = read_datadir(args.data, False)
    rate = hybridasr.load(args.model).model.features.sample_rate
    noise = np.array_split(load_audio(args.noise, rate), 2)[1]
    names = [command.text for command in read_commands(args.commands)] if args.commands else []
    sets = {title: list(recordings(data, rate, alter, args.every))
            for title, alter in conditions(noise, args.snr)}
    print(time.strftime("%Y-%m-%d"), args.model, args.data, args.noise)
    print("enhancement".ljust(48), *(f"{title:>22}" for title in sets))
    print(" " * 48, *[f"{'wrong':>7}{'right':>8}{'outside':>7}"] * len(sets))
    for setting in args.enhance:
        line = setting.ljust(48)
        graph, *spotter = (hybridasr.load(args.model, commands=commands, enhance=parsed(setting))
                           for commands in ((None, args.commands) if names else (None,)))
        for utterances in sets.values():
            wrong = sum(result["text"].split() != list(utterance.words)
                        for utterance, result in recognized(graph, utterances, rate, False))
            line += f" {100 * wrong / len(utterances):7.2f}"
            for one in spotter:
                figures = decisions(recognized(one, utterances, rate, False), names)
                line += f"{figures['accepted_right']:8.2f}{figures['false_accept']:7.2f}"
        print(line, flush=True)


def conditions(noise: np.ndarray, ratios: list[float]) -> Iterator[tuple[str, Alter]]:
    """Yield title, and what is done to the samples."""
    yield "as recorded", lambda samples, rng: samples
    for ratio in ratios:
        yield f"{ratio:g} dB", noisy(noise, ratio)


def noisy(noise: np.ndarray, ratio: float) -> Alter:
    """Return what adds the noise."""
    return lambda samples, rng: add_noise(samples, noise, ratio, rng)


def parsed(setting: str) -> EnhanceOptions:
    """Return the options of a setting."""
    parts = [] if setting == "none" else setting.split(",")
    return from_strings(EnhanceOptions, dict(part.split("=", 1) for part in parts), setting)


if __name__ == "__main__":
    main()
