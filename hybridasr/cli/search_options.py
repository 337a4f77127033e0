"""Owns what the verbs that recognise share: search, adaptation and command list options.

An option that has no effect in a call is refused here, by name.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hybridasr.cli.verb import field_names, refuse

if TYPE_CHECKING:
    from hybridasr.batch.spot_set import SpotOptions
    from hybridasr.corpus.enhance import EnhanceOptions
    from hybridasr.model.acoustic import AcousticModel
    from hybridasr.recognize.recognizer import Recognizer

# Of a command list one is said: a cost of every word, or of all of them, changes nothing.
GRAPH_SCALES = ("lm_scale", "word_ins_penalty")
_FMLLR = ("fmllr_passes", "fmllr_update", "prior_frames")


def add_recognizer(parser: argparse.ArgumentParser) -> None:
    """Add the options of `load_recognizer`, and --nbest."""
    from hybridasr.corpus.enhance import EnhanceOptions
    from hybridasr.options import add_options

    add_decoder(parser)
    add_options(parser, EnhanceOptions)
    _add_profile(parser)
    parser.add_argument("--nbest", type=int, metavar="N", help="give up to N alternatives "
                        "(default: those commands that came near; of a graph none)")


def add_decoder(parser: argparse.ArgumentParser) -> None:
    """Add the options of `load_decoder`."""
    add_search(parser)
    add_commands(parser)
    parser.add_argument("--graph", type=Path, help="graph directory (MODEL/graph)")


def _add_profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--speaker-profile", type=Path, metavar="FILE", help="profile of a "
                        "speaker, as from enrol: results have a speaker_score, log odds that it is "
                        "this voice")
    parser.add_argument("--speaker-threshold", type=float, metavar="X", help="accept nothing with "
                        "a lower speaker_score, such as 0; no security feature")


def add_audio(parser: argparse.ArgumentParser, raw: str) -> None:
    """Add --channel and --raw; `raw` says what is raw then."""
    parser.add_argument("--channel", default="mix",
                        help="mix, or the channel's number from 0 (mix)")
    parser.add_argument("--raw", metavar="FORM", help=f"{raw} nothing but samples, as "
                        "ENCODING:RATE:CHANNELS, such as s16le:16000:1 (u8 s8 s16le s16be s24le "
                        "s32le s32be f32le f64le)")


def check_recognizer(args: argparse.Namespace) -> None:
    """Refuse options without effect, before the model is loaded, which takes seconds."""
    check_decoder(args)
    if args.speaker_profile is None:
        refuse(args, ["speaker_threshold"], "without a profile", "give --speaker-profile FILE too")


def check_decoder(args: argparse.Namespace) -> None:
    """Refuse those of `add_decoder` that have no effect."""
    if args.commands is None and has_commands(args):
        refuse(args, ["fillers", "lexicon"], f"on {args.model}, which has commands of its own",
               "give --commands FILE too")
        refuse(args, GRAPH_SCALES, "with commands")
    else:
        check_commands(args, ("graph",))
    check_adaptation(args, args.model)


def has_commands(args: argparse.Namespace) -> bool:
    """Tell whether one of some commands is recognised: those of --commands, or the model's own."""
    from hybridasr.model.directory import own_commands

    if args.commands is not None:
        return True
    return args.graph is None and own_commands(args.model).commands is not None


def check_memory(model: "AcousticModel", option: str, path: Path) -> None:
    """Refuse an option to remember a speaker, of whom a model has no use."""
    from hybridasr.errors import UserError

    if model.pipeline.cmvn != "online":
        raise UserError(f"{option} has no effect on {path}, whose cmvn is {model.pipeline.cmvn}; "
                        "leave it out")


def load_recognizer(args: argparse.Namespace) -> "Recognizer":
    """Load the model, with what is done to samples and whose voice is looked for."""
    from hybridasr.corpus.enhance import EnhanceOptions
    from hybridasr.options import from_args

    recognizer = load_decoder(args, from_args(EnhanceOptions, args))
    recognizer.set_profile(args.speaker_profile, args.speaker_threshold)
    return recognizer


