"""Owns background: recordings of other speech and of noise, in which nobody says a command."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from hybridasr.corpus.audio import audio_info, is_pipe
from hybridasr.corpus.datadir import read_datadir
from hybridasr.corpus.kaldi_files import Utterance, sort_key
from hybridasr.corpus.readers.base import AUDIO_SUFFIXES
from hybridasr.errors import UserError

LONGEST = 30.0  # seconds of a piece: the features of hours of radio are not made at once
NAME = "background"  # what the ids of its utterances and speakers begin with


def sound_files(places: Iterable[Path]) -> list[Path]:
    """Return recordings, and those below folders, in the order of their names.

    Raises
    ------
    UserError
        if a place holds none.
    """
    recordings: list[Path] = []
    for place in places:
        files = [place] if place.is_file() else sorted(
            path for path in place.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
        if not files:
            raise UserError(f"no recordings ({' '.join(AUDIO_SUFFIXES)}) there; check the path",
                            place)
        recordings += files
    return recordings


def check_background(places: Iterable[Path]) -> None:
    """Refuse places without recordings, before any work is done.

    Raises
    ------
    UserError
        naming the first.
    """
    for place in places:
        if not (place / "wav.scp").is_file():
            sound_files([place])


def background_utterances(places: Iterable[Path], words: tuple[str, ...] = ()
                          ) -> list[Utterance]:
    """Return the utterances of background, in pieces of at most `LONGEST` seconds.

    Parameters
    ----------
    places : iterable of Path
        Data directories, whose transcripts do not count, folders of recordings, and recordings.
    words : tuple of str
        The transcript of each.

    Raises
    ------
    UserError
        if a place holds no recordings, or one cannot be read.
    """
    utterances: dict[str, Utterance] = {}
    for place in places:
        for one in _utterances(place):
            for piece in _pieces(one):
                name = piece.utterance
                if name in utterances:
                    raise UserError(f"two recordings of the background would be called '{name}'; "
                                    "rename one, or give them in one folder", Path(one.wav))
                utterances[name] = replace(piece, words=words)
    return [utterances[name] for name in sorted(utterances, key=sort_key)]


def _utterances(place: Path) -> Iterator[Utterance]:
    if (place / "wav.scp").is_file():
        for one in read_datadir(place, need_text=False).utterances.values():
            yield replace(one, utterance=f"{NAME}-{one.utterance}",
                          speaker=f"{NAME}-{one.speaker}", recording=f"{NAME}-{one.recording}")
        return
    root = place.parent if place.is_file() else place
    for path in sound_files([place]):
        parts = (root.absolute().name, *path.relative_to(root).with_suffix("").parts)
        name, folder = (f"{NAME}-" + re.sub(r"\s+", "_", "-".join(names))
                        for names in (parts, parts[:-1]))
        yield Utterance(name, folder, (), name, str(path.absolute()))


def _pieces(one: Utterance) -> Iterator[Utterance]:
    """Yield an utterance in pieces of equal length, or as it is if it is short, or a pipe."""
    if is_pipe(one.wav):
        yield one
        return
    end = one.end if one.end is not None else audio_info(one.wav).seconds
    count = int(-(-(end - one.start) // LONGEST))
    if count <= 1:
        yield one
        return
    bounds = [one.start + (end - one.start) * place / count for place in range(count + 1)]
    for number, (begin, stop) in enumerate(zip(bounds, bounds[1:], strict=False)):
        yield replace(one, utterance=f"{one.utterance}-{number:04d}", start=begin, end=stop)
