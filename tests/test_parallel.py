"""Work in blocks: the same results in place and in processes, and errors that come through."""

import os
import pickle

import numpy as np
import pytest
import threadpoolctl

from hybridasr.errors import UserError
from hybridasr.parallel import (
    executor,
    run_blocks,
    split_blocks,
    training_process,
    wide_kernels,
)
from hybridasr.progress import job_log, logger


def add_up(values: list[float]) -> tuple[np.float32, int]:
    total = np.float32(0)
    for value in values:
        total += np.float32(value)
    return total, len(values)


def refuse(utterance: str) -> None:
    raise UserError(f"utterance '{utterance}' is empty; remove it", "data/train/text", 3)


def die() -> None:
    os._exit(1)


def warn(name: str) -> None:
    logger.warning("%s is odd", name)


@pytest.fixture(scope="module")
def two_jobs():
    with executor(2) as pool:
        yield pool


def test_blocks_depend_on_the_data_alone():
    assert split_blocks(range(7), 3) == [[0, 1, 2], [3, 4, 5], [6]]
    assert split_blocks([], 3) == []


def test_same_results_in_the_same_order_for_any_nj(two_jobs):
    values = list(np.random.default_rng(0).normal(size=1000))
    blocks = [(block,) for block in split_blocks(values, 30)]
    with executor(1) as pool:
        in_place = list(run_blocks(pool, add_up, blocks))
    assert in_place == [add_up(*block) for block in blocks]
    assert list(run_blocks(two_jobs, add_up, blocks)) == in_place


def test_user_error_comes_through_a_worker_as_it_is(two_jobs):
    line = "data/train/text:3: utterance 'u1' is empty; remove it"
    with pytest.raises(UserError, match=line):
        list(run_blocks(two_jobs, refuse, [("u1",)]))
    with executor(1) as pool, pytest.raises(UserError, match=line):
        list(run_blocks(pool, refuse, [("u1",)]))
    error = pickle.loads(pickle.dumps(UserError("bad; mend it", "file", 2)))
    assert str(error) == "file:2: bad; mend it"


def test_serial_executor_keeps_errors_for_the_result():
    with executor(1) as pool:
        assert pool.submit(add_up, [1.0]).result() == (1.0, 1)
        future = pool.submit(refuse, "u1")
        with pytest.raises(UserError, match="u1"):
            future.result()


def test_a_dying_worker_is_a_user_error():
    with executor(2) as pool, pytest.raises(UserError, match="worker process died .* smaller --nj"):
        list(run_blocks(pool, die, [(), ()]))


@pytest.mark.parametrize("nj", [0, -4])
def test_number_of_jobs_is_checked(nj):
    with pytest.raises(UserError, match=f"--nj is {nj}; give 1 or more"), executor(nj):
        pass


@pytest.mark.parametrize("nj", [1, 2])
def test_messages_of_workers_reach_the_log(tmp_path, nj):
    with job_log(tmp_path / "job.log", "test"), executor(nj) as pool:
        list(run_blocks(pool, warn, [("one.wav",), ("two.wav",)]))
    lines = (tmp_path / "job.log").read_text().splitlines()
    assert sorted(line for line in lines if not line.startswith("#")) == [
        "warning: one.wav is odd", "warning: two.wav is odd"]


WIDE = "avx512f avx512dq avx512bw avx512vl"


@pytest.mark.parametrize(("flags", "expected"), [
    (f"fpu avx2 {WIDE}", {"OPENBLAS_CORETYPE": "SKYLAKEX"}), ("fpu avx2", {}), ("", {}),
    (f"fpu {WIDE.replace(' avx512vl', '')}", {})])
def test_wide_kernels_need_all_flags(tmp_path, monkeypatch, flags, expected):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nmodel name\t: {WIDE}\nflags\t\t: {flags}\nbugs\t\t:\n")
    assert wide_kernels(str(path)) == expected
    assert wide_kernels(str(tmp_path / "none")) == {}
    monkeypatch.setenv("OPENBLAS_CORETYPE", "HASWELL")
    assert wide_kernels(str(path)) == {}


def test_training_process_has_its_settings_and_leaves_ours(monkeypatch):
    names = ("OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    with training_process() as pool:
        settings = [pool.submit(os.getenv, name).result() for name in names]
    assert settings == ["1", wide_kernels().get("OPENBLAS_CORETYPE")]
    assert [os.environ.get(name) for name in names] == ["3", None]


@pytest.mark.parametrize("nj", [1, 2])
def test_matrix_products_have_one_thread_whatever_the_environment(monkeypatch, nj):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "4")
    with threadpoolctl.threadpool_limits(2, "blas"), executor(nj) as pool:
        assert pool.submit(blas_threads).result() == {1}
        assert blas_threads() == {1}


def blas_threads():
    return {one["num_threads"] for one in threadpoolctl.threadpool_info()
            if one["user_api"] == "blas"}
