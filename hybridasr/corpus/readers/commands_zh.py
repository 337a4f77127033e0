"""Owns the reader of the built-in corpus: it is synthesised into the folder when first read.

The set `test_outside` holds speech of the test speakers that is no command.
"""

from pathlib import Path

from hybridasr.corpus.command_list import read_commands
from hybridasr.corpus.readers.base import Reader, ReaderOptions, Sets
from hybridasr.corpus.synth import MARKER, synthesize_corpus
from hybridasr.errors import UserError
from hybridasr.parallel import executor
from hybridasr.storage import package_folder

NAME = "commands_zh"


def _matches(path: Path) -> bool:
    return (path / MARKER).is_file()


def _read(path: Path, options: ReaderOptions) -> Sets:
    lists = [options.commands or default_list("commands.txt"), default_list("outside.txt"),
             default_list("sentences.txt")]
    texts = [[command.text for command in read_commands(given)] for given in lists]
    with executor(options.nj) as pool:
        return synthesize_corpus(path, *texts, seed=options.seed, pool=pool)


def default_list(name: str) -> Path:
    """Path of ``commands.txt``, ``outside.txt`` or ``sentences.txt`` of the recipe.

    Raises
    ------
    UserError
        if it is not there.
    """
    path = package_folder("recipe/egs", "egs") / NAME / name
    if not path.is_file():
        raise UserError("is missing; install hybridasr again, or pass your own list", path)
    return path


READER = Reader(
    name=NAME,
    title="the built-in corpus",
    address="",
    licence="made on the spot, nothing is downloaded",
    layout="a new folder, or one that the synthesis has made",
    matches=_matches,
    read_sets=_read,
    synthesises=True,
)
