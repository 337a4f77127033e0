"""prepare-lang and mkgraph without pynini called it a fault of the program."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2]
WITHOUT_PYNINI = """
import sys
sys.modules["pynini"] = None
from hybridasr.cli import main
sys.exit(main(sys.argv[1:]))
"""


def run(*words):
    return subprocess.run([sys.executable, "-c", WITHOUT_PYNINI, *map(str, words)], text=True,
                          capture_output=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(PACKAGE)})


@pytest.mark.parametrize("verb", ["prepare-lang", "mkgraph"])
def test_one_line_says_what_is_needed(verb, tmp_path):
    (tmp_path / "list.txt").write_text("打开\n")
    words = [tmp_path / "list.txt"] if verb == "prepare-lang" else [tmp_path]
    done = run(verb, *words, tmp_path / "out")
    line = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert "fault of the program" not in line
    # mkgraph may first say that there is no model.
    assert "pip install pynini" in line
    assert run(verb, "--help").returncode == 0
