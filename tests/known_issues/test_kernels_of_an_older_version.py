"""A renamed module left caches that broke the next run; a changed callee was not noticed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from hybridasr.kernels import cache

REPOSITORY = Path(__file__).resolve().parents[2]
INNER = "import numba\n\n@numba.njit(cache=True)\ndef value():\n    return {value}\n"
OUTER = ("import numba\nfrom hybridasr.{inner} import value\n\n@numba.njit(cache=True)\n"
         "def doubled():\n    return 2 * value()\n")


def package(root: Path, inner: str, value: int) -> Path:
    """A package that begins as ours, with a kernel that calls one of another module."""
    folder = root / "hybridasr"
    (folder / "kernels").mkdir(parents=True, exist_ok=True)
    for name in ("__init__.py", "kernels/__init__.py", "kernels/cache.py",
                 "kernels/light_loading.py", "kernels/messages.py"):
        shutil.copy(REPOSITORY / "hybridasr" / name, folder / name)
    for old in folder.glob("in*.py"):
        old.unlink()
    (folder / f"{inner}.py").write_text(INNER.format(value=value))
    (folder / "outer.py").write_text(OUTER.format(inner=inner))
    return root


def answer(root: Path) -> str:
    program = "from hybridasr.outer import doubled\nprint(doubled())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          timeout=120, cwd=root, check=False,
                          env={**os.environ, "PYTHONPATH": str(root), "NUMBA_CACHE_DIR": ""})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_changed_and_renamed_modules(tmp_path):
    assert answer(package(tmp_path, "inner", 1)) == "2"
    assert answer(package(tmp_path, "inner", 2)) == "4"
    assert answer(package(tmp_path, "inside", 2)) == "4"
    folders = list((tmp_path / "hybridasr" / "__pycache__").glob("hybridasr-kernels-*"))
    assert len(folders) == 3
    assert not list(tmp_path.rglob("hybridasr/__pycache__/*.nbi"))


def test_digest_depends_on_kernels_and_names_alone(tmp_path):
    root = package(tmp_path, "inner", 1) / "hybridasr"
    (root / "plain.py").write_text("x = 1\n")
    before = cache.source_digest(root)
    (root / "plain.py").write_text("x = 2\n")
    assert cache.source_digest(root) == before
    (root / "plain.py").rename(root / "other.py")
    assert cache.source_digest(root) != before


def test_folders_of_old_versions_go(tmp_path):
    cache.own_folder(tmp_path, f"{cache.PREFIX}{os.getuid()}-old")
    old = cache.own_folder(tmp_path, f"{cache.PREFIX}{os.getuid()}-older")[0]
    os.utime(old, (0, 0))
    cache.own_folder(tmp_path, f"{cache.PREFIX}{os.getuid()}-new")
    assert sorted(path.name.rpartition("-")[2] for path in tmp_path.iterdir()) == ["new", "old"]


def test_damaged_cache_is_passed_by(tmp_path):
    answer(package(tmp_path, "inner", 1))
    for path in tmp_path.rglob("*.nb[ic]"):
        path.write_bytes(path.read_bytes()[:20])
    assert answer(tmp_path) == "2"
