"""Owns the verbs that write pages: one utterance step by step, one run of a recipe."""

import argparse
from pathlib import Path

from hybridasr.cli.search_options import add_decoder, check_decoder, load_decoder
from hybridasr.cli.verb import Verb, check_output


def _explain_arguments(parser: argparse.ArgumentParser) -> None:
    add_decoder(parser)
    parser.add_argument("model", type=Path, help="model directory, e.g. exp/mono")
    parser.add_argument("audio", help="a recording that libsndfile reads, one utterance")
    parser.add_argument("page", type=Path, help="the file to write, .html; needs matplotlib")


def _explain(args: argparse.Namespace) -> None:
    from hybridasr.corpus.audio import load_audio
    from hybridasr.errors import require_extra
    from hybridasr.report.explanation import explain

    require_extra("matplotlib", "plots", "pictures")
    _check_page(args.page)
    check_output(args.page, [Path(args.audio)])
    check_decoder(args)
    recognizer = load_decoder(args)
    samples = load_audio(args.audio, recognizer.model.features.sample_rate)
    explain(recognizer, samples, Path(args.audio).name, args.page)


def _report_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--against", type=Path, metavar="WORK", help="work directory of another "
                        "run, to tell what changed")
    parser.add_argument("work", type=Path, help="work directory of a recipe, e.g. "
                        "work/commands_zh")
    parser.add_argument("page", type=Path, help="the file to write, .html; needs matplotlib")


def _report(args: argparse.Namespace) -> None:
    from hybridasr.errors import require_extra
    from hybridasr.report.work_page import report

    require_extra("matplotlib", "plots", "pictures")
    _check_page(args.page)
    report(args.work, args.page, args.against)


def _check_page(path: Path) -> None:
    from hybridasr.errors import UserError

    if path.suffix not in (".html", ".htm"):
        raise UserError("give a page's name that ends in .html", path)


VERBS = {
    "explain": Verb("write a page of one utterance, from the samples to why it is accepted: MODEL "
                    "AUDIO PAGE", _explain_arguments, _explain),
    "report": Verb("write a page of a recipe's run: stages, systems, errors to listen to: WORK "
                   "PAGE", _report_arguments, _report),
}
