"""Owns one client of the server: its messages in, answers out, and what it may take.

The messages are those of vosk-server. A client may send ``{"config": {"sample_rate": 16000,
"phrase_list": [...], "words": true, "max_alternatives": 0}}``, then audio as binary messages
(16-bit samples of one channel), each of which gets one answer, and at the end ``{"eof": 1}``, for
which it gets the last result.
"""

import json
from dataclasses import dataclass
from typing import Any

from hybridasr.errors import UserError
from hybridasr.options import option
from hybridasr.vosk import KaldiRecognizer, Model

_CONFIG = {"sample_rate": (int, float), "phrase_list": (list,), "words": (bool, int),
           "max_alternatives": (int,)}
_SWITCHES = ("words",)


@dataclass(frozen=True)
class ServeOptions:
    """Where the server listens, and what a client may take."""

    host: str = option("127.0.0.1", "address to listen at; 0.0.0.0 lets other machines in, without "
                                    "password or encryption")
    port: int = option(2700, "port to listen at; 0 chooses one")
    sample_rate: int | None = option(None, "hertz of a client that does not say; none: the model's")
    max_connections: int = option(16, "clients at a time")
    max_message_kb: int = option(1024, "kilobytes of a message")
    max_seconds: float = option(3600.0, "seconds of audio of a client")
    threads: int | None = option(None, "threads that recognise; none: as many as processors")

    def __post_init__(self):
        for name in ("max_connections", "max_message_kb", "max_seconds", "threads"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"{name.replace('_', '-')} is {value}; give a number above 0")
        if not 0 <= self.port < 1 << 16:
            raise UserError(f"port is {self.port}; give a number from 0 to 65535")


class Client:
    """One connection: its configuration, then its recognizer; one message at a time."""

    def __init__(self, model: Model, options: ServeOptions):
        self._model, self._options = model, options
        self._config: dict[str, Any] = {}
        self._recognizer: KaldiRecognizer | None = None
        self._bytes = 0

    def take(self, message: str | bytes) -> tuple[str | None, bool]:
        """Take a message: (the answer, if there is one; whether it was the last message).

        Raises
        ------
        UserError
            if the message is not understood, or is more than the client may send.
        """
        if isinstance(message, str):
            return self._control(message)
        recognizer = self._recognizer or self._begin()
        self._bytes += len(message)
        if self._bytes / 2 > self._options.max_seconds * self._rate:
            raise UserError(f"more than {self._options.max_seconds:g} s of audio; connect again")
        ended = recognizer.AcceptWaveform(message)
        return recognizer.Result() if ended else recognizer.PartialResult(), False

    def _control(self, message: str) -> tuple[str | None, bool]:
        try:
            value = json.loads(message)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict) and "eof" in value:
            return (self._recognizer or self._begin()).FinalResult(), True
        if not isinstance(value, dict) or not isinstance(value.get("config"), dict):
            raise UserError('a text that is not understood; send {"config": {...}}, {"eof": 1} or '
                            "audio as binary messages")
        if self._bytes:
            raise UserError("config in the middle of audio; send it first")
        # Some clients send null for what they do not want.
        config = {name: one for name, one in value["config"].items() if one is not None}
        for name, kinds in _CONFIG.items():
            one = config.get(name)
            if one is not None and (not isinstance(one, kinds)
                                    or (isinstance(one, bool) and name not in _SWITCHES)):
                raise UserError(f"config: {name} is {json.dumps(one, ensure_ascii=False)[:40]}, "
                                f"not of type {kinds[0].__name__}")
        self._config |= config
        # At once, so that a client hears of a fault before it speaks.
        self._begin()
        return None, False

    def _begin(self) -> KaldiRecognizer:
        config, own = self._config, self._model.recognizer.model.features.sample_rate
        self._rate = config.get("sample_rate", self._options.sample_rate or own)
        recognizer = KaldiRecognizer(self._model, self._rate,
                                     json.dumps(config.get("phrase_list", [])))
        recognizer.SetWords(bool(config.get("words", True)))
        recognizer.SetMaxAlternatives(config.get("max_alternatives", 0))
        self._recognizer = recognizer
        return recognizer
