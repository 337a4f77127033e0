"""The scripts around the tests: choosing an environment, and no silent skip on real data."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
WORKING = "#!/bin/sh\nexit 0\n"


def choose(root: Path, extra: str, path: Path, **environment) -> subprocess.CompletedProcess:
    """Source the copy of env.sh under `root`, and print the interpreter that it chooses."""
    return subprocess.run(
        ["bash", "-c", f'. "{root}/tools/env.sh" && hybridasr_env {extra} && echo "$PYTHON"'],
        env={"PATH": f"{path}:/usr/bin:/bin", **environment}, cwd="/", capture_output=True,
        text=True, check=False, timeout=60)


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def checkout(tmp_path):
    """A checkout with the script and setup.cfg, and a python3 on the path that has nothing."""
    root = tmp_path / "a checkout"
    (root / "tools").mkdir(parents=True)
    (root / "tools" / "env.sh").write_text((REPOSITORY / "tools" / "env.sh").read_text())
    (root / "setup.cfg").write_text("[metadata]\n")
    for name in ("python3", "python3.10", "python3.11", "python3.12", "python3.13"):
        script(tmp_path / "bin" / name, "#!/bin/sh\nexit 1\n")
    return root


def stamp(root: Path, extra: str) -> None:
    setup = (root / "setup.cfg").read_text()
    total = subprocess.run(["cksum"], input=setup, capture_output=True, text=True,
                           check=True).stdout
    (root / ".venv" / "hybridasr.stamp").write_text(f"{total}{extra}\n")


def test_active_environment_is_used_as_it_is(checkout, tmp_path):
    python = script(tmp_path / "env" / "bin" / "python", WORKING)
    script(checkout / ".venv" / "bin" / "python", WORKING)
    result = choose(checkout, "test", tmp_path / "bin", VIRTUAL_ENV=str(tmp_path / "env"))
    assert (result.stdout, result.stderr) == (f"{python}\n", "")


def test_made_environment_is_used_while_setup_is_unchanged(checkout, tmp_path):
    python = script(checkout / ".venv" / "bin" / "python", WORKING)
    stamp(checkout, "test")
    for extra in ("test", "recipes"):
        assert choose(checkout, extra, tmp_path / "bin").stdout == f"{python}\n"
    stamp(checkout, "recipes")
    assert choose(checkout, "recipes", tmp_path / "bin").stderr == ""
    assert "up to date ..." in choose(checkout, "test", tmp_path / "bin").stderr
    (checkout / "setup.cfg").write_text("[metadata]\nname = other\n")
    assert "up to date ..." in choose(checkout, "test", tmp_path / "bin").stderr


def test_failing_pip_shows_its_last_lines_and_is_tried_again(checkout, tmp_path):
    script(checkout / ".venv" / "bin" / "python",
           '#!/bin/sh\ncase "$*" in\n*--version) exit 0;;\n*install*) echo "no route";;\nesac\n'
           "exit 1\n")
    for _ in range(2):
        result = choose(checkout, "test", tmp_path / "bin")
        assert result.returncode == 1
        assert "no route\nerror: pip could not install into .venv" in result.stderr


def test_no_usable_python_is_one_line(checkout, tmp_path):
    result = choose(checkout, "recipes", tmp_path / "bin")
    assert result.returncode == 1
    assert result.stderr.startswith("error: no Python 3.10 or newer")
    assert result.stderr.count("\n") == 1


def test_help_of_test_sh_needs_no_environment(tmp_path):
    result = subprocess.run([REPOSITORY / "tools" / "test.sh", "--help"], cwd=tmp_path,
                            env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
                            check=True)
    assert result.stdout.startswith("Usage: tools/test.sh [--all]")
    assert result.stderr == ""


def test_help_of_a_recipe_makes_no_environment(checkout, tmp_path):
    (checkout / "egs").mkdir()
    copy = script(checkout / "egs" / "run.sh", (REPOSITORY / "egs" / "run.sh").read_text())
    result = subprocess.run(["bash", copy, "--recipe", "yesno", "--help"], cwd=tmp_path,
                            env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"},
                            capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.startswith("Runs a recipe from recordings")
    assert "egs/run.sh --recipe digits --download" in result.stdout
    assert result.stderr == ""
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize(("required", "outcome"),
                         [("0", "2 skipped"), ("1", "1 skipped, 1 error")])
def test_skip_on_real_data_fails_where_data_is_required(tmp_path, required, outcome):
    (tmp_path / "conftest.py").write_text((REPOSITORY / "tests" / "conftest.py").read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = realdata\n")
    (tmp_path / "test_skips.py").write_text(
        "import pytest\n\n@pytest.mark.realdata\ndef test_real(data_root):\n    pass\n\n"
        "def test_other():\n    pytest.skip('not here')\n")
    environment = {**os.environ, "HYBRIDASR_DATA": str(tmp_path / "nowhere"),
                   "HYBRIDASR_REQUIRE_DATA": required}
    result = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
                            cwd=tmp_path, env=environment, capture_output=True, text=True,
                            check=False, timeout=60)
    assert outcome in result.stdout
    assert result.returncode == int(required)
