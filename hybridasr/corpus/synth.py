"""Owns the built-in corpus: commands and outside words spoken by synthetic speakers.

Takes three lists and a folder; gives FLAC files (16 kHz, 16 bit, mono) there and the utterances
of three sets: `train` (commands, outside words and sentences of the training speakers), `test`
(commands of other speakers) and `test_outside` (outside words never heard in training, of those
other speakers). Each speaker has a voice, a pitch, a rate, a level and a small room; each
utterance varies rate, pitch and care of speech, and has its own pauses and background noise.

Everything is drawn from generators seeded by utterance, so that files are the same for every
number of jobs. A file that exists is complete; a second run makes only what is missing.
espeak-ng's voices do tell the tones apart, by pitch alone (f1: tone 1 from 167 to 181 Hz, 2 from
142 to 171, 3 from 141 to 152, 4 from 166 to 152): features without pitch barely see them.
"""

import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import fftconvolve, lfilter

from hybridasr.corpus.audio import write_flac
from hybridasr.corpus.datadir import Utterance
from hybridasr.corpus.espeak import Voice, spoken_form, synthesize_at
from hybridasr.errors import UserError
from hybridasr.options import option, to_dict
from hybridasr.parallel import SerialExecutor, run_blocks, split_blocks
from hybridasr.progress import logger
from hybridasr.storage import digest, read_json, write_json

SAMPLE_RATE = 16000  # hertz
VERSION = 1  # raise it with every change that changes a sample
MARKER = "synth.json"
_BLOCK = 40  # utterances a job
_FULL_SCALE = 32768.0

# Variant of espeak-ng, words a minute, pitch (0..99), pitch range (0..99). Chosen among its 104
# variants: audible tones, no whisper, no effects. The first 16 train, the rest test.
_TRAIN_VOICES = (
    ("m1", 150, 45, 75), ("m2", 170, 55, 80), ("m3", 140, 40, 70), ("m4", 160, 60, 85),
    ("m7", 185, 50, 75), ("klatt3", 155, 50, 80), ("Andy", 180, 55, 80), ("michel", 165, 62, 75),
    ("edward2", 145, 44, 80), ("shelby", 160, 45, 70), ("f1", 150, 50, 75), ("f2", 175, 45, 80),
    ("f4", 145, 58, 85), ("Annie", 165, 42, 65), ("linda", 155, 48, 85), ("steph", 180, 55, 85),
)  # fmt: skip
_TEST_VOICES = (
    ("m5", 155, 48, 75), ("m6", 172, 57, 80), ("Nguyen", 160, 50, 70),
    ("f3", 150, 47, 75), ("f5", 178, 52, 80), ("belinda", 158, 44, 80),
)  # fmt: skip


