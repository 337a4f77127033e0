"""Owns the binding to espeak-ng: text and a voice in, samples out, the same every time.

The shared library and its data come from the wheel `espeakng-loader`. espeak-ng keeps state
from one utterance to the next (phase of the voice, its random numbers, pauses), so that the
same text gives other samples the second time. Neither its seed nor `espeak_Terminate` resets
all of it; loading the library afresh does, and costs 3 ms. That is done for every utterance
(on systems that never unload a library, musl for one, only the first utterance of a process
is reproducible). The noise of the Klatt voices comes from rand() of C, which outlives the library:
it is seeded, too (on Windows the library has its own, out of reach).
"""

import _ctypes
import ctypes
import math
import os
import re
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from hybridasr.errors import UserError

# Constants of espeak's speak_lib.h.
_OUTPUT_SYNCHRONOUS = 2
_CHARS_UTF8 = 1
_PHONEMES_IN_BRACKETS = 0x100
_RATE, _VOLUME, _PITCH, _RANGE, _WORD_GAP = 1, 2, 3, 4, 7
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)
# The library is one per process, and so is its callback.
_LOCK = threading.Lock()
_C_LIBRARY = ctypes.CDLL(None) if os.name == "posix" else None

# espeak 1.52 reads j, q, x + iong as English letters, in hanzi too: these are given as phonemes.
_PHONEME_INITIALS = {"j": "tS;", "q": "tS;h", "x": "S;"}
_PHONEME_TONES = {"1": "55", "2": "35", "3": "214", "4": "51", "5": "11"}
# Phrases that pypinyin 0.55 reads wrongly and that commands are full of: 调 is tiao2 here.
_ADJUST = re.compile("调(?=[高低大小亮暗快慢强弱冷热到成至温光音节整])")
# Rare syllables that espeak cannot say at all.
_NO_SOUND = re.compile(r"(?:hm|hng|m|ê|wong)[1-5]")
_SYLLABLE = re.compile(r"([a-zêü]+?)([1-5]?)")


@dataclass(frozen=True)
class Voice:
    """How one utterance is spoken, in espeak's units."""

    variant: str  # a file of espeak-ng-data/voices/!v, e.g. "f2"
    rate: int = 160  # words a minute
    pitch: int = 50  # 0..99
    pitch_range: int = 70  # 0..99; tones lie farther apart with a wider range
    volume: int = 60  # 0..200; 100 clips with many variants


def synthesize(text: str, language: str, voice: Voice) -> tuple[np.ndarray, int]:
    """Speak `text` (as `spoken_form` gives it) and return ``(samples, sample_rate)``.

    Returns
    -------
    int16 array (num_samples,) at 22050 Hz (whatever the library says)
        Equal arguments give equal samples, whatever was spoken before.

    Raises
    ------
    UserError
        if espeak is not installed, the voice is unknown, or nothing was spoken.
    """
    loader = _loader()
    # espeak takes an unknown variant for none, in silence.
    if not (Path(loader.get_data_path()) / "voices" / "!v" / voice.variant).is_file():
        raise UserError(f"espeak-ng has no voice variant '{voice.variant}'; "
                        "pip install -U espeakng-loader")
    chunks: list[bytes] = []

    def collect(wave, count, _events):
        if wave and count > 0:
            chunks.append(ctypes.string_at(wave, 2 * count))
        return 0

    callback = _CALLBACK(collect)
    with _LOCK:
        library = ctypes.CDLL(str(loader.get_library_path()))
        try:
            sample_rate = library.espeak_Initialize(
                _OUTPUT_SYNCHRONOUS, 0, str(loader.get_data_path()).encode(), 0)
            if sample_rate <= 0:
                raise UserError("espeak-ng does not start (its data are missing or damaged); "
                                "pip install --force-reinstall espeakng-loader")
            library.espeak_SetSynthCallback(callback)
            _speak(library, text, f"{language}+{voice.variant}", voice)
            library.espeak_Terminate()
        finally:
            _unload(library)
    samples = np.frombuffer(b"".join(chunks), dtype=np.int16)
    if not np.any(samples):
        raise UserError(f"espeak-ng says nothing for '{text}'; write it in hanzi, in pinyin "
                        "with tone digits or in English")
    return samples, sample_rate


