"""Owns synthetic speakers beside the few of a training set: each says the set's words, or others.

A network that hears three speakers learns the three. espeak-ng has some eighty voices that sound
like people, and a few accents of English; each speaker here is a voice, an accent, a pitch and a
pace, drawn by the speaker's number. Recordings are close to the word and clean: rooms, noises and
microphones are for `corpus.augment`. The table ``utt2synthetic`` names them, so that no training
is watched, and nothing is chosen, by speech that nobody said.
"""

import zlib
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybridasr.corpus.audio import write_flac
from hybridasr.corpus.datadir import DataDir, Utterance, flac_name, write_datadir
from hybridasr.corpus.espeak import Voice, spoken_form, synthesize_at
from hybridasr.options import check_least, option, seed_option
from hybridasr.parallel import run_blocks, split_blocks
from hybridasr.storage import PathLike

SYNTHETIC = "utt2synthetic"  # table: 1 of an utterance that nobody said, 0 of the others
_BLOCK = 40  # utterances a job
# Variants of espeak-ng that sound like people: no whisper, no robot, no effects.
_VARIANTS = (
    "Alex", "Alicia", "Andrea", "Andy", "Annie", "AnxiousAndy", "Denis", "Diogo", "Gene",
    "Henrique", "Hugo", "Jacky", "Lee", "Marco", "Mario", "Michael", "Mike", "Nguyen", "Reed",
    "RicishayMax", "RicishayMax2", "RicishayMax3", "adam", "anika", "antonio", "aunty",
    "belinda", "benjamin", "boris", "caleb", "david", "ed", "edward", "edward2", "f1", "f2",
    "f3", "f4", "f5", "grandma", "grandpa", "gustave", "ian", "iven", "iven2", "iven3", "john",
    "klatt", "klatt2", "klatt3", "klatt4", "klatt5", "klatt6", "linda", "m1", "m2", "m3", "m4",
    "m5", "m6", "m7", "m8", "marcelo", "max", "michel", "miguel", "mike2", "norbert", "pablo",
    "paul", "pedro", "quincy", "rob", "robert", "sandro", "shelby", "steph", "steph2", "steph3",
    "victor", "zac",
)  # fmt: skip
# Half of the speakers of English have the first, the others any.
_ACCENTS = ("en-us", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029",
            "en-us-nyc")


@dataclass(frozen=True)
class SyntheticOptions:
    """Synthetic speakers that a network hears beside those of the training set."""

    speakers: int = option(0, "synthetic speakers; 0: none")
    repetitions: int = option(2, "times each says each text", needs="speakers")
    texts: str = option("", "file of the texts, one a line, beside recipe.conf; none: the "
                            "transcripts of the training set", needs="speakers")
    most_texts: int = option(50, "transcripts, at most; the most frequent ones are taken",
                             needs="speakers, texts=")
    texts_each: int = option(0, "texts that each speaker says, drawn; 0: all", needs="speakers")
    seed: int = seed_option()

    def __post_init__(self):
        """Refuse values outside their range."""
        check_least(self, {"speakers": 0, "repetitions": 1, "most_texts": 1, "texts_each": 0,
                           "seed": 0})


@dataclass(frozen=True)
class _Job:
    """One file."""

    text: str
    number: int  # of the speaker
    name: str
    path: Path
    rate: int
    seed: int


def synthesize_set(texts: Iterable[str], destination: PathLike, rate: int,
                   options: SyntheticOptions, pool: Executor) -> DataDir:
    """Let synthetic speakers say texts; write them as a data directory.

    Parameters
    ----------
    texts : iterable of str
        Hanzi, pinyin or English, each one once. Each speaker says all, or as many as the options
        say, drawn by the speaker's number.
    destination : path
        Gets ``wav/<utterance>.flac`` (16 bit, one channel).
    rate : int
        Hertz of the recordings.
    pool : Executor
        From `hybridasr.parallel.executor`; the files are the same for any number of jobs.

    Raises
    ------
    UserError
        if espeak-ng is not installed or cannot say a text.
    """
    folder, texts = Path(destination).absolute() / "wav", list(texts)
    for text in texts:
        spoken_form(text)
    jobs = []
    for number in range(1, options.speakers + 1):
        for place in _places(len(texts), number, options):
            for time in range(1, options.repetitions + 1):
                name = f"synthetic{number:03d}-{place + 1:03d}-{time}"
                jobs.append(_Job(texts[place], number, name, folder / flac_name(name), rate,
                                 options.seed))
    for _ in run_blocks(pool, _write_words, [(block,) for block in split_blocks(jobs, _BLOCK)],
                        "synthesise"):
        pass
    return write_datadir(destination, [
        Utterance(job.name, job.name.split("-")[0], tuple(job.text.split()), job.name,
                  str(job.path)) for job in jobs], {SYNTHETIC: {job.name: "1" for job in jobs}})


def _places(num_texts: int, speaker: int, options: SyntheticOptions) -> list[int]:
    """Return which of the texts a speaker says, in order."""
    if not 0 < options.texts_each < num_texts:
        return list(range(num_texts))
    draw = np.random.default_rng([options.seed, speaker, 1])
    return sorted(draw.choice(num_texts, options.texts_each, replace=False).tolist())


def synthetic_utterances(data: DataDir) -> frozenset[str]:
    """Return the utterances of a set that nobody said."""
    return frozenset(name for name, value in data.tables.get(SYNTHETIC, {}).items()
                     if value == "1")


def _write_words(jobs: list[_Job]) -> None:
    for job in jobs:
        samples = say_once(job.text, job.number, job.name, job.rate, job.seed)
        write_flac(job.path, samples, job.rate)


def say_once(text: str, speaker: int, name: str, rate: int, seed: int = 0) -> np.ndarray:
    """Speak a text as a synthetic speaker would, once.

    Parameters
    ----------
    speaker : int
        The number decides voice, accent, pitch and pace.
    name : str
        Of the utterance: decides how this time differs from others.
    rate : int
        Hertz of what comes back.

    Returns
    -------
    float64 (num_samples,)
        In 16-bit range, with 5 to 50 ms of soft noise before and after the word.

    Raises
    ------
    UserError
        as from `corpus.espeak.synthesize_at`.
    """
    own = np.random.default_rng([seed, speaker])
    variant = _VARIANTS[(speaker - 1) % len(_VARIANTS)]
    accent = _ACCENTS[0 if own.random() < 0.5 else own.integers(len(_ACCENTS))]
    pace, pitch, span = own.uniform(130, 230), own.uniform(15, 75), own.uniform(10, 80)
    draw = np.random.default_rng([seed, zlib.crc32(name.encode())]).uniform
    language, spoken = spoken_form(text)
    voice = Voice(variant, round(pace * draw(0.85, 1.2)),
                  int(np.clip(round(pitch + draw(-8, 8)), 0, 99)),
                  int(np.clip(round(span + draw(-10, 10)), 0, 99)))
    speech = synthesize_at(rate, spoken, accent if language.startswith("en") else language, voice)
    loud = np.flatnonzero(np.abs(speech) > 0.02 * np.abs(speech).max())
    word = np.pad(speech[loud[0]:loud[-1] + 1],
                  [round(rate * draw(0.005, 0.05)) for _ in range(2)])
    word *= draw(3000, 20000) / np.abs(word).max()
    noise = np.random.default_rng([seed, zlib.crc32(name.encode()), 1]).standard_normal(len(word))
    return word + noise * np.abs(word).max() * 10 ** (-draw(35, 60) / 20)
