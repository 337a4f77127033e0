"""Owns serving by several processes: one deals out the connections, the others serve them.

What is Python in a process is done by one thread at a time, so one process serves little more than
a processor can. The dealer listens, and hands each connection to the process that has the fewest,
over a socket of the system (SCM_RIGHTS); the process tells it when the connection is closed. The
processes are forks of one that has loaded the model, whose memory they share.
"""

import asyncio
import multiprocessing
import os
import signal
import socket
import ssl
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from hybridasr.deploy.serve_options import (
    ServeOptions,
    Token,
    parse_address,
    tell_where,
    tls_context,
)
from hybridasr.errors import UserError
from hybridasr.progress import logger

# Which of the server's doors a connection came to: a byte that goes with it.
HTTP, WYOMING = b"h", b"w"
_BACKLOG = 512
_PATIENCE = 30.0  # seconds that the processes have to end
_LOOK_SECONDS = 0.05  # from one look at what is closed to the next
_FULL_SECONDS = 1.0  # that nobody is let in where the system has no more open files

Serve = Callable[[ServeOptions, socket.socket], None]


@dataclass
class _Process:
    """One that serves, and how many connections it has."""

    process: multiprocessing.process.BaseProcess
    channel: socket.socket
    connections: int = 0


def deal_out(options: ServeOptions, serve: Serve) -> None:
    """Serve by `options.processes` processes until SIGINT or SIGTERM.

    Parameters
    ----------
    serve : function (options, channel)
        Called in each process; serves the connections that `DealtConnections` takes from the
        channel, until the channel or a signal ends it.

    Raises
    ------
    UserError
        if an address cannot be had, or one of the processes has ended by itself.
    """
    doors = {HTTP: _listener((options.host, options.port), "another --port or --host")}
    if options.wyoming is not None:
        doors[WYOMING] = _listener(parse_address(options.wyoming), "another --wyoming")
    # The processes would say it one by one.
    Token(options.token_file), tls_context(options)
    share = replace(options, max_connections=-(-options.max_connections // options.processes))
    processes: list[_Process] = []
    context = multiprocessing.get_context("fork")
    for _ in range(options.processes):
        ours, theirs = socket.socketpair()
        # What the others have is not this one's: an open copy would hide that one has ended.
        closed = [*doors.values(), ours, *(one.channel for one in processes)]
        process = context.Process(target=_serve_in_fork, args=(serve, share, theirs, closed))
        process.start()
        theirs.close()
        processes.append(_Process(process, ours))
    tell_where(options, [*doors.values()])
    try:
        failed = asyncio.run(_deal(doors, processes))
    finally:
        _end(processes)
    if failed:
        raise UserError("one of the processes that serve has ended by itself; what it said stands "
                        "above")


def _serve_in_fork(serve: Serve, options: ServeOptions, channel: socket.socket,
                   others: list[socket.socket]) -> None:
    for one in others:
        one.close()
    os.setpgid(0, 0)  # Ctrl-C is for the dealer, who then ends the others
    try:
        serve(options, channel)
    except UserError as error:
        logger.error("%s", error)
        raise SystemExit(1) from None


def _end(processes: list[_Process]) -> None:
    for one in processes:
        one.process.terminate()
    for one in processes:
        one.process.join(_PATIENCE)
        if one.process.is_alive():
            one.process.kill()
            one.process.join()
        one.channel.close()


def _listener(address: tuple[str, int] | Path, mend: str) -> socket.socket:
    try:
        if isinstance(address, Path):
            # What an earlier server has left behind.
            with suppress(FileNotFoundError):
                if stat.S_ISSOCK(os.stat(address).st_mode):
                    address.unlink()
            place = socket.socket(socket.AF_UNIX)
            place.bind(str(address))
            place.listen(_BACKLOG)
        else:
            family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
            place = socket.create_server(address, family=family, backlog=_BACKLOG)
    except OSError as error:
        where = address if isinstance(address, Path) else "{}:{}".format(*address)
        raise UserError(f"cannot listen at {where} ({error.strerror or error}); choose {mend}"
                        ) from None
    place.setblocking(False)
    limit_send_buffer(place)
    return place


async def _deal(doors: dict[bytes, socket.socket], processes: list[_Process]) -> bool:
    """Hand connections out until a signal comes; return whether a process has ended before."""
    loop, stop, failed = asyncio.get_running_loop(), asyncio.Event(), False
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not beside the main thread.
        with suppress(RuntimeError, ValueError):
            loop.add_signal_handler(number, stop.set)

    def accept(kind: bytes, door: socket.socket) -> None:
        try:
            client = door.accept()[0]
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            logger.warning("no connection can be taken (%s)", error.strerror or error)
            loop.remove_reader(door)
            loop.call_later(_FULL_SECONDS, loop.add_reader, door, accept, kind, door)
            return
        with client:
            fewest = min(processes, key=lambda one: one.connections)
            # One that does not take any is full, or ends: the client comes again.
            with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                socket.send_fds(fewest.channel, [kind], [client.fileno()])
                fewest.connections += 1

    def closed(one: _Process) -> None:
        nonlocal failed
        try:
            count = len(one.channel.recv(4096))
        except BlockingIOError:
            return
        except ConnectionResetError:
            count = 0
        one.connections -= count
        if not count:
            failed = not stop.is_set()
            loop.remove_reader(one.channel)
            stop.set()

    for kind, door in doors.items():
        loop.add_reader(door, accept, kind, door)
    for one in processes:
        one.channel.setblocking(False)
        loop.add_reader(one.channel, closed, one)
    await stop.wait()
    for door in doors.values():
        loop.remove_reader(door)
        door.close()
    return failed


class Door(NamedTuple):
    """Where clients of one kind come in.

    Attributes
    ----------
    connect : function () -> protocol
        Makes the protocol of a new connection.
    tls : SSLContext or None
    """

    connect: Callable[[], asyncio.BaseProtocol]
    tls: ssl.SSLContext | None


class DealtConnections:
    """The connections that a process gets from the dealer; it tells which are closed.

    Parameters
    ----------
    channel : socket
        To the dealer.
    doors : dict of bytes -> Door
    stop : asyncio.Event
        Set when the dealer has ended.
    """

    def __init__(self, channel: socket.socket, doors: dict[bytes, Door], stop: asyncio.Event):
        self._channel, self._doors, self._stop = channel, doors, stop
        self._loop = asyncio.get_running_loop()
        self._open: set[asyncio.BaseTransport] = set()
        self._begun: set[asyncio.Task] = set()  # an event loop keeps no task alive
        channel.setblocking(False)
        self._loop.add_reader(channel, self._take)
        self._look()

    def close(self) -> None:
        """Take no more."""
        self._loop.remove_reader(self._channel)

    def _take(self) -> None:
        try:
            kind, files, _, _ = socket.recv_fds(self._channel, 1, 1)
        except BlockingIOError:
            return
        except OSError:
            kind = b""
        if not kind:
            self.close()
            self._stop.set()
        elif files:
            task = self._loop.create_task(self._connect(kind, socket.socket(fileno=files[0])))
            self._begun.add(task)
            task.add_done_callback(self._begun.discard)

    async def _connect(self, kind: bytes, client: socket.socket) -> None:
        client.setblocking(False)
        door = self._doors[kind]
        try:
            transport, _ = await self._loop.connect_accepted_socket(door.connect, client,
                                                                    ssl=door.tls)
        except OSError as error:  # gone, or no TLS
            logger.debug("no connection: %s", error)
            client.close()
            self._tell(1)
        else:
            self._open.add(transport)

    def _look(self) -> None:
        """Look which connections are closed, now and from time to time."""
        closed = [transport for transport in self._open if transport.is_closing()]
        self._open.difference_update(closed)
        if closed:
            self._tell(len(closed))
        self._loop.call_later(_LOOK_SECONDS, self._look)

    def _tell(self, count: int) -> None:
        # A dealer that has ended need not know.
        with suppress(OSError):
            self._channel.send(b"." * count)


def limit_send_buffer(place: socket.socket) -> None:
    """Let the system keep little of answers that a client does not read; it would keep megabytes.

    Each connection begins with what its listener has.
    """
    place.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 17)
