"""Owns guesses: English spelling to CMU phones for words that no dictionary has.

espeak-ng (package espeakng-loader) says the word in IPA, which `lexicon/ipa_to_cmu.txt` maps to
CMU phones; where it is not installed, the letter rules of `lexicon/letter_rules.txt` are applied.
Every guess is logged by name, for the user to correct in a lexicon of their own.
"""

import _ctypes
import ctypes
import re
from functools import cache

from hybridasr.lexicon.table_files import builtin_table
from hybridasr.progress import logger

Phones = tuple[str, ...]

# Constants of espeak's speak_lib.h.
_OUTPUT_RETRIEVAL = 1
_DO_NOT_EXIT = 0x8000
_CHARS_UTF8 = 1
_PHONEMES_IPA = 0x02
_SEPARATOR = ord("_") << 8

_STRESS = re.compile("[ˈˌ]")


def guess_pronunciation(word: str) -> Phones | None:
    """Guess how an English word is said.

    Parameters
    ----------
    word : str
        Letters only; for anything else there is no guess.

    Returns
    -------
    tuple of CMU phones, or None if the word holds no letter that can be read.
    """
    # Letters only: espeak would read digits and signs aloud as words that nobody wrote.
    if not re.fullmatch(r"[^\W\d_][^\W\d_'’\-]*", word) or not word.isprintable():
        return None
    phones, means = _from_espeak(word), "espeak-ng"
    if phones is None:
        phones, means = apply_letter_rules(word), "letter rules"
    if phones:
        logger.warning("'%s' is in no dictionary; guessed '%s' (%s); if that is wrong, give it in "
                       "a lexicon of your own", word, " ".join(phones), means)
    return phones or None


def apply_letter_rules(word: str) -> Phones:
    """Spell a word by `lexicon/letter_rules.txt`; unknown letters are left out."""
    rules, longest = _letter_rules()
    text, start, phones = f"^{word.lower()}$", 0, []
    while start < len(text):
        # The longest rule wins, so that "tion" is not read as "t" and "ion".
        for length in range(min(longest, len(text) - start), 0, -1):
            if text[start : start + length] in rules:
                phones += rules[text[start : start + length]]
                break
        # Where no rule matched, `length` has come down to 1: the letter is skipped.
        start += length
    return tuple(phones)


def ipa_to_cmu(ipa: str, word: str = "") -> Phones | None:
    """Map espeak's IPA, phonemes separated by _, to CMU phones; None if a symbol is unknown.

    `word` is the spelling: it shows whether a flap stands for t or for d.
    """
    table, longest = _ipa_table()
    phones: list[str] = []
    for phoneme in re.split(r"[_\s]+", _STRESS.sub("", ipa)):
        start = 0
        while start < len(phoneme):
            for length in range(min(longest, len(phoneme) - start), 0, -1):
                piece = phoneme[start : start + length]
                if piece in table:
                    break
            # One unknown symbol makes the whole guess doubtful; the letter rules then take over.
            else:
                return None
            # An American flap is t or d: without a t in the spelling ("ladder") it can only be d.
            phones += ("D",) if piece == "ɾ" and "t" not in word.lower() else table[piece]
            start += length
    return tuple(phones) or None


def _from_espeak(word: str) -> Phones | None:
    """Ask espeak-ng; None if it is not installed, does not start or says something odd."""
    try:
        import espeakng_loader
    except ImportError:
        return None
    try:
        library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
    except OSError:
        return None
    # Loaded and unloaded for every word, as `corpus.espeak` does: a library that stayed would
    # carry its state into the next synthesis.
    try:
        data = str(espeakng_loader.get_data_path()).encode()
        if library.espeak_Initialize(_OUTPUT_RETRIEVAL, 0, data, _DO_NOT_EXIT) <= 0:
            return None
        if library.espeak_SetVoiceByName(b"en-us") != 0:
            return None
        translate = library.espeak_TextToPhonemes
        translate.restype = ctypes.c_char_p
        translate.argtypes = [ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int]
        text = ctypes.c_char_p(word.lower().encode())
        said = translate(ctypes.byref(text), _CHARS_UTF8, _PHONEMES_IPA | _SEPARATOR)
        ipa = said.decode() if said else ""
        library.espeak_Terminate()
    finally:
        # Python never unloads a library by itself; the module `ctypes` has no public call for it.
        close = getattr(_ctypes, "dlclose", None) or _ctypes.FreeLibrary
        close(library._handle)
    # "(" begins a switch to another language's voice.
    return None if "(" in ipa else ipa_to_cmu(ipa, word)


@cache
def _ipa_table() -> tuple[dict[str, Phones], int]:
    table = {symbol: tuple(phones) for _, (symbol, *phones) in builtin_table("ipa_to_cmu.txt")}
    return table, max(map(len, table))


@cache
def _letter_rules() -> tuple[dict[str, Phones], int]:
    rules = {letters: tuple(phones) for _, (letters, *phones) in builtin_table("letter_rules.txt")}
    return rules, max(map(len, rules))
