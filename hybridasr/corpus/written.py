"""Owns the words of written sentences: no punctuation, one case, hanzi apart from the rest."""

import re

from hybridasr.corpus.text import normalize_text

_HANZI = r"\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_RUN = re.compile(rf"[{_HANZI}]+|[^\W_{_HANZI}]+(?:['’][^\W_{_HANZI}]+)*")


def written_words(sentence: str) -> list[str]:
    """Return the words of a sentence; hanzi without a mark between them are one run.

    Parameters
    ----------
    sentence : str
        As people write it, with punctuation.

    Examples
    --------
    >>> written_words("Don’t open the door, Mary-Ann!")
    ["don't", 'open', 'the', 'door', 'mary', 'ann']
    >>> written_words("例如：悟真会在USA设有支部。")
    ['例如', '悟真会在', 'usa', '设有支部']
    """
    return [run.replace("’", "'").lower() for run in _RUN.findall(normalize_text(sentence))]
