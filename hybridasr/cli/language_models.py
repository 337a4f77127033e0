"""Owns the verbs on n-gram language models: estimate, prune, interpolate, convert, perplexity."""

import argparse
import json
from pathlib import Path

from hybridasr.cli.verb import Verb, check_output, refuse
from hybridasr.errors import UserError

_OUTPUT = ("the model to write: ARPA text, gzipped if the name ends in .gz, or a binary file that "
           "is mapped into memory if it ends in .bin")
SUM_ERROR = 1e-3  # by which weights may miss the sum of one, for rounding
_INPUT = "language model: ARPA text, plain or gzipped, or a binary file"


def _add_ids(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ids", choices=("true", "false"), help="whether lines begin with an id "
                        "(true for a data directory and its text, false for any other file)")


def _find_text(args: argparse.Namespace, path: Path) -> tuple[Path, bool]:
    from hybridasr.lm.sentences import find_text

    return find_text(path, None if args.ids is None else args.ids == "true")


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.lm.estimate import LmOptions
    from hybridasr.options import add_options

    add_options(parser, LmOptions)
    parser.add_argument("--vocabulary", type=Path, metavar="FILE", help="the words of the model, "
                        "first on each line; words.txt of a lang directory will do")
    _add_ids(parser)
    parser.add_argument("text", type=Path, help="data directory, or a text of one sentence a "
                        "line, plain or gzipped")
    parser.add_argument("arpa", type=Path, help=_OUTPUT)


def _train_lm(args: argparse.Namespace) -> None:
    from hybridasr.lm.estimate import LmOptions, estimate_from_file, read_vocabulary
    from hybridasr.lm.model_file import write_ngram
    from hybridasr.options import from_args
    from hybridasr.progress import logger

    options = from_args(LmOptions, args)
    vocabulary = None
    if args.vocabulary is not None:
        refuse(args, ["min_count"], "with --vocabulary, which tells the words")
        vocabulary = read_vocabulary(args.vocabulary)
    text, ids = _find_text(args, args.text)
    check_output(args.arpa, [text])
    model, description = estimate_from_file(text, options, vocabulary, ids)
    write_ngram(args.arpa, model)
    logger.info("%s: %s", args.arpa, description)


def _prune_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threshold", type=float, default=1e-8, help="relative growth of the "
                        "perplexity that an n-gram must be worth (1e-8)")
    parser.epilog = ("By relative entropy (Stolcke 1998). A Kneser-Ney model loses more by it than "
                     "a Katz or Witten-Bell model; compare with 'hybridasr perplexity'.")
    parser.add_argument("arpa", type=Path, help=_INPUT)
    parser.add_argument("pruned", type=Path, help=_OUTPUT)


def _prune_lm(args: argparse.Namespace) -> None:
    from hybridasr.lm.model_file import read_ngram, write_ngram
    from hybridasr.lm.prune_ngram import prune_ngram
    from hybridasr.progress import logger

    check_output(args.pruned, [args.arpa])
    model = read_ngram(args.arpa)
    smaller = prune_ngram(model, args.threshold)
    write_ngram(args.pruned, smaller)
    logger.info("%s: %s", args.pruned, ", ".join(
        f"{after} of {before} {order}-grams" for order, (after, before)
        in enumerate(zip(smaller.num_ngrams, model.num_ngrams, strict=True), 1)))


def _interpolate_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--held-out", type=Path, metavar="TEXT", help="find the weights with which "
                       "this text is most likely; none of the models may have seen it")
    group.add_argument("--weights", metavar="X,X", help="the weights, one a model")
    _add_ids(parser)
    parser.add_argument("models", type=Path, nargs="+", help=_INPUT)
    parser.add_argument("mixture", type=Path, help=_OUTPUT)


def _interpolate_lm(args: argparse.Namespace) -> None:
    from hybridasr.lm.interpolate import estimate_weights, interpolate_ngrams
    from hybridasr.lm.model_file import read_ngram, write_ngram
    from hybridasr.lm.token_store import WordIds, file_tokens
    from hybridasr.progress import logger

    if len(args.models) < 2:
        raise UserError("one model has nothing to be interpolated with; give two or more, and the "
                        "file to write")
    if args.weights is not None:
        refuse(args, ["ids"], "with --weights, for which no text is read")
    check_output(args.mixture, args.models)
    models = [read_ngram(path) for path in args.models]
    if args.weights is not None:
        weights, told = _numbers(args.weights), ""
    else:
        text, skip_first = _find_text(args, args.held_out)
        ids = WordIds()
        weights, perplexity = estimate_weights(models, file_tokens(text, ids, skip_first), ids)
        told = f"; perplexity of {text} {perplexity:.2f} without unknown words"
    write_ngram(args.mixture, interpolate_ngrams(models, weights))
    logger.info("%s: %s%s", args.mixture, " + ".join(
        f"{weight:.4f} {path}" for weight, path in zip(weights, args.models, strict=True)), told)


def _numbers(text: str) -> list[float]:
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--weights {text}; give numbers with commas between, e.g. 0.7,0.3"
                        ) from None
    if not abs(sum(weights) - 1) < SUM_ERROR:
        raise UserError(f"--weights {text} sum to {sum(weights):g}; give shares that sum to 1, "
                        "e.g. 0.7,0.3")
    return weights


def _perplexity_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--per-sentence", action="store_true", help="one row a sentence, too")
    _add_ids(parser)
    parser.epilog = ("Prints JSON. Ends of sentences count as words; null stands for infinite "
                     "(a word that the model lacks is impossible, unless the model has <UNK>).")
    parser.add_argument("arpa", type=Path, help=_INPUT)
    parser.add_argument("text", type=Path, help="data directory, or a text of one sentence a line")


def _perplexity(args: argparse.Namespace) -> None:
    from hybridasr.lm.model_file import read_ngram
    from hybridasr.lm.perplexity import TextScore, score_tokens
    from hybridasr.lm.token_store import WordIds, file_tokens

    model = read_ngram(args.arpa)
    text, skip_first = _find_text(args, args.text)
    ids, total = WordIds(), TextScore()
    for score in score_tokens(model, file_tokens(text, ids, skip_first), ids):
        total += score
        if args.per_sentence:
            print(json.dumps({"sentence": total.sentences, **score.row()}))
    if not total.sentences:
        raise UserError("holds no word; write a sentence a line", text)
    print(json.dumps(total.row()))


def _convert_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("arpa", type=Path, help=_INPUT)
    parser.add_argument("converted", type=Path, help=_OUTPUT)


def _convert_lm(args: argparse.Namespace) -> None:
    from hybridasr.lm.model_file import read_ngram, write_ngram
    from hybridasr.progress import logger

    check_output(args.converted, [args.arpa])
    model = read_ngram(args.arpa, check=True)
    write_ngram(args.converted, model)
    logger.info("%s: %s", args.converted, ", ".join(
        f"{count} {order}-grams" for order, count in enumerate(model.num_ngrams, 1)))


VERBS = {
    "train-lm": Verb("n-gram language model of a text, as ARPA or binary", _train_arguments,
                     _train_lm),
    "prune-lm": Verb("make a language model smaller, by relative entropy", _prune_arguments,
                     _prune_lm),
    "interpolate-lm": Verb("mix language models into one, with weights from held-out text",
                           _interpolate_arguments, _interpolate_lm),
    "convert-lm": Verb("ARPA text to a binary that is mapped into memory, or back",
                       _convert_arguments, _convert_lm),
    "perplexity": Verb("perplexity of a text under a language model", _perplexity_arguments,
                       _perplexity),
}
