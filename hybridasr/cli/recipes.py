"""Owns the verb behind egs/run.sh."""

import argparse
import os
import shlex
import shutil
import sys
from pathlib import Path

from hybridasr.cli.verb import Verb, add_nj, add_pipes

_BUILT_IN, _OWN = "commands_zh", "own"  # recipes: without recordings, with the user's


def _recipe_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.recipe.config import SECTIONS, recipe_names, recipes_dir
    from hybridasr.recipe.runner import STAGES

    stages = "\n".join(f"  {number}  {name:9} {what}"
                       for number, (name, what) in enumerate(STAGES.items(), 1))
    parser.description += f"\n\nstages:\n{stages}"
    parser.add_argument("--recipes", type=Path, default=recipes_dir(), help=argparse.SUPPRESS)
    parser.add_argument("--recipe", help=f"one of {', '.join(recipe_names(recipes_dir()))} "
                        f"({_BUILT_IN}; with --corpus {_OWN})")
    parser.add_argument("--corpus", type=_folder, metavar="DIR", help="folder of the recordings: a "
                        "public corpus, one sub-folder per command, or Kaldi's train/ and test/")
    parser.add_argument("--download", action="store_true", help="fetch the recipe's public corpus")
    parser.add_argument("--commands", type=Path, metavar="FILE", help="command list for the "
                        "grammar (and for synthetic speakers)")
    parser.add_argument("--background", type=Path, action="append", default=[], metavar="PATH",
                        help="recordings of other speech, hours of it: the network learns what is "
                        "no command; files, folders or data directories; may be given again")
    parser.add_argument("--text", type=Path, action="append", default=[], metavar="FILE",
                        help="sentences for the language model, one a line, beside the training "
                        "transcripts (recipes of sentences); may be given again")
    parser.add_argument("--work", type=_folder, metavar="DIR", help="work directory (work/RECIPE)")
    parser.add_argument("--stage", type=int, default=1, metavar="N", help="first stage (1)")
    parser.add_argument("--stop-stage", type=int, default=len(STAGES), metavar="N",
                        help=f"last stage ({len(STAGES)})")
    add_nj(parser, 2)
    parser.add_argument("--test-speaker", metavar="NAME", help="speaker to test on (digits, own)")
    parser.add_argument("--oov", default="error", choices=("error", "guess", "spn"),
                        help="a word without pronunciation: stop, guess, or spoken noise (error)")
    parser.add_argument("--channel", default="mix",
                        help="of recordings with several: mix, or the number from 0 (mix)")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.OPTION=VALUE",
                        help="replace a value of recipe.conf, e.g. mono.totgauss=2000; sections: "
                        + ", ".join(SECTIONS))
    add_pipes(parser)


def _run_recipe(args: argparse.Namespace) -> None:
    from hybridasr.recipe.config import read_overrides, read_recipe
    from hybridasr.recipe.runner import RunOptions, run_recipe
    from hybridasr.score.result_table import format_results

    name = args.recipe or (_OWN if args.corpus else _BUILT_IN)
    recipe = read_recipe(args.recipes / name, read_overrides(args.set))
    work = args.work or Path("work") / name
    rows = run_recipe(recipe, RunOptions(
        work=work, corpus=args.corpus, download=args.download, commands=args.commands, nj=args.nj,
        stage=args.stage, stop_stage=args.stop_stage, test_speaker=args.test_speaker, oov=args.oov,
        allow_pipes=args.allow_pipes, channel=args.channel,
        background=tuple(args.background), text=tuple(args.text)))
    # No rows if the stages that score were left out.
    if rows:
        print(f"\n{format_results(rows)}\n\nresults: {work / 'results.json'}\n"
              f"try it:  {_recognize(_last_model(work / 'exp', rows))} FILE.wav")


def _last_model(exp: Path, rows: list[dict]) -> Path:
    """Return the model of the last row that is one's own: rescored lattices have a row, too."""
    models = [exp / row["system"] for row in rows]
    return next((model for model in reversed(models) if (model / "model.json").is_file()),
                models[-1])


def _folder(text: str) -> Path:
    # An unset variable in a script would otherwise mean the current directory.
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; give a folder")
    return Path(text)


def _recognize(model: Path) -> str:
    """Return the beginning of a command for the shell that recognises with a model."""
    installed = Path(sys.executable).parent / "hybridasr"
    program = [sys.executable, "-m", "hybridasr.cli"]
    # The shortest command that works in the user's shell, because they will copy it.
    if shutil.which("hybridasr"):
        program = ["hybridasr"]
    elif installed.is_file():
        program = [os.path.relpath(installed)]
    return shlex.join([*program, "recognize", str(model)])


VERBS = {
    "run-recipe": Verb("run a staged recipe from recordings to a table of error rates",
                       _recipe_arguments, _run_recipe),
}
