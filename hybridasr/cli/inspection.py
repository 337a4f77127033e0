"""Owns the verbs that describe a model, quantise it, or find speech with it."""

import argparse
import json
from pathlib import Path

from hybridasr.cli.verb import Verb


def _info_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="model directory, e.g. exp/tri3b")


def _model_info(args: argparse.Namespace) -> None:
    from hybridasr.model.directory import load_model, model_figures

    figures = model_figures(load_model(args.model), args.model)
    print(json.dumps(figures, ensure_ascii=False, indent=2))


def _quantize_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="model directory of a network")
    parser.add_argument("destination", type=Path, help="the model directory to write")


def _quantize(args: argparse.Namespace) -> None:
    from dataclasses import replace

    from hybridasr.errors import UserError
    from hybridasr.model.directory import copy_beside, load_model, model_figures, save_model
    from hybridasr.progress import logger

    model = load_model(args.model)
    if model.nnet is None:
        raise UserError("only a network has weights to quantise; give the directory of one",
                        args.model)
    if args.destination.resolve() == args.model.resolve():
        raise UserError("is the model itself; give another directory", args.destination)
    save_model(replace(model, nnet=model.nnet.quantized()), args.destination)
    copy_beside(args.model, args.destination)
    before, after = (model_figures(load_model(path), path)["acoustic_bytes"]
                     for path in (args.model, args.destination))
    logger.info("%s: %d bytes of acoustics, %.0f %% of %d", args.destination, after,
                100 * after / before, before)


def _vad_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.options import add_options
    from hybridasr.recognize.vad import VadOptions

    add_options(parser, VadOptions)
    parser.add_argument("model", type=Path, help="model directory of a network")
    parser.add_argument("audio", nargs="+", help="recordings that libsndfile reads")


def _vad(args: argparse.Namespace) -> None:
    from hybridasr.corpus.audio import load_audio
    from hybridasr.model.directory import load_model
    from hybridasr.options import from_args
    from hybridasr.recognize.vad import VadOptions, detect_speech

    model, options = load_model(args.model), from_args(VadOptions, args)
    # One recording at a time: memory holds a single one, and results appear at once.
    for path in args.audio:
        samples = load_audio(path, model.features.sample_rate)
        segments = detect_speech(model, samples, options)
        print(json.dumps({"file": path, "speech": [
            {"start": round(s.start, 3), "end": round(s.end, 3),
             "probability": round(s.probability, 3)} for s in segments]}, ensure_ascii=False),
            flush=True)


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = ("Writes final.mdl, tree, final.mat, final.alimdl, ali.1.gz and the options of "
                     "the steps before them, in text form, which Kaldi's programs read.")
    parser.add_argument("model", type=Path, help="model directory, e.g. exp/tri3b")
    parser.add_argument("destination", type=Path, metavar="dir", help="the directory to write")


def _export_kaldi(args: argparse.Namespace) -> None:
    from hybridasr.kaldi.export import export_kaldi
    from hybridasr.progress import logger

    logger.info("%s", export_kaldi(args.model, args.destination))


VERBS = {
    "model-info": Verb("size and figures of a model, as JSON", _info_arguments, _model_info),
    "quantize": Verb("write a network with int8 weights", _quantize_arguments, _quantize),
    "vad": Verb("where somebody speaks in recordings; one line of JSON each", _vad_arguments,
                _vad),
    "export-kaldi": Verb("write a model in Kaldi's text form: MODEL DIR", _export_arguments,
                         _export_kaldi),
}
