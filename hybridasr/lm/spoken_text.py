"""Owns the writing of Mandarin text as it is spoken: for language models, which know only words.

Numbers become hanzi (2026年3月5日, 3.5%, 10:30), abbreviations letters, punctuation sentence ends
or spaces. Plain numbers are read by `hybridasr.lexicon.numbers`; dates, times, sums of money,
fractions and units by the rules of the package wetext (extra `text`), which is slower.
"""

import functools
import re
from collections.abc import Callable

from hybridasr.corpus.text import normalize_text
from hybridasr.errors import require_extra
from hybridasr.lexicon.numbers import number_spellings

_ENDS = re.compile(r"[。！？!?;；…\n]+|\.(?=\s|$)")
_QUOTES = re.compile("[\"“”‘’「」『』《》〈〉()（）【】\\[\\]{}〔〕]+")
# What the numbers alone do not tell how to read.
_RULES = re.compile(r"[-~+=×*/:$￥¥€£°℃℉‰²³]|[0-9],[0-9]{3}|[0-9][A-Za-z]|[A-Za-z][0-9]")
_DIGIT = re.compile("[0-9]")
# wetext would say 第两名.
_ORDINAL = re.compile("第[0-9]+")
_ABBREVIATION = re.compile(r"(?<![A-Za-z])[A-Z]{2,}(?![a-z])")
_HANZI = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f〇"
_READABLE = re.compile(f"[{_HANZI}]+|[A-Za-z]+(?:'[A-Za-z]+)*")
_LETTER = re.compile(r"\w", re.UNICODE)


def spoken_sentences(line: str) -> list[str]:
    """Return the sentences of a line as they are spoken.

    Raises
    ------
    UserError
        if a date or the like needs the package wetext, which is not installed.

    Examples
    --------
    >>> spoken_sentences("他有2个苹果，重3.5%。第2名是GDP！")
    ['他有两个苹果 重百分之三点五', '第二名是 G D P']
    """
    sentences = []
    for part in _ENDS.split(normalize_text(line)):
        text = _QUOTES.sub(" ", part)
        if _DIGIT.search(text):
            text = _ORDINAL.sub(lambda match: number_spellings(match[0])[0], text)
            text = _rules()(text) if _RULES.search(text) and _DIGIT.search(text) else text
            text = number_spellings(text)[0]
        text = _ABBREVIATION.sub(lambda match: f" {' '.join(match[0])} ", text)
        words = "".join(char if _LETTER.match(char) or char == "'" else " " for char in text)
        words = " ".join(words.replace("_", " ").split())
        if words:
            sentences.append(words)
    return sentences


def unreadable_words(sentence: str) -> list[str]:
    """Return the words of a sentence that are neither hanzi nor Latin letters.

    >>> unreadable_words("他说 привет と言う ok 東京")
    ['привет', 'と', 'う']
    """
    return [rest for word in sentence.split() for rest in _READABLE.sub(" ", word).split()
            if rest.strip("'")]


@functools.cache
def _rules() -> Callable[[str], str]:
    require_extra("wetext", "text", "dates, times and units in Mandarin text")
    from wetext import Normalizer

    normalizer = Normalizer(lang="zh", operator="tn")
    return functools.lru_cache(maxsize=10000)(normalizer.normalize)
