"""The book's pages: links and anchors, functions that they name, pictures and commands."""

import doctest
import importlib
import os
import re
import shlex
from pathlib import Path

import book_pages
import pytest
from book_pages import (
    DOCS,
    REPOSITORY,
    anchors,
    api_pages,
    commands,
    definitions,
    links,
    modules,
    pages,
    picture_names,
    prose,
    public_names,
)

from hybridasr.cli import VERBS
from hybridasr.cli.verb import Parser

CHAPTERS = ("signal", "features", "hmm", "em", "tree", "transforms", "wfst", "search", "networks",
            "confidence")
READMES = [REPOSITORY / name for name in ("README.md", "README.zh.md")]
EVERY_PAGE = pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(DOCS)))


def parse(line: str) -> None:
    """Parse a call of the program; leaves by SystemExit, with a message, if it is wrong."""
    name, *words = shlex.split(re.sub(r"^egs/run\.sh", "run-recipe", line.removeprefix(
        "hybridasr ")), comments=True)
    verb, _, words = VERBS[name].of_kind(words)
    parser = Parser(prog=name, description="", allow_abbrev=False)
    verb.arguments(parser)
    parser.parse(words)


@EVERY_PAGE
def test_links_and_their_anchors_lead_somewhere(page):
    faults = []
    for _, target in links(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        full = Path(os.path.normpath(page.parent / path)) if path else page
        if not full.is_file() or not full.is_relative_to(REPOSITORY) or (
                anchor and anchor not in anchors(full.read_text(encoding="utf-8"))):
            faults.append(target)
    assert faults == []


@EVERY_PAGE
def test_functions_that_are_named_are_in_the_file(page):
    faults = []
    for text, target in links(page.read_text(encoding="utf-8")):
        path = page.parent / target.partition("#")[0]
        if path.suffix == ".py" and text.strip("`") not in definitions(path):
            faults.append(f"{text} in {target}")
    assert faults == []


@EVERY_PAGE
def test_pictures_are_drawn_by_a_command_of_the_page(page):
    text = page.read_text(encoding="utf-8")
    drawn = {line.split()[-1] for line in commands(text) if line.startswith("hybridasr show ")}
    assert set(picture_names(text)) <= drawn
    # A picture without a folder that the site knows, or without words for those who cannot see it.
    assert re.findall(r"!\[\]|!\[[^\]]*\]\((?!pictures/)", prose(text)) == []


@pytest.mark.parametrize("page", [*pages(), *READMES], ids=lambda page: page.name)
def test_calls_have_the_right_verbs_and_options(page):
    text = page.read_text(encoding="utf-8")
    calls = [line for line in commands(text) if line.startswith(("hybridasr ", "egs/run.sh"))]
    calls += re.findall(r"\| *`(hybridasr [^`]+)`", text)  # of tables
    for line in calls:
        if "KIND" not in line:
            parse(line)


def test_every_chapter_has_formula_function_picture_and_exercise():
    for name in CHAPTERS:
        text = (DOCS / "theory" / f"{name}.md").read_text(encoding="utf-8")
        assert re.search(r"^\$\$.+?\$\$$", text, re.M | re.S), name
        assert any(target.endswith(".py") for _, target in links(text)), name
        assert picture_names(text), name
        assert text.count("## Exercise") == 1, name
        assert len(text.split()) < 1000, name  # short


def test_kaldi_table_is_by_task():
    text = (DOCS / "kaldi.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([^|]*) \| `hybridasr ([\w-]+)", text, re.M)
    assert len(rows) > 35
    assert len({row[0] for row in rows}) == len(rows)


@pytest.mark.parametrize("name", ["start", "commands", "live"])
def test_chinese_pages_have_commands_of_the_english_ones(name):
    chinese, english = (commands((DOCS / file).read_text(encoding="utf-8"))
                        for file in (f"{name}.zh.md", f"{name}.md"))
    assert len(chinese) > 4
    assert set(chinese) <= set(english)
    assert name != "start" or chinese == english


def test_examples_of_the_tools_run():
    results = doctest.testmod(book_pages)
    assert results.attempted >= 3
    assert results.failed == 0


def test_examples_outside_of_their_section_are_fenced():
    pytest.importorskip("griffe")
    fenced = importlib.import_module("doctest_blocks").fenced
    assert fenced("Add.\n\n>>> [[1]]\n[[1]]\n\nMore.") == (
        "Add.\n\n```pycon\n>>> [[1]]\n[[1]]\n```\n\nMore.")
    assert fenced(">>> 1\n1") == "```pycon\n>>> 1\n1\n```"
    section = "Add.\n\nExamples\n--------\n>>> 1\n1"
    assert fenced(section) == section


def test_every_verb_is_called_on_a_page():
    texts = [path.read_text(encoding="utf-8") for path in [*pages(), *READMES]]
    called = {name for text in texts for form in (r"hybridasr ([a-z][\w-]+)", r"`([a-z][\w-]+)")
              for name in re.findall(form, text)}
    assert [name for name in VERBS if name not in called] == []


def test_every_module_has_a_page_of_its_docstrings():
    listed = [name for text in api_pages().values() for name in re.findall(r"^::: (\S+)$", text,
                                                                           re.M)]
    assert sorted(listed) == sorted(modules())
    assert len(public_names()) > 800


def test_pages_are_in_the_contents_and_contents_are_pages():
    contents = (REPOSITORY / "tools" / "docs" / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"[\w/.]+\.md$", contents.partition("\nnav:\n")[2], re.M)
    notebooks = [path.with_suffix(".md") for path in DOCS.rglob("*.ipynb")]
    there = {str(path.relative_to(DOCS)) for path in [*pages(), *notebooks]}
    assert sorted(listed) == sorted(there | {"verbs.md"})


def test_checks_see_faults(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A `b`, c\n\n    hybridasr show tree\n\n[`f`](f.py)\n\n![x](pictures/a.svg)\n"
                    "```python\n# no heading\n[no](link)\n```\n")
    text = page.read_text()
    assert anchors(text) == {"a-b-c"}
    assert links(text) == [("`f`", "f.py")]
    assert picture_names(text) == ["a.svg"]
    assert commands(text) == ["hybridasr show tree"]
    (tmp_path / "f.py").write_text("class A:\n    def g(self): pass\ndef f(): pass\n")
    assert definitions(tmp_path / "f.py") == {"A", "A.g", "f"}
    with pytest.raises(SystemExit):
        parse("hybridasr show tree --phon a1 exp tree.svg")
