"""Owns the agreement of transcripts, lang directories and what was made with them."""

from pathlib import Path

from hybridasr.corpus.datadir import Utterance
from hybridasr.errors import UserError
from hybridasr.lexicon.langdir import Lang


def word_ids(utterance: Utterance, words: dict[str, int], oov: int) -> tuple[int, ...]:
    """Return the transcript as ids of words.txt, unknown words as the OOV word."""
    return tuple(words.get(word, oov) for word in utterance.words)


def check_phones(theirs: Lang, ours: Lang, directory: Path) -> None:
    """Refuse a lang directory whose phones are not those that `directory` was made with."""
    names = sorted((theirs.phones.keys() | ours.phones.keys()), key=str)
    for name in names:
        if not name.startswith("#") and theirs.phones.get(name) != ours.phones.get(name):
            raise UserError(f"its alignments are of another lexicon than {ours.path}: phone "
                            f"'{name}' is {theirs.phones.get(name, 'missing')} there and "
                            f"{ours.phones.get(name, 'missing')} here; align again with this "
                            "lang directory", directory)
