"""The notebooks: without outputs in the repository, and each runs to its end in three minutes."""

import ast
import json
import os
import time

import pytest
from book_pages import DOCS, REPOSITORY

NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
EVERY_NOTEBOOK = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
MOST_SECONDS = 180


def cells(path, kind):
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
            if cell["cell_type"] == kind]


def test_there_are_three_and_the_page_lists_them():
    text = (DOCS / "notebooks.md").read_text(encoding="utf-8")
    assert len(NOTEBOOKS) == 3
    assert [path.name for path in NOTEBOOKS if f"notebooks/{path.name})" not in text] == []


@EVERY_NOTEBOOK
def test_no_outputs_are_kept(path):
    assert [cell for cell in cells(path, "code")
            if cell["outputs"] or cell["execution_count"] is not None] == []


@EVERY_NOTEBOOK
def test_it_teaches_and_checks_itself(path):
    code = "\n".join("".join(cell["source"]) for cell in cells(path, "code"))
    ast.parse(code)
    assert code.count("assert ") >= 2
    assert len(cells(path, "markdown")) >= 5
    assert all(len(line) <= 100 for line in code.splitlines())


@pytest.mark.slow
@EVERY_NOTEBOOK
def test_it_runs(path, monkeypatch):
    for needed in ("ipykernel", "matplotlib", "espeakng_loader", "pypinyin", "rapidfuzz"):
        pytest.importorskip(needed)
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    client = nbclient.NotebookClient(notebook, timeout=2 * MOST_SECONDS, kernel_name="python3",
                                     resources={"metadata": {"path": str(path.parent)}})
    begun = time.process_time() + os.times().children_user
    client.execute()  # raises where a cell does
    # Of the processor: what else the machine does is no fault of the notebook's.
    assert os.times().children_user + time.process_time() - begun < MOST_SECONDS
