"""Owns the Wyoming protocol of Home Assistant: audio in, a transcript or wake words out.

Events (https://github.com/OHF-Voice/wyoming): ``describe`` is answered by ``info``; ``transcribe``,
``audio-start``, ``audio-chunk`` and ``audio-stop`` by ``transcript``; ``detect`` and audio by a
``detection`` for each wake word, or at the end by ``not-detected``. The audio from start to stop is
one utterance, recognised while it comes. What is not accepted has an empty transcript, so that
nothing is done.
"""

import asyncio
from contextlib import suppress
from typing import Any

from wyoming.asr import Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event, Eventable, async_write_event
from wyoming.info import AsrModel, AsrProgram, Attribution, Describe, Info, WakeModel, WakeProgram
from wyoming.ping import Ping, Pong
from wyoming.wake import Detection, NotDetected

from hybridasr import __version__
from hybridasr.corpus.raw_audio import RawFormat
from hybridasr.deploy.serve_options import ServeOptions
from hybridasr.deploy.workers import Workers, pieces
from hybridasr.deploy.wyoming_events import (
    asked_task,
    audio_format,
    is_audio,
    read_bounded_event,
)
from hybridasr.errors import UserError
from hybridasr.lexicon.mandarin import is_hanzi
from hybridasr.lexicon.phones import base_phone, has_tones
from hybridasr.progress import logger
from hybridasr.recognize.recognizer import Recognizer
from hybridasr.recognize.session import Session
from hybridasr.wake.detector import WakeDetector

_PROTOCOL = "wyoming"
_CLOSE_SECONDS = 2.0
_MINE = Attribution(name="hybridasr", url="")
# As Home Assistant names them.
_LANGUAGES = {"zh": ["zh", "zh-CN", "zh-Hans"], "en": ["en"]}


