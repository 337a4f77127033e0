"""Owns the verbs that turn speech into words: recordings, and whole data directories."""

import argparse
import json
import re
import sys
from collections import defaultdict
from pathlib import Path

from hybridasr.cli.endpoint_options import add_endpoint, endpoint_from
from hybridasr.cli.search_options import (
    add_audio,
    add_known,
    add_recognizer,
    add_search,
    check_adaptation,
    check_recognizer,
    load_recognizer,
)
from hybridasr.cli.verb import Verb, add_nj


def _recognize_arguments(parser: argparse.ArgumentParser) -> None:
    add_recognizer(parser)
    add_audio(parser, "the recordings are")
    parser.add_argument("--strict-rate", action="store_true",
                        help="refuse another sampling rate instead of resampling")
    parser.add_argument("--speaker-from", choices=("none", "name", "dir"), default="none",
                        help="who speaks, to be remembered from file to file: name: the part of "
                        "the file's name before the first - or _; dir: its folder; none: every "
                        "file is recognised on its own (none)")
    add_endpoint(parser)
    parser.add_argument("model", type=Path, help="model directory, e.g. exp/mono")
    parser.add_argument("audio", nargs="+", help="recordings that libsndfile reads; - is the "
                        "standard input")


def _recognize(args: argparse.Namespace) -> None:
    from hybridasr.corpus.raw_audio import RawFormat
    from hybridasr.errors import ResourceError, UserError
    from hybridasr.recognize.recognizer import Speaker

    check_recognizer(args)
    raw = None if args.raw is None else RawFormat.of(args.raw)
    endpoint = endpoint_from(args)
    recognizer = load_recognizer(args)
    if args.speaker_from != "none" and recognizer.model.pipeline.cmvn != "online":
        raise UserError(f"--speaker-from has no effect on {args.model}, whose cmvn is "
                        f"{recognizer.model.pipeline.cmvn}; leave it out")
    failures: list[str] = []
    speakers: dict[str, Speaker] = defaultdict(Speaker)
    for path in args.audio:
        speaker = None
        if args.speaker_from != "none":
            speaker = speakers[_speaker_of(Path(path), args.speaker_from)]
        try:
            results = recognizer.utterances(path, channel=args.channel,
                                            strict_rate=args.strict_rate, nbest=args.nbest,
                                            speaker=speaker, raw=raw, endpoint=endpoint)
        except ResourceError:
            raise  # a machine that is out of memory or disk fails for every file
        except UserError as error:
            # The other files are still worth their lines.
            failures.append(str(error))
            continue
        for result in results:
            print(json.dumps({"file": path, **result}, ensure_ascii=False), flush=True)
    # All failures are told, the last one by the exit code as well.
    for line in failures[:-1]:
        sys.stderr.write(f"error: {line}\n")
    if failures:
        raise UserError(failures[-1])


def _speaker_of(path: Path, source: str) -> str:
    """Return who speaks in a recording, by its name or its folder.

    >>> _speaker_of(Path("a/spk21-03-02.flac"), "name"), _speaker_of(Path("a/x.wav"), "dir")
    ('spk21', 'a')
    """
    return str(path.parent) if source == "dir" else re.split("[-_]", path.stem)[0]


def _decode_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.batch.decode_set import DecodeOutput
    from hybridasr.options import add_options

    parser.epilog = (
        "Writes text, ctm (a word a line: <recording> <channel> <start> <dur> <word> [<conf>], "
        "times in the recording; conf with --write-lattices), summary.json, log/decode.log and, "
        "if asked for, lat.1.gz.")
    add_search(parser)
    add_options(parser, DecodeOutput)
    add_known(parser, "all")
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

    # As in Kaldi, the graph lies in the model's directory unless the user says otherwise.
    model = args.model or args.graph.parent
    check_adaptation(args, model)
    with executor(args.nj) as pool:
        decode_set(model, args.graph, read_datadir(args.data, False),
                   args.decode, from_args(SearchOptions, args), pool,
                   from_args(AdaptOptions, args), from_args(DecodeOutput, args),
                   args.known)


VERBS = {
    "recognize": Verb("recognise recordings; one line of JSON each",
                      _recognize_arguments, _recognize),
    "decode": Verb("decode a data directory: GRAPH DATA DECODE", _decode_arguments, _decode),
}
