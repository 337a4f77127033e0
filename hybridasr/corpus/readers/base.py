"""Owns what all corpus readers share: their interface, their options, and their errors."""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from hybridasr.corpus.datadir import Utterance
from hybridasr.corpus.text import normalize_text
from hybridasr.errors import UserError
from hybridasr.options import option
from hybridasr.progress import logger

AUDIO_SUFFIXES = (".flac", ".wav", ".mp3", ".ogg", ".opus", ".aiff", ".aif", ".au")
Sets = dict[str, list[Utterance]]


@dataclass(frozen=True)
class ReaderOptions:
    """How a corpus is cut into sets; each reader says which fields it heeds."""

    test_speaker: str | None = option(
        None, "speaker to test on, several with commas (default: the corpus's own split)")
    seed: int = option(0, "seed of a random split, and of synthesis")
    nj: int = option(1, "parallel jobs (synthesis only)")
    commands: str | None = option(None, "command list to speak instead of the built-in one "
                                  "(synthesis only)")


@dataclass(frozen=True)
class Reader:
    """One corpus: where it comes from, how to know it, how to read it."""

    name: str
    title: str
    address: str  # where to get it; empty if it is the user's own
    licence: str
    layout: str  # the files expected, for error lines
    matches: Callable[[Path], bool]  # does this folder look like the corpus?
    read_sets: Callable[[Path, ReaderOptions], Sets]
    splits_by_speaker: bool = False  # it heeds `ReaderOptions.test_speaker`
    synthesises: bool = False  # it makes its recordings itself, and heeds `ReaderOptions.commands`
    by_hand: bool = False  # its archive is too large, or needs an account, to be fetched unasked

    def read(self, corpus_dir: str | Path, options: ReaderOptions | None = None) -> Sets:
        """List the corpus: set name ("train", "test", ...) to utterances, sorted by id.

        Raises
        ------
        UserError
            if the folder is missing, has another layout, or a set would be empty; the line says
            what is expected and where to get the corpus.
        """
        path = Path(corpus_dir)
        if not path.is_dir() and not self.synthesises:
            raise UserError(f"no such folder; {self.expected()}", path)
        options = options or ReaderOptions()
        for value, heeded, what in (
                (options.test_speaker, self.splits_by_speaker, "--test-speaker"),
                (options.commands, self.synthesises, "a list of commands to speak")):
            if value is not None and not heeded:
                raise UserError(f"{what} has no effect on {self.title}; leave it out", path)
        sets = self.read_sets(path, options)
        for name, utterances in sets.items():
            if not utterances:
                raise UserError(f"no utterance for the set '{name}'; {self.expected()}", path)
        return {name: sorted(utterances, key=lambda u: u.utterance.encode())
                for name, utterances in sets.items()}

    def expected(self) -> str:
        """The second half of an error line: the layout, and where the corpus comes from."""
        source = f"; get {self.title} from {self.address}" if self.address else ""
        return f"expected is {self.layout}{source}"


def audio_files(folder: Path) -> list[Path]:
    """Audio files directly in `folder`, sorted by name (code points); hidden ones left out.

    Of two files that differ in suffix only, the first in the order of `AUDIO_SUFFIXES` counts.
    """
    by_stem: dict[str, Path] = {}
    with os.scandir(folder) as entries:
        paths = [Path(e.path) for e in entries if e.is_file() and not e.name.startswith(".")]
    rank = {suffix: number for number, suffix in enumerate(AUDIO_SUFFIXES)}
    for path in sorted((p for p in paths if p.suffix.lower() in rank),
                       key=lambda p: rank[p.suffix.lower()]):
        by_stem.setdefault(path.stem, path)
    return sorted(by_stem.values(), key=lambda p: p.name)


def match_names(files: Iterable[Path], pattern: str) -> list[tuple[Path, re.Match]]:
    """Pair files with the match of their stem; those without one are counted in the log."""
    files = list(files)
    pairs = [(path, re.fullmatch(pattern, path.stem)) for path in files]
    odd = [path for path, match in pairs if not match]
    if odd:
        logger.warning("%s: %d of %d audio files left out, their names do not fit (first: %s)",
                       odd[0].parent, len(odd), len(files), odd[0].name)
    return [(path, match) for path, match in pairs if match]


def utterance(name: str, speaker: str, words: str, path: Path) -> Utterance:
    """An utterance that is a whole recording; the path is made absolute."""
    return Utterance(name, speaker, tuple(normalize_text(words).split()), name,
                     os.path.abspath(path))


def split_speakers(utterances: list[Utterance], test: set[str]) -> Sets:
    """Cut into train and test by speaker."""
    return {"train": [u for u in utterances if u.speaker not in test],
            "test": [u for u in utterances if u.speaker in test]}


def chosen_speakers(options: ReaderOptions, speakers: Iterable[str], path: Path) -> set[str]:
    """The speakers named by ``--test-speaker``; empty if the option is not given.

    Raises
    ------
    UserError
        if one is not in the corpus, or none is left to train on.
    """
    if options.test_speaker is None:
        return set()
    known = sorted(set(speakers))
    testers = {name.strip() for name in options.test_speaker.split(",") if name.strip()}
    strangers = sorted(testers - set(known))
    if strangers or not testers:
        raise UserError(f"--test-speaker '{', '.join(strangers)}' is not in the corpus; "
                        f"its speakers are {_some(known)}", path)
    if testers == set(known):
        raise UserError(f"--test-speaker takes all {len(known)} speakers; leave one or more "
                        "to train on", path)
    return testers


def last_sixth(names: Iterable[str]) -> set[str]:
    """The last sixth of the sorted names, one at least: who is tested by default.

    >>> last_sixth(["ben", "cid", "ann"])
    {'cid'}
    """
    ordered = sorted(set(names))
    return set(ordered[-max(1, len(ordered) // 6):])


def _some(names: list[str]) -> str:
    return ", ".join(names[:12]) + (f" ... ({len(names)} in all)" if len(names) > 12 else "")
