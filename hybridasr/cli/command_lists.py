"""Owns the verbs about command lists: what sounds near to a command, what a grammar says."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hybridasr.cli.verb import Verb, refuse

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
    parser.add_argument("commands", type=Path, help="command list, one a line; templates or JSGF")


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
    from hybridasr.grammar.command_file import read_command_file
    from hybridasr.lexicon.extend import with_commands
    from hybridasr.lexicon.langdir import read_lang
    from hybridasr.lexicon.lexicon import build_lexicon
    from hybridasr.lexicon.phones import default_phone_set
    from hybridasr.storage import is_dir, is_file

    commands = read_command_file(path)
    # Without a model the built-in lexicon reads the commands, and all phones are known.
    if directory is None:
        places = {word: (path, command.line) for command in commands for word in command.words}
        lexicon = build_lexicon(places, user_lexicon=own_lexicon, places=places)
        own, phones = None, default_phone_set().covering(lexicon.phones).nonsilence_phones
    else:
        inside = directory / "lang"
        # The option takes either: a model directory has its lang directory inside.
        lang = read_lang(inside if is_dir(inside) else directory)
        own = lexicon_of(lang)
        lexicon = lexicon_of(with_commands(lang, commands, path, own_lexicon))
        phones = tuple(sorted(own.phones | lexicon.phones))
    # What this model confuses says more than phonetics.
    confusions = directory / FILE if directory else None
    if confusions and is_file(confusions):
        distances = load_confusions(confusions).distances(phones)
    else:
        distances = table_distances(phones)
    return (spoken_commands(commands, lexicon),
            FillerSource(distances, lexicon=own, dictionaries=dictionaries))


def _expand_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = ("Without --number every sentence once, in the order of the file, as a command "
                     "list: its id, where the file gives one, the text, and a threshold, where the "
                     "file gives one, with tabs between. With --number so "
                     "many are drawn, as likely as the grammar has them, and may come again.")
    parser.add_argument("--number", type=int, metavar="N", help="draw so many sentences")
    parser.add_argument("--seed", type=int, default=0, help="of the draw: the same seed, the same "
                        "sentences (0)")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each sentence: "
                        "text, id, slots, probability")
    parser.add_argument("grammar", type=Path, help="sentence templates, or a JSGF grammar")


def _expand(args: argparse.Namespace) -> None:
    from hybridasr.errors import UserError
    from hybridasr.grammar.command_file import read_grammar, sentence_record
    from hybridasr.grammar.expansion import draw_sentences, expand_sentences
    from hybridasr.grammar.rule_checks import check_finite, check_slots

    if args.number is None:
        refuse(args, ["seed"], "without --number", "give --number N too")
    elif args.number < 1 or args.seed < 0:
        raise UserError(f"--number {args.number} and --seed {args.seed}; give at least 1 sentence, "
                        "and a seed of 0 or more")
    grammar = read_grammar(args.grammar)
    check_slots(grammar)
    if args.number is None:
        check_finite(grammar, "the list of all sentences", "draw some with --number N")
        sentences = expand_sentences(grammar)
    else:
        sentences = draw_sentences(grammar, args.number, args.seed)
    for sentence in sentences:
        if args.json:
            print(json.dumps(sentence_record(sentence), ensure_ascii=False))
        else:
            threshold = "" if sentence.threshold is None else f"\t{sentence.threshold:g}"
            print(sentence.text if sentence.id == sentence.text and not threshold
                  else f"{sentence.id}\t{sentence.text}{threshold}")


VERBS = {
    "expand-grammar": Verb("print or draw the sentences of templates or of a JSGF grammar",
                           _expand_arguments, _expand),
    "suggest-fillers": Verb("list what sounds near to commands, for the grammar's fillers; warn of "
                            "commands that sound alike", _fillers_arguments, _suggest_fillers),
}
