"""A thread pool turned a UserError into AttributeError, and any number of jobs was accepted."""

import concurrent.futures as futures
import multiprocessing
import threading

import pytest

from hybridasr.errors import ResourceError, UserError
from hybridasr.parallel import executor, run_blocks


def refuse(name):
    raise UserError(f"'{name}' is empty; remove it", "data/text", 3)


def square(number):
    return number * number


def pools():
    yield futures.ThreadPoolExecutor(2)
    yield futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))


def test_errors_and_results_are_the_same_with_any_pool():
    for pool in pools():
        with pool:
            assert list(run_blocks(pool, square, [(n,) for n in range(20)])) == [
                n * n for n in range(20)]
            with pytest.raises(UserError, match="data/text:3: 'u1' is empty"):
                list(run_blocks(pool, refuse, [("u1",)]))


def fail():
    raise RuntimeError("no start")


def test_threads_that_cannot_start_are_said():
    with futures.ThreadPoolExecutor(1, initializer=fail) as pool, pytest.raises(ResourceError):
        list(run_blocks(pool, square, [(1,)]))


@pytest.mark.parametrize("nj", [100_000, 10**9])
def test_too_many_jobs_are_refused(nj):
    with pytest.raises(UserError, match=f"--nj is {nj}, this machine has .*; give at most"), \
            executor(nj):
        pass


def test_few_blocks_are_under_way_at_a_time():
    """Forty results of 20 MB took 833 MB with two jobs: all were begun, and none let go."""
    made, taken, most = 0, 0, 0
    lock = threading.Lock()

    def result(number):
        nonlocal made, most
        with lock:
            made += 1
            most = max(most, made - taken)
        return number

    with futures.ThreadPoolExecutor(2) as pool:
        asked = 0

        def blocks():
            nonlocal asked
            for number in range(40):
                asked += 1
                assert asked - taken <= 8
                yield (number,)

        for number in run_blocks(pool, result, blocks(), total=40):
            assert number == taken
            taken += 1
    assert taken == 40
    assert most <= 8
