"""What mkdocs does with the pages: makes those of verbs and docstrings, pictures, formulas, links.

mkdocs calls the functions whose names begin with ``on_``. Links to files outside of ``docs`` lead,
in the site, to the page of a function's docstring and source, or to a copy of the file.
"""

import argparse
import html
import json
import os
import re
from pathlib import Path

from book_pages import (
    DOCS,
    NOT_RUN,
    REPOSITORY,
    api_pages,
    commands,
    pages,
    picture_names,
    room_of,
    run_line,
)
from book_world import make_world
from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

from hybridasr.cli import VERBS
from hybridasr.cli.verb import Parser, Verb

# Where the pictures are drawn. A test names a place in which it has drawn them already.
GIVEN = os.environ.get("HYBRIDASR_DOCS_WORLD")
WORLD = Path(GIVEN or REPOSITORY / "work" / "docs" / "world")


def on_config(config):
    """Put the pages of docstrings, one for each room, at the end of the contents."""
    config["nav"][-1] = {"Functions and classes": [
        {Path(name).stem: name} for name in sorted(api_pages())]}
    return config


def on_files(files, config):
    """Add the pages and pictures that are made, and the files that pages link to."""
    texts = {**api_pages(), "verbs.md": verbs_page(), **notebook_pages()}
    for name, text in texts.items():
        files.append(File.generated(config, name, content=text))
    for name, path in linked_files().items():
        files.append(File.generated(config, name, abs_src_path=str(path)))
    for name, path in drawn_pictures().items():
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown, page, **_):
    """Make links that leave ``docs`` lead to where the site has the same."""
    folder = (DOCS / page.file.src_uri).parent

    def moved(match: re.Match) -> str:
        text, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        path, _, anchor = target.partition("#")
        full = Path(os.path.normpath(folder / path))
        if full.is_relative_to(DOCS):
            new = full.relative_to(DOCS)
            if full.suffix == ".ipynb":
                new = new.with_suffix(".md")
        else:
            new, anchor = site_place(full, text)
        new = os.path.relpath(new, Path(page.file.src_uri).parent)
        return f"[{text}]({new}{'#' * bool(anchor)}{anchor})"

    return re.sub(r"(?<!!)\[([^\]\n]*)\]\(([^)\s]+)\)", moved, markdown)


def on_page_content(content, **_):
    """Turn formulas into MathML, which browsers draw without any program."""
    def formula(match: re.Match) -> str:
        text = html.unescape(match[2]).strip()
        return convert(text[2:-2], display="block" if match[1] == "div" else "inline")

    return re.sub(r'<(div|span) class="arithmatex">(.*?)</\1>', formula, content, flags=re.S)


def site_place(path: Path, text: str) -> tuple[Path, str]:
    """Return (page or file of the site, anchor) for a file outside of ``docs``."""
    inside = path.relative_to(REPOSITORY)
    if inside.parts[0] == "hybridasr" and path.suffix == ".py":
        module = ".".join(inside.with_suffix("").parts).removesuffix(".__init__")
        name = text.strip("`")
        anchor = f"{module}.{name}" if re.fullmatch(r"[\w.]+", name) else module
        return Path("api") / f"{room_of(module)}.md", anchor
    # Under another ending: as a page it would be laid out anew, and as a script downloaded.
    return Path("files") / f"{inside}.txt", ""


def linked_files() -> dict[str, Path]:
    """Return name in the site -> file, of the files outside of ``docs`` that pages link to."""
    found = {}
    for page in pages():
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            path = Path(os.path.normpath(page.parent / target.partition("#")[0]))
            outside = path.is_relative_to(REPOSITORY) and not path.is_relative_to(DOCS)
            if outside and path.is_file() and path.suffix != ".py":
                found[str(site_place(path, "")[0])] = path
    return found


def drawn_pictures() -> dict[str, Path]:
    """Run the commands of the pages that show pictures; return name in the site -> file.

    Raises
    ------
    PluginError
        naming the first command that fails.
    """
    found = {}
    with_pictures = [page for page in pages() if picture_names(page.read_text(encoding="utf-8"))]
    make_world(WORLD)
    # What the first page of the chapters makes, others take.
    for page in [DOCS / "theory" / "index.md", *with_pictures]:
        text = page.read_text(encoding="utf-8")
        names = picture_names(text)
        drawn = GIVEN and all((WORLD / name).is_file() for name in names)
        for line in () if drawn else commands(text):
            if NOT_RUN.match(line):
                continue
            done = run_line(line, WORLD)
            if done.returncode:
                raise PluginError(f"{page.name}: {line}: {done.stderr.strip()}")
        folder = page.parent.relative_to(DOCS) / "pictures"
        found |= {str(folder / name): WORLD / name for name in names}
    return found


def verbs_page() -> str:
    """Return the page of all verbs: what the program's own help says."""
    parts = ["# Verbs\n\nWhat `hybridasr VERB --help` says, of all verbs.\n"]
    for name, verb in VERBS.items():
        parts.append(_verb_part(name, verb, "##"))
        parts += [_verb_part(f"{name} {kind}", one, "###") for kind, one in verb.kinds.items()]
    return "\n".join(parts)


def _verb_part(name: str, verb: Verb, level: str) -> str:
    program = "egs/run.sh" if name == "run-recipe" else f"hybridasr {name}"
    parser = Parser(prog=program, description=verb.help, allow_abbrev=False,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    verb.arguments(parser)
    return f"{level} {name}\n\n```text\n{parser.format_help().strip()}\n```\n"


def notebook_pages() -> dict[str, str]:
    """Return file name -> text of the notebooks as pages: prose, and cells of code."""
    return {str(path.relative_to(DOCS).with_suffix(".md")): notebook_text(path)
            for path in sorted(DOCS.rglob("*.ipynb"))}


def notebook_text(path: Path) -> str:
    """Return a notebook as a page, without outputs, which the files do not have either."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = [("".join(cell["source"]), cell["cell_type"]) for cell in cells]
    where = f"\n\n*The notebook itself: `docs/{path.relative_to(DOCS)}`.*\n"
    return "\n\n".join(text if kind == "markdown" else f"```python\n{text}\n```"
                       for text, kind in texts) + where
