"""Measures wake words: how many are missed, against false accepts an hour of other speech.

    tools/bench/bench_wake.py [--noise FILE] [--nj N] [--pocketsphinx] MODEL CORPUS

CORPUS is what wake_corpus.py wrote: ``test`` has recordings of the phrases, ``background`` hours
without them. The second half of FILE is added to the phrases, and to a further copy of the longest
set of the background, 10 dB below the speech. A phrase counts once for each recording of it; all
other recordings of phrases are background too. Prints, for each phrase and for the mean of all, the
false accepts that are allowed in ten hours (as far as the background can tell), the threshold, and
the per cent of missed phrases, clean and in noise; then how much of one core the first stage alone
takes, and both.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from hybridasr.corpus.audio import FULL_SCALE, load_audio
from hybridasr.corpus.command_list import make_commands
from hybridasr.corpus.datadir import DataDir, read_datadir
from hybridasr.corpus.perturb import add_noise
from hybridasr.evaluation.wake_rates import Heard, hear
from hybridasr.parallel import executor
from hybridasr.score.detection import rate_threshold
from hybridasr.wake.detector import WakeDetector, WakeOptions

RATE = 16000
SNR = 10.0
ALLOWED = (1, 2, 5, 10, 20, 50)  # false accepts in ten hours


def main() -> None:
    """Measure the phrases and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noise", type=Path, help="recording of noise")
    parser.add_argument("--nj", type=int, default=2, help="parallel jobs (2)")
    parser.add_argument("--every", type=int, default=1, metavar="N",
                        help="take every Nth recording of the background only (1)")
    parser.add_argument("--first-threshold", type=float, default=WakeOptions().first_threshold)
    parser.add_argument("--scores", type=Path, help="write all confidences there, as JSON")
    parser.add_argument("--pocketsphinx", action="store_true",
                        help="the keyword search of pocketsphinx in place of MODEL")
    parser.add_argument("model", type=Path)
    parser.add_argument("corpus", type=Path)
    args = parser.parse_args()
    test = read_datadir(args.corpus / "test")
    words = sorted({" ".join(u.words) for u in test.utterances.values()})
    background = {path.name: read_datadir(path, False)
                  for path in sorted((args.corpus / "background").iterdir())}
    print(time.strftime("%Y-%m-%d"), args.model, ", ".join(words))
    with tempfile.TemporaryDirectory() as folder, executor(args.nj) as pool:
        def heard(paths: list[Path]) -> list[Heard]:
            if args.pocketsphinx:
                return [sphinx_hears(path, words) for path in paths]
            return list(hear(args.model, make_commands(words), paths, args.first_threshold, pool))

        clean = files_of(test, 1)
        sets = {name: files_of(data, args.every) for name, data in background.items()}
        noise = None if args.noise is None else load_audio(args.noise, RATE)
        noisy: list[Path] = []
        longest = max(sets, key=lambda name: seconds_of(sets[name]))
        if noise is not None:
            noise = noise[len(noise) // 2:]
            sets[f"{longest} in noise"] = in_noise(sets[longest], noise, Path(folder) / "speech")
            noisy = in_noise(clean, noise, Path(folder) / "phrases")
        said = [" ".join(u.words) for u in test.utterances.values()]
        phrases = {"clean": heard(clean), "noise": heard(noisy)}
        others: list[Heard] = []
        for name, paths in sets.items():
            part = heard(paths)
            others += part
            print(f"background {name}: {hours_of(part):.2f} h, over 0.5: "
                  + ", ".join(f"{word} {count_over(part, word, 0.5)}" for word in words))
    if args.scores is not None:
        args.scores.write_text(json.dumps({
            "said": said, "background": [one.__dict__ for one in others],
            **{name: [one.__dict__ for one in part] for name, part in phrases.items()}}))
    print_curves(words, said, phrases, others)
    if not args.pocketsphinx:
        print_cost(args.model, words, sets[longest][:100])


def print_curves(words: list[str], said: list[str], phrases: dict[str, list[Heard]],
                 others: list[Heard]) -> None:
    """Print misses against false accepts, phrase by phrase and in all."""
    print(f"{'phrase':12} {'FA in 10 h':>10} {'threshold':>10} {'missed':>7} {'noise':>7}")
    sums = np.zeros((len(ALLOWED), 2))
    for word in words:
        extra = [one for one, name in zip(phrases["clean"], said, strict=True) if name != word]
        speech = others + extra
        false = [value for one in speech for value in one.confidences.get(word, ())]
        for row, allowed in enumerate(ALLOWED):
            if hours_of(speech) * allowed < 10:
                sums[row] = np.nan  # so little speech cannot tell
                continue
            threshold = rate_threshold(false, hours_of(speech), allowed / 10)
            missed = [missed_share(part, said, word, threshold) for part in phrases.values()]
            sums[row] += missed
            print(f"{word:12} {allowed:10d} {threshold:10.6f} {missed[0]:7.1f} {missed[1]:7.1f}")
    for allowed, missed in zip(ALLOWED, sums / len(words), strict=True):
        if np.isfinite(missed[0]):
            print(f"{'mean':12} {allowed:10d} {'':10} {missed[0]:7.1f} {missed[1]:7.1f}")


def missed_share(part: list[Heard], said: list[str], word: str, threshold: float) -> float:
    """Return the per cent of the recordings of a word in which it is not found."""
    best = [max(one.confidences.get(word, ()), default=-1.0)
            for one, name in zip(part, said, strict=False) if name == word]
    return 100 * float(np.mean(np.array(best) < threshold)) if best else np.nan


def print_cost(model: Path, words: list[str], paths: list[Path]) -> None:
    """Print the share of one core that the stages take."""
    samples = np.concatenate([load_audio(path, RATE) for path in paths])
    for title, least in (("first stage alone", 0.0), ("both stages", None)):
        options = WakeOptions() if least is None else WakeOptions(first_threshold=least)
        detector = WakeDetector(model, words, options, full_scale=FULL_SCALE)
        detector.warm_up()
        begun = time.process_time()
        for start in range(0, len(samples), RATE // 50):
            detector.accept(samples[start:start + RATE // 50])
        share = (time.process_time() - begun) / (len(samples) / RATE)
        print(f"{title}: {100 * share:.2f} % of one core")


def files_of(data: DataDir, every: int) -> list[Path]:
    """Return the recordings of a set."""
    return [Path(u.wav) for u in list(data.utterances.values())[::every]]


def in_noise(paths: list[Path], noise: np.ndarray, folder: Path) -> list[Path]:
    """Write copies with noise; the place in the noise is drawn for each."""
    folder.mkdir()
    copies = []
    rng = np.random.default_rng(0)
    for number, path in enumerate(paths):
        samples = load_audio(path, RATE)
        mixed = np.clip(add_noise(samples, noise, SNR, rng) / FULL_SCALE, -1, 1)
        copies.append(folder / f"{number:05d}.wav")
        soundfile.write(copies[-1], mixed, RATE, subtype="PCM_16")
    return copies


def seconds_of(paths: list[Path]) -> float:
    """Return the length of recordings."""
    return sum(soundfile.info(str(path)).duration for path in paths)


def hours_of(part: list[Heard]) -> float:
    """Return the hours that were heard."""
    return sum(one.seconds for one in part) / 3600


def count_over(part: list[Heard], word: str, least: float) -> int:
    """Return how often a phrase was heard with such a confidence."""
    return sum(value >= least for one in part for value in one.confidences.get(word, ()))


def sphinx_hears(path: Path, words: list[str]) -> Heard:
    """Return what pocketsphinx's keyword search hears; its score stands for a confidence."""
    from pocketsphinx import Decoder

    # A threshold that lets nearly all pass: those that are asked for are chosen from the scores.
    lines = "".join(f"{word} /1e-60/\n" for word in words)
    with tempfile.NamedTemporaryFile("w", suffix=".kws") as phrases:
        phrases.write(lines)
        phrases.flush()
        decoder = once(words, lambda: Decoder(kws=phrases.name, lm=None, loglevel="FATAL"))
    samples = np.clip(load_audio(path, RATE), -32768, 32767).astype(np.int16)
    decoder.start_utt()
    decoder.process_raw(samples.tobytes(), full_utt=True)
    decoder.end_utt()
    found: dict[str, list[float]] = {}
    for segment in decoder.seg() or ():
        found.setdefault(segment.word.strip(), []).append(segment.prob)
    return Heard(len(samples) / RATE, found)


DECODERS: dict[tuple, object] = {}


def once(words: list[str], make):
    """Return the decoder of the words, made at the first call."""
    key = tuple(words)
    if key not in DECODERS:
        DECODERS[key] = make()
    return DECODERS[key]


if __name__ == "__main__":
    main()
