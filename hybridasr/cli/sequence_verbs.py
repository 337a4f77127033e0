"""Owns the verbs of sequence training, named as Kaldi's steps/nnet/*.sh."""

import argparse
from collections.abc import Callable
from pathlib import Path

from hybridasr.cli.verb import Verb, add_nj, check_output


def _denlats_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.batch.denominator_set import DenlatOptions
    from hybridasr.options import add_options

    parser.epilog = (
        "Writes lat.<n>.npz (lattices by HMM states, a block of utterances each), denlats.json, "
        "graph/ (of a unigram model of the transcripts) and log/denlats.log. Run again after an "
        "interruption, it keeps the blocks that are there.")
    add_nj(parser)
    add_options(parser, DenlatOptions)
    parser.add_argument("data", type=Path, help="data directory; features of the network's kind "
                        "are made into DATA/.features if it has none")
    parser.add_argument("lang", type=Path, help="lang directory of the same phones")
    parser.add_argument("model", type=Path, help="the network's directory, e.g. exp/dnn")
    parser.add_argument("denlats", type=Path, help="the directory to write")


def _make_denlats(args: argparse.Namespace) -> None:
    from hybridasr.batch.denominator_set import DenlatOptions, make_denlats
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.lexicon.langdir import read_lang
    from hybridasr.options import from_args, to_dict
    from hybridasr.parallel import executor
    from hybridasr.progress import job_log, logger

    options = from_args(DenlatOptions, args)
    check_output(args.denlats, [args.data, args.lang, args.model])
    log = args.denlats / "log" / "denlats.log"
    with executor(args.nj) as pool, job_log(log, "hybridasr make-denlats", to_dict(options)):
        logger.info("%s", make_denlats(read_datadir(args.data), read_lang(args.lang), args.model,
                                       args.denlats, pool, options))


def _arguments(kind: str) -> Callable[[argparse.ArgumentParser], None]:
    def add(parser: argparse.ArgumentParser) -> None:
        from hybridasr.options import add_options
        from hybridasr.train.sequence_options import MmiOptions, SmbrOptions

        add_nj(parser)
        add_options(parser, MmiOptions if kind == "mmi" else SmbrOptions)
        for name, text in (("data", "data directory"), ("lang", "lang directory"),
                           ("model", "the network to go on from, e.g. exp/dnn"),
                           ("ali", "alignments, best the network's own; or a system with its tree"),
                           ("denlats", "lattices that make-denlats wrote"),
                           ("exp", "where the new network goes")):
            parser.add_argument(name, type=Path, help=text)

    return add


def _train(kind: str) -> Callable[[argparse.Namespace], None]:
    def run(args: argparse.Namespace) -> None:
        from hybridasr.corpus.datadir import read_datadir
        from hybridasr.lexicon.langdir import read_lang
        from hybridasr.options import from_args, to_dict
        from hybridasr.parallel import executor
        from hybridasr.progress import job_log, logger
        from hybridasr.train.sequence_options import MmiOptions, SmbrOptions
        from hybridasr.train.sequence_trainer import (
            SequencePlaces,
            sequence_line,
            train_sequence,
        )

        options = from_args(MmiOptions if kind == "mmi" else SmbrOptions, args)
        check_output(args.exp, [args.data, args.lang, args.model, args.ali, args.denlats])
        log = args.exp / "log" / "train.log"
        with executor(args.nj) as pool, job_log(log, f"hybridasr train-{kind}", to_dict(options)):
            model = train_sequence(read_datadir(args.data), read_lang(args.lang),
                                   SequencePlaces(args.model, args.ali, args.denlats), args.exp,
                                   pool, options, args.nj)
            logger.info("%s", sequence_line(args.exp, model.info))

    return run


VERBS = {
    "make-denlats": Verb("decode a training set to lattices for train-mmi and train-smbr: DATA "
                         "LANG MODEL DENLATS", _denlats_arguments, _make_denlats),
    "train-mmi": Verb("train a network on lattices by MMI or boosted MMI: DATA LANG MODEL ALI "
                      "DENLATS EXP", _arguments("mmi"), _train("mmi")),
    "train-smbr": Verb("train a network on lattices by sMBR or MPFE: DATA LANG MODEL ALI DENLATS "
                       "EXP", _arguments("smbr"), _train("smbr")),
}
