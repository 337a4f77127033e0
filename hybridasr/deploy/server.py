"""Owns the server: a process that speaks HTTP, WebSocket and Wyoming, from begin to end.

Sessions share one model, and its grammar where a client has none of its own. At the end nobody new
is let in, what is under way is finished and told, and then the connections are closed.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from aiohttp import web

from hybridasr.deploy.connections import GuardedConnections
from hybridasr.deploy.dealer import HTTP, WYOMING, DealtConnections, Door, limit_send_buffer
from hybridasr.deploy.http_service import HttpService
from hybridasr.deploy.metrics import Metrics
from hybridasr.deploy.serve_options import (
    ServeOptions,
    Token,
    parse_address,
    tell_where,
    tls_context,
)
from hybridasr.deploy.workers import Workers
from hybridasr.deploy.wyoming_client import WyomingService
from hybridasr.deploy.wyoming_events import LONGEST_LINE
from hybridasr.errors import UserError
from hybridasr.recognize.graph_grammar import NoGrammar
from hybridasr.vosk import Model
from hybridasr.wake.detector import WakeDetector

_PATIENCE = 10.0  # seconds that the end waits for answers
_BACKLOG = 512


async def run_server(model: Model, options: ServeOptions, detector: WakeDetector | None = None,
                     ready: Callable[[int, Callable[[], None]], None] | None = None,
                     channel: socket.socket | None = None) -> None:
    """Serve until SIGINT or SIGTERM; what is under way then is finished.

    Parameters
    ----------
    detector : WakeDetector, optional
        For the wake words of Wyoming clients.
    ready : function (port, stop), optional
        Called when the server listens; `stop` ends it, from any thread.
    channel : socket, optional
        To the dealer that listens in its place (`hybridasr.deploy.dealer`).

    Raises
    ------
    UserError
        if the address cannot be had, or token, certificate or key cannot be used.
    """
    token, tls = Token(options.token_file), tls_context(options)
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not on Windows, and not beside the main thread.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, stop.set)
    workers = Workers(options, Metrics())
    async with AsyncExitStack() as stack:
        stack.callback(workers.close)
        runner = web.AppRunner(HttpService(model, workers, options, token).application(),
                               access_log=None, handle_signals=False, shutdown_timeout=1.0,
                               keepalive_timeout=options.max_idle)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        assert runner.server is not None
        doors = {HTTP: Door(GuardedConnections(runner.server, options).connect, tls)}
        if options.wyoming is not None:
            doors[WYOMING] = _wyoming(model, detector, workers, options)
        places: list[asyncio.Server | DealtConnections] = []
        if channel is None:
            servers = await _listen(doors, options, stack)
            places += servers
            if ready is not None:
                ready(servers[0].sockets[0].getsockname()[1],
                      lambda: loop.call_soon_threadsafe(stop.set))
        else:
            places.append(DealtConnections(channel, doors, stop))
        await stop.wait()
        for place in places:
            place.close()
        await workers.end(_PATIENCE)


def _wyoming(model: Model, detector: WakeDetector | None, workers: Workers,
             options: ServeOptions) -> Door:
    """Return the door of Wyoming clients."""
    decides = not isinstance(model.recognizer.grammar, NoGrammar)
    if not decides and detector is None:
        raise UserError("--wyoming needs commands or wake words; give --commands FILE or --wake "
                        "TEXT too")
    service = WyomingService(model.recognizer if decides else None, detector, workers, options)
    loop = asyncio.get_running_loop()

    def connect() -> asyncio.Protocol:
        reader = asyncio.StreamReader(LONGEST_LINE, loop)
        return asyncio.StreamReaderProtocol(reader, service.handle, loop)

    return Door(connect, None)


async def _listen(doors: dict[bytes, Door], options: ServeOptions, stack: AsyncExitStack
                  ) -> list[asyncio.Server]:
    """Listen at every door, that of HTTP first."""
    loop, servers = asyncio.get_running_loop(), []
    for kind, door in doors.items():
        address = ((options.host, options.port) if kind == HTTP
                   else parse_address(options.wyoming or ""))
        try:
            if isinstance(address, Path):
                server = await loop.create_unix_server(door.connect, address, backlog=_BACKLOG)
            else:
                server = await loop.create_server(door.connect, *address, ssl=door.tls,
                                                  backlog=_BACKLOG)
        except OSError as error:
            # asyncio writes the address into the reason as well.
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error
            where, mend = ((f"{options.host}:{options.port}", "another --port or --host")
                           if kind == HTTP else (options.wyoming, "another --wyoming"))
            raise UserError(f"cannot listen at {where} ({reason}); choose {mend}") from None
        stack.callback(server.close)
        for place in server.sockets:
            limit_send_buffer(place)
        servers.append(server)
    tell_where(options, [server.sockets[0] for server in servers])
    return servers
