"""Owns the verbs on language models: estimate, train, prune, interpolate, convert, perplexity."""

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


def _nnlm_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.nnlm.lm_trainer import HELD_OUT_SHARE, NnlmTrainOptions
    from hybridasr.options import add_options

    add_options(parser, NnlmTrainOptions)
    parser.add_argument("--vocabulary", type=Path, metavar="FILE", help="the words of the model, "
                        "first on each line; words.txt of a lang directory will do (those of the "
                        "text)")
    parser.add_argument("--held-out", type=Path, metavar="TEXT", help="text that tells the best "
                        f"epoch ({100 * HELD_OUT_SHARE:.0f} %% of the sentences, which are not "
                        "learned)")
    parser.add_argument("--nj", type=int, default=1, help="threads (1); the model is the same for "
                        "any number")
    _add_ids(parser)
    parser.epilog = ("Words outside of the vocabulary are <UNK>. OUT holds the best epoch so far, "
                     "and log/train.log. Mixed with an n-gram model of the same text it is better "
                     "than both.")
    parser.add_argument("text", type=Path, help="data directory, or a text of one sentence a "
                        "line, plain or gzipped")
    parser.add_argument("out", type=Path, help="the directory to write")


def _train_nnlm(args: argparse.Namespace) -> None:
    from hybridasr.checkpoint import CHECKPOINT
    from hybridasr.lm.estimate import read_vocabulary
    from hybridasr.nnet.products import product_threads
    from hybridasr.nnlm.lm_trainer import LmText, NnlmTrainOptions, train_neural_lm
    from hybridasr.nnlm.nnlm_directory import is_neural_lm, save_neural_lm
    from hybridasr.options import from_args, to_dict
    from hybridasr.progress import job_log, logger

    options = from_args(NnlmTrainOptions, args)
    if args.nj < 1:
        raise UserError(f"--nj {args.nj}; give 1 or more")
    # A lang directory has a words.txt, too, which would be written over.
    if args.out.exists() and not is_neural_lm(args.out) and not _left_by_training(args.out):
        raise UserError("is there already and no neural language model; give a new directory",
                        args.out)
    text = LmText.read(*_find_text(args, args.text))
    held_out = None if args.held_out is None else LmText.read(*_find_text(args, args.held_out))
    vocabulary = None if args.vocabulary is None else read_vocabulary(args.vocabulary)
    with job_log(args.out / "log" / "train.log", "hybridasr train-nnlm", to_dict(options)), \
            product_threads(args.nj):
        model, info = train_neural_lm(text, held_out, options, vocabulary,
                                      lambda *best: save_neural_lm(args.out, *best),
                                      args.out / CHECKPOINT)
    logger.info("%s: %s of %d columns, %d layers, of %d sentences, %d words (%d different); "
                "held-out perplexity %.2f after epoch %d", args.out, options.network.cell,
                options.network.dim, options.network.layers, info["sentences"], info["words"],
                len(model.words.words) - 2, info["held_out_perplexity"], info["epoch"])


def _left_by_training(directory: Path) -> bool:
    """Tell whether a training that did not end has left the directory."""
    from hybridasr.checkpoint import CHECKPOINT

    return directory.is_dir() and all(path.name in ("log", CHECKPOINT)
                                      for path in directory.iterdir())


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
    parser.add_argument("--ngram", type=Path, metavar="LM", help="score by the mixture of a neural "
                        "model with this n-gram model")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--weight", type=float, metavar="X", help="share of the neural model in it")
    group.add_argument("--held-out", type=Path, metavar="TEXT", help="find the share with which "
                       "this text is most likely")
    _add_ids(parser)
    parser.epilog = ("Prints JSON. Ends of sentences count as words; null stands for infinite "
                     "(a word that the model lacks is impossible, unless the model has <UNK>).")
    parser.add_argument("model", type=Path, help=_INPUT + ", or the directory of a neural model")
    parser.add_argument("text", type=Path, help="data directory, or a text of one sentence a line")


def _perplexity(args: argparse.Namespace) -> None:
    from hybridasr.lm.mixture import MixtureModel
    from hybridasr.lm.model_file import read_ngram
    from hybridasr.lm.perplexity import TextScore, score_tokens
    from hybridasr.lm.token_store import WordIds, file_tokens
    from hybridasr.nnlm.nnlm_directory import load_neural_lm

    neural = args.model.is_dir()
    if args.ngram is None:
        refuse(args, ["weight", "held_out"], "without --ngram", "give --ngram LM")
    elif not neural:
        raise UserError("--ngram is for a neural model; mix n-gram models with 'hybridasr "
                        "interpolate-lm'")
    elif args.weight is None and args.held_out is None:
        raise UserError("--ngram needs the share of the neural model; give --weight X or "
                        "--held-out TEXT")
    if args.weight is not None and not 0 <= args.weight <= 1:
        raise UserError(f"--weight {args.weight:g}; give a number from 0 to 1")
    model, added = load_neural_lm(args.model) if neural else read_ngram(args.model), {}
    if args.ngram is not None:
        models = read_ngram(args.ngram), model
        weight = args.weight if args.weight is not None else _held_out_weight(args, models)
        model, added = MixtureModel(models, (1 - weight, weight)), {"weight": round(weight, 4)}
    text, skip_first = _find_text(args, args.text)
    ids, total = WordIds(), TextScore()
    for score in score_tokens(model, file_tokens(text, ids, skip_first), ids):
        total += score
        if args.per_sentence:
            print(json.dumps({"sentence": total.sentences, **score.row()}))
    if not total.sentences:
        raise UserError("holds no word; write a sentence a line", text)
    print(json.dumps({**total.row(), **added}))


def _held_out_weight(args: argparse.Namespace, models: tuple) -> float:
    from hybridasr.lm.interpolate import estimate_weights
    from hybridasr.lm.token_store import WordIds, file_tokens

    text, skip_first = _find_text(args, args.held_out)
    ids = WordIds()
    return float(estimate_weights(models, file_tokens(text, ids, skip_first), ids)[0][1])


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
    "train-nnlm": Verb("neural language model of a text", _nnlm_arguments, _train_nnlm),
    "prune-lm": Verb("make a language model smaller, by relative entropy", _prune_arguments,
                     _prune_lm),
    "interpolate-lm": Verb("mix language models into one, with weights from held-out text",
                           _interpolate_arguments, _interpolate_lm),
    "convert-lm": Verb("ARPA text to a binary that is mapped into memory, or back",
                       _convert_arguments, _convert_lm),
    "perplexity": Verb("perplexity of a text under a language model", _perplexity_arguments,
                       _perplexity),
}
