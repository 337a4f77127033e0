"""Owns the one written form of text, whatever keyboard, file system or program it comes from.

Every entry of text goes through `normalize_text`: command lists, transcripts, lexicons, names of
folders, ARPA files, text for language models.
"""

import unicodedata

# A longer word is a damaged file: looking for pinyin in it would take minutes.
MAX_WORD = 1000

# U+FF01 to U+FF5E are the printable ASCII characters at double width.
_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: " "}


def normalize_text(text: str) -> str:
    r"""Return `text` in Unicode form NFC, with double-width ASCII and spaces at normal width.

    The same word typed on two machines is then one word.

    >>> normalize_text("空调２６度　ＷｉＦｉ")
    '空调26度 WiFi'
    >>> normalize_text("cafe\u0301") == "caf\u00e9"
    True
    """
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", text.translate(_HALF_WIDTH))
