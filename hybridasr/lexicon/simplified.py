"""Owns traditional hanzi: in simplified hanzi, for look-ups only.

The reading dictionaries know words in simplified hanzi. The package OpenCC (extra `mandarin`)
converts; where it is missing, hanzi that look traditional have no reading rather than a wrong one.
"""

from functools import cache

# Traditional hanzi that the mainland's character set has for names and old phrases.
_BOTH = "乾夥後於菸麽"


def to_simplified(text: str) -> str:
    """Return a text in simplified hanzi, character for character; as it is without OpenCC."""
    converter = _converter()
    if converter is None:
        return text
    converted = converter.convert(text)
    # Readings are laid over the characters one by one.
    return converted if len(converted) == len(text) else "".join(map(converter.convert, text))


def needs_converter(text: str) -> list[str]:
    """Return the hanzi of a text that seem traditional, if there is no OpenCC to convert them."""
    if _converter() is not None:
        return []
    return [character for character in dict.fromkeys(text) if _seems_traditional(character)]


def _seems_traditional(character: str) -> bool:
    """Tell hanzi of Taiwan's character set that the mainland's lacks, or lists for old names."""
    return character in _BOTH or (_fits(character, "big5") and not _fits(character, "gb2312"))


def _fits(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


@cache
def _converter():
    try:
        import opencc
    except ImportError:
        return None
    return opencc.OpenCC("t2s")
