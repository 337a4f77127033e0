"""Owns the threads that recognise for all clients in turn, how many clients there are, the end.

Audio goes to the threads in short pieces, so that one client's minute delays another's syllable by
no more than a piece. The kernels hold no lock.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from hybridasr.deploy.metrics import Metrics
from hybridasr.deploy.serve_options import ServeOptions
from hybridasr.errors import UserError

T = TypeVar("T")
PIECE_SECONDS = 0.5
_LOOK = 0.02  # seconds from one look at the clients that are left to the next


class TooMany(UserError):
    """There are as many clients as may be, or the server ends."""


class Idle(UserError):
    """A client took too long."""


class Workers:
    """The threads, and the clients that they work for.

    Attributes
    ----------
    metrics : Metrics
    ending : asyncio.Event
        Set when the server ends: clients finish what they have.
    """

    def __init__(self, options: ServeOptions, metrics: Metrics):
        self.metrics, self.ending = metrics, asyncio.Event()
        self._options, self._clients = options, 0
        self._pool = ThreadPoolExecutor(options.threads or os.cpu_count(), "recognise")

    @contextmanager
    def admit(self, protocol: str) -> Iterator[None]:
        """Serve a client for the time of the block.

        Raises
        ------
        TooMany
            if it must come again later.
        """
        if self.ending.is_set() or self._clients >= self._options.max_connections:
            self.metrics.refused.labels("full").inc()
            raise TooMany("too many clients; try again later")
        self._clients += 1
        self.metrics.sessions.labels(protocol).inc()
        try:
            yield
        finally:
            self._clients -= 1
            self.metrics.sessions.labels(protocol).dec()

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)

    async def within(self, step: Awaitable[T], what: str) -> T:
        """Wait for a client, but not longer than it may take.

        Raises
        ------
        Idle
            saying that there was no `what`.
        """
        try:
            return await asyncio.wait_for(step, self._options.max_idle)
        except asyncio.TimeoutError:
            raise Idle(f"no {what} for {self._options.max_idle:g} s; connect again") from None

    async def until_ending(self, step: Awaitable[T], what: str) -> T | None:
        """As `within`; None as soon as the server ends, or if it does so already."""
        if self.ending.is_set():
            asyncio.ensure_future(step).cancel()
            return None
        waiting = [asyncio.ensure_future(step), asyncio.ensure_future(self.ending.wait())]
        try:
            ready, _ = await asyncio.wait(waiting, timeout=self._options.max_idle,
                                          return_when=asyncio.FIRST_COMPLETED)
            if waiting[0] in ready:
                return waiting[0].result()
            if ready:
                return None
            raise Idle(f"no {what} for {self._options.max_idle:g} s; connect again")
        finally:
            for task in waiting:
                task.cancel()

    async def end(self, patience: float) -> None:
        """Let the clients finish what they have, for so many seconds at most."""
        self.ending.set()
        deadline = asyncio.get_running_loop().time() + patience
        while self._clients and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_LOOK)

    def close(self) -> None:
        """End the threads; what they have not begun is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def pieces(contents: bytes, bytes_a_second: float, unit: int) -> list[bytes]:
    """Cut bytes into pieces of whole samples, `unit` bytes each; one at least.

    >>> pieces(b"abcdefg", 8, 2)
    [b'abcd', b'efg']
    >>> pieces(b"", 8, 2)
    [b'']
    """
    size = max(1, int(bytes_a_second * PIECE_SECONDS) // unit) * unit
    return [contents[begin:begin + size] for begin in range(0, max(1, len(contents)), size)]
