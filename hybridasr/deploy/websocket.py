"""Owns a WebSocket: messages to the client object of its protocol, answers back, the closing.

What a client asks for in vain is answered by ``{"error": ...}``, and its connection is closed; so
is one that is silent or does not read for too long. Where the server ends, an utterance that is
under way is ended and told first.
"""

import asyncio
from contextlib import suppress
from typing import Protocol

from aiohttp import WSMsgType, web

from hybridasr.deploy.client_messages import error_message
from hybridasr.deploy.serve_options import ServeOptions
from hybridasr.deploy.workers import TooMany, Workers, pieces
from hybridasr.errors import UserError
from hybridasr.progress import logger

# Codes of RFC 6455: the server ends; the client broke a rule; try again later.
_ENDING, _REFUSED, _BUSY = 1001, 1008, 1013
_LONGEST_REASON = 100  # bytes; the protocol has room for 123
_CLOSE_SECONDS = 2.0  # that the other side has to answer the closing
_SAMPLE_BYTES = 2


class MessageClient(Protocol):
    """What a protocol does with messages; see `deploy.vosk_client` and `deploy.event_client`."""

    rate: float
    """Hertz of the audio."""
    under_way: bool
    """Whether there is audio of which no final result was given."""

    def control(self, message: str) -> tuple[str | None, bool]:
        """Take a text: (the answer, if there is one; whether it was the last message)."""

    def hear(self, audio: bytes, last: bool) -> str | None:
        """Take a piece of a binary message; the answer after its last piece."""

    def finish(self) -> str:
        """End the audio: the last answer."""


class WebSocketTalk:
    """The talk with one client.

    Parameters
    ----------
    protocol : str
        Its name in the metrics.
    """

    def __init__(self, protocol: str, workers: Workers, options: ServeOptions):
        self._protocol, self._workers, self._options = protocol, workers, options
        self._results = 0  # since the last answer
        self._socket = web.WebSocketResponse(timeout=_CLOSE_SECONDS, compress=False,
                                             max_msg_size=options.max_message_kb << 10)

    def count(self, result: dict) -> None:
        """Count a result; from any thread."""
        self._results += 1
        self._workers.metrics.count_result(result)

    async def run(self, request: web.Request, client: MessageClient) -> web.WebSocketResponse:
        """Talk until the client leaves, is refused or the server ends."""
        socket, metrics = self._socket, self._workers.metrics
        await socket.prepare(request)
        try:
            with self._workers.admit(self._protocol):
                await self._talk(client)
        except TooMany as busy:
            await self._close(_BUSY, str(busy))
        except UserError as error:
            metrics.refused.labels("message").inc()
            text = error_message(error)
            await self._close(_REFUSED, text[len('{"error": "'):-2], text)
        except ConnectionError as error:
            logger.debug("%s: %s", request.remote, error)
            self._lose(client)
        finally:
            # Closed, but perhaps with answers that nobody reads.
            if request.transport is not None:
                transport = request.transport
                asyncio.get_running_loop().call_later(_CLOSE_SECONDS, transport.abort)
        return socket

    async def _talk(self, client: MessageClient) -> None:
        while True:
            message = await self._workers.until_ending(self._socket.receive(), "message")
            if message is None:
                await self._end(client)
                return
            begun = asyncio.get_running_loop().time()
            if message.type == WSMsgType.TEXT:
                answer, ended = await self._workers.run(client.control, message.data)
            elif message.type == WSMsgType.BINARY:
                answer, ended = await self._hear(client, message.data), False
            else:
                if message.type == WSMsgType.ERROR:
                    self._workers.metrics.refused.labels("message").inc()
                self._lose(client)
                return
            if answer is not None:
                await self._workers.within(self._socket.send_str(answer), "reading of answers")
            if self._results:
                self._workers.metrics.answers.observe(asyncio.get_running_loop().time() - begun)
                self._results = 0
            if ended:
                await self._close(1000, "")
                return

    async def _hear(self, client: MessageClient, audio: bytes) -> str | None:
        self._workers.metrics.audio.labels(self._protocol).inc(
            len(audio) / _SAMPLE_BYTES / client.rate)
        parts, answer = pieces(audio, _SAMPLE_BYTES * client.rate, _SAMPLE_BYTES), None
        for number, piece in enumerate(parts, 1):
            answer = await self._workers.run(client.hear, piece, number == len(parts))
        return answer

    async def _end(self, client: MessageClient) -> None:
        last = await self._workers.run(client.finish) if client.under_way else None
        await self._close(_ENDING, "the server ends", last)

    async def _close(self, code: int, reason: str, last: str | None = None) -> None:
        """Send the last message, and close; who reads neither is dropped."""
        async def close() -> None:
            if last is not None:
                await self._socket.send_str(last)
            message = reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
            await self._socket.close(code=code, message=message.encode())

        with suppress(ConnectionError, asyncio.TimeoutError):
            await asyncio.wait_for(close(), 2 * _CLOSE_SECONDS)

    def _lose(self, client: MessageClient) -> None:
        if client.under_way:
            self._workers.metrics.lost.labels(self._protocol).inc()
