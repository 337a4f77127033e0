"""Owns the options of the end of speech on the command line, with Kaldi's names."""

import argparse
from dataclasses import fields, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hybridasr.decode.endpoint import EndpointOptions

_HELP = {
    "must_contain_nonsilence": "whether something must have been recognised",
    "min_trailing_silence": "seconds of silence at the end, at least",
    "max_relative_cost": "what ending there costs more than going on, at most",
    "min_utterance_length": "seconds of the utterance, at least",
    "max_probability": "of speech, in a frame that counts as one without",
}


def add_endpoint(parser: argparse.ArgumentParser,
                 note: str = "Any of these options switches the rules on.") -> None:
    """Add ``--endpoint MODE`` and ``--endpoint.rule1.min-trailing-silence`` and its like.

    `note` says when the rules hold.
    """
    from hybridasr.decode.endpoint import MODES, EndpointOptions
    from hybridasr.options import parse_bool

    group = parser.add_argument_group(
        "end of speech", "An utterance ends where one rule holds, and the next one begins; a line "
        f"for each. {note}")
    group.add_argument("--endpoint", choices=tuple(MODES), help="how long the waits are")
    for rule in fields(EndpointOptions):
        default = getattr(EndpointOptions(), rule.name)
        for one in fields(default):
            value = getattr(default, one.name)
            group.add_argument(
                f"--endpoint.{rule.name}.{one.name.replace('_', '-')}", default=argparse.SUPPRESS,
                dest=f"endpoint.{rule.name}.{one.name}", metavar="X",
                type=parse_bool if isinstance(value, bool) else float,
                help=f"{_HELP[one.name]} (default: {str(value).lower()})")


def endpoint_from(args: argparse.Namespace) -> "EndpointOptions | None":
    """Return the rules that the user asked for; None if none of the options is given."""
    from hybridasr.decode.endpoint import EndpointOptions

    given = {name.removeprefix("endpoint."): value for name, value in vars(args).items()
             if name.startswith("endpoint.")}
    if args.endpoint is None and not given:
        return None
    options = EndpointOptions.of_mode(args.endpoint or "default")
    for name, value in given.items():
        rule, one = name.split(".")
        options = replace(options, **{rule: replace(getattr(options, rule), **{one: value})})
    return options
