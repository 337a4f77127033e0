"""Owns the agreement of transcripts, lang directories and what was made with them."""

import logging
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from hybridasr.corpus.datadir import DataDir, Utterance
from hybridasr.errors import UserError, name_some
from hybridasr.lexicon.langdir import Lang

logger = logging.getLogger("hybridasr")


def word_ids(utterance: Utterance, words: dict[str, int], oov: int) -> tuple[int, ...]:
    """Return the transcript as ids of words.txt, unknown words as the OOV word."""
    return tuple(words.get(word, oov) for word in utterance.words)


def unknown_words(utterances: Iterable[Utterance], words: Mapping[str, int]) -> dict[str, int]:
    """Count the words of transcripts that a lang directory lacks, the most frequent first.

    Examples
    --------
    >>> said = Utterance("u1", "s", ("One", "two", "One"), "u1", "u1.wav")
    >>> unknown_words([said], {"one": 1, "two": 2})
    {'One': 2}
    """
    counts = Counter(word for one in utterances for word in one.words if word not in words)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def check_transcripts(data: DataDir, lang: Lang) -> None:
    """Warn of the words of a set's transcripts that the lang directory lacks.

    Such words become the OOV word, which says nothing of how they sound.

    Raises
    ------
    UserError
        if it lacks them all: the lang directory is of another language or spelling.
    """
    unknown = unknown_words(data.utterances.values(), lang.words)
    if not unknown:
        return
    total = sum(len(one.words) for one in data.utterances.values())
    missing, spelled = sum(unknown.values()), _spellings(lang.words)
    names = [f"{word} ({near} is there)" if near else word
             for word, near in ((word, spelled.get(_plain(word))) for word in unknown)]
    if missing == total:
        raise UserError(f"none of its words is in {lang.path}: {name_some(names)}; use the lang "
                        "directory of this language and spelling (hybridasr prepare-lang)",
                        data.path / "text")
    logger.warning("%s: %d of %d words are not in %s and count as %s: %s", data.path / "text",
                   missing, total, lang.path, lang.word_name(lang.oov), name_some(names))


def _spellings(words: Iterable[str]) -> dict[str, str]:
    """Return a word for each plain spelling."""
    return {_plain(word): word for word in words if not word.startswith(("<", "#"))}


def _plain(word: str) -> str:
    """Return a word without case and punctuation."""
    folded = unicodedata.normalize("NFKC", word).casefold()
    return "".join(letter for letter in folded if letter.isalnum())


def check_phones(theirs: Lang, ours: Lang, directory: Path) -> None:
    """Refuse a lang directory whose phones are not those that `directory` was made with."""
    names = sorted((theirs.phones.keys() | ours.phones.keys()), key=str)
    for name in names:
        if not name.startswith("#") and theirs.phones.get(name) != ours.phones.get(name):
            raise UserError(f"its alignments are of another lexicon than {ours.path}: phone "
                            f"'{name}' is {theirs.phones.get(name, 'missing')} there and "
                            f"{ours.phones.get(name, 'missing')} here; align again with this "
                            "lang directory", directory)
