"""Owns the verbs that train systems, named as Kaldi's steps/train_*.sh."""

import argparse
from collections.abc import Callable
from pathlib import Path

from hybridasr.cli.verb import Verb, add_nj


def _mono_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.features.pipeline import PipelineOptions
    from hybridasr.options import add_options
    from hybridasr.train.mono import MonoOptions

    add_nj(parser)
    add_options(parser, MonoOptions)
    add_options(parser, PipelineOptions)
    for name in ("data", "lang", "exp"):
        parser.add_argument(name, type=Path)


def _train_mono(args: argparse.Namespace) -> None:
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.features.pipeline import PipelineOptions, read_feature_options
    from hybridasr.lexicon.langdir import read_lang
    from hybridasr.options import from_args, to_dict
    from hybridasr.parallel import executor
    from hybridasr.progress import job_log, logger
    from hybridasr.train.em import training_line
    from hybridasr.train.mono import MonoOptions, train_mono

    options = from_args(MonoOptions, args)
    log = args.exp / "log" / "train.log"
    with executor(args.nj) as pool, job_log(log, "hybridasr train-mono", to_dict(options)):
        model = train_mono(read_datadir(args.data), read_lang(args.lang),
                           read_feature_options(args.data), from_args(PipelineOptions, args),
                           args.exp, pool, options)
        logger.info("%s", training_line(args.exp, model.info, args.nj))


def _arguments(kind: str) -> Callable[[argparse.ArgumentParser], None]:
    def add(parser: argparse.ArgumentParser) -> None:
        from hybridasr.options import add_options
        from hybridasr.train.systems import KINDS

        add_nj(parser)
        add_options(parser, KINDS[kind].options)
        parser.add_argument("paths", nargs="+", metavar="[NUMLEAVES TOTGAUSS] DATA LANG ALI EXP",
                            help="sizes as in Kaldi's steps (or --numleaves and --totgauss); data "
                            "and lang directories; an earlier system or alignment directory; "
                            "where the new one goes")

    return add


def _train(kind: str) -> Callable[[argparse.Namespace], None]:
    def run(args: argparse.Namespace) -> None:
        from hybridasr.corpus.datadir import read_datadir
        from hybridasr.errors import UserError
        from hybridasr.lexicon.langdir import read_lang
        from hybridasr.options import from_args, to_dict
        from hybridasr.parallel import executor
        from hybridasr.progress import job_log, logger
        from hybridasr.train.em import training_line
        from hybridasr.train.systems import KINDS

        words = list(args.paths)
        if len(words) == 6 and words[0].isdecimal() and words[1].isdecimal():
            args.numleaves, args.totgauss = int(words[0]), int(words[1])
            words = words[2:]
        if len(words) != 4:
            raise UserError(f"train-{kind} wants [NUMLEAVES TOTGAUSS] DATA LANG ALI EXP, "
                            f"{len(args.paths)} arguments are there")
        data, lang, source, destination = map(Path, words)
        options = from_args(KINDS[kind].options, args)
        log = destination / "log" / "train.log"
        with executor(args.nj) as pool, job_log(log, f"hybridasr train-{kind}", to_dict(options)):
            model = KINDS[kind].train(read_datadir(data), read_lang(lang), source, destination,
                                      pool, options)
            logger.info("%s", training_line(destination, model.info, args.nj))

    return run


_HELP = {
    "deltas": "train triphones on features with deltas",
    "lda-mllt": "train triphones on LDA+MLLT features",
    "sat": "train a speaker-adaptive system (fMLLR)",
    "quick": "train a new tree on a speaker-adaptive system, without starting over",
}
VERBS = {
    "train-mono": Verb("train a monophone GMM-HMM: DATA LANG EXP", _mono_arguments, _train_mono),
    **{f"train-{kind}": Verb(f"{text}: DATA LANG ALI EXP", _arguments(kind), _train(kind))
       for kind, text in _HELP.items()},
}
