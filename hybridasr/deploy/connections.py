"""Owns the guard before HTTP: no more connections than may be, and none that says nothing.

aiohttp waits for a first request without end, and for a slow one, too.
"""

import asyncio

from aiohttp import web

from hybridasr.deploy.serve_options import ServeOptions

# Beside the clients that are served: those that are refused, fetch the page or ask for metrics.
_MORE_CONNECTIONS = 128
_REQUEST_SECONDS = 10.0  # for the lines of the first request


class GuardedConnections:
    """Makes the protocol of each connection.

    Parameters
    ----------
    server : web.Server
        Whose requests are handled.
    """

    def __init__(self, server: web.Server, options: ServeOptions):
        self._server, self._options = server, options
        self._most = options.max_connections + _MORE_CONNECTIONS
        self._silent: set[web.RequestHandler] = set()  # that have not asked for anything yet
        handler = server.request_handler

        async def noted(request: web.BaseRequest) -> web.StreamResponse:
            self._silent.discard(request.protocol)
            return await handler(request)

        server.request_handler = noted

    def connect(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        if len(self._server.connections) >= self._most:
            return _Closed()
        protocol = self._server()
        self._silent.add(protocol)
        loop = asyncio.get_running_loop()
        loop.call_later(min(_REQUEST_SECONDS, self._options.max_idle), self._look, protocol)
        return protocol

    def _look(self, protocol: web.RequestHandler) -> None:
        """Drop a connection that has not asked for anything."""
        if protocol in self._silent:
            self._silent.discard(protocol)
            if protocol.transport is not None:
                protocol.transport.abort()


class _Closed(asyncio.Protocol):
    """A connection that is closed at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
