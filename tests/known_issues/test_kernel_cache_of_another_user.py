"""Code of another user ran: the kernel cache was a folder of a known name, taken as it was."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hybridasr.kernels import cache

REPOSITORY = Path(__file__).resolve().parents[2]
NAME = "hybridasr-kernels-x"


def test_new_folder_is_ours_alone(tmp_path):
    folder, why = cache.own_folder(tmp_path / "new", NAME)
    assert (folder, why) == (tmp_path / "new" / NAME, "")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert cache.own_folder(tmp_path / "new", NAME)[0] == folder


def test_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    (tmp_path / NAME).mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: (tmp_path / NAME).stat().st_uid + 1)
    assert cache.own_folder(tmp_path, NAME) == (None, f"holds '{NAME}' of another user")


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_folder_that_others_can_write_is_refused(tmp_path, mode):
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME).chmod(mode)
    assert cache.own_folder(tmp_path, NAME) == (None, f"holds '{NAME}', which others can write")


def test_link_and_file_are_refused(tmp_path):
    (tmp_path / "safe").mkdir(mode=0o700)
    (tmp_path / NAME).symlink_to(tmp_path / "safe")
    assert cache.own_folder(tmp_path, NAME)[0] is None
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).write_text("")
    assert "is no folder" in cache.own_folder(tmp_path, NAME)[1]


def test_folder_in_a_place_that_everybody_can_change_is_refused(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    assert cache.own_folder(tmp_path / "open", NAME)[0] is None
    (tmp_path / "open").chmod(0o1777)  # as the system's temporary folder is
    assert cache.own_folder(tmp_path / "open", NAME)[0] is not None


def test_another_user_who_was_first_gets_a_folder_of_no_use(tmp_path, monkeypatch):
    """Where all places are taken, a new folder with an unknown name, removed at the end."""
    monkeypatch.delenv(cache.VARIABLE, raising=False)
    monkeypatch.setattr(cache, "_places", lambda: [tmp_path])
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path))
    name, _ = cache.choose_cache()
    name.chmod(0o777)
    folder, line = cache.choose_cache()
    assert folder not in (None, name)
    assert folder.parent == tmp_path
    assert "compiles them anew" in line
    # A worker, which inherits the variable, takes the same one.
    monkeypatch.setenv(cache.VARIABLE, str(folder))
    assert cache.choose_cache() == (folder, "")


PROGRAM = """
import numpy, sys
import hybridasr
from hybridasr.lattice.trie import grown
print(len(grown(numpy.zeros(2, numpy.int32), 5)))
"""


def run(**environment):
    return subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True,
                          check=False, timeout=120,
                          env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment})


def test_odd_variable_does_not_stop_the_program(tmp_path):
    (tmp_path / "file").write_text("")
    done = run(NUMBA_CACHE_DIR=str(tmp_path / "file"))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("NUMBA_CACHE_DIR is") == 1


def test_no_place_at_all_compiles_without_a_cache(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    package = tmp_path / "package"
    package.mkdir()
    (package / "hybridasr").symlink_to(REPOSITORY / "hybridasr")
    code = PROGRAM.replace("import hybridasr\n", "import hybridasr.kernels.cache as cache\n"
                           "cache._places = lambda: []\ncache._fresh_folder = lambda name: None\n",
                           1)
    monkeypatch.setattr(sys.modules[__name__], "PROGRAM", code)
    done = run(NUMBA_CACHE_DIR="")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("compiled kernels cannot be stored") == 1
    assert "locator" not in done.stderr
