"""Owns one client that wants to know more than Vosk's tell: the page, and programs like it.

It sends ``{"config": {"sample_rate": 16000, "commands": "one a line", "fillers": "one a line",
"nbest": 3, "partials": true}}`` whenever it likes, all of them optional (empty commands: those of
the server). The answer is ``{"ready": {...}, "events": [...]}``, where the events end the audio so
far, or ``{"error": ...}`` for a list that cannot be: then what was configured before stays.
Commands are a list, templates or JSGF. Each binary message (16-bit samples of one channel) is
answered by ``{"events": [...]}`` with what is new: ``{"partial": words}``, or a result of
`recognize.results`. ``{"eof": 1}`` ends.
"""

import json
import time
from collections.abc import Callable
from typing import Any

from hybridasr.deploy.client_messages import (
    AudioLimit,
    checked_config,
    checked_phrases,
    control_message,
    error_message,
)
from hybridasr.deploy.serve_options import ServeOptions
from hybridasr.errors import UserError
from hybridasr.grammar.command_file import parse_command_text
from hybridasr.recognize.graph_grammar import NoGrammar
from hybridasr.recognize.recognizer import Recognizer
from hybridasr.recognize.session import Event, Session

_CONFIG = {"sample_rate": (int,), "commands": (str,), "fillers": (str,), "nbest": (int,),
           "partials": (bool,)}


class EventClient:
    """One connection: its commands and its session; one message at a time.

    Parameters
    ----------
    on_result : function of a result
        Called with each result.
    """

    def __init__(self, recognizer: Recognizer, options: ServeOptions,
                 on_result: Callable[[dict[str, Any]], None] | None = None):
        self._own = self._recognizer = recognizer
        self._options = options
        self._on_result = on_result
        self._session: Session | None = None
        self._events: list[Event] = []
        self._limit = AudioLimit(options)
        self._config: dict[str, Any] = {}

    @property
    def rate(self) -> int:
        """Hertz of the audio."""
        own = self._options.sample_rate or self._recognizer.model.features.sample_rate
        return int(self._config.get("sample_rate", own))

    @property
    def under_way(self) -> bool:
        """Whether there is audio of which no final result was given."""
        return self._session is not None

    def control(self, message: str) -> tuple[str | None, bool]:
        """Take a text: (the answer; whether it was the last message).

        Raises
        ------
        UserError
            if it is not understood.
        """
        value = control_message(message)
        if "eof" in value:
            return self.finish(), True
        try:
            return self._configure(value), False
        except UserError as error:
            return error_message(error), False

    def hear(self, audio: bytes, last: bool) -> str | None:
        """Take a piece of a binary message; the answer after its last piece.

        Raises
        ------
        UserError
            if it is more than the client may send, or there is nothing to recognise with.
        """
        self._limit.add(len(audio) / 2 / self.rate)
        if self._session is None:
            config = self._config
            self._session = self._recognizer.session(
                self.rate, nbest=config.get("nbest"), partials=config.get("partials", True))
        self._take(self._session.accept(audio))
        return self._told() if last else None

    def finish(self) -> str:
        """End the audio: the last events."""
        self._end()
        return self._told()

    def _configure(self, value: dict[str, Any]) -> str:
        config = self._config | checked_config(value, _CONFIG, under_way=False)
        begun, recognizer = time.monotonic(), self._recognizer
        if {"commands", "fillers"} & set(value["config"]):
            recognizer = self._with_lists(config)
        if isinstance(recognizer.grammar, NoGrammar):
            raise UserError("the model has no commands of its own; send some")
        # The rate and the other values are looked at before anything changes.
        recognizer.session(config.get("sample_rate", self.rate), nbest=config.get("nbest"))
        self._end()
        self._recognizer, self._config = recognizer, config
        ready = {"commands": len(recognizer.commands), "threshold": recognizer.threshold,
                 "sample_rate": self.rate, "seconds": round(time.monotonic() - begun, 3)}
        return json.dumps({"ready": ready, "events": self._taken()}, ensure_ascii=False)

    def _with_lists(self, config: dict[str, Any]) -> Recognizer:
        """Return a recognizer with a client's lists; with the server's commands for none."""
        listed = {name: parse_command_text(text, name) for name in ("commands", "fillers")
                  if (text := config.get(name, "").strip())}
        if not listed:
            return self._own
        checked_phrases([*listed.get("commands", []), *listed.get("fillers", [])], self._options)
        commands = listed.get("commands") or self._own.commands
        if not commands:
            raise UserError("fillers without commands; send commands, too")
        recognizer = self._own.copy()
        recognizer.set_commands(commands, [one.text for one in listed.get("fillers", [])])
        return recognizer

    def _end(self) -> None:
        if self._session is not None:
            self._take(self._session.finish())
        self._session = None

    def _take(self, events: list[Event]) -> None:
        for event in events:
            if "text" in event and self._on_result is not None:
                self._on_result(event)
        self._events += events

    def _taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _told(self) -> str:
        return json.dumps({"events": self._taken()}, ensure_ascii=False)
