"""Owns the verbs of networks that write labels without alignments: CTC and the transducer."""

import argparse
from pathlib import Path

from hybridasr.cli.search_options import add_known
from hybridasr.cli.train import add_oov_share, read_training_set
from hybridasr.cli.verb import Verb, add_nj, check_output


def _ctc_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.options import add_options
    from hybridasr.train.ctc_trainer import CtcOptions

    parser.epilog = ("Writes a model directory like any other, and labels.txt: mkgraph, decode, "
                     "recognize and command lists take it, and decode-labels.")
    add_nj(parser)
    add_options(parser, CtcOptions)
    add_oov_share(parser)
    for name in ("data", "lang", "exp"):
        parser.add_argument(name, type=Path)


def _train_ctc(args: argparse.Namespace) -> None:
    from hybridasr.options import from_args, to_dict
    from hybridasr.parallel import executor
    from hybridasr.progress import job_log, logger
    from hybridasr.train.ctc_trainer import CtcOptions, label_line, train_ctc

    options, log = from_args(CtcOptions, args), args.exp / "log" / "train.log"
    with executor(args.nj) as pool, job_log(log, "hybridasr train-ctc", to_dict(options)):
        model = train_ctc(*read_training_set(args.data, args.lang, args.max_oov_share), args.exp,
                          pool, options, args.nj)
        logger.info("%s", label_line(args.exp, model.info))


def _transducer_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.options import add_options
    from hybridasr.train.transducer_trainer import TransducerTrainOptions

    parser.epilog = ("Writes the CTC model of the encoder as it is then, which all verbs take, and "
                     "transducer.json and transducer.npz, which decode-labels takes.")
    add_nj(parser)
    add_options(parser, TransducerTrainOptions)
    parser.add_argument("data", type=Path, help="data directory with features of the CTC model's "
                        "kind")
    parser.add_argument("ctc", type=Path, help="model directory of train-ctc: the encoder")
    parser.add_argument("exp", type=Path, help="the directory to write")


def _train_transducer(args: argparse.Namespace) -> None:
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.options import from_args, to_dict
    from hybridasr.parallel import executor
    from hybridasr.progress import job_log, logger
    from hybridasr.train.transducer_trainer import (
        TransducerTrainOptions,
        train_transducer,
        transducer_line,
    )

    check_output(args.exp, [args.ctc, args.data])
    options, log = from_args(TransducerTrainOptions, args), args.exp / "log" / "train.log"
    with executor(args.nj) as pool, job_log(log, "hybridasr train-transducer", to_dict(options)):
        model = train_transducer(read_datadir(args.data), args.ctc, args.exp, pool, options,
                                 args.nj)
        logger.info("%s", transducer_line(args.exp, model.info))


def _decode_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.batch.label_decode import LabelDecodeOptions
    from hybridasr.options import add_options

    parser.epilog = ("Writes labels, reference and summary.json into DECODE and prints the label "
                     "error rate, as score does that of words.")
    add_nj(parser)
    add_options(parser, LabelDecodeOptions)
    add_known(parser, "all")
    parser.add_argument("model", type=Path, help="model directory of train-ctc or train-transducer")
    parser.add_argument("data", type=Path, help="data directory with transcripts")
    parser.add_argument("decode", type=Path, help="the directory to write")


def _decode_labels(args: argparse.Namespace) -> None:
    from hybridasr.batch.label_decode import LabelDecodeOptions, decode_labels
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.options import from_args
    from hybridasr.parallel import executor

    check_output(args.decode, [args.model, args.data])
    with executor(args.nj) as pool:
        scores, summary = decode_labels(args.model, read_datadir(args.data), args.decode, pool,
                                        from_args(LabelDecodeOptions, args), args.known)
    parts = ", ".join(f"{scores.count(mark)} {word}" for mark, word in
                      (("I", "ins"), ("D", "del"), ("S", "sub")))
    print(f"%LER {summary['ler']:.2f} [ {scores.errors} / {scores.words}, {parts} ]")


VERBS = {
    "train-ctc": Verb("train a network by CTC, without alignments: DATA LANG EXP",
                      _ctc_arguments, _train_ctc),
    "train-transducer": Verb("train a transducer on the encoder of a CTC model: DATA CTC EXP",
                             _transducer_arguments, _train_transducer),
    "decode-labels": Verb("write the labels of a data directory, with no lexicon: MODEL DATA "
                          "DECODE", _decode_arguments, _decode_labels),
}
