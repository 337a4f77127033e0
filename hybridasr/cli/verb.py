"""Owns what the verbs share: their form, the parser, common arguments."""

import argparse
import difflib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from hybridasr.errors import UserError
from hybridasr.options import flat_options


@dataclass(frozen=True)
class Verb:
    """One verb: what it is for, its arguments, what it does.

    A verb with `kinds` is followed by the name of one of them, which has arguments of its own.
    """

    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]
    kinds: Mapping[str, "Verb"] = field(default_factory=dict)

    def of_kind(self, words: Sequence[str]) -> tuple["Verb", Sequence[str], Sequence[str]]:
        """Return (the kind that `words` begin with, its name, the words behind it).

        Without kinds, or where none is named, the verb itself, no name and all the words.
        """
        if words and words[0] in self.kinds:
            return self.kinds[words[0]], words[:1], words[1:]
        return self, [], words


def verb_of_kinds(help: str, kinds: Mapping[str, Verb]) -> Verb:
    """Return a verb that only lists its kinds; run by itself, it is refused."""
    width = max(map(len, kinds))

    def arguments(parser: argparse.ArgumentParser) -> None:
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.epilog = "kinds, each with a --help of its own:\n" + "\n".join(
            f"  {name:{width}}  {kind.help}" for name, kind in kinds.items())
        parser.add_argument("kind", metavar="KIND", choices=list(kinds))

    def run(args: argparse.Namespace) -> None:
        # argparse lets pass what stands in another place than the first, and nothing else.
        raise UserError(f"options stand behind the kind; write {args.kind} first")

    return Verb(help, arguments, run, kinds)


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
        # `--nj=4` is the option --nj.
        words = [word.partition("=")[0] for word in words]
        # Behind "--" all words are arguments, even those that look like options.
        if "--" in words:
            words = words[:words.index("--")]
        args.given = {options[word]: word for word in words if word in options}
        return args

    def error(self, message: str) -> NoReturn:
        """Print one line and exit 2."""
        sys.stderr.write(f"{self.prog}: {message} (see {self.prog} --help)\n")
        sys.exit(2)


def refuse(args: argparse.Namespace, names: Iterable[str], where: str,
           mend: str = "leave it out") -> None:
    """Refuse options that the user gave although they change nothing.

    Raises
    ------
    UserError
        naming the first of the fields `names` that is there; `where` completes the line.
    """
    for name in names:
        if name in args.given:
            raise UserError(f"{args.given[name]} has no effect {where}; {mend}")


def check_output(output: Path, inputs: Iterable[Path]) -> None:
    """Refuse to write a file, or files into a directory, over what is read.

    Raises
    ------
    UserError
        naming it.
    """
    for path in inputs:
        if output.exists() and path.exists() and output.samefile(path):
            raise UserError("is read here and would be written over; give another place to write",
                            output)


def field_names(options_class: type) -> list[str]:
    """Return the names of the options of a class.

    >>> from hybridasr.recognize.vad import VadOptions
    >>> field_names(VadOptions)[:3]
    ['smoothing', 'onset', 'offset']
    """
    return list(flat_options(options_class))


def add_nj(parser: argparse.ArgumentParser, default: int = 1) -> None:
    """Add --nj."""
    parser.add_argument("--nj", type=int, default=default, help=f"parallel jobs ({default})")


def add_pipes(parser: argparse.ArgumentParser) -> None:
    """Add --allow-pipes."""
    parser.add_argument("--allow-pipes", action="store_true",
                        help="run the shell commands ('... |') of wav.scp")