def load_decoder(args: argparse.Namespace, enhance: "EnhanceOptions | None" = None
                 ) -> "Recognizer":
    """Load the model with the graph or the commands that the options say."""
    from hybridasr.confidence.command_grammar import RejectOptions
    from hybridasr.decode.search import SearchOptions
    from hybridasr.model.adaptation import AdaptOptions
    from hybridasr.options import from_args
    from hybridasr.recognize.recognizer import load

    return load(args.model, from_args(SearchOptions, args), args.graph,
                from_args(AdaptOptions, args), args.commands, read_fillers(args),
                from_args(RejectOptions, args), args.lexicon, enhance)


def add_search(parser: argparse.ArgumentParser) -> None:
    """Add the options of the search and of adaptation."""
    from hybridasr.decode.search import SearchOptions
    from hybridasr.model.adaptation import AdaptOptions
    from hybridasr.options import add_options

    add_options(parser, SearchOptions)
    add_options(parser, AdaptOptions)


def add_known(parser: argparse.ArgumentParser, default: str) -> None:
    """Add --known, what is known of a speaker when an utterance is recognised."""
    parser.add_argument("--known", choices=("all", "earlier", "none"), default=default,
                        help="what is known of a speaker when an utterance is recognised: all of "
                        "the set, as in Kaldi; the earlier ones, as a device that remembers; "
                        f"none, as of a lone recording ({default})")


def add_commands(parser: argparse.ArgumentParser,
                 default: str = "the graph of the model") -> None:
    """Add --commands, --fillers, --lexicon and how everything else is rejected."""
    from hybridasr.confidence.command_grammar import RejectOptions
    from hybridasr.options import add_options

    parser.add_argument("--commands", type=Path, metavar="FILE",
                        help="command list, sentence templates or JSGF: one of them is "
                        "recognised, or none (default: "
                        f"{default})")
    parser.add_argument("--fillers", type=Path, metavar="FILE",
                        help="list of words and phrases that are no commands")
    parser.add_argument("--lexicon", type=Path, metavar="FILE", help="own pronunciations of their "
                        "words (<word> <phone> ...) in the model's phones, which win over all "
                        "others")
    add_options(parser, RejectOptions)


def check_commands(args: argparse.Namespace, without: tuple[str, ...] = ()) -> None:
    """Refuse options without effect: some need a command list, those in `without` need none."""
    from hybridasr.confidence.command_grammar import RejectOptions

    if args.commands is None:
        refuse(args, ["fillers", "lexicon", *field_names(RejectOptions)],
               "without a command list", "give --commands FILE too")
    else:
        refuse(args, (*without, *GRAPH_SCALES), "with --commands")


def check_adaptation(args: argparse.Namespace, model: Path) -> None:
    """Refuse the options of an adaptation that the model in directory `model` does not do."""
    from hybridasr.model.adaptation import AdaptOptions
    from hybridasr.storage import is_file, read_json

    if getattr(args, "known", "all") != "all":
        refuse(args, ["nnet_passes", "nnet_epochs", "nnet_learning_rate", "nnet_prior_frames"],
               f"with --known {args.known}; a network is fitted to all utterances of a speaker")
    path = model / "model.json"
    values = read_json(path) if is_file(path) else None
    if not isinstance(values, dict):  # told by whoever loads the model
        return
    if values.get("kind") == "nnet":
        refuse(args, _FMLLR, f"on {model}, which is a network")
    elif values.get("adapted"):
        # Only networks understand these options; fMLLR has options of its own.
        refuse(args, [name for name in field_names(AdaptOptions) if name.startswith("nnet_")],
               f"on {model}, which is no network")
    else:
        refuse(args, field_names(AdaptOptions), f"on {model}, which does not adapt to speakers")


def read_fillers(args: argparse.Namespace) -> list[str]:
    """Return the texts of the list of fillers, none without one."""
    from hybridasr.grammar.command_file import read_command_file

    return [filler.text for filler in read_command_file(args.fillers)] if args.fillers else []


def spot_options(args: argparse.Namespace) -> "SpotOptions":
    """Return the options of the search, adaptation and rejection together."""
    from hybridasr.batch.spot_set import SpotOptions
    from hybridasr.confidence.command_grammar import RejectOptions
    from hybridasr.decode.search import SearchOptions
    from hybridasr.model.adaptation import AdaptOptions
    from hybridasr.options import from_args

    return SpotOptions(from_args(SearchOptions, args), from_args(AdaptOptions, args),
                       from_args(RejectOptions, args), args.known, args.lexicon)
