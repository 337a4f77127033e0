"""What the book's pages hold: headings, links, commands, pictures; and how their commands are run.

Used by the tests of the pages and by the build of the site (`site_hooks`).
"""

import ast
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
DOCS = REPOSITORY / "docs"
PICTURES = "pictures"  # the folder that pages name, which only a built site has
PROGRAMS = ("hybridasr", "egs/run.sh", "cp", "printf")
# Lines that no test runs: the models of the place are what the first one makes; there is no
# microphone; a name in capitals, or a recording of the reader's, stands for something.
NOT_RUN = re.compile(r"egs/run\.sh$|hybridasr listen|hybridasr serve|hybridasr show KIND")


def pages() -> list[Path]:
    """Return the pages of the book, in a fixed order."""
    return sorted(DOCS.rglob("*.md"))


def prose(text: str) -> str:
    """Return a page without its blocks of code."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return re.sub(r"^ {4}.*$", "", text, flags=re.M)


def links(text: str) -> list[tuple[str, str]]:
    """Return (text, target) of all links of a page, pictures left out.

    >>> links("see [`f`](a.py) and ![a picture](pictures/b.svg)")
    [('`f`', 'a.py')]
    """
    return re.findall(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)", prose(text))


def picture_names(text: str) -> list[str]:
    """Return the names of the pictures that a page shows."""
    return re.findall(rf"!\[[^\]]*\]\({PICTURES}/([^)\s]+)\)", text)


def slug(heading: str) -> str:
    """Return the anchor of a heading.

    >>> slug("The `end` of speech, in 5 rules")
    'the-end-of-speech-in-5-rules'
    """
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors(text: str) -> set[str]:
    """Return the anchors of all headings of a page."""
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", prose(text), flags=re.M)}


def commands(text: str) -> list[str]:
    """Return the lines of a page's blocks that call a program, in their order."""
    lines = re.findall(r"^ {4}(\S.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S),
                       flags=re.M)
    return [line for line in lines if line.split()[0] in PROGRAMS]


def run_line(line: str, place: Path) -> subprocess.CompletedProcess:
    """Run a line of a page in a folder, as a shell does, with this checkout's code."""
    programs = place / ".programs"
    programs.mkdir(exist_ok=True)
    program = programs / "hybridasr"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m hybridasr.cli "$@"\n')
    program.chmod(0o755)
    if not (place / "egs").exists():
        (place / "egs").symlink_to(REPOSITORY / "egs")
    line = re.sub(r"^egs/run\.sh", "hybridasr run-recipe --recipes egs", line)
    return subprocess.run(["bash", "-c", line], cwd=place, capture_output=True, text=True,
                          check=False, timeout=3000, stdin=subprocess.DEVNULL, env={
                              **os.environ, "PYTHONPATH": str(REPOSITORY),
                              "PATH": f"{programs}:{os.environ['PATH']}"})


def run_page(text: str, place: Path) -> dict[str, str]:
    """Run a page's commands in their order; return the last line of stderr of those that fail."""
    failures = {}
    for line in commands(text):
        if NOT_RUN.match(line):
            continue
        done = run_line(line, place)
        if done.returncode or "Traceback" in done.stderr:
            failures[line] = done.stderr.strip().rpartition("\n")[2]
    return failures


def definitions(path: Path) -> set[str]:
    """Return the functions, classes and methods (as ``Class.method``) of a module."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{inner.name}" for inner in node.body
                      if isinstance(inner, ast.FunctionDef)}
    return names


@cache
def modules() -> dict[str, Path]:
    """Return dotted name -> file of every module of the package."""
    found = {}
    for path in sorted((REPOSITORY / "hybridasr").rglob("*.py")):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        if parts[-1] != "__main__":
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room_of(module: str) -> str:
    """Return the room whose page has a module: its folder, or ``base``.

    >>> room_of("hybridasr.features.mfcc"), room_of("hybridasr.errors")
    ('features', 'base')
    """
    parts = module.split(".")
    top = parts[1] if len(parts) > 1 else ""
    return top if (REPOSITORY / "hybridasr" / top).is_dir() and top else "base"


def public_names() -> set[str]:
    """Return the dotted names of all public functions, classes and methods of the package."""
    return {f"{module}.{name}" for module, path in modules().items()
            for name in definitions(path)
            if not any(part.startswith("_") for part in name.split("."))}


def api_pages() -> dict[str, str]:
    """Return file name -> text of the pages made of docstrings, one for each room."""
    rooms: dict[str, list[str]] = {}
    for module in modules():
        rooms.setdefault(room_of(module), []).append(module)
    texts = {}
    for room, names in rooms.items():
        title = "Base: the package and its single files" if room == "base" else room
        texts[f"api/{room}.md"] = f"# {title}\n\n" + "\n".join(f"::: {name}\n" for name in names)
    return texts
