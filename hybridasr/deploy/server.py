"""Owns recognition over a WebSocket, in the manner of vosk-server, whose clients work unchanged.

Each connection is a session of its own (`deploy.client`), and its audio is worked on in a pool of
threads: the kernels hold no lock, so that no client waits for another's audio. What a client asks
for in vain is answered by ``{"error": ...}``, and its connection is closed.
"""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as websocket_server
from websockets.exceptions import ConnectionClosed

from hybridasr.deploy.client import Client, ServeOptions
from hybridasr.errors import UserError
from hybridasr.progress import logger
from hybridasr.vosk import Model

# Codes of RFC 6455: the server ends; the client broke a rule; try again later.
_ENDING, _REFUSED, _BUSY = 1001, 1008, 1013
_LONGEST_REASON = 100  # bytes; the protocol has room for 123
_LOOK = 0.02  # seconds from one look at what is worked on to the next
_PATIENCE = 10.0  # seconds that the end waits for answers


class _Connections:
    """All connections, and the threads that work for them."""

    def __init__(self, model: Model, options: ServeOptions, pool: ThreadPoolExecutor):
        self._model, self._options, self._pool = model, options, pool
        self._open = self._working = 0
        self._ending = False

    async def end(self) -> None:
        """Take no more messages, and wait until those that are worked on are answered."""
        self._ending = True
        while self._working:
            await asyncio.sleep(_LOOK)

    async def handle(self, socket: ServerConnection) -> None:
        if self._ending or self._open >= self._options.max_connections:
            await socket.close(_BUSY, "too many clients; try again later")
            return
        self._open += 1
        try:
            await self._talk(socket)
        # The client has left, or sent more than a message may hold, which closes the connection.
        except ConnectionClosed as closed:
            logger.debug("%s: %s", socket.remote_address, closed)
        finally:
            self._open -= 1

    async def _talk(self, socket: ServerConnection) -> None:
        client, loop = Client(self._model, self._options), asyncio.get_running_loop()
        async for message in socket:
            if self._ending:
                await socket.close(_ENDING)
                return
            self._working += 1
            try:
                answer, ended = await loop.run_in_executor(self._pool, client.take, message)
                if answer is not None:
                    await socket.send(answer)
            except UserError as error:
                # A text from JSON may hold halves of characters, which cannot be sent back.
                line = str(error).splitlines()[0].encode("utf-8", "replace").decode()
                await socket.send(json.dumps({"error": line}, ensure_ascii=False))
                reason = line.encode()[:_LONGEST_REASON].decode(errors="ignore")
                await socket.close(_REFUSED, reason)
                return
            finally:
                self._working -= 1
            if ended:
                return


async def run_server(model: Model, options: ServeOptions,
                     ready: Callable[[int, Callable[[], None]], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM: then the messages that are worked on are answered, no more.

    Parameters
    ----------
    ready : function (port, stop), optional
        Called when the server listens; `stop` ends it, from any thread.

    Raises
    ------
    UserError
        if the address cannot be had.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not on Windows, and not beside the main thread.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, stop.set)
    with ThreadPoolExecutor(options.threads or os.cpu_count()) as pool:
        connections = _Connections(model, options, pool)
        try:
            server = await websocket_server(
                connections.handle, options.host, options.port,
                max_size=options.max_message_kb << 10, compression=None)
        except OSError as error:
            # asyncio writes the address into the reason as well.
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error
            raise UserError(f"cannot listen at {options.host}:{options.port} ({reason}); choose "
                            "another --port or --host") from None
        async with server:
            port = server.sockets[0].getsockname()[1]
            logger.info("listening at ws://%s:%d; Ctrl-C ends it", options.host, port)
            if ready is not None:
                ready(port, lambda: loop.call_soon_threadsafe(stop.set))
            await stop.wait()
            # A client that takes no answer is not waited for.
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(connections.end(), _PATIENCE)
