"""Owns the text that language models are estimated from: lines in, sentences out."""

from pathlib import Path

from hybridasr.corpus.text import normalize_text
from hybridasr.errors import UserError
from hybridasr.storage import PathLike, read_text

_BESIDE = ("wav.scp", "utt2spk", "segments")  # what makes a file "text" Kaldi's


def read_sentences(path: PathLike, ids: bool | None = None) -> list[tuple[str, ...]]:
    """Read one sentence a line; blank lines are skipped.

    Parameters
    ----------
    path : path
        A data directory, or a text file.
    ids : bool, optional
        Whether a line begins with the id of an utterance. By default it does in a data directory,
        and in a file ``text`` that has ``wav.scp`` or ``utt2spk`` beside it; else it does not.

    Raises
    ------
    UserError
        if the file cannot be read, or holds no word.
    """
    path, ids = find_text(path, ids)
    lines = [normalize_text(line).split() for line in read_text(path).splitlines()]
    sentences = [tuple(words[1:] if ids else words) for words in lines if words]
    # An utterance in which nothing is said is no sentence either.
    sentences = [words for words in sentences if words]
    if not sentences:
        raise UserError("holds no word" + (" behind the ids" if ids else "") + "; write a sentence "
                        "a line", path)
    return sentences


def find_text(path: PathLike, ids: bool | None = None) -> tuple[Path, bool]:
    """Return the text file of a data directory, or the file itself, and whether lines have ids.

    Parameters
    ----------
    path, ids
        As for `read_sentences`.
    """
    path = Path(path)
    if path.is_dir():
        path /= "text"
        ids = True if ids is None else ids
    if ids is None:
        ids = path.name == "text" and any((path.parent / name).is_file() for name in _BESIDE)
    return path, ids
