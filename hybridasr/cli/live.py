"""Owns the verb that listens: speech from a microphone, a pipe or a file to events."""

import argparse
import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridasr.cli.endpoint_options import add_endpoint, endpoint_from
from hybridasr.cli.search_options import (
    add_audio,
    add_recognizer,
    check_memory,
    check_recognizer,
    has_commands,
    load_recognizer,
)
from hybridasr.cli.verb import Verb, refuse
from hybridasr.cli.wake_options import add_wake, load_detector

if TYPE_CHECKING:
    from hybridasr.live.capture import AudioSource
    from hybridasr.live.listener import Listener

_OF_INPUT = ("raw", "channel", "real_time")


def _listen_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = ("Ctrl-C ends it, with the last result. From a microphone of another program: "
                     "arecord -t raw -f S16_LE -r 16000 | hybridasr listen --input - --raw "
                     "s16le:16000:1 MODEL")
    parser.add_argument("--input", metavar="FILE", help="a recording, or - for the standard "
                        "input, in place of a microphone; with --raw the standard input is "
                        "recognised as it comes")
    parser.add_argument("--real-time", action="store_true",
                        help="pace --input by the clock, as a microphone would be")
    add_audio(parser, "--input is")
    parser.add_argument("--device", metavar="NAME", help="microphone: its number, or a part of "
                        "its name (default: the system's)")
    parser.add_argument("--list-devices", action="store_true",
                        help="print the microphones and stop")
    parser.add_argument("--level", action="store_true",
                        help="a level meter, where standard error is a terminal")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each event")
    parser.add_argument("--partial", action="store_true",
                        help="show the words so far, too, whenever they change")
    parser.add_argument("--exec", metavar="CMD", help="run a program for each accepted command, "
                        "with its id and text as last arguments, or in place of {id}, {text} and "
                        "{slots}; no shell, and it is not waited for")
    parser.add_argument("--one-speaker", action="store_true", help="one speaker uses the device, "
                        "and is remembered from utterance to utterance")
    add_wake(parser, "listen for this phrase first, and then to one utterance")
    add_recognizer(parser)
    add_endpoint(parser, "The default rules hold unless others are given.")
    parser.add_argument("model", type=Path, nargs="?", help="model directory, e.g. exp/dnn, or "
                        "packed model")


def _listen(args: argparse.Namespace) -> None:
    if args.list_devices:
        _list_devices(args)
        return
    _check(args)
    from hybridasr.corpus.raw_audio import RawFormat
    from hybridasr.decode.endpoint import EndpointOptions
    from hybridasr.live.capture import RecordedAudio
    from hybridasr.live.command_runner import CommandRunner
    from hybridasr.live.display import LevelMeter
    from hybridasr.live.listener import Listener, ListenOptions
    from hybridasr.live.microphone import Microphone, load_sounddevice

    form = None if args.raw is None else RawFormat.of(args.raw)
    runner = None if args.exec is None else CommandRunner(args.exec)
    options = ListenOptions(endpoint_from(args) or EndpointOptions(), args.partial, args.nbest,
                            args.channel, args.one_speaker)
    if args.input is None:
        load_sounddevice()
    recognizer = load_recognizer(args)
    if args.one_speaker:
        check_memory(recognizer.model, "--one-speaker", args.model)
    detector = load_detector(args)
    # Before audio comes, which would be lost meanwhile.
    recognizer.warm_up()
    if detector is not None:
        detector.warm_up()
    source: AudioSource
    if args.input is None:
        source = Microphone(args.device, recognizer.model.features.sample_rate)
    else:
        source = RecordedAudio(args.input, form, args.real_time)
    meter = LevelMeter(sys.stderr) if args.level else None
    listener = Listener(recognizer, options, runner, detector,
                        meter.show if meter else None)
    # A file waits where it may; a microphone, and what is paced like one, does not.
    _print_events(listener, source, args.input is not None and not args.real_time, args.json,
                  meter.clear if meter else lambda: None)


def _list_devices(args: argparse.Namespace) -> None:
    from hybridasr.live.microphone import device_lines

    refuse(args, [name for name in args.given if name != "list_devices"], "with --list-devices")
    print("\n".join(device_lines()))


def _check(args: argparse.Namespace) -> None:
    """Refuse what is missing or has no effect."""
    from hybridasr.errors import UserError

    if args.model is None:
        raise UserError("no model to listen with; give its directory, e.g. exp/dnn")
    if args.input is None:
        refuse(args, _OF_INPUT, "on a microphone", "give --input FILE too")
    else:
        refuse(args, ["device"], "with --input")
    if not has_commands(args):
        refuse(args, ["exec"], "without a command list", "give --commands FILE too")
    if not sys.stderr.isatty():
        refuse(args, ["level"], "where standard error is no terminal")
    check_recognizer(args)


def _print_events(listener: "Listener", source: "AudioSource", waits: bool, as_json: bool,
                  clear: Any) -> None:
    from hybridasr.live.capture import capturing
    from hybridasr.live.display import format_event
    from hybridasr.live.ring_buffer import RingBuffer

    ring, stop = RingBuffer(waits=waits), threading.Event()
    with _ended_by_signals(stop), capturing(source, ring, stop):
        for event in listener.events(ring, stop):
            clear()
            print(json.dumps(event, ensure_ascii=False) if as_json else format_event(event),
                  flush=True)
        clear()


@contextmanager
def _ended_by_signals(stop: threading.Event) -> Iterator[None]:
    """Set `stop` at the first Ctrl-C or SIGTERM; the next one is handled as everywhere."""
    old: dict[int, Any] = {}

    def end(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, old[number])

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            old[number] = signal.getsignal(number)
            signal.signal(number, end)
    except ValueError:  # not the main thread, where no signal comes
        old = {}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


VERBS = {"listen": Verb("recognise speech from a microphone, a pipe or a file as it comes",
                        _listen_arguments, _listen)}
