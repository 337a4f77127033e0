"""Owns the verbs that measure a model on transcribed speech, and fit its scale and threshold."""

import argparse
import json
from pathlib import Path

from hybridasr.cli.search_options import (
    GRAPH_SCALES,
    add_commands,
    add_known,
    add_search,
    check_adaptation,
    check_commands,
    read_fillers,
    spot_options,
)
from hybridasr.cli.verb import Verb, add_nj, field_names, refuse


def _score_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.evaluation.sweep import SweepOptions
    from hybridasr.options import add_options

    parser.epilog = (
        "Scores text: DECODE/wer, and cer for hanzi. Where DECODE has lattices (lat.*.gz), every "
        "language-model weight (LMWT, 1 / acoustic scale) is scored with every penalty as in "
        "Kaldi's score.sh: wer_<LMWT>_<WIP>, cer_<LMWT>_<WIP>. The best is in "
        "DECODE/scoring_kaldi/best_wer; a test set that chooses its own scales looks a little "
        "better than it is.")
    add_options(parser, SweepOptions)
    parser.add_argument("data", type=Path, help="data directory with transcripts")
    parser.add_argument("graph", type=Path, nargs="?", help="graph or lang directory whose "
                        "words.txt the lattices have (default: the graph of the decoding)")
    parser.add_argument("decode", type=Path, help="decode directory")


def _score(args: argparse.Namespace) -> None:
    from hybridasr.batch.decode_dir import lattice_files
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.errors import UserError, require_extra
    from hybridasr.evaluation.evaluate import score_set
    from hybridasr.evaluation.sweep import SweepOptions, score_lattices
    from hybridasr.options import from_args
    from hybridasr.score.score_files import format_scores, format_wer

    # Before the data are read: without the package the work would be in vain.
    require_extra("rapidfuzz", "score", "error rates")
    options, data = from_args(SweepOptions, args), read_datadir(args.data)
    lattices = lattice_files(args.decode)
    if not lattices:
        mend = "leave it out, or decode with --write-lattices true"
        refuse(args, field_names(SweepOptions), f"on {args.decode}, which has no lattices", mend)
        if args.graph is not None:
            raise UserError(f"has no lattices, so that the words of {args.graph} have no effect; "
                            + mend, args.decode)
    if not lattices or (args.decode / "text").is_file():
        scores = score_set(data, args.decode)
    if not lattices:
        print(format_scores(scores))
        return
    sweep = score_lattices(data, args.decode, options, args.graph)
    first, *others = format_scores(sweep.best.words).splitlines()
    print(f"{first} {args.decode / 'wer'}{sweep.best.suffix}", *others, sep="\n")
    if sweep.best_cer is not None:
        print(f"{format_wer(sweep.best_cer.characters)} {args.decode / 'cer'}"
              f"{sweep.best_cer.suffix}")


def _evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    add_search(parser)
    add_commands(parser)
    add_known(parser, "all")
    add_nj(parser)
    parser.add_argument("--graph", type=Path, help="graph directory (MODEL/graph)")
    parser.add_argument("--homophones", action="store_true",
                        help="words of equal pronunciation count as right for each other")
    parser.add_argument("model", type=Path, help="model directory, e.g. exp/mono")
    parser.add_argument("data", type=Path, help="data directory; features of the model's kind are "
                        "made into DATA/.features if it has none")


def _evaluate(args: argparse.Namespace) -> None:
    from hybridasr.batch.spot_set import CommandList
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.decode.search import SearchOptions
    from hybridasr.evaluation.evaluate import evaluate, graph_lang, homophone_classes
    from hybridasr.evaluation.spotting import evaluate_commands
    from hybridasr.grammar.command_file import read_command_file
    from hybridasr.model.adaptation import AdaptOptions
    from hybridasr.options import from_args
    from hybridasr.parallel import executor

    check_commands(args, ("graph", "homophones"))
    check_adaptation(args, args.model)
    data, fillers = read_datadir(args.data), read_fillers(args)
    with executor(args.nj) as pool:
        if args.commands:
            commands = CommandList(tuple(read_command_file(args.commands)), tuple(fillers))
            row = evaluate_commands(args.model, [data], commands, args.model /
                                    f"commands_{args.data.name}", pool, spot_options(args))
        else:
            graph = args.graph or args.model / "graph"
            # Homophones are known from the graph's lexicon, because the transcripts have no
            # phones.
            classes = (homophone_classes(graph_lang(args.model, graph)) if args.homophones
                       else None)
            row = evaluate(args.model, graph, data,
                           args.model / f"decode_{args.data.name}",
                           from_args(SearchOptions, args), pool, classes,
                           from_args(AdaptOptions, args), args.known)
    print(json.dumps([row], ensure_ascii=False, indent=2))


def _tune_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.decode.search import SearchOptions
    from hybridasr.options import add_options

    add_options(parser, SearchOptions)
    add_nj(parser)
    parser.add_argument("--graph", type=Path, help="graph directory (MODEL/graph)")
    parser.add_argument("--held-out", action="store_true", help="of DATA, the training set, take "
                        "the utterances that the network was not trained on")
    parser.add_argument("--penalties", metavar="X,X", help="word insertion penalties to choose "
                        "from as well, with commas between, such as 0,0.5,1 (default: the model's "
                        "own)")
    parser.add_argument("model", type=Path, help="model directory, e.g. exp/dnn")
    parser.add_argument("data", type=Path, help="data directory with transcripts")


