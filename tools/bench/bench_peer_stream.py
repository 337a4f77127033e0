"""What a stream costs here and in pocketsphinx, on the same audio with as many phrases.

    pip install pocketsphinx
    python tools/bench/bench_peer_stream.py MODEL DATA --commands FILE [--seconds 60] [--rounds 3]

pocketsphinx hears with the English model in its wheel: once it spots the phrases below in all that
it hears (its keyword list), once it has them as a grammar and cuts at pauses by its own endpointer,
which is what a session does here. What it recognises of other audio than English means nothing;
what it costs does not hang on that much. Times are of one processor, and the streams that one
would hold are their inverse: no server, no room for peaks.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bench_stream_cost import hear, read_audio
from pocketsphinx import Decoder, Endpointer, get_model_path

from hybridasr.recognize.recognizer import load
from hybridasr.score.result_table import format_table

VERBS = ("turn on", "turn off", "open", "close", "start", "stop", "raise", "lower")
THINGS = ("light", "fan", "music", "curtain", "heater", "radio", "door", "window")
THRESHOLD = "/1e-20/"  # of a keyword, as its documents advise for phrases of this length


def main() -> int:
    """Print a table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commands", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    recognizer = load(args.model, commands=args.commands)
    rate = recognizer.model.features.sample_rate
    audio = read_audio(args.data, rate, args.seconds)
    phrases = [f"{verb} {thing}" for verb in VERBS for thing in THINGS][:len(recognizer.commands)]
    hear(recognizer, rate, audio[:20 * rate])
    systems = {
        "hybridasr, commands": lambda: hear(recognizer, rate, audio)[0],
        "pocketsphinx, keyword list": lambda: spend(spot(phrases, audio)),
        "pocketsphinx, grammar": lambda: spend(follow(phrases, audio)),
    }
    times: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(args.rounds):
        for name, run in systems.items():
            times[name].append(run() / (len(audio) / rate))
    rows = [{"system": name, "phrases": len(phrases),
             "ms_a_second": round(1000 * statistics.median(each), 1),
             "streams_a_processor": round(1 / statistics.median(each))}
            for name, each in times.items()]
    print(f"load of the machine {os.getloadavg()[0]:.1f}\n{format_table(rows)}")
    return 0


def spend(steps: Iterator[None]) -> float:
    """Return the seconds of a processor that the steps take, what is before the first left out."""
    next(steps)
    begun = time.process_time()
    for _ in steps:
        pass
    return time.process_time() - begun


def spot(phrases: list[str], audio: np.ndarray) -> Iterator[None]:
    """Spot the phrases in pieces of 0.1 s."""
    place = Path(f"/tmp/phrases-{os.getpid()}.txt")
    place.write_text("".join(f"{phrase} {THRESHOLD}\n" for phrase in phrases))
    decoder = Decoder(kws=str(place), lm=None, loglevel="FATAL")
    place.unlink()
    yield
    decoder.start_utt()
    for begin in range(0, len(audio), 1600):
        decoder.process_raw(audio[begin:begin + 1600].tobytes())
        if decoder.hyp() is not None:
            decoder.end_utt()
            decoder.start_utt()
        yield
    decoder.end_utt()


def follow(phrases: list[str], audio: np.ndarray) -> Iterator[None]:
    """Recognise one of the phrases between pauses."""
    decoder = Decoder(hmm=get_model_path("en-us/en-us"), lm=None, loglevel="FATAL")
    decoder.add_jsgf_string("phrases", "#JSGF V1.0; grammar phrases; public <phrase> = "
                            + " | ".join(phrases) + ";")
    decoder.activate_search("phrases")
    endpointer, begun = Endpointer(), False
    size = endpointer.frame_bytes
    contents = audio.tobytes()
    yield
    for begin in range(0, len(contents) - size + 1, size):
        speech = endpointer.process(contents[begin:begin + size])
        if speech is not None:
            if not begun:
                decoder.start_utt()
            begun = True
            decoder.process_raw(speech)
            if not endpointer.in_speech:
                decoder.end_utt()
                begun = False
        yield


if __name__ == "__main__":
    sys.exit(main())