def synthesize_at(rate: int, text: str, language: str, voice: Voice) -> np.ndarray:
    """Speak as `synthesize` does, at `rate` hertz: float64 (num_samples,) in 16-bit range."""
    samples, own_rate = synthesize(text, language, voice)
    common = math.gcd(rate, own_rate)
    return resample_poly(samples.astype(np.float64), rate // common, own_rate // common)


def spoken_form(text: str, careful: bool = False) -> tuple[str, str]:
    """Turn one command into espeak's input; return ``(language, input)``.

    Hanzi go through pypinyin, which knows phrases and so gets polyphones right more often than
    espeak does (espeak reads 调高 as diao4 gao1). Pinyin is taken as written; a syllable without
    tone digit gets the first tone. Everything else in Latin letters is English.

    Parameters
    ----------
    text : str
        Hanzi, pinyin (``da3 kai1``, ``da kai``) or English.
    careful : bool
        Syllable by syllable instead of one connected word (Mandarin only).

    Raises
    ------
    UserError
        if a character can be read in neither of these ways.
    """
    text = text.strip()
    if not text:
        raise UserError("an empty line cannot be spoken; write a word")
    if re.search(r"[\u3400-\u9fff]", text):
        syllables = [s for word in text.split() for s in _hanzi_to_pinyin(word)]
    elif text.isascii() or "ü" in text:
        syllables = text.lower().replace("u:", "v").replace("ü", "v").split()
        known = _pinyin_syllables()
        if not all(_split_tone(s)[0] in known for s in syllables):
            return "en-us", text
        syllables = [base + (tone or "1") for base, tone in map(_split_tone, syllables)]
    else:
        raise UserError(f"'{text}' is neither hanzi, pinyin nor English; write it in one of these")
    for syllable in syllables:
        if _NO_SOUND.fullmatch(syllable):
            raise UserError(f"'{text}' has the syllable '{syllable}', which espeak-ng cannot say; "
                            "leave it out or write a neighbouring syllable in pinyin")
    return "cmn", _join(syllables, careful)


def _join(syllables: list[str], careful: bool) -> str:
    pieces = [""]
    for syllable in syllables:
        base, tone = _split_tone(syllable)
        if base.endswith("iong") and base[0] in _PHONEME_INITIALS and tone:
            phonemes = f"[[{_PHONEME_INITIALS[base[0]]}'y{_PHONEME_TONES[tone]}N]]"
            pieces += [phonemes, ""]
        elif careful or not tone:
            pieces += [syllable, ""]
        else:
            pieces[-1] += syllable
    return " ".join(piece for piece in pieces if piece)


def _hanzi_to_pinyin(word: str) -> list[str]:
    try:
        from pypinyin import Style, lazy_pinyin
    except ImportError:
        raise _missing("pypinyin") from None
    syllables: list[str] = []
    for number, part in enumerate(_ADJUST.split(word)):
        syllables += ["tiao2"] if number else []
        if part:
            syllables += lazy_pinyin(part, style=Style.TONE3, neutral_tone_with_five=True,
                                     v_to_u=False)
    return syllables


def _split_tone(syllable: str) -> tuple[str, str]:
    match = _SYLLABLE.fullmatch(syllable)
    return (match[1], match[2]) if match else (syllable, "")


@cache
def _pinyin_syllables() -> frozenset[str]:
    try:
        from pypinyin.contrib.tone_convert import to_normal
        from pypinyin.pinyin_dict import pinyin_dict
    except ImportError:
        raise _missing("pypinyin") from None
    readings = {reading for entry in pinyin_dict.values() for reading in entry.split(",")}
    return frozenset(to_normal(reading, v_to_u=False) for reading in readings) - {"o", "a", "e"}


def _speak(library: ctypes.CDLL, text: str, voice_name: str, voice: Voice) -> None:
    if library.espeak_SetVoiceByName(voice_name.encode()) != 0:
        raise UserError(f"espeak-ng has no voice '{voice_name}'; pip install -U espeakng-loader")
    # Setting the voice resets the parameters, so they come after it.
    for parameter, value in ((_RATE, voice.rate), (_VOLUME, voice.volume), (_PITCH, voice.pitch),
                             (_RANGE, voice.pitch_range), (_WORD_GAP, 0)):
        library.espeak_SetParameter(parameter, value, 0)
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    if _C_LIBRARY is not None:
        _C_LIBRARY.srand(1)
    data = text.encode()
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint,
        ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p]
    status = library.espeak_Synth(
        data, len(data) + 1, 0, 0, 0, _CHARS_UTF8 | _PHONEMES_IN_BRACKETS, None, None)
    if status != 0:
        raise UserError(f"espeak-ng failed on '{text}' (status {status}); check the text")
    library.espeak_Synchronize()


def _unload(library: ctypes.CDLL) -> None:
    close = getattr(_ctypes, "dlclose", None) or _ctypes.FreeLibrary
    close(library._handle)


@cache
def _loader():
    try:
        import espeakng_loader
    except ImportError:
        raise _missing("espeakng-loader") from None
    return espeakng_loader


def _missing(package: str) -> UserError:
    return UserError(f"'{package}' is not installed, and speech is synthesised with it; "
                     "pip install 'hybridasr[synth]'")
