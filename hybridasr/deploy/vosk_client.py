"""Owns one client that speaks as vosk-server's do: its messages in, answers out.

A client may send ``{"config": {"sample_rate": 16000, "phrase_list": [...], "words": true,
"max_alternatives": 0}}``, then audio as binary messages (16-bit samples of one channel), each of
which gets one answer, and at the end ``{"eof": 1}``, for which it gets the last result.
"""

import json
from collections.abc import Callable
from typing import Any

from hybridasr.deploy.client_messages import (
    AudioLimit,
    checked_config,
    checked_phrases,
    control_message,
)
from hybridasr.deploy.serve_options import ServeOptions
from hybridasr.vosk import KaldiRecognizer, Model

_CONFIG = {"sample_rate": (int, float), "phrase_list": (list,), "words": (bool, int),
           "max_alternatives": (int,)}


class VoskClient:
    """One connection: its configuration, then its recognizer; one message at a time.

    Parameters
    ----------
    on_result : function of a result
        Called with each result of `recognize.results`, of which the client gets Vosk's form.
    """

    def __init__(self, model: Model, options: ServeOptions,
                 on_result: Callable[[dict[str, Any]], None] | None = None):
        self._model, self._options, self._on_result = model, options, on_result
        self._config: dict[str, Any] = {}
        self._recognizer: KaldiRecognizer | None = None
        self._limit = AudioLimit(options)
        self._ended = False  # whether an utterance has, since the last answer
        self.rate = self._own_rate

    @property
    def under_way(self) -> bool:
        """Whether there is audio of which no final result was given."""
        return self._limit.seconds > 0

    def control(self, message: str) -> tuple[str | None, bool]:
        """Take a text: (the answer, if there is one; whether it was the last message).

        Raises
        ------
        UserError
            if it is not understood, or what it configures cannot be.
        """
        value = control_message(message)
        if "eof" in value:
            return self.finish(), True
        config = checked_config(value, _CONFIG, self.under_way)
        checked_phrases(config.get("phrase_list", []), self._options)
        self._config |= config
        # At once, so that a client hears of a fault before it speaks.
        self._begin()
        return None, False

    def hear(self, audio: bytes, last: bool) -> str | None:
        """Take a piece of a binary message; the answer after its last piece.

        Raises
        ------
        UserError
            if it is more than the client may send.
        """
        recognizer = self._recognizer or self._begin()
        self._limit.add(len(audio) / 2 / self.rate)
        self._ended |= bool(recognizer.AcceptWaveform(audio))
        if not last:
            return None
        ended, self._ended = self._ended, False
        return recognizer.Result() if ended else recognizer.PartialResult()

    def finish(self) -> str:
        """End the audio: the last result."""
        return (self._recognizer or self._begin()).FinalResult()

    @property
    def _own_rate(self) -> float:
        return self._options.sample_rate or self._model.recognizer.model.features.sample_rate

    def _begin(self) -> KaldiRecognizer:
        config = self._config
        rate = config.get("sample_rate", self._own_rate)
        recognizer = KaldiRecognizer(self._model, rate, json.dumps(config.get("phrase_list", [])))
        recognizer.on_result = self._on_result
        recognizer.SetWords(bool(config.get("words", True)))
        recognizer.SetMaxAlternatives(config.get("max_alternatives", 0))
        self._recognizer, self.rate = recognizer, rate
        return recognizer
