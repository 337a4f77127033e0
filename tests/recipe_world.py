"""Recipes on real speech, run as egs/run.sh does, for tests of whole programs."""

import json
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def run(recipe, work, *more, nj=2):
    """Run a recipe; return (rows with error rates of whole speakers by system, messages)."""
    words = [sys.executable, "-m", "hybridasr.cli", "run-recipe", "--recipes",
             str(REPOSITORY / "egs"), "--recipe", recipe, "--work", str(work), "--nj", str(nj),
             *map(str, more)]
    done = subprocess.run(words, capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    assert done.returncode == 0, done.stderr
    return word_rows(work, "all"), done.stderr


def word_rows(work, known, test_set="test"):
    """Return the rows with error rates of a set by system, of what was known of the speakers."""
    rows = json.loads((work / "results.json").read_text())
    return {row["system"]: row for row in rows if row["wer"] is not None
            and (row["known"], row["test_set"]) == (known, test_set)}


def decisions(work, grammar="commands and filler", known="none"):
    """Return the row of results.json that says how the network accepted and rejected."""
    (row,) = (row for row in json.loads((work / "results.json").read_text())
              if (row["system"], row["grammar"], row["known"]) == ("dnn", grammar, known))
    stored = json.loads((work / "exp" / "dnn" / "confidence.json").read_text())
    assert 0 <= stored["threshold"] <= 1
    return row


def error_rates(rows):
    """Return the word error rate of each row."""
    return {system: row["wer"] for system, row in rows.items()}
