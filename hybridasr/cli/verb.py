"""Owns what the verbs share: their form, the parser, common arguments."""

import argparse
import dataclasses
import difflib
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from hybridasr.errors import UserError


@dataclass(frozen=True)
class Verb:
    """One verb: what it is for, its arguments, what it does."""

    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


class Parser(argparse.ArgumentParser):
    """An argument parser that names the nearest option for one it does not know."""

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse `words`; exit 2 with a usage line if they are wrong.

        ``given`` of the result tells the options that are there: field name -> option.
        """
        # Options may stand between arguments, as Kaldi's users write them.
        args, unknown = self.parse_known_intermixed_args(words)
        if unknown:
            known = [text for action in self._actions for text in action.option_strings]
            near = difflib.get_close_matches(unknown[0].split("=")[0], known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            self.error(f"unexpected argument '{unknown[0]}'{hint}")
        options = {text: action.dest for action in self._actions
                   for text in action.option_strings}
        words = [word.partition("=")[0] for word in words]
        if "--" in words:
            words = words[:words.index("--")]
        args.given = {options[word]: word for word in words if word in options}
        return args

    def error(self, message: str) -> NoReturn:
        """Print one line and exit 2."""
        sys.stderr.write(f"{self.prog}: {message} (see {self.prog} --help)\n")
        sys.exit(2)


def refuse(args: argparse.Namespace, names: Iterable[str], where: str) -> None:
    """Refuse options that the user gave although they change nothing.

    Raises
    ------
    UserError
        naming the first of the fields `names` that is there; `where` completes the line.
    """
    for name in names:
        if name in args.given:
            raise UserError(f"{args.given[name]} has no effect {where}; leave it out")


def field_names(options_class: type) -> list[str]:
    """Return the names of the fields of an options class."""
    return [field.name for field in dataclasses.fields(options_class)]


def add_nj(parser: argparse.ArgumentParser, default: int = 1) -> None:
    """Add --nj."""
    parser.add_argument("--nj", type=int, default=default, help=f"parallel jobs ({default})")


def add_pipes(parser: argparse.ArgumentParser) -> None:
    """Add --allow-pipes."""
    parser.add_argument("--allow-pipes", action="store_true",
                        help="run the shell commands ('... |') of wav.scp")


def refuse_adaptation(args: argparse.Namespace, model: Path) -> None:
    """Raise `UserError` if an option of adaptation was given that this model does not know."""
    from hybridasr.model.adaptation import AdaptOptions
    from hybridasr.options import given_options, refuse_options
    from hybridasr.storage import read_json

    given = given_options(AdaptOptions, args)
    if not given or not (model / "model.json").is_file():
        return
    record = read_json(model / "model.json")
    if not isinstance(record, dict):
        return
    if record.get("kind") == "nnet":
        why = "the speakers' transforms are for systems of mixtures, and this is a network"
        names = {"fmllr_passes", "fmllr_update", "prior_frames"}
    elif record.get("adapted"):
        why = "the system adapts by the speakers' transforms and is no network"
        names = {name for name in given if name.startswith("nnet_")}
    else:
        why, names = "the system does not adapt to speakers", set(given)
    refuse_options(AdaptOptions, args, f"{model}: {why}", names)
