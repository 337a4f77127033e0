"""Owns times: a path of transition-ids cut into phones, and phones matched to words.

Paths come from graphs whose self-loops follow the forward transition of their state
(``--reorder=true``, see `TransitionModel.phone_starts`).
"""

from dataclasses import dataclass

import numpy as np

from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import Lang


@dataclass(frozen=True)
class Segment:
    """A stretch of frames [begin, end) with a phone or word id."""

    label: int
    begin: int
    end: int


def phone_segments(transition_ids: np.ndarray, transitions: TransitionModel) -> list[Segment]:
    """Cut transition-ids (num_frames,) into phones, in order."""
    starts = transitions.phone_starts(transition_ids)
    if len(starts) == 0:
        return []
    ends = np.append(starts[1:], len(transition_ids))
    phones = transitions.tid_phone[transition_ids[starts]]
    return [Segment(int(p), int(b), int(e)) for p, b, e in zip(phones, starts, ends, strict=True)]


def word_segments(phones: list[Segment], words: list[int], lang: Lang) -> list[Segment]:
    """Match phones to words through the pronunciations, with optional silence between.

    A last word that the audio cuts short ends with the last phone. Words that cannot be matched
    (graph and lexicon differ) are left out.
    """
    labels = tuple(segment.label for segment in phones)

    def after_silence(place: int) -> int:
        while place < len(labels) and labels[place] == lang.optional_silence:
            place += 1
        return place

    # steps[i]: place after i words -> (place before the i-th word, where the word begins)
    steps: list[dict[int, tuple[int, int]]] = [{0: (0, 0)}]
    for word in words:
        nexts: dict[int, tuple[int, int]] = {}
        for place in steps[-1]:
            begin = after_silence(place)
            for _, pronunciation in lang.pronunciations.get(word, ()):
                stretch = labels[begin:begin + len(pronunciation)]
                if stretch and stretch == tuple(pronunciation)[:len(stretch)]:
                    nexts.setdefault(begin + len(stretch), (place, begin))
        if not nexts:
            break
        steps.append(nexts)
    # Of all ways to match, take the one that leaves only silence behind.
    places = [p for p in steps[-1] if after_silence(p) == len(labels)] or list(steps[-1])
    place = max(places)
    segments = []
    for number in range(len(steps) - 1, 0, -1):
        before, begin = steps[number][place]
        segments.append(Segment(words[number - 1], phones[begin].begin, phones[place - 1].end))
        place = before
    return segments[::-1]