def _tune(args: argparse.Namespace) -> None:
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.decode.search import SearchOptions
    from hybridasr.evaluation.sweep import SweepOptions
    from hybridasr.evaluation.tune import held_out, tune_scale
    from hybridasr.options import from_args
    from hybridasr.parallel import executor

    refuse(args, ["acoustic_scale"], "on tune-scale, which chooses it")
    penalties: tuple[float | None, ...] = (None,)
    if args.penalties is not None:
        refuse(args, ["word_ins_penalty"], "with --penalties, of which it is chosen")
        penalties = tuple(map(float, SweepOptions(word_ins_penalty=args.penalties).penalties))
    data = read_datadir(args.data)
    with executor(args.nj) as pool:
        best, rates = tune_scale(args.model, args.graph or args.model / "graph",
                                 held_out(args.model, data) if args.held_out else data, pool,
                                 from_args(SearchOptions, args), penalties=penalties)
    for pair, rate in rates.items():
        scale, penalty = pair
        print(f"{scale:.3f}  {'' if penalty is None else f'{penalty:5.2f}  '}{rate:6.2f} %"
              f"{'  stored' if pair == best else ''}")


def _calibrate_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.confidence.calibrator import CalibrationOptions
    from hybridasr.evaluation.calibrate import DrawOptions
    from hybridasr.options import add_options

    add_search(parser)
    add_commands(parser, "lists drawn from the transcripts")
    add_known(parser, "none")
    add_options(parser, DrawOptions)
    add_options(parser, CalibrationOptions)
    add_nj(parser)
    parser.add_argument("--held-out", action="store_true", help="of DATA, the training set, take "
                        "the utterances that the network was not trained on")
    parser.add_argument("--background", type=Path, action="append", default=[], metavar="PATH",
                        help="recordings in which nobody says a command, an hour or more of other "
                        "speech and noise: files, folders or data directories; may be given again")
    parser.add_argument("--plots", type=Path, metavar="DIR",
                        help="draw reliability, DET and ROC curves there")
    parser.add_argument("model", type=Path, help="model directory, e.g. exp/dnn")
    parser.add_argument("data", type=Path, help="data directory with transcripts, of speakers that "
                        "the model was not trained on")


def _calibrate(args: argparse.Namespace) -> None:
    from hybridasr.batch.spot_set import CommandList
    from hybridasr.confidence.calibrator import CalibrationOptions
    from hybridasr.corpus.background import background_utterances
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.errors import require_extra
    from hybridasr.evaluation.calibrate import DrawOptions, calibrate
    from hybridasr.evaluation.tune import held_out
    from hybridasr.grammar.command_file import read_command_file
    from hybridasr.options import from_args
    from hybridasr.parallel import executor

    # Before hours of decoding, not after.
    if args.plots:
        require_extra("matplotlib", "plots", "pictures")
    refuse(args, ["threshold"], "on calibrate, which chooses it")
    if not args.background:
        refuse(args, ["false_accepts_per_hour"], "without --background")
    refuse(args, GRAPH_SCALES, "on calibrate, which recognises command lists")
    check_adaptation(args, args.model)
    commands = None
    if args.commands:
        refuse(args, field_names(DrawOptions), "with --commands, which is the list")
    else:
        refuse(args, ["fillers", "lexicon"], "without a command list", "give --commands FILE too")
    # Read in this process, so that a faulty list is told before workers start.
    data, fillers = read_datadir(args.data), read_fillers(args)
    if args.commands:
        commands = CommandList(tuple(read_command_file(args.commands)), tuple(fillers))
    with executor(args.nj) as pool:
        _, report = calibrate(args.model, held_out(args.model, data) if args.held_out else data,
                              pool, commands, from_args(DrawOptions, args),
                              from_args(CalibrationOptions, args), spot_options(args),
                              background_utterances(args.background))
    if args.plots:
        from hybridasr.plots import draw_det, draw_reliability, draw_roc

        draw_reliability(report.trials.probabilities, report.trials.labels,
                         args.plots / "reliability.png")
        curves = {args.model.name: report.trials.curve()}
        counts = {args.model.name: report.trials.right_and_outside}
        draw_det(curves, args.plots / "det.png", counts)
        draw_roc(curves, args.plots / "roc.png", counts)
    print(json.dumps(report.figures, indent=2))


VERBS = {
    "score": Verb("word error rates of a decode directory", _score_arguments, _score),
    "tune-scale": Verb("choose the acoustic scale on held-out speech; stored in the model",
                       _tune_arguments, _tune),
    "calibrate": Verb("fit the probability of commands and its threshold; stored in the model",
                      _calibrate_arguments, _calibrate),
    "evaluate": Verb("decode and score a data directory; rows of results.json on stdout",
                     _evaluate_arguments, _evaluate),
}
