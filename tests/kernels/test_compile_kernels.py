"""The verb that compiles the kernels, and what is said while they are compiled."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hybridasr.cli import VERBS
from hybridasr.cli.kernels import _LINES
from hybridasr.cli.verb import Parser

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = """
import numpy, hybridasr
from hybridasr.lattice.trie import grown
grown(numpy.zeros(2, numpy.int32), 5)
"""


def run(cache, *words):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False,
                          timeout=600, env={**os.environ, "PYTHONPATH": str(REPOSITORY),
                                            "NUMBA_CACHE_DIR": str(cache)})


def test_compiling_is_told_once(tmp_path):
    first, second = (run(tmp_path, "-c", PROGRAM).stderr for _ in range(2))
    assert first.startswith("compiling kernels for this machine; the first use")
    assert first.count("for this machine") == 1
    assert second == ""


def test_lines_of_the_verb_are_right():
    for line in _LINES:
        name, *words = line.split()
        parser = Parser(prog=name, allow_abbrev=False)
        VERBS[name].arguments(parser)
        parser.parse(words)  # leaves by SystemExit if one is not


@pytest.mark.slow
def test_verb_compiles_nearly_all(tmp_path):
    done = run(tmp_path, "-m", "hybridasr.cli", "compile-kernels")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "warning" not in done.stderr
    assert "compiling kernels: " in done.stderr
    ready, total = map(int, re.search(r"(\d+) of (\d+) kernels are compiled", done.stderr).groups())
    assert ready >= 0.9 * total
    # Nothing is left to compile for who recognises.
    again = run(tmp_path, "-m", "hybridasr.cli", "compile-kernels")
    assert "compiling kernels" not in again.stderr
