"""Trains a speaker check, and tries it on speakers that it has not heard.

    tools/bench/bench_speaker_check.py TRAIN TEST [--noise FILE] [--draws 20] [--set OPTION=VALUE]

TRAIN and TEST are data directories. Every speaker of TEST is enrolled with three utterances, drawn
as often as --draws says; every utterance of other words, of all speakers of TEST, is a trial. With
FILE, the second half of it is also added to the trials at 20 and 10 dB; the enrolments stay as they
are. Printed, in per cent: equal error rate, false accepts and misses with the threshold 0; first of
the speakers left out in the training.
"""

import argparse
import time
import zlib
from pathlib import Path

import numpy as np

from hybridasr.corpus.audio import load_audio, load_utterance
from hybridasr.corpus.datadir import DataDir, read_datadir
from hybridasr.corpus.perturb import add_noise
from hybridasr.options import from_strings
from hybridasr.parallel import SerialExecutor
from hybridasr.score.detection import DetCurve, det_curve
from hybridasr.voice.check_trainer import (
    SpeakerCheckOptions,
    VoiceSet,
    check_figures,
    speaker_trials,
    train_speaker_check,
)
from hybridasr.voice.speaker_check import SpeakerCheck
from hybridasr.voice.voice_vector import voice_vector


def main() -> None:
    """Train, try, print."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--noise", type=Path, help="recording of noise; its second half is used")
    parser.add_argument("--draws", type=int, default=20, help="enrolments of each speaker (20)")
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE",
                        help="of train-speaker-check, e.g. shrinkage=0.1")
    args = parser.parse_args()
    options = from_strings(SpeakerCheckOptions, dict(text.split("=", 1) for text in args.set))
    check, curve = train_speaker_check([read_datadir(args.train, False)], SerialExecutor(), options)
    print(time.strftime("%Y-%m-%d"), args.train, args.test, *args.set)
    print_row("speakers left out", curve)
    test = read_datadir(args.test, False)
    print_row("test", trials(check, test, args.draws))
    if args.noise:
        noise = np.array_split(load_audio(args.noise, check.rate), 2)[1]
        for ratio in (20.0, 10.0):
            print_row(f"test, noise at {ratio:g} dB", trials(check, test, args.draws, noise, ratio))


def print_row(title: str, curve: DetCurve) -> None:
    """Print the figures of a curve."""
    figures = check_figures(curve)
    print(f"{title:24} EER {figures['eer']:6.2f}  threshold 0: false accepts "
          f"{figures['false_accept']:6.2f}, misses {figures['miss']:6.2f}", flush=True)


def trials(check: SpeakerCheck, data: DataDir, draws: int, noise: np.ndarray | None = None,
           ratio: float = 0.0) -> DetCurve:
    """Enrol and try all speakers of a set."""
    clean, noisy, kept = [], [], []
    for utterance in data.utterances.values():
        samples = load_utterance(utterance, check.rate)
        vector = other = voice_vector(samples, check.rate)
        if noise is not None:
            rng = np.random.default_rng(zlib.crc32(utterance.utterance.encode()))
            other = voice_vector(add_noise(samples, noise, ratio, rng), check.rate)
        if vector is not None and other is not None:
            clean.append(vector)
            noisy.append(other)
            kept.append(utterance)
    voices = VoiceSet(np.array(clean), np.array([utterance.speaker for utterance in kept]),
                      np.array([" ".join(utterance.words) for utterance in kept]))
    ratios, same = speaker_trials(check.plda, voices, draws, tried=np.array(noisy))
    return det_curve(check.scale * ratios + check.offset, same)


if __name__ == "__main__":
    main()
