"""Owns the command line: verbs to functions, errors to lines and exit codes, nothing else.

Exit 0: done; 1: the user can mend it (one line on stderr); 2: wrong usage. Only the modules that a
verb needs are imported, so that help and small verbs start at once.
"""

import argparse
import difflib
import logging
import os
import sys
from collections.abc import Sequence

# One thread a process: jobs are the parallelism, and sums come out the same on every machine.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from hybridasr import __version__
from hybridasr.cli import data, recipe, systems
from hybridasr.cli.verb import Parser, Verb
from hybridasr.errors import UserError
from hybridasr.progress import show_messages
from hybridasr.storage import write_error

VERBS: dict[str, Verb] = {**recipe.VERBS, **data.VERBS, **systems.VERBS}


def main(words: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit code."""
    words = list(sys.argv[1:] if words is None else words)
    if words[:1] == ["--version"]:
        print(f"hybridasr {__version__}")
        return 0
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0 if words else 2
    verb = VERBS.get(words[0])
    if verb is None:
        near = difflib.get_close_matches(words[0], VERBS, 1)
        hint = f"did you mean '{near[0]}'?" if near else "see hybridasr --help"
        sys.stderr.write(f"hybridasr: no verb '{words[0]}'; {hint}\n")
        return 2
    program = "egs/run.sh" if words[0] == "run-recipe" else f"hybridasr {words[0]}"
    parser = Parser(prog=program, description=verb.help, allow_abbrev=False,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--debug", action="store_true", help="more messages; traceback on errors")
    try:
        verb.arguments(parser)
        args = parser.parse(words[1:])
    except SystemExit as stop:
        return int(stop.code or 0)
    return _guarded(verb, args)


def _guarded(verb: Verb, args: argparse.Namespace) -> int:
    show_messages(logging.DEBUG if args.debug else logging.INFO)
    try:
        verb.run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the same command goes on from here\n")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UserError, OSError) as error:
        if args.debug:
            raise
        if isinstance(error, OSError):
            error = write_error(error, error.filename or "output")
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _overview() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {name:{width}}  {verb.help.splitlines()[0]}" for name, verb in VERBS.items()]
    return "usage: hybridasr VERB [options] arguments\n\n" + "\n".join(lines) + (
        "\n\nhybridasr VERB --help tells the rest; egs/run.sh runs a whole recipe.")
