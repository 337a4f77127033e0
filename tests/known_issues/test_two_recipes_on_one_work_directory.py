"""Two recipes on one work directory: one ended with a misleading line."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hybridasr.errors import UserError
from hybridasr.recipe.lock import work_lock

REPOSITORY = Path(__file__).resolve().parents[2]
HOLD = ("import sys, time\nfrom pathlib import Path\nfrom hybridasr.recipe.lock import work_lock\n"
        "with work_lock(Path(sys.argv[-1])):\n    print('held', flush=True)\n    time.sleep(60)\n")


@pytest.fixture
def holder(tmp_path):
    """Another process that is at work in a directory whose name has a space."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "my work")],
                               stdout=subprocess.PIPE, text=True,
                               env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_second_one_is_refused_and_names_the_first(holder, tmp_path):
    work = tmp_path / "my work"
    with pytest.raises(UserError) as error, work_lock(work):
        pass
    assert str(error.value).startswith(f"{work}: process {holder.pid} (hybridasr ")
    assert "'" + str(work) + "'" in str(error.value)
    done = subprocess.run([sys.executable, "-m", "hybridasr.cli", "run-recipe", "--work",
                           str(work), "--stop-stage", "1"], capture_output=True, text=True,
                          check=False, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    assert done.returncode == 1
    assert f"error: {work}: process {holder.pid} (" in done.stderr
    assert sorted(path.name for path in work.iterdir()) == [".lock"]


def test_lock_of_a_dead_process_does_not_count(holder, tmp_path):
    holder.kill()
    holder.wait()
    began = time.monotonic()
    with work_lock(tmp_path / "my work"):
        assert str(os.getpid()) in (tmp_path / "my work" / ".lock").read_text()
    assert time.monotonic() - began < 5
    assert (tmp_path / "my work" / ".lock").read_text() == ""
