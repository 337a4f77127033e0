"""The documents: links and named files exist, and no path of a machine slips in."""

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
TEXTS = {".py", ".sh", ".md", ".cfg", ".toml", ".conf"}
LEFT_OUT = {".venv", "node_modules", "build", "dist", "work", "exp", "downloads", "shared"}


def documents() -> list[Path]:
    return [path for path in sorted(REPOSITORY.rglob("*.md"))
            if not LEFT_OUT.intersection(path.relative_to(REPOSITORY).parts)]


def tracked() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True,
                             text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout")
    paths = [REPOSITORY / name for name in listing.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_links_within_the_repository_lead_somewhere(document):
    text = document.read_text(encoding="utf-8")
    # Pictures are drawn when the site is built: tests/test_book.py looks for their commands.
    links = re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", text)
    missing = [link for link in links
               if not re.match(r"[a-z]+:|#", link)
               and not (document.parent / link.partition("#")[0]).exists()]
    assert missing == []


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_scripts_and_folders_named_exist(document):
    text = document.read_text(encoding="utf-8")
    named = re.findall(r"(?<![\w/.])(?:tools|egs|tests|hybridasr|lexicon)/[\w./-]*"
                       r"\w\.(?:sh|py|conf|txt)\b", text)
    assert [name for name in named if not (REPOSITORY / name).exists()] == []


def test_scripts_are_valid_and_executable():
    for path in tracked():
        if path.suffix == ".sh" or path.parent.name == ".ci":
            subprocess.run(["bash", "-n", path], check=True)
            if path.name != "env.sh":  # which is only ever sourced
                assert path.stat().st_mode & 0o111, f"{path} is not executable"


def test_no_tracked_file_names_a_place_on_one_machine():
    # Put together here, so that this file does not name one.
    place = re.compile("/(home|root|Users)/" + r"[a-z]|(?<![\w.])/work" + "/[a-z]")
    faults = [f"{path.relative_to(REPOSITORY)}:{number}"
              for path in tracked() if path.suffix in TEXTS
              for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1)
              if place.search(line)]
    assert faults == []


def test_tracked_files_are_small():
    # Recordings, models and other data do not belong here.
    assert [path.name for path in tracked() if path.stat().st_size > 500_000] == []
