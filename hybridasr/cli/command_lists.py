"""Owns the verbs about command lists: what sounds near to a command."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hybridasr.cli.verb import Verb

if TYPE_CHECKING:
    from hybridasr.confidence.filler_candidates import FillerSource
    from hybridasr.confidence.spoken import SpokenCommand


def _fillers_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.confidence.filler_candidates import FillerOptions
    from hybridasr.options import add_options

    add_options(parser, FillerOptions)
    parser.add_argument("--lang", type=Path,
                        help="lang or model directory: its phones and words, and confusions.json "
                             "where it is there (without: all phones, and phonetic distances)")
    parser.add_argument("--lexicon", type=Path, metavar="FILE",
                        help="own pronunciations (<word> <phone> ...), which win over all others")
    parser.add_argument("--json", action="store_true",
                        help="one line of JSON for each filler in place of the table")
    parser.add_argument("commands", type=Path, help="command list, one a line")


def _suggest_fillers(args: argparse.Namespace) -> None:
    from hybridasr.confidence.filler_candidates import FillerOptions
    from hybridasr.confidence.fillers import suggest
    from hybridasr.confidence.near import near_pairs
    from hybridasr.options import from_args
    from hybridasr.progress import logger
    from hybridasr.score.result_table import format_table

    options = from_args(FillerOptions, args)
    commands, source = _read(args.commands, args.lang, args.lexicon,
                             options.dictionaries)
    for pair in near_pairs(commands, source.distances, options.warn_distance):
        logger.warning("%s: %s", args.commands, pair.warning())
    rows = []
    for command in commands:
        suggestions = suggest(command, commands, source, options)
        if not suggestions:
            # Not an error: the other commands still get their fillers.
            logger.warning("%s:%d: no filler for '%s' at these distances; raise --max-distance",
                           args.commands, command.line, command.text)
        rows += [{"command": command.text, "filler": filler.text,
                  # The table has no room for phones; programs that read JSON may need them.
                  **({"phones": filler.phones} if args.json else {}), "pinyin": filler.pinyin,
                  "distance": round(filler.distance, 3), "kind": filler.kind}
                 for filler in suggestions]
    if args.json:
        sys.stdout.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    elif rows:
        print(format_table(rows))


def _read(path: Path, directory: Path | None, own_lexicon: Path | None, dictionaries: bool
          ) -> tuple[list["SpokenCommand"], "FillerSource"]:
    """Return the commands of a list with their pronunciations, and what fillers are made of."""
    from hybridasr.confidence.confusion import FILE, load_confusions, table_distances
    from hybridasr.confidence.filler_candidates import FillerSource
    from hybridasr.confidence.spoken import lexicon_of, spoken_commands
    from hybridasr.corpus.command_list import read_commands
    from hybridasr.lexicon.extend import with_commands
    from hybridasr.lexicon.langdir import read_lang
    from hybridasr.lexicon.lexicon import build_lexicon
    from hybridasr.lexicon.phones import default_phone_set

    commands = read_commands(path)
    # Without a model the built-in lexicon reads the commands, and all phones are known.
    if directory is None:
        places = {word: (path, command.line) for command in commands for word in command.words}
        lexicon = build_lexicon(places, user_lexicon=own_lexicon, places=places)
        own, phones = None, default_phone_set().covering(lexicon.phones).nonsilence_phones
    else:
        inside = directory / "lang"
        # The option takes either: a model directory has its lang directory inside.
        lang = read_lang(inside if inside.is_dir() else directory)
        own = lexicon_of(lang)
        lexicon = lexicon_of(with_commands(lang, commands, path, own_lexicon))
        phones = tuple(sorted(own.phones | lexicon.phones))
    # What this model confuses says more than phonetics.
    confusions = directory / FILE if directory else None
    if confusions and confusions.is_file():
        distances = load_confusions(confusions).distances(phones)
    else:
        distances = table_distances(phones)
    return (spoken_commands(commands, lexicon),
            FillerSource(distances, lexicon=own, dictionaries=dictionaries))


VERBS = {
    "suggest-fillers": Verb("list what sounds near to commands, for the grammar's fillers; warn of "
                            "commands that sound alike", _fillers_arguments, _suggest_fillers),
}
