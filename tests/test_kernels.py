"""Kernels are compiled once for all and let other threads run."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "hybridasr"


def kernels(source: str):
    """Yield (name, options of `numba.njit`) of every compiled function."""
    for node in ast.walk(ast.parse(source)):
        for decorator in getattr(node, "decorator_list", ()):
            call = decorator if isinstance(decorator, ast.Call) else None
            name = ast.unparse(call.func if call else decorator)
            if name.split(".")[-1] in ("jit", "njit", "vectorize", "guvectorize", "stencil"):
                yield node.name, {keyword.arg: ast.unparse(keyword.value)
                                  for keyword in (call.keywords if call else ())}


def faults(source: str) -> list[str]:
    return [f"{name}: no {option}" for name, options in kernels(source)
            for option in ("cache", "nogil") if options.get(option) != "True"]


def test_every_kernel_is_cached_and_releases_the_lock():
    sources = {path.relative_to(PACKAGE): path.read_text(encoding="utf-8")
               for path in sorted(PACKAGE.rglob("*.py"))}
    assert sum(len(list(kernels(source))) for source in sources.values()) > 100
    assert [f"{path}: {fault}" for path, source in sources.items()
            for fault in faults(source)] == []


@pytest.mark.parametrize(("decorator", "expected"), [
    ("numba.njit(cache=True, nogil=True)", []),
    ("numba.njit(cache=True, nogil=True, fastmath=FAST)", []),
    ("numba.njit(cache=True)", ["f: no nogil"]),
    ("njit(nogil=True)", ["f: no cache"]),
    ("numba.njit", ["f: no cache", "f: no nogil"]),
    ("numba.vectorize(cache=False, nogil=True)", ["f: no cache"]),
])
def test_the_check_sees_faults(decorator, expected):
    assert faults(f"@{decorator}\ndef f():\n    pass\n") == expected
