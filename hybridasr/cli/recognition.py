"""Owns the verbs that turn speech into words: recordings, and whole data directories."""

import argparse
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from hybridasr.cli.endpoint_options import add_endpoint, endpoint_from
from hybridasr.cli.search_options import (
    add_audio,
    add_known,
    add_recognizer,
    add_search,
    check_adaptation,
    check_memory,
    check_recognizer,
    has_commands,
    load_recognizer,
)
from hybridasr.cli.verb import Verb, add_nj, check_output, refuse

if TYPE_CHECKING:
    from hybridasr.recognize.transcript import Transcript


def _recognize_arguments(parser: argparse.ArgumentParser) -> None:
    add_recognizer(parser)
    add_audio(parser, "the recordings are")
    parser.add_argument("--strict-rate", action="store_true",
                        help="refuse another sampling rate instead of resampling")
    parser.add_argument("--speaker-from", choices=("none", "name", "dir"), default="none",
                        help="who speaks, to be remembered from file to file: name: the part of "
                        "the file's name before the first - or _; dir: its folder; none: every "
                        "file is recognised on its own (none)")
    parser.add_argument("--continuous", action="store_true",
                        help="find every command of --commands in the recordings: a line for each, "
                        "with start and end, and none for anything else")
    parser.add_argument("--output", choices=("json", "srt", "vtt", "ctm", "textgrid"),
                        default="json", help="form of the results; all but json have what was "
                        "accepted, with the times of its words (json)")
    parser.add_argument("--output-dir", type=Path, metavar="DIR",
                        help="write a file for each recording there, in place of standard output; "
                        "textgrid needs it, and srt and vtt of several recordings")
    add_endpoint(parser, "Any of these options switches the rules on; without --commands, the "
                 "default rules hold for a recording of more than 30 s.")
    parser.add_argument("model", type=Path, help="model directory, e.g. exp/mono, or packed "
                        "model")
    parser.add_argument("audio", nargs="+", help="recordings that libsndfile reads; - is the "
                        "standard input")


def _recognize(args: argparse.Namespace) -> None:
    from hybridasr.corpus.raw_audio import RawFormat
    from hybridasr.errors import ResourceError, UserError
    from hybridasr.recognize.recognizer import Speaker
    from hybridasr.recognize.transcript import TranscriptOptions, transcribe

    check_recognizer(args)
    if not has_commands(args):
        refuse(args, ["continuous"], "without a command list", "give --commands FILE too")
    targets = _targets(args)
    options = TranscriptOptions(
        args.channel, args.strict_rate, None if args.raw is None else RawFormat.of(args.raw),
        args.nbest, endpoint_from(args), args.continuous)
    recognizer = load_recognizer(args)
    if args.speaker_from != "none":
        check_memory(recognizer.model, "--speaker-from", args.model)
    failures: list[str] = []
    speakers: dict[str, Speaker] = defaultdict(Speaker)
    for path, target in targets:
        speaker = None
        if args.speaker_from != "none":
            speaker = speakers[_speaker_of(Path(path), args.speaker_from)]
        try:
            _put(transcribe(recognizer, path, options, speaker, path), path, args.output, target)
        except ResourceError:
            raise  # a machine that is out of memory or disk fails for every file
        except UserError as error:
            # The other files are still worth their lines.
            failures.append(str(error))
    # All failures are told, the last one by the exit code as well.
    for line in failures[:-1]:
        sys.stderr.write(f"error: {line}\n")
    if failures:
        raise UserError(failures[-1])


def _targets(args: argparse.Namespace) -> list[tuple[str, Path | None]]:
    """Return each recording with the file that its results go to; None: standard output."""
    from hybridasr.errors import UserError
    from hybridasr.output.transcript_formats import EXTENSIONS

    if args.output_dir is None:
        if args.output == "textgrid" or args.output in ("srt", "vtt") and len(args.audio) > 1:
            raise UserError(f"--output {args.output} is a file for each recording; give "
                            "--output-dir DIR too")
        return [(path, None) for path in args.audio]
    sources: dict[Path, str] = {}
    for path in args.audio:
        target = args.output_dir / (_recording_name(path) + EXTENSIONS[args.output])
        if target in sources:
            raise UserError(f"{sources[target]} and {path} would both be written to {target}; "
                            "recognise them into two directories")
        sources[target] = path
    return [(path, target) for target, path in sources.items()]


def _put(transcript: "Transcript", path: str, form: str, target: Path | None) -> None:
    from hybridasr.output.transcript_formats import FORMATS, write_transcript

    name = path if form == "json" else _recording_name(path)
    if target is None:
        sys.stdout.write(FORMATS[form](name, transcript.results, transcript.seconds))
        sys.stdout.flush()
    else:
        write_transcript(target, form, name, transcript.results, transcript.seconds)


def _recording_name(path: str) -> str:
    return "stdin" if path == "-" else Path(path).stem


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
        "if asked for, lat.1.gz (for score and the verbs lattice-*) and nbest/.")
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
    check_output(args.decode, [args.graph, args.data, model])
    with executor(args.nj) as pool:
        decode_set(model, args.graph, read_datadir(args.data, False),
                   args.decode, from_args(SearchOptions, args), pool,
                   from_args(AdaptOptions, args), from_args(DecodeOutput, args),
                   args.known)


VERBS = {
    "recognize": Verb("recognise recordings; a line of JSON for each utterance",
                      _recognize_arguments, _recognize),
    "decode": Verb("decode a data directory: GRAPH DATA DECODE", _decode_arguments, _decode),
}