class WyomingService:
    """Serves Wyoming clients.

    Parameters
    ----------
    recognizer : Recognizer
        With the commands or the graph that decide; None: there are only wake words.
    detector : WakeDetector, optional
        For wake words; each client gets a copy.
    """

    def __init__(self, recognizer: Recognizer | None, detector: WakeDetector | None,
                 workers: Workers, options: ServeOptions):
        self.recognizer, self.detector = recognizer, detector
        self.workers, self.options = workers, options
        self.info = service_info(recognizer, detector)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it leaves, is refused or the server ends."""
        client = _WyomingClient(self, writer)
        try:
            with self.workers.admit(_PROTOCOL):
                await client.talk(reader)
        except UserError as error:
            line = str(error).splitlines()[0]
            logger.debug("Wyoming client: %s", line)
            with suppress(UserError, OSError, asyncio.TimeoutError):
                await client.write(Error(line, type(error).__name__))
                # Closed on audio that still comes, a client would see a broken pipe, not the line.
                writer.write_eof()
                await asyncio.wait_for(_drop(reader), _CLOSE_SECONDS)
        except (OSError, asyncio.IncompleteReadError) as error:
            logger.debug("Wyoming client: %s", error)
            client.lost()
        finally:
            writer.close()
            with suppress(OSError, asyncio.TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), _CLOSE_SECONDS)
            # With answers that nobody reads, it is not closed yet.
            writer.transport.abort()


async def _drop(reader: asyncio.StreamReader) -> None:
    """Read until the client has ended, and keep nothing."""
    while await reader.read(1 << 16):
        pass


def service_info(recognizer: Recognizer | None, detector: WakeDetector | None) -> Info:
    """Return what is offered: the model with its languages, and each wake word."""
    artifact: dict[str, Any] = {"attribution": _MINE, "installed": True, "version": __version__}
    languages = _model_languages(recognizer)
    asr = [] if recognizer is None else [AsrProgram(
        name="hybridasr", description="Hybrid speech recognition", **artifact,
        models=[AsrModel(name="hybridasr", languages=languages, **artifact,
                         description=f"{len(recognizer.commands)} commands"
                         if recognizer.commands else "sentences of a graph")])]
    wake = [] if detector is None else [WakeProgram(
        name="hybridasr", description="Wake words", **artifact,
        models=[WakeModel(name=phrase.id, phrase=phrase.text, description=phrase.text,
                          languages=languages, **artifact) for phrase in detector.commands])]
    return Info(asr=asr, wake=wake)


def _model_languages(recognizer: Recognizer | None) -> list[str]:
    """Tell the languages of a model by its phones: those of Mandarin carry tones."""
    if recognizer is None:
        return ["und"]
    lang = recognizer.model.lang
    phones = {base_phone(lang.phone_name(phone)) for phone in lang.nonsilence_phones}
    known = {"zh": has_tones(phones), "en": any(phone.isupper() for phone in phones)}
    return [tag for name, tags in _LANGUAGES.items() if known[name] for tag in tags] or ["und"]


def written_text(result: dict[str, Any]) -> str:
    """Return what a result says, as people write it: hanzi without spaces between words.

    >>> written_text({"text": "打开 空调", "accepted": True})
    '打开空调'
    >>> written_text({"text": "turn on", "accepted": True})
    'turn on'
    >>> written_text({"text": "打开", "accepted": False})
    ''
    """
    if not result["accepted"]:
        return ""
    text = ""
    for word in result["text"].split():
        between = "" if text and is_hanzi(text[-1]) and is_hanzi(word[0]) else " "
        text += between + word
    return text.strip()


class _WyomingClient:
    """One client: what it asked for, and the audio that is going on."""

    def __init__(self, service: WyomingService, writer: asyncio.StreamWriter):
        self._service, self._writer = service, writer
        self._workers, self._options = service.workers, service.options
        self._wakes, self._names = service.recognizer is None, frozenset[str]()
        self._form: RawFormat | None = None  # of the audio that is going on
        self._session: Session | WakeDetector | None = None
        self._seconds = 0.0
        self._detected = False

    async def talk(self, reader: asyncio.StreamReader) -> None:
        """Answer events until the client leaves or the server ends."""
        most = self._options.max_message_kb << 10
        while True:
            event = await self._workers.until_ending(read_bounded_event(reader, most), "event")
            if event is None:
                if self._session is not None and self._workers.ending.is_set():
                    await self._stop()
                elif self._session is not None:
                    self.lost()
                return
            await self._answer(event)

    async def write(self, message: Eventable) -> None:
        """Send an event to the client.

        Raises
        ------
        UserError
            if the client does not take it.
        """
        await self._workers.within(async_write_event(message.event(), self._writer),
                                   "reading of answers")

    def lost(self) -> None:
        """Count a client that has left."""
        if self._session is not None:
            self._workers.metrics.lost.labels(_PROTOCOL).inc()
        self._session = None

    async def _answer(self, event: Event) -> None:
        if Describe.is_type(event.type):
            await self.write(self._service.info)
        elif Ping.is_type(event.type):
            await self.write(Pong(text=Ping.from_event(event).text))
        elif (task := asked_task(event)) is not None:
            self._ask(*task)
        elif is_audio(event):
            form = audio_format(event)
            if AudioStart.is_type(event.type) or self._session is None:
                await self._start(form)
            if form != self._form:
                raise UserError(f"a chunk of {form.encoding}:{form.rate}:{form.channels} in the "
                                "middle of other audio; send audio-stop first")
            if AudioChunk.is_type(event.type) and event.payload:
                await self._hear(event.payload, form)
        elif AudioStop.is_type(event.type):
            await self._stop()
        # Other events are of other services: the protocol says that they are dropped.

    def _ask(self, wakes: bool, names: frozenset[str]) -> None:
        service = self._service
        if wakes and service.detector is None:
            raise UserError("no wake words here; start the server with --wake TEXT, or pack some "
                            "with the model")
        if not wakes and service.recognizer is None:
            raise UserError("no commands here; start the server with --commands FILE")
        known = {phrase.id for phrase in service.detector.commands} if service.detector else set()
        if names - known:
            raise UserError(f"no wake word '{min(names - known)}'; there are "
                            + ", ".join(sorted(known)))
        self._wakes, self._names = wakes, names

    async def _start(self, form: RawFormat) -> None:
        """Begin an utterance; one that was going on is forgotten."""
        self._form, self._seconds, self._detected = form, 0.0, False
        if self._wakes:
            assert self._service.detector is not None
            detector = self._service.detector.copy()
            await self._workers.run(lambda: detector.begin(raw=form))
            self._session = detector
        else:
            assert self._service.recognizer is not None
            self._session = self._service.recognizer.session(raw=form, endpoint=None,
                                                             partials=False)

    async def _hear(self, audio: bytes, form: RawFormat) -> None:
        assert self._session is not None
        seconds = len(audio) / form.bytes / form.rate
        self._seconds += seconds
        most = self._options.max_seconds if self._wakes else self._options.max_utterance
        if self._seconds > most:
            raise UserError(f"more than {most:g} s of audio; send audio-stop where speech ends")
        self._workers.metrics.audio.labels(_PROTOCOL).inc(seconds)
        for piece in pieces(audio, form.bytes * form.rate, form.bytes):
            await self._tell(await self._workers.run(self._session.accept, piece))

    async def _stop(self) -> None:
        """End the utterance, and answer it."""
        loop = asyncio.get_running_loop()
        session, self._session, begun = self._session, None, loop.time()
        events = [] if session is None else await self._workers.run(session.finish)
        await self._tell(events)
        if self._wakes:
            if not self._detected:
                await self.write(NotDetected())
            return
        results = [event for event in events if "text" in event]
        for result in results:
            self._workers.metrics.count_result(result)
        text = " ".join(filter(None, map(written_text, results)))
        await self.write(Transcript(text=text))
        if results:
            self._workers.metrics.answers.observe(loop.time() - begun)

    async def _tell(self, events: list[dict[str, Any]]) -> None:
        """Tell the wake words among some events."""
        for event in events:
            if "wake" in event and (not self._names or event["id"] in self._names):
                self._detected = True
                await self.write(Detection(name=event["id"],
                                           timestamp=round(1000 * event["start"])))
