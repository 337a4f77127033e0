"""Owns the verb of wake words: finds phrases in recordings, and chooses their thresholds."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from hybridasr.cli.search_options import add_audio
from hybridasr.cli.verb import Verb, add_nj, refuse

if TYPE_CHECKING:
    from hybridasr.corpus.command_list import Command

_TUNING = ("false_accepts_per_hour", "calibrate", "nj")


def _arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.options import add_options
    from hybridasr.wake.detector import WakeOptions

    parser.epilog = (
        "With recordings, prints a line of JSON for each phrase that is found. With --background "
        "in their place, prints how often the device would wake for nothing and miss the phrase, "
        "and writes the thresholds to --profile. 'hybridasr listen --wake' listens to a "
        "microphone.")
    parser.add_argument("--phrase", action="append", default=[], metavar="TEXT",
                        help="what is listened for: hanzi, pinyin or English; may be given again")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="phrases and thresholds, in "
                        "place of --phrase; written with --background")
    parser.add_argument("--background", type=Path, action="append", default=[], metavar="PATH",
                        help="recordings without the phrases, files or folders; hours of speech")
    parser.add_argument("--false-accepts-per-hour", type=float, default=0.5, metavar="RATE",
                        help="how often the device may wake for nothing (0.5)")
    parser.add_argument("--calibrate", type=Path, metavar="DIR", help="recordings of the phrase, "
                        "to count how many are missed; of several phrases a folder each")
    add_options(parser, WakeOptions)
    add_audio(parser, "the recordings are")
    add_nj(parser)
    parser.add_argument("model", type=Path, help="model directory, e.g. exp/dnn")
    parser.add_argument("audio", nargs="*", help="recordings; - is the standard input")


def _wake(args: argparse.Namespace) -> None:
    from hybridasr.errors import UserError

    if args.background:
        refuse(args, ("raw", "channel", "wake_threshold"), "with --background")
        if args.audio:
            raise UserError("recordings to search and --background in one call; give one of them")
        _tune(args)
        return
    refuse(args, _TUNING, "without --background")
    if not args.audio:
        raise UserError("nothing to listen to; give recordings, or --background to choose "
                        "thresholds, or use 'hybridasr listen --wake' for a microphone")
    if args.profile is not None:
        refuse(args, ("phrase", "first_threshold", "wake_threshold"), "with --profile")
    _find(args)


def _find(args: argparse.Namespace) -> None:
    from dataclasses import replace

    from hybridasr.corpus.audio import FULL_SCALE
    from hybridasr.corpus.raw_audio import RawFormat
    from hybridasr.options import from_args
    from hybridasr.recognize.samples import read_samples
    from hybridasr.wake.detector import WakeDetector, WakeOptions
    from hybridasr.wake.profile import read_profile

    options = from_args(WakeOptions, args)
    phrases: list = args.phrase
    if args.profile is not None:
        phrases, least = read_profile(args.profile)
        options = replace(options, first_threshold=least)
    detector = WakeDetector(args.model, _given(phrases), options, full_scale=FULL_SCALE)
    raw = None if args.raw is None else RawFormat.of(args.raw)
    for path in args.audio:
        samples = read_samples(path, None, detector.rate, args.channel, raw=raw)
        for event in detector.accept(samples) + detector.finish():
            event["confidence"] = round(event["confidence"], 4)
            print(json.dumps({"file": path, **event}, ensure_ascii=False), flush=True)


def _given(phrases: list) -> list:
    from hybridasr.errors import UserError

    if not phrases:
        raise UserError("no phrase to listen for; give --phrase TEXT, or --profile FILE")
    return phrases


def _tune(args: argparse.Namespace) -> None:
    from dataclasses import replace

    from hybridasr.corpus.background import sound_files
    from hybridasr.corpus.command_list import make_commands
    from hybridasr.errors import UserError
    from hybridasr.evaluation.wake_rates import hear, rate_table
    from hybridasr.options import from_args
    from hybridasr.parallel import executor
    from hybridasr.score.detection import rate_threshold
    from hybridasr.wake.detector import WakeOptions
    from hybridasr.wake.profile import write_profile

    phrases = make_commands(_given(args.phrase))
    background, least = sound_files(args.background), from_args(WakeOptions, args).first_threshold
    chosen = []
    with executor(args.nj) as pool:
        spoken = {phrase.text: list(hear(args.model, phrases, files, least, pool,
                                         f"recordings of {phrase.text}"))
                  for phrase, files in _recordings(args, phrases)}
        trials = list(hear(args.model, phrases, background, least, pool, "background"))
    hours = sum(one.seconds for one in trials) / 3600
    print(f"background: {len(background)} recordings, {hours:.2f} hours")
    for phrase in phrases:
        print(f"\n{phrase.text}\n{'false/h':>8} {'threshold':>10} {'missed %':>9}")
        for row in rate_table(trials, spoken.get(phrase.text, ()), phrase.text):
            missed = "-" if row.missed is None else f"{row.missed:.1f}"
            print(f"{row.rate:8g} {row.threshold:10.6f} {missed:>9}")
        false = [value for one in trials for value in one.confidences.get(phrase.text, ())]
        threshold = rate_threshold(false, hours, args.false_accepts_per_hour)
        if threshold > 1:
            raise UserError(f"no threshold keeps '{phrase.text}' to "
                            f"{args.false_accepts_per_hour:g} false accepts an hour; choose a "
                            "longer phrase, or allow more")
        chosen.append(replace(phrase, threshold=threshold))
    if args.profile is not None:
        write_profile(args.profile, chosen, least)
        print(f"\nwrote {args.profile}; hybridasr wake --profile {args.profile} {args.model} FILE")


def _recordings(args: argparse.Namespace, phrases: "list[Command]"
                ) -> "list[tuple[Command, list[Path]]]":
    from hybridasr.corpus.background import sound_files

    if args.calibrate is None:
        return []
    if len(phrases) == 1:
        return [(phrases[0], sound_files([args.calibrate]))]
    return [(phrase, sound_files([args.calibrate / phrase.id])) for phrase in phrases]


VERBS = {"wake": Verb("find wake words in recordings, and choose their thresholds", _arguments,
                      _wake)}
