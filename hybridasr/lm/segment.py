"""Owns the segmentation of Mandarin text into the words of a lexicon.

Two ways: forward longest match, and the path of the highest unigram probability (Viterbi), whose
probabilities come from a language model or from the text itself. Spaces in the text stay word
boundaries, and runs of Latin letters and digits are cut only where the lexicon has no word across
them. A character that no word begins with becomes a word of its own.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from hybridasr.errors import UserError, require_extra

_ROUNDS = 3  # of counting and segmenting anew
_RUN = re.compile(r"[0-9A-Za-z'_]+")
_UNLISTED = math.log(1e-3)  # beside the rarest word


class Segmenter:
    """Cuts text into words.

    Parameters
    ----------
    words : iterable of str
        The lexicon.
    log_probs : mapping word -> natural log of its probability, optional
        With it, the most likely path is taken; a word without one counts as rare. Without it, the
        longest word that matches.

    Raises
    ------
    UserError
        if the lexicon is empty.

    Examples
    --------
    >>> words = ["研究", "研究生", "生命", "命", "起源"]
    >>> Segmenter(words).cut("研究生命起源")
    ['研究生', '命', '起源']
    >>> likely = {"研究": -3.0, "研究生": -6.0, "生命": -3.0, "命": -7.0, "起源": -4.0}
    >>> Segmenter(words, likely).cut("研究生命起源")
    ['研究', '生命', '起源']
    """

    def __init__(self, words: Iterable[str], log_probs: Mapping[str, float] | None = None):
        self.words = frozenset(words)
        if not self.words:
            raise UserError("no word to segment with; give a lexicon with words")
        self._longest = max(map(len, self.words))
        self._likely = None
        if log_probs is not None:
            rare = min(log_probs.values(), default=0.0)
            self._likely = {word: log_probs.get(word, rare) for word in self.words}
            self._unlisted = rare + _UNLISTED

    def cut(self, text: str) -> list[str]:
        """Return the words of a text."""
        cut = self._longest_match if self._likely is None else self._likely_path
        words: list[str] = []
        for piece in text.split():
            words += cut(piece, _next_places(piece))
        return words

    def _longest_match(self, piece: str, following: Sequence[int]) -> list[str]:
        words, begin = [], 0
        while begin < len(piece):
            end = min(begin + self._longest, len(piece))
            # Down to the next place where a cut is allowed: that is a word in any case.
            while end > following[begin] and not (
                    piece[begin:end] in self.words and _may_end(end, following)):
                end -= 1
            end = max(end, following[begin])
            words.append(piece[begin:end])
            begin = end
        return words

    def _likely_path(self, piece: str, following: Sequence[int]) -> list[str]:
        best = [-math.inf] * (len(piece) + 1)
        before = [0] * (len(piece) + 1)
        best[0] = 0.0
        begin = 0
        while begin < len(piece):
            for end in range(begin + 1, min(begin + self._longest, len(piece)) + 1):
                score = self._likely.get(piece[begin:end])
                if score is not None and best[begin] + score > best[end] and _may_end(end,
                                                                                     following):
                    best[end], before[end] = best[begin] + score, begin
            end = following[begin]
            if piece[begin:end] not in self.words and best[begin] + self._unlisted > best[end]:
                best[end], before[end] = best[begin] + self._unlisted, begin
            begin = end
        words, end = [], len(piece)
        while end:
            words.append(piece[before[end]:end])
            end = before[end]
        return words[::-1]


def _next_places(piece: str) -> list[int]:
    """Return for each place of a piece the next one where a cut is allowed."""
    following = list(range(1, len(piece) + 1))
    for match in _RUN.finditer(piece):
        following[match.start():match.end()] = [match.end()] * (match.end() - match.start())
    return following


def _may_end(end: int, following: Sequence[int]) -> bool:
    """Tell whether a cut is allowed: not within a run, whose places all lead to its end."""
    return following[end - 1] == end


def estimate_unigrams(lines: Sequence[str], words: Iterable[str]) -> dict[str, float]:
    """Estimate log probabilities of words from text without spaces.

    The text is cut by longest match and counted; then it is cut by the most likely path and
    counted again, a few times (Viterbi training). Words that are not there count half.

    Parameters
    ----------
    lines : sequence of str
        The text, or a part of it.
    words : iterable of str
        The lexicon.
    """
    segmenter = Segmenter(words)
    log_probs: dict[str, float] = {}
    for _ in range(1 + _ROUNDS):
        counts = Counter(word for line in lines for word in segmenter.cut(line))
        total = sum(counts.values()) + len(segmenter.words)
        log_probs = {word: math.log((counts[word] or 0.5) / total) for word in segmenter.words}
        segmenter = Segmenter(segmenter.words, log_probs)
    return log_probs


def jieba_cutter() -> Callable[[str], list[str]]:
    """Return what cuts text into words with jieba's own dictionary (extra `text`)."""
    require_extra("jieba", "text", "segmentations by jieba")
    import jieba

    jieba.setLogLevel(60)  # no line about its cache
    return lambda text: [word for word in jieba.cut(text, HMM=False) if not word.isspace()]
