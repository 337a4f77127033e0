"""Kernels from the cache: loaded without the compiler, and good for kernels that call them."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
USE = """
import sys, numpy, numba, hybridasr
from hybridasr.lattice.trie import grown
print(len(grown(numpy.zeros(2, numpy.int32), 5)), "numba.core.typing.arraydecl" in sys.modules,
      *grown.stats.cache_hits.values())
"""
CALL = USE + """
@numba.njit
def twice(values, room):
    return grown(grown(values, room), room)
print(len(twice(numpy.zeros(2, numpy.int32), 5)))
"""


def printed(cache, code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          timeout=600, check=False,
                          env={**os.environ, "PYTHONPATH": str(REPOSITORY),
                               "NUMBA_CACHE_DIR": str(cache)})
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


def test_a_stored_kernel_needs_no_compiler(tmp_path):
    before, after = printed(tmp_path, USE), printed(tmp_path, USE)
    length, compiler, *hits = before[0].split()
    assert (compiler, hits) == ("True", [])
    assert after == [f"{length} False 1"]
    assert list(tmp_path.rglob("memory-*.nbc"))


def test_kernels_that_call_a_stored_one_are_compiled(tmp_path):
    printed(tmp_path, USE)
    length, longer = printed(tmp_path, CALL)
    assert length.split()[1:] == ["False", "1"]
    assert int(longer) > int(length.split()[0])


def test_a_damaged_store_of_memory_management_stops_nothing(tmp_path):
    printed(tmp_path, USE)
    for path in tmp_path.rglob("memory-*.nb?"):
        path.write_bytes(b"no pickle")
    assert printed(tmp_path, USE)[0].split()[1:] == ["False", "1"]
