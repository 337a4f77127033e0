"""Owns the verbs on data directories and features."""

import argparse
import sys
from pathlib import Path

from hybridasr.cli.verb import Verb, add_nj, add_pipes, field_names, refuse


def _prepare_data_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reader", help="corpus reader (default: found from the layout)")
    parser.add_argument("--test-speaker", help="speaker to test on, where the reader has a choice")
    parser.add_argument("corpus", type=Path, help="folder of the recordings")
    parser.add_argument("data", type=Path, help="where the data directories go")


def _prepare_data(args: argparse.Namespace) -> None:
    from hybridasr.corpus.datadir import write_datadir
    from hybridasr.corpus.readers import ReaderOptions, detect_reader, find_reader
    from hybridasr.progress import logger

    reader = find_reader(args.reader) if args.reader else detect_reader(args.corpus)
    sets = reader.read(args.corpus, ReaderOptions(test_speaker=args.test_speaker))
    for name, utterances in sets.items():
        data = write_datadir(args.data / name, utterances)
        logger.info("%s: %d utterances, %d speakers", data.path, len(data), len(data.speakers))


def _data_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, help="data directory")


def _validate_data(args: argparse.Namespace) -> None:
    from hybridasr.corpus.validate import has_errors, validate_datadir
    from hybridasr.errors import UserError, shell_command
    from hybridasr.progress import logger

    faults = validate_datadir(args.data)
    # Every fault is a line of its own; the last line says what to do.
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    if has_errors(faults):
        command = shell_command("hybridasr", "fix-data", args.data)
        raise UserError(f"not valid; mend it by hand, or run {command}", args.data)
    logger.info("%s: valid", args.data)


def _fix_data(args: argparse.Namespace) -> None:
    from hybridasr.corpus.validate import fix_datadir
    from hybridasr.progress import logger

    logger.info("%s", fix_datadir(args.data))


def _split_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--per-utt", action="store_true", help="speakers may be divided")
    parser.add_argument("data", type=Path)
    parser.add_argument("parts", type=int)


def _split_data(args: argparse.Namespace) -> None:
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.corpus.subsets import split_datadir

    split_datadir(read_datadir(args.data, need_text=False), args.parts, args.per_utt)


def _subset_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Of several choices, the part that all of them leave, from top to bottom."
    parser.add_argument("--speakers", help="keep these speakers (commas between)")
    for name, kept in (("per-speaker", "the first N utterances of each speaker, in order of id"),
                       ("shortest", "the N shortest utterances"),
                       ("random", "N utterances, drawn at random (always the same)"),
                       ("first", "the first N utterances in order of id")):
        parser.add_argument(f"--{name}", type=int, metavar="N", help=f"keep {kept}")
    parser.add_argument("data", type=Path, help="a data directory")
    parser.add_argument("destination", type=Path, help="the data directory to write")


def _subset_data(args: argparse.Namespace) -> None:
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.corpus.subsets import copy_datadir, subset

    # An empty list would keep nobody; None keeps everybody.
    speakers = args.speakers.split(",") if args.speakers else None
    data = subset(read_datadir(args.data, need_text=False), first=args.first,
                  shortest=args.shortest, random=args.random, per_speaker=args.per_speaker,
                  speakers=speakers)
    copy_datadir(data, args.destination)


def _combine_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("destination", type=Path)
    parser.add_argument("data", type=Path, nargs="+")


def _combine_data(args: argparse.Namespace) -> None:
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.corpus.subsets import combine

    combine([read_datadir(path, need_text=False) for path in args.data], args.destination)


def _audio_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--channel", default="mix",
                        help="mix, or the channel's number from 0 (mix)")
    add_nj(parser)
    add_pipes(parser)


def _augment_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.corpus.augment import AugmentOptions
    from hybridasr.options import add_options

    _audio_arguments(parser)
    add_options(parser, AugmentOptions)
    parser.add_argument("data", type=Path, help="the set that is copied")
    parser.add_argument("destination", type=Path, help="where the copies alone go; join them to "
                        "the set with combine-data")


def _augment_data(args: argparse.Namespace) -> None:
    from hybridasr.corpus.augment import AugmentOptions, augment_datadir
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.options import from_args
    from hybridasr.parallel import executor

    options = from_args(AugmentOptions, args)
    with executor(args.nj) as pool:
        augment_datadir(read_datadir(args.data, need_text=False), args.destination, options, pool,
                        args.allow_pipes, args.channel)


