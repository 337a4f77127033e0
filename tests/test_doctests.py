"""The examples in docstrings run, and there are enough of them."""

import doctest
import importlib
import os
import pkgutil

import pytest

import hybridasr

LEAST = 30  # public functions and classes with an example


def modules() -> list[str]:
    return [module.name for module in pkgutil.walk_packages(hybridasr.__path__, "hybridasr.")
            if not module.name.endswith("__main__")]


def examples(name: str) -> list[doctest.DocTest]:
    return [test for test in doctest.DocTestFinder(exclude_empty=True).find(
        importlib.import_module(name)) if test.examples]


@pytest.mark.parametrize("name", modules())
def test_examples_of_a_module(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in examples(name):
        runner.run(test)
    assert runner.failures == 0
    assert os.listdir(tmp_path) == []  # an example leaves nothing behind


def test_there_are_enough():
    with_examples = {test.name for name in modules() for test in examples(name)
                     if not any(part.startswith("_") for part in test.name.split("."))}
    assert len(with_examples) >= LEAST, sorted(with_examples)
