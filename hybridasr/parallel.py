"""Owns work over utterances: one executor interface, in place or in processes.

Work is cut into blocks whose number depends on the data alone, and results come back in block
order, so that sums (and therefore models) are the same for every ``--nj``.
"""

import concurrent.futures as futures
import logging
import logging.handlers
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from hybridasr.errors import ResourceError, UserError
from hybridasr.progress import logger, progress

T = TypeVar("T")
# BLAS on several threads rounds by their number: a process takes one, jobs are the parallelism.
ONE_BLAS_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class SerialExecutor(futures.Executor):
    """Runs each call at once, in this process, when its result is asked for by `run_blocks`."""

    def submit(self, function: Callable, /, *args: Any, **kwargs: Any) -> futures.Future:
        """Run `function` now and return a finished future."""
        future: futures.Future = futures.Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def executor(nj: int = 1) -> Iterator[futures.Executor]:
    """Yield an executor of `nj` jobs: in place for 1, in processes for more."""
    if nj < 1:
        raise UserError(f"--nj is {nj}; give 1 or more")
    import threadpoolctl  # here, so that the command line starts at once

    with threadpoolctl.threadpool_limits(1, "blas"):
        if nj == 1:
            yield SerialExecutor()
            return
        with _process_pool(nj) as pool:
            yield pool


@contextmanager
def _process_pool(nj: int) -> Iterator[futures.Executor]:
    # spawn: numba and BLAS threads do not survive a fork; it behaves the same everywhere.
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    listener = logging.handlers.QueueListener(messages, _Forward())
    pool = futures.ProcessPoolExecutor(nj, mp_context=context, initializer=_start_worker,
                                       initargs=(messages, logger.getEffectiveLevel()))
    listener.start()
    try:
        with _environment(ONE_BLAS_THREAD):
            yield pool
    except BaseException:
        # A worker that still starts needs what would go with the pool: wait for it.
        pool.shutdown(cancel_futures=True)
        raise
    else:
        pool.shutdown()
    finally:
        listener.stop()


@contextmanager
def training_process() -> Iterator[futures.Executor]:
    """Yield an executor of one process whose matrix products use the kernels of `wide_kernels`.

    BLAS chooses its kernels when it is loaded, which for this process is past: whatever the number
    of jobs, a network is trained in there.
    """
    with _environment(wide_kernels()), _process_pool(1) as pool:
        pool.submit(os.getpid).result()  # it has started, with these settings
        yield pool


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """Change the environment, for processes that are started while the block runs."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def wide_kernels(cpuinfo: str = "/proc/cpuinfo") -> dict[str, str]:
    """Return the environment in which OpenBLAS uses AVX-512 on a processor that has it.

    Processors newer than the library, and those of other makers, get its AVX2 kernels otherwise.
    Empty where the user has made a choice or the processor is not known to have all it takes.
    Other kernels round differently, so a process must have them from its start or not at all.
    """
    try:
        with open(cpuinfo, encoding="utf-8", errors="replace") as file:
            flags = next((line.split() for line in file if line.startswith("flags")), [])
    except OSError:
        return {}
    has_all = {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= set(flags)
    chosen = os.environ.get("OPENBLAS_CORETYPE")
    return {"OPENBLAS_CORETYPE": "SKYLAKEX"} if has_all and not chosen else {}


def run_blocks(pool: futures.Executor, function: Callable[..., T], blocks: Sequence[tuple],
               desc: str = "", unit: str = "block") -> Iterator[T]:
    """Yield ``function(*block)`` for every block, in order, with a progress bar."""
    if isinstance(pool, SerialExecutor):
        for block in progress(blocks, desc=desc, unit=unit):
            yield function(*block)
        return
    pending: list[futures.Future] = []
    try:
        with _interrupts_held():
            pending += [pool.submit(function, *block) for block in blocks]
        for future in progress(pending, desc=desc, unit=unit):
            yield future.result()
    except futures.process.BrokenProcessPool:
        raise ResourceError("a worker process died (out of memory?); try a smaller --nj") from None
    finally:
        for future in pending:
            future.cancel()


def split_blocks(items: Sequence[T], size: int) -> list[list[T]]:
    """Cut `items` into consecutive blocks of at most `size`, whatever the number of jobs."""
    return [list(items[start:start + size]) for start in range(0, len(items), size)]


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let Ctrl-C wait while the block runs; processes started in it never see one.

    A worker could otherwise be interrupted before `_start_worker` makes it deaf.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def _start_worker(messages: Any, level: int) -> None:
    # Ctrl-C is for the parent, which then ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logger.setLevel(level)
    logger.propagate = False
    logger.addHandler(logging.handlers.QueueHandler(messages))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class _Forward(logging.Handler):
    """Hands the workers' messages to the parent's log, as if they had been its own."""

    def emit(self, record: logging.LogRecord) -> None:
        logger.handle(record)
