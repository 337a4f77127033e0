"""Owns the verbs for a model that leaves the place where it was trained: pack, unpack, serve."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hybridasr.cli.search_options import add_decoder, check_decoder, has_commands, load_decoder
from hybridasr.cli.verb import Verb, refuse
from hybridasr.cli.wake_options import add_wake, load_detector

if TYPE_CHECKING:
    from hybridasr.vosk import Model


def _pack_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = ("Every verb that takes a model to recognise with takes the file, too. Nothing "
                     "in it is run, and a file that was changed or cut off is refused.")
    parser.add_argument("--int8", action="store_true",
                        help="weights of the network as int8: a quarter of the size")
    parser.add_argument("--commands", type=Path, metavar="FILE", help="command list, sentence "
                        "templates or JSGF that is recognised where no other is given; the graph "
                        "of the model stays behind")
    parser.add_argument("--fillers", type=Path, metavar="FILE",
                        help="list of words and phrases that are no commands")
    parser.add_argument("--wake-profile", type=Path, metavar="FILE", help="wake words and their "
                        "thresholds, from 'hybridasr wake --background'; 'listen' waits for them")
    parser.add_argument("--lexicon", type=Path, metavar="FILE",
                        help="own pronunciations of the words of all these")
    parser.add_argument("--licence", metavar="TEXT", help="what the model may be used for")
    parser.add_argument("--origin", metavar="TEXT", help="where the model comes from")
    parser.add_argument("model", type=Path, help="model directory, e.g. exp/dnn")
    parser.add_argument("pack", type=Path, metavar="file.hyb", help="the file to write")


def _pack(args: argparse.Namespace) -> None:
    from hybridasr.deploy.pack import PackOptions, pack_model
    from hybridasr.model.directory import own_commands
    from hybridasr.progress import logger
    from hybridasr.storage import is_file

    own = own_commands(args.model)
    if not (args.commands or own.commands):
        refuse(args, ["fillers"], "without a command list", "give --commands FILE too")
        if not (args.wake_profile or own.wake):
            refuse(args, ["lexicon"], "without commands or wake words", "give --commands FILE too")
    size = pack_model(args.model, args.pack, PackOptions(
        args.int8, args.commands, args.fillers, args.wake_profile, args.lexicon, args.licence,
        args.origin))
    logger.info("%s: %.2f MB", args.pack, size / 1e6)
    if not (args.commands or own.commands or is_file(args.model / "graph" / "graph.npz")):
        logger.warning("%s holds neither commands nor a graph: whoever recognises with it gives a "
                       "command list; pack it with --commands, or run 'hybridasr mkgraph' on the "
                       "model first", args.pack)


def _unpack_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pack", type=Path, help="a packed model")
    parser.add_argument("destination", type=Path, help="the model directory to write")


def _unpack(args: argparse.Namespace) -> None:
    from hybridasr.deploy.pack import unpack_model

    unpack_model(args.pack, args.destination)


def _serve_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.deploy.serve_options import ServeOptions
    from hybridasr.options import add_options

    parser.epilog = ("WebSocket messages are those of vosk-server, whose clients work unchanged. "
                     "Only this machine may connect unless --host says otherwise; then give "
                     "--token-file, and --tls-certificate or a proxy.")
    add_options(parser, ServeOptions)
    add_wake(parser, "tell Wyoming clients of this wake word")
    add_decoder(parser)
    parser.add_argument("model", type=Path, help="packed model, or model directory")


def _serve(args: argparse.Namespace) -> None:
    import asyncio
    import gc
    import os
    import tempfile
    from contextlib import ExitStack

    from hybridasr.deploy.serve_options import SHARED_METRICS, ServeOptions
    from hybridasr.errors import UserError, require_extra
    from hybridasr.options import from_args

    for module in ("aiohttp", "prometheus_client", "wyoming"):
        require_extra(module, "serve", "clients over the network")
    options = from_args(ServeOptions, args)
    if options.wyoming is None:
        refuse(args, ["wake", "wake_profile"], "without Wyoming", "give --wyoming ADDRESS too")
    check_decoder(args)
    with ExitStack() as stack:
        if options.processes > 1:
            # Where all of them count; before what counts is imported.
            os.environ[SHARED_METRICS] = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="hybridasr-metrics-"))
        from hybridasr.deploy.dealer import deal_out
        from hybridasr.deploy.server import run_server

        model = _served_model(args)
        if not model.recognizer.model.streams:
            raise UserError("its network hears an utterance as a whole (it has a bidirectional "
                            "layer), and clients must be told where one ends; serve a model whose "
                            "network streams, and give this one recordings: 'hybridasr recognize'",
                            args.model)
        detector = None if options.wyoming is None else load_detector(args)
        model.warm_up()
        if detector is not None:
            detector.warm_up()
        # What is loaded stays: nobody need look through it for what can go, while clients wait.
        gc.freeze()
        if options.processes > 1:
            deal_out(options, lambda share, channel: asyncio.run(
                run_server(model, share, detector, channel=channel)))
        else:
            asyncio.run(run_server(model, options, detector))


def _served_model(args: argparse.Namespace) -> "Model":
    """Load the model: with what decides, or for clients that bring their commands."""
    from hybridasr.storage import is_file
    from hybridasr.vosk import Model

    graph = args.graph or args.model / "graph"
    if has_commands(args) or args.graph or is_file(graph / "graph.npz"):
        return Model.of(load_decoder(args))
    return Model(args.model)


VERBS = {
    "pack": Verb("pack a model into one file: MODEL FILE.hyb", _pack_arguments, _pack),
    "unpack": Verb("write the directory of a packed model", _unpack_arguments, _unpack),
    "serve": Verb("recognise over WebSocket (as vosk-server), HTTP and Wyoming; with a page",
                  _serve_arguments, _serve),
}
