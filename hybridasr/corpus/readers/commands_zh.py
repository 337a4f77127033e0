"""Owns the reader of the built-in corpus: it is synthesised into the folder when first read.

The set `test_outside` holds what is no command, by the test speakers.
"""

from pathlib import Path

from hybridasr.corpus.command_list import read_commands
from hybridasr.corpus.readers.base import Reader, ReaderOptions, Sets
from hybridasr.corpus.synth import MARKER, synthesize_corpus
from hybridasr.parallel import executor


def _matches(path: Path) -> bool:
    return (path / MARKER).is_file()


def _read(path: Path, options: ReaderOptions) -> Sets:
    commands = None
    if options.commands is not None:
        commands = [command.text for command in read_commands(options.commands)]
    with executor(options.nj) as pool:
        return synthesize_corpus(path, options.seed, pool, commands)


READER = Reader(
    name="commands_zh",
    title="the built-in corpus",
    address="",
    licence="made on the spot, nothing is downloaded",
    layout="a new folder, or one that the synthesis has made",
    matches=_matches,
    read_sets=_read,
    synthesises=True,
)
