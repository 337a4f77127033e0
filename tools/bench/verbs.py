"""Runs the project's verbs for the benches that need several of them."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent


def run(*words: object) -> str:
    """Run a verb; return what it printed. Ends the bench with the verb's messages if it fails."""
    command = [sys.executable, "-m", "hybridasr.cli", *map(str, words)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=REPOSITORY)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout
