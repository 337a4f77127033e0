"""Recognises one recording at a time, with silence around it and at other levels, as in use.

    tools/bench/bench_alone.py MODEL DATA [--commands FILE] [--noise FILE] [--every N]

Of every utterance of DATA, in per cent of utterances: words wrong with the model's graph, and with
a command list commands accepted and right, outside words accepted, and the calibration error. The
first rows know nothing of a speaker, then the speaker's earlier utterances; all others are alone
again, with 0 to 5 seconds, drawn for each utterance, of something on either side: digital zeros,
hiss (root mean square 5), the hum of the mains, and the second half of FILE, the last two 20 dB
below the speech; softer by 30 dB; and turned up by 6 dB and clipped.
"""

import argparse
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import hybridasr
from hybridasr.corpus.audio import load_audio, load_utterance
from hybridasr.corpus.command_list import read_commands
from hybridasr.corpus.datadir import DataDir, Utterance, read_datadir
from hybridasr.corpus.noises import synthetic_noises
from hybridasr.corpus.perturb import speech_power
from hybridasr.recognize.recognizer import Recognizer, Speaker
from hybridasr.score.detection import TrialKind, Trials

SNR = 20.0
MOST_SECONDS = 5.0
HISS = 5.0
Alter = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def main() -> None:
    """Measure each condition and print its row."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--commands", type=Path, help="command list, of a calibrated model")
    parser.add_argument("--noise", type=Path, help="recording of noise; its second half is used")
    parser.add_argument("--every", type=int, default=1, metavar="N",
                        help="take every Nth utterance only (1)")
    args = parser.parse_args()
    data = read_datadir(args.data, False)
    recognizer = hybridasr.load(args.model)
    rate = recognizer.model.features.sample_rate
    spotter = hybridasr.load(args.model, commands=args.commands) if args.commands else None
    names = [command.text for command in read_commands(args.commands)] if args.commands else []
    print(time.strftime("%Y-%m-%d"), args.model, args.data)
    print(f"{'condition':22} {'utterances':>10} {'wrong':>6} {'right':>6} {'outside':>8} "
          f"{'ECE':>6}")
    for title, alter, remember in conditions(rate, args.noise):
        utterances = list(recordings(data, rate, alter, args.every))
        wrong = sum(result["text"].split() != list(u.words)
                    for u, result in recognized(recognizer, utterances, rate, remember))
        line = f"{title:22} {len(utterances):10d} {100 * wrong / len(utterances):6.2f}"
        if spotter is not None:
            figures = decisions(recognized(spotter, utterances, rate, remember), names)
            line += "".join(" " + ("-" if figures[name] is None else f"{figures[name]:.{digits}f}"
                                   ).rjust(width) for name, width, digits in
                            (("accepted_right", 6, 2), ("false_accept", 8, 2), ("ece", 6, 3)))
        print(line, flush=True)


def conditions(rate: int, noise: Path | None) -> Iterator[tuple[str, Alter, bool]]:
    """Yield title, what is done to the samples, and whether speakers are remembered."""
    yield "alone", lambda samples, rng: samples, False
    yield "earlier utterances", lambda samples, rng: samples, True
    hum = synthetic_noises(rate)["hum"]
    yield "zeros around", padded(rate, lambda count, power, rng: np.zeros(count)), False
    yield "hiss around", padded(rate, lambda count, power, rng:
                                rng.standard_normal(count) * HISS), False
    yield "hum around", padded(rate, scaled(hum)), False
    if noise is not None:
        recorded = np.array_split(load_audio(noise, rate), 2)[1]
        yield f"{noise.stem} around", padded(rate, scaled(recorded)), False
    yield "30 dB softer", lambda samples, rng: np.rint(samples * 10 ** (-30 / 20)), False
    yield "clipped by 6 dB", clipped, False


def padded(rate: int, sound: Callable) -> Alter:
    """Return what puts a sound (count, power of the speech, generator) on either side."""
    def alter(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        power = speech_power(samples)
        before, after = (int(rate * seconds) for seconds in rng.uniform(0, MOST_SECONDS, 2))
        return np.concatenate([sound(before, power, rng), samples, sound(after, power, rng)])
    return alter


def scaled(noise: np.ndarray) -> Callable:
    """Return what cuts a piece out of a noise and brings its loudness below the speech."""
    mean_power = float(np.mean(np.square(noise, dtype=np.float64)))

    def cut(count: int, power: float, rng: np.random.Generator) -> np.ndarray:
        start = rng.integers(len(noise))
        piece = np.take(noise, np.arange(start, start + count), mode="wrap")
        return piece * np.sqrt(power / mean_power) * 10 ** (-SNR / 20)
    return cut


def clipped(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn up by 6 dB what then does not fit below the old peak."""
    peak = np.abs(samples).max(initial=0.0)
    return np.clip(2 * samples, -peak, peak)


def recordings(data: DataDir, rate: int, alter: Alter, every: int
               ) -> Iterator[tuple[Utterance, np.ndarray]]:
    """Yield every so many utterances with their altered samples, int16."""
    for utterance in list(data.utterances.values())[::every]:
        rng = np.random.default_rng(zlib.crc32(utterance.utterance.encode()))
        samples = alter(load_utterance(utterance, rate), rng)
        yield utterance, np.clip(np.rint(samples), -32768, 32767).astype(np.int16)


def recognized(recognizer: Recognizer, utterances: list[tuple[Utterance, np.ndarray]], rate: int,
               remember: bool) -> Iterator[tuple[Utterance, dict]]:
    """Recognise one after the other; yield each with its result."""
    speakers: dict[str, Speaker] = {}
    for utterance, samples in utterances:
        speaker = speakers.setdefault(utterance.speaker, Speaker()) if remember else None
        yield utterance, recognizer.recognize(samples, rate, speaker=speaker)


def decisions(results: Iterator[tuple[Utterance, dict]], names: list[str]) -> dict:
    """Return the figures of a command list."""
    probabilities, kinds, accepted = [], [], []
    for utterance, result in results:
        said = " ".join(utterance.words)
        best = result["alternatives"][0]["text"] if result["alternatives"] else result["text"]
        best = result["text"] or best
        kinds.append(TrialKind.OUTSIDE if said not in names else
                     TrialKind.RIGHT if best == said else TrialKind.WRONG)
        probabilities.append(result["confidence"] or 0.0)
        accepted.append(result["accepted"])
    return Trials(np.array(probabilities), np.array(kinds)).figures(
        0.5, accepted=np.array(accepted))


if __name__ == "__main__":
    main()
