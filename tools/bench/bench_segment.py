"""Joins sentences to long recordings, cuts them again with segment-long, and prints what is right.

    tools/bench/bench_segment.py [--sentences 40] [--damage 0.1] MODEL DATA WORK

Each long recording is of up to so many sentences of DATA in a row, any speakers, with pauses of 0.2
to 2 seconds and some noise in between, and has the one transcript of all. Of the sentences a share
of --damage is changed in the transcript: left out, or those of another sentence in their place.
When each word is said is known from an alignment of the sentences one by one. Prints how many of
the words whose transcript is right were kept, how many words of the parts are not what is said
between their begin and end, and how much of the damaged sentences was kept.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import soundfile
from verbs import run

from hybridasr.corpus.audio import load_utterance
from hybridasr.corpus.datadir import Utterance, read_datadir, write_datadir
from hybridasr.output.ctm import read_ctm
from hybridasr.score.wer import score_texts

PAUSE, NOISE = (0.2, 2.0), 5.0  # seconds; deviation, 16-bit range


def main() -> None:
    """Join, cut and compare."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=40, help="of a recording, at most (40)")
    parser.add_argument("--damage", type=float, default=0.1)
    parser.add_argument("--nj", type=int, default=2)
    for name in ("model", "data", "work"):
        parser.add_argument(name, type=lambda text: Path(text).resolve())
    args = parser.parse_args()
    lang = args.model / "lang"
    run("align", "--nj", args.nj, args.data, lang, args.model, args.work / "ali")
    spoken: dict[str, list] = {}
    for row in read_ctm(args.work / "ali" / "words.ctm"):
        spoken.setdefault(row.recording, []).append(row)
    words = join(args, spoken)
    begun = time.time()
    run("segment-long", "--nj", args.nj, "--min-words", 3, args.work / "long", lang, args.model,
        args.work / "cleanup", args.work / "cut")
    report(args, words, time.time() - begun)


def join(args: argparse.Namespace, spoken: dict[str, list]) -> dict[str, list[tuple]]:
    """Write the long recordings; return their words: (middle in seconds, word, damaged)."""
    rng = np.random.default_rng(0)
    data = [one for one in read_datadir(args.data).utterances.values() if one.recording in spoken]
    order = [data[place] for place in rng.permutation(len(data))]
    rate = soundfile.info(order[0].wav).samplerate
    (args.work / "wav").mkdir(parents=True, exist_ok=True)
    utterances, words = [], {}
    for number, start in enumerate(range(0, len(order), args.sentences)):
        name, samples, text, place = f"long{number:03d}", [], [], 0
        words[name] = []
        for one in order[start:start + args.sentences]:
            pause = np.zeros(round(rng.uniform(*PAUSE) * rate))
            damaged = rng.random() < args.damage
            audio = np.concatenate([load_utterance(one, rate), pause])
            begin = place / rate - one.start
            words[name] += [(begin + row.begin + row.duration / 2, row.symbol, damaged)
                            for row in spoken[one.recording]]
            if not damaged:
                text += one.words
            elif rng.random() < 0.5:
                text += data[int(rng.integers(len(data)))].words
            samples.append(audio)
            place += len(audio)
        joined = np.concatenate(samples)
        joined = np.clip(joined + rng.normal(0, NOISE, len(joined)), -32768, 32767)
        path = args.work / "wav" / f"{name}.wav"
        soundfile.write(path, joined.astype(np.int16), rate)
        utterances.append(Utterance(name, name, tuple(text), name, str(path)))
    write_datadir(args.work / "long", utterances)
    return words


def report(args: argparse.Namespace, words: dict[str, list[tuple]], seconds: float) -> None:
    """Compare the parts with what is said in them."""
    parts = read_datadir(args.work / "cut").utterances
    said, kept = {}, {name: np.zeros(len(rows), bool) for name, rows in words.items()}
    for name, part in parts.items():
        rows = words[part.recording]
        inside = np.array([part.start <= middle < part.end for middle, *_ in rows])
        kept[part.recording] |= inside
        said[name] = [word for (_, word, _), is_in in zip(rows, inside, strict=True) if is_in]
    scores = score_texts(said, {name: list(part.words) for name, part in parts.items()})
    damaged = np.array([one for rows in words.values() for *_, one in rows])
    inside = np.concatenate(list(kept.values()))
    hours = sum(part.end - part.start for part in parts.values()) / 3600
    print(f"{time.strftime('%Y-%m-%d')} {len(words)} recordings, {len(damaged)} words, "
          f"{100 * damaged.mean():.1f} % of them in damaged sentences")
    print(f"{len(parts)} parts, {hours:.2f} h, in {seconds:.0f} s: kept are "
          f"{100 * inside[~damaged].mean():.1f} % of the words with a right transcript, "
          f"{100 * inside[damaged].mean():.1f} % of the damaged ones; "
          f"{scores.wer:.2f} % of the words of the parts are wrong")


if __name__ == "__main__":
    main()
