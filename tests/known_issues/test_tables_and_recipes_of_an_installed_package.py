"""An installed package lacked the pronunciation tables (--user, --target) and all recipes."""

import configparser
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
pytest.importorskip("setuptools")
RECIPES = sorted(path.parent.name for path in (REPOSITORY / "egs").glob("*/recipe.conf"))
PROGRAM = """
import hybridasr
from hybridasr.corpus.readers.commands_zh import default_list
from hybridasr.lexicon.lexicon import build_lexicon
from hybridasr.recipe.config import read_recipe, recipe_names, recipes_dir
print(hybridasr.__file__)
print(*sorted(build_lexicon(["da3kai1"]).phones))
print(*recipe_names(recipes_dir()))
print(read_recipe(recipes_dir() / "commands_zh").options["dnn"].network)
print((recipes_dir() / "commands_zh" / "../networks/relu8.conf").is_file())
print(default_list("commands.txt").is_file())
"""


def has_wheels() -> bool:
    from setuptools import __version__ as version

    return importlib.util.find_spec("wheel") is not None or (
        tuple(map(int, version.split(".")[:2])) >= (70, 1))


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A copy of the sources, installed by pip into a folder; without wheels, what they contain."""
    root = tmp_path_factory.mktemp("installed")
    for name in ("hybridasr", "lexicon", "egs"):
        shutil.copytree(REPOSITORY / name, root / "source" / name,
                        ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md"):
        shutil.copy(REPOSITORY / name, root / "source" / name)
    words = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
             "--disable-pip-version-check", "--target", root / "target", root / "source"]
    if not has_wheels():
        words = ["-c", "import setuptools; setuptools.setup()", "--quiet", "build", "--build-lib",
                 root / "target"]
    done = subprocess.run([sys.executable, *map(str, words)], cwd=root / "source",
                          capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(root / "source")
    return root / "target"


def run(installed, *words):
    return subprocess.run([sys.executable, *words], cwd=installed.parent, capture_output=True,
                          text=True, check=False, timeout=120,
                          env={**os.environ, "PYTHONPATH": str(installed)})


def test_tables_recipes_and_lists(installed):
    done = run(installed, "-c", PROGRAM)
    assert done.returncode == 0, done.stderr
    path, phones, names, network, has_network, has_list = done.stdout.splitlines()
    assert Path(path).is_relative_to(installed)
    assert phones == "SIL SPN a3 ai1 d k"
    assert names.split() == RECIPES
    assert (network, has_network, has_list) == ("../networks/relu8.conf", "True", "True")


def test_verb_offers_its_recipes(installed):
    done = run(installed, "-m", "hybridasr.cli", "run-recipe", "--help")
    assert ", ".join(RECIPES) in " ".join(done.stdout.split())
    done = run(installed, "-m", "hybridasr.cli", "run-recipe", "--recipe", "timit")
    assert done.returncode == 1
    assert f"no recipe 'timit'; choose one of {', '.join(RECIPES)}" in done.stderr


def test_every_folder_of_code_is_listed():
    """The list of packages is by hand: tables and recipes are installed from elsewhere."""
    config = configparser.ConfigParser()
    config.read(REPOSITORY / "setup.cfg")
    listed = config["options"]["packages"].split()
    folders = {".".join(path.parent.relative_to(REPOSITORY).parts)
               for path in (REPOSITORY / "hybridasr").rglob("__init__.py")}
    assert sorted(listed) == sorted({*folders, "hybridasr.lexicon.tables", "hybridasr.recipe.egs"})
