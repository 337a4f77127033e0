"""Owns recordings in folders of words, spoken by the synthetic speakers of the built-in corpus.

Takes texts and a folder; gives ``FOLDER/<text>/<speaker>-<number>.flac`` (16 kHz, 16 bit, mono),
the layout of people's own recordings (`corpus.readers.folder`). A blank in a text is
``_`` in its folder's name. Every file is drawn from a generator seeded by speaker, text and number,
so that it is the same for every number of jobs and whatever other texts there are.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybridasr.corpus.audio import write_flac
from hybridasr.corpus.espeak import spoken_form
from hybridasr.corpus.synth import (
    SAMPLE_RATE,
    VERSION,
    SynthOptions,
    SynthSpeaker,
    make_speakers,
    render,
)
from hybridasr.errors import UserError
from hybridasr.options import option, seed_option, to_dict
from hybridasr.parallel import SerialExecutor, run_blocks, split_blocks
from hybridasr.storage import digest, read_json, write_json

MOST_SPEAKERS = sum(map(len, make_speakers(SynthOptions())))
_MARKER = "word_folders.json"
_BLOCK = 40  # recordings a job


@dataclass(frozen=True)
class WordFolderOptions:
    """Who says the words, how often, and how clean the recordings are."""

    speakers: int = option(MOST_SPEAKERS, f"synthetic speakers (2 to {MOST_SPEAKERS})")
    repetitions: int = option(2, "times each speaker says each text")
    min_snr: float = option(20.0, "lowest signal-to-noise ratio, decibels")
    max_snr: float = option(35.0, "highest signal-to-noise ratio, decibels")
    seed: int = seed_option()

    def __post_init__(self):
        if not 2 <= self.speakers <= MOST_SPEAKERS:
            raise UserError(f"speakers is {self.speakers}; give 2 to {MOST_SPEAKERS}")
        if self.seed < 0:
            raise UserError(f"seed is {self.seed}; give 0 or more")
        # The ranges of the others are checked there.
        SynthOptions(repetitions=self.repetitions, min_snr=self.min_snr, max_snr=self.max_snr)


def synthesize_folders(destination: str | Path, texts: Sequence[str],
                       options: WordFolderOptions | None = None, pool: Executor | None = None
                       ) -> list[Path]:
    """Make a folder of recordings for each text, as far as they are not there yet.

    Parameters
    ----------
    destination : path
        New, empty, or the destination of an earlier run with the same texts and options.
    texts : sequence of str
        Hanzi, pinyin or English; each one once.
    pool : Executor, optional
        Where the work is done (`hybridasr.parallel.executor`); in place by default.

    Returns
    -------
    list of paths of all recordings, by text, speaker and number

    Raises
    ------
    UserError
        if espeak is not installed, a text cannot be spoken, two texts have one folder, or the
        destination holds other files.
    """
    destination, options = Path(destination), options or WordFolderOptions()
    folders = {text: folder_name(text) for text in texts}
    if not folders or len(set(folders.values())) < len(texts):
        raise UserError("give texts, and each one once: a folder is made for each")
    for text in folders:
        spoken_form(text)
    _claim(destination, digest(VERSION, list(texts), to_dict(options)))
    jobs = [(text, speaker, number, destination / folder / f"{speaker.name}-{number}.flac")
            for text, folder in folders.items() for speaker in spread_speakers(options.speakers)
            for number in range(1, options.repetitions + 1)]
    missing = [job for job in jobs if not job[-1].exists()]
    blocks = [(block, options) for block in split_blocks(missing, _BLOCK)]
    for _ in run_blocks(pool or SerialExecutor(), _write_recordings, blocks, "synthesise"):
        pass
    return [path for *_, path in jobs]


def folder_name(text: str) -> str:
    """Return the name of the folder in which a text's recordings are.

    >>> folder_name("turn on  the light")
    'turn_on_the_light'
    """
    name = "_".join(text.split())
    # The reader leaves out folders that begin so, and a slash would make two of them.
    if not name or name[0] in "._" or set(name) & {"/", "\\", "\0"}:
        raise UserError(f"'{text}' cannot name a folder; give letters, pinyin or hanzi")
    return name


def spread_speakers(number: int) -> list[SynthSpeaker]:
    """Return so many of the synthetic speakers, spread over all of them.

    >>> [speaker.name for speaker in spread_speakers(3)]
    ['syn01', 'syn11', 'syn22']
    """
    training, testing = make_speakers(SynthOptions())
    places = np.linspace(0, MOST_SPEAKERS - 1, number).astype(int)
    return [(training + testing)[place] for place in places]


def _claim(destination: Path, wanted: str) -> None:
    """Mark `destination` as made of these texts and options; refuse one with other files."""
    marker = destination / _MARKER
    if marker.is_file() and read_json(marker).get("digest") == wanted:
        return
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise UserError("holds other files, or recordings of other texts or options; give a new or "
                        "empty folder", destination)
    write_json(marker, {"digest": wanted, "version": VERSION})


def _write_recordings(jobs: list[tuple[str, SynthSpeaker, int, Path]],
                      options: WordFolderOptions) -> None:
    drawn = SynthOptions(min_snr=options.min_snr, max_snr=options.max_snr)
    for text, speaker, number, path in jobs:
        utterance = f"{speaker.name}-{text}-{number}"
        write_flac(path, render(text, speaker, drawn, options.seed, utterance), SAMPLE_RATE)
