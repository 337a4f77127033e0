"""Owns the matrix products of training: cut into blocks by their shape, worked on by threads.

BLAS on several threads rounds by the way in which it shares a product among them. Here a product is
cut into blocks whose number depends on its shape alone, and each block is a product of its own on
one thread of BLAS, so that the result is the same to the last bit for any number of threads.
"""

import functools
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

PAIR = 1 << 26  # multiplications of two blocks: far more than it costs to hand one over
LEAST = 1 << 24  # a smaller product is one block
MOST_BLOCKS = 8
SPINS = 1000  # a millisecond or two
_state = threading.local()  # how many threads the products of this thread may use


@contextmanager
def product_threads(threads: int) -> Iterator[None]:
    """Let the products of this thread use `threads` threads while the block runs."""
    before = getattr(_state, "threads", 1)
    _state.threads = max(1, threads)
    try:
        yield
    finally:
        _state.threads = before


def product(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Write a b into `out` and return it: (rows, inner) (inner, columns) -> (rows, columns).

    Examples
    --------
    >>> product(np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]]), np.empty((2, 2))).tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    run_all(product_calls(a, b, out))
    return out


def product_calls(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> list[Callable[[], object]]:
    """Return the products of blocks that are `product` together, for `run_all`."""
    blocks = num_blocks(a.shape[0], a.shape[1], b.shape[1])
    if a.shape[0] >= b.shape[1]:
        edges = _edges(a.shape[0], blocks)
        parts = [(a[i:j], b, out[i:j]) for i, j in zip(edges[:-1], edges[1:], strict=True)]
    else:
        edges = _edges(b.shape[1], blocks)
        parts = [(a, b[:, i:j], out[:, i:j]) for i, j in zip(edges[:-1], edges[1:], strict=True)]
    return [functools.partial(np.matmul, x, y, out=z) for x, y, z in parts]


def num_blocks(rows: int, inner: int, columns: int) -> int:
    """Return how many blocks a product of this shape is cut into.

    Examples
    --------
    >>> num_blocks(256, 512, 512), num_blocks(10, 20, 30)
    (2, 1)
    """
    size = rows * inner * columns
    return 1 if size < LEAST else min(2 * -(-size // PAIR), MOST_BLOCKS)


def run_all(calls: list[Callable[[], object]]) -> None:
    """Make all calls, in any order, on the threads that this thread may use."""
    threads = min(getattr(_state, "threads", 1), len(calls))
    left = iter(calls)
    helpers = [_helper(number) for number in range(threads - 1)]
    for helper in helpers:
        helper.tasks.put(left)
    error = _work(left)
    for helper in helpers:
        # Falling asleep and waking up takes as long as a small product: look for a while first.
        for _ in range(SPINS):
            if not helper.results.empty():
                break
            time.sleep(0)
        error = helper.results.get() or error
    if error is not None:
        raise error


def _edges(length: int, blocks: int) -> list[int]:
    # Multiples of 16 columns or rows, so that only the last block has an odd end.
    return [length * block // blocks // 16 * 16 for block in range(blocks)] + [length]


class _Helper:
    """A thread that works on lists of calls together with the thread that asks it."""

    def __init__(self):
        self.tasks: queue.SimpleQueue = queue.SimpleQueue()
        self.results: queue.SimpleQueue = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True, name="products").start()

    def _run(self) -> None:
        while True:
            self.results.put(_work(self.tasks.get()))


def _work(left: Iterator[Callable[[], object]]) -> BaseException | None:
    """Make calls until none is left; an iterator over a list hands each to one thread only."""
    try:
        for call in left:
            call()
    except BaseException as error:
        return error
    return None


def _helper(number: int) -> _Helper:
    """Return a helper of this thread; it lives as long as the process."""
    helpers = getattr(_state, "helpers", None)
    if helpers is None:
        helpers = _state.helpers = []
    while len(helpers) <= number:
        helpers.append(_Helper())
    return helpers[number]
