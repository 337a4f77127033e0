"""Owns the verbs of who speaks: a check trained on many speakers, a profile of one."""

import argparse
import json
from pathlib import Path

from hybridasr.cli.verb import Verb, add_nj

_LIMITS = ("A speaker check tells members of a household apart. It is no security feature: a "
           "similar voice or a recording of the voice passes.")


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.options import add_options
    from hybridasr.voice.check_trainer import SpeakerCheckOptions

    parser.epilog = _LIMITS
    add_options(parser, SpeakerCheckOptions)
    add_nj(parser)
    parser.add_argument("data", nargs="+", type=Path,
                        help="data directories; utt2spk says who speaks")
    parser.add_argument("check", type=Path, help="the file to write, e.g. exp/speaker_check.npz")


def _train_check(args: argparse.Namespace) -> None:
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.options import from_args
    from hybridasr.parallel import executor
    from hybridasr.voice.check_trainer import (
        SpeakerCheckOptions,
        check_figures,
        train_speaker_check,
    )

    options = from_args(SpeakerCheckOptions, args)
    sets = [read_datadir(path, False) for path in args.data]
    with executor(args.nj) as pool:
        check, curve = train_speaker_check(sets, pool, options)
    check.save(args.check)
    speakers = {utterance.speaker for data in sets for utterance in data.utterances.values()}
    print(json.dumps({"check": str(args.check), "speakers": len(speakers), **check_figures(curve)},
                     ensure_ascii=False))


def _enrol_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _LIMITS
    parser.add_argument("--channel", default="mix",
                        help="mix, or the channel's number from 0 (mix)")
    parser.add_argument("check", type=Path, help="as from train-speaker-check")
    parser.add_argument("profile", type=Path, help="the file to write, e.g. mei.npz")
    parser.add_argument("audio", nargs="+", help="recordings of the speaker alone, three or more "
                        "of different words")


def _enrol(args: argparse.Namespace) -> None:
    from hybridasr.corpus.audio import load_audio
    from hybridasr.voice.speaker_check import load_speaker_check

    check = load_speaker_check(args.check)
    check.enrol([load_audio(path, check.rate, args.channel) for path in args.audio],
                args.audio).save(args.profile)


VERBS = {
    "train-speaker-check": Verb("train a check of who speaks on recordings of many speakers: "
                                "DATA... CHECK", _check_arguments, _train_check),
    "enrol": Verb("make the profile of a speaker: CHECK PROFILE FILES...", _enrol_arguments,
                  _enrol),
}
