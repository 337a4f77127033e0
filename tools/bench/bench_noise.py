"""Trains a network with and without noisy copies, and scores both on noisy speech.

    tools/bench/bench_noise.py WORK --noise FILE [--snr 10] [--threads 2] [--set OPTION=VALUE ...]

WORK is the work directory of a recipe that was run with its network. The second half of FILE, a
recording of noise, is added to every test utterance at the given ratio; the copies for training
get its first half or one of the noises that the program makes, at 0 to 20 dB, some in a room.
Printed: per cent of words wrong, without and with noise in the test, of the network trained without
and with noisy copies, all else equal.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import soundfile
from verbs import run

from hybridasr.corpus.audio import FULL_SCALE, load_audio, load_utterance
from hybridasr.corpus.datadir import DataDir, Utterance, read_datadir, write_datadir
from hybridasr.corpus.noises import synthetic_noises
from hybridasr.corpus.perturb import add_noise


def main() -> None:
    """Make the sets, train, score, print."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--noise", type=Path, required=True)
    parser.add_argument("--snr", type=float, default=10.0, help="of the test, decibels (10)")
    parser.add_argument("--copies", type=int, default=8, help="noisy copies an utterance (8)")
    parser.add_argument("--min-snr", type=float, default=0.0,
                        help="of the copies, decibels; at most 20 (0)")
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE",
                        help="of train-dnn, e.g. num-epochs=2")
    parser.add_argument("--ali", default="tri3b", help="the system with the alignments (tri3b)")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    network, exp = args.work / "data" / "network", args.work / "exp"
    rate = json.loads((network / "train" / "feature.json").read_text())["sample_rate"]
    noise = load_audio(args.noise, rate)
    first, second = np.array_split(noise, 2)
    folder = args.work / "bench_noise"
    for name, samples in {"recorded": first, **synthetic_noises(rate)}.items():
        write_wav(folder / "noises" / f"{name}.wav", samples, rate)
    noisy_test(read_datadir(network / "test"), folder / "test_noisy", second, args.snr, rate)
    run("augment-data", "--nj", args.threads, "--speeds", "1.0", "--copies", args.copies,
        "--copy-speeds", "0.9 1.0 1.1", "--noises", folder / "noises", "--noise-share", 1.0,
        "--min-snr", args.min_snr, "--max-snr", 20, "--reverb-share", 0.2,
        args.work / "data" / "train", folder / "train_noisy")
    run("combine-data", folder / "train", network / "train", folder / "train_noisy")
    for data in ("train", "test_noisy"):
        run("make-feats", "--nj", args.threads, "--model", exp / "dnn", folder / data)
    options = [f"--{text}" for text in args.set]
    print(time.strftime("%Y-%m-%d"), f"noise at {args.snr:g} dB,", " ".join(args.set) or "defaults")
    print(f"{'trained':24} {'clean %':>8} {'noisy %':>8} {'train s':>8}")
    for name, train in (("without noisy copies", network / "train"),
                        ("with noisy copies", folder / "train")):
        model = exp / f"bench_{name.split()[0]}_noise"
        run("train-dnn", "--nj", args.threads, *options, train, args.work / "data" / "lang",
            exp / args.ali, model)
        rates = [json.loads(run("evaluate", "--nj", args.threads, "--graph",
                                exp / args.ali / "graph", model, test))[0]["wer"]
                 for test in (network / "test", folder / "test_noisy")]
        info = json.loads((model / "model.json").read_text())["info"]
        print(f"{name:24} {rates[0]:8.2f} {rates[1]:8.2f} {info['train_seconds']:8.1f}",
              flush=True)


def noisy_test(data: DataDir, destination: Path, noise: np.ndarray, snr: float, rate: int) -> None:
    """Write a set with noise added to every utterance, from a place that is drawn."""
    rng, copies = np.random.default_rng(0), []
    for key, utterance in data.utterances.items():
        samples = add_noise(load_utterance(utterance, rate), noise, snr, rng)
        path = destination / "wav" / f"{key}.wav"
        write_wav(path, samples, rate)
        copies.append(Utterance(key, utterance.speaker, utterance.words, key, str(path.resolve())))
    write_datadir(destination, copies)


def write_wav(path: Path, samples: np.ndarray, rate: int) -> None:
    """Write samples in 16-bit range."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = np.clip(np.rint(samples), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    soundfile.write(path, whole, rate)


if __name__ == "__main__":
    main()
