"""Owns the threads that recognise for all clients in turn, how many clients there are, the end.

Audio goes to the threads in short pieces, so that one client's minute delays another's syllable by
no more than a piece. The kernels hold no lock.
"""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
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
        self._threads = _Threads(options.threads_each)
        self._waits: set[_Wait] = set()  # that the end of the server breaks off

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
        return await self._threads.submit(function, *args)

    async def within(self, step: Awaitable[T], what: str) -> T:
        """Wait for a client, but not longer than it may take.

        Raises
        ------
        Idle
            saying that there was no `what`.
        """
        return await self._bounded(step, what, _Wait())

    async def until_ending(self, step: Awaitable[T], what: str) -> T | None:
        """As `within`; None as soon as the server ends, or if it does so already."""
        if self.ending.is_set():
            asyncio.ensure_future(step).cancel()
            return None
        wait = _Wait()
        self._waits.add(wait)
        try:
            return await self._bounded(step, what, wait)
        except _Ended:
            return None
        finally:
            self._waits.discard(wait)

    async def _bounded(self, step: Awaitable[T], what: str, wait: "_Wait") -> T:
        # Each message comes by here: a timer costs a tenth of what another task does.
        idle = Idle(f"no {what} for {self._options.max_idle:g} s; connect again")
        timer = asyncio.get_running_loop().call_later(self._options.max_idle, wait.break_off, idle)
        try:
            return await step
        except asyncio.CancelledError:
            if wait.reason is None:
                raise
            raise wait.reason from None
        finally:
            timer.cancel()
            wait.forget()

    async def end(self, patience: float) -> None:
        """Let the clients finish what they have, for so many seconds at most."""
        self.ending.set()
        for wait in [*self._waits]:
            wait.break_off(_Ended())
        deadline = asyncio.get_running_loop().time() + patience
        while self._clients and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_LOOK)

    def close(self) -> None:
        """End the threads; what they have not begun is dropped."""
        self._threads.close()


class _Ended(Exception):
    """The server ends."""


class _Wait:
    """A wait of the task that makes it, which can be broken off."""

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self.reason: Exception | None = None

    def break_off(self, reason: Exception) -> None:
        """End the wait with an exception; the first reason holds."""
        if self.reason is None and self._task is not None:
            self.reason = reason
            self._task.cancel()

    def forget(self) -> None:
        """Nobody outside has cancelled the task (Python 3.10 does not count who has)."""
        if self.reason is not None and hasattr(self._task, "uncancel"):
            self._task.uncancel()
        self._task = None


class _Threads:
    """Threads that make calls for an event loop, and tell it of all that are made at a time."""

    def __init__(self, count: int):
        self._loop = asyncio.get_running_loop()
        self._calls: queue.SimpleQueue = queue.SimpleQueue()
        self._results: deque[tuple[asyncio.Future, Any, BaseException | None]] = deque()
        self._told = False  # that there are results; the loop has not looked yet
        self._count, self._threads = count, list[threading.Thread]()

    def submit(self, function: Callable[..., T], *args: Any) -> "asyncio.Future[T]":
        """Return what will have the result of a call."""
        if not self._threads:
            self._threads = [threading.Thread(target=self._work, name=f"recognise-{number}")
                             for number in range(self._count)]
            for thread in self._threads:
                thread.start()
        future = self._loop.create_future()
        self._calls.put((future, function, args))
        return future

    def close(self) -> None:
        """End the threads; calls that have not begun are dropped."""
        with suppress(queue.Empty):
            while True:
                self._calls.get_nowait()[0].cancel()
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            future, function, args = call
            if future.cancelled():
                continue
            value, error = None, None
            try:
                value = function(*args)
            except BaseException as raised:
                error = raised
            self._results.append((future, value, error))
            # Waking the loop is a call of the system: once for all that it has not seen.
            if not self._told:
                self._told = True
                self._loop.call_soon_threadsafe(self._tell)
            del call, future, function, args, value, error

    def _tell(self) -> None:
        self._told = False  # before looking: a result that comes now is seen, or told
        while self._results:
            future, value, error = self._results.popleft()
            if future.cancelled():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)


def pieces(contents: bytes, bytes_a_second: float, unit: int) -> list[bytes]:
    """Cut bytes into pieces of whole samples, `unit` bytes each; one at least.

    >>> pieces(b"abcdefg", 8, 2)
    [b'abcd', b'efg']
    >>> pieces(b"", 8, 2)
    [b'']
    """
    size = max(1, int(bytes_a_second * PIECE_SECONDS) // unit) * unit
    return [contents[begin:begin + size] for begin in range(0, max(1, len(contents)), size)]
