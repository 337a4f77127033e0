"""Owns the kinds of pictures that show figures of whole sets: trainings, errors, decisions."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hybridasr.cli.verb import Verb, refuse

if TYPE_CHECKING:
    from hybridasr.score.detection import Trials


def _several(parser: argparse.ArgumentParser, name: str, what: str) -> None:
    """Add one or more inputs, and the picture behind them."""
    parser.add_argument(name, type=Path, nargs="+", help=what)
    parser.add_argument("picture", type=Path, help="the file to write: .svg, .png or .pdf")


def _training_arguments(parser: argparse.ArgumentParser) -> None:
    _several(parser, "exp", "directories of trained systems, e.g. exp/mono")


def _training(args: argparse.Namespace) -> None:
    from hybridasr.errors import UserError
    from hybridasr.plots import draw_training
    from hybridasr.train.history import FILE, read_history

    histories = {}
    for path in args.exp:
        rows = read_history(path)
        if not rows:
            raise UserError(f"has no {FILE}: no training, or one of an earlier version; train it "
                            "again", path)
        histories[path.name if path.name not in histories else str(path)] = rows
    # Rounds of networks and iterations of mixtures have nothing in common.
    if len({"round" in rows[0] for rows in histories.values()}) > 1:
        raise UserError("mixtures and networks have different curves; draw them apart")
    draw_training(histories, args.picture)


def _confusion_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--unit", choices=("word", "character", "phone"), default="word",
                        help="what is compared (word)")
    parser.add_argument("--model", type=Path, help="model directory whose lexicon has the phones "
                        "(that of the decoding)")
    parser.add_argument("--most", type=int, default=20, help="units with the most errors that are "
                        "shown (20)")
    parser.add_argument("data", type=Path, help="data directory with transcripts")
    parser.add_argument("decode", type=Path, help="decode directory")
    parser.add_argument("picture", type=Path, help="the file to write: .svg, .png or .pdf")


def _confusion(args: argparse.Namespace) -> None:
    from hybridasr.batch.decode_dir import read_record
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.errors import UserError
    from hybridasr.evaluation.evaluate import unit_confusions
    from hybridasr.lexicon.langdir import read_lang
    from hybridasr.plots import draw_confusion
    from hybridasr.plots.score_plots import confusion_matrix

    if args.most < 1:
        raise UserError(f"most is {args.most}; give 1 or more")
    lang = None
    if args.unit != "phone":
        refuse(args, ["model"], f"on {args.unit}s")
    else:
        model = args.model or read_record(args.decode).model
        if model is None:
            raise UserError("does not say with which model it was made; give --model DIR",
                            args.decode)
        lang = read_lang(model / "lang")
    rows = unit_confusions(read_datadir(args.data), args.decode, args.unit, lang)
    names, counts = confusion_matrix(
        ((row.reference, row.hypothesis, row.count) for row in rows), args.most)
    draw_confusion(names, counts, args.unit, args.picture)


def _results_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", type=Path, help="results.json, or a work directory that has it")
    parser.add_argument("picture", type=Path, help="the file to write: .svg, .png or .pdf")


def _rows(path: Path, *columns: str) -> list:
    from hybridasr.errors import UserError
    from hybridasr.plots.score_plots import measured_rows
    from hybridasr.score.result_table import read_results

    path = path / "results.json" if path.is_dir() else path
    rows = measured_rows(read_results(path), *columns)
    if not rows:
        raise UserError(f"has no row with {' and '.join(columns)}; give the results.json of a run "
                        "that scored", path)
    return rows


def _systems(args: argparse.Namespace) -> None:
    from hybridasr.plots import draw_systems

    draw_systems(_rows(args.results, "wer"), args.picture,
                 _rows(args.against, "wer") if args.against else ())


def _systems_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--against", type=Path, metavar="RESULTS",
                        help="of another run, whose rates are marked")
    _results_arguments(parser)


def _error_rates(args: argparse.Namespace) -> None:
    from hybridasr.plots import draw_error_rates

    draw_error_rates(_rows(args.results, "wer", "rtf"), args.picture)


def _trials_arguments(parser: argparse.ArgumentParser) -> None:
    _several(parser, "decisions", "directories that evaluate --commands writes, e.g. "
             "exp/dnn/commands_test")


def _trials(args: argparse.Namespace) -> "dict[str, Trials]":
    from hybridasr.evaluation.spotting import read_trials

    # The model's name where it tells them apart.
    short = {path: path.resolve().parent.name for path in args.decisions}
    unique = len(set(short.values())) == len(args.decisions)
    return {short[path] if unique else str(path): read_trials(path) for path in args.decisions}


def _reliability(args: argparse.Namespace) -> None:
    from hybridasr.errors import UserError
    from hybridasr.plots import draw_reliability

    if len(args.decisions) > 1:
        raise UserError("a reliability diagram is of one model; give one directory")
    trials, = _trials(args).values()
    draw_reliability(trials.probabilities, trials.labels, args.picture)


def _det(args: argparse.Namespace) -> None:
    from hybridasr.plots import draw_det

    _draw_curves(args, draw_det)


def _roc(args: argparse.Namespace) -> None:
    from hybridasr.plots import draw_roc

    _draw_curves(args, draw_roc)


def _draw_curves(args: argparse.Namespace, draw) -> None:
    trials = _trials(args)
    draw({name: one.curve() for name, one in trials.items()}, args.picture,
         {name: one.right_and_outside for name, one in trials.items()})


KINDS = {
    "training": Verb("curves of trainings: EXP... PICTURE", _training_arguments, _training),
    "confusion": Verb("which words, characters or phones are taken for which: DATA DECODE PICTURE",
                      _confusion_arguments, _confusion),
    "systems": Verb("error rates as bars with intervals: RESULTS PICTURE", _systems_arguments,
                    _systems),
    "error-rate": Verb("error rate against real-time factor: RESULTS PICTURE",
                       _results_arguments, _error_rates),
    "reliability": Verb("how true probabilities are: DECISIONS PICTURE", _trials_arguments,
                        _reliability),
    "det": Verb("misses against false accepts: DECISIONS... PICTURE", _trials_arguments, _det),
    "roc": Verb("hits against false accepts: DECISIONS... PICTURE", _trials_arguments, _roc),
}
