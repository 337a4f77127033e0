"""Owns what listens for a wake word first, and then to one utterance."""

from collections.abc import Callable

import numpy as np

from hybridasr.corpus.raw_audio import RawFormat
from hybridasr.recognize.results import shift_times
from hybridasr.recognize.session import Event, Session
from hybridasr.wake.detector import WakeDetector

# Seconds of audio that are kept: a command may begin before the wake word is told.
KEPT = 4.0


class WokenSession:
    """As a `Session` for bytes; asleep until a wake word, awake until an utterance has ended.

    Parameters
    ----------
    detector : WakeDetector
        It is begun anew, for this form.
    make_session : function without arguments
        Begins a session of utterances of this form, that end by rules.
    form : RawFormat
    channel : "mix" or channel number
    """

    def __init__(self, detector: WakeDetector, make_session: Callable[[], Session],
                 form: RawFormat, channel: str | int = "mix"):
        self._detector, self._make_session, self._form = detector, make_session, form
        self._channel = channel
        self._session: Session | None = None  # while awake
        self._kept = b""
        self._place = 0  # samples of the stream before the end of what is kept
        self._sleep()

    def accept(self, contents: bytes) -> list[Event]:
        """Take whole samples; return what is new, with the seconds of the stream.

        A wake word is ``{"wake": text, "id": ..., "start": ..., "end": ..., "confidence": ...}``;
        what follows it is as of `Session.accept`.

        Raises
        ------
        UserError
            as of `Session.accept`; nothing of `contents` is taken then.
        """
        if self._session is not None:
            return self._awake(contents, len(contents) // self._form.bytes)
        words = self._detector.accept(contents)
        size = round(KEPT * self._form.rate) * self._form.bytes
        self._kept = (self._kept + contents)[-size:]
        self._place += len(contents) // self._form.bytes
        return self._woken(words)

    def finish(self) -> list[Event]:
        """End the stream: return the last events; another may begin."""
        if self._session is None:
            events = self._woken(self._detector.finish())
        else:
            events = []
        if self._session is not None:
            events += [self._placed(event) for event in self._session.finish()]
        self._place, self._kept = 0, b""
        self._sleep()
        return events

    def _woken(self, words: list[Event]) -> list[Event]:
        """Begin to listen behind the first of the wake words that were found."""
        if not words:
            return []
        event = shift_times(words[0], self._slept)
        event["confidence"] = round(event["confidence"], 4)
        # From the end of the wake word on, as far as it is kept.
        behind = self._place - round(event["end"] * self._form.rate)
        behind = int(np.clip(behind, 0, len(self._kept) // self._form.bytes))
        self._begin = (self._place - behind) / self._form.rate
        self._session = self._make_session()
        contents = self._kept[len(self._kept) - behind * self._form.bytes:]
        self._kept = b""
        return [event, *self._awake(contents, 0)]

    def _awake(self, contents: bytes, new: int) -> list[Event]:
        """Take samples into the session, of which `new` were not counted yet."""
        assert self._session is not None
        events = [self._placed(event) for event in self._session.accept(contents)]
        self._place += new
        ended = next((number for number, event in enumerate(events) if "text" in event), None)
        if ended is None:
            return events
        self._sleep()
        return events[:ended + 1]

    def _placed(self, event: Event) -> Event:
        return shift_times(event, self._begin) if "text" in event else event

    def _sleep(self) -> None:
        self._session = None
        self._slept = self._place / self._form.rate  # seconds at which the detector begins
        self._detector.begin(raw=self._form, channel=self._channel)