@dataclass(frozen=True)
class SynthOptions:
    """How much is synthesised, and how clean it is."""

    train_speakers: int = option(16, "training speakers (at most 16)")
    test_speakers: int = option(6, "speakers kept for testing (at most 6)")
    repetitions: int = option(2, "times each training speaker says each command")
    test_repetitions: int = option(2, "times each test speaker says each command")
    sentence_speakers: int = option(4, "training speakers that say each sentence, about")
    min_snr: float = option(20.0, "lowest signal-to-noise ratio, decibels")
    max_snr: float = option(35.0, "highest signal-to-noise ratio, decibels")
    held_out: int = option(3, "every n-th outside word is left for testing (0: all are in both)")

    def __post_init__(self):
        for name, most in (("train_speakers", len(_TRAIN_VOICES)),
                           ("test_speakers", len(_TEST_VOICES))):
            if not 1 <= getattr(self, name) <= most:
                raise UserError(f"{name} is {getattr(self, name)}; give 1 to {most}")
        for name in ("repetitions", "test_repetitions", "sentence_speakers"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; give 1 or more")
        if not 0 <= self.min_snr <= self.max_snr:
            raise UserError(f"min_snr {self.min_snr} and max_snr {self.max_snr} are no range; "
                            "give 0 <= min_snr <= max_snr")
        if self.held_out < 0 or self.held_out == 1:
            raise UserError(f"held_out is {self.held_out}; give 0, or 2 or more")


@dataclass(frozen=True)
class SynthSpeaker:
    """One synthetic speaker."""

    name: str
    voice: Voice
    level: float  # root mean square of the speech, decibels below full scale (negative)
    reverberation: float  # seconds until the room's tail has fallen by 60 dB
    direct: float  # decibels of the direct sound over the tail
    noise_colour: float  # pole of the noise filter: 0 = white, near 1 = rumbling


@dataclass(frozen=True)
class _Job:
    """What a worker needs for one file."""

    utterance: str
    text: str
    speaker: SynthSpeaker
    path: Path
    seed: int
    options: SynthOptions


def synthesize_corpus(
    destination: str | Path,
    commands: Sequence[str],
    outside: Sequence[str] = (),
    sentences: Sequence[str] = (),
    seed: int = 0,
    pool: Executor | None = None,
    options: SynthOptions | None = None,
) -> dict[str, list[Utterance]]:
    """Make the corpus in `destination`, as far as it is not there yet, and list it.

    Parameters
    ----------
    destination : path
        New, or the destination of an earlier run. Files of an earlier run with other lists,
        options or seed are replaced.
    pool : Executor, optional
        Where the work is done (`hybridasr.parallel.executor`); in place by default.
    commands, outside, sentences : sequence of str
        Hanzi, pinyin or English. Commands are left out of the other two.

    Returns
    -------
    dict of set name ("train", "test", "test_outside") to utterances

    Raises
    ------
    UserError
        if espeak is not installed, a text cannot be spoken, or the folder holds other files.
    """
    destination, options = Path(destination), options or SynthOptions()
    commands = _texts(commands)
    outside, sentences = ([text for text in _texts(given) if text not in commands]
                          for given in (outside, sentences))
    sets = _plan(destination, seed, commands, outside, sentences, options)
    # A text that cannot be spoken stops the run here, not after half of the work.
    for text in commands + outside + sentences:
        spoken_form(text)
    _claim(destination, digest(VERSION, seed, commands, outside, sentences, to_dict(options)))
    missing = [job for jobs in sets.values() for job in jobs if not job.path.exists()]
    if missing:
        logger.info("%s: synthesising %d of %d utterances", destination, len(missing),
                    sum(map(len, sets.values())))
        blocks = [(block,) for block in split_blocks(missing, _BLOCK)]
        for _ in run_blocks(pool or SerialExecutor(), _make_files, blocks, "synthesise"):
            pass
    return {
        name: [Utterance(job.utterance, job.speaker.name, tuple(job.text.split()), job.utterance,
                         str(job.path)) for job in jobs]
        for name, jobs in sets.items()
    }


def make_speakers(options: SynthOptions) -> tuple[list[SynthSpeaker], list[SynthSpeaker]]:
    """Return the training and the test speakers; a speaker depends on its number alone.

    >>> training, testing = make_speakers(SynthOptions(train_speakers=2, test_speakers=1))
    >>> [speaker.name for speaker in training + testing]
    ['syn01', 'syn02', 'syn17']
    """
    speakers = []
    for number, (variant, rate, pitch, pitch_range) in enumerate(_TRAIN_VOICES + _TEST_VOICES, 1):
        name = f"syn{number:02d}"
        draw = np.random.default_rng(zlib.crc32(name.encode())).uniform
        speakers.append(SynthSpeaker(
            name, Voice(variant, rate, pitch, pitch_range), level=draw(-30, -20),
            reverberation=draw(0.1, 0.3), direct=draw(8, 16), noise_colour=draw(0.3, 0.95)))
    split = len(_TRAIN_VOICES)
    return speakers[:split][:options.train_speakers], speakers[split:][:options.test_speakers]


def render(text: str, speaker: SynthSpeaker, options: SynthOptions, seed: int, utterance: str
           ) -> np.ndarray:
    """Speak `text` as `speaker` would, once; return int16 samples (num_samples,) at 16 kHz.

    0.2 to 0.5 s of background noise come before and after the speech, never digital zeros.
    """
    rng = np.random.default_rng([seed, zlib.crc32(utterance.encode())])
    language, spoken = spoken_form(text, careful=bool(rng.random() < 0.3))
    voice = speaker.voice
    varied = Voice(voice.variant, round(voice.rate * rng.uniform(0.9, 1.12)),
                   int(np.clip(round(voice.pitch + rng.uniform(-6, 6)), 0, 99)),
                   int(np.clip(round(voice.pitch_range + rng.uniform(-12, 12)), 0, 99)),
                   voice.volume)
    speech = _trim(synthesize_at(SAMPLE_RATE, spoken, language, varied) / _FULL_SCALE)
    before, after = (int(SAMPLE_RATE * rng.uniform(0.2, 0.5)) for _ in range(2))
    clean = np.concatenate([np.zeros(before), speech / np.sqrt(np.mean(speech**2)),
                            np.zeros(after)])
    reverberant = fftconvolve(clean, _room(speaker))[: len(clean)]
    noise = lfilter([1.0], [1.0, -speaker.noise_colour], rng.standard_normal(len(clean) + 500))
    noise = noise[500:]  # without the filter's first steps
    snr = rng.uniform(options.min_snr, options.max_snr)
    noise *= 10 ** (-snr / 20) / noise.std()
    level = 10 ** ((speaker.level + rng.uniform(-2, 2)) / 20)
    mixed = (reverberant + noise) * level
    mixed *= min(1.0, 0.95 / np.abs(mixed).max())  # a peak must not clip
    return np.round(mixed * (_FULL_SCALE - 1)).astype(np.int16)


def _texts(given: Sequence[str]) -> list[str]:
    texts = [" ".join(text.split()) for text in given]
    double = {text for text in texts if texts.count(text) > 1}
    if double:
        raise UserError(f"'{sorted(double)[0]}' comes twice in the list; delete one of the two")
    return texts


def _plan(destination: Path, seed: int, commands: list[str], outside: list[str],
          sentences: list[str], options: SynthOptions) -> dict[str, list[_Job]]:
    if not commands:
        raise UserError("no commands to synthesise; give one or more")
    trainers, testers = make_speakers(options)

    def jobs(speakers: Iterable[SynthSpeaker], kind: str, texts: Iterable[tuple[int, str]],
             repetitions: int) -> list[_Job]:
        result = []
        for speaker in speakers:
            for number, text in texts:
                for repetition in range(1, repetitions + 1):
                    name = f"{speaker.name}-{kind}{number:03d}-{repetition}"
                    path = destination / "audio" / speaker.name / f"{name}.flac"
                    result.append(_Job(name, text, speaker, path.absolute(), seed, options))
        return result

    numbered_commands = list(enumerate(commands, 1))
    strange = list(enumerate(outside, 1))
    unseen = [pair for pair in strange if options.held_out and pair[0] % options.held_out == 0]
    familiar = [pair for pair in strange if pair not in unseen]
    # Many sentences by some speakers each, in turn, bring more contexts than few by all.
    turns = max(1, len(trainers) // options.sentence_speakers)
    numbered = list(enumerate(sentences, 1))
    shared = [job for turn in range(turns)
              for job in jobs(trainers[turn::turns], "s", numbered[turn::turns], 1)]
    sets = {
        "train": (jobs(trainers, "c", numbered_commands, options.repetitions)
                  + jobs(trainers, "o", familiar, 1) + shared),
        "test": jobs(testers, "c", numbered_commands, options.test_repetitions),
        "test_outside": jobs(testers, "o", unseen or strange, 1),
    }
    return {name: sorted(part, key=lambda job: job.utterance.encode())
            for name, part in sets.items() if part}


def _claim(destination: Path, wanted: str) -> None:
    """Mark `destination` as this corpus; remove the files of one with other settings."""
    marker = destination / MARKER
    if marker.exists():
        if read_json(marker).get("digest") == wanted:
            return
        logger.info("%s: lists or options have changed; synthesised anew", destination)
        for path in (destination / "audio").glob("syn*/syn*.flac"):
            path.unlink()
    elif destination.is_dir() and any(destination.iterdir()):
        raise UserError("holds files that the synthesis did not make; give a new or empty folder",
                        destination)
    write_json(marker, {"digest": wanted, "version": VERSION})


def _make_files(jobs: list[_Job]) -> None:
    for job in jobs:
        samples = render(job.text, job.speaker, job.options, job.seed, job.utterance)
        write_flac(job.path, samples, SAMPLE_RATE)


def _trim(speech: np.ndarray) -> np.ndarray:
    """Cut espeak's own silence (below 1 % of the peak) from both ends, leaving 10 ms."""
    loud = np.flatnonzero(np.abs(speech) > 0.01 * np.abs(speech).max())
    margin = SAMPLE_RATE // 100
    return speech[max(0, loud[0] - margin): loud[-1] + 1 + margin]


def _room(speaker: SynthSpeaker) -> np.ndarray:
    """Impulse response: the direct sound and an exponentially decaying tail of noise."""
    rng = np.random.default_rng([1, zlib.crc32(speaker.name.encode())])
    seconds = np.arange(int(SAMPLE_RATE * speaker.reverberation)) / SAMPLE_RATE
    tail = rng.standard_normal(len(seconds)) * 10 ** (-3 * seconds / speaker.reverberation)
    tail[:16] = 0  # the first reflection comes 1 ms after the direct sound
    tail *= 10 ** (-speaker.direct / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    return tail
