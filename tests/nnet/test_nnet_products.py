"""Products in blocks: right, and the same to the last bit for any number of threads."""

import threading

import numpy as np
import pytest

from hybridasr.nnet.products import num_blocks, product, product_threads, run_all

SHAPES = [(256, 903, 512), (512, 256, 903), (1000, 300, 70), (70, 300, 1000), (3, 4, 5)]


@pytest.mark.parametrize("shape", SHAPES)
def test_any_number_of_threads_gives_the_same_bits(shape):
    rows, inner, columns = shape
    rng = np.random.default_rng(0)
    a = rng.normal(size=(rows, inner)).astype(np.float32)
    b = rng.normal(size=(columns, inner)).astype(np.float32).T
    results = []
    for threads in (1, 2, 3, 8):
        with product_threads(threads):
            results.append(product(a, b, np.full((rows, columns), np.nan, np.float32)).tobytes())
    assert len(set(results)) == 1
    exact = a.astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_allclose(np.frombuffer(results[0], np.float32).reshape(rows, columns), exact,
                               rtol=1e-4, atol=1e-3)


def test_blocks_hang_on_the_shape_alone():
    with product_threads(2):
        assert [num_blocks(*shape) for shape in SHAPES] == [4, 4, 2, 2, 1]
    assert [num_blocks(*shape) for shape in SHAPES] == [4, 4, 2, 2, 1]


def test_every_call_is_made_once_and_by_several_threads():
    made, workers, both = [], set(), threading.Barrier(2, timeout=20)

    def call(number):
        workers.add(threading.get_ident())
        if number < 2:
            both.wait()  # passes only if two threads are here
        made.append(number)

    with product_threads(2):
        run_all([lambda number=number: call(number) for number in range(9)])
    assert sorted(made) == list(range(9))
    assert len(workers) == 2


def test_an_error_in_a_block_comes_through():
    def fail():
        raise ValueError("of a block")

    with product_threads(3), pytest.raises(ValueError, match="of a block"):
        run_all([fail] * 4)
    with product_threads(3):  # the helpers live on
        run_all([lambda: None] * 4)
