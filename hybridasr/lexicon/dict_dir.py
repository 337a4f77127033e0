"""Owns Kaldi's dictionary directories: a lexicon, the phones that it is written in, silence.

Files: `lexicon.txt`, `lexiconp.txt` or `lexiconp_silprob.txt` with `silprob.txt`;
`silence_phones.txt`, `nonsilence_phones.txt`, `optional_silence.txt`; `extra_questions.txt` if the
tree is to ask more. They are what prepare_lang.sh takes. Nothing of the built-in tables is added.
"""

from dataclasses import dataclass
from pathlib import Path

from hybridasr.corpus.text import normalize_text
from hybridasr.errors import UserError
from hybridasr.lexicon.lexicon import (
    Lexicon,
    Pronunciation,
    make_lexicon,
    read_lexicon,
    write_lexicon,
)
from hybridasr.lexicon.phones import POSITIONS, PhoneSet, read_phone_set
from hybridasr.lexicon.silence_probs import (
    LEXICON_FILE,
    SilenceProbs,
    read_silence_probs,
    write_silence_probs,
)
from hybridasr.storage import PathLike, write_text

PHONE_FILES = ("silence_phones.txt", "nonsilence_phones.txt", "optional_silence.txt")
LEXICONS = (LEXICON_FILE, "lexiconp.txt", "lexicon.txt")


@dataclass(frozen=True)
class Dictionary:
    """A dictionary directory in memory; no `silence_probs`: silence is as likely everywhere."""

    lexicon: Lexicon
    phone_set: PhoneSet
    silence_probs: SilenceProbs | None = None


def is_dict_dir(path: PathLike) -> bool:
    """Tell whether a directory is a dictionary rather than a data directory."""
    return any((Path(path) / name).is_file() for name in (*PHONE_FILES, *LEXICONS))


def read_dict_dir(path: PathLike) -> Dictionary:
    """Read a dictionary directory.

    Of several lexicons the one that says most is read, as in Kaldi: with silence probabilities,
    with probabilities, plain.

    Raises
    ------
    UserError
        naming the file that is missing, or file and line that do not fit the others.
    """
    path = Path(path)
    for name in PHONE_FILES:
        if not (path / name).is_file():
            raise UserError(f"{name} is missing; a dictionary directory has "
                            f"{', '.join(PHONE_FILES)} and a lexicon", path)
    name = next((name for name in LEXICONS if (path / name).is_file()), None)
    if name is None:
        raise UserError(f"has no lexicon; put one of {', '.join(LEXICONS)} there", path)
    silence_probs = None
    if name == LEXICON_FILE:
        lexicon, silence_probs = read_silence_probs(path)
    else:
        lexicon = _normalized(read_lexicon(path / name))
    phone_set = read_phone_set(path)
    check_lexicon(lexicon, phone_set, path / name)
    return Dictionary(lexicon, phone_set, silence_probs)


def _normalized(lexicon: Lexicon) -> Lexicon:
    """Write the words as transcripts are written when they are read."""
    entries: dict[str, tuple[Pronunciation, ...]] = {}
    for word, choices in lexicon.entries.items():
        word = normalize_text(word)
        entries[word] = entries.get(word, ()) + choices
    return make_lexicon(entries)


def write_dict_dir(path: PathLike, dictionary: Dictionary) -> None:
    """Write a dictionary directory, as `read_dict_dir` reads it; its lexicon in all three forms."""
    path, phones = Path(path), dictionary.phone_set
    groups = {
        "silence_phones.txt": [s for s in phones.sets if s[0] in phones.silence_phones],
        "nonsilence_phones.txt": [s for s in phones.sets if s[0] not in phones.silence_phones],
        "optional_silence.txt": [(phones.optional_silence,)],
        "extra_questions.txt": phones.extra_questions}
    for name, rows in groups.items():
        write_text(path / name, "".join(" ".join(row) + "\n" for row in rows))
    write_silence_probs(path, dictionary.lexicon, dictionary.silence_probs)
    for name in ("lexiconp.txt", "lexicon.txt"):
        write_lexicon(dictionary.lexicon, path / name)


def check_lexicon(lexicon: Lexicon, phone_set: PhoneSet, path: PathLike | None = None) -> None:
    """Refuse a lexicon with phones that its phone set lacks, and phones with reserved names.

    Parameters
    ----------
    path : path, optional
        The lexicon's file, for the error line.
    """
    known = {*phone_set.silence_phones, *phone_set.nonsilence_phones}
    for word, pronunciations in lexicon.entries.items():
        for pron in pronunciations:
            for phone in pron.phones:
                if phone not in known:
                    raise UserError(f"word '{word}' uses the phone '{phone}', which is not in the "
                                    "phone set; correct it, or add the phone to the set", path)
    for phone in known:
        # `base_phone` would take such an ending for a position, and Kaldi would take #k for a
        # mark.
        if phone.startswith(("#", "<")) or phone[-2:] in POSITIONS:
            raise UserError(f"'{phone}' cannot name a phone (#k, <...> and the endings _B _E _I _S "
                            "have a meaning of their own); rename it")
