"""Owns the loop from blocks of audio to events.

Events are those of a session (`recognize.session`), wake words where there is a detector
(`live.woken_session`), and notices: ``{"notice": kind, "message":
line}`` where blocks were lost, the device went or came back, the rate changed, a block is faulty or
a program failed. Whatever happens to the audio, the loop goes on until the audio ends. Times are
seconds since its begin; lost blocks count, the time without a device does not.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from hybridasr.corpus.audio import channel_index
from hybridasr.corpus.raw_audio import RawFormat
from hybridasr.decode.endpoint import EndpointOptions
from hybridasr.errors import UserError
from hybridasr.live.command_runner import CommandRunner
from hybridasr.live.ring_buffer import AudioBlock, Notice, RingBuffer
from hybridasr.live.woken_session import WokenSession
from hybridasr.recognize.recognizer import Recognizer
from hybridasr.recognize.results import shift_times
from hybridasr.recognize.session import Event, Session, Speaker
from hybridasr.wake.detector import WakeDetector

WAIT_SECONDS = 0.1  # for the next block, until other things are looked at


@dataclass(frozen=True)
class ListenOptions:
    """How a listener recognises.

    Attributes
    ----------
    endpoint : EndpointOptions
        The rules by which utterances end.
    partials : bool
        Give the words so far, where they change.
    nbest : int or None
        As for `Recognizer.recognize`.
    channel : "mix" or channel number
    one_speaker : bool
        All that is said is by one speaker, who is remembered from utterance to utterance.
    """

    endpoint: EndpointOptions = EndpointOptions()
    partials: bool = False
    nbest: int | None = None
    channel: str | int = "mix"
    one_speaker: bool = False


class Listener:
    """Turns what comes out of a ring buffer into events.

    Parameters
    ----------
    recognizer : Recognizer
    options : ListenOptions, optional
    runner : CommandRunner, optional
        Starts a program for each accepted command.
    detector : WakeDetector, optional
        Nothing is recognised until it finds a wake word; then one utterance is.
    watch : function of a AudioBlock, optional
        Called with each block before it is recognised.
    """

    def __init__(self, recognizer: Recognizer, options: ListenOptions | None = None,
                 runner: CommandRunner | None = None, detector: WakeDetector | None = None,
                 watch: Callable[[AudioBlock], None] | None = None):
        self._recognizer, self._options = recognizer, options or ListenOptions()
        self._runner, self._watch, self._detector = runner, watch, detector
        self._speaker = Speaker() if self._options.one_speaker else None
        self._session: Session | WokenSession | None = None
        self._form: RawFormat | None = None
        self._begin = 0.0  # seconds at which the stream of the session begins
        self._seconds = 0.0  # of audio since then
        self._trouble: str | None = None  # of the last block

    def events(self, ring: RingBuffer, stop: threading.Event) -> Iterator[Event]:
        """Yield events until the audio ends or `stop` is set; the last results come in any case.

        Raises
        ------
        UserError
            after the last results, if a fault ended the audio; at once, if it has no such channel.
        """
        while not stop.is_set() and not ring.ended:
            item = ring.take(WAIT_SECONDS)
            if isinstance(item, AudioBlock):
                yield from self._events_of(item)
            elif item is not None:
                yield from self._finish()
                self._begin += item.seconds
                yield item.event()
            if self._runner:
                yield from (notice.event() for notice in self._runner.poll())
        yield from self._finish()
        if self._runner:
            yield from (notice.event() for notice in self._runner.finish())
        if ring.error is not None:
            raise ring.error

    def _events_of(self, block: AudioBlock) -> Iterator[Event]:
        if self._watch:
            self._watch(block)
        if self._session is None or block.form != self._form:
            yield from self._begin_session(block.form)
        assert self._session is not None
        trouble = None
        if block.overflow:
            trouble = Notice("overflow", "the device has lost audio; is the machine too busy?")
        try:
            events = self._session.accept(block.contents)
        except UserError as error:
            events, trouble = [], Notice("fault", f"a block of audio is left out: {error}")
        # The same trouble in block after block is told once.
        if trouble is not None and trouble.kind != self._trouble:
            yield trouble.event()
        self._trouble = trouble.kind if trouble else None
        yield from self._told(events)
        self._seconds += block.seconds

    def _begin_session(self, form: RawFormat) -> Iterator[Event]:
        yield from self._finish()
        if self._form is not None and self._form.rate != form.rate:
            yield Notice("rate", f"audio of {form.rate} Hz in place of {self._form.rate} Hz; it "
                         "goes on with that").event()
        options, self._form = self._options, form
        # Raised here: it is no fault of one block.
        channel_index(options.channel, form.channels, "audio")
        make_session = partial(self._recognizer.session, raw=form, endpoint=options.endpoint,
                               partials=options.partials, nbest=options.nbest,
                               channel=options.channel, speaker=self._speaker)
        self._session = make_session() if self._detector is None else WokenSession(
            self._detector, make_session, form, options.channel)

    def _finish(self) -> Iterator[Event]:
        """End the stream, if there is one; the session goes on with another."""
        if self._session is not None and self._seconds:
            yield from self._told(self._session.finish())
        self._begin, self._seconds = self._begin + self._seconds, 0.0

    def _told(self, events: list[Event]) -> Iterator[Event]:
        for event in events:
            if "partial" in event and "text" not in event:
                yield event
                continue
            yield shift_times(event, self._begin)
            if self._runner and event.get("accepted"):
                yield from (notice.event() for notice in self._runner.start(event))
