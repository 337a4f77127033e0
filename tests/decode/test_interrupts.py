"""A signal at any moment of a search is an exception, and never the end of Python."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import signal, random, time
import numpy as np
from hybridasr.decode.search import Search, SearchOptions
from hybridasr.graph.arrays import DecodingGraph

class Stop(Exception):
    pass

def stop(*_):
    if armed:
        raise Stop

graph = DecodingGraph.from_arcs(0, [0, 0, 1, 2], [1, 2, 1, 2], [1, 2, 0, 0], [0.5] * 4,
                                [1, 2, 3, 3], [np.inf, np.inf, np.inf, 0.0])
scores = np.array([[-1.0, -2.0]], np.float32)

def begin():
    return Search(graph, graph.ilabel - 1, SearchOptions(acoustic_scale=1.0))

begin().advance(scores)  # compiled
armed, stopped = False, 0
signal.signal(signal.SIGALRM, stop)
end = time.monotonic() + 3
while time.monotonic() < end:
    search = begin()
    try:
        try:
            armed = True
            signal.setitimer(signal.ITIMER_REAL, random.uniform(5e-6, 2e-4))
            for _ in range(30):
                search.advance(scores)
        finally:
            armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
    # numba says SystemError where the signal comes while it hands over arrays.
    except (Stop, SystemError):
        stopped += 1
print(stopped)
"""


@pytest.mark.skipif(os.name == "nt", reason="no timers that send signals")
def test_a_signal_while_kernels_hand_over_their_results():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100
