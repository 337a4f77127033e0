"""Owns the verbs that make lattices of lattices, and the one that says how large they are.

Each is Kaldi's tool of that name on text archives: LATTICES OUT, lattice by lattice.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from hybridasr.cli.lattice_tools import add_lattices
from hybridasr.cli.verb import Verb, check_output

Change = Callable[[object], object]
_SCALE_HELP = "factor on the acoustic costs while paths are compared (that of the decoding; 1/12 " \
              "where it is not known)"


def _arguments(*options: tuple[str, dict]) -> Callable[[argparse.ArgumentParser], None]:
    def add(parser: argparse.ArgumentParser) -> None:
        for name, settings in options:
            parser.add_argument(name, **settings)
        add_lattices(parser)
        parser.add_argument("out", type=Path, help="the archive to write; gzipped if its name ends "
                            "in .gz")
    return add


def _number(default: float | None, text: str) -> dict:
    return {"type": float, "default": default, "metavar": "X", "help": text}


def _run(change: Callable[[argparse.Namespace], Change]) -> Callable[[argparse.Namespace], None]:
    """Return the verb that writes each lattice as `change` makes it."""
    def run(args: argparse.Namespace) -> None:
        from hybridasr.batch.decode_dir import read_archives
        from hybridasr.lattice.lattice_text import lattice_writer

        check_output(args.out, [args.lattices])
        if args.lattices.is_dir():
            check_output(args.out, args.lattices.glob("lat.*"))
        make = change(args)
        with lattice_writer(args.out) as writer:
            for key, lattice in read_archives(args.lattices):
                writer.write(key, make(lattice))
    return run


def _copy(args: argparse.Namespace) -> Change:
    del args
    return lambda lattice: lattice


def _scale(args: argparse.Namespace) -> Change:
    from hybridasr.errors import UserError
    from hybridasr.lattice.shortest import LatticeScales, scale_lattice

    if not {"acoustic_scale", "lm_scale"} & args.given.keys():
        raise UserError("nothing to scale by; give --acoustic-scale or --lm-scale")
    scales = LatticeScales(args.acoustic_scale, args.lm_scale)
    return lambda lattice: scale_lattice(lattice, scales)


def _penalize(args: argparse.Namespace) -> Change:
    from hybridasr.lattice.shortest import LatticeScales, scale_lattice

    scales = LatticeScales(word_ins_penalty=args.word_ins_penalty)
    return lambda lattice: scale_lattice(lattice, scales)


def _acoustic_scale(args: argparse.Namespace) -> float:
    """Return the scale that is given, or that of the decoding."""
    from hybridasr.batch.decode_dir import record_of
    from hybridasr.model.acoustic import DEFAULT_SCALE

    return args.acoustic_scale if args.acoustic_scale is not None else (
        record_of(args.lattices).acoustic_scale or DEFAULT_SCALE)


def _one_best(args: argparse.Namespace) -> Change:
    from hybridasr.lattice.shortest import LatticeScales, best_lattice

    scales = LatticeScales(_acoustic_scale(args), args.lm_scale, args.word_ins_penalty)
    return lambda lattice: best_lattice(lattice, scales)


def _prune(args: argparse.Namespace) -> Change:
    from hybridasr.lattice.shortest import LatticeScales, prune_lattice

    scale = LatticeScales(_acoustic_scale(args)).acoustic_scale
    return lambda lattice: prune_lattice(lattice, args.beam, scale)


def _depth(args: argparse.Namespace) -> None:
    from hybridasr.batch.decode_dir import read_archives
    from hybridasr.lattice.lattice import lattice_size

    sizes = [lattice_size(lattice) for _, lattice in read_archives(args.lattices)]
    frames, covered, states, arcs = (sum(size[i] for size in sizes) for i in range(4))
    print(json.dumps({
        "lattices": len(sizes), "frames": frames, "states": states, "arcs": arcs,
        "arcs_per_frame": round(arcs / frames, 4) if frames else None,
        "depth": round(covered / frames, 4) if frames else None}, indent=2))


VERBS = {
    "lattice-copy": Verb("copy lattices: gzipped or not", _arguments(), _run(_copy)),
    "lattice-scale": Verb(
        "multiply the costs of lattices",
        _arguments(("--acoustic-scale", _number(1.0, "factor on the acoustic costs (1)")),
                   ("--lm-scale", _number(1.0, "factor on the graph costs (1)"))),
        _run(_scale)),
    "lattice-add-penalty": Verb(
        "add a cost to every word of lattices",
        _arguments(("--word-ins-penalty", {**_number(None, "cost of every word"),
                                           "required": True})), _run(_penalize)),
    "lattice-prune": Verb(
        "leave out of lattices what is far worse than the best path",
        _arguments(("--acoustic-scale", _number(None, _SCALE_HELP)),
                   ("--beam", _number(10.0, "cost beside the best path (10)"))), _run(_prune)),
    "lattice-1best": Verb(
        "leave the best path of each lattice alone, its costs as they were",
        _arguments(("--acoustic-scale", _number(None, _SCALE_HELP)),
                   ("--lm-scale", _number(1.0, "factor on the graph costs (1)")),
                   ("--word-ins-penalty", _number(0.0, "cost of every word (0)"))),
        _run(_one_best)),
    "lattice-depth": Verb("how large lattices are: arcs over each frame on average (depth)",
                          add_lattices, _depth),
}
