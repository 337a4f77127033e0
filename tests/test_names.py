"""Names as a test: one module, class or public function a name, in the field's nouns and verbs."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "hybridasr"
# Names that a room gives each of its things, as a protocol: looked up by module, not by name.
SHARED_FUNCTIONS = {"main"}
# Participles say that something was done, not what it is.
PARTICIPLES = {"found", "made", "heard"}


def trees() -> dict[Path, ast.Module]:
    return {path.relative_to(PACKAGE): ast.parse(path.read_text(encoding="utf-8"))
            for path in sorted(PACKAGE.rglob("*.py"))}


def repeated(places: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: where for name, where in places.items() if len(where) > 1}


def public_definitions(sources: dict[Path, ast.Module], kind: type | tuple[type, ...]
                       ) -> dict[str, list[str]]:
    """Return public name -> files, of the definitions at the top level of modules."""
    places = defaultdict(list)
    for path, tree in sources.items():
        for node in tree.body:
            if isinstance(node, kind) and not node.name.startswith("_"):
                places[node.name].append(str(path))
    return places


def stored_names(tree: ast.Module) -> set[str]:
    """Return the names of variables, parameters and attributes that a module gives."""
    names = {node.id for node in ast.walk(tree)
             if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names |= {node.attr for node in ast.walk(tree)
              if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    return names | {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}


def test_no_two_modules_of_one_name():
    places = defaultdict(list)
    for path in trees():
        if path.stem not in ("__init__", "__main__"):
            places[path.stem].append(str(path))
    assert repeated(places) == {}


def test_no_two_classes_of_one_name():
    assert repeated(public_definitions(trees(), ast.ClassDef)) == {}


def test_no_two_public_functions_of_one_name():
    places = repeated(public_definitions(trees(), (ast.FunctionDef, ast.AsyncFunctionDef)))
    assert {name: where for name, where in places.items() if name not in SHARED_FUNCTIONS} == {}


def test_participles_are_no_names():
    assert {str(path): sorted(names) for path, tree in trees().items()
            if (names := stored_names(tree) & PARTICIPLES)} == {}


@pytest.mark.parametrize("word", ["Judge", "Rivals", r"\bquiet\b"])
def test_names_that_were_replaced(word):
    code = {str(path): ast.unparse(tree) for path, tree in trees().items()}
    without_texts = {name: re.sub(r"(\"\"\".*?\"\"\"|'[^']*'|\"[^\"]*\")", "", text, flags=re.S)
                     for name, text in code.items()}
    assert [name for name, text in without_texts.items() if re.search(word, text)] == []