def _join_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.corpus.join import JoinOptions
    from hybridasr.options import add_options

    _audio_arguments(parser)
    add_options(parser, JoinOptions)
    parser.add_argument("data", type=Path, help="the set whose recordings are joined")
    parser.add_argument("destination", type=Path, help="where the strings alone go; put them "
                        "beside the set with combine-data")


def _join_data(args: argparse.Namespace) -> None:
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.corpus.join import JoinOptions, join_datadir
    from hybridasr.options import from_args
    from hybridasr.parallel import executor
    from hybridasr.progress import logger

    options = from_args(JoinOptions, args)
    with executor(args.nj) as pool:
        data = read_datadir(args.data)
        strings = join_datadir(data, args.destination, options, pool, args.allow_pipes,
                               args.channel)
    words, joined = (sum(len(one.words) for one in part.utterances.values())
                     for part in (data, strings))
    logger.info("%s: %d strings of %d of %d words", args.destination, len(strings), joined, words)


def _synthesize_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.corpus.word_folders import WordFolderOptions
    from hybridasr.options import add_options

    add_nj(parser)
    add_options(parser, WordFolderOptions)
    parser.add_argument("commands", type=Path, help="what is said: a command list, a text a line")
    parser.add_argument("folder", type=Path, help="where the folders go, one for each text; new or "
                        "empty")


def _synthesize_words(args: argparse.Namespace) -> None:
    from hybridasr.corpus.command_list import read_commands
    from hybridasr.corpus.word_folders import WordFolderOptions, synthesize_folders
    from hybridasr.options import from_args
    from hybridasr.parallel import executor
    from hybridasr.progress import logger

    options = from_args(WordFolderOptions, args)
    texts = [command.text for command in read_commands(args.commands)]
    with executor(args.nj) as pool:
        paths = synthesize_folders(args.folder, texts, options, pool)
    logger.info("%s: %d recordings of %d texts by %d synthetic speakers", args.folder, len(paths),
                len(texts), options.speakers)


def _feats_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.features.mfcc import FeatureOptions
    from hybridasr.options import add_options

    parser.add_argument("--model", type=Path, help="take the options of this model directory")
    _audio_arguments(parser)
    add_options(parser, FeatureOptions)
    _data_argument(parser)


def _make_feats(args: argparse.Namespace) -> None:
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.features.feature_set import make_feats
    from hybridasr.features.mfcc import FeatureOptions
    from hybridasr.options import from_args
    from hybridasr.parallel import executor

    if args.model:
        # Only with --model: a model needs modules that plain features do not.
        from hybridasr.model.directory import load_model

        # The model decides about its features; an option that differs would make them useless to
        # it.
        refuse(args, field_names(FeatureOptions), "with --model, whose features are made")
        options = load_model(args.model).features
    else:
        options = from_args(FeatureOptions, args)
    # Both options change the energy column, and there is none.
    if not options.has_energy:
        refuse(args, ("raw_energy", "energy_floor"), "without --use-energy true")
    with executor(args.nj) as pool:
        make_feats(read_datadir(args.data, need_text=False), options, pool, args.allow_pipes,
                   args.channel)


VERBS = {
    "prepare-data": Verb("write Kaldi data directories for a folder of recordings",
                         _prepare_data_arguments, _prepare_data),
    "validate-data": Verb("check a data directory; name every fault with its line and remedy",
                          _data_argument, _validate_data),
    "fix-data": Verb("sort a data directory and drop what cannot be mended (keeps .backup)",
                     _data_argument, _fix_data),
    "split-data": Verb("cut a data directory into split<N>/<j>, by speaker", _split_arguments,
                       _split_data),
    "subset-data": Verb("copy a part of a data directory", _subset_arguments, _subset_data),
    "combine-data": Verb("join data directories", _combine_arguments, _combine_data),
    "augment-data": Verb("copy a data directory at other speeds, with noises and in rooms",
                         _augment_arguments, _augment_data),
    "join-data": Verb("join recordings of words into strings of several, speaker by speaker",
                      _join_arguments, _join_data),
    "synthesize-words": Verb("make folders of recordings by synthetic speakers, before you have "
                             "your own", _synthesize_arguments, _synthesize_words),
    "make-feats": Verb("compute features and CMVN statistics of a data directory",
                       _feats_arguments, _make_feats),
}
