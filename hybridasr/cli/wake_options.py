"""Owns what the verbs that wait for wake words share: their options, the detector."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hybridasr.cli.verb import refuse

if TYPE_CHECKING:
    from hybridasr.wake.detector import WakeDetector


def add_wake(parser: argparse.ArgumentParser, what: str) -> None:
    """Add --wake, which does `what`, and --wake-profile."""
    parser.add_argument("--wake", action="append", default=[], metavar="TEXT",
                        help=f"{what}; may be given again")
    parser.add_argument("--wake-profile", type=Path, metavar="FILE", help="phrases and thresholds "
                        "in place of --wake, from 'hybridasr wake --background' (default: those "
                        "that are packed with the model)")


def load_detector(args: argparse.Namespace) -> "WakeDetector | None":
    """Return the detector of the phrases that are given or packed; None if there are none."""
    from hybridasr.model.directory import own_commands
    from hybridasr.wake.detector import WakeDetector, WakeOptions
    from hybridasr.wake.profile import read_profile

    if args.wake_profile is not None:
        refuse(args, ["wake"], "with --wake-profile")
    # A model that was packed with wake words waits for them.
    profile = args.wake_profile or (None if args.wake else own_commands(args.model).wake)
    if profile is not None:
        phrases, least = read_profile(profile)
        return WakeDetector(args.model, phrases, WakeOptions(first_threshold=least))
    return WakeDetector(args.model, args.wake) if args.wake else None
