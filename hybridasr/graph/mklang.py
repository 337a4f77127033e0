"""Owns the step to a lang directory: pronunciations, phones, L.

It begins with words, which are looked up, or with a dictionary directory of Kaldi's form.
"""

from collections.abc import Container, Iterable
from pathlib import Path

from hybridasr.corpus.datadir import read_datadir
from hybridasr.corpus.kaldi_files import lines_of
from hybridasr.corpus.text import normalize_text
from hybridasr.errors import UserError, name_some
from hybridasr.grammar.command_file import read_command_words
from hybridasr.graph.lexicon_fst import write_lexicon_fsts
from hybridasr.lexicon.dict_dir import read_dict_dir
from hybridasr.lexicon.langdir import Lang, LangOptions, prepare_lang
from hybridasr.lexicon.lexicon import UNKNOWN_WORD, build_lexicon
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
    return _written(lang)


def make_dict_lang(source: PathLike, destination: PathLike, options: LangOptions,
                   oov_word: str = UNKNOWN_WORD) -> str:
    """Write a lang directory of a dictionary directory, every word and phone of it its own.

    Parameters
    ----------
    source : path
        As `dict_dir.read_dict_dir` reads it.
    oov_word : str
        The word of the dictionary that stands for unknown ones.

    Returns
    -------
    str
        The closing line.

    Raises
    ------
    UserError
        naming the file of the dictionary that is missing or does not fit.
    """
    dictionary = read_dict_dir(source)
    if oov_word not in dictionary.lexicon.entries:
        near = [word for word in dictionary.lexicon.entries if word.startswith("<")]
        raise UserError(f"its lexicon has no {oov_word} for unknown words; add the line "
                        f"'{oov_word} <phone of noise>', or pass --oov-word"
                        + (f" (it has {name_some(near)})" if near else ""), source)
    lang = prepare_lang(dictionary.lexicon, dictionary.phone_set, destination, options,
                        dictionary.silence_probs, oov_word)
    return _written(lang)


def _written(lang: Lang) -> str:
    write_lexicon_fsts(lang)
    return (f"{len(lang.pronunciations)} words, "
            f"{len(lang.nonsilence_phones) + len(lang.silence_phones)} phones")
