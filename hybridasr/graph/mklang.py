"""Owns the step from words to a lang directory: pronunciations, phones, L."""

from collections.abc import Container, Iterable
from pathlib import Path

from hybridasr.corpus.datadir import read_datadir
from hybridasr.corpus.kaldi_files import lines_of
from hybridasr.corpus.text import normalize_text
from hybridasr.errors import UserError
from hybridasr.grammar.command_file import read_command_words
from hybridasr.graph.lexicon_fst import write_lexicon_fsts
from hybridasr.lexicon.langdir import LangOptions, prepare_lang
from hybridasr.lexicon.lexicon import build_lexicon
from hybridasr.lexicon.phones import default_phone_set
from hybridasr.storage import PathLike, read_text


def make_lang(sources: Iterable[Path], destination: PathLike, options: LangOptions,
              oov: str = "error", lexicon: PathLike | None = None, mix_phones: bool = False,
              offers: Container[str] = ("--oov",)) -> str:
    """Write a lang directory for every word of some data directories and command lists.

    Parameters
    ----------
    sources : iterable of Path
        Data directories (their transcripts) and command lists.
    oov : "error", "guess" or "spn"
        What a word without pronunciation gets (`lexicon.build_lexicon`).
    lexicon : path, optional
        Own pronunciations, which win over all others.
    mix_phones, offers
        See `lexicon.build_lexicon`.

    Returns
    -------
    str
        The closing line.

    Raises
    ------
    UserError
        if a source cannot be read, there are no words, or one has no pronunciation; the line
        names the file and line that has it.
    """
    sources = list(sources)
    words: set[str] = set()
    places: dict[str, tuple[PathLike, int]] = {}
    for source in sources:
        if source.is_dir():
            for utterance in read_datadir(source).utterances.values():
                words.update(utterance.words)
            # Read once more for the line numbers, which a DataDir does not keep.
            for number, line in enumerate(lines_of(read_text(source / "text")), 1):
                for word in normalize_text(line).split()[1:]:
                    places.setdefault(word, (source / "text", number))
            continue
        lines = read_command_words(source)
        words.update(lines)
        places.update({word: (source, line) for word, line in lines.items()})
    if not words:
        raise UserError("no word in any transcript; write what is said into text", sources[0])
    whole = build_lexicon(words, oov, lexicon, places=places, mix_phones=mix_phones, offers=offers)
    lang = prepare_lang(whole, default_phone_set().covering(whole.phones), destination, options)
    write_lexicon_fsts(lang)
    return (f"{len(whole.entries)} words, "
            f"{len(lang.nonsilence_phones) + len(lang.silence_phones)} phones")
