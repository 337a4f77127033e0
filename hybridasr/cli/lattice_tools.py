"""Owns the verbs that read lattices: n best, oracle, minimum Bayes risk, pictures."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hybridasr.cli.verb import Verb

if TYPE_CHECKING:
    from hybridasr.lattice.lattice import CompactLattice


def _lattice_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--acoustic-scale", type=float, default=1 / 12,
                        help="factor on the acoustic costs (1/12)")
    parser.add_argument("lattices", type=Path,
                        help="Kaldi's lattices in text form, compact or not, gzipped or not")
    parser.add_argument("words", type=Path, help="words.txt of the graph or lang directory")


def _read(args: argparse.Namespace
          ) -> tuple[dict[int, str], Iterator[tuple[str, "CompactLattice"]]]:
    """Return (word id -> word, the lattices by utterance)."""
    from hybridasr.errors import UserError
    from hybridasr.lattice.lattice_text import read_compact
    from hybridasr.lexicon.lang_files import read_symbols

    # Scale 0 would make all paths equal; a negative one would prefer the worst path.
    if not args.acoustic_scale > 0:
        raise UserError(f"acoustic-scale is {args.acoustic_scale}; give a number above 0")
    names = {number: word for word, number in read_symbols(args.words).items()}
    return names, read_compact(args.lattices, names, args.acoustic_scale)


def _nbest_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--n", type=int, default=10, help="at most so many an utterance (10)")
    _lattice_arguments(parser)


def _nbest(args: argparse.Namespace) -> None:
    from hybridasr.errors import UserError
    from hybridasr.lattice.paths import n_best

    if args.n < 1:
        raise UserError(f"n is {args.n}; give a number from 1")
    names, lattices = _read(args)
    for utterance, lattice in lattices:
        rows = [{"text": " ".join(names[word] for word in path.words),
                 "graph_cost": round(path.graph_cost, 4),
                 "acoustic_cost": round(path.acoustic_cost, 4),
                 "total_cost": round(path.total_cost(args.acoustic_scale), 4)}
                for path in n_best(lattice, args.n, args.acoustic_scale)]
        _print({"utterance": utterance, "alternatives": rows})


def _oracle_arguments(parser: argparse.ArgumentParser) -> None:
    _lattice_arguments(parser)
    parser.add_argument("text", type=Path, help="what was said: data directory, or its text file")


def _oracle(args: argparse.Namespace) -> None:
    from hybridasr.lattice.paths import oracle
    from hybridasr.score.score_files import format_scores
    from hybridasr.score.wer import score_texts
    from hybridasr.storage import read_text

    path = args.text / "text" if args.text.is_dir() else args.text
    reference = {fields[0]: fields[1:] for fields in map(str.split, read_text(path).splitlines())
                 if fields}
    # Ids of words come from this table alone: a lattice of another graph would give other words.
    names, lattices = _read(args)
    numbers = {word: number for number, word in names.items()}
    nearest, wanted = {}, {}
    for utterance, lattice in lattices:
        # A data directory may have more utterances than were decoded, and the other way round.
        if utterance not in reference:
            continue
        wanted[utterance] = reference[utterance]
        # -1 is no word of the lattice: a word outside the vocabulary always counts as an error.
        best = oracle(lattice, [numbers.get(word, -1) for word in reference[utterance]])
        if best is not None:
            nearest[utterance] = [names[word] for word in best.words]
    print(format_scores(score_texts(wanted or reference, nearest)))


def _mbr(args: argparse.Namespace) -> None:
    from hybridasr.lattice.mbr import decode_mbr

    names, lattices = _read(args)
    for utterance, lattice in lattices:
        decision = decode_mbr(lattice, args.acoustic_scale)
        if decision is None:
            _print({"utterance": utterance, "text": "", "result": [], "expected_errors": None})
            continue
        words = [names[word] for word in decision.words]
        shift = args.frame_shift
        rows = [{"word": word, "start": round(begin * shift, 3), "end": round(end * shift, 3),
                 "conf": round(confidence, 4)}
                for word, confidence, (begin, end) in zip(words, decision.confidences,
                                                          decision.times, strict=True)]
        _print({"utterance": utterance, "text": " ".join(words), "result": rows,
                "expected_errors": round(decision.expected_errors, 4)})


def _mbr_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--frame-shift", type=float, default=0.01,
                        help="seconds a frame, for the words' times (0.01)")
    _lattice_arguments(parser)


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    _lattice_arguments(parser)
    parser.add_argument("utterance", help="whose lattice to draw")
    parser.add_argument("picture", type=Path, help="a .svg, .png or .pdf; needs matplotlib")


def _show(args: argparse.Namespace) -> None:
    from hybridasr.errors import UserError
    from hybridasr.plots import draw_lattice

    names, lattices = _read(args)
    for utterance, lattice in lattices:
        if utterance == args.utterance:
            draw_lattice(lattice, names, args.picture, args.acoustic_scale)
            return
    raise UserError(f"no lattice of utterance '{args.utterance}'; check the name", args.lattices)


def _print(row: dict) -> None:
    sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")


VERBS = {
    "lattice-to-nbest": Verb("the best word sequences of each lattice; one line of JSON each",
                             _nbest_arguments, _nbest),
    "lattice-oracle": Verb("word error rate of the lattices' paths nearest to what was said",
                           _oracle_arguments, _oracle),
    "lattice-mbr-decode": Verb("words with the fewest expected errors, and how sure each is",
                               _mbr_arguments, _mbr),
    "show-lattice": Verb("draw one lattice", _show_arguments, _show),
}
