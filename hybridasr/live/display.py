"""Owns what people see of live audio: a line for each event, and a level meter."""

import math
from typing import IO

import numpy as np

from hybridasr.corpus.raw_audio import FULL_SCALE
from hybridasr.errors import UserError
from hybridasr.live.ring_buffer import AudioBlock
from hybridasr.recognize.session import Event

METER_WIDTH = 40
METER_FLOOR = -60.0  # decibels below full scale, where the meter begins
_CLEAR = "\r\x1b[K"


def format_event(event: Event) -> str:
    """Return the readable line of an event; its times are of the words, if there are any.

    >>> format_event({"text": "打开 空调", "id": "on", "confidence": 0.98, "accepted": True,
    ...               "reason": None, "start": 1.2, "end": 2.3, "result": [
    ...                   {"word": "打开", "start": 1.31, "end": 1.6, "conf": None},
    ...                   {"word": "空调", "start": 1.6, "end": 1.9, "conf": None}]})
    '1.31-1.90  打开 空调  (on, 0.98)'
    >>> format_event({"text": "开灯", "id": "on", "slots": {"device": "灯"}, "confidence": None,
    ...               "accepted": True, "reason": None, "start": 0.1, "end": 0.9, "result": []})
    '0.10-0.90  开灯  (on, device=灯)'
    >>> format_event({"text": "", "confidence": None, "accepted": False, "reason": "no-speech",
    ...               "start": 0.0, "end": 5.0, "result": []})
    '0.00-5.00  -  (no-speech)'
    >>> format_event({"partial": "打开"})
    '...  打开'
    >>> format_event({"notice": "device", "message": "the microphone is gone"})
    'notice: the microphone is gone'
    >>> format_event({"wake": "小度小度", "start": 1.0, "end": 1.8, "confidence": 0.97})
    '1.00-1.80  * 小度小度  (0.97)'
    """
    if "notice" in event:
        return f"notice: {event['message']}"
    if "wake" in event:
        return (f"{event['start']:.2f}-{event['end']:.2f}  * {event['wake']}  "
                f"({event['confidence']:.2f})")
    if "text" not in event:
        return f"...  {event['partial']}"
    notes = [event["reason"], event.get("id") if event["text"] else None,
             *(f"{name}={value}" for name, value in event.get("slots", {}).items()),
             None if event["confidence"] is None or not event["text"]
             else f"{event['confidence']:.2f}"]
    told = ", ".join(str(note) for note in notes if note is not None)
    words = event["result"] or [event]
    return (f"{words[0]['start']:.2f}-{words[-1]['end']:.2f}  {event['text'] or '-'}"
            + (f"  ({told})" if told else ""))


class LevelMeter:
    """A bar for the level of each block, on one line of a terminal."""

    def __init__(self, stream: IO[str]):
        self._stream = stream

    def show(self, block: AudioBlock) -> None:
        """Draw the level of a block; one that is faulty has none."""
        try:
            samples = block.form.decode(block.contents)
        except UserError:
            return
        level = decibels(samples)
        filled = round(METER_WIDTH * min(1.0, max(0.0, 1 - level / METER_FLOOR)))
        self._stream.write(f"{_CLEAR}{'#' * filled:<{METER_WIDTH}} {level:6.1f} dB")
        self._stream.flush()

    def clear(self) -> None:
        """Remove the bar, so that a line can stand there."""
        self._stream.write(_CLEAR)
        self._stream.flush()


def decibels(samples: np.ndarray) -> float:
    """Return the level of samples in 16-bit range, from -90 to 0 where full scale is 0.

    >>> decibels(np.full((10, 1), 3276.8, np.float32))
    -20.0
    >>> decibels(np.zeros((10, 1), np.float32))
    -90.0
    """
    power = float(np.mean(np.square(samples, dtype=np.float64))) if samples.size else 0.0
    return max(-90.0, round(10 * math.log10(power / FULL_SCALE**2), 3) if power else -90.0)
