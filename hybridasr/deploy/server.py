"""Owns the server: one process that speaks HTTP, WebSocket and Wyoming, from begin to end.

Sessions share one model, and its grammar where a client has none of its own. At the end nobody new
is let in, what is under way is finished and told, and then the connections are closed.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

from aiohttp import web

from hybridasr.deploy.connections import GuardedConnections
from hybridasr.deploy.http_service import HttpService
from hybridasr.deploy.metrics import Metrics
from hybridasr.deploy.serve_options import (
    LOOPBACK,
    ServeOptions,
    Token,
    parse_address,
    tls_context,
)
from hybridasr.deploy.workers import Workers
from hybridasr.deploy.wyoming_client import WyomingService
from hybridasr.deploy.wyoming_events import LONGEST_LINE
from hybridasr.errors import UserError
from hybridasr.progress import logger
from hybridasr.recognize.graph_grammar import NoGrammar
from hybridasr.vosk import Model
from hybridasr.wake.detector import WakeDetector

_PATIENCE = 10.0  # seconds that the end waits for answers
# Bytes that the system keeps of answers that a client does not read; it would keep megabytes.
_SEND_BUFFER = 1 << 17


async def run_server(model: Model, options: ServeOptions, detector: WakeDetector | None = None,
                     ready: Callable[[int, Callable[[], None]], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM; what is under way then is finished.

    Parameters
    ----------
    detector : WakeDetector, optional
        For the wake words of Wyoming clients.
    ready : function (port, stop), optional
        Called when the server listens; `stop` ends it, from any thread.

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
        guarded = GuardedConnections(runner.server, options)
        server = await _listening(loop.create_server(
            guarded.connect, options.host, options.port, ssl=tls, backlog=512,
            reuse_port=options.share_port or None),
            f"{options.host}:{options.port}", "another --port or --host")
        stack.callback(server.close)
        port = server.sockets[0].getsockname()[1]
        logger.info("listening at %s://%s:%d (page, HTTP, WebSockets); Ctrl-C ends it",
                    "https" if tls else "http", options.host, port)
        if options.host not in LOOPBACK and not token.is_set:
            logger.warning("whoever reaches %s may use this server; --token-file lets in only "
                           "those who have a token", options.host)
        if options.wyoming is not None:
            stack.callback((await _wyoming(model, detector, workers, options)).close)
        if ready is not None:
            ready(port, lambda: loop.call_soon_threadsafe(stop.set))
        await stop.wait()
        server.close()
        await workers.end(_PATIENCE)


async def _wyoming(model: Model, detector: WakeDetector | None, workers: Workers,
                   options: ServeOptions) -> asyncio.Server:
    """Listen for Wyoming clients."""
    decides = not isinstance(model.recognizer.grammar, NoGrammar)
    if not decides and detector is None:
        raise UserError("--wyoming needs commands or wake words; give --commands FILE or --wake "
                        "TEXT too")
    service = WyomingService(model.recognizer if decides else None, detector, workers, options)
    assert options.wyoming is not None
    address = parse_address(options.wyoming)
    limited = partial(service.handle)
    if isinstance(address, Path):
        begin = asyncio.start_unix_server(limited, str(address), limit=LONGEST_LINE)
    else:
        begin = asyncio.start_server(limited, *address, limit=LONGEST_LINE,
                                     reuse_port=options.share_port or None)
        if address[0] not in LOOPBACK:
            logger.warning("whoever reaches %s may use Wyoming there, which has no token",
                           address[0])
    server = await _listening(begin, options.wyoming, "another --wyoming")
    logger.info("listening at %s (Wyoming)", options.wyoming if isinstance(address, Path) else
                "tcp://{}:{}".format(*server.sockets[0].getsockname()[:2]))
    return server


async def _listening(begin, address: str, mend: str) -> asyncio.Server:
    try:
        server = await begin
    except OSError as error:
        # asyncio writes the address into the reason as well.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error
        raise UserError(f"cannot listen at {address} ({reason}); choose {mend}") from None
    for place in server.sockets:
        # Each connection begins with what its listener has.
        place.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    return server
