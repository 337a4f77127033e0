"""Owns transcripts of recordings: results as subtitles (SRT, WebVTT), CTM, TextGrid, JSON lines.

All but JSON have what was accepted, with the times of its words; a text without word times has
those of its utterance.
"""

import json
from collections.abc import Callable
from typing import Any

from hybridasr.output.ctm import CtmRow, format_row
from hybridasr.output.textgrid import Interval, write_textgrid
from hybridasr.storage import PathLike, write_text

# A result as `recognize.results` makes it: text, accepted, result, perhaps start and end.
Result = dict[str, Any]

EXTENSIONS = {"json": ".json", "srt": ".srt", "vtt": ".vtt", "ctm": ".ctm", "textgrid": ".TextGrid"}


def format_json(name: str, results: list[Result], _seconds: float) -> str:
    """Return a line of JSON for each result."""
    return "".join(json.dumps({"file": name, **result}, ensure_ascii=False) + "\n"
                   for result in results)


def format_srt(_name: str, results: list[Result], seconds: float) -> str:
    """Return SubRip subtitles.

    >>> print(format_srt("a.wav", [{"text": "on", "accepted": True, "result": [],
    ...                             "start": 1.5, "end": 3661.25}], 4000), end="")
    1
    00:00:01,500 --> 01:01:01,250
    on
    <BLANKLINE>
    """
    return "".join(f"{number}\n{_clock(cue.begin, ',')} --> {_clock(cue.end, ',')}\n{cue.label}\n\n"
                   for number, cue in enumerate(cues(results, seconds), 1))


def format_vtt(_name: str, results: list[Result], seconds: float) -> str:
    """Return WebVTT subtitles.

    >>> print(format_vtt("a.wav", [{"text": "a<b", "accepted": True, "result": []}], 2), end="")
    WEBVTT
    <BLANKLINE>
    00:00:00.000 --> 00:00:02.000
    a&lt;b
    <BLANKLINE>
    """
    def escaped(text: str) -> str:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    return "WEBVTT\n\n" + "".join(
        f"{_clock(cue.begin, '.')} --> {_clock(cue.end, '.')}\n{escaped(cue.label)}\n\n"
        for cue in cues(results, seconds))


def format_ctm(name: str, results: list[Result], seconds: float) -> str:
    r"""Return a line a word; what a field may not hold becomes ``_``.

    >>> format_ctm("my call", [{"text": "on", "accepted": True, "result": [
    ...     {"word": "on", "start": 0.5, "end": 0.75, "conf": 0.9}]}], 2)
    'my_call 1 0.50 0.25 on 0.90\n'
    """
    return "".join(format_row(CtmRow("_".join(name.split()), "1", word.begin,
                                     word.end - word.begin, "_".join(word.label.split()), conf))
                   + "\n" for word, conf in _words(results, seconds))


def write_transcript_grid(path: PathLike, results: list[Result], seconds: float) -> None:
    """Write a TextGrid with the tiers ``utterances`` and ``words``; raises as `write_textgrid`."""
    words = [word for word, _ in _words(results, seconds)]
    tiers = {"utterances": cues(results, seconds), "words": words}
    write_textgrid(path, seconds, {
        name: [_clipped(one, seconds) for one in intervals if one.begin < min(one.end, seconds)]
        for name, intervals in tiers.items()})


FORMATS: dict[str, Callable[[str, list[Result], float], str]] = {
    "json": format_json, "srt": format_srt, "vtt": format_vtt, "ctm": format_ctm}


def write_transcript(path: PathLike, form: str, name: str, results: list[Result],
                     seconds: float) -> None:
    """Write the results of a recording as one of `EXTENSIONS`.

    Parameters
    ----------
    name : str
        Of the recording, for forms that name it.
    seconds : float
        Length of the recording.

    Raises
    ------
    UserError
        if it cannot be written.
    """
    if form == "textgrid":
        write_transcript_grid(path, results, seconds)
    else:
        write_text(path, FORMATS[form](name, results, seconds))


def cues(results: list[Result], seconds: float) -> list[Interval]:
    """Return the accepted texts, from first to last word; `seconds` is the recording's length."""
    accepted = [result for result in results if result["accepted"] and result["text"]]
    parts = [(result["result"] or [{"start": 0.0, "end": seconds, **result}], result["text"])
             for result in accepted]
    return [Interval(words[0]["start"], words[-1]["end"], text) for words, text in parts]


def _words(results: list[Result], seconds: float) -> list[tuple[Interval, float | None]]:
    """Return the words that were accepted with their confidences."""
    words: list[tuple[Interval, float | None]] = []
    for result in results:
        if result["accepted"] and result["result"]:
            words += [(Interval(word["start"], word["end"], word["word"]), word["conf"])
                      for word in result["result"]]
        else:
            words += [(cue, None) for cue in cues([result], seconds)]
    return words


def _clipped(interval: Interval, seconds: float) -> Interval:
    # The last frame may reach beyond the last sample.
    return interval._replace(end=min(interval.end, seconds))


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    return (f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}"
            f"{rest % 1000:03d}")
