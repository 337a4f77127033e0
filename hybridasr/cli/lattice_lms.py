"""Owns the verbs that put another language model's costs into lattices."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hybridasr.cli.lattice_tools import add_lattices
from hybridasr.cli.verb import Verb, check_output

if TYPE_CHECKING:
    from hybridasr.batch.decode_dir import LatticeSource
    from hybridasr.lattice.lm_rescore import LmCosts

WEIGHT, MAX_ORDER = 0.5, 4


def _add_models(parser: argparse.ArgumentParser, new: str, new_help: str) -> None:
    add_lattices(parser)
    for name, text in (("old_lm", "the language model that the lattices were decoded with: ARPA or "
                        "binary, a graph directory, or its G.fst"), (new, new_help)):
        parser.add_argument(name, type=Path, help=text)
    parser.add_argument("out", type=Path, help="the archive to write")
    parser.add_argument("--words", type=Path, help="words.txt, or the graph or lang directory that "
                        "has it (the graph of the decoding)")
    parser.epilog = "OUT named lat.1.gz lies in a decode directory, and can be scored."


def _lmrescore_arguments(parser: argparse.ArgumentParser) -> None:
    _add_models(parser, "new_lm", "the one that takes its place, in any of these forms")


def _lmrescore(args: argparse.Namespace) -> None:
    from hybridasr.batch.lattice_rescore import exchanged, rescore_set
    from hybridasr.batch.lm_costs import read_lm_costs

    source = _open(args)
    old, new = (read_lm_costs(path, source.names) for path in (args.old_lm, args.new_lm))
    rescore_set(source, old, exchanged(new), args.out, args.old_lm, args.new_lm)


def _nnlm_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--weight", type=float, default=WEIGHT, metavar="X", help="share of the "
                       f"neural model; the old model has the rest ({WEIGHT})")
    group.add_argument("--held-out", type=Path, metavar="TEXT", help="find the share with which "
                       "this text is most likely; none of the models may have seen it")
    parser.add_argument("--max-ngram-order", type=int, default=MAX_ORDER, metavar="N",
                        help="histories with the same last N - 1 words are one to the neural model "
                        f"({MAX_ORDER}); more are slower")
    parser.add_argument("--beam", type=float, metavar="X", help="leave out before what is so much "
                        "worse than the best path, as lattice-prune does (nothing)")
    _add_models(parser, "nnlm", "directory of a neural language model, of train-nnlm")


def _nnlm(args: argparse.Namespace) -> None:
    from hybridasr.batch.lattice_rescore import mixed_with_neural, rescore_set
    from hybridasr.errors import UserError
    from hybridasr.nnlm.nnlm_directory import load_neural_lm

    if not 0 <= args.weight <= 1:
        raise UserError(f"--weight {args.weight:g}; give a number from 0 to 1")
    if args.max_ngram_order < 2:
        raise UserError(f"--max-ngram-order {args.max_ngram_order}; give 2 or more")
    source, model = _open(args), load_neural_lm(args.nnlm)
    old, weight = _old_and_weight(args, source, model)
    rescore_set(source, old, mixed_with_neural(source, old, model, weight, args.max_ngram_order,
                                               args.beam), args.out, args.old_lm, args.nnlm)


def _old_and_weight(args: argparse.Namespace, source: "LatticeSource", model: object
                    ) -> tuple["LmCosts", float]:
    """Return the old model, and the share of the neural one."""
    from hybridasr.batch.lm_costs import read_lm_costs
    from hybridasr.errors import UserError
    from hybridasr.lattice.lm_rescore import NgramCosts
    from hybridasr.lm.interpolate import estimate_weights
    from hybridasr.lm.model_file import read_ngram
    from hybridasr.lm.sentences import find_text
    from hybridasr.lm.token_store import WordIds, file_tokens
    from hybridasr.progress import logger

    if args.held_out is None:
        return read_lm_costs(args.old_lm, source.names), args.weight
    if args.old_lm.is_dir() or args.old_lm.suffix == ".fst":
        raise UserError("is a grammar, which --held-out cannot score; give the model as ARPA or "
                        "binary, or --weight", args.old_lm)
    ngram, ids = read_ngram(args.old_lm), WordIds()
    text, skip_first = find_text(args.held_out)
    weights, perplexity = estimate_weights([ngram, model], file_tokens(text, ids, skip_first), ids)
    logger.info("%.4f %s + %.4f %s; perplexity of %s %.2f without unknown words", weights[1],
                args.nnlm, weights[0], args.old_lm, text, perplexity)
    return NgramCosts(ngram, source.names), float(weights[1])


def _open(args: argparse.Namespace) -> "LatticeSource":
    from hybridasr.batch.decode_dir import LATTICES, open_lattices
    from hybridasr.errors import UserError

    check_output(args.out, [args.lattices, args.old_lm])
    # Otherwise the text there would be that of other lattices.
    if args.out.name == LATTICES and (args.out.parent / "text").is_file():
        raise UserError("is a decode directory already; give a new one", args.out.parent)
    return open_lattices(args.lattices, args.words)


VERBS = {
    "lattice-lmrescore": Verb("put another language model's costs into lattices",
                              _lmrescore_arguments, _lmrescore),
    "lattice-lmrescore-nnlm": Verb("mix a neural language model's costs into lattices",
                                   _nnlm_arguments, _nnlm),
}
