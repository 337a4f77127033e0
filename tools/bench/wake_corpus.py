"""Writes the data directories of the benchmark of wake words.

    tools/bench/wake_corpus.py DATA DESTINATION [--without WORD ...]

DATA holds wakewords, ljspeech, dsp20 and common_voice_zh, and for the background also audio-cmn,
fsdd, yesno and noise, as in their public originals. DESTINATION gets ``train`` and ``test``, for
``egs/run.sh --recipe wake --corpus DESTINATION``, and ``background/<folder>``: speech without the
phrases, none of it trained on; and ``other``, the sentences of ``train`` alone, as ``--background``
of a command list. Every fifth speaker of common_voice_zh, three of four sentences of
ljspeech, and every other repetition of dsp20's training speakers train; of the wake words the even
files, but of those that are left out.
"""

import argparse
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from hybridasr.corpus.datadir import Utterance, write_datadir
from hybridasr.corpus.readers import READERS, ReaderOptions
from hybridasr.corpus.readers.base import audio_files, utterance
from hybridasr.lexicon.mandarin import is_hanzi
from hybridasr.recipe.recipe_grammar import cut_sentence

EVERY_SPEAKER, EVERY_SENTENCE = 5, 4


def main() -> None:
    """Write every set and print its size."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("destination", type=Path)
    parser.add_argument("--without", nargs="+", default=[], metavar="WORD",
                        help="wake words whose recordings do not train")
    args = parser.parse_args()
    phrases = list(wake_words(args.data / "wakewords"))
    common_voice = list(sentences_zh(args.data / "common_voice_zh", "train"))
    speakers = sorted({one.speaker for one in common_voice})[::EVERY_SPEAKER]
    english = list(sentences_en(args.data / "ljspeech"))
    dsp20 = READERS["dsp20"].read(args.data / "dsp20", ReaderOptions())
    words = dsp20["train"]
    other = [one for one in common_voice if one.speaker in speakers]
    other += [one for number, one in enumerate(english) if number % EVERY_SENTENCE]
    write(args.destination / "other", other)
    train = [*other, *words[::2]]
    train += [one for one in phrases
              if number_of(one) % 2 == 0 and " ".join(one.words) not in args.without]
    write(args.destination / "train", train)
    write(args.destination / "test", [one for one in phrases if number_of(one) % 2])
    background = args.destination / "background"
    write(background / "common_voice_zh", [
        *(one for one in common_voice if one.speaker not in speakers),
        *sentences_zh(args.data / "common_voice_zh", "test")])
    write(background / "ljspeech", english[::EVERY_SENTENCE])
    write(background / "dsp20", [*words[1::2], *dsp20["test"]])
    for folder in ("audio-cmn", "fsdd", "yesno", "noise"):
        write(background / folder, recordings(args.data / folder, folder))


def number_of(one: Utterance) -> int:
    """Return the number of a wake word's file."""
    return int(one.utterance.rpartition("-")[2])


def wake_words(folder: Path) -> Iterable[Utterance]:
    """Yield the recordings of wake words; nobody knows their speakers."""
    for word in sorted(path for path in folder.iterdir() if path.is_dir()):
        for path in audio_files(word):
            name = f"{word.name}-{path.stem}"
            yield utterance(name, name, word.name, path)


def sentences_zh(folder: Path, name: str) -> Iterable[Utterance]:
    """Yield the sentences of a table of Common Voice that are hanzi alone, cut into words."""
    for one in READERS["common_voice"].read(folder)[name]:
        if all(is_hanzi(character) for word in one.words for character in word):
            yield replace(one, words=cut_sentence(one.words))


def sentences_en(folder: Path) -> Iterable[Utterance]:
    """Yield the sentences of LJ Speech that there are recordings of; they have one speaker."""
    sets = READERS["ljspeech"].read(folder)
    for one in sorted([*sets["train"], *sets["test"]], key=lambda one: one.utterance):
        if " ".join(one.words).isascii():
            yield replace(one, speaker="lj")


def recordings(folder: Path, speaker: str) -> Iterable[Utterance]:
    """Yield all recordings below a folder, without words."""
    for inner in sorted({path.parent for path in folder.rglob("*.*")}):
        for path in audio_files(inner):
            name = "-".join(path.relative_to(folder).with_suffix("").parts)
            yield utterance(f"{speaker}-{name}", speaker, "", path)


def write(directory: Path, utterances: Iterable[Utterance]) -> None:
    """Write a data directory and print how much is in it."""
    data = write_datadir(directory, sorted(utterances, key=lambda one: one.utterance.encode()))
    print(f"{directory}: {len(data)} utterances of {len(data.speakers)} speakers")


if __name__ == "__main__":
    main()
