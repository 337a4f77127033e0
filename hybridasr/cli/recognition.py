"""Owns the verbs that make and use systems: language, graphs, decoding, recognition."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hybridasr.cli.verb import Verb, add_nj

if TYPE_CHECKING:
    from hybridasr.batch.spot_set import SpotOptions


def _lang_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.lexicon.langdir import LangOptions
    from hybridasr.options import add_options

    parser.add_argument("--lexicon", type=Path, metavar="FILE",
                        help="own pronunciations (<word> <phone> ...), which win over all others")
    parser.add_argument("--oov", default="error", choices=("error", "guess", "spn"),
                        help="a word without pronunciation: stop, guess, or spoken noise (error)")
    add_options(parser, LangOptions)
    parser.add_argument("words", type=Path, nargs="+",
                        help="data directories (their text) and command lists")
    parser.add_argument("lang", type=Path, help="the lang directory to write")


def _prepare_lang(args: argparse.Namespace) -> None:
    from hybridasr.graph.mklang import make_lang
    from hybridasr.lexicon.langdir import LangOptions
    from hybridasr.options import from_args

    make_lang(args.words, args.lang, from_args(LangOptions, args), args.oov, args.lexicon)


def _lm_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--order", type=int, default=3, help="longest n-gram, 1 to 3 (3)")
    parser.add_argument("text", type=Path, help="data directory, or its text file")
    parser.add_argument("arpa", type=Path, help="the ARPA file to write")


def _train_lm(args: argparse.Namespace) -> None:
    from hybridasr.lm.arpa import write_arpa
    from hybridasr.lm.ngram import estimate_ngram
    from hybridasr.storage import read_text

    path = args.text / "text" if args.text.is_dir() else args.text
    sentences = [line.split()[1:] for line in read_text(path).splitlines()]
    write_arpa(args.arpa, estimate_ngram(sentences, args.order))


def _graph_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.graph.mkgraph import KINDS
    from hybridasr.graph.self_loops import GraphOptions
    from hybridasr.options import add_options

    parser.add_argument("--grammar", default="commands", choices=KINDS, help="commands: one an "
                        "utterance; loop: any number; ngram: from --arpa (commands)")
    parser.add_argument("--commands", type=Path, metavar="FILE",
                        help="command list (default: every word of the model's lexicon)")
    parser.add_argument("--arpa", type=Path, metavar="FILE", help="language model for ngram")
    add_options(parser, GraphOptions)
    parser.add_argument("model", type=Path, help="model directory, e.g. exp/mono")
    parser.add_argument("graph", type=Path, nargs="?", help="graph directory (MODEL/graph)")


def _mkgraph(args: argparse.Namespace) -> None:
    from hybridasr.graph.mkgraph import grammar_phrases, make_graph
    from hybridasr.graph.self_loops import GraphOptions
    from hybridasr.model.acoustic import load_model
    from hybridasr.options import from_args
    from hybridasr.progress import logger

    model = load_model(args.model)
    phrases = grammar_phrases(model.lang, args.commands) if args.grammar != "ngram" else ()
    logger.info("%s", make_graph(model.lang, model.transitions, model.tree,
                                 args.graph or args.model / "graph", args.grammar, phrases,
                                 args.arpa, from_args(GraphOptions, args)))


def _search_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.decode.search import SearchOptions
    from hybridasr.model.adaptation import AdaptOptions
    from hybridasr.options import add_options

    add_options(parser, SearchOptions)
    add_options(parser, AdaptOptions)


def _command_arguments(parser: argparse.ArgumentParser,
                       default: str = "the graph of the model") -> None:
    from hybridasr.confidence.command_grammar import RejectOptions
    from hybridasr.options import add_options

    parser.add_argument("--commands", type=Path, metavar="FILE",
                        help="command list: one of them is recognised, or none (default: "
                        f"{default})")
    parser.add_argument("--fillers", type=Path, metavar="FILE",
                        help="list of words and phrases that are no commands")
    add_options(parser, RejectOptions)


def _fillers(args: argparse.Namespace) -> list[str]:
    from hybridasr.corpus.command_list import read_commands
    from hybridasr.errors import UserError

    if args.fillers is None:
        return []
    if args.commands is None:
        raise UserError("--fillers are beside a command list; give --commands FILE too")
    return [filler.text for filler in read_commands(args.fillers)]


def _decode_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.batch.decode_set import DecodeOutput
    from hybridasr.options import add_options

    parser.epilog = (
        "Writes text, ctm (a word a line: <recording> <channel> <start> <dur> <word> [<conf>], "
        "times in the recording; conf with --write-lattices), summary.json, log/decode.log and, "
        "if asked for, lat.1.gz.")
    _search_arguments(parser)
    add_options(parser, DecodeOutput)
    add_nj(parser)
    parser.add_argument("--model", type=Path, help="model directory (default: above the graph)")
    for name in ("graph", "data", "decode"):
        parser.add_argument(name, type=Path)


def _decode(args: argparse.Namespace) -> None:
    from hybridasr.batch.decode_set import DecodeOutput, decode_set
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.decode.search import SearchOptions
    from hybridasr.model.adaptation import AdaptOptions
    from hybridasr.options import from_args
    from hybridasr.parallel import executor

    with executor(args.nj) as pool:
        decode_set(args.model or args.graph.parent, args.graph, read_datadir(args.data, False),
                   args.decode, from_args(SearchOptions, args), pool,
                   from_args(AdaptOptions, args), from_args(DecodeOutput, args))


def _score_arguments(parser: argparse.ArgumentParser) -> None:
    for name in ("data", "decode"):
        parser.add_argument(name, type=Path)


def _score(args: argparse.Namespace) -> None:
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.errors import require_extra
    from hybridasr.evaluation.evaluate import score_set
    from hybridasr.score.wer import format_scores

    require_extra("rapidfuzz", "score", "error rates")
    print(format_scores(score_set(read_datadir(args.data), args.decode)))


def _recognize_arguments(parser: argparse.ArgumentParser) -> None:
    _search_arguments(parser)
    _command_arguments(parser)
    parser.add_argument("--graph", type=Path, help="graph directory (MODEL/graph)")
    parser.add_argument("--channel", default="mix",
                        help="mix, or the channel's number from 0 (mix)")
    parser.add_argument("--strict-rate", action="store_true",
                        help="refuse another sampling rate instead of resampling")
    parser.add_argument("model", type=Path, help="model directory, e.g. exp/mono")
    parser.add_argument("audio", nargs="+", help="recordings that libsndfile reads")


def _recognize(args: argparse.Namespace) -> None:
    from hybridasr.confidence.command_grammar import RejectOptions
    from hybridasr.decode.search import SearchOptions
    from hybridasr.errors import UserError
    from hybridasr.model.adaptation import AdaptOptions
    from hybridasr.options import from_args
    from hybridasr.recognize.recognizer import load

    recognizer = load(args.model, from_args(SearchOptions, args), args.graph,
                      from_args(AdaptOptions, args), args.commands, _fillers(args),
                      from_args(RejectOptions, args))
    failures = []
    for path in args.audio:
        try:
            result = recognizer.recognize(path, channel=args.channel, strict_rate=args.strict_rate)
        except UserError as error:
            # The other files are still worth their lines.
            failures.append(str(error))
            continue
        print(json.dumps({"file": path, **result}, ensure_ascii=False), flush=True)
    for line in failures[:-1]:
        sys.stderr.write(f"error: {line}\n")
    if failures:
        raise UserError(failures[-1])


def _evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    _search_arguments(parser)
    _command_arguments(parser)
    add_nj(parser)
    parser.add_argument("--graph", type=Path, help="graph directory (MODEL/graph)")
    parser.add_argument("--homophones", action="store_true",
                        help="words of equal pronunciation count as right for each other")
    parser.add_argument("model", type=Path, help="model directory, e.g. exp/mono")
    parser.add_argument("data", type=Path, help="data directory; features of the model's kind are "
                        "made into DATA/.features if it has none")


def _evaluate(args: argparse.Namespace) -> None:
    from hybridasr.batch.spot_set import CommandList
    from hybridasr.corpus.command_list import read_commands
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.decode.search import SearchOptions
    from hybridasr.errors import UserError
    from hybridasr.evaluation.evaluate import evaluate, homophone_classes
    from hybridasr.evaluation.spotting import evaluate_commands
    from hybridasr.lexicon.langdir import read_lang
    from hybridasr.model.adaptation import AdaptOptions
    from hybridasr.options import from_args
    from hybridasr.parallel import executor

    data, fillers = read_datadir(args.data), _fillers(args)
    without_effect = [name for name, value in (("--graph", args.graph),
                                               ("--homophones", args.homophones)) if value]
    if args.commands and without_effect:
        raise UserError(f"{without_effect[0]} has no effect with --commands, where no graph is "
                        "read and no words are counted; leave out one of the two")
    with executor(args.nj) as pool:
        if args.commands:
            commands = CommandList(tuple(read_commands(args.commands)), tuple(fillers))
            row = evaluate_commands(args.model, [data], commands, args.model /
                                    f"commands_{args.data.name}", pool, _spot_options(args))
        else:
            classes = homophone_classes(read_lang(args.model / "lang")) if args.homophones else None
            row = evaluate(args.model, args.graph or args.model / "graph", data,
                           args.model / f"decode_{args.data.name}",
                           from_args(SearchOptions, args), pool, classes,
                           from_args(AdaptOptions, args))
    print(json.dumps([row], ensure_ascii=False, indent=2))


def _spot_options(args: argparse.Namespace) -> "SpotOptions":
    from hybridasr.batch.spot_set import SpotOptions
    from hybridasr.confidence.command_grammar import RejectOptions
    from hybridasr.decode.search import SearchOptions
    from hybridasr.model.adaptation import AdaptOptions
    from hybridasr.options import from_args

    return SpotOptions(from_args(SearchOptions, args), from_args(AdaptOptions, args),
                       from_args(RejectOptions, args))


def _calibrate_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.confidence.calibrator import CalibrationOptions
    from hybridasr.evaluation.calibrate import DrawOptions
    from hybridasr.options import add_options

    _search_arguments(parser)
    _command_arguments(parser, "lists drawn from the transcripts")
    add_options(parser, DrawOptions)
    add_options(parser, CalibrationOptions)
    add_nj(parser)
    parser.add_argument("--held-out", action="store_true", help="of DATA, the training set, take "
                        "the utterances that the network was not trained on")
    parser.add_argument("--plots", type=Path, metavar="DIR",
                        help="draw reliability, DET and ROC curves there")
    parser.add_argument("model", type=Path, help="model directory, e.g. exp/dnn")
    parser.add_argument("data", type=Path, help="data directory with transcripts, of speakers that "
                        "the model was not trained on")


def _calibrate(args: argparse.Namespace) -> None:
    from hybridasr.batch.spot_set import CommandList
    from hybridasr.confidence.calibrator import CalibrationOptions
    from hybridasr.corpus.command_list import read_commands
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.errors import require_extra
    from hybridasr.evaluation.calibrate import DrawOptions, calibrate
    from hybridasr.evaluation.tune import held_out
    from hybridasr.options import from_args
    from hybridasr.parallel import executor

    if args.plots:
        require_extra("matplotlib", "plots", "pictures")
    data, fillers = read_datadir(args.data), _fillers(args)
    commands = None
    if args.commands:
        commands = CommandList(tuple(read_commands(args.commands)), tuple(fillers))
    with executor(args.nj) as pool:
        _, report = calibrate(args.model, held_out(args.model, data) if args.held_out else data,
                              pool, commands, from_args(DrawOptions, args),
                              from_args(CalibrationOptions, args), _spot_options(args))
    if args.plots:
        from hybridasr.plots import draw_det, draw_reliability, draw_roc

        draw_reliability(report.trials.probabilities, report.trials.labels,
                         args.plots / "reliability.png")
        draw_det({args.model.name: report.trials.curve()}, args.plots / "det.png")
        draw_roc({args.model.name: report.trials.curve()}, args.plots / "roc.png")
    print(json.dumps(report.figures, indent=2))


def _tune_arguments(parser: argparse.ArgumentParser) -> None:
    _search_arguments(parser)
    add_nj(parser)
    parser.add_argument("--graph", type=Path, help="graph directory (MODEL/graph)")
    parser.add_argument("--held-out", action="store_true", help="of DATA, the training set, take "
                        "the utterances that the network was not trained on")
    parser.add_argument("model", type=Path, help="model directory, e.g. exp/dnn")
    parser.add_argument("data", type=Path, help="data directory with transcripts")


def _tune(args: argparse.Namespace) -> None:
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.decode.search import SearchOptions
    from hybridasr.evaluation.tune import held_out, tune_scale
    from hybridasr.options import from_args
    from hybridasr.parallel import executor

    data = read_datadir(args.data)
    with executor(args.nj) as pool:
        best, rates = tune_scale(args.model, args.graph or args.model / "graph",
                                 held_out(args.model, data) if args.held_out else data, pool,
                                 from_args(SearchOptions, args))
    for scale, rate in rates.items():
        print(f"{scale:.3f}  {rate:6.2f} %{'  stored' if scale == best else ''}")


VERBS = {
    "prepare-lang": Verb("lexicon and lang directory for the words of data and command lists",
                         _lang_arguments, _prepare_lang),
    "train-lm": Verb("n-gram language model with Witten-Bell smoothing, as ARPA",
                     _lm_arguments, _train_lm),
    "mkgraph": Verb("build the decoding graph of a model", _graph_arguments, _mkgraph),
    "decode": Verb("decode a data directory: GRAPH DATA DECODE", _decode_arguments, _decode),
    "score": Verb("word error rates of a decode directory", _score_arguments, _score),
    "recognize": Verb("recognise recordings; one line of JSON each",
                      _recognize_arguments, _recognize),
    "tune-scale": Verb("choose the acoustic scale on held-out speech; stored in the model",
                       _tune_arguments, _tune),
    "calibrate": Verb("fit the probability of commands and its threshold; stored in the model",
                      _calibrate_arguments, _calibrate),
    "evaluate": Verb("decode and score a data directory; rows of results.json on stdout",
                     _evaluate_arguments, _evaluate),
}
