"""Owns the verbs that read lattices: best paths, oracle, minimum Bayes risk, pictures.

The verbs that make lattices of lattices are in `cli.lattice_copies` and `cli.lattice_lms`.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hybridasr.cli.verb import Verb, refuse

if TYPE_CHECKING:
    import numpy as np

    from hybridasr.batch.decode_dir import LatticeSource
    from hybridasr.lattice.lattice import CompactLattice

Times = tuple["np.ndarray", "np.ndarray"]


def add_lattices(parser: argparse.ArgumentParser) -> None:
    """Add the lattices to read."""
    parser.add_argument("lattices", type=Path, help="decode directory, or Kaldi's lattices in text "
                        "form, compact or not, gzipped or not")


def _lattice_arguments(parser: argparse.ArgumentParser, scale: bool = True) -> None:
    if scale:
        parser.add_argument("--acoustic-scale", type=float, help="factor on the acoustic costs "
                            "(that of the decoding; 1/12 where it is not known)")
    add_lattices(parser)
    parser.add_argument("words", type=Path, nargs="?", help="words.txt, or the graph or lang "
                        "directory that has it (the graph of the decoding)")


def _model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, help="model directory, for the times of words (that "
                        "of the decoding)")
    parser.add_argument("--frame-shift", type=float, help="seconds a frame where no model is known "
                        "(0.01)")


def _open(args: argparse.Namespace) -> "LatticeSource":
    from hybridasr.batch.decode_dir import open_lattices

    return open_lattices(args.lattices, args.words, args.acoustic_scale)


def _nbest_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--n", type=int, default=10, help="at most so many an utterance (10)")
    _lattice_arguments(parser)


def _nbest(args: argparse.Namespace) -> None:
    from hybridasr.errors import UserError
    from hybridasr.lattice.paths import n_best

    if args.n < 1:
        raise UserError(f"n is {args.n}; give a number from 1")
    source = _open(args)
    scale, names = source.acoustic_scale, source.names
    for utterance, lattice in source.lattices():
        rows = [{"text": " ".join(names[word] for word in path.words),
                 "graph_cost": round(path.graph_cost, 4),
                 "acoustic_cost": round(path.acoustic_cost, 4),
                 "total_cost": round(path.total_cost(scale), 4)}
                for path in n_best(lattice, args.n, scale)]
        _print({"utterance": utterance, "alternatives": rows})


def _best_path_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.lattice.shortest import LatticeScales
    from hybridasr.options import add_options

    add_options(parser, LatticeScales)
    parser.epilog = "Without --acoustic-scale that of the decoding (1/12 where it is not known)."
    _lattice_arguments(parser, scale=False)


def _best_path(args: argparse.Namespace) -> None:
    from dataclasses import replace

    from hybridasr.batch.decode_dir import open_lattices
    from hybridasr.lattice.shortest import LatticeScales, best_paths
    from hybridasr.options import from_args

    scales = from_args(LatticeScales, args)
    source = open_lattices(args.lattices, args.words)
    if "acoustic_scale" not in args.given:
        scales = replace(scales, acoustic_scale=source.acoustic_scale)
    for utterance, lattice in source.lattices():
        path = best_paths(lattice, [scales])[0]
        words = () if path is None else path.words
        sys.stdout.write(" ".join([utterance, *(source.names[word] for word in words)]) + "\n")


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
    source = _open(args)
    numbers = {word: number for number, word in source.names.items()}
    nearest, wanted = {}, {}
    for utterance, lattice in source.lattices():
        # A data directory may have more utterances than were decoded, and the other way round.
        if utterance not in reference:
            continue
        wanted[utterance] = reference[utterance]
        # -1 is no word of the lattice: a word outside the vocabulary always counts as an error.
        best = oracle(lattice, [numbers.get(word, -1) for word in reference[utterance]])
        if best is not None:
            nearest[utterance] = [source.names[word] for word in best.words]
    print(format_scores(score_texts(wanted or reference, nearest)))


def _mbr_arguments(parser: argparse.ArgumentParser) -> None:
    _model_arguments(parser)
    _lattice_arguments(parser)


def _mbr(args: argparse.Namespace) -> None:
    from hybridasr.lattice.mbr import decode_mbr

    source = _open(args)
    timer, shift = _timer(args, source)
    for utterance, lattice in source.lattices():
        decision = decode_mbr(lattice, source.acoustic_scale, times=timer(lattice))
        if decision is None:
            _print({"utterance": utterance, "text": "", "result": [], "expected_errors": None})
            continue
        words = [source.names[word] for word in decision.words]
        rows = [{"word": word, "start": round(begin * shift, 3), "end": round(end * shift, 3),
                 "conf": round(confidence, 4)}
                for word, confidence, (begin, end) in zip(words, decision.confidences,
                                                          decision.times, strict=True)]
        _print({"utterance": utterance, "text": " ".join(words), "result": rows,
                "expected_errors": round(decision.expected_errors, 4)})


def _timer(args: argparse.Namespace, source: "LatticeSource"
           ) -> tuple[Callable[["CompactLattice"], Times | None], float]:
    """Return (what gives the times of a lattice's words, in frames; seconds a frame)."""
    from hybridasr.decode.arc_times import arc_times
    from hybridasr.errors import UserError
    from hybridasr.graph.graph_words import read_graph_words
    from hybridasr.model.directory import load_model
    from hybridasr.progress import logger

    directory = args.model or source.record.model
    if args.frame_shift is not None and directory is None and not args.frame_shift > 0:
        raise UserError(f"frame-shift is {args.frame_shift}; give seconds above 0")
    if directory is None:
        logger.warning("%s does not say with which model it was made, so that a word has the time "
                       "from where it is told apart from others; give --model DIR", source.path)
        return (lambda lattice: None), args.frame_shift or 0.01
    refuse(args, ["frame_shift"], f"with the model {directory}, which has its own")
    model = load_model(directory)
    lang = read_graph_words(source.words.parent, model.lang)
    known = len(model.transitions.tid_pdf)

    def times(lattice: "CompactLattice") -> Times:
        highest = max((int(string.max(initial=0)) for string in
                       (*lattice.strings, *lattice.final_strings)), default=0)
        if highest >= known:
            raise UserError(f"has the transition-id {highest}, but {directory} has {known - 1}: "
                            "the lattices are of another model; give --model DIR", source.path)
        return arc_times(lattice, model.transitions, lang, source.acoustic_scale)

    return times, model.frame_shift


def _ctm_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.options import parse_bool

    parser.add_argument("--decode-mbr", type=parse_bool, default=True, metavar="true|false",
                        help="the words with the fewest expected errors, or those of the best path "
                        "(true)")
    parser.add_argument("--data", type=Path, help="data directory: recordings and times in them, "
                        "for a set with segments (default: utterances)")
    _model_arguments(parser)
    _lattice_arguments(parser)
    parser.add_argument("ctm", type=Path, help="the file to write: <recording> <channel> <begin-s> "
                        "<duration-s> <word> <confidence>")


def _ctm(args: argparse.Namespace) -> None:
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.errors import UserError
    from hybridasr.lattice.mbr import decode_mbr
    from hybridasr.lattice.paths import n_best
    from hybridasr.output.ctm import CtmRow, ctm_writer

    source = _open(args)
    timer, shift = _timer(args, source)
    data = read_datadir(args.data, False).utterances if args.data else None
    with ctm_writer(args.ctm) as writer:
        for utterance, lattice in source.lattices():
            recording, start = utterance, 0.0
            if data is not None:
                if utterance not in data:
                    raise UserError(f"has no utterance '{utterance}' of {source.path}; give the "
                                    "set that was decoded", args.data)
                recording, start = data[utterance].recording, data[utterance].start
            words = None
            if not args.decode_mbr:
                best = n_best(lattice, 1, source.acoustic_scale)
                words = best[0].words if best else None
            decision = decode_mbr(lattice, source.acoustic_scale, words, timer(lattice))
            for word, confidence, (begin, end) in zip(
                    decision.words, decision.confidences, decision.times,
                    strict=True) if decision else ():
                writer.write(CtmRow(recording, "1", start + begin * shift, (end - begin) * shift,
                                    source.names[word], min(1.0, confidence)))


def show_arguments(parser: argparse.ArgumentParser) -> None:
    """Add whose lattice to draw, and where."""
    _lattice_arguments(parser)
    parser.add_argument("utterance", help="whose lattice to draw")
    parser.add_argument("picture", type=Path, help="a .svg, .png or .pdf; needs matplotlib")


def show_lattice(args: argparse.Namespace) -> None:
    """Draw the lattice of one utterance."""
    from hybridasr.errors import UserError
    from hybridasr.plots import draw_lattice

    source = _open(args)
    for utterance, lattice in source.lattices():
        if utterance == args.utterance:
            draw_lattice(lattice, source.names, args.picture, source.acoustic_scale)
            return
    raise UserError(f"no lattice of utterance '{args.utterance}'; check the name", args.lattices)


def _print(row: dict) -> None:
    sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")


VERBS = {
    "lattice-best-path": Verb("the best words of each lattice under any scales, as text",
                              _best_path_arguments, _best_path),
    "lattice-to-nbest": Verb("the best word sequences of each lattice; one line of JSON each",
                             _nbest_arguments, _nbest),
    "lattice-oracle": Verb("word error rate of the lattices' paths nearest to what was said",
                           _oracle_arguments, _oracle),
    "lattice-mbr-decode": Verb("words with the fewest expected errors, and how sure each is",
                               _mbr_arguments, _mbr),
    "lattice-to-ctm-conf": Verb("words of lattices with times and confidences, as CTM",
                                _ctm_arguments, _ctm),
    "show-lattice": Verb("draw one lattice; as show lattice", show_arguments, show_lattice),
}
