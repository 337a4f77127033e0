"""The digest that names the cache covers all that goes into a compiled kernel."""

import ast
from pathlib import Path

from hybridasr.kernels.cache import _MARKS

PACKAGE = Path(__file__).resolve().parents[2] / "hybridasr"


def is_kernel(function: ast.AST) -> bool:
    return isinstance(function, ast.FunctionDef) and any(
        "njit" in ast.unparse(decorator) for decorator in function.decorator_list)


def uncovered(sources: dict[str, str]) -> list[str]:
    """Names that kernels use and that come from a module whose contents are not in the digest."""
    faults = []
    for name, source in sources.items():
        tree = ast.parse(source)
        origin = {alias.asname or alias.name: node.module for node in tree.body
                  if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                      "hybridasr") for alias in node.names}
        for function in filter(is_kernel, ast.walk(tree)):
            for used in {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}:
                module = origin.get(used)
                if module and not any(mark.decode() in sources[module] for mark in _MARKS):
                    faults.append(f"{name}: {function.name} uses {used} of {module}")
    return faults


def package_sources() -> dict[str, str]:
    return {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
        ".__init__"): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}


def test_kernels_use_what_the_digest_covers():
    assert uncovered(package_sources()) == []


def test_check_sees_a_constant_from_elsewhere():
    kernel = ("import numba\nfrom hybridasr.plain import SIZE\n\n@numba.njit(cache=True)\n"
              "def f():\n    return SIZE\n")
    assert uncovered({"hybridasr.k": kernel, "hybridasr.plain": "SIZE = 3\n"}) == [
        "hybridasr.k: f uses SIZE of hybridasr.plain"]
    assert uncovered({"hybridasr.k": kernel, "hybridasr.plain": "SIZE = 3  # numba\n"}) == []
